"""Warnings and errors of what cannot be trusted, eagerly and out of compiled programs; types and classes."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

import krylov_adj.jax as kj  # noqa: E402

jax.config.update("jax_enable_x64", True)

BOTH = pytest.mark.parametrize("staged", [False, True], ids=["eager", "staged"])


def caught(f, p, staged):
    """The classes of warnings of a gradient, and the gradient."""
    g = jax.jit(jax.grad(f)) if staged else jax.grad(f)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        value = float(g(p))
    return {warning.category for warning in found}, value


@BOTH
def test_phases(staged):
    H = np.diag([1.0, 2.0, 4.0]) + 0.5j * (np.eye(3, k=1) - np.eye(3, k=-1))

    def f(p, legal):
        X = kj.eigsh(H + p * jnp.diag(jnp.array([1.0, 0, 0])), k=1, which="SA")[1]
        return jnp.real((kj.canonical_phase(X) if legal else X)[1, 0])

    assert caught(lambda p: f(p, False), 0.1, staged)[0] == {kj.GaugeWarning}
    found, g = caught(lambda p: f(p, True), 0.1, staged)
    assert not found
    assert g == pytest.approx(float(f(0.1 + 1e-5, True) - f(0.1 - 1e-5, True)) / 2e-5, abs=1e-8)


@BOTH
def test_unequal_weights_of_equal_eigenvalues(staged):
    def f(p):
        w, X = kj.eigsh(jnp.diag(jnp.array([1.0, 1.0, 2.0, 3.0])) + p * jnp.eye(4), k=2, which="SA")
        return w[0] + 3 * w[1]

    assert caught(f, 0.0, staged)[0] == {kj.DegeneracyWarning}


@BOTH
@pytest.mark.parametrize("n", [6, 240])
def test_cut_clusters(staged, n):
    """An eigenvalue of a cluster that k cuts: a warning; its vector: an error."""
    d = np.arange(1.0, n + 1)
    d[1] = 1.0

    def value(p):
        return kj.eigsh(kj.LinearOperator((n, n), lambda x: p * d * x), k=1, which="SA")[0][0]

    def vector(p):
        X = kj.eigsh(kj.LinearOperator((n, n), lambda x: p * d * x), k=1, which="SA")[1]
        return X[0, 0] ** 2

    assert caught(value, 1.0, staged)[0] == {kj.DegeneracyWarning}
    with pytest.raises(kj.AdjointNoConvergence), kj.errors():
        caught(vector, 1.0, staged)


def projector_loss(gap):
    """A function of the span of two states of a family whose gap stays."""
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    S, F = (B + B.T for B in rng.standard_normal((2, 12, 12)))
    S, d = S - np.trace(S) / 12 * np.eye(12), np.array([0.0, gap, *range(2, 12)])
    theta, V = np.linalg.eigh(1j * (np.triu(S, 1) - np.triu(S, 1).T))

    def rotation(p):
        return jnp.real((V * jnp.exp(0.1j * p * theta)) @ V.conj().T)

    def f(p):
        U = rotation(p)
        A = U @ (Q * d) @ Q.T @ U.T
        X = kj.eigsh(0.5 * (A + A.T), k=2, which="SA")[1]
        return jnp.sum(F * (X @ X.T))

    def exact(p):
        U = rotation(p) @ Q[:, :2]
        return jnp.sum(F * (U @ U.T))

    return f, exact


@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e-8, 1e-4, 1e-2])
def test_projectors_of_clusters(gap):
    f, exact = projector_loss(gap)
    for g in (jax.grad(f),) if gap else (jax.grad(f), jax.jit(jax.grad(f))):
        assert float(g(0.3)) == pytest.approx(float(jax.jit(jax.grad(exact))(0.3)), abs=1e-8)


@pytest.mark.parametrize("gap", [0.0, 1e-7, 1e-5, 1e-3])
def test_second_derivatives_of_clusters_are_right_or_said(gap):
    f, exact = projector_loss(gap)
    found, h = caught(jax.grad(f), 0.3, True)
    wrong = abs(h - float(jax.jit(jax.grad(jax.grad(exact)))(0.3)))
    assert wrong < 1e-4 * max(1, abs(h)) or found == {kj.DegeneracyWarning}
    if gap in (0.0, 1e-3):
        assert not found


def test_conjugate_pairs():
    """Both members, and one that k cuts off: real gradients that differences agree with."""
    rng = np.random.default_rng(3)
    A, B = rng.standard_normal((2, 14, 14))

    def f(p, k):
        w, X = kj.eigs(A + p * B, k=k, which="LI")
        return jnp.sum(jnp.abs(w) ** 2) + jnp.sum(jnp.abs(X[:, 0]) ** 4) + jnp.imag(w[0])

    for k in (1, 2, 3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = float(jax.grad(f)(0.1, k))
            expected = (f(0.1 + 1e-6, k) - f(0.1 - 1e-6, k)) / 2e-6
        assert found == pytest.approx(float(expected), rel=1e-6)


def test_on_gauge_raise_and_options():
    H = np.diag([1.0, 2.0, 4.0]) + 0.5j * (np.eye(3, k=1) - np.eye(3, k=-1))

    def f(p, options):
        return jnp.real(kj.eigsh(p * H, k=1, which="SA", adjoint=options)[1][1, 0])

    with pytest.raises(ValueError, match="phase"):
        jax.grad(f)(1.0, kj.Adjoint(on_gauge="raise"))
    reports = []
    jax.grad(f)(1.0, kj.Adjoint(on_gauge="ignore", callback=reports.append))
    assert [report.stage for report in reports] == ["forward", "adjoint"]
    with pytest.raises(TypeError, match="Adjoint"):
        f(1.0, "warn")
    with pytest.raises(TypeError, match="host"):
        f(1.0, kj.Adjoint(preconditioner=kj.LinearOperator((3, 3), lambda x: x)))


def test_an_operator_that_is_not_hermitian_is_an_error():
    with pytest.raises(ValueError, match="Hermitian"):
        kj.eigsh(kj.LinearOperator((9, 9), lambda x: x + jnp.roll(x, 1)), k=1)
    with pytest.raises(ValueError, match="adjoint"):
        kj.eigs(kj.LinearOperator((9, 9), lambda x: x + jnp.roll(x, 1), lambda x: x), k=1)
    with pytest.raises(ValueError, match="normal"):  # which the front end has promised to be xᴴMx = 1
        kj.eigs(jnp.diag(jnp.arange(9.0)), k=1, M=jnp.triu(jnp.ones((9, 9))) + jnp.eye(9), sigma=1.1)


SINGLE = """
import jax, jax.numpy as jnp, numpy as np
import krylov_adj.jax as kj
d = jnp.arange(1.0, 31.0)
def f(d):
    w, X = kj.eigsh(kj.LinearOperator((30, 30), lambda x: d * x), k=2, which="LA")
    assert w.dtype == X.dtype == jnp.float32
    return w[1] + jnp.sum(X[:, 1] ** 4)
for g in (jax.grad(f)(d), jax.jit(jax.grad(f))(d)):
    assert g.dtype == jnp.float32 and np.allclose(g, np.eye(30)[-1], atol=1e-4), g
w, X = kj.eigs(jnp.diag(d), k=1)
assert w.dtype == X.dtype == jnp.complex64
h = jax.jvp(jax.grad(lambda p: kj.eigsh(p * jnp.diag(d) + p**2, k=1)[0][0]), (1.0,), (1.0,))[1]
print(float(h))
"""


def test_single_precision_without_x64():
    done = subprocess.run([sys.executable, "-c", SINGLE], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr


def test_single_precision_beside_double():
    w, X = kj.eigsh(jnp.diag(jnp.arange(9, dtype=jnp.float32)), k=1)
    assert w.dtype == X.dtype == jnp.float32
    assert kj.eigsh(jnp.diag(jnp.arange(9)), k=1)[0].dtype == jnp.float64
