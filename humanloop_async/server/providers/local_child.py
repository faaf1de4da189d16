"""The process that runs the local model. `local` starts it as a script; no module imports it.

It reads one line of JSON from standard input (the model, the key, sizes), and writes one line with the port of its
OpenAI-compatible API. It ends when standard input ends, because the pipe closes however the parent ends. The model has
a separate process because loading it blocks the interpreter for seconds, and because it may crash.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any


def main() -> None:
    config: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    # Standard output is for the one line; the engine's output goes to standard error.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    xl: Any = importlib.import_module("xllamacpp")
    params = xl.CommonParams()
    params.model.path = config["model"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [config["api_key"]]
    # The engine's defaults serve a web page, and allow calls from any page in a browser.
    params.ui = False
    params.cors_origins = "http://localhost"
    params.n_parallel = config["slots"]
    params.n_ctx = config["slots"] * config["context"]  # split evenly over the slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = config["threads"]
    params.verbosity = 0
    server = xl.Server(params)

    address = str(server.listening_address)
    print(json.dumps({"port": int(address.rpartition(":")[2])}), file=output, flush=True)
    while os.read(0, 4096):
        pass
    os._exit(0)  # without destructors: that of the server can hang


if __name__ == "__main__":
    main()
