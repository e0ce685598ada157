"""Sphinx: `make docs` builds docs/_build/html; warnings are errors."""

import re

from krylov_adj import __version__

project = "krylov_adj"
author = "the krylov_adj developers"
copyright = author
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"krylov_adj {release}"

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

# Docstrings are numpydoc with one section of our own. A name in single backquotes is a reference to it.
napoleon_google_docstring = False
napoleon_custom_sections = ["Derivative"]
napoleon_use_rtype = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [
    ("py:class", ".*"),  # types of parameters are prose: "array, shape (n,)"
    ("py:(obj|exc)", r"(scipy|numpy|autograd)\..*"),  # not built here
]


def from_docs(app, path, parent, content):
    """The links of an included page, as they read from here."""
    if parent == "gallery":
        content[0] = re.sub(r"\]\(([\w/]+\.py)\)", r"](../examples/\1)", content[0])


def setup(app):
    app.connect("include-read", from_docs)
