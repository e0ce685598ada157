"""The example runs, at a reduced size, and shows what it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: make frontends")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "frameworks" / "fit_a_hamiltonian_torch.py"


@pytest.mark.slow
def test_fit_a_hamiltonian():
    finished = subprocess.run(
        [sys.executable, str(EXAMPLE), "--points", "120", "--steps", "60"],
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    assert "Warning" not in finished.stderr
    assert float(re.search(r"relative error (\S+) against", finished.stdout)[1]) < 1e-7
    first, last = re.search(r"loss (\S+) at first, (\S+) after", finished.stdout).groups()
    assert float(last) < 0.1 * float(first)
