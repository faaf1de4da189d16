"""The command line: ``humanloop-async serve``, ``demo``, ``complete``, ``chat``, ``logs``, ``keys``, ``db``, and more.

`complete`, `chat`, `projects`, `configs` and `logs` need the extra ``cli``, the other commands the extra ``server``,
which includes ``cli``.
"""
