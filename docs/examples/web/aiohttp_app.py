"""Stream a model's text with aiohttp.web.

Run it with ``python aiohttp_app.py [PORT]``.
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from humanloop_async import ApiException, AsyncHumanloop, ChatMessageParam, ModelConfigChatParam

CLIENT = web.AppKey("client", AsyncHumanloop)
CONFIG: ModelConfigChatParam = {"provider": "mock", "model": "any"}


async def client_context(app: web.Application) -> AsyncIterator[None]:
    async with AsyncHumanloop() as app[CLIENT]:  # one client for all requests
        yield


def messages(request: web.Request) -> list[ChatMessageParam]:
    return [{"role": "user", "content": f"Tell a story about {request.query['topic']}."}]


async def story(request: web.Request) -> web.StreamResponse:
    call = request.app[CLIENT].chat_stream(project="stories", model_config=CONFIG, messages=messages(request))
    async with call as stream:  # closes the connection when the browser leaves
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        async for text in stream.text_stream:
            await response.write(text.encode())
        await response.write_eof()
    return response


async def chunks(request: web.Request) -> web.StreamResponse:
    call = request.app[CLIENT].chat_stream(project="stories", model_config=CONFIG, messages=messages(request))
    async with call as stream:
        response = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
        await response.prepare(request)
        async for chunk in stream:
            await response.write(chunk.to_json().encode() + b"\n")
        await response.write_eof()
    return response


async def whole_story(request: web.Request) -> web.Response:
    response = await request.app[CLIENT].chat(project="stories", model_config=CONFIG, messages=messages(request))
    return web.json_response(response.body)


@web.middleware
async def api_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiException as exc:
        if exc.partial is not None:  # the response has begun; end it without its last chunk
            raise
        return web.json_response({"error": str(exc)}, status=502)


def create_app() -> web.Application:
    app = web.Application(middlewares=[api_errors])
    app.cleanup_ctx.append(client_context)
    app.add_routes([web.get("/story", story), web.get("/story.jsonl", chunks), web.get("/story.json", whole_story)])
    return app


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    # Without handler_cancellation aiohttp lets a handler run on after its client has left.
    web.run_app(create_app(), host="127.0.0.1", port=port, handler_cancellation=True)
