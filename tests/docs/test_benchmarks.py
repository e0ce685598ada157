"""Every benchmark runs, at a reduced size, and asserts the accuracy of its own rows on the way."""

import re

import adjoint_cost
import against_peers
import band_gap
import completeness
import membrane
import numpy as np
import pytest
import scaling
import search_cost
import subspace_cost
from against_peers import error, problems
from write_performance import BENCHMARKS, PAGE, PLACE, filled

from krylov_adj.perturbation import search as search_module


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def tables(printed):
    """The rows of Markdown tables."""
    return [cells(line) for line in printed.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("name", ["2-D, matrix-free", "3-D, sigma"])
def test_scaling(name, capsys):
    scaling.main(["--small", "--only", name])
    rows = [row for row in tables(capsys.readouterr().out) if row[0] == name]
    assert len(rows) == 3  # two sizes, and the exponents
    for row in rows[:2]:
        adjoint, forward = map(int, row[3].split("/"))
        assert 0 < adjoint < 2 * forward
        assert float(row[10]) < scaling.ACCURACY


def test_the_reference_of_scaling_is_that_of_differences():
    """The whole gradient from one-dimensional eigenproblems, against a dense solve of all of −∇² + V."""
    well = scaling.Well(2, 7)
    A, V = scaling.matrix(well).toarray(), well.potential()

    def value(V):
        return scaling.loss(well.n, np.linalg.eigh(A + np.diag(V))[1][:, : scaling.K])

    levels, gradient = well.reference()
    np.testing.assert_allclose(np.linalg.eigvalsh(A + np.diag(V))[: scaling.K], levels, rtol=1e-12)
    direction, h = np.random.default_rng(0).standard_normal(well.n), 1e-3
    expected = (value(V + h * direction) - value(V - h * direction)) / (2 * h)
    assert abs(gradient @ direction - expected) < 1e-6 * abs(expected)


def test_a_wrong_gradient_is_no_row_of_scaling(monkeypatch):
    monkeypatch.setattr(scaling, "ACCURACY", 1e-20)
    with pytest.raises(AssertionError):
        scaling.measure(scaling.Well(2, 12), "sigma", "gradient")


def test_peers(monkeypatch, capsys):
    """SciPy by hand, and autograd; other packages are left to those who have them."""
    installed = against_peers.PEERS
    monkeypatch.setattr(against_peers, "PEERS", {"autograd, dense": installed["autograd, dense"]})
    against_peers.main(["--small"])
    printed = capsys.readouterr().out
    rows = [row for row in tables(printed) if row[0] in ("eigenvalues", "eigenvectors")]
    ways = {row[3] for row in rows}
    assert {"krylov_adj", "Hellmann-Feynman", "bordered LU for every vector", "autograd, dense"} <= ways
    assert all(float(row[4]) < 1e-6 for row in rows), printed
    assert re.search(r"- autograd, dense, finite elements.*: NotThere: no generalised eigenproblem", printed)


@pytest.mark.parametrize("number", range(10))
def test_two_references_agree(number):
    """A sum over all eigenvectors, and refined bordered LUs, of every class and loss."""
    problem = problems(8, sparse=True)[number]
    assert error(problem.reference(), problem.dense_reference()) < 1e-8


def test_adjoint_cost(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["adjoint_cost.py", "--small"])
    adjoint_cost.main()
    assert "Schrödinger, sigma" in capsys.readouterr().out


def test_membrane(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["membrane.py", "--small"])
    membrane.main()
    assert "0 solves of the adjoint" in capsys.readouterr().out


def test_subspace_cost(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["subspace_cost.py", "--small"])
    subspace_cost.main()
    assert capsys.readouterr().out.count("| 0.00 (0) |") == 3  # Hermitian losses of H alone


def test_band_gap(capsys):
    band_gap.main(["--small", "--seeds", "1", "--solves", "12"])
    rows = tables(capsys.readouterr().out)
    assert [row[:2] for row in rows if row[0] in band_gap.METHODS] == [
        [name, start] for name in band_gap.METHODS for start in ("noise", "screened")
    ]
    gaps = {tuple(row[:2]): float(row[-1]) for row in rows if row[0] in band_gap.METHODS}
    assert gaps["linear programs", "screened"] == max(gaps.values()) > 30
    assert [float(row[2]) > 30 for row in rows if row[0] == "0"] == [True]
    band_gap.main(["--small", "--seeds", "1", "--solves", "6", "--only", "L-BFGS-B"])
    assert [row[0] for row in tables(capsys.readouterr().out)[1:]] == 2 * ["L-BFGS-B on single gradients"]
    with pytest.raises(SystemExit):
        band_gap.main(["--only", "simplex"])
    assert "the methods are linear programs, ascent" in capsys.readouterr().err


def test_completeness(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["completeness.py", "--small"])
    completeness.main()
    assert capsys.readouterr().out.count("| 0 of 2 |") >= 7


def test_search_cost(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["search_cost.py", "--small"])
    search_cost.main()
    rows = [row for row in tables(capsys.readouterr().out) if row[0] != "problem"]
    for *_, by, forward, _, search, share, state in rows:
        assert state in ("proved", "searched", "not settled")
        assert float(share) == pytest.approx(int(search) / int(forward), abs=0.01)
        assert int(search) <= max(search_module.STEPS, search_module.BUDGET * int(forward))
        assert state == "proved" or by == "ARPACK"


def test_tables_go_into_their_places():
    page = (
        "a\n<!-- python benchmarks/x.py --y -->\nold\n<!-- end -->\nb\n<!-- python benchmarks/z.py -->\n<!-- end -->\n"
    )
    renewed = filled(page, ["x.py --y"], lambda command: f"| {command} |\n")
    assert renewed == page.replace("old\n", "\n| x.py --y |\n\n")
    assert filled(filled(page, [], str), [], str) == filled(page, [], str)
    assert "```text\nz.py\n```" in filled(page, ["z.py"], str)  # no table
    with pytest.raises(SystemExit, match=r"w\.py: not in"):
        filled(page, ["w.py"], str)


def test_every_place_has_its_command_and_its_benchmark():
    text = PAGE.read_text(encoding="utf-8")
    commands = [match["command"] for match in PLACE.finditer(text)]
    assert len(commands) >= 5
    for command in commands:
        assert f"`python benchmarks/{command}`" in text
        assert (BENCHMARKS / command.split()[0]).exists()
