"""Check an sdist, a wheel, and the package that was installed from the wheel: stream two samples from its server.

Usage: python smoke.py SDIST WHEEL
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import humanloop_async
from humanloop_async import AsyncHumanloop, ChatChunk, EmbeddedServer, SampleStream

IN_WHEEL = [
    r"humanloop_async/py\.typed",
    r"humanloop_async/server/storage/migrations/env\.py",
    r"humanloop_async/server/storage/migrations/script\.py\.mako",
    r"humanloop_async/server/storage/migrations/versions/\d+.*\.py",
    r"humanloop_async/server/web/index\.html",
    r"humanloop_async/server/web/style\.css",
    r"humanloop_async/server/web/views/[a-z-]+\.js",
    r"humanloop_async/server/web/vendor/dompurify/purify\.es\.mjs",
    r"humanloop_async/server/web/vendor/marked/marked\.esm\.js",
    r".*\.dist-info/licenses/humanloop_async/server/web/vendor/dompurify/LICENSE",
    r".*\.dist-info/licenses/humanloop_async/server/web/vendor/marked/LICENSE",
    r".*\.dist-info/licenses/LICENSE",
]
IN_SDIST = [
    *(pattern for pattern in IN_WHEEL if "dist-info" not in pattern),
    r"(CHANGELOG|README|SECURITY)\.md",
    r"LICENSE",
    r"\.ci/run",
    r"benchmarks/results\.json",
    r"pyproject\.toml",
    r"tests/conftest\.py",
    r"tests/data/.*\.sse",
    r"tests/interop/official_client\.mjs",
]
NOWHERE = r"(.*/)?(__pycache__|\.venv[^/]*|\.coverage.*|.*\.db)(/.*)?"


def check_files(archive: str, names: list[str], patterns: list[str]) -> None:
    """Check that each pattern matches a file, and that nothing from a working folder was packed."""
    missing = [pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in names)]
    stray = [name for name in names if re.fullmatch(NOWHERE, name)]
    assert not missing, f"{archive} has no {', '.join(missing)}"
    assert not stray, f"{archive} must not contain {', '.join(stray)}"


async def stream_two_samples() -> None:
    """Start the server, stream two samples at once, and compare them with the final response."""

    async def read(sample: SampleStream[ChatChunk]) -> str:
        return "".join([text async for text in sample.text_stream])

    async with (
        EmbeddedServer() as server,
        AsyncHumanloop(server.api_key, base_url=server.base_url) as client,
        client.chat_stream(
            project="smoke",
            model_config={"provider": "mock", "model": "any"},
            messages=[{"role": "user", "content": "Hello"}],
            num_samples=2,
        ) as stream,
    ):
        texts = await asyncio.gather(*map(read, stream.samples))
        response = await stream.final()
    assert all(texts)
    assert texts == [sample.raw_output for sample in response.data]


def main() -> None:
    """Run all checks; a failed one raises."""
    sdist, wheel = sys.argv[1:]
    with tarfile.open(sdist) as archive:
        check_files("the sdist", [name.partition("/")[2] for name in archive.getnames()], IN_SDIST)
    with zipfile.ZipFile(wheel) as files:
        check_files("the wheel", files.namelist(), IN_WHEEL)
    assert Path(humanloop_async.__file__).is_relative_to(sys.prefix), humanloop_async.__file__
    assert metadata.version("humanloop_async") == humanloop_async.__version__
    asyncio.run(stream_two_samples())
    shown = subprocess.run(
        [Path(sys.executable).with_name("humanloop-async"), "--version"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip().endswith(humanloop_async.__version__), shown.stdout
    print(f"humanloop_async {humanloop_async.__version__}: sdist and wheel are complete, and the server streams")


if __name__ == "__main__":
    main()
