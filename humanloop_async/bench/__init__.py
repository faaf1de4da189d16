"""Load generation and measurement of streams: the engine of ``humanloop-async bench``.

It needs only the base installation. The load runs in worker processes (`processes`), each with one event loop
(`generator`) that calls a server through a target (`v4`, `openai`) and records when each token arrived (`recording`).
`metrics` and `statistics` turn records into figures, `health` decides whether the client distorted them, and `report`,
`text`, `html` and `compare` present them.
"""
