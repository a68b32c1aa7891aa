"""Files of the page: a browser that has one gets it again only after it has changed."""

import pytest

from tests.serving.requests import request


@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}'])
def test_a_file_that_a_browser_has_is_not_sent_again(run, known):
    async def test(running):
        first = await request(running.application, "GET", "/main.js")
        assert (first.status, first.headers["cache-control"]) == (200, "no-cache")
        headers = {"If-None-Match": known.format(first.headers["etag"])}
        again = await request(running.application, "GET", "/main.js", headers=headers)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
        other = await request(running.application, "GET", "/style.css", headers=headers)
        assert (other.status, other.headers["etag"] != first.headers["etag"]) == (200, True)

    run(test)
