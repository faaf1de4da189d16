"""The documents agree with the program: examples run, tables hold the recorded figures, links lead somewhere."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from humanloop_async import AsyncHumanloop
from humanloop_async.server import ServerSettings
from humanloop_async.server.providers import network, settings
from humanloop_async.wire.operations import OPERATIONS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md"])
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"<!-- run -->\n```python\n(.*?)```", README, re.DOTALL)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_of_the_readme_runs_without_a_warning(example: str) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", example], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_readme_has_an_example_and_stays_short() -> None:
    assert EXAMPLES
    assert len(README.splitlines()) <= 100


@cache
def recorded_figures() -> list[str]:
    """Render the recorded figures as paragraphs of Markdown."""
    command = [sys.executable, "-m", "benchmarks", "render", "benchmarks/results.json", "--summary"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=True)
    return [part.strip() for part in done.stdout.split("\n\n") if part.strip()]


def table(markdown: str) -> dict[tuple[str, str], str]:
    """Read a Markdown table: the cell of each row's name and column's heading."""
    heads, _, *rows = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in markdown.splitlines()]
    return {(row[0], head): cell for row in rows for head, cell in zip(heads[1:], row[1:], strict=False)}


def test_the_page_of_benchmarks_has_all_recorded_figures() -> None:
    """After a new measurement, copy the output of `python -m benchmarks render benchmarks/results.json --summary`."""
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for part in recorded_figures():
        assert part in page


def test_the_figures_of_the_readme_are_the_recorded_ones() -> None:
    (selection,) = re.findall(r"(?:^\|.*\n)+", README, re.MULTILINE)
    recorded = table(recorded_figures()[0])
    chosen = table(selection)
    assert chosen == {place: recorded.get(place, "not recorded") for place in chosen}


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(document: Path) -> None:
    text = FENCED.sub("", document.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path) if path else document
        assert file.exists(), target
        if anchor:
            content = file.read_text(encoding="utf-8")
            for included in re.findall(r"^```{include} (\S+)$", content, re.MULTILINE):
                content += (file.parent / included).read_text(encoding="utf-8")
            assert anchor in anchors(content), target


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_a_document_names_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    quoted = re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?)`", FENCED.sub("", text))
    drawn = re.findall(r"(?<!\S)\w+(?:/\w+)*/(?:\w+\.py)?(?!\S)", "".join(FENCED.findall(text)))
    assert quoted
    for path in [*quoted, *drawn]:
        places = [ROOT / path, ROOT / "humanloop_async" / path, ROOT / "humanloop_async" / "server" / path]
        assert any(place.exists() for place in places), path


def test_names_in_the_architecture_exist() -> None:
    """Classes, functions and attributes in back quotes or drawings, such as `Mux.feed` or `wake_and_flush`."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    text = text[: text.index("## Private attributes")]
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "humanloop_async").rglob("*.py"))
    defined = set(re.findall(r"\w+", source))
    shown = [*re.findall(r"`([^`\n]+)`", FENCED.sub("", text)), *FENCED.findall(text)]
    names = {name for part in shown for name in re.findall(r"\w+", part) if re.search(r"[a-z]_[a-z]|[a-z][A-Z]", name)}
    assert names - defined - {"HUMANLOOP_DIRECT_WAKEUP", "humanloop_async", "test_imports"} == set()


def foreign_private_names() -> set[str]:
    """Return the private attributes that the package uses and does not define."""
    used: set[str] = set()
    defined: set[str] = set()
    for path in (ROOT / "humanloop_async").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    defined.add(name)
                case ast.AnnAssign(target=ast.Name(id=name)) | ast.Name(id=name, ctx=ast.Store()):
                    defined.add(name)
                case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                    defined.add(name)
                case ast.Attribute(attr=name):
                    used.add(name)
                case ast.Call(func=ast.Name(id="getattr" | "hasattr"), args=[_, ast.Constant(value=str(name)), *_]):
                    used.add(name)
                case _:
                    pass
    return {name for name in used - defined if name.startswith("_") and not name.endswith("__")}


def test_the_ledger_has_the_private_attributes_of_other_libraries() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    ledger = page[page.index("## Private attributes") :]
    documented = {"_exit", "_getframe", "_Hash", "_mapping"}  # by the os and sys modules, typeshed and SQLAlchemy
    assert {name for name in foreign_private_names() - documented if f"{name}`" not in ledger} == set()


def test_the_table_of_compatibility_is_that_of_the_operations() -> None:
    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z]+) (/\S+)` \| `([\w.]+)` \|$", page, re.MULTILINE)
    served = {(method, path) for method, path, _ in rows}
    assert served == {(operation.method, operation.path) for operation in OPERATIONS}
    client = AsyncHumanloop()
    for _, _, name in rows:
        target: object = client
        for part in name.split("."):
            target = getattr(target, part)
        assert callable(target)
    count = f"{sum(not name.startswith('finetunes.') for *_, name in rows)} of the {len(rows)} operations"
    assert count in page
    assert count in README


def test_the_table_of_limits_has_the_defaults_of_the_settings() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|[^|]+\| ([\d,]+)(?: (\w+))? \| `(?:--)?([\w-]+)` \|", page, re.MULTILINE)
    units = {"": 1, "characters": 1, "s": 1, "h": 3600, "MiB": 1024 * 1024}
    shown = {name.replace("-", "_"): int(number.replace(",", "")) * units[unit] for number, unit, name in rows}
    for setting, option in (
        ("max_body_bytes", "max_body"),
        ("max_bodies_bytes", "max_bodies"),
        ("max_samples_bytes", "max_samples_size"),
    ):
        shown[setting] = shown.pop(option)
    assert len(shown) >= 8
    settings = ServerSettings()
    assert shown == {name: getattr(settings, name) for name in shown}


def test_the_threat_model_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "threat_model.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    existing = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(named) >= 35
    assert named - existing == set()


def test_the_page_of_providers_has_their_variables() -> None:
    page = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")
    source = "".join(inspect.getsource(module) for module in (settings, network))
    variables = set(re.findall(r'"((?:[A-Z]+_)+(?:KEY|URL|ENDPOINT|VERSION|PROXY|HOSTS|RETRIES))"', source))
    variables |= {f"HUMANLOOP_PROVIDER_<NAME>_{name}" for name in settings._FIELDS.split("|")}
    variables |= {variable for names in settings.KEY_VARIABLES.values() for variable in names}
    assert len(variables) >= 30
    assert sorted(variable for variable in variables if f"`{variable}`" not in page) == []
