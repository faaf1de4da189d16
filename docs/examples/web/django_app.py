"""Stream a model's text with Django under ASGI.

Run it with ``uvicorn django_app:app``.
"""

from collections.abc import AsyncIterator

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.urls import path

from humanloop_async import ApiException, AsyncHumanloop, ChatMessageParam, ChatStream, ModelConfigChatParam

CONFIG: ModelConfigChatParam = {"provider": "mock", "model": "any"}
client = AsyncHumanloop()  # one client for all requests; it connects on first use


def messages(request: HttpRequest) -> list[ChatMessageParam]:
    return [{"role": "user", "content": f"Tell a story about {request.GET['topic']}."}]


async def story(request: HttpRequest) -> StreamingHttpResponse | JsonResponse:
    # Open the stream first: an error up to here becomes a status, not a broken body.
    try:
        stream = await client.chat_stream(project="stories", model_config=CONFIG, messages=messages(request))
    except ApiException as exc:
        return JsonResponse({"error": str(exc)}, status=502)
    return StreamingHttpResponse(text_of(stream), content_type="text/plain; charset=utf-8")


async def text_of(stream: ChatStream) -> AsyncIterator[str]:
    async with stream:  # closes the connection when the browser leaves
        async for text in stream.text_stream:
            yield text


async def chunks(request: HttpRequest) -> StreamingHttpResponse | JsonResponse:
    try:
        stream = await client.chat_stream(project="stories", model_config=CONFIG, messages=messages(request))
    except ApiException as exc:
        return JsonResponse({"error": str(exc)}, status=502)
    return StreamingHttpResponse(lines_of(stream), content_type="application/jsonl")


async def lines_of(stream: ChatStream) -> AsyncIterator[str]:
    async with stream:
        async for chunk in stream:
            yield chunk.to_json() + "\n"


async def whole_story(request: HttpRequest) -> JsonResponse:
    try:
        response = await client.chat(project="stories", model_config=CONFIG, messages=messages(request))
    except ApiException as exc:
        return JsonResponse({"error": str(exc)}, status=502)
    return JsonResponse(response.body)


urlpatterns = [path("story", story), path("story.jsonl", chunks), path("story.json", whole_story)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="only for this example")
app = get_asgi_application()
