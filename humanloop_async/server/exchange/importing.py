"""Import an export folder into a database: the order of the steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from ..storage.database import Database
from .datasets import Datasets
from .evaluations import Evaluations
from .evaluators import Evaluators
from .files import Files
from .judgments import Judgments
from .logs import Logs
from .reading import Damaged, decode, entries, find_export, lines, read_record
from .records import FileHead, FileType, Judgment
from .report import Report, place
from .tables import EXPORTED, OF_LOGS, TableImport
from .target import Target
from .versions import type_of

JUDGMENTS_AT_ONCE = 500
"""Judgments in one transaction."""

_ORDER = {"flow": 1, "agent": 1, "evaluator": 2}
_judgments = msgspec.json.Decoder(Judgment)


async def import_folder(
    database: Database,
    folder: Path,
    report: Report,
    *,
    dry_run: bool = False,
    progress: Callable[[int, int], None] = lambda read, total: None,
) -> None:
    """Import an export of Humanloop or of this program. Records that the database has already stay as they are.

    Every step is a short transaction and can be repeated, so that an import can be interrupted at any point and run
    again, and a server can use the database at the same time.

    Args:
        database: The database.
        folder: The folder of an export; see `find_export`.
        report: Receives the counts and the problems.
        dry_run: Count the changes without making them.
        progress: Called with the number of bytes that have been read, and the number of all.

    Raises:
        FolderError: The folder is not an export.
    """
    target = Target(database, dry_run=dry_run)
    try:
        await _Import(target, find_export(folder), report, progress).run()
        await database.checkpoint()
    finally:
        target.close()


class _Import:
    def __init__(self, target: Target, root: Path, report: Report, progress: Callable[[int, int], None]) -> None:
        self._target, self._root, self._report, self._progress = target, root, report, progress
        self._tables = root / "tables"
        self._folders = [path for path in entries(root / "files", report.unreadable) if path.is_dir()]
        self._read, self._total = 0, sum(map(_size, [*self._folders, self._tables]))

    async def run(self) -> None:
        for folder in self._folders:
            if not (folder / ".done").exists():
                self._report.problem(f"{folder}: warning: the export of this file was cut; its data may be incomplete")
        if self._tables.is_dir():
            await self._own()
        else:
            await self._of_humanloop()

    async def _own(self) -> None:
        """Import an export of this program."""
        tables = TableImport(self._target, self._report, self._tables)
        await tables.add([table for table in EXPORTED if table not in OF_LOGS], self._advance)
        logs = Logs(self._target, self._report, Files(self._target, self._report), None)
        try:
            for folder in self._folders:
                for path in entries(folder / "logs", self._report.unreadable):
                    await logs.add_file(path, self._advance)
            await logs.finish()
        finally:
            await logs.aclose()
        await tables.add(OF_LOGS, self._advance)

    async def _of_humanloop(self) -> None:
        """Import an export of Humanloop's tool."""
        files, evaluators = Files(self._target, self._report), Evaluators(self._target, self._report)
        datasets = Datasets(self._target, self._report)
        judgments = Judgments(self._target, self._report, evaluators)
        kinds = {folder: self._kind(folder) for folder in self._folders}
        # Datasets come last: they may create the project of a folder, whose name a prompt may have, too.
        for folder, kind in sorted(kinds.items(), key=lambda item: item[1] == "dataset"):
            match kind:
                case "dataset":
                    await datasets.add(folder, self._advance)
                case "evaluator":
                    await evaluators.add(folder)
                case _:
                    await files.add(folder)
        # Logs inside the logs of flows are usually in files of their prompts, which come first.
        with_logs = sorted(self._folders, key=lambda folder: (_ORDER.get(kinds[folder], 0), folder.name))
        logs = Logs(self._target, self._report, files, judgments)
        evaluations = Evaluations(self._target, self._report, datasets, evaluators, logs, judgments)
        try:
            for folder in with_logs:
                for path in entries(folder / "logs", self._report.unreadable):
                    if kinds[folder] == "evaluator":
                        await logs.flush()
                        await self._add_judgments(judgments, path)
                    else:
                        await logs.add_file(path, self._advance)
            for folder in self._folders:
                for path in entries(folder / "evaluations", self._report.unreadable):
                    await evaluations.add(path, self._advance)
            await logs.finish()
        finally:
            await logs.aclose()

    async def _add_judgments(self, judgments: Judgments, path: Path) -> None:
        """Import the logs of an evaluator: judgments on logs that were imported before."""
        for number, line in lines(path):
            where = place(path, number)
            try:
                if isinstance(line, Damaged):
                    raise line
                judgment = decode(line, _judgments)
                if judgment.parent_id is None:
                    raise Damaged("the judgment is about no log")
            except Damaged as exc:
                self._report.found("results")
                self._report.skip("results", where, "damaged", str(exc))
                continue
            self._advance(len(line) + 1)
            judgments.add(judgment, judgment.parent_id, where)
            if number % JUDGMENTS_AT_ONCE == 0:
                await judgments.store(judgments.take())
        await judgments.store(judgments.take())

    def _kind(self, folder: Path) -> FileType:
        try:
            head = read_record(folder / "file.json", FileHead)
        except Damaged:
            return type_of(folder.name, None)
        return type_of(head.id, head.type)

    def _advance(self, size: int) -> None:
        self._read += size
        self._progress(self._read, self._total)


def _size(folder: Path) -> int:
    """Return the size of the JSON lines files below a folder, in bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*.jsonl") if path.is_file())
