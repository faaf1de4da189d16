"""Configuration of the documentation: ``sphinx-build -W docs docs/_build``. It needs no network."""

from datetime import UTC, datetime

from humanloop_async import __version__

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
    "inherited-members": "Exception,Struct,list,object",
    "exclude-members": "add_note, with_traceback",
}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

linkcheck_anchors = False
