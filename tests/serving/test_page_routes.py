"""Files of the page: a browser that has one gets it again only after it has changed."""

import re

import pytest

from levit.serving.documentation_page import render_documentation
from levit.serving.page_routes import page_files
from tests.serving.requests import request


def test_a_proxy_may_serve_the_pages_below_a_path_of_its_own():
    texts = {name: content.decode() for name, content in page_files().items()}
    texts["docs"] = render_documentation({"paths": {}, "info": {"version": "1"}}, "http://127.0.0.1:8000")
    for name, text in texts.items():
        assert re.findall("""["'`(]/[a-z"]""", text) == [], name


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
