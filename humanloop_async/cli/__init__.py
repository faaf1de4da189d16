"""The command line: ``humanloop-async serve``, ``demo``, ``complete``, ``chat``, ``keys``, ``db``.

`complete` and `chat` need the extra ``cli``, the others ``server``, which brings it.
"""
