"""Configuration of the documentation: ``sphinx-build -W docs docs/_build``. It needs no network."""

import re
from datetime import UTC, datetime

from sphinx.application import Sphinx

import humanloop_async
from humanloop_async import AsyncHumanloop, __version__

project = "humanloop_async"
release = version = __version__
project_copyright = f"{datetime.now(UTC):%Y}, the authors of humanloop_async"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "examples"]

html_theme = "furo"
html_title = f"Humanloop Async {__version__}"
html_show_sphinx = False

myst_heading_anchors = 3
myst_links_external_new_tab = False

# The docstrings use Python's own style: `name` for a name, ``code`` for code, Google sections.
default_role = "py:obj"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_default_options = {
    "members": True,
    "inherited-members": "Exception,Struct,dict,list,object",
    "exclude-members": "add_note, with_traceback",
}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

linkcheck_anchors = False


def fill_reference(app: Sphinx, docname: str, content: list[str]) -> None:
    """List the client's resources and all public types that the page of the reference does not name."""
    if docname != "reference":
        return
    (text,) = content
    resources = [type(value) for name, value in vars(AsyncHumanloop()).items() if not name.startswith("_")]
    named = set(re.findall(r":: humanloop_async\.(\w+)$", text, re.MULTILINE)) | {"__version__"}
    others = sorted(set(humanloop_async.__all__) - named)
    types = [name for name in others if isinstance(getattr(humanloop_async, name), type)]
    lists = {
        "RESOURCES": "\n".join(f".. autoclass:: {kind.__module__}.{kind.__qualname__}" for kind in resources),
        "TYPES": "\n".join(f".. autoclass:: humanloop_async.{name}" for name in types),
        "ALIASES": ", ".join(f"`{name}`" for name in others if name not in types),
    }
    content[0] = re.sub("|".join(lists), lambda match: lists[match[0]], text)


def setup(app: Sphinx) -> None:
    """Connect the functions of this file to Sphinx."""
    app.connect("source-read", fill_reference)
