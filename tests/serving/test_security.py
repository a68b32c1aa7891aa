"""API keys, other origins, and the headers that restrict a page."""

from tests.serving.conftest import png
from tests.serving.requests import request

RED = png(255, 0, 0)


def test_api_keys_protect_the_models_and_not_the_health(run):
    async def test(running):
        path = "/predictions/colors"
        for headers in ({}, {"X-API-Key": "wrong key"}, {"Authorization": "Bearer "}, {"Authorization": "Basic x"}):
            refused = await request(running.application, "POST", path, RED, headers)
            assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        for headers in ({"X-API-Key": "correct horse"}, {"Authorization": "bearer correct horse"}):
            assert (await request(running.application, "POST", path, RED, headers)).status == 200
        for path in ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"):
            assert (await request(running.application, "GET", path)).status == 200
        for path in ("/models", "/metrics", "/v2", "/v2/models/colors"):
            assert (await request(running.application, "GET", path)).status == 401

    run(test, api_keys=("another key", "correct horse"))


def test_other_origins_are_refused_unless_they_are_allowed(run):
    async def test(running):
        origin = {"Origin": "https://example.org"}
        response = await request(running.application, "GET", "/models", headers=origin)
        assert "access-control-allow-origin" not in response.headers
        for path in ("/predictions/colors", "/predictions/colors?timeout=600", "/explanations/colors"):
            for site in ("cross-site", "same-site"):
                refused = await request(running.application, "POST", path, RED, origin | {"Sec-Fetch-Site": site})
                reason = "pages of https://example.org may not use this service: allow it with --cors"
                assert (refused.status, refused.json) == (403, {"error": reason})
            # At http://lab:8000, browsers send no Sec-Fetch-Site.
            for other in ("http://lab", "http://lab:8001", "https://example.org", "null"):
                foreign = {"Host": "lab:8000", "Origin": other}
                assert (await request(running.application, "POST", path, RED, foreign)).status == 403
        own = [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}]
        own += [{"Host": host, "Origin": f"http://{host}"} for host in ("Lab", "lab:8000", "[::1]:8000")]
        own += [{"Host": "lab:80", "Origin": "http://lab"}, {"Host": "lab:443", "Origin": "https://lab"}]
        for headers in own:
            assert (await request(running.application, "POST", "/predictions/colors", RED, headers)).status == 200

    async def test_allowed(running):
        origin = {"Origin": "https://example.org"}
        response = await request(running.application, "GET", "/models", headers=origin)
        assert response.headers["access-control-allow-origin"] == "https://example.org"
        sent = origin | {"Sec-Fetch-Site": "cross-site"}
        for headers in (sent, origin):
            assert (await request(running.application, "POST", "/predictions/colors", RED, headers)).status == 200
        preflight = origin | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
        allowed = await request(running.application, "OPTIONS", "/predictions/colors", headers=preflight)
        other = preflight | {"Origin": "https://other.example"}
        refused = await request(running.application, "OPTIONS", "/predictions/colors", headers=other)
        assert (allowed.status, refused.status) == (200, 400)
        assert refused.json == {"error": "Disallowed CORS origin"}
        assert "access-control-allow-origin" not in refused.headers
        for response in (allowed, refused):
            assert "default-src 'none'" in response.headers["content-security-policy"]

    run(test)
    run(test_allowed, origins=("https://example.org",), api_keys=())


def test_every_response_has_the_headers_that_restrict_a_page(run):
    async def test(running):
        for method, path in (("GET", "/healthz"), ("GET", "/nothing"), ("POST", "/predictions/colors")):
            headers = (await request(running.application, method, path)).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "unsafe-inline" not in headers["content-security-policy"]
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert headers["cross-origin-embedder-policy"] == "require-corp"
            assert headers["x-content-type-options"] == "nosniff"

    run(test)
