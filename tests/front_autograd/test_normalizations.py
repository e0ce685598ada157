"""Normalisations apart from the inner product: vectors orthogonal in M and of unit 2-norm; matrices not Hermitian."""

import warnings

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
from autograd import grad, make_jvp
from oracle import cotangent, pairing, tangent

import krylov_adj as ka

N, K = 14, 3
PROFILE = onp.linspace(0.5, 1.5, N)


def draw(rng, is_complex):
    return rng.standard_normal((N, N)) + (1j * rng.standard_normal((N, N)) if is_complex else 0)


def hermitian(S):
    return 0.5 * (S + S.conj().T)


def pencil(rng, is_complex, top=None):
    """A = F diag Fᴴ, M = F Fᴴ; directions of both."""
    F = onp.eye(N) + 0.15 * draw(rng, is_complex)
    values = onp.r_[[-3.0, -2.0, -1.2] if top is None else top, onp.linspace(0.1, 2, N - K)]
    Q = la.qr(draw(rng, is_complex))[0]
    F = F @ Q
    dA, dM = (hermitian(draw(rng, is_complex)) for _ in range(2))
    return hermitian((F * values) @ F.conj().T), hermitian(F @ F.conj().T), dA, 0.1 * dM


def pairs(A, M, rng=None):
    """The lowest, of unit 2-norm, orthogonal in M; with random phases."""
    w, X = la.eigh(A, M)
    X = X[:, :K] / onp.linalg.norm(X[:, :K], axis=0)
    if rng is not None and onp.iscomplexobj(X):
        X = X * onp.exp(2j * onp.pi * rng.uniform(size=K))
    return w[:K], X


def loss(w, X):
    """Of each by itself, not of the phases."""
    density = np.real(X) ** 2 + np.imag(X) ** 2
    return np.sum(np.array([1.0, -0.5, 0.3]) * w) + np.sum(np.array([0.7, 1.1, -0.4]) * np.dot(PROFILE, density**2))


def cotangents(X):
    c = onp.array([0.7, 1.1, -0.4])
    return onp.array([1.0, -0.5, 0.3]), 4 * c * PROFILE[:, None] * onp.abs(X) ** 2 * X


@pytest.mark.parametrize("is_complex", [False, True])
def test_unit_vectors_of_a_hermitian_pencil(is_complex):
    """Value, reverse, forward and second order, with a moving M."""
    rng = onp.random.default_rng(1)
    A, M, dA, dM = pencil(rng, is_complex)
    w, X = pairs(A, M, rng)

    def attached(t):
        return ka.attach_eigenpairs(A + t * dA, w, X, M=M + t * dM, hermitian=True, normalization="2")

    values, vectors = attached(0.0)
    onp.testing.assert_array_equal(values, w)
    onp.testing.assert_allclose(vectors, X, rtol=1e-14)
    Abar, Mbar = cotangent(A, M, w, X, *cotangents(X), hermitian=True, normalization="2")
    expected = pairing(Abar, dA) + pairing(Mbar, dM)
    assert grad(lambda t: loss(*attached(t)))(0.0) == pytest.approx(expected, rel=1e-10)
    dw, dX = tangent(A, M, w, X, dA, dM, hermitian=True, normalization="2")
    forward = make_jvp(lambda t: np.concatenate([np.reshape(attached(t)[0], (1, -1)), attached(t)[1]]))(0.0)(1.0)[1]
    onp.testing.assert_allclose(forward[0], dw, rtol=1e-10)
    onp.testing.assert_allclose(forward[1:], dX, rtol=1e-9, atol=1e-10)
    assert onp.max(onp.abs(onp.sum(X.conj() * forward[1:], axis=0))) < 1e-12

    def solved(t):  # at t, pairs and all
        w, X = pairs(A + t * dA, M + t * dM)
        return grad(lambda s: loss(*ka.attach_eigenpairs(
            A + s * dA, w, X, M=M + s * dM, hermitian=True, normalization="2")))(t)  # fmt: skip

    h = 1e-4
    second = (8 * (solved(h) - solved(-h)) - (solved(2 * h) - solved(-2 * h))) / (12 * h)
    assert grad(grad(lambda t: loss(*attached(t))))(0.0) == pytest.approx(second, rel=1e-7)


def test_phases_are_read_and_said():
    rng = onp.random.default_rng(2)
    A, M, dA, _ = pencil(rng, True)
    w, X = pairs(A, M, rng)

    def f(t, options=None):
        _, Y = ka.attach_eigenpairs(
            A + t * dA, w, X, M=M, hermitian=True, normalization="2", adjoint=options
        )  # fmt: skip
        return np.sum(PROFILE * np.real(Y[:, 0]))

    with pytest.warns(ka.GaugeWarning, match=r"phase of eigenvectors.*\{0: "):
        grad(f)(0.0)
    with pytest.raises(ValueError, match="phase of eigenvectors"):
        grad(lambda t: f(t, ka.Adjoint(on_gauge="raise")))(0.0)
    silent = grad(lambda t: f(t, ka.Adjoint(on_gauge="ignore")))(0.0)
    _, dX = tangent(A, M, w, X, dA, None, hermitian=True, normalization="2")
    assert silent == pytest.approx(PROFILE @ dX[:, 0].real, rel=1e-10)


@pytest.mark.parametrize("gap", [0.0, 1e-13, 1e-10, 1e-6, 1e-2])
@pytest.mark.parametrize("is_complex", [False, True])
def test_clusters(is_complex, gap):
    """Functions of the space at any gap: its orthogonal projector, and X β⁻¹ Xᴴ with β = xᴴMx."""
    rng = onp.random.default_rng(3)
    A, M, dA, dM = pencil(rng, is_complex, [-3.0, -3.0 + gap, -1.2])
    W = hermitian(draw(rng, is_complex))
    w, X = pairs(A, M)
    w, X = w[:2], X[:, :2]

    def of_space(t, X):
        Mt = M + t * dM
        XH = np.conj(X).T
        outer = X @ np.linalg.solve(np.dot(XH, X), XH)
        beta = np.real(np.sum(np.conj(X) * np.dot(Mt, X), axis=0))
        return np.real(np.sum(np.conj(W) * outer)) + 0.5 * np.real(np.sum(np.conj(W) * np.dot(X / beta, XH)))

    def f(t):
        _, Y = ka.attach_eigenpairs(A + t * dA, w, X, M=M + t * dM, hermitian=True, normalization="2")
        return of_space(t, Y)

    def solved(t):
        return of_space(t, pairs(A + t * dA, M + t * dM)[1][:, :2])

    h = 2e-4
    expected = (8 * (solved(h) - solved(-h)) - (solved(2 * h) - solved(-2 * h))) / (12 * h)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert grad(f)(0.0) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("is_complex", [False, True])
def test_unit_vectors_where_M_is_indefinite(is_complex):
    """Real eigenvalues of vectors of both signs of xᴴMx: one by one."""
    rng = onp.random.default_rng(4)
    M, A, dM, dA = pencil(rng, is_complex, [-3.0, 2.5, -2.2])  # A definite
    mu, X = la.eigh(M, A)
    order = onp.argsort(-abs(mu))[:K]
    w, X = 1 / mu[order], X[:, order] / onp.linalg.norm(X[:, order], axis=0)
    assert len(set(onp.sign(w))) == 2

    def f(t):
        return loss(*ka.attach_eigenpairs(A + t * dA, w, X, M=M + t * dM, hermitian=True, normalization="2"))

    Abar, Mbar = cotangent(A, M, w, X, *cotangents(X), hermitian=False, normalization="2")
    assert grad(f)(0.0) == pytest.approx(pairing(Abar, dA) + pairing(Mbar, dM), rel=1e-9)


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("mass", [False, True])
def test_normalised_with_A(mass, is_complex):
    """Orthogonal in A and in M alike; several vectors at once."""
    rng = onp.random.default_rng(5)
    A, M, dA, dM = pencil(rng, is_complex, [1.0, 1.5, 3.0])
    A = A + 0.5 * M
    M, dM = (M, dM) if mass else (None, None)
    w, X = la.eigh(A, M)
    w, X = w[:K], X[:, :K]
    X = X / onp.sqrt(onp.sum(X.conj() * (A @ X), axis=0).real)

    def f(t):
        moved = None if M is None else M + t * dM
        return loss(*ka.attach_eigenpairs(A + t * dA, w, X, M=moved, hermitian=True, normalization="A"))

    gw, gX = cotangents(X)
    if mass:
        Abar, Mbar = cotangent(A, M, w, X, gw, gX, hermitian=True, normalization="A")
        expected = pairing(Abar, dA) + pairing(Mbar, dM)
    else:
        Abar, _ = cotangent(A, onp.eye(N), w, X, gw, gX, hermitian=True, normalization="A")
        expected = pairing(Abar, dA)
    assert grad(f)(0.0) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("normalization", ["M", "A"])
def test_a_norm_by_a_matrix_that_is_not_hermitian(normalization):
    """xᵀMx = 1 of a real M: the derivative knows its symmetric part."""
    rng = onp.random.default_rng(6)
    A, M = draw(rng, False) + 6 * onp.eye(N), onp.eye(N) + 0.2 * draw(rng, False)
    dA, dM = draw(rng, False), draw(rng, False)
    w, X = la.eig(A, M)
    real = int(onp.flatnonzero(w.imag == 0)[0])

    def normalised(t, x):
        matrix = M + t * dM if normalization == "M" else A + t * dA
        return x / onp.sqrt(abs(x @ matrix @ x))

    w, x = w[real].real, normalised(0.0, X[:, real].real)
    sign = onp.sign(x @ (M if normalization == "M" else A) @ x)
    assert sign == 1

    def f(t):
        pair = ka.attach_eigenpairs(A + t * dA, w[None], x[:, None], M=M + t * dM, normalization=normalization)
        return np.sum(PROFILE * pair[1][:, 0] ** 2)

    def solved(t):
        values, vectors = la.eig(A + t * dA, M + t * dM)
        return onp.sum(PROFILE * normalised(t, vectors[:, onp.argmin(abs(values - w))].real) ** 2)

    h = 1e-4
    expected = (8 * (solved(h) - solved(-h)) - (solved(2 * h) - solved(-2 * h))) / (12 * h)
    assert grad(f)(0.0) == pytest.approx(expected, rel=1e-7)
