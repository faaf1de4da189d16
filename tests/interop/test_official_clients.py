"""The unmodified official clients, each in an environment of its own, against the server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from environments import VERSIONS, interpreter

from humanloop_async import EmbeddedServer

SCRIPT = Path(__file__).parent / "official_client.py"


async def run_official(version: str, server: EmbeddedServer) -> dict[str, Any]:
    python = interpreter(version)
    if not python.exists():
        pytest.skip(f"humanloop {version} is not installed: python tests/interop/environments.py")
    process = await asyncio.create_subprocess_exec(
        python, SCRIPT, server.base_url, server.api_key, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    result: dict[str, Any] = json.loads(out)
    return result


def text(chunks: list[dict[str, Any]], sample_id: str) -> str:
    return "".join(chunk["output"] for chunk in chunks if chunk["id"] == sample_id)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("version", VERSIONS)
async def test_an_official_client_streams_and_calls(version: str, embedded: EmbeddedServer) -> None:
    """Every event reaches it, in the shape it reads, and the plain answers hold the same texts."""
    got = await run_official(version, embedded)
    chat, completion = got["chat"], got["completion"]
    ids = list(dict.fromkeys(chunk["id"] for chunk in got["chat_chunks"]))
    assert len(ids) == 2
    texts = {text(got["chat_chunks"], sample_id) for sample_id in ids}
    assert texts == {sample["raw_output"] for sample in chat["data"]}
    (sample_id,) = {chunk["id"] for chunk in got["completion_chunks"]}
    assert text(got["completion_chunks"], sample_id) == completion["data"][0]["raw_output"]
    assert completion["usage"]["total_tokens"] > 0
    assert {"logprobs", "suffix", "user", "metadata", "provider_responses"} <= set(completion)
    assert got["refusal"]["status"] == 422
    assert got["refusal"]["body"]["detail"]["message"] == "Missing input variables: name"
    if version.startswith("0.7"):  # 0.5 hands over nothing but `output` and `id`
        last = {chunk["index"]: chunk["finish_reason"] for chunk in got["chat_chunks"]}
        assert last == {0: "stop", 1: "stop"}
        assert {chunk["project_id"] for chunk in got["chat_chunks"]} == {chat["project_id"]}
