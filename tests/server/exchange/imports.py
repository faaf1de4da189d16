"""Imports and exports of tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from humanloop_async.server.exchange.exporting import export_folder
from humanloop_async.server.exchange.importing import import_folder
from humanloop_async.server.exchange.report import Report
from humanloop_async.server.storage.database import Database


async def imported(address: str, folder: Path, *, dry_run: bool = False) -> tuple[Report, list[str]]:
    """Import a folder into the database at an address; return the report and the messages, without the folder."""
    messages: list[str] = []
    report = Report(lambda message: messages.append(message.replace(f"{folder}/", "")))
    database = await Database.open(address, bulk=True)
    try:
        await import_folder(database, folder, report, dry_run=dry_run)
    finally:
        await database.aclose()
    return report, messages


async def exported(address: str, folder: Path) -> Mapping[str, int]:
    """Export the database at an address to a folder; return the counts."""
    database = await Database.open(address)
    try:
        return await export_folder(database, folder)
    finally:
        await database.aclose()
