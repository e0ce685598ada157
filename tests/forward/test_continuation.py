"""Warm starts: the same answers for less, nothing kept that is traced, no eigenvalue missed."""

import threading

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad, make_hvp, make_jvp
from autograd.tracer import isbox

import krylov_adj as ka
from krylov_adj.forward import continuation, warm_start
from krylov_adj.forward.warm_start import rayleigh_ritz
from krylov_adj.krylov.arnoldi import arnoldi
from krylov_adj.krylov.space import WHOLE
from krylov_adj.perturbation.problem import ValueOperator

N = 20
RNG = onp.random.default_rng(0)
D2 = (N + 1) ** 2 * sp.diags([-onp.ones(N - 1), 2 * onp.ones(N), -onp.ones(N - 1)], offsets=[-1, 0, 1]).tocsr()
D1 = (N + 1) / 2 * sp.diags([-onp.ones(N - 1), onp.ones(N - 1)], offsets=[-1, 1]).tocsr()
EYE = sp.eye(N, format="csr")
AXIS = onp.linspace(0, 1, N + 2)[1:-1]
LAPLACIAN = (sp.kron(D2, EYE) + 1.7 * sp.kron(EYE, D2)).tocsr()
FLOW = (LAPLACIAN + 12 * sp.kron(D1, EYE) + 9 * sp.kron(EYE, D1)).tocsr()
MAGNETIC = (LAPLACIAN + 8j * sp.kron(D1, sp.diags(AXIS))).tocsr()
MASS = sp.kron(EYE, sp.eye(N) - D2 / D2[0, 0] / 3).tocsr()
DIAGONAL = onp.arange(N * N)
WAVES = onp.stack([onp.kron(onp.sin(a * onp.pi * AXIS), onp.sin(b * onp.pi * AXIS)) for a in (1, 2) for b in (1, 2)])
WHITE = RNG.standard_normal(N * N)
P0 = onp.array([1.0, -0.5, 0.3, 0.2])

PROBLEMS = {
    "symmetric, no inverse": (ka.eigsh, LAPLACIAN, {"which": "SA"}, "applications"),
    "symmetric, sigma": (ka.eigsh, LAPLACIAN, {"sigma": 0.0}, "solves"),
    "complex Hermitian, sigma": (ka.eigsh, MAGNETIC, {"sigma": 0.0}, "solves"),
    "complex Hermitian, no inverse": (ka.eigsh, MAGNETIC, {"which": "SA"}, "applications"),
    "generalised, sigma": (ka.eigsh, LAPLACIAN, {"sigma": 0.0, "M": MASS}, "solves"),
    "not symmetric, sigma": (ka.eigs, FLOW, {"sigma": 0.0}, "solves"),
    "not symmetric, complex pairs": (ka.eigs, FLOW, {"sigma": 300.0 + 40j}, "solves"),
    "not symmetric, GMRES": (
        ka.eigs,
        FLOW,
        {"which": "SR", "adjoint": {"method": "gmres", "restart": 150}},
        "applications",
    ),
    "pencil that is not symmetric, sigma": (ka.eigs, FLOW, {"sigma": 0.0, "M": MASS}, "solves"),
}


def loss(name, reports=None, continuation=None, v0=None, **more):
    """p to a loss of three eigenpairs of A + diag(p · waves)."""
    solver, A, arguments, _ = PROBLEMS[name]
    arguments = {**arguments, **more}
    options = ka.Adjoint(callback=(reports if reports is not None else []).append, **arguments.pop("adjoint", {}))

    def f(p):
        potential = ka.coo_array((20 * np.dot(p, WAVES), (DIAGONAL, DIAGONAL)), shape=A.shape)
        w, X = solver(
            ka.aslinearoperator(A) + potential,
            k=3,
            v0=onp.ones(N * N) if v0 is None else v0,
            adjoint=options,
            continuation=continuation,
            **arguments,
        )
        order = onp.argsort(onp.real(value(w)) + 1e-3 * onp.imag(value(w)))
        return np.sum(np.real(w[order]) * onp.arange(1, 4)) + N * N * np.sum(
            np.abs(X[:, order]) ** 4 * WAVES[0][:, None]
        )

    return f


def value(x):
    return x._value if isbox(x) else x


def path(steps=6, size=0.02):
    """A straight way through the parameters."""
    return [P0 + size * i * onp.array([1.0, 0.5, -1.0, 0.7]) for i in range(steps)]


def work(reports, name):
    return sum(getattr(report, PROBLEMS[name][3]) for report in reports)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_same_gradients_for_less(name):
    warm, cold_reports, warm_reports = ka.Continuation(), [], []
    cold_loss, warm_loss = loss(name, cold_reports), loss(name, warm_reports, warm)
    for p in path():
        expected, found = grad(cold_loss)(p), grad(warm_loss)(p)
        onp.testing.assert_allclose(found, expected, atol=1e-8 * onp.max(onp.abs(expected)))
    assert warm.calls >= 4
    adjoint = [[r for r in reports if r.stage == "adjoint"] for reports in (cold_reports, warm_reports)]
    # The first call is the same; of the later ones the derivative's share is less, guesses included.
    assert work(adjoint[1][:1], name) == work(adjoint[0][:1], name)
    assert work(adjoint[1][2:], name) < 0.9 * work(adjoint[0][2:], name)
    assert work(warm_reports, name) < work(cold_reports, name)
    assert all(report.converged for report in warm_reports)


@pytest.mark.parametrize("name", ["symmetric, no inverse", "not symmetric, sigma"])
def test_a_wild_jump_costs_little(name):
    """What is kept is of no use: right all the same, and hardly more than from nothing."""
    warm, cold_reports, warm_reports = ka.Continuation(), [], []
    cold_loss, warm_loss = loss(name, cold_reports), loss(name, warm_reports, warm)
    rng = onp.random.default_rng(3)
    for _ in range(5):
        p = 20 * rng.standard_normal(4)
        expected, found = grad(cold_loss)(p), grad(warm_loss)(p)
        onp.testing.assert_allclose(found, expected, atol=1e-7 * onp.max(onp.abs(expected)))
    assert work(warm_reports, name) < 1.15 * work(cold_reports, name)


def test_many_calls_cost_no_more_than_a_few():
    """A filter that is used again and again keeps its shape."""
    reports = []
    f = loss("symmetric, no inverse", reports, ka.Continuation())
    for step in range(40):
        grad(f)(P0 * (1 + 1e-3 * step))
    forward = [report.applications for report in reports if report.stage == "forward"]
    assert max(forward[1:]) < 0.9 * forward[0]
    assert sum(forward[-5:]) <= 1.02 * sum(forward[1:6])


def test_a_filter_that_costs_more_than_a_new_one_is_given_up():
    warm = ka.Continuation()

    def lowest(p):
        A = ka.aslinearoperator(LAPLACIAN)
        operator = ka.LinearOperator(A.shape, lambda v: A @ v + p * onp.linspace(0, 1, N * N) * v, dtype=float)
        return np.sum(ka.eigsh(operator, k=3, which="SA", continuation=warm)[0])

    grad(lowest)(0.0)
    place = warm.placed
    grad(lowest)(0.1)
    assert place is not None
    assert warm.placed == place
    warm.placed = (*place[:3], 1)
    expected = la.eigvalsh(LAPLACIAN.toarray() + onp.diag(onp.linspace(0, 0.2, N * N)))[:3]
    assert lowest(0.2) == pytest.approx(onp.sum(expected))
    assert warm.placed is None  # by the untraced call, which runs the same solver
    grad(lowest)(0.3)
    assert warm.placed is not None


def test_forward_mode_and_second_order():
    warm = ka.Continuation()
    direction = onp.array([0.3, -1.0, 0.5, 0.2])
    for name in ("symmetric, sigma", "not symmetric, sigma"):
        for p in path(3):
            expected = make_hvp(loss(name))(p)[0](direction)
            found = make_hvp(loss(name, continuation=warm))(p)[0](direction)
            onp.testing.assert_allclose(found, expected, atol=1e-6 * onp.max(onp.abs(expected)))
            expected = make_jvp(loss(name))(p)(direction)[1]
            found = make_jvp(loss(name, continuation=warm))(p)(direction)[1]
            onp.testing.assert_allclose(found, expected, rtol=1e-8)


def test_untraced_calls_start_from_the_last_vectors_too():
    warm, calls = ka.Continuation(), []

    def levels(s, continuation):
        A = LAPLACIAN + sp.diags(20 * s * WAVES[1])
        calls.append(0)

        def apply(v):
            calls[-1] += 1
            return A @ v

        operator = spla.LinearOperator(A.shape, apply, dtype=float)
        return ka.eigsh(operator, k=1, which="SA", v0=WHITE, continuation=continuation)[0]

    for s in (1.0, 1.001, 1.002):
        onp.testing.assert_allclose(levels(s, warm), levels(s, None), rtol=1e-12)
    assert calls[4] < 0.9 * calls[5]


def test_what_is_kept_is_plain_and_bounded():
    warm = ka.Continuation()
    for p in path(6):
        make_hvp(loss("symmetric, sigma", continuation=warm))(p)[0](P0)
    kept = [*warm._vectors, *warm._solutions.values()]
    assert all(type(V) is onp.ndarray and V.dtype == onp.float64 for V in kept)
    assert [V.shape for V in warm._vectors] == 3 * [(N * N, 3)]
    assert {side: V.shape for side, V in warm._solutions.items()} == {"adjoint": (N * N, 9), "tangent": (N * N, 9)}
    warm.clear()
    assert warm.calls == 0
    assert not warm._vectors
    assert not warm._solutions


def test_another_problem_starts_cold():
    """Another order, another type: no error, the right result, and what was kept is forgotten."""
    warm = ka.Continuation()
    grad(loss("symmetric, sigma", continuation=warm))(P0)
    for name in ("complex Hermitian, sigma", "symmetric, no inverse", "not symmetric, sigma"):
        expected = grad(loss(name))(P0)
        found = grad(loss(name, continuation=warm))(P0)
        onp.testing.assert_allclose(found, expected, atol=1e-8 * onp.max(onp.abs(expected)))
    calls = warm.calls
    ka.eigsh(onp.diag(onp.arange(30.0)), k=2, continuation=warm)
    ka.eigsh(onp.diag(onp.arange(30.0)).astype("f"), k=2, continuation=warm)
    assert warm.calls == calls


def test_single_precision():
    warm = ka.Continuation()
    A = LAPLACIAN.astype("f")

    def f(p, continuation):
        potential = ka.coo_array((p * WAVES[0].astype("f"), (DIAGONAL, DIAGONAL)), shape=A.shape)
        operator = ka.aslinearoperator(A) + potential
        X = ka.eigsh(operator, k=2, sigma=0.0, v0=onp.ones(N * N, "f"), continuation=continuation)[1]
        return np.sum(X**4 * WAVES[1].astype("f")[:, None] ** 2)

    for p in (1.0, 1.01, 1.02):
        p = onp.float32(100 * p)
        found = grad(f)(p, warm)
        assert found.dtype == onp.float32
        onp.testing.assert_allclose(found, grad(f)(p, None), rtol=1e-3)


def crossings(tol, **arguments):
    """Levels of every symmetry pass each other; the kept vectors have no part in the one that comes.

    The steps with wrong levels, and how many started warm."""
    warm, wrong = ka.Continuation(), 0
    one = (D2 / (N + 1)).toarray()
    levels = la.eigvalsh(one)
    for a in onp.arange(2.0, 0.5, -0.08):
        A = (sp.kron(one, EYE) + a * sp.kron(EYE, one)).tocsr()
        w = ka.eigsh(A, k=2, v0=WHITE, tol=tol, continuation=warm, **arguments)[0]
        expected = onp.sort(onp.add.outer(levels, a * levels).ravel())[:2]
        wrong += not onp.allclose(onp.sort(w), expected, rtol=max(1e-10, 10 * tol), atol=0)
    return wrong, warm.calls


@pytest.mark.parametrize("tol", [0, 1e-8, 1e-5, 1e-3])
@pytest.mark.parametrize("arguments", [{"which": "SA"}, {"sigma": -1.0}], ids=["lowest", "sigma"])
def test_no_eigenvalue_that_crosses_the_window_is_missed(arguments, tol):
    wrong, started = crossings(tol, **arguments)
    assert wrong == 0
    assert (started >= 10) == (tol <= 1e-8)  # a loose tol starts cold


def moving(tol, is_complex, steps=24, **arguments):
    """Traced `eigs` calls on matrices whose eigenvalues pass each other, and into the window, with eigenvectors that
    stay: those kept have no part in the one that comes. Eigenvalues of every step, found and true, and the methods."""
    rng = onp.random.default_rng(11)
    n, warm, reports = 240, ka.Continuation(), []
    S = onp.eye(n) + 0.5 * rng.standard_normal((n, n)) / n**0.5
    if is_complex:
        S = S + 0.5j * rng.standard_normal((n, n)) / n**0.5
    inverse = onp.linalg.inv(S)
    start, speed = rng.uniform(1, 30, n), rng.uniform(-0.4, 0.4, n)
    turn = 1 + 0.2j if is_complex else 1.0
    found, true = [], []

    def f(scale, A):
        w, X = ka.eigs(
            scale * A,
            v0=onp.ones(n),
            tol=tol,
            continuation=warm,
            adjoint=ka.Adjoint(callback=reports.append),
            **arguments,
        )
        found.append(onp.asarray(value(w)))
        return np.sum(np.real(w))

    for t in onp.linspace(0, 4, steps):
        blocks = onp.diag((start + t * speed * start) * turn)
        if not is_complex:  # pairs here and there
            for i in range(0, n - 1, 5):
                blocks[i : i + 2, i : i + 2] = [[blocks[i, i], 0.7], [-0.7, blocks[i, i]]]
        gradient = grad(f)(1.0, S @ blocks @ inverse)
        onp.testing.assert_allclose(gradient, onp.sum(found[-1]).real, rtol=1e-6)
        true.append(la.eigvals(blocks))
    return found, true, [report.method for report in reports if report.stage == "forward"]


@pytest.mark.parametrize("tol", [0, 1e-8])
@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize(("k", "sigma"), [(3, 0.4), (4, 0.0)])
def test_arnoldi_misses_no_eigenvalue_that_crosses_the_window(k, sigma, is_complex, tol):
    found, true, methods = moving(tol, is_complex, k=k, sigma=sigma)
    assert methods.count("Arnoldi") >= 8  # where another one comes the start is cold
    for w, all_ in zip(found, true, strict=True):
        nearest = onp.sort(onp.abs(all_ - sigma))[:k]
        onp.testing.assert_allclose(onp.sort(onp.abs(w - sigma)), nearest, rtol=max(1e-9, 100 * tol))
        assert onp.max(onp.min(onp.abs(w[:, None] - all_), axis=1) / onp.abs(w)) < max(1e-9, 100 * tol)


def test_arnoldi_keeps_the_order_of_the_last_call():
    """Eigenvalues that pass each other stay where they were among the results."""
    rng = onp.random.default_rng(3)
    n, warm, reports, found = 230, ka.Continuation(), [], []
    S = onp.eye(n) + 0.5 * rng.standard_normal((n, n)) / n**0.5
    options = ka.Adjoint(callback=reports.append)

    def f(t):
        w = np.concatenate([np.array([1.0, 1.5, 2.0]) + t * np.array([1.2, 0.3, -0.9]), onp.linspace(5, 40, n - 3)])
        w, _ = ka.eigs(np.dot(S * w, onp.linalg.inv(S)), k=3, sigma=0.0, continuation=warm, adjoint=options)
        found.append(onp.real(value(w)))
        return np.sum(np.real(w))

    for t in onp.linspace(0, 1, 21):
        onp.testing.assert_allclose(grad(f)(t), 0.6, rtol=1e-8)
    assert {report.method for report in reports if report.stage == "forward"} == {"ARPACK", "Arnoldi"}
    onp.testing.assert_allclose(onp.diff(found, axis=0)[1:] / 0.05, onp.diff(found, axis=0)[:-1] / 0.05, rtol=1e-6)
    assert not onp.array_equal(onp.argsort(found[0]), onp.argsort(found[-1]))


def test_a_pair_that_k_cuts_gives_way_to_one_that_has_come():
    """Two of three columns in the last call's order: the new one is certain, of the known pair either one serves."""
    warm, E = ka.Continuation(), onp.eye(6)
    warm.keep_vectors(E[:, [2, 1]] + 0.01)
    X = E[:, :3]
    assert sorted(warm.in_last_order(X, onp.array([True, False, False]), 2))[0] == 0
    assert list(warm.in_last_order(X, onp.array([False, False, False]), 2)) == [2, 1]
    assert warm.in_last_order(X, onp.ones(3, dtype=bool), 3) is None
    assert warm.in_last_order(E[:, :1], onp.ones(1, dtype=bool), 2) is None
    x = E[:, 0] + 1j * E[:, 1]  # the members of a pair are told apart
    warm.keep_vectors(onp.stack([x, x.conj()], axis=1))
    assert list(warm.in_last_order(onp.stack([x.conj(), x], axis=1), onp.ones(2, dtype=bool), 2)) == [1, 0]


def test_where_arnoldi_does_not_do(monkeypatch):
    """ARPACK goes on from where it was; an ncv, a maxiter or another ``which`` are ARPACK's from the start."""
    monkeypatch.setattr(warm_start, "WARM_DIMENSION", 0)
    found, true, methods = moving(0, False, steps=5, k=3, sigma=0.0)
    assert set(methods) == {"ARPACK"}
    for w, all_ in zip(found, true, strict=True):
        onp.testing.assert_allclose(onp.sort(onp.abs(w)), onp.sort(onp.abs(all_))[:3], rtol=1e-9)
    monkeypatch.undo()
    for more in ({"ncv": 25}, {"maxiter": 500}, {"which": "LR"}):
        assert set(moving(0, False, steps=2, k=3, sigma=0.0, **more)[2]) == {"ARPACK"}


@pytest.mark.parametrize("is_complex", [False, True])
def test_arnoldi(is_complex):
    rng = onp.random.default_rng(2)
    n = 60
    T = onp.diag(0.7 ** onp.arange(n)) + 0.01 * onp.triu(rng.standard_normal((n, n)), 1)
    T[1:3, 1:3] = [[0.6, 0.3], [-0.3, 0.6]]
    T = T * onp.exp(0.4j) if is_complex else T
    w = la.eigvals(T)
    w = w[onp.argsort(-onp.abs(w))]
    start = rng.standard_normal(n) + (1j * rng.standard_normal(n) if is_complex else 0)
    for k, wanted in ((1, 1), (2, 3), (3, 3), (5, 5)):  # a pair is not cut
        found = arnoldi(WHOLE, lambda v: T @ v, start, k, 0.0, 50)
        assert found.converged
        assert found.theta.size == wanted
        onp.testing.assert_allclose(onp.sort_complex(found.theta), onp.sort_complex(w[:wanted]), rtol=1e-10)
        onp.testing.assert_allclose(T @ found.X, found.X * found.theta, atol=1e-13)
        onp.testing.assert_allclose(onp.linalg.norm(found.X, axis=0), 1, rtol=1e-12)
    assert not arnoldi(WHOLE, lambda v: T @ v, start, 5, 0.0, 12).converged
    few = arnoldi(WHOLE, lambda v: v, start, 2, 0.0, 20)  # its own memory, and no second direction
    assert not few.converged
    onp.testing.assert_allclose(few.theta, 1)


def test_without_the_random_part_it_would_be(monkeypatch):
    monkeypatch.setattr(continuation, "SAFETY", 0.0)
    assert crossings(1e-5, which="SA")[0] > 0


def test_the_same_parameters_again():
    """Guesses that are the solutions, a start vector in the eigenspace."""
    warm, reports = ka.Continuation(), []
    f = loss("symmetric, sigma", reports, warm)
    expected = grad(f)(P0)
    for _ in range(3):
        onp.testing.assert_allclose(grad(f)(P0), expected, atol=1e-9 * onp.max(onp.abs(expected)))
    adjoint = [report.solves for report in reports if report.stage == "adjoint"]
    assert max(adjoint[1:]) < 0.5 * adjoint[0]


def test_threads_may_share_one():
    warm = ka.Continuation()
    expected = [grad(loss("symmetric, sigma"))(p) for p in path(4)]
    found = {}

    def run(i):
        for _ in range(3):
            found[i] = grad(loss("symmetric, sigma", continuation=warm))(path(4)[i])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        onp.testing.assert_allclose(found[i], expected[i], atol=1e-8 * onp.max(onp.abs(expected[i])))


def test_another_thread_may_replace_what_is_being_read():
    class Restless(ka.Continuation):
        """Has vectors of another problem every time."""

        @property
        def _vectors(self):
            self.turn = not self.turn
            return [onp.eye(4 if self.turn else 5)[:, :2]] * 2

        @_vectors.setter
        def _vectors(self, value):
            pass

    for first in (True, False):  # whose turn it is when vectors are read for the first time
        warm = Restless()
        warm.turn = not first
        recent, v = warm.recent(4, onp.dtype(float)), warm.start_vector(4, float, 0, None)
        assert [len(X) for X in recent] == ([4, 4] if first else [])
        assert v is None if first else v.shape == (4,)


@pytest.mark.parametrize("is_complex", [False, True])
def test_where_eigenvectors_are_expected(is_complex):
    """Subspaces on a line, each in a basis of its own: the next one, to second order of the step."""
    rng = onp.random.default_rng(5)

    def block(*shape):
        X = rng.standard_normal(shape)
        return X + 1j * rng.standard_normal(shape) if is_complex else X

    start, slope, curve = block(40, 3), block(40, 3), block(40, 3)

    def basis(t):
        return onp.linalg.qr(start + t * slope + t**2 * curve)[0] @ onp.linalg.qr(block(3, 3))[0]

    def angle(X, Y):
        Q, P = onp.linalg.qr(X)[0], onp.linalg.qr(Y)[0]
        return onp.linalg.norm(P - Q @ (Q.conj().T @ P), 2)

    for pace in (0.5, 1.0, 1.5):
        h = 1e-3
        last = [basis(t) for t in (-h - pace * h, -h, 0)]  # a step of pace h, and one of h: the next is as much longer
        X, moved = continuation.expected(last[::-1])
        ahead = basis(h / pace)
        assert angle(X, ahead) < 0.05 * angle(last[2], ahead)
        assert moved < 0.05 * angle(last[1], last[2])
    # No trend: where they are, and as far from there as they came; two calls show none; one shows nothing.
    wild = [block(40, 3) for _ in range(3)]
    X, moved = continuation.expected(wild)
    assert angle(X, wild[0]) < 0.9
    assert 0.5 < moved <= 1
    X, moved = continuation.expected(wild[:2])
    assert X is wild[0]
    onp.testing.assert_allclose(moved, angle(wild[0], wild[1]), rtol=1e-12)
    assert continuation.expected(wild[:1]) == (wild[0], 0.0)
    X, moved = continuation.expected([wild[0]] * 3)
    assert angle(X, wild[0]) < 1e-7
    assert moved < 1e-7


def test_what_it_may_be():
    for solver in (ka.eigs, ka.eigsh):
        with pytest.raises(TypeError, match=r"continuation must be krylov_adj.Continuation\(\), not dict"):
            solver(onp.eye(5), k=2, continuation={})
        with pytest.raises(TypeError, match="positional"):
            solver(onp.eye(5), *[None] * 20)


def traced_pairs(A, continuation, **arguments):
    """Eigenpairs as a traced call computes them."""
    pairs = []

    def f(p):
        operator = ka.aslinearoperator(A) * p
        operator = operator if "sigma" in arguments else ka.LinearOperator(A.shape, operator.matvec, dtype=float)
        w, X = ka.eigsh(operator, continuation=continuation, **arguments)
        pairs.append((value(w), value(X)))
        return np.sum(w)

    grad(f)(1.0)
    return pairs[0]


@pytest.mark.parametrize("tol", [0, 1e-5, 1e-3])
@pytest.mark.parametrize("arguments", [{"sigma": 0.0}, {"which": "SA"}, {"which": "LA"}])
def test_traced_calls_see_levels_that_cross_into_the_window(arguments, tol):
    """Of a symmetry that no kept vector has, and no combination of them."""
    warm, one = ka.Continuation(), (D2 / (N + 1)).toarray()
    levels = la.eigvalsh(one)
    side = -1 if arguments.get("which") == "LA" else 1
    for a in onp.arange(2.0, 0.5, -0.08):
        A = side * (sp.kron(one, EYE) + a * sp.kron(EYE, one)).tocsr()
        w, X = traced_pairs(A, warm, k=2, tol=tol, **arguments)
        expected = onp.sort(side * onp.sort(onp.add.outer(levels, a * levels).ravel())[:2])
        onp.testing.assert_allclose(w, expected, rtol=max(1e-10, tol))
        onp.testing.assert_allclose(X.T @ X, onp.eye(2), atol=1e-12)
    assert warm.calls == 18


def test_signs_follow_the_last_vectors():
    warm, last = ka.Continuation(), None
    for p in path(8):
        _, X = traced_pairs((LAPLACIAN + sp.diags(20 * p @ WAVES)).tocsr(), warm, k=3, sigma=0.0)
        if last is not None:
            assert onp.all(onp.sum(X * last, axis=0) > 0.9)
        last = X


def test_a_filter_in_the_wrong_place_is_placed_anew():
    """The spectrum moves by more than its width, grows, turns over."""
    warm = ka.Continuation()
    expected = la.eigvalsh(LAPLACIAN.toarray())
    for scale, shift in ((1, 0), (1, 1e6), (1, -1e6), (3, 0), (0.01, 0), (1, 0), (-1, 0), (1, 100)):
        A = (scale * LAPLACIAN + shift * sp.eye(N * N)).tocsr()
        w, _ = traced_pairs(A, warm, k=3, which="SA")
        reference = onp.sort(scale * expected + shift)
        onp.testing.assert_allclose(w, reference[:3], atol=1e-12 * onp.max(onp.abs(reference)))


def test_warm_starts_with_a_singular_mass():
    """What the kept vectors span may hold directions that M does not see."""
    mass = onp.ones(N * N)
    mass[: N * N // 2] = 0
    M = sp.diags(mass).tocsc()

    def lowest(p, continuation):
        potential = ka.coo_array((20 * np.dot(p, WAVES), (DIAGONAL, DIAGONAL)), shape=LAPLACIAN.shape)
        operator = ka.aslinearoperator(LAPLACIAN) + potential
        return np.sum(ka.eigsh(operator, k=3, M=M, sigma=0.0, continuation=continuation)[0])

    warm = ka.Continuation()
    for p in path(5):
        onp.testing.assert_allclose(grad(lowest)(p, warm), grad(lowest)(p, None), rtol=1e-8)
    p = path(5)[0]
    for _ in range(3):
        onp.testing.assert_allclose(grad(lowest)(p, warm), grad(lowest)(p, None), rtol=1e-8)
    assert warm.calls == 7


def test_a_start_from_vectors_that_the_mass_does_not_see():
    """Rayleigh and Ritz on what is left of the span."""
    n = 30
    mass, levels = onp.r_[onp.zeros(10), onp.ones(20)], onp.arange(1.0, n + 1)
    A, M = (ValueOperator((n, n), float, lambda V, d=d: (V.T * d).T, None, "") for d in (levels, mass))
    V = onp.eye(n)[:, [12, 3, 15, 20]]
    w, X, spread = rayleigh_ritz(A, M, V, 2, 13.2)
    expected = onp.zeros((n, 2))
    expected[[12, 15], [0, 1]] = 1
    onp.testing.assert_allclose(w, [13, 16], rtol=1e-12)
    onp.testing.assert_allclose(onp.abs(X), expected, atol=1e-12)
    assert spread < 1e-12
    # Nothing is left.
    w, X, _ = rayleigh_ritz(A, M, onp.eye(n)[:, :3], 2, 13.2)
    assert w.size == 0
    assert X.shape == (n, 0)
