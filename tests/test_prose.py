"""Plain English: no docstring, comment, string or document uses the phrases of an earlier, private dialect.

`PHRASES` lists them, each with a plain substitute. To see what is left in the files that are exempt, run::

    pytest -rP tests/test_prose.py
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = ["humanloop_async", "tests", "benchmarks", "docs", "examples", "scripts", ".ci", ".github"]
NOT_OURS = {".venvs", "vendor"}
SUFFIXES = {".md", ".mjs", ".py", ".rst", ".sh", ".toml", ".yaml", ".yml"}

# The files and folders with a "D" line in pyproject.toml are skipped. When you rewrite one, remove its line; when you
# rewrite a part of a folder, replace the folder's line by lines for the parts that remain.
_RUFF = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
NOT_YET_CLEAN = [
    ROOT / name.removesuffix("/*") for name, ignored in _RUFF.get("per-file-ignores", {}).items() if "D" in ignored
]

PHRASES = {
    r"anew": "again",
    r"as one (likes|wishes)": "as configured",
    r"be had": "be available",
    r"by (itself|themselves)": "name the actor, or leave it out",
    r"do(es)? no harm": "has no effect",
    r"fares? better": "succeed",
    r"for ever": "forever, or without a limit",
    r"(go|goes|going|went|gone) on (to|with)": "continue",
    r"for good(?! (reason|measure))": "permanently",
    r"(heard|hears?) of": "learn, receive",
    r"in (its|their|other|so many) words": "as text",
    r"in the words of": "with the message of",
    r"(is|are) none of": "is not part of",
    r"(is|are|was|were|been|being|be) told": "name the actor: X sends, X reports",
    r"(its|their) kin": "the others, by name",
    r"lets? in": "accept",
    r"likewise": "also, or repeat the verb",
    r"meanwhile": "while X runs",
    r"no further use": "cannot be used again",
    r"nothing of": "none of the X, no X",
    r"of (its|their|one's|your|our|his|her|my) own": "separate, custom, your",
    r"(?<!connection )(?<!connection is )(?<![\"'`._])refus(e|es|ed|ing|als)": "reject, fail, decline",
    r"(?<!as )say(s|ing)? so|said so": "sets it, reports it",
    r"see to": "manage",
    r"shall": "must, will",
    r"somebody": "name the actor",
    r"tells? (of|apart)|told (of|so|apart)": "report, distinguish",
    r"that (is|are|was|were) to": "which will, which should",
    r"the whole of": "the whole X",
    r"to who": "to the X that",
    r"what (came|arrived|(has|have|had) (come|arrived))": "the X received",
    r"(by|for|from|of|with) who(?!m)": "the X that",
    r"whoever": "the X that",
    r"whose word": "which server reported it",
}
"""Regular expressions, each between word boundaries and in any case, with a plain substitute."""

NOT_A_VERB = {
    *("A", "All", "An", "Another", "As", "Both", "By", "Each", "Every", "For", "From", "How", "In", "It", "Its"),
    *("Many", "No", "Nobody", "None", "Nothing", "Of", "One", "Seconds", "Some", "Something", "Such", "That", "The"),
    *("There", "These", "They", "This", "Those", "To", "Two", "What", "Where", "Whether", "Which", "Who", "Why"),
}
"""First words of noun phrases. Ruff's D401 knows only some of them."""

_BANNED = [(re.compile(rf"(?<!\w)(?:{phrase})(?!\w)", re.IGNORECASE), instead) for phrase, instead in PHRASES.items()]
# Python 3.12 splits an f-string into tokens.
_START, _MIDDLE, _END = (getattr(tokenize, f"FSTRING_{part}", None) for part in ("START", "MIDDLE", "END"))
_LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, _START, _END}


def documents(*, clean: bool) -> Iterator[Path]:
    """Yield the files to check: those that are expected to be clean, or those that are exempt."""
    files = [*ROOT.glob("*.md"), ROOT / "pyproject.toml"]
    for source in SOURCES:
        files += (path for path in (ROOT / source).rglob("*") if path.is_file() and not NOT_OURS & {*path.parts})
    for path in sorted(files):
        exempt = any(map(path.is_relative_to, NOT_YET_CLEAN))
        if (path.suffix in SUFFIXES or path.parent.name == ".ci") and path != Path(__file__) and exempt != clean:
            yield path


def prose(path: Path) -> str:
    """Return the text of a document, or a module's comments and strings, with every run of white space as one space."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        pieces: list[str] = []
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                pieces.append(token.string.lstrip("#"))
            elif token.type == tokenize.STRING:
                pieces.append(re.sub(r"^[a-zA-Z]*([\"']+)|[\"']+$", "", token.string))
            elif token.type == _MIDDLE:
                pieces.append(token.string)
            elif token.type not in _LAYOUT:
                pieces.append("\0")  # code: what stands before and after it is not one sentence
        text = " ".join(pieces)
    return " ".join(text.split())


def findings(path: Path) -> list[str]:
    """List the uses of banned phrases in one file, each with its context."""
    text = prose(path)
    return [
        f"{path.relative_to(ROOT)}: ...{text[max(0, found.start() - 40) : found.end() + 30]}... (write: {instead})"
        for phrase, instead in _BANNED
        for found in phrase.finditer(text)
    ]


def noun_docstrings(path: Path) -> list[str]:
    """List the functions of a module whose docstring begins with a noun phrase; tests, properties and fixtures may."""
    return [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {docstring.partition(chr(10))[0]}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (docstring := ast.get_docstring(node))
        if docstring.split()[0].rstrip(",") in NOT_A_VERB and not node.name.startswith("test")
        if not any(re.search("property|fixture", ast.unparse(decorator)) for decorator in node.decorator_list)
    ]


def test_no_banned_phrases() -> None:
    assert [finding for path in documents(clean=True) for finding in findings(path)] == []


def test_function_docstrings_start_with_a_verb() -> None:
    modules = (path for path in documents(clean=True) if path.suffix == ".py")
    assert [docstring for path in modules for docstring in noun_docstrings(path)] == []


def test_print_what_is_not_clean_yet() -> None:
    for path in documents(clean=False):
        phrases = findings(path)
        docstrings = noun_docstrings(path) if path.suffix == ".py" else []
        if phrases or docstrings:
            print(f"{path.relative_to(ROOT)}: {len(phrases)} phrases, {len(docstrings)} docstrings")


def test_phrases_are_found(tmp_path: Path) -> None:
    """The search works: in comments over several lines, joined strings and f-strings, but not in code."""
    path = tmp_path / "module.py"
    path.write_text(
        '# one\n# of its\n# own\ntext = (\n    "for "\n    f"ever {text}"\n)\nmeanwhile = shall\n"""Likewise."""\n'
    )
    text = prose(path)
    assert [instead for phrase, instead in _BANNED if phrase.search(text)] == [
        PHRASES["for ever"],
        PHRASES["likewise"],
        PHRASES["of (its|their|one's|your|our|his|her|my) own"],
    ]
