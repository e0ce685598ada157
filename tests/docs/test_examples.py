"""The examples run, at a reduced size, and show what they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
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


def agrees(printed: str) -> bool:
    """Whether check_gradient was printed, with errors below its own limit."""
    checks = re.findall(r"differences \S+ ± (\S+) relative error (\S+)", printed.replace(",", ""))
    return bool(checks) and all(float(error) < 1e-5 for _, error in checks)


def is_picture(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000


def test_each_example_is_in_the_gallery_and_in_the_index() -> None:
    names = sorted(path.stem for path in EXAMPLES.glob("*.py"))
    makefile, index = (ROOT / "Makefile").read_text("utf-8"), (EXAMPLES / "README.md").read_text("utf-8")
    listed = re.search(r"for name in ([^;]+);", makefile)
    assert listed
    assert sorted(listed[1].replace("\\", "").split()) == names
    for name in names:
        assert f"[{name}.py]({name}.py)" in index
        assert f"../docs/images/{name}.png" in index
        assert is_picture(ROOT / "docs" / "images" / f"{name}.png")
        assert (ROOT / "docs" / "images" / f"{name}.png").stat().st_size < 150_000
        assert f"def test_{name}(" in Path(__file__).read_text("utf-8")


def test_first_gradient(tmp_path: Path) -> None:
    assert len((EXAMPLES / "first_gradient.py").read_text("utf-8").splitlines()) < 30
    assert agrees(run("first_gradient.py", tmp_path))
    assert is_picture(tmp_path / "first_gradient.png")


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


def test_advection_diffusion(tmp_path: Path) -> None:
    printed = run("advection_diffusion.py", tmp_path, "--grid", "24", "--steps", "4")
    assert "576 unknowns" in printed
    assert agrees(printed)
    rest, vortex, best = (found(rf"{name} *: NUMBER/h", printed) for name in ("at rest", "one vortex", "best flow"))
    assert rest > vortex > 1 > 0 > best
    assert is_picture(tmp_path / "advection_diffusion.png")


def test_plate(tmp_path: Path) -> None:
    printed = run("plate.py", tmp_path, "--elements", "4", "--steps", "4")
    assert agrees(printed)
    assert found("Mass NUMBER g", printed) == found("at the start NUMBER g", printed)
    # Leissa (1969) for a uniform one, 1.5 times as long as wide: 2πf₁ = 3.477 √(D/ρt) / length², so f₁ = 28.87 Hz.
    before = [float(f) for f in re.findall(r"\d+\.\d", printed.split("before:")[1].split("after:")[0])]
    assert abs(before[0] / 28.87 - 1) < 0.03
    after = [float(f) for f in re.findall(r"\d+\.\d", printed.split("after:")[1])]
    assert min(abs(f - 100) for f in after) > 30 > 10 > min(abs(f - 100) for f in before)
    assert is_picture(tmp_path / "plate.png")


def test_photonic_crystal(tmp_path: Path) -> None:
    printed = run("photonic_crystal.py", tmp_path, "--grid", "12", "--steps", "4")
    assert agrees(printed)
    assert re.search("before: .* no gap", printed)
    assert found("after: .* gap NUMBER%", printed) > 5
    assert is_picture(tmp_path / "photonic_crystal.png")


def test_band_gap(tmp_path: Path) -> None:
    printed = run("band_gap.py", tmp_path, "--grid", "8", "--points", "2")
    assert agrees(printed)
    assert found("krylov_adj's and the program's agree to NUMBER", printed) < 1e-8
    for pair in ("1–2", "3–4"):
        assert (
            found(rf"TM {pair} before, .*: NUMBER %", printed)
            < 0
            < 30
            < found(rf"TM {pair} after, .*: NUMBER %", printed)
        )
    assert is_picture(tmp_path / "band_gap.png")


def test_spectral_clustering(tmp_path: Path) -> None:
    printed = run("spectral_clustering.py", tmp_path, "--tracks", "3", "--steps", "5")
    assert agrees(printed)
    assert found("after 5 steps NUMBER. θ", printed) < found("Loss NUMBER, after", printed) / 5
    assert found("group, after NUMBER%", printed) > 90 > 75 > found("new events: NUMBER%", printed)
    assert is_picture(tmp_path / "spectral_clustering.png")


def test_exceptional_point(tmp_path: Path) -> None:
    printed = run("exceptional_point.py", tmp_path, "--points", "24", "--path", "12")
    assert agrees(printed)
    assert found("NUMBER Newton steps", printed) <= 8
    assert found("least weight NUMBER, 0 steps unsure", printed) > 0.9
    assert printed.count(": True") == 2
    assert is_picture(tmp_path / "exceptional_point.png")


def test_strongest_column(tmp_path: Path) -> None:
    printed = run("strongest_column.py", tmp_path, "--elements", "24", "--solves", "40")
    assert agrees(printed)
    rows = {
        name: float(best) for name, best in re.findall(r"^(\S+) .* +\d+ +(\d+\.\d+) +\d+\.\d+ ", printed, re.MULTILINE)
    }
    assert rows["proximal"] > max(rows["plain"], rows["soft"])
    # Olhoff & Rasmussen (1977); elements of 1/24 carry 0.2 % more.
    assert abs(found("λ = NUMBER,", printed) / 52.3563 - 1) < 3e-3
    assert is_picture(tmp_path / "strongest_column.png")


def test_own_eigenpairs(tmp_path: Path) -> None:
    printed = run("own_eigenpairs.py", tmp_path, "--grid", "12")
    assert "2592 unknowns" in printed
    assert agrees(printed)
    derivative = found("derivative NUMBER,", printed)
    assert abs(found(r"d⟨z⟩/dF = NUMBER nm", printed) - derivative) < 1e-3  # the gradient, summed over the field
    preconditioned = found("adjoint with multigrid: NUMBER applications of H by gmres", printed)
    assert preconditioned < found("adjoint without: NUMBER applications of H by minres", printed) / 2
    assert is_picture(tmp_path / "own_eigenpairs.png")


def test_what_goes_wrong(tmp_path: Path) -> None:
    printed = run("what_goes_wrong.py", tmp_path, "--grid", "12")
    for name in ("DegeneracyWarning", "GaugeWarning", "DefectiveEigenvalueError", "AdjointNoConvergence"):
        assert printed.count(f"    {name}: ") == 1
    assert "No objection" not in printed
    assert agrees(printed)
    assert printed.count("relative error") == 4
    assert is_picture(tmp_path / "what_goes_wrong.png")
