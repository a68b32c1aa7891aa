"""Work in threads whose request may end before it."""

import asyncio
import threading

import pytest

from levit.serving.deadlines import Deadline
from levit.serving.errors import RequestError
from tests.serving.requests import Connection


def test_work_that_ends_after_its_deadline_reports_nothing_to_the_event_loop(run):
    async def test(running):
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        gate, ended = threading.Event(), threading.Event()

        def work():
            gate.wait(600)
            ended.set()

        with pytest.raises(RequestError, match="no result within"):
            await running.service.explain(work, Deadline(0.01), Connection([]).receive)
        gate.set()
        assert await asyncio.to_thread(ended.wait, 600)
        await running.service.explain(lambda: None, Deadline(600), Connection([]).receive)  # after it in the one thread
        assert reported == []

    run(test, threads=1)
