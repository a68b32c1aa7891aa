"""Work in threads whose request may end before it."""

import asyncio
import threading

import pytest

from levit.serving.deadlines import Deadline
from levit.serving.errors import DisconnectedError
from tests.serving.requests import Connection


def test_work_that_ends_after_its_request_reports_nothing_to_the_event_loop(run):
    async def test(running):
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        started, gate, ended = threading.Event(), threading.Event(), threading.Event()

        def work():
            started.set()
            gate.wait(600)
            ended.set()

        connection = Connection([])
        explaining = asyncio.create_task(running.service.run("explain", work, Deadline(600), connection.receive))
        assert await asyncio.to_thread(started.wait, 600)
        connection.disconnect()
        with pytest.raises(DisconnectedError):
            await explaining
        gate.set()
        assert await asyncio.to_thread(ended.wait, 600)
        await running.service.run(
            "explain", lambda: None, Deadline(600), Connection([]).receive
        )  # after it in the one thread
        assert reported == []

    run(test, threads=1)
