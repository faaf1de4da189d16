"""The command line: ``humanloop-async serve``, ``demo``, ``complete``, ``chat``. Needs the extra ``cli``."""
