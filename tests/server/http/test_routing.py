"""Routes."""

from __future__ import annotations

from tests.server.served import Api


async def test_head_is_served_like_get_without_a_body(api: Api) -> None:
    _, made = await api.post("/projects", {"name": "greeter"})
    for path, expected in ((f"/projects/{made['id']}", 200), ("/projects/pr_x", 404), ("/chat", 405)):
        async with api.session.head(api.server.base_url + path) as response:
            assert response.status == expected
            assert int(response.headers["Content-Length"]) > 0
            assert await response.read() == b""
