"""Pencils whose M is a difference operator: eigenvalues far below ‖A‖/‖M‖ of vectors that see little of M.

The truth is that of the matrices as they are, in extended precision (`stiff.py`). What double precision leaves is
δλ = ε(‖A‖ + |λ|‖M‖)‖x‖²/|xᴴMx|, and it is said where that is much.
"""

import warnings

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp
from autograd import grad
from stiff import beam, by_slopes, hellmann_feynman, orr_sommerfeld

import krylov_adj as ka
from krylov_adj.perturbation.examine import FEW, examine
from krylov_adj.perturbation.pairs import DeflatedPairs
from krylov_adj.perturbation.problem import Eigenproblem, ValueOperator

EPS = onp.finfo(float).eps


def profile(n):
    return 1 + 0.3 * onp.sin(3 * onp.pi * onp.linspace(0, 1, n))


def bound(A, M, w, x, hermitian=True):
    """δλ/|λ|, with the largest entries for the norms."""
    z = x if hermitian else M @ x
    size = abs(A).max() + abs(w) * abs(M).max()
    return EPS * size * onp.linalg.norm(x) * onp.linalg.norm(z) / abs(onp.vdot(z, M @ x)) / abs(w)


def asked(solver, A, M, dA, dM=None, **arguments):
    """d Re w₀/dt of A + t dA, M + t dM; the pairs; what was said."""
    seen = []

    def f(t):
        op_A = ka.aslinearoperator(A) + ka.aslinearoperator(dA) * t
        op_M = ka.aslinearoperator(M) if dM is None else ka.aslinearoperator(M) + ka.aslinearoperator(dM) * t
        w, X = solver(op_A, M=op_M, **arguments)
        seen.append((w._value, X._value))
        return np.real(w[0])

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = grad(f)(0.0)
    return value, *seen[0], [str(entry.message) for entry in caught]


@pytest.mark.parametrize("sigma", [0.0, 20.0])
@pytest.mark.parametrize("n", [1023, 2047, 4000, 4095])
def test_clamped_beam(n, sigma):
    """Right to what rounding leaves, and that is said where it is little: in one warning."""
    K, M = beam(n)
    dK = beam(n, profile(n + 2))[0]
    value, w, X, said = asked(ka.eigsh, K, M, dK, k=2, sigma=sigma, v0=onp.ones(n))
    expected, exact = hellmann_feynman(K, M, dK, w[0], X[:, 0])
    left = bound(K, M, w[0], X[:, 0])
    assert abs(w[0] - exact) < left * abs(exact)
    assert abs(value - expected) < left * abs(expected)
    if n < 3000:
        assert left < FEW
        assert abs(value - expected) < 2e-6 * abs(expected)
        assert not said
    else:
        assert FEW < left < 3e-3
        assert len(said) == 1
        assert "few digits" in said[0]
        assert f"0 (w = {w[0]:.6g}): " in said[0]


@pytest.mark.parametrize("n", [3000, 4095, 5000])
def test_orr_sommerfeld(n):
    """Neither Hermitian nor definite: 1e-7 of the eigenvalue is rounding, and no reason to refuse it."""
    A, B, viscous = orr_sommerfeld(n)
    value, w, X, said = asked(ka.eigs, A, B, viscous, k=2, sigma=0.264 + 0.001j, v0=onp.ones(n) + 0j)
    order = int(onp.argmin(abs(w - 0.264)))
    assert order == 0
    expected, exact = hellmann_feynman(A, B, viscous, w[0], X[:, 0])
    assert abs(w[0] - exact) < 10 * bound(A, B, w[0], X[:, 0], False) * abs(exact)
    assert value == pytest.approx(expected.real, rel=1e-5)
    assert not said


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["hermitian", "not hermitian"])
def test_drawn_pencils(kind, seed):
    """Coefficients and sizes at random, complex; with a moving M; derivatives of both."""
    rng = onp.random.default_rng(seed)
    n = int(rng.integers(300, 2400))

    def smooth(points):
        t = onp.linspace(0, 1, points)
        return 1 + sum(rng.uniform(-0.2, 0.2) * onp.sin(k * onp.pi * t + rng.uniform(0, 6)) for k in (1, 2, 5))

    twist = float(rng.uniform(0.5, 3)) / n
    A, M = beam(n, smooth(n + 2), smooth(n + 1), twist)
    dA, dM = beam(n, smooth(n + 2), smooth(n + 1), twist)
    solver = ka.eigsh
    if kind != "hermitian":  # advection, and an M that is not Hermitian
        first = sp.diags_array([onp.ones(n - 1), -onp.ones(n - 1)], offsets=[1, -1]).tocsr() * (0.5 * (n + 1))
        solver, A, M = ka.eigs, (A + rng.uniform(50, 500) * first).tocsr(), (M + rng.uniform(1, 4) * first).tocsr()
    value, w, X, said = asked(solver, A, M, dA, 0.1 * dM, k=2, sigma=25.0, v0=onp.ones(n))
    expected, exact = hellmann_feynman(A, M, dA - 0.1 * exact_w(A, M, w[0], X[:, 0]) * dM, w[0], X[:, 0])
    left = bound(A, M, w[0], X[:, 0], kind == "hermitian")
    assert abs(w[0] - exact) < 10 * left * abs(exact)
    assert abs(value - expected.real) < 30 * left * abs(expected) + 1e-9 * abs(expected)
    assert not said or left > 0.3 * FEW


def exact_w(A, M, w, x):
    return hellmann_feynman(A, M, A, w, x)[1]


@pytest.mark.parametrize("n", [1023, 4095])
def test_losses_of_vectors(n):
    """The residual that rounding leaves of the system is far below its bound: no reason to refuse it."""
    K, M = beam(n)
    dK = beam(n, profile(n + 2))[0]
    site = onp.linspace(0, 1, n) ** 2

    def f(t):
        A = ka.aslinearoperator(K) + ka.aslinearoperator(dK) * t
        return np.sum(site * ka.eigsh(A, k=2, M=M, sigma=0.0, v0=onp.ones(n))[1][:, 0] ** 2)

    expected = by_slopes(n, profile(n + 2), site)[2]
    if n == 1023:
        assert grad(f)(0.0) == pytest.approx(expected, rel=1e-6)
        return
    with pytest.warns(ka.DegeneracyWarning, match="few digits"):
        value = grad(f)(0.0)
    assert value == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("on_gauge", ["raise", "ignore"])
def test_the_warning_is_an_error_or_silent(on_gauge):
    n = 4095
    K, M = beam(n)
    options = ka.Adjoint(on_gauge=on_gauge)

    def f(t):
        return ka.eigsh(ka.aslinearoperator(K) * (1 + t), k=1, M=M, sigma=0.0, v0=onp.ones(n), adjoint=options)[0][0]

    if on_gauge == "raise":
        with pytest.raises(ValueError, match="few digits"):
            grad(f)(0.0)
    else:
        assert grad(f)(0.0) == pytest.approx(4 * onp.pi**2, rel=1e-4)


def test_attached_and_left():
    """The same for pairs from elsewhere, and for left eigenvectors, which are looked at without a trace as well."""
    n = 4095
    K, M = beam(n)
    w, X = ka.eigsh(K, k=2, M=M, sigma=0.0, v0=onp.ones(n))
    with pytest.warns(ka.DegeneracyWarning, match="few digits"):
        ka.attach_eigenpairs(K, w, X, M=M, hermitian=True)
    with pytest.warns(ka.DegeneracyWarning, match="few digits"):
        ka.left_eigenvectors(K, w, X, M=M, hermitian=True)
    with pytest.raises(ValueError, match="not that of its vector"):
        ka.attach_eigenpairs(K, w * onp.array([1.0, 1.2]), X, M=M, hermitian=True)


@pytest.mark.parametrize("function", [ka.attach_eigenpairs, ka.left_eigenvectors])
def test_eigenvalues_in_another_order_far_below_the_norm(function):
    """500 and 3803 of a matrix of norm 4·10¹⁵: each within 10⁴ roundings of the other."""
    n = 4095
    K, _ = beam(n)
    w, X = ka.eigsh(K, k=2, sigma=0.0, v0=onp.ones(n))
    function(K, w, X, hermitian=True)
    with pytest.raises(ValueError, match=r"eigenvalue \d+\.?\d* \(number \d\) is not that of its vector"):
        function(K, w[::-1], X, hermitian=True)


@pytest.mark.parametrize("form", ["matrix", "operator"])
@pytest.mark.parametrize("shift", [12.0, 30.0])
def test_an_indefinite_mass_is_seen_without_a_trace(shift, form):
    """δ² − c has one or more eigenvalues of the other sign, 10⁻⁷ of its norm: ARPACK finds no eigenvalue at all."""
    n = 2047
    K, M = beam(n)
    M = (M - shift * sp.identity(n)).tocsc()
    K, M = (K, M) if form == "matrix" else (ka.aslinearoperator(K), ka.aslinearoperator(M))
    with pytest.raises(ValueError, match=r"in their own span.*M is not Hermitian positive definite"):
        ka.eigsh(K, k=3, M=M, sigma=20.0, v0=onp.ones(n))
    w, X = ka.eigs(K, k=3, M=M, sigma=20.0, v0=onp.ones(n))
    R = K @ X - (M @ X) * w
    assert onp.max(onp.abs(onp.sum(X.conj() * R, axis=0) / onp.sum(X.conj() * (M @ X), axis=0) / w)) < 1e-4


def test_two_beams_are_a_cluster():
    """A beam and its mirror image: coinciding up to the rounding of a stiff pencil, not to 50 ε‖K‖/‖M‖."""
    n = 2047
    c, p = 1 + onp.linspace(0, 0.5, n + 2) ** 2, 1 + onp.linspace(0, 0.3, n + 1)
    beams = beam(n, c, p), beam(n, c[::-1], p[::-1])
    K, M = (sp.block_diag(blocks).tocsc() for blocks in zip(*beams, strict=True))
    w, X = ka.eigsh(K, k=4, M=M, sigma=0.0, v0=onp.random.default_rng(0).standard_normal(2 * n))
    values = [ValueOperator(S.shape, S.dtype, S.__matmul__, S.__matmul__, name) for S, name in ((K, "A"), (M, "M"))]
    problem = Eigenproblem(values[0], values[1], True, "M")
    assert 100 * EPS * problem.norms[0] / problem.norms[1] < w[1] - w[0] < 1e-5 * w[0] < w[2] - w[1]
    pairs = examine(problem, w, X, K @ X, M @ X)
    given = DeflatedPairs.of(problem, w, X, ka.Adjoint())
    assert given.coinciding() == [[0, 1], [2, 3]]
    assert onp.all(w[1] - w[0] < pairs.rounding)
    # A loss of one member of it has no gradient.
    with pytest.warns(ka.DegeneracyWarning, match=r"coincide differently: numbers \[0, 1\]"):
        grad(lambda t: ka.attach_eigenpairs(ka.aslinearoperator(K) * t, w, X, M=M, hermitian=True, sigma=0.0)[0][0])(
            1.0
        )


def test_a_real_part_is_taken_next_to_zero():
    """A ground state at zero, with the imaginary part that complex arithmetic of the size of ‖A‖ leaves."""
    n = 50
    A = onp.diag(onp.arange(n) * 1.0)
    w, _ = ka.attach_eigenpairs(A, onp.array([1e-15 + 1e-14j]), onp.eye(n)[:, :1], hermitian=True)
    assert w.dtype == float
    with pytest.raises(ValueError, match="imaginary parts up to"):
        ka.attach_eigenpairs(A, onp.array([1e-3j]), onp.eye(n)[:, :1], hermitian=True)


def test_complex_eigenvalues_of_an_indefinite_pencil():
    """Of a Hermitian pencil xᴴMx = 0 wherever λ is not real: the quotient by M x is as good as ever."""
    rng = onp.random.default_rng(0)
    n = 40
    A = rng.standard_normal((n, n))
    A, M, D = A + A.T + 8 * onp.eye(n), onp.diag(onp.sign(rng.standard_normal(n))), rng.standard_normal((n, n))
    sigma = 1 + 0.5j

    def f(t):
        w, _ = ka.eigs(A + t * (D + D.T), k=2, M=M, sigma=sigma, v0=onp.ones(n))
        return np.sum(np.real(w))

    w, X = ka.eigs(A, k=2, M=M, sigma=sigma, v0=onp.ones(n))
    assert onp.all(onp.abs(onp.sum(X.conj() * (M @ X), axis=0)) < 1e-10)
    h = 1e-5
    expected = sum(c * f(s * h) for s, c in ((1, 8), (-1, -8), (2, -1), (-2, 1))) / (12 * h)
    assert grad(f)(0.0) == pytest.approx(expected, rel=1e-7)
