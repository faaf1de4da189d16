"""Call with a client that is created, and used if USE_BEFORE_FORK is set, before gunicorn forks its workers."""

from __future__ import annotations

import os

from flask import Flask

from humanloop_async import ApiException, Humanloop

app = Flask(__name__)
client = Humanloop()


@app.get("/call")
def call() -> str:
    return client.complete(model_config={"model": "m"}).data[0].output


@app.get("/stream")
def stream() -> str:
    with client.complete_stream(model_config={"model": "m"}) as opened:
        return "".join(opened.text_stream)


@app.errorhandler(ApiException)
def api_error(exc: ApiException) -> tuple[str, int]:
    return str(exc), 502


if os.environ.get("USE_BEFORE_FORK"):
    call()
