"""Pairs of real pencils from complex arithmetic: imaginary parts of rounding, vectors with phases, conjugates apart."""

import warnings

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
from autograd import grad, make_jvp
from oracle import cotangent, pairing, tangent

import krylov_adj as ka
from krylov_adj.krylov.space import WHOLE
from krylov_adj.perturbation.conjugates import without_conjugate
from krylov_adj.perturbation.problem import Eigenproblem, ValueOperator

N = 24


def real_pencil(rng, tops, condition=1.0, mass=None):
    """A, M with real or conjugate eigenvalues ``tops`` and 0.9 … −1; eigenvectors of the given condition number."""
    blocks = [[[t.real, t.imag], [-t.imag, t.real]] if isinstance(t, complex) else [[t]] for t in tops]
    rest = onp.linspace(0.9, -1, N - sum(map(len, blocks)))
    T = la.block_diag(*blocks, onp.diag(rest))
    U, V = (la.qr(rng.standard_normal((N, N)))[0] for _ in range(2))
    S = (U * onp.geomspace(1, 1 / condition, N)) @ V
    A = S @ T @ la.inv(S)
    if mass is None:
        return A, None
    M = (U * onp.where(onp.arange(N) % 3 == 0, mass, 1.0)) @ U.T  # definite or not, by the sign of ``mass``
    return M @ A, M


def by_a_complex_solver(rng, A, M, k):
    """The pairs of the largest real parts, each with an error of rounding and a phase of its own."""
    Q = la.qr(rng.standard_normal((N, N)) + 1j * rng.standard_normal((N, N)))[0]
    w, X = la.eig(Q @ A @ Q.conj().T, None if M is None else Q @ M @ Q.conj().T)
    order = onp.argsort(-w.real)[:k]
    X = Q.conj().T @ X[:, order]
    X = X / onp.linalg.norm(X, axis=0) * onp.exp(2j * onp.pi * rng.uniform(size=k))
    return w[order], X


PROFILE = onp.linspace(0.5, 1.5, N)
WEIGHTS = onp.array([1.0, -0.7, 0.4, 0.9])


def loss(w, X):
    c = WEIGHTS[: w.shape[0]]
    density = np.real(X) ** 2 + np.imag(X) ** 2
    return np.sum(c * np.real(w)) + np.sum(c * np.dot(PROFILE, density**2))


def exact(A, M, w, X, D, normalization="2"):
    c = WEIGHTS[: w.size]
    gX = 4 * c * PROFILE[:, None] * onp.abs(X) ** 2 * X
    Abar, _ = cotangent(A, M, w, X, c + 0j, gX, hermitian=False, normalization=normalization)
    return pairing(Abar, D)


@pytest.mark.parametrize("mass", [None, 2.0, -2.0], ids=["standard", "definite M", "indefinite M"])
@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4])
@pytest.mark.parametrize(
    ("tops", "k"),
    [([3.0, 2.5, 2.0], 2), ([3.0 + 0.5j, 2.0], 3), ([3.0 + 1e-4j, 2.0], 3), ([3.0 + 0.5j, 2.5], 1)],
    ids=["real", "pair", "close pair", "cut pair"],
)
def test_pairs_of_a_complex_solver(tops, k, condition, mass):
    """Real eigenvalues are their own conjugates, members of a pair each other's, whatever the condition numbers."""
    rng = onp.random.default_rng(3)
    A, M = real_pencil(rng, tops, condition, mass)
    w, X = by_a_complex_solver(rng, A, M, k)
    assert onp.any(w.imag != 0)
    D = rng.standard_normal((N, N)) / N
    expected = exact(A, M, w, X, D)

    def f(t):
        pairs = ka.attach_eigenpairs(A + t * D, w, X, M=M, normalization="2")
        onp.testing.assert_array_equal(pairs[0]._value, w)
        return loss(*pairs)

    with warnings.catch_warnings():
        if condition == 1e4:  # κ²ε may be past 10⁻⁶
            warnings.filterwarnings("ignore", "Eigenvalues are nearly defective", ka.DegeneracyWarning)
        gap = min(1.0, 2 * min([abs(t.imag) for t in tops if isinstance(t, complex)], default=0.5))
        assert abs(grad(f)(0.0) - expected) < 1e-13 * condition**2 / gap * abs(expected) + 1e-10 * abs(expected)


@pytest.mark.parametrize("seed", range(12))
def test_complex_sigma_and_indefinite_mass(seed):
    """The eigenvalues σ + 1/θ of `eigs` have the rounding of θ and of 1/θ in their imaginary parts."""
    rng = onp.random.default_rng(seed)
    A, M = rng.standard_normal((2, N, N))
    A, M = A + 4 * onp.eye(N), M + M.T
    D = rng.standard_normal((N, N))
    seen = []

    def f(t):
        w, X = ka.eigs(A + t * D, k=4, M=M, sigma=0.3 + 0.2j, v0=onp.ones(N))
        seen.append((w._value, X._value))
        return loss(w, X)

    gradient = grad(f)(0.0)
    w, X = seen[0]
    assert gradient == pytest.approx(exact(A, M, w, X, D), rel=1e-7)


def test_the_derivative_of_a_real_pair_is_real():
    """Up to the vector's phase; in forward mode, where nothing takes a real part."""
    rng = onp.random.default_rng(1)
    A, _ = real_pencil(rng, [3.0, 2.5, 2.0], 30.0)
    w, X = by_a_complex_solver(rng, A, None, 3)
    D = rng.standard_normal((N, N))

    def pairs(t):
        values, vectors = ka.attach_eigenpairs(A + t * D, w, X)
        return np.concatenate([np.reshape(values, (1, -1)), vectors])

    dw, *dX = make_jvp(pairs)(0.0)(1.0)[1]
    dX = onp.array(dX)
    phases = X[onp.argmax(onp.abs(X), axis=0), onp.arange(3)]
    assert onp.max(onp.abs(dw.imag)) < 1e-11 * onp.max(onp.abs(dw))
    rotated = dX * (phases.conj() / onp.abs(phases))
    assert onp.max(onp.abs(rotated.imag)) < 1e-10 * onp.max(onp.abs(rotated))
    expected = tangent(A, None, w, X, D, None, hermitian=False, normalization="2")
    onp.testing.assert_allclose(dw, expected[0], rtol=1e-9)
    onp.testing.assert_allclose(dX, expected[1], rtol=1e-9, atol=1e-9)


def test_a_real_cluster_in_a_complex_basis():
    """Twice the same real eigenvalue, in complex combinations: closed under conjugation as a whole only."""
    rng = onp.random.default_rng(4)
    A, _ = real_pencil(rng, [3.0, 3.0, 2.0], 10.0)
    w, X = by_a_complex_solver(rng, A, None, 3)
    assert onp.all(w.imag != 0)
    D = rng.standard_normal((N, N))
    # The sum of the first two is tr(P D), P the spectral projector.
    values, V = la.eig(A)
    inside = onp.abs(values - 3) < 1e-6
    expected = onp.trace(la.inv(V)[inside] @ D @ V[:, inside]).real
    value = grad(lambda t: np.real(np.sum(ka.attach_eigenpairs(A + t * D, w, X)[0][:2])))(0.0)
    assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("noise", [1e-10, 1e-7])
def test_pairs_with_residuals(noise):
    """What a pair's residual allows, not rounding, is what an imaginary part is judged by."""
    rng = onp.random.default_rng(2)
    A, _ = real_pencil(rng, [3.0, 2.5, 2.0], 10.0)
    w, X = by_a_complex_solver(rng, A, None, 2)
    E = rng.standard_normal((N, 2)) + 1j * rng.standard_normal((N, 2))
    X = X + noise * E / onp.linalg.norm(E, axis=0)
    X = X / onp.linalg.norm(X, axis=0)
    w = onp.sum(X.conj() * (A @ X), axis=0)
    assert onp.all(onp.abs(w.imag) > 1e-3 * noise)
    D = rng.standard_normal((N, N))
    value = grad(lambda t: loss(*ka.attach_eigenpairs(A + t * D, w, X, rtol=1e-5)))(0.0)
    assert value == pytest.approx(exact(A, None, w, X, D), rel=1e3 * noise)


@pytest.mark.parametrize("imag", [1e-8, 1e-6, 1e-3])
@pytest.mark.parametrize("form", ["eigs", "complex solver"])
def test_a_nearly_real_pair_is_a_pair(imag, form):
    """Cut by k, it is completed; its conjugate is not taken for itself."""
    rng = onp.random.default_rng(6)
    A, _ = real_pencil(rng, [3.0 + imag * 1j, 2.0], 5.0)
    w, X = ka.eigs(A, k=2, which="LR", v0=onp.ones(N)) if form == "eigs" else by_a_complex_solver(rng, A, None, 2)
    value = ValueOperator(A.shape, A.dtype, lambda V: A @ V, lambda V: A.T @ V, "A")
    problem = Eigenproblem(value, None, False, "2")

    def cut(w, X):
        return without_conjugate(
            WHOLE, w, X, onp.linalg.norm(A @ X - X * w, axis=0), problem.apply_B, lambda: problem.norms
        ).tolist()

    assert cut(w[:1], X[:, :1]) == [0]
    assert cut(w, X) == []
    D = rng.standard_normal((N, N))

    def f(t):
        # Any one member: Re w and |x|² are the same for both.
        return loss(*ka.attach_eigenpairs(A + t * D, w[:1], X[:, :1]))

    assert grad(f)(0.0) == pytest.approx(exact(A, None, w[:1], X[:, :1], D), rel=1e-12 / imag + 1e-9)


@pytest.mark.parametrize("distance", [1e-17, 1e-15, 1e-13])
def test_an_exceptional_point_is_still_refused(distance):
    """A Jordan block split into a conjugate pair by so much, one member computed."""
    rng = onp.random.default_rng(7)
    T = onp.diag(onp.r_[3.0, 3.0, onp.linspace(0.9, -1, N - 2)])
    T[0, 1], T[1, 0] = 1.0, -distance
    U = la.qr(rng.standard_normal((N, N)))[0]
    A, D = U @ T @ U.T, rng.standard_normal((N, N))
    root = distance**0.5
    x = U[:, :2] @ onp.array([1.0, 1j * root])
    w, X = onp.array([3.0 + 1j * root]), (x / onp.linalg.norm(x))[:, None]
    with pytest.raises((ka.DefectiveEigenvalueError, ka.AdjointNoConvergence), match=r"defective"):
        grad(lambda t: np.real(ka.attach_eigenpairs(A + t * D, w, X)[0][0]))(0.0)
    with pytest.raises((ka.DefectiveEigenvalueError, ka.AdjointNoConvergence), match=r"defective"):
        grad(lambda t: loss(*ka.attach_eigenpairs(A + t * D, w, X)))(0.0)


def test_left_eigenvectors_of_a_complex_solvers_pairs():
    rng = onp.random.default_rng(8)
    A, M = real_pencil(rng, [3.0, 2.5 + 0.5j, 2.2], 100.0, 2.0)
    w, X = by_a_complex_solver(rng, A, M, 4)
    Y = ka.left_eigenvectors(A, w, X, M=M)
    onp.testing.assert_allclose(Y.conj().T @ M @ X, onp.eye(4), atol=1e-10)
    onp.testing.assert_allclose(Y.conj().T @ A, w[:, None] * (Y.conj().T @ M), atol=1e-9 * onp.linalg.norm(Y))
