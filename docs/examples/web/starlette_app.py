"""Stream a model's text with Starlette.

Run it with ``uvicorn starlette_app:app``.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from humanloop_async import ApiException, AsyncHumanloop, ChatMessageParam, ChatStream, ModelConfigChatParam

CONFIG: ModelConfigChatParam = {"provider": "mock", "model": "any"}


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    async with AsyncHumanloop() as app.state.client:  # one client for all requests
        yield


def messages(request: Request) -> list[ChatMessageParam]:
    return [{"role": "user", "content": f"Tell a story about {request.query_params['topic']}."}]


async def story(request: Request) -> StreamingResponse:
    client: AsyncHumanloop = request.app.state.client
    # Open the stream first: an error up to here becomes a status, not a broken body.
    stream = await client.chat_stream(project="stories", model_config=CONFIG, messages=messages(request))
    return StreamingResponse(text_of(stream), media_type="text/plain; charset=utf-8")


async def text_of(stream: ChatStream) -> AsyncIterator[str]:
    async with stream:  # closes the connection when the browser leaves
        async for text in stream.text_stream:
            yield text


async def chunks(request: Request) -> StreamingResponse:
    client: AsyncHumanloop = request.app.state.client
    stream = await client.chat_stream(project="stories", model_config=CONFIG, messages=messages(request))
    return StreamingResponse(lines_of(stream), media_type="application/jsonl")


async def lines_of(stream: ChatStream) -> AsyncIterator[str]:
    async with stream:
        async for chunk in stream:
            yield chunk.to_json() + "\n"


async def whole_story(request: Request) -> JSONResponse:
    client: AsyncHumanloop = request.app.state.client
    response = await client.chat(project="stories", model_config=CONFIG, messages=messages(request))
    return JSONResponse(response.body)


async def api_error(request: Request, exc: Exception) -> JSONResponse:
    return JSONResponse({"error": str(exc)}, status_code=502)


app = Starlette(
    routes=[Route("/story", story), Route("/story.jsonl", chunks), Route("/story.json", whole_story)],
    lifespan=lifespan,
    exception_handlers={ApiException: api_error},
)
