"""Run daphne on a loop: ``daphne_server LOOP ARGUMENTS``.

Daphne creates its loop on import and has no option for it.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

if sys.argv.pop(1) == "uvloop":
    asyncio.new_event_loop = uvloop.new_event_loop

from daphne.cli import CommandLineInterface

CommandLineInterface.entrypoint()
