"""Everything besides `eigs` and `eigsh`: first and second derivatives against differences."""

import time
import tracemalloc

import numpy as np
import pytest
import scipy.linalg as la

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

import krylov_adj.jax as kj  # noqa: E402

jax.config.update("jax_enable_x64", True)

N, STEP = 12, 1e-5
RNG = np.random.default_rng(0)
B0, B1, F, G = RNG.standard_normal((4, N, N))
B0 = B0 + np.diag(np.arange(N))
WEIGHTS = np.arange(N)[:, None]


def slope(f, p):
    return (8 * (f(p + STEP) - f(p - STEP)) - (f(p + 2 * STEP) - f(p - 2 * STEP))) / (12 * STEP)


def agrees(f, p=0.3, own=None, tol=1e-6):
    """Whether both derivatives are those of differences of ``own``, f by default."""
    own = f if own is None else own
    g = float(jax.grad(f)(p))
    assert g == pytest.approx(float(slope(own, p)), rel=tol, abs=tol)
    second = jax.jit(jax.grad(jax.grad(f)))(p)
    forward = jax.jit(lambda p: jax.jvp(jax.grad(f), (p,), (1.0,))[1])(p)
    assert float(second) == pytest.approx(float(forward), rel=1e-8)
    staged = jax.jit(jax.grad(f))
    assert float(staged(p)) == pytest.approx(g, rel=1e-9)
    if own is f:
        assert float(second) == pytest.approx(float(slope(staged, p)), rel=tol, abs=tol)
    return float(second)


@pytest.mark.parametrize("kind", ["dense", "complex closure"])
def test_singular_triplets(kind):
    """Rectangular; a closure without an adjoint."""

    def A(p):
        if kind == "dense":
            return jnp.asarray(B0[:, :8] + p * B1[:, :8])
        return kj.LinearOperator((N, 8), lambda x: B0[:, :8] @ x + 1j * p * (B1[:, :8] @ x), dtype=complex)

    def f(p):
        u, s, vh = kj.svds(A(p), k=2)
        return s[0] + 2 * s[1] + jnp.sum(jnp.real(jnp.conj(u) * (F[:, :8] @ jnp.conj(vh).T)))

    agrees(f)
    u, s, vh = kj.svds(A(0.3), k=2, return_singular_vectors="u")
    assert vh is None
    assert u.shape == (N, 2)
    assert np.allclose(s, kj.svds(A(0.3), k=2, return_singular_vectors=False))


@pytest.mark.parametrize("general", [False, True])
def test_left_eigenvectors(general):
    def f(p):
        A = B0 + p * B1 + 1j * p * F
        M = 2 * np.eye(N) + p * np.diag(np.linspace(0, 1, N)) if general else None
        w, X = kj.eigs(A, k=2, sigma=13.0, M=M)
        X = kj.canonical_phase(X)
        Y = kj.left_eigenvectors(A, w, X, M=M)
        return jnp.sum(jnp.real(G * (X @ jnp.conj(Y).T))) + jnp.sum(jnp.real(Y) * WEIGHTS)

    agrees(f, tol=1e-5)


@pytest.mark.parametrize("hermitian", [False, True])
def test_given_pairs(hermitian):
    def matrix(p):
        A = B0 + p * B1
        return A + A.T if hermitian else A

    def pairs(p):
        w, X = (la.eigh if hermitian else la.eig)(matrix(float(p)))
        order = np.argsort(-w.real)[:2]
        return w[order], X[:, order] / np.linalg.norm(X[:, order], axis=0)

    given = pairs(0.3)

    def loss(w, X):
        return jnp.sum(jnp.real(w) * np.array([1, 2])) + jnp.sum(jnp.abs(X) ** 2 * WEIGHTS * np.array([1, 2]))

    def f(p):
        return loss(*kj.attach_eigenpairs(matrix(p), *given, hermitian=hermitian))

    agrees(f, own=lambda p: loss(*pairs(p)))
    with pytest.raises(ValueError, match="eigenpair"):
        kj.attach_eigenpairs(matrix(0.5), *given, hermitian=hermitian)
    with pytest.raises(ValueError, match="normalised"):
        kj.attach_eigenpairs(matrix(0.3), given[0], 2 * given[1], hermitian=hermitian)
    with pytest.raises(ValueError, match="expected w of shape"):
        kj.attach_eigenpairs(matrix(0.3), given[0][:1], given[1])


@pytest.mark.parametrize("size", [1.0, 1e120])
def test_given_vectors_of_unit_length_of_a_hermitian_pencil(size):
    """Complex ones, and their phase in the gauge of xᴴx = 1: against differences of dense pairs."""
    K = B0 + 1j * F
    K, E, D = K + K.conj().T, B1 + B1.T, np.diag(np.linspace(1, 3, N)) + 0.02 * (G + G.T)

    def pencil(p):
        return size * (K + p * E), size * (D + p * np.diag(np.linspace(0, 1, N)))

    w, X = la.eigh(*pencil(0.3))
    X = X[:, :2] / np.linalg.norm(X[:, :2], axis=0)
    given = w[:2], X

    def loss(w, X):
        return jnp.sum(jnp.abs(X) ** 2 * WEIGHTS * np.array([1, 2])) + w[1] + jnp.abs(jnp.vdot(X[:, 0], X[:, 1])) ** 2

    def f(p, normalization="2"):
        A, M = pencil(p)
        return loss(*kj.attach_eigenpairs(A, *given, M=M, hermitian=True, normalization=normalization))

    def dense(p):
        w, X = la.eigh(*pencil(float(p)))
        return loss(w, X[:, :2] / np.linalg.norm(X[:, :2], axis=0))

    def vectors(p):
        A, M = pencil(p)
        return kj.attach_eigenpairs(A, *given, M=M, hermitian=True, normalization="2")[1]

    @jax.jit
    def derivatives(p):
        (value, g), (_, second) = jax.jvp(jax.value_and_grad(f), (p,), (1.0,))
        return value, g, second, jax.jvp(vectors, (p,), (1.0,))[1]

    value, g, second, moved = derivatives(0.3)
    assert float(value) == pytest.approx(float(dense(0.3)), rel=1e-12)
    assert float(g) == pytest.approx(float(slope(dense, 0.3)), rel=1e-8)
    expected = (dense(0.3 + 1e-3) - 2 * dense(0.3) + dense(0.3 - 1e-3)) / 1e-6
    assert float(second) == pytest.approx(float(expected), rel=1e-4)
    assert np.max(np.abs(np.sum(X.conj() * moved, axis=0))) < 1e-10
    with pytest.raises(ValueError, match="normalised"):
        f(0.3, "M")
    with pytest.raises(ValueError, match="no inner product"):
        kj.attach_eigenpairs(np.diag([1.0, 2, 3]), [-1.0], np.eye(3)[:, :1], M=np.diag([-1.0, 1, 1]), hermitian=True,
                             normalization="2")  # fmt: skip


def test_nonlinear_problems():
    """λ² I + λ C + K, one pair and several, as an array and as an operator."""
    C = RNG.standard_normal((N, N))

    def pairs(p):
        w, Z = np.linalg.eig(np.block([[np.zeros((N, N)), np.eye(N)], [-(B0 + float(p) * B1), -C]]))
        order = np.argsort(-w.imag)[:2]
        return w[order], Z[:N, order] / np.linalg.norm(Z[:N, order], axis=0)

    given = pairs(0.3)

    def loss(w, X):
        return jnp.real(w[0] * w[1]) + jnp.sum(jnp.abs(X) ** 2 * WEIGHTS)

    def dense(p):
        T = lambda lam: lam**2 * jnp.eye(N) + lam * C + B0 + p * B1  # noqa: E731
        return loss(*kj.attach_nonlinear(T, *given))

    def functions(p):
        def T(lam):
            return kj.LinearOperator(
                (N, N), lambda x: lam**2 * x + lam * (C @ x) + B0 @ x + p * (B1 @ x), dtype=complex
            )

        return loss(*kj.attach_nonlinear(T, *given))

    second = agrees(dense, own=lambda p: loss(*pairs(p)))
    assert float(jax.grad(functions)(0.3)) == pytest.approx(float(jax.grad(dense)(0.3)))

    def first(p):
        pair = pairs(p)
        return jax.grad(
            lambda q: loss(*kj.attach_nonlinear(lambda lam: lam**2 * jnp.eye(N) + lam * C + B0 + q * B1, *pair))
        )(float(p))

    assert second == pytest.approx(float(slope(first, 0.3)), rel=1e-6)
    with pytest.raises(ValueError, match="expected lam"):
        kj.attach_nonlinear(lambda lam: lam * jnp.eye(N), given[0], given[1][:, :1])


@pytest.mark.parametrize("solver", ["direct", "gmres", "minres", "cg"])
def test_linear_systems(solver):
    S = B0 @ B0.T + np.eye(N)

    def f(p):
        matrix = B0 + p * B1 + 20 * np.eye(N)
        if solver in ("minres", "cg"):
            A = kj.LinearOperator((N, N), lambda x: S @ x + p * x)
        else:
            A = matrix if solver == "direct" else kj.LinearOperator((N, N), lambda x: matrix @ x)
        return jnp.sum(kj.solve(A, WEIGHTS * jnp.array([1.0, p]), solver=solver, x0=np.ones((N, 2))) ** 2)

    agrees(f)
    with pytest.raises(ValueError, match="needs a matrix"):
        kj.solve(kj.LinearOperator((N, N), lambda x: x), np.ones(N), solver="direct")
    with pytest.raises(np.linalg.LinAlgError):
        kj.solve(np.zeros((N, N)), np.ones(N))
    with pytest.raises(kj.LinearNoConvergence):
        kj.solve(kj.LinearOperator((N, N), lambda x: WEIGHTS[:, 0] * x), np.ones(N))


def test_buckling_and_cayley_modes():
    K = np.diag(np.arange(1.0, N + 1)) + 0.1
    G0 = np.diag(np.linspace(1, 2, N))

    for mode in ("buckling", "cayley"):

        def f(p, mode=mode):
            w, X = kj.eigsh(K + p * np.eye(N), k=2, M=G0 + p * np.diag(np.arange(N)), sigma=2.3, mode=mode)
            return jnp.sum(w) + jnp.sum(X**4 * WEIGHTS)

        agrees(f)


def test_large_sparse_matrices():
    """200,000 rows with a shift, csr_array and BCOO: time and memory in proportion to the entries."""
    n = 200_000
    indptr = np.concatenate([[0], np.cumsum(np.r_[2, np.full(n - 2, 3), 2])])
    rows = np.repeat(np.arange(n), np.diff(indptr))
    columns = np.concatenate([[0, 1], (np.arange(1, n - 1)[:, None] + [-1, 0, 1]).ravel(), [n - 2, n - 1]])
    data = np.where(rows == columns, 2.0, -1.0)

    def f(data, kind):
        if kind == "csr_array":
            A = kj.csr_array((data, columns, indptr), (n, n))
        else:
            A = jax.experimental.sparse.BCOO((data, np.stack([rows, columns], axis=1)), shape=(n, n))
        w, X = kj.eigsh(A, k=2, sigma=-1e-12)
        return w[0] / 1e-10 + jnp.sum(X[: n // 2, 0] ** 2)

    for kind in ("csr_array", "BCOO"):
        tracemalloc.start()
        began = time.process_time()
        g = jax.grad(f)(jnp.asarray(data), kind)
        took, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert g.shape == data.shape
        assert np.isfinite(g).all()
        assert took < 60
        assert peak < 1000 * data.nbytes / 3
