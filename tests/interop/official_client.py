"""Runs inside an environment of the official client: streams a chat and a completion, and calls both plainly.

Prints what the client handed over, as JSON. Nothing of this project is imported here.
"""

import asyncio
import json
import sys

from humanloop import ApiException, Humanloop

base_url, key = sys.argv[1:]
client = Humanloop(api_key=key, host=base_url, openai_api_key="sk-not-used")
chat = {"model_config": {"provider": "mock", "model": "m"}, "messages": [{"role": "user", "content": "hi"}]}
completion = {
    "model_config": {"provider": "mock", "model": "m", "prompt_template": "Hello {{ name }}"},
    "inputs": {"name": "Ada"},
}


async def streams():
    streamed_chat = await client.chat_stream(project="interop", num_samples=2, **chat)
    chunks = [chunk async for chunk in streamed_chat.content]
    streamed_completion = await client.complete_stream(project="interop", **completion)
    return chunks, [chunk async for chunk in streamed_completion.content]


chat_chunks, completion_chunks = asyncio.run(streams())
# Both versions wrap the decoded body; 0.7 does so under `raw`.
chats = getattr(client.chats, "raw", client.chats)
completions = getattr(client.completions, "raw", client.completions)
whole_chat = chats.create(project="interop", num_samples=2, **chat).body
whole_completion = completions.create(project="interop", **completion).body
try:
    client.complete(project="interop", model_config=completion["model_config"])
except ApiException as error:
    refusal = {"status": error.status, "body": error.body}
else:
    refusal = None
print(
    json.dumps(
        {
            "chat_chunks": chat_chunks,
            "completion_chunks": completion_chunks,
            "chat": whole_chat,
            "completion": whole_completion,
            "refusal": refusal,
        }
    )
)
