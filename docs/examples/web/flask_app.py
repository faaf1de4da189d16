"""Stream a model's text with Flask.

Run it with ``gunicorn --threads 16 flask_app:app``.
"""

from collections.abc import Iterator

from flask import Flask, Response, jsonify, request

from humanloop_async import ApiException, ChatMessageParam, Humanloop, ModelConfigChatParam, SyncChatStream

CONFIG: ModelConfigChatParam = {"provider": "mock", "model": "any"}
app = Flask(__name__)
client = Humanloop()  # one client for all threads; it starts on first use


def messages() -> list[ChatMessageParam]:
    return [{"role": "user", "content": f"Tell a story about {request.args['topic']}."}]


@app.get("/story")
def story() -> Response:
    # Open the stream first: an error up to here becomes a status, not a broken body.
    stream = client.chat_stream(project="stories", model_config=CONFIG, messages=messages())
    return Response(text_of(stream), content_type="text/plain; charset=utf-8")


def text_of(stream: SyncChatStream) -> Iterator[str]:
    with stream:  # closes the connection when the browser leaves
        yield from stream.text_stream


@app.get("/story.jsonl")
def chunks() -> Response:
    stream = client.chat_stream(project="stories", model_config=CONFIG, messages=messages())
    return Response(lines_of(stream), content_type="application/jsonl")


def lines_of(stream: SyncChatStream) -> Iterator[str]:
    with stream:
        for chunk in stream:
            yield chunk.to_json() + "\n"


@app.get("/story.json")
def whole_story() -> Response:
    return jsonify(client.chat(project="stories", model_config=CONFIG, messages=messages()).body)


@app.errorhandler(ApiException)
def api_error(exc: ApiException) -> tuple[Response, int]:
    return jsonify(error=str(exc)), 502
