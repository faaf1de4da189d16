"""Stream a model's text with FastAPI.

Run it with ``uvicorn fastapi_app:app``.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from humanloop_async import ApiException, AsyncHumanloop, ChatMessageParam, ChatStream, ModelConfigChatParam

CONFIG: ModelConfigChatParam = {"provider": "mock", "model": "any"}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with AsyncHumanloop() as app.state.client:  # one client for all requests
        yield


app = FastAPI(lifespan=lifespan)


def messages(topic: str) -> list[ChatMessageParam]:
    return [{"role": "user", "content": f"Tell a story about {topic}."}]


@app.get("/story")
async def story(topic: str, request: Request) -> StreamingResponse:
    client: AsyncHumanloop = request.app.state.client
    # Open the stream first: an error up to here becomes a status, not a broken body.
    stream = await client.chat_stream(project="stories", model_config=CONFIG, messages=messages(topic))
    return StreamingResponse(text_of(stream), media_type="text/plain; charset=utf-8")


async def text_of(stream: ChatStream) -> AsyncIterator[str]:
    async with stream:  # closes the connection when the browser leaves
        async for text in stream.text_stream:
            yield text


@app.get("/story.jsonl")
async def chunks(topic: str, request: Request) -> StreamingResponse:
    client: AsyncHumanloop = request.app.state.client
    stream = await client.chat_stream(project="stories", model_config=CONFIG, messages=messages(topic))
    return StreamingResponse(lines_of(stream), media_type="application/jsonl")


async def lines_of(stream: ChatStream) -> AsyncIterator[str]:
    async with stream:
        async for chunk in stream:
            yield chunk.to_json() + "\n"


@app.get("/story.json")
async def whole_story(topic: str, request: Request) -> JSONResponse:
    client: AsyncHumanloop = request.app.state.client
    response = await client.chat(project="stories", model_config=CONFIG, messages=messages(topic))
    return JSONResponse(response.body)


@app.exception_handler(ApiException)
async def api_error(request: Request, exc: ApiException) -> JSONResponse:
    return JSONResponse({"error": str(exc)}, status_code=502)
