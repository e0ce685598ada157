"""Eigenpairs followed by identity: crossings, avoided crossings, windows, degenerate spaces, exceptional points."""

import itertools

import autograd.numpy as anp
import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp
from autograd import grad

import krylov_adj as ka
from krylov_adj.perturbation.chains import Rules
from krylov_adj.perturbation.following import follow
from krylov_adj.perturbation.tracking import Window

RNG = np.random.default_rng(3)
N, K = 10, 5
#: Eigenvalues a + b t: of the five lowest every two cross, no two pairs at the same t.
LEVELS = np.r_[0.0, 0.9, 1.7, 2.6, 3.3, 7.0 + np.arange(N - K)]
SLOPES = np.r_[1.55, 0.95, 0.1, -0.6, -1.35, np.linspace(-0.2, 0.2, N - K)]


def random(shape, is_complex):
    G = RNG.standard_normal(shape)
    return G + 1j * RNG.standard_normal(shape) if is_complex else G


def hermitian_part(A):
    return 0.5 * (A + A.conj().T)


def family(hermitian, is_complex, with_mass):
    """A(t), or A(t) and M(t), with the eigenvalues a + b t, and t ↦ their vectors."""
    G = random((N, N), is_complex)
    turn, skew = 0.2 * (G - G.conj().T) / N**0.5, np.eye(N) + 0.4 * random((N, N), is_complex) / N**0.5
    root, drift = np.eye(N) + 0.3 * random((N, N), is_complex) / N**0.5, np.diag(np.linspace(0, 0.4, N))

    def vectors(t):
        Q = la.expm(t * turn) @ (np.eye(N) if hermitian else skew)
        return np.linalg.solve((root + t * drift).conj().T, Q) if with_mass else Q

    def A(t):
        V, L = vectors(t), root + t * drift
        M = L @ L.conj().T if with_mass else np.eye(N)
        S = M @ (V * (LEVELS + SLOPES * t)) @ np.linalg.inv(V)
        S = hermitian_part(S) if hermitian else S
        return (S, hermitian_part(M)) if with_mass else S

    return A, vectors


@pytest.mark.parametrize(
    ("hermitian", "is_complex", "with_mass"), list(itertools.product((True, False), (False, True), (False, True)))
)
def test_no_crossing_of_a_known_family_is_assigned_wrongly(hermitian, is_complex, with_mass):
    """Ten crossings in each of eight classes, on a coarse and a fine path."""
    A, vectors = family(hermitian, is_complex, with_mass)
    for points in (4, 13):
        path = np.linspace(0, 2.6, points)
        found = ka.track(A, path, k=K, hermitian=hermitian)
        exact = LEVELS[:K] + np.outer(path, SLOPES[:K])
        assert np.max(np.abs(found.w - exact)) < 1e-11
        for i, j in itertools.combinations(range(K), 2):
            assert (exact[0, i] - exact[0, j]) * (exact[-1, i] - exact[-1, j]) < 0
            (event,) = [event for event in found.events if event.modes == (i, j)]
            assert event.kind == "crossing"
            assert abs(event.p + (LEVELS[i] - LEVELS[j]) / (SLOPES[i] - SLOPES[j])) < 1e-7
            assert event.gap < 1e-7
        assert found.unsure == []
        assert np.min(found.weight) > 0.7
        for t, X in zip(path, found.X, strict=True):
            V = vectors(t)[:, :K]
            cosines = np.abs(np.sum(X.conj() * V, axis=0)) / np.linalg.norm(X, axis=0) / np.linalg.norm(V, axis=0)
            assert np.min(cosines) > 1 - 1e-10


def test_labels_and_gaps_do_not_depend_on_how_many_points_there_are():
    """Complex A(t) and M(t) whose levels avoid each other, some by less than a coarse step shows."""
    rng, n = np.random.default_rng(3), 6
    G, C, R = rng.standard_normal((3, n, n)) + 1j * rng.standard_normal((3, n, n))
    rates, axes = np.linalg.eigh(0.14 * hermitian_part(G))
    coupling, L = 0.012 * hermitian_part(C), np.eye(n) + 0.2 * R
    levels, slopes = np.r_[0.0, 0.9, 2.1, 3.6, 9, 9], np.r_[1.5, 0.4, -0.5, -1.3, 0.2, -0.1]

    def pencil(t):
        Q = (axes * np.exp(1j * t * rates)) @ axes.conj().T
        S = hermitian_part((Q * (levels + slopes * t)) @ Q.conj().T + coupling)
        return hermitian_part(L @ S @ L.conj().T), hermitian_part(L @ L.conj().T)

    def window(s, _):
        """The same by LAPACK."""
        A, M = pencil(2 * s / (points - 1))
        w, X = la.eigh(A, M)
        return Window(s, w, X, M @ X, None, None, lambda V: M @ V)

    for meeting, points in ((None, 1001), (0.02, 51)):
        first, other = (ka.track(pencil, np.linspace(0, 2, count), k=3, meeting=meeting) for count in (11, 101))
        limit = 1e-7 if meeting is None else meeting
        fine = follow(window, points, np.arange(3), n, Rules(3, 3, 1e-11, limit, 0.7, 2.0**-12))
        assert {event.kind for event in first.events} == ({"avoided"} if meeting is None else {"avoided", "crossing"})
        assert len(first.events) >= 4
        listed = [(met.labels, met.s, 2 * met.s / (points - 1), met.gap, met.kind) for met in fine.events]
        runs = (other.w, [tuple(event) for event in other.events]), (fine.w, listed)
        for w, events in runs:
            assert np.max(np.abs(w[:: (len(w) - 1) // 10] - first.w)) < 1e-10
            assert [(event[0], event[4]) for event in events] == [(event.modes, event.kind) for event in first.events]
            for event, same in zip(events, first.events, strict=True):
                assert abs(event[3] - same.gap) < 1e-7
                assert abs(event[2] - same.p) < 1e-4


@pytest.mark.parametrize("points", [2, 9, 30])
@pytest.mark.parametrize("is_complex", [False, True])
def test_meeting_decides_between_eigenvalue_and_character(points, is_complex):
    g = 0.05 * (np.exp(0.7j) if is_complex else 1.0)  # ±√(t² + |g|²): a gap of 0.1 at t = 0

    def two_levels(t):
        return np.array([[t, g, 0], [np.conj(g), -t, 0], [0, 0, 9.0]])

    path = np.linspace(-1, 1.3, points)
    kept, exchanged = (ka.track(two_levels, path, k=2, meeting=meeting) for meeting in (0.09, 0.11))
    for run, kind in ((kept, "avoided"), (exchanged, "crossing")):
        (event,) = run.events
        assert (event.modes, event.kind) == ((0, 1), kind)
        assert abs(event.gap - 0.1) < 1e-9
        assert abs(event.p) < 1e-5
    assert np.all(kept.w[:, 0] < 0)
    before = path < 0
    assert np.all((exchanged.w[:, 0] < 0) == before)
    assert np.all((exchanged.w[:, 1] > 0) == before)


@pytest.mark.parametrize("guard", [0, None])
def test_one_that_leaves_the_window_comes_back_as_itself(guard):
    turn = 0.05 * random((12, 12), False)

    def A(t):
        d = np.r_[0.0, 1 + 40 * t * (1 - t), 2.0 + np.arange(9), 0.5]
        Q = la.expm(t * (turn - turn.T))
        return hermitian_part((Q * d) @ Q.T)

    path = np.linspace(0, 1, 21)
    found = ka.track(A, path, k=3, guard=guard)
    assert np.allclose(found.w, np.c_[0 * path, 0 * path + 0.5, 1 + 40 * path * (1 - path)], atol=1e-12)
    assert [(event.modes, event.kind) for event in found.events] == [((2, -1), "crossing")] * 18  # nine, there and back


def test_a_symmetry_keeps_two_together_and_a_third_one_crosses_them():
    turn = 0.1 * random((8, 8), False)

    def A(t):
        Q = la.expm(t * (turn - turn.T))
        return hermitian_part((Q * np.r_[1 + t, 1 + t, 2 - t, 4.0, 5, 6, 7, 8]) @ Q.T)

    path = np.linspace(0, 1, 8)
    found = ka.track(A, path, k=3)
    assert np.allclose(found.w, np.c_[1 + path, 1 + path, 2 - path], atol=1e-12)
    assert found.degenerate == [(m, (0, 1)) for m in range(8)]
    assert found.unsure == []
    assert np.min(found.weight) > 0.9
    for before, after in itertools.pairwise(found.X):  # a basis that turns no more than it must
        assert np.min(np.diagonal(before.T @ after)) > 0.9


def test_one_space_that_splits_has_the_vectors_of_its_parts():
    turn = 0.1 * random((8, 8), True)

    def A(t):
        Q = la.expm(t * (turn - turn.conj().T))
        return hermitian_part((Q * np.r_[1 + t, 1 - t, 2.0, 4, 5, 6, 7, 8]) @ Q.conj().T)

    for hermitian in (True, False):
        found = ka.track(A, np.linspace(0, 0.8, 5), k=2, hermitian=hermitian)
        assert found.unsure == []
        assert np.allclose(np.sort(found.w[-1].real), [0.2, 1.8])
        assert np.min(found.weight) > 0.8
        overlaps = np.abs(np.sum(found.X[0].conj() * found.X[1], axis=0))
        assert np.min(overlaps) > 0.9  # the first basis is what the space becomes


def test_a_crossing_at_a_point_of_the_path_is_one_event():
    turn = 0.1 * random((6, 6), True)

    def A(t):
        Q = la.expm(t * (turn - turn.conj().T))
        return hermitian_part((Q * np.r_[t, -t, 2.0, 4, 5, 6]) @ Q.conj().T)

    for hermitian in (True, False):
        found = ka.track(A, np.linspace(-1, 1, 5), k=2, hermitian=hermitian)
        assert np.allclose(found.w, np.outer(np.linspace(-1, 1, 5), [1, -1]), atol=1e-12)
        assert [(event.modes, event.kind) for event in found.events] == [((0, 1), "crossing")]
        assert abs(found.events[0].p) < 1e-7
        assert found.degenerate == [(2, (0, 1))]
        assert found.unsure == []


def test_complex_eigenvalues_that_circle_each_other_do_not_meet():
    frame = np.eye(5) + 0.2 * random((5, 5), True)

    def A(t):
        return frame @ np.diag([1.0, 1 + np.exp(2j * np.pi * t), 4, 5, 6]) @ np.linalg.inv(frame)

    path = np.linspace(0, 1, 4)  # steps of 120°
    found = ka.track(A, path, k=2, hermitian=False, sigma=1.3)
    assert np.max(np.abs(np.sort_complex(found.w[0]) - [1, 2])) < 1e-12
    fixed = int(np.argmin(np.abs(found.w[0] - 1)))
    assert np.max(np.abs(found.w[:, fixed] - 1)) < 1e-12
    assert np.max(np.abs(found.w[:, 1 - fixed] - 1 - np.exp(2j * np.pi * path))) < 1e-12
    assert found.events == []


def cone(p):
    return la.block_diag([[p[0], p[1]], [p[1], -p[0]]], np.diag([3.0, 4.0, 5.0]))


def test_a_path_in_two_parameters_around_a_cone_reverses_signs():
    angle = np.linspace(0, 2 * np.pi, 25)
    found = ka.track(cone, np.c_[np.cos(angle), np.sin(angle)], k=2)
    assert np.allclose(found.w, [-1, 1])
    assert np.allclose(np.sum(found.X[0] * found.X[-1], axis=0), -1)  # Berry's phase
    assert found.events == []


def test_a_path_with_a_corner_at_a_cone_is_said_to_be_unsure():
    with pytest.warns(ka.TrackingWarning, match=r"pair 0 \(or 1\) between s = 2 and 2\.0.*p = \[.*weight 0\.50.*\(a\)"):
        found = ka.track(cone, [[-1, 0], [-0.5, 0], [0, 0], [0, 0.5], [0, 1]], k=2)
    assert {entry.mode for entry in found.unsure} == {0, 1}
    assert np.min(found.weight[3]) < 0.7
    assert found.degenerate == [(2, (0, 1))]


MIXED = np.linalg.qr(random((8, 8), True))[0]


def branch(z):
    """Eigenvalues ±√z in a frame of their own, and others far away."""
    A = np.diag(np.r_[0, 0, np.arange(3.0, 9.0)]) + 0j
    A[0, 1], A[1, 0] = 1, z
    return MIXED @ A @ MIXED.conj().T


def test_one_turn_around_an_exceptional_point_exchanges_and_two_do_not():
    turn = np.exp(2j * np.pi * np.linspace(0, 2, 25))
    found = ka.track(branch, 0.3 * turn, k=2, hermitian=False, which="SM")
    assert np.max(np.abs(found.w[12] - found.w[0, ::-1])) < 1e-10
    assert np.max(np.abs(found.w[24] - found.w[0])) < 1e-10
    assert np.max(np.abs(found.w[:, 0] ** 2 - 0.3 * turn)) < 1e-10
    assert found.unsure == []


@pytest.mark.parametrize(
    ("path", "at"), [([-1, 1], 0.5), (np.linspace(-0.5, 0.7, 8), 35 / 12), ([-1, -0.5, 0, 0.5, 1], 2)]
)
def test_a_path_through_an_exceptional_point_is_said_to_be_unsure(path, at):
    with pytest.warns(ka.TrackingWarning, match="find_exceptional_point"):
        found = ka.track(branch, path, k=2, hermitian=False, sigma=0.05)
    (event,) = found.events
    assert (event.modes, event.kind) == ((0, 1), "exceptional")
    assert abs(event.s - at) < 1e-3
    assert np.max(np.abs(found.w**2 - np.asarray(path)[:, None])) < 1e-7  # the eigenvalues are there all the same
    assert np.min(found.weight[int(np.ceil(at))]) < 0.7


def test_beside_an_exceptional_point_the_way_around_decides():
    for side in (1, -1):
        found = ka.track(branch, np.linspace(-0.5, 0.7, 6) + side * 1e-4j, k=2, hermitian=False, sigma=0.05)
        root = np.sqrt(np.linspace(-0.5, 0.7, 6) + side * 1e-4j)  # continuous on either side of the real axis
        sign = np.sign((found.w[0, 0] / root[0]).real)
        assert np.max(np.abs(found.w[:, 0] - sign * root)) < 1e-10
        assert found.unsure == []


def test_three_that_come_together_without_symmetry_are_told_apart_by_short_steps():
    """In one step of the coarse path three pairs meet within their couplings."""
    rng, n = np.random.default_rng(115), 8
    G, C = (rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n)) for _ in range(2))
    levels, slopes = rng.uniform(0, 4, n), rng.uniform(-2, 2, n)
    levels[5:] += 6
    frame = np.eye(n) + 0.3 * rng.standard_normal((n, n)) / n**0.5

    def A(t):
        Q = la.expm(0.2 * t * G / n**0.5) @ frame
        return (Q * (levels + slopes * t)) @ np.linalg.inv(Q) + 0.03 * C / n**0.5

    coarse, fine = (ka.track(A, np.linspace(0, 1, points), k=3, hermitian=False) for points in (6, 26))
    assert coarse.unsure == fine.unsure == []
    assert np.max(np.abs(coarse.w - fine.w[::5])) < 1e-10


def test_where_all_is_defective_is_said():
    with pytest.raises(ka.DefectiveEigenvalueError, match="defective"):
        ka.track(lambda p: branch(0 * p), [0.0, 1.0], k=2, hermitian=False, sigma=0.05)
    with pytest.warns(ka.TrackingWarning, match="exceptional"):
        found = ka.track(lambda p: branch(max(0.5 - p, 0)), [0.0, 1.0, 2.0], k=2, hermitian=False, sigma=0.05)
    assert np.max(np.abs(found.w[1:])) < 1e-7
    assert np.all(found.weight[1:] == 0)
    assert [event.kind for event in found.events] == ["exceptional", "exceptional"]


def test_random_phases_and_gauges_do_not_matter():
    """A ring of complex hoppings with a flux through it: as one quantum of it is added, levels pass one another."""
    n = 240
    rows, columns = np.arange(n), (np.arange(n) + 1) % n

    def ring(flux):
        hop = -np.exp(1j * flux / n) * np.ones(n)
        return sp.csr_array((np.r_[hop, hop.conj()], (np.r_[rows, columns], np.r_[columns, rows])), shape=(n, n))

    path = np.linspace(0.3, 0.3 + 2 * np.pi, 8)
    found = ka.track(ring, path, k=3, sigma=-2.01)
    momenta = [0, -1, 1]
    assert np.max(np.abs(found.w + 2 * np.cos((path[:, None] + 2 * np.pi * np.array(momenta)) / n))) < 1e-12
    assert found.unsure == []
    phases = np.sum(found.X[:-1].conj() * found.X[1:], axis=1)
    assert np.max(np.abs(phases - 1)) < 1e-8  # plane waves, which do not change


@pytest.mark.parametrize("form", ["sigma", "matrix-free", "largest"])
def test_large_operators_in_every_form(form):
    """A rectangle's modes cross as its sides change: −∂²/∂x² − p ∂²/∂y², of order 225."""
    n = 15
    T = sp.diags_array([-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1])
    levels = 2 - 2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))

    def matrix(p):
        return (sp.kron(T, sp.eye_array(n)) + p * sp.kron(sp.eye_array(n), T)).tocsr()

    def functions(p):
        return ka.LinearOperator(
            (n * n, n * n), lambda x: (T @ x.reshape(n, n) + p * (T @ x.reshape(n, n).T).T).ravel(), dtype=float
        )

    operator, arguments = {
        "sigma": (matrix, {"sigma": 0.0}), "matrix-free": (functions, {}), "largest": (matrix, {"which": "LA"})
    }[form]  # fmt: skip
    path = np.linspace(0.6, 1.7, 6)
    found = ka.track(operator, path, k=4, **arguments)
    exact = levels[:, None] + path[:, None, None] * levels  # (points, n, n)
    for i in range(4):
        j, m = np.unravel_index(np.argmin(np.abs(exact[0] - found.w[0, i])), (n, n))
        assert np.max(np.abs(found.w[:, i] - exact[:, j, m])) < 1e-11
    assert {event.kind for event in found.events} == {"crossing"}


def test_a_cluster_at_the_end_of_the_window_is_completed():
    """Left vectors of an incomplete cluster do not exist: the window grows by what it cut."""
    n = 210
    U = np.eye(n) + 0.1 * RNG.standard_normal((n, n)) / n**0.5
    inverse = np.linalg.inv(U)

    def A(t):
        return (U * np.r_[1 + t, 2 - t, 3, 4, 4.2, 4.2, np.linspace(6, 20, n - 6)]) @ inverse

    found = ka.track(A, [0.0, 1.0], k=2, guard=3, hermitian=False, sigma=0.0)
    assert np.max(np.abs(found.w - [[1, 2], [2, 1]])) < 1e-10
    assert [event.kind for event in found.events] == ["crossing"]


@pytest.mark.parametrize("hermitian", [True, False])
def test_units_do_not_matter(hermitian):
    A, _ = family(hermitian, True, True)
    path = np.linspace(0, 2.6, 5)
    found = ka.track(lambda t: (1e30 * A(t)[0], 1e-8 * A(t)[1]), path, k=K, hermitian=hermitian)
    assert np.max(np.abs(found.w / 1e38 - (LEVELS[:K] + np.outer(path, SLOPES[:K])))) < 1e-11
    assert len(found.events) == 10


def test_single_precision_stays_single():
    found = ka.track(lambda t: np.diag([t, 1 - t, 3.0, 4.0]).astype(np.float32), np.linspace(0, 1, 4), k=2)
    assert (found.w.dtype, found.X.dtype) == (np.float32, np.float32)
    assert np.allclose(found.w, np.c_[np.linspace(0, 1, 4), np.linspace(1, 0, 4)], atol=1e-6)


def test_what_a_result_reports():
    asked, told = set(), []

    def A(t):
        asked.add(t)
        return cone([np.cos(t), np.sin(t)])

    found = ka.track(A, np.linspace(0, 3, 7), k=2, callback=lambda m, solves: told.append((m, solves)))
    assert [m for m, _ in told] == list(range(1, 7))
    assert found.solves == len(asked) == told[-1][1]
    more = ka.track(A, np.linspace(0, 3, 7), k=2, sure=0.99)
    assert more.solves > found.solves
    with pytest.warns(ka.TrackingWarning):
        coarse = ka.track(A, [0.0, 1.2], k=2, smallest=1.0)
    assert len(coarse.unsure) == 2
    assert ka.track(A, [0.0, 1.2], k=2).unsure == []
    assert ka.track(A, [0.0, 0.1], k=2, which="LM").w[0].tolist() == [5, 4]
    assert np.allclose(ka.track(A, [0.0, 0.1], k=2, sigma=3.4).w[0], [3, 4])


def test_followed_pairs_are_differentiated_by_what_has_derivatives():
    def A(t):
        return anp.array([[t, 0.0, 0.0], [0.0, 1 - t, 0.0], [0.0, 0.0, 5.0]])

    found = ka.track(A, [0.0, 0.8], k=1)

    def level(t):
        return ka.attach_eigenpairs(A(t), found.w[-1], found.X[-1], hermitian=True)[0][0]

    assert abs(grad(level)(0.8) - 1) < 1e-12
    with pytest.raises(TypeError, match="attach_eigenpairs"):
        grad(lambda t: ka.track(lambda s: A(s * t), [0.0, 0.8], k=1).w[-1, 0])(1.0)
    with pytest.raises(TypeError, match="attach_eigenpairs"):
        grad(lambda t: ka.track(A, [0.0, t], k=1).w[-1, 0])(0.8)

    def closure(t):
        return lambda s: ka.LinearOperator((3, 3), lambda x: anp.dot(A(s * t), x), dtype=float)

    with pytest.raises(TypeError, match="attach_eigenpairs"):
        grad(lambda t: ka.track(closure(t), [0.0, 0.8], k=1).w[-1, 0])(1.0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"path": [0.0]}, ValueError, "two or more"),
        ({"path": [0.0, np.nan]}, ValueError, "NaN"),
        ({"path": [[0.0, 1.0], [1.0]]}, ValueError, "vectors of one shape"),
        ({"path": ["a", "b"]}, ValueError, "two or more numbers or vectors.*<U"),
        ({"k": 0}, ValueError, "from 1 to 5"),
        ({"k": 6}, ValueError, "from 1 to 5"),
        ({"k": 1.5}, ValueError, "whole number"),
        ({"guard": -1}, ValueError, "guard=-1"),
        ({"which": "BE"}, ValueError, "which='BE'"),
        ({"which": "LA", "sigma": 1.0}, ValueError, "closest to sigma"),
        ({"sigma": 1j}, ValueError, "real of a Hermitian"),
        ({"sure": 0.4}, ValueError, "between 0.5 and 1"),
        ({"smallest": 0.0}, ValueError, "smallest=0.0"),
        ({"meeting": -1.0}, ValueError, "meeting=-1.0"),
        ({"A_of_p": cone([1, 0])}, TypeError, "function of p"),
        ({"adjoint": "dense"}, TypeError, "Adjoint"),
        ({"callback": 3}, TypeError, "callback"),
        ({"A_of_p": lambda p: cone([1, p]) + np.triu(np.ones((5, 5)))}, ValueError, "[Hh]ermitian"),
        ({"A_of_p": lambda p: np.eye(5 + int(p))}, ValueError, "order 5 at the first point and 6"),
    ],
)
def test_misuse_is_an_error(change, error, message):
    arguments = {"A_of_p": lambda p: cone([1, p]), "path": [0.0, 1.0], "k": 2, **change}
    with pytest.raises(error, match=message):
        ka.track(**arguments)


UNCOUPLED = {
    "first": (
        [[0.126, 0, 0], [0, -0.093, 0.264], [0, 0.264, -0.379]],
        [[0.362, 0, 0], [0, 0.922, 0.086], [0, 0.086, -0.895]],
    ),
    "second": (
        [[-0.432, 0, 0], [0, -0.799, -0.153], [0, -0.153, 1.424]],
        [[0.924, 0, 0], [0, -0.254, 0.771], [0, 0.771, 2.004]],
    ),
}


@pytest.mark.parametrize("name", UNCOUPLED)
@pytest.mark.parametrize("points", [2, 3, 4, 5, 7, 9])
def test_a_level_that_is_not_coupled_goes_straight_through_one_that_bends(name, points):
    """It crosses the lower of two levels that avoid each other, twice, both times in one long step perhaps."""
    A0, A1 = map(np.array, UNCOUPLED[name])
    found = ka.track(lambda p: A0 + p * A1, np.linspace(-2, 2, points), 2)
    straight = A0[0, 0] + A1[0, 0] * np.array([-2.0, 2.0])
    label = int(np.argmin(np.abs(found.w[0] - straight[0])))
    np.testing.assert_allclose(found.w[[0, -1], label], straight, atol=1e-12)
    assert not found.unsure


@pytest.mark.parametrize(("sizes", "k", "hermitian", "is_complex"), [
    ((4, 4), 4, True, False), ((1, 2), 2, False, False), ((2, 2), 2, False, True), ((3, 3), 3, True, True),
])  # fmt: skip
def test_uncoupled_blocks_in_long_steps(sizes, k, hermitian, is_complex):
    """Levels of one block avoid each other, and cross those of the other one: each keeps its rank in its own block."""
    for seed in range(3):
        rng = np.random.default_rng(seed)

        def draw(n, rng=rng):
            G = rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if is_complex else 0)
            return 0.5 * (G + G.conj().T)

        blocks = [[draw(n), draw(n)] for n in sizes]
        Q = la.qr(draw(sum(sizes)))[0]

        def at(p, blocks=blocks, Q=Q):
            return Q @ la.block_diag(*[B0 + p * B1 for B0, B1 in blocks]) @ Q.conj().T

        found = ka.track(at, np.linspace(-2, 2, 5), k, hermitian=hermitian, which="SA")
        ends = [np.concatenate([la.eigvalsh(B0 + p * B1) for B0, B1 in blocks]) for p in (-2, 2)]
        lowest = np.argsort(ends[0])[:k]
        order = np.argsort(np.real(found.w[0]))
        np.testing.assert_allclose(np.real(found.w[-1])[order], ends[1][lowest], atol=1e-9)
