"""Return streams with FastAPI."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from tests.frameworks.streams import VIEWS

app = FastAPI()


@app.get("/{view}")
async def read(view: str) -> StreamingResponse:
    return StreamingResponse(await VIEWS[view]())
