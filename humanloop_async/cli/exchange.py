"""``humanloop-async import`` and ``export``: copy data between a folder and a database."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from .database import run_with_database
from .errors import CommandError, usage_error
from .terminal import console, is_terminal, print_status, printable

if TYPE_CHECKING:
    from ..server.exchange.report import Report
    from ..server.storage.database import Database


def run_import(folder: Path, db: str, *, dry_run: bool) -> None:
    """Import a folder, and print a summary.

    Raises:
        CommandError: The folder is not an export, or data was skipped.
    """
    from ..server.exchange.importing import import_folder
    from ..server.exchange.reading import FolderError, find_export
    from ..server.exchange.report import Report

    async def work(database: Database) -> Report:
        with _progress() as progress:
            report = Report(lambda message: print_status(printable(message)))
            await import_folder(database, folder, report, dry_run=dry_run, progress=progress)
        return report

    try:
        find_export(folder)  # before the database is created
        with _scratch_database(db) if dry_run else nullcontext(db) as database_path:
            report = run_with_database(database_path, work, migrate=True, bulk=True)
    except FolderError as exc:
        raise usage_error(str(exc)) from exc
    _print_report(report, dry_run=dry_run)
    if report.skipped:
        raise CommandError(f"skipped {report.skipped} records; the messages above give their paths and lines")


def run_export(folder: Path, db: str) -> None:
    """Export a database to a folder, and print a summary.

    Raises:
        CommandError: The folder is not empty, or cannot be written to.
    """
    from ..server.exchange.exporting import export_folder
    from ..server.exchange.reading import FolderError

    async def work(database: Database) -> Mapping[str, int]:
        with _progress() as progress:
            return await export_folder(database, folder, progress=progress)

    try:
        counts = run_with_database(db, work)
    except FolderError as exc:
        raise usage_error(str(exc)) from exc
    except OSError as exc:
        raise CommandError(f"cannot write {exc.filename or folder}: {exc.strerror or exc}") from exc
    width = max(map(len, counts), default=0)
    for kind, number in counts.items():
        print(f"{kind:{width}}  {number:>10}")


def _print_report(report: Report, *, dry_run: bool) -> None:
    imported = "to import" if dry_run else "imported"
    rows = [("", "found", imported, "present", "skipped")]
    rows += [
        (kind, str(counts.found), str(counts.imported), str(counts.present), str(counts.skipped.total()))
        for kind, counts in report.kinds.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for (kind, *numbers), counts in zip(rows, [None, *report.kinds.values()], strict=True):
        cells = [f"{number:>{width}}" for number, width in zip(numbers, widths[1:], strict=True)]
        reasons = ", ".join(f"{reason} ({number})" for reason, number in counts.skipped.items()) if counts else ""
        print("  ".join([f"{kind:{widths[0]}}", *cells, reasons]).rstrip())
    if report.renamed:
        print(f"renamed projects: {report.renamed}")
    if lost := {kind: number for kind, number in report.lost.items() if number}:
        print("not kept, because v4 has no place for them:")
        for kind, number in sorted(lost.items()):
            print(f"  {kind}: {number}")
    if report.environments and report.environments[0] != "production":
        print(f"default environment: humanloop-async serve --environment {shlex.quote(report.environments[0])}")


@contextmanager
def _scratch_database(db: str) -> Generator[str]:
    """Replace a SQLite file that does not exist by a temporary one, so that a dry run does not create it."""
    if "://" in db or Path(db).exists():
        yield db
        return
    with TemporaryDirectory() as folder:
        yield str(Path(folder) / "humanloop.db")


@contextmanager
def _progress() -> Generator[Callable[[int, int], None]]:
    """Show a progress bar on a terminal; the context is the function that updates it."""
    if not is_terminal(sys.stderr):
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    with Progress(
        BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
