"""The examples run, at a reduced size, and show what they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
NUMBER = r"([-+\d.e]+)"


def run(name: str, folder: Path, *arguments: str) -> str:
    """What the example prints; its warnings are errors here, as they are in the tests."""
    finished = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=folder,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    assert "Warning" not in finished.stderr
    return finished.stdout


def found(pattern: str, text: str) -> float:
    match = re.search(pattern.replace("NUMBER", NUMBER), text)
    assert match, f"{pattern!r} not in:\n{text}"
    return float(match[1])


def test_quantum_well(tmp_path: Path) -> None:
    printed = run("quantum_well.py", tmp_path, "--grid", "40", "--steps", "3", "--output", "well.png")
    assert "1600 unknowns" in printed
    assert found(r"differences \S+ ± \S+ relative error NUMBER", printed) < 1e-6
    assert found("after NUMBER steps", printed) == 3
    assert found("Loss NUMBER", printed) < 2  # about 10 at the start
    assert found("forward: largest relative residual NUMBER", printed) < 1e-7
    assert 0 < found("adjoint: largest relative residual NUMBER", printed) <= 1e-10
    assert found(r"adjoint: .* NUMBER applications", printed) > 0
    picture = (tmp_path / "well.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


def test_hear_the_string(tmp_path: Path) -> None:
    printed = run("hear_the_string.py", tmp_path, "--points", "250", "--output", "string.png")
    assert found(r"gradient: .* relative error NUMBER", printed) < 1e-6
    assert found(r"Hessian: .* relative error NUMBER", printed) < 1e-6
    rows = [line.split() for line in printed.splitlines() if re.match(r" +\d+  \d", line)]
    assert found("NUMBER Newton steps", printed) == len(rows) - 1 < 10
    assert float(rows[-1][3]) < 1e-10 * float(rows[0][3])  # gradient
    assert float(rows[-1][1]) < 1e-16 * float(rows[0][1])  # loss
    assert found("NUMBER linear systems per tone and product", printed) <= 3
    assert found("Density off by at most NUMBER,", printed) < 0.1
    assert (tmp_path / "string.png").read_bytes().startswith(b"\x89PNG")


def test_damped_structure(tmp_path: Path) -> None:
    printed = run("damped_structure.py", tmp_path, "--points", "40", "--steps", "3", "--output", "tower.png")
    assert found(r"differences \S+ ± \S+ relative error NUMBER", printed) < 1e-6
    assert found("NUMBER steps", printed) <= 3
    assert found("Total damping NUMBER, then", printed) == found(r"then (\S+)\.\n", printed)
    assert found("to NUMBER, with", printed) > 1.5 * found("The smallest went from NUMBER", printed)
    assert (tmp_path / "tower.png").read_bytes().startswith(b"\x89PNG")
