"""Events and bodies of v4 for tests, to send with a `ScriptedServer`."""

from __future__ import annotations

import json
from collections.abc import Mapping

UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
"""The head of a stream that the end of the connection ends."""
DONE = b"data: [DONE]\n\n"
COMMENT = b": keep-alive\n\n"


def event(index: int = 0, output: str = "", finish_reason: str | None = None, **top: object) -> bytes:
    """Return an event of a streamed completion, with one sample."""
    item = {
        "id": f"data_{index}",
        "index": index,
        "output": output,
        "raw_output": output,
        "inputs": {},
        "finish_reason": finish_reason,
        "model_config_id": "config_1",
    }
    return sse({"project_id": "pr_1", "data": [item], "usage": None, "provider_responses": [], **top})


def sse(body: object) -> bytes:
    return b"data: %b\n\n" % json.dumps(body).encode()


def words(*texts: str, index: int = 0) -> list[bytes]:
    """Return the events of one complete sample, the last one with a finish reason."""
    return [*(event(index, text) for text in texts[:-1]), event(index, texts[-1], "stop")]


def completion(*outputs: str, **top: object) -> Mapping[str, object]:
    """Return the body of a response without streaming."""
    data = [
        {"id": f"data_{i}", "index": i, "output": text, "raw_output": text, "inputs": {}, "finish_reason": "stop"}
        for i, text in enumerate(outputs)
    ]
    return {"project_id": "pr_1", "num_samples": len(data), "data": data, "provider_responses": [], **top}


def interleaved(samples: int, chunks: int) -> list[bytes]:
    """Return events of several samples in turn, with texts "index.number "."""
    return [
        event(index, f"{index}.{number} ", "stop" if number == chunks - 1 else None)
        for number in range(chunks)
        for index in range(samples)
    ]


def text_of(index: int, chunks: int) -> str:
    """Return the complete text of one sample of `interleaved`."""
    return "".join(f"{index}.{number} " for number in range(chunks))
