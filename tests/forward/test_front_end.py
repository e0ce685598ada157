"""Front ends of other frameworks: `toy_front_end.py` is one, in a process where `import autograd` fails."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from krylov_adj.forward.operands import value_operator
from krylov_adj.forward.request import Request
from krylov_adj.forward.solve import solve_eigenproblem

TOY = Path(__file__).resolve().parents[1] / "support" / "toy_front_end.py"


@pytest.fixture(scope="module")
def passed():
    """The names of the checks that the toy front end passes."""
    without_autograd = (
        "import runpy, sys; sys.modules['autograd'] = None; runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    command = [sys.executable, "-W", "error", "-c", without_autograd, str(TOY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_values_and_gradients_of_a_toy_framework(passed):
    assert len(passed) == 10


def test_a_front_end_is_short():
    """Twenty lines for standard problems, about ten for every further class, blank lines and docstrings aside."""
    source = TOY.read_text(encoding="utf-8")
    sizes = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            lines = [line for line in source.splitlines()[node.lineno - 1 : node.end_lineno] if line.strip()]
            sizes[node.name] = len(lines)
    assert sizes["eigenpairs"] + sizes["like"] <= 20
    for name in ("cotangent_of_mass", "triplets", "nonlinear"):
        assert sizes[name] <= 10, name


@pytest.mark.parametrize("a", [1.0, 2.0**-90, 2.0**70])
@pytest.mark.parametrize("sigma", [None, 1.3])
@pytest.mark.parametrize("mass", [False, True])
@pytest.mark.parametrize(("n", "hermitian"), [(12, True), (12, False), (240, True)])
def test_tangent_maps_are_transposed_adjoint_maps(n, hermitian, mass, sigma, a):
    """In the caller's units, which are far from one."""
    rng = np.random.default_rng(n)
    A, B = (rng.standard_normal((n, n)) / n**0.5 for _ in range(2))
    A = a * (A + A.T + np.diag(np.arange(n)) if hermitian else A + np.diag(np.arange(n)))
    M = value_operator(a**0.5 * (np.eye(n) + 0.1 * B @ B.T), hermitian, "M") if mass else None
    shift = None if sigma is None else sigma * (a**0.5 if mass else a)
    which = "LM" if sigma or mass else "LA" if hermitian else "LR"
    request = Request(2, hermitian, which, shift, v0=np.ones(n))
    pairs, maps = solve_eigenproblem(request, value_operator(A, hermitian, "A"), M)
    w, X = pairs.w, pairs.X
    assert pairs.normalization == ("M" if mass else "2")
    MX = M.apply(X) if mass else X
    np.testing.assert_allclose(A @ X, MX * w, atol=1e-8 * a * abs(X).max())
    np.testing.assert_allclose(np.einsum("ij,ij->j", X.conj(), MX), 1, rtol=1e-8)
    gw, gX = rng.standard_normal(2).astype(w.dtype), rng.standard_normal((n, 2)) @ np.diag(1 / abs(X).max(axis=0))
    if not hermitian:  # phases are not read
        gX = gX - 1j * MX * np.imag(np.sum(X.conj() * gX, axis=0))
    dA, dM = rng.standard_normal((2, n, n))
    dA, dM = (a * (dA + dA.T) if hermitian else a * dA), a**0.5 * (dM + dM.T)
    dR, dS = dA @ X - (dM @ X * w if mass else 0), X.conj().T @ dM @ X if mass else None
    W, sigma_ = maps.adjoint(gw, gX)
    dw, dX = maps.tangent(dR, dS)
    left = np.vdot(gw, dw) + np.vdot(gX, dX)
    right = np.vdot(W, dR) - (0.5 * np.vdot(sigma_, dS) if mass else 0)
    assert abs(left.real - right.real) <= 1e-7 * (abs(np.vdot(gw, dw)) + abs(np.vdot(gX, dX)))
