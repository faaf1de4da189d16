"""The process that runs the local model; `local` starts it as a script, nothing imports it.

Reads one line of JSON from standard input (the model, the key, sizes), writes one line with the port it serves
an OpenAI-compatible API on, and ends when standard input does: however its parent ends, the pipe is closed.
A process of its own, because loading a model holds the interpreter for seconds, and ends it when it crashes.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any


def main() -> None:
    config: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    # Standard output is for the one line; what the engine prints goes with its errors.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    xl: Any = importlib.import_module("xllamacpp")
    params = xl.CommonParams()
    params.model.path = config["model"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [config["api_key"]]
    # Its defaults serve a page, and let any page in a browser call it.
    params.ui = False
    params.cors_origins = "http://localhost"
    params.n_parallel = config["slots"]
    params.n_ctx = config["slots"] * config["context"]  # split evenly over the slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = config["threads"]
    params.verbosity = 0
    server = xl.Server(params)

    address = str(server.listening_address)
    print(json.dumps({"port": int(address.rpartition(":")[2])}), file=answer, flush=True)
    while os.read(0, 4096):
        pass
    os._exit(0)  # not by way of destructors: dropping a server can hang


if __name__ == "__main__":
    main()
