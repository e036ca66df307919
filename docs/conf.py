"""Sphinx configuration of the documentation; `make docs` builds it with warnings as errors."""

import subprocess
import sys
from importlib.metadata import version as version_of
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

project = "fakeflow"
author = "the fakeflow developers"
copyright = "the fakeflow developers"
version = release = version_of("fakeflow")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
smartquotes = False  # keeps the two dashes of options
html_math_renderer = "mathml"

default_role = "code"  # our docstrings write code in single backticks
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = "fakeflow"
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}


def write_command_pages(app: Sphinx) -> None:
    """Write one page for each command line from the commands themselves."""
    for command in ("pipeline", "segmentation"):
        page = Path(app.srcdir) / "reference" / f"{command}.md"
        docs = [sys.executable, "-m", "typer", f"{command}.commands", "utils", "docs", "--name", command]
        text = subprocess.run(docs, capture_output=True, text=True, check=True).stdout
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def escape_bars(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Escape the bars of |flow|, which reStructuredText takes for a substitution."""
    lines[:] = [line.replace("|", r"\|") for line in lines]


def inline_formula(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula in a line as MathML, which browsers show without a script."""
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def display_formula(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula of its own as MathML."""
    translator.body.append(f"<p>{convert(node.astext(), display='block')}</p>")
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Connect the steps above."""
    app.add_html_math_renderer("mathml", (inline_formula, None), (display_formula, None))
    app.connect("builder-inited", write_command_pages)
    app.connect("autodoc-process-docstring", escape_bars)
