"""Counts of an import or an export, by kind of record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, field


class Counts(Struct):
    """The records of one kind.

    Attributes:
        found: Number in the folder.
        imported: Number that was added to the database.
        present: Number that the database had already.
        skipped: Numbers that were not imported, by reason.
    """

    found: int = 0
    imported: int = 0
    present: int = 0
    skipped: Counter[str] = field(default_factory=Counter[str])


class Report(Struct):
    """The outcome of an import.

    Attributes:
        problem: Receives a message for each damaged or skipped record, and each warning.
        kinds: Counts by kind, in the order in which the kinds were first met.
        environments: Names of the environments in the export, the default one first.
        renamed: Number of projects whose name another project has.
        lost: Number of values that v4 has no place for, by kind.
    """

    problem: Callable[[str], None]
    kinds: dict[str, Counts] = {}
    environments: list[str] = []
    renamed: int = 0
    lost: Counter[str] = field(default_factory=Counter[str])

    def __getitem__(self, kind: str) -> Counts:
        if (counts := self.kinds.get(kind)) is None:
            counts = self.kinds[kind] = Counts()
        return counts

    @property
    def skipped(self) -> int:
        """Number of all records that were not imported."""
        return sum(counts.skipped.total() for counts in self.kinds.values())

    def found(self, kind: str, number: int = 1) -> None:
        self[kind].found += number

    def imported(self, kind: str, number: int = 1) -> None:
        self[kind].imported += number

    def present(self, kind: str, number: int = 1) -> None:
        self[kind].present += number

    def skip(self, kind: str, where: str, reason: str, detail: str = "") -> None:
        """Count a record that is not imported, and report it.

        Args:
            kind: Kind of the record.
            where: Path of its file, with the number of its line if it has one.
            reason: Reason, the same for all such records.
            detail: Further part of the message.
        """
        self[kind].skipped[reason] += 1
        self.problem(f"{where}: {reason}{f': {detail}' if detail else ''}")

    def unreadable(self, path: Path, reason: str) -> None:
        """Count and report an entry of a folder that is not read."""
        self.found("files")
        self.skip("files", str(path), reason)

    def rename(self, where: str, name: str, new_name: str) -> None:
        """Count and report a project that gets another name."""
        self.renamed += 1
        self.problem(f"{where}: warning: another project is named {name!r:.100}; this one becomes {new_name!r:.200}")


def place(path: Path, line: int | None = None) -> str:
    """Return the path of a record, and its line, for a message."""
    return str(path) if line is None else f"{path}:{line}"
