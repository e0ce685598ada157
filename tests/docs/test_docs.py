"""The README and the pages of docs/: their Python runs, their links lead somewhere, their words agree."""

import doctest
import io
import re
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import krylov_adj as ka

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts),
    *sorted((ROOT / "examples").glob("*.md")),
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def named(pages: list[Path]) -> Any:
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(text: str) -> Iterator[tuple[int, str]]:
    """The line number and source of every ```python block."""
    for match in re.finditer(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, match.start(1)), match[1]


def run(text: str, name: str) -> None:
    """Run a page's blocks one after the other, in one namespace; those with >>> must print what they show."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for line, source in blocks(text):
        if not source.startswith(">>>"):
            exec(compile("\n" * line + source, name, "exec"), names)  # the page's line numbers in tracebacks
            continue
        test = doctest.DocTestParser().get_doctest(source, {}, name, name, line)
        test.globs = names
        printed: list[str] = []
        doctest.DocTestRunner(optionflags=FLAGS).run(test, out=printed.append, clear_globs=False)
        assert not printed, "".join(printed)


#: Pages about a framework that need not be installed.
FRAMEWORKS = {"jax.md": "jax"}


@named([page for page in PAGES if "```python" in read(page)])
def test_python_runs(page: Path) -> None:
    if page.name in FRAMEWORKS:
        pytest.importorskip(FRAMEWORKS[page.name])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(read(page), str(page))


def test_python_that_fails_is_noticed() -> None:
    run("```python\nx = 1\n```\n\n```python\n>>> print(x)\n1\n```\n", "right")
    with pytest.raises(AssertionError, match=r"Got:\n *1"):
        run("```python\n>>> print(1)\n2\n```\n", "wrong output")
    with pytest.raises(ZeroDivisionError):
        run("```python\n1 / 0\n```\n", "wrong block")


def test_there_is_something_to_run() -> None:
    assert {"README.md", "tutorial.md"} <= {page.name for page in PAGES if list(blocks(read(page)))}


@named(PAGES)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", read(page))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not page.parent.joinpath(target).exists()] == []


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = set(re.findall(r"^[\w/]+$", read(ROOT / "docs" / "index.md"), flags=re.MULTILINE))
    pages = {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in PAGES if ROOT / "docs" in page.parents}
    assert pages - listed == {"index"}


def test_every_public_name_is_in_the_reference() -> None:
    text = read(ROOT / "docs" / "api.md")
    assert "automodule:: krylov_adj.pde" in text
    missing = [name for name in ka.__all__ if not re.search(rf"(:: |\.)(\w+\.)*{name}\b", text)]
    assert missing == []  # add them to docs/api.md


# One spelling of each term, British where it matters. Names in code (`normalization=`, `optimize`) and titles are
# not words: they are taken out before the search.
TERMS = {
    r"eigen[- ]values?|eigen[- ]vectors?|eigen[- ]pairs?": "eigenvalue, eigenvector, eigenpair",
    r"right hand sides?|righthand|right-hand-sides?": "right-hand side",
    r"shift-and-invert|shift invert": "shift-invert",
    r"pre-condition\w*": "precondition",
    r"normaliz\w*|factoriz\w*|linearize\w*|discretiz\w*|optimiz\w*|generaliz\w*": "-ise, -isation",
    r"behavior\w*|neighbor\w*|color\w*|center(?:ed|s)?\b": "behaviour, neighbour, colour, centre",
    r"non-?hermitian|un-?symmetric": "not Hermitian, or non-Hermitian",
    r"matrix free": "matrix-free",
    r"back[- ]propagat\w*": "backward pass",
}
EXCEPTIONS = {"Non-Hermitian", "non-Hermitian"}


def prose(text: str) -> str:
    for code in (r"```.*?```", r"`[^`]*`", r"https?://\S+", r"\]\([^)]*\)"):
        text = re.sub(code, " ", text, flags=re.DOTALL)
    return text


def misspelt(text: str) -> list[str]:
    words = [match[0] for form in TERMS for match in re.finditer(form, text, flags=re.IGNORECASE)]
    return [word for word in words if word not in EXCEPTIONS]


@named(PAGES)
def test_terms_on_pages(page: Path) -> None:
    assert misspelt(prose(read(page))) == []


def comments_and_texts(source: str) -> Iterator[str]:
    """Comments and strings of more than two words, without names of arguments and what f-strings insert."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and len(token.string.split()) > 2):
            yield re.sub(r"\w+ ?[:=]|\{[^}]*\}", " ", token.string)


@pytest.mark.parametrize("folder", ["krylov_adj", "examples", "benchmarks"])
def test_terms_in_sources(folder: str) -> None:
    found = {}
    for source in sorted((ROOT / folder).rglob("*.py")):
        words = [word for text in comments_and_texts(read(source)) for word in misspelt(prose(text))]
        if words and source != Path(__file__).resolve():
            found[source.name] = words
    assert found == {}


def test_a_wrong_spelling_is_noticed() -> None:
    text = "The right hand side of an eigen-value problem, normalized; `normalization=` and the right-hand side stay."
    assert misspelt(prose(text)) == ["eigen-value", "right hand side", "normalized"]
