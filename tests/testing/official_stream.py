"""Stream a completion with the official client, and print the chunks: ``official_stream.py HOST KEY CONFIG_ID``.

Runs in an environment of `tests/interop/environments.py`, which has only that client.
"""

import asyncio
import json
import sys

from humanloop import Humanloop

host, key, config_id = sys.argv[1:]
client = Humanloop(api_key=key, openai_api_key="sk-official-key", host=host)


async def main() -> None:
    response = await client.complete_model_config_stream(project="sky", model_config_id=config_id, num_samples=2)
    print(json.dumps([chunk async for chunk in response.content], default=str))


asyncio.run(main())
