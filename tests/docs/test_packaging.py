"""What stands in several files agrees: versions, commands, supported Pythons."""

import re
import sys
from pathlib import Path

import pytest

import krylov_adj as ka

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "guides").glob("*.md")]


def padded(version: str) -> tuple[int, ...]:
    parts = [int(part) for part in version.split(".")]
    return (*parts, *(0,) * (3 - len(parts)))


def test_the_oldest_versions_are_the_ones_admitted() -> None:
    admitted = dict(re.findall(r'"(numpy|scipy|autograd)>=([\d.]+)"', PYPROJECT))
    pinned = dict(re.findall(r"^(\w+)==([\d.]+)$", (ROOT / ".ci" / "oldest.txt").read_text(), flags=re.MULTILINE))
    assert admitted.keys() == {"numpy", "scipy", "autograd"}
    assert {name: padded(v) for name, v in admitted.items()} == {name: padded(pinned[name]) for name in admitted}
    assert "constraints: .ci/oldest.txt" in WORKFLOW


def test_every_supported_python_is_tried() -> None:
    supported = re.findall(r"Programming Language :: Python :: (3\.\d+)", PYPROJECT)
    assert set(supported) == set(re.findall(r'python(?:-version)?: "(3\.\d+)"', WORKFLOW))
    assert f'requires-python = ">={supported[0]}"' in PYPROJECT
    assert supported == sorted(supported, key=padded)
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in supported


def test_the_version_stands_in_one_place() -> None:
    files = [ROOT / name for name in ("pyproject.toml", "CITATION.cff", "README.md", "Makefile", "docs/conf.py")]
    assert [file.name for file in files if ka.__version__ in file.read_text(encoding="utf-8")] == []
    assert 'version = { attr = "krylov_adj._version.__version__" }' in PYPROJECT


def test_every_make_command_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE))
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    configured = WORKFLOW, (ROOT / ".pre-commit-config.yaml").read_text(), (ROOT / ".ci" / "run").read_text()
    named = set(re.findall(r"^make (\w+)|`make (\w+)", "\n".join(texts), flags=re.MULTILINE))
    named |= set(re.findall(r"entry: make --silent (\w+)()", configured[1]))
    assert {a or b for a, b in named} <= targets
    assert {"demo", "test", "docs"} <= {a or b for a, b in named}
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == targets


@pytest.mark.parametrize("script", ["run", "matrix", "try-dist"])
def test_scripts_can_be_run(script: str) -> None:
    path = ROOT / ".ci" / script
    assert path.stat().st_mode & 0o111
    assert "set -euo pipefail" in path.read_text(encoding="utf-8")
