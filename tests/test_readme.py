"""The README's Python runs as it stands, without warnings, and what it links to is there."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")


def blocks() -> Iterator[Any]:
    """Every ```python block, behind as many blank lines as keep the README's line numbers in tracebacks."""
    for match in re.finditer(r"^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL):
        line = TEXT.count("\n", 0, match.start(1))
        yield pytest.param("\n" * line + match[1], id=f"line {line}")


BLOCKS = list(blocks())


def test_readme_has_an_example() -> None:
    assert BLOCKS


@pytest.mark.parametrize("source", BLOCKS)
def test_example_runs(source: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(source, str(README), "exec"), {"__name__": "__main__"})


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", TEXT)
    local = [target for target in targets if "://" not in target]
    assert local
    assert [target for target in local if not (README.parent / target).exists()] == []
