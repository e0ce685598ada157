"""The core by itself: bordered systems for any right-hand side, and the shared Krylov space."""

import numpy as np
import pytest
import scipy.linalg as la

from krylov_adj.krylov.gmres import gmres
from krylov_adj.krylov.minres import minres
from krylov_adj.krylov.nearest import nearest
from krylov_adj.krylov.shared import shared_krylov
from krylov_adj.krylov.space import WHOLE
from krylov_adj.krylov.spectral_forms import ShiftInvert
from krylov_adj.options import Adjoint
from krylov_adj.perturbation.block import solve_block
from krylov_adj.perturbation.problem import Eigenproblem, ValueOperator
from krylov_adj.perturbation.systems import BorderedSystems
from krylov_adj.report.errors import DefectiveEigenvalueError

N, K = 14, 3


def operator(matrix):
    adjoint = matrix.conj().T
    return ValueOperator(matrix.shape, matrix.dtype, lambda V: matrix @ V, lambda V: adjoint @ V, "A", lambda: matrix)


def pencil(kind, rng):
    def draw(*shape):
        return rng.normal(size=shape) + (0 if kind == "symmetric" else 1j * rng.normal(size=shape))

    A, C = draw(N, N), draw(N, N)
    if kind != "general":
        A = A + A.conj().T
    return A, np.eye(N) + 0.1 * C @ C.conj().T


@pytest.mark.parametrize("method", ["dense", "gmres", "direct"])
@pytest.mark.parametrize("side", ["adjoint", "tangent"])
@pytest.mark.parametrize("mass", [False, True])
@pytest.mark.parametrize("kind", ["symmetric", "hermitian", "general"])
def test_any_right_hand_side(kind, mass, side, method):
    """Z and M, the parts along X too, which eigenpairs' own derivatives project out again."""
    rng = np.random.default_rng(1)
    A, B = pencil(kind, rng)
    B = B if mass else np.eye(N, dtype=A.dtype)
    if kind == "general":
        w, X = la.eig(A, B)
        X = X / np.sqrt(np.sum(X.conj() * (B @ X), axis=0).real)
    else:
        w, X = la.eigh(A, B)
    w, X = w[:K], X[:, :K]
    problem = Eigenproblem(operator(A), operator(B) if mass else None, kind != "general", "M" if mass else "2")
    systems = BorderedSystems.of(problem, w, X, Adjoint(method=method, rtol=1e-12))
    F, G = rng.normal(size=(N, K)).astype(A.dtype), rng.normal(size=(K, K)).astype(A.dtype)
    if A.dtype.kind == "c":
        F, G = F + 1j * rng.normal(size=(N, K)), G + 1j * rng.normal(size=(K, K))
    solution = solve_block(systems, side, F, G)
    for i in range(K):  # column i knows of the others through the border only
        bordered = np.block([[(A - w[i] * B).conj().T, X], [(B @ X).conj().T, np.zeros((K, K))]])
        bordered = bordered if side == "adjoint" else bordered.conj().T
        expected = np.linalg.solve(bordered, np.r_[F[:, i], G[:, i]])
        np.testing.assert_allclose(solution.Z[:, i], expected[:N], rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(solution.M[:, i], expected[N:], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("real", [False, True])
def test_shared_space_is_small(real):
    """Four systems of order 400 from one space, real where T is, whatever the shifts."""
    rng = np.random.default_rng(2)
    n = 400
    T = np.diag(0.9 / np.arange(1, n + 1)) + np.triu(rng.normal(size=(n, n)), 1) * 1e-4
    theta = np.array([3.0, 2.0 + 0.5j, 1.7 - 0.8j, -1.5])
    rhs = rng.normal(size=(n, 4)) + 1j * rng.normal(size=(n, 4))
    if not real:
        T = T * np.exp(0.3j)
    rhs[:, [0, 3]] = rhs[:, [0, 3]].real
    applied = []

    def solve(v):
        applied.append(v.dtype)
        return T @ v

    form = ShiftInvert(WHOLE, solve, lambda z: z)
    U, steps, _ = shared_krylov(WHOLE, form, np.zeros((n, 0)), theta, rhs, np.full(4, 1e-10), 100, 1000, real)
    assert steps == len(applied) <= 30
    assert {dtype.kind for dtype in applied} == {"f" if real else "c"}
    # U = S s with S = T here: (T − θ) s = −θ b.
    for i in range(4):
        expected = T @ np.linalg.solve(T - theta[i] * np.eye(n), -theta[i] * rhs[:, i])
        np.testing.assert_allclose(U[:, i], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("image", [None, lambda z: z], ids=["B = I", "stored"])
@pytest.mark.parametrize("real", [False, True])
def test_shared_space_at_the_floor(real, image):
    """More digits than there are: given up with all that can be had, of every system; restarted on the way."""
    rng = np.random.default_rng(4)
    n = 120
    T = np.diag(1 / np.arange(2.0, n + 2)) + np.triu(rng.normal(size=(n, n)), 1) * 1e-3
    T = T if real else T * np.exp(0.3j)
    theta = np.array([1.4, 0.9 + 0.2j, -0.8])
    rhs = rng.normal(size=(n, 3)) + 1j * rng.normal(size=(n, 3))
    rhs[:, [0, 2]] = rhs[:, [0, 2]].real
    Q = np.linalg.qr(rng.normal(size=(n, 2)))[0]
    P = np.eye(n) - Q @ Q.T
    for dimension in (100, 20):
        form = ShiftInvert(WHOLE, lambda v: T @ v, image)
        U, _, _ = shared_krylov(WHOLE, form, Q, theta, P @ rhs, np.full(3, 1e-18), dimension, 1000, real)
        for i in range(3):
            s = np.linalg.solve(P @ T @ P - theta[i] * np.eye(n), -theta[i] * P @ rhs[:, i])
            expected = P @ T @ P @ s
            assert np.linalg.norm(P @ U[:, i] - expected) < 1e-12 * np.linalg.norm(expected)


@pytest.mark.parametrize("is_complex", [False, True])
def test_nearest_finds_what_a_residual_hides(is_complex):
    """On the complement of what is deflated: an eigenvector of a second copy, and nothing where there is none."""
    rng = np.random.default_rng(6)
    n = 80
    w = 1 / np.arange(1.0, n + 1)
    w[4] = w[1]
    S = np.eye(n) + 0.3 * (rng.normal(size=(n, n)) + (1j * rng.normal(size=(n, n)) if is_complex else 0)) / n**0.5
    T = S @ np.diag(w) @ np.linalg.inv(S)
    Q = np.linalg.qr(S[:, :3])[0]  # three eigenvectors, those of one copy among them
    left = np.eye(n) - Q @ Q.conj().T
    start = left @ (rng.normal(size=n) + (1j * rng.normal(size=n) if is_complex else 0))
    images = []

    def apply(v):
        images.append(T @ v)
        return images[-1]

    found = nearest(WHOLE, apply, start, Q, w[:3], np.full(3, 1e-10), 60)
    assert list(found) == [1]
    assert len(images) < 40
    assert np.linalg.norm(Q.conj().T @ found[1]) < 1e-12
    assert np.linalg.norm(left @ T @ found[1] - w[1] * found[1]) < 1e-10
    found = nearest(WHOLE, lambda v: v, start, Q, np.array([1.0, 3.0]), np.full(2, 1e-10), 60)  # v's own memory
    assert list(found) == [0]
    np.testing.assert_allclose(found[0] * np.vdot(found[0], start), start, rtol=1e-10)


@pytest.mark.parametrize("engine", ["gmres", "minres"])
def test_engines_need_no_second_cycle(engine):
    """Complex systems of several shifts, within n steps: a wrong rotation costs restarts, not digits."""
    rng = np.random.default_rng(3)
    n, shifts = 60, np.linspace(0, 0.5, 4)
    A = 2 * np.eye(n) + (rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n))) / np.sqrt(2 * n)
    A = A if engine == "gmres" else A @ A.conj().T
    b = rng.normal(size=(n, 4)) + 1j * rng.normal(size=(n, 4))

    def apply(V, columns):
        return A @ V - V * shifts[columns] * (1 if engine == "gmres" else 0.1)

    arguments = (60,) if engine == "gmres" else ()
    U, steps, _ = {"gmres": gmres, "minres": minres}[engine](WHOLE, apply, b, np.full(4, 1e-10), 500, *arguments)
    assert steps <= 60
    residuals = np.linalg.norm(apply(U, np.arange(4)) - b, axis=0) / np.linalg.norm(b, axis=0)
    assert np.all(residuals < 2e-10)


@pytest.mark.parametrize("gap", [1e-5, 1e-8])
@pytest.mark.parametrize("method", ["gmres", "minres", "augmented"])
def test_accurate_next_to_an_eigenvalue_that_was_not_computed(method, gap):
    """A right-hand side that feels the neighbour by the gap only: a residual r is an error r/gap."""
    rng = np.random.default_rng(4)
    n = 60
    w = np.r_[3.0, 3.0 - gap, np.linspace(-1, 1, n - 2)]
    V = la.qr(rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n)))[0]
    problem = Eigenproblem(operator((V * w) @ V.conj().T), None, True, "2")
    amounts = np.r_[0, gap, rng.normal(size=n - 2)]
    reports = []
    options = Adjoint(method=method, callback=reports.append)
    F = V @ amounts[:, None]
    Z = solve_block(BorderedSystems.of(problem, w[:1], V[:, :1], options), "adjoint", F, np.zeros((1, 1), complex)).Z
    expected = V[:, 1:] @ (amounts[1:] / (w[1:] - w[0]))
    # The data themselves are known to ε/gap only.
    assert np.linalg.norm(Z[:, 0] - expected) < (3e-8 + 100 * 2.2e-16 / gap) * np.linalg.norm(expected)
    assert reports[0].method == method


@pytest.mark.parametrize("method", ["dense", "direct"])
def test_a_defect_that_the_right_hand_side_hardly_feels(method):
    """A Jordan block split by rounding, felt by 1e-5: the random right-hand side of the LU methods feels it."""
    rng = np.random.default_rng(5)
    n, root = 30, 1e-8
    A = np.diag(np.r_[3.0, 3.0, np.linspace(-1, 1, n - 2)])
    A[0, 1], A[1, 0] = 1.0, root**2
    x = np.eye(n)[:, :1] + root * np.eye(n)[:, 1:2]
    F = np.r_[0.0, 1e-5, rng.normal(size=n - 2)].reshape(n, 1)
    problem = Eigenproblem(operator(A), None, False, "2")
    systems = BorderedSystems.of(problem, np.array([3.0 + root]), x / np.linalg.norm(x), Adjoint(method=method))
    with pytest.raises(DefectiveEigenvalueError, match="condition number"):
        solve_block(systems, "adjoint", F, np.zeros((1, 1)))
