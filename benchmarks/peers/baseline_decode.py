"""Baseline: split the bytes that aiohttp reads and decode each event into this package's Struct; no other SSE rules."""

from __future__ import annotations

import aiohttp
import msgspec

from humanloop_async.types import ChatEvent, ChatResponse

from . import harness


class SplitAndDecode:
    def __init__(self, port: int, options: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}/v4/chat"
        self.decode_event = msgspec.json.Decoder(ChatEvent).decode
        self.decode_reply = msgspec.json.Decoder(ChatResponse).decode

    async def open(self) -> None:
        harness.raise_mmap_threshold()
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def stream(self, samples: int, tally: harness.Tally) -> None:
        request = {**harness.v4_request(samples), "stream": True}
        decode, see, tail = self.decode_event, tally.text, b""
        async with self.session.post(self.url, json=request) as response:
            while data := await response.content.readany():
                *events, tail = (tail + data if tail else data).split(b"\n\n")
                for event in events:
                    see(decode(event[6:]).data[0].output)  # 6: len(b"data: ")

    async def call(self) -> str:
        async with self.session.post(self.url, json=harness.v4_request(1)) as response:
            return self.decode_reply(await response.read()).data[0].output

    async def close(self) -> None:
        await self.session.close()


if __name__ == "__main__":
    harness.main(SplitAndDecode, "aiohttp", "msgspec")
