"""The example runs, at a reduced size, and its gradient is right."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax")
pytest.importorskip("equinox")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "frameworks" / "learn_a_potential_jax.py"


def test_learn_a_potential():
    command = [sys.executable, "-W", "error", str(EXAMPLE), "--grid", "60", "--steps", "5"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    error = re.search(r"relative error (\S+)", done.stdout)
    losses = re.search(r"Loss (\S+), after 5 steps (\S+)\.\n", done.stdout)
    assert float(error[1]) < 1e-6
    assert float(losses[2]) < float(losses[1])
