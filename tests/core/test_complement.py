"""What rules eigenvalues out: Krylov polynomials, regions of what was wanted, and the compressed pencil."""

import tracemalloc

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse.linalg as spla

from krylov_adj.krylov.complement import LIKELY, SHARE, Polynomials, look_outside
from krylov_adj.krylov.space import WHOLE
from krylov_adj.options import Adjoint
from krylov_adj.perturbation import rest
from krylov_adj.perturbation.completeness import Judge
from krylov_adj.perturbation.pairs import DeflatedPairs
from krylov_adj.perturbation.problem import Eigenproblem, ValueOperator
from krylov_adj.perturbation.selection import Ranking, Region, ranking

N = 60


def gaussian(rng, shape, is_complex=True):
    return rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if is_complex else 0)


def matrix(values, seed=0, condition=1.0, is_complex=True):
    """V diag(values) V⁻¹, and the left eigenvectors, ‖y‖ = 1, as columns."""
    rng, n = np.random.default_rng(seed), len(values)
    V = la.qr(gaussian(rng, (n, n), is_complex))[0]
    if condition > 1:
        V = V * np.geomspace(1, condition, n) @ la.qr(gaussian(rng, (n, n), is_complex))[0]
    left = la.inv(V).conj().T
    return V @ np.diag(values) @ la.inv(V), V, left / la.norm(left, axis=0)


# ---- polynomials -----------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [4, 12, 40])
@pytest.mark.parametrize("condition", [1.0, 1e3])
@pytest.mark.parametrize("is_complex", [False, True])
def test_a_left_eigenvector_has_the_share_that_polynomials_leave_it(window, condition, is_complex):
    """yᴴv_j = π_j(ζ) yᴴr, whatever T is and however short the recurrence; |yᴴr|² Σ |π_j(ζ)|² ≤ 1."""
    rng = np.random.default_rng(1)
    values = np.linspace(-1, 2, N) + (0.3j * rng.standard_normal(N) if is_complex else 0)
    T, V, left = matrix(values, 2, condition, is_complex)
    Q = la.qr(V[:, :3], mode="economic")[0]
    start = gaussian(rng, N, is_complex)
    polynomials = Polynomials(WHOLE, lambda v: T @ v, start, Q, values[3:].astype(complex), window, 30)
    P = np.eye(N) - Q @ Q.conj().T
    r = P @ start / la.norm(P @ start)
    Y = la.eig((P @ T @ P).conj().T)
    for _ in range(15):
        polynomials.step()
    vector = polynomials.process.basis[polynomials.process.d + polynomials.m % (window + 1)]
    sums = polynomials.sums()
    for m, value in enumerate(values[3:]):
        y = Y[1][:, np.argmin(abs(Y[0] - np.conj(value)))]
        share = abs(np.vdot(y, r))
        assert abs(np.vdot(y, vector)) == pytest.approx(
            share * abs(polynomials.values[polynomials.m, m]), rel=1e-5, abs=1e-9
        )
        assert share**2 * sums[m] <= 1 + 1e-6
    assert la.norm(Q.conj().T @ vector) < 1e-12


def looked(T, Q, points, depth, n=N, is_complex=True, window=40, budget=20, bounded=False, seed=3):
    calls = []

    def apply(v):
        calls.append(0)
        return T @ v

    start = gaussian(np.random.default_rng(seed), n, is_complex)
    seen = look_outside(WHOLE, apply, start, Q, np.asarray(points), depth, bounded, window, budget, 2 * budget)
    return seen, len(calls)


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("condition", [1.0, 50.0])
def test_a_copy_is_likely_and_nothing_is_ruled_out_where_there_is_one(is_complex, condition):
    values = np.r_[3.0, 2.5, np.linspace(-1, 1, N - 3), 2.5]
    T, V, _ = matrix(values, 0, condition, is_complex)
    Q = la.qr(V[:, :2], mode="economic")[0]
    seen, _ = looked(T, Q, [3.0, 2.5], lambda z: z.real - 2.5 + 1e-12, is_complex=is_complex)
    assert (seen.settled, seen.likely) == (False, True)
    assert seen.value == pytest.approx(2.5, abs=1e-6)
    Q = la.qr(V[:, [0, 1, N - 1]], mode="economic")[0]
    seen, steps = looked(T, Q, [3.0, 2.5], lambda z: z.real - 2.5 + 1e-12, is_complex=is_complex)
    assert seen.settled
    assert steps < 20


def test_few_start_vectors_are_blind():
    """Of 400 with a copy that is there, none is said to be certain, and few to be unlikely."""
    values = np.r_[1.0, np.linspace(-1, 0.6, N - 2), 1.0]
    T, Q = np.diag(values), np.eye(N)[:, :1]
    for is_complex in (False, True):
        unlikely = 0
        for seed in range(200):
            seen, _ = looked(T, Q, [1.0], lambda z: z.real - 1 + 1e-12, is_complex=is_complex, seed=seed)
            assert not seen.settled
            unlikely += not seen.likely
        assert unlikely <= 10
    assert SHARE["f"] < LIKELY["f"]
    assert SHARE["c"] < LIKELY["c"]


def test_what_was_missed_inside_is_seen_though_no_point_is_near():
    values = np.r_[3.0, 2.5, np.linspace(-1, 1, N - 3), 7.0]
    T, V, _ = matrix(values)
    seen, _ = looked(T, V[:, :2], [3.0, 2.5], lambda z: z.real - 2.5 + 1e-12)
    assert seen.likely
    assert seen.value == pytest.approx(7.0, abs=1e-3)


def test_a_near_neighbour_is_no_copy():
    """1e-4 away it takes a few more steps; nothing is said to be there."""
    values = np.r_[3.0, 3.0 - 1e-4, np.linspace(-1, 1, N - 2)]
    T, V, _ = matrix(values)
    seen, steps = looked(T, V[:, :1], [3.0], lambda z: z.real - 3.0 + 1e-12, budget=30)
    assert seen.settled
    assert steps > 10


def test_an_invariant_space_is_all_there_is():
    seen, steps = looked(2.5 * np.eye(N), np.eye(N)[:, :1], [2.5], lambda z: z.real - 2.5 + 1e-12)
    assert (seen.settled, seen.likely, steps) == (False, True, 1)
    assert seen.residual < 1e-13
    assert la.norm(seen.vector) == pytest.approx(1)
    seen, steps = looked(np.diag(np.r_[3.0, np.ones(N - 1)]), np.eye(N)[:, :1], [3.0], lambda z: z.real - 3.0 + 1e-12)
    assert (seen.settled, steps) == (True, 1)


def test_inside_of_the_spectrum():
    """Ritz values pass through a region in the middle that are no eigenvalues."""
    rng = np.random.default_rng(4)
    outside = np.where(rng.random(N - 1) < 0.5, -1, 1) * rng.uniform(0.4, 1, N - 1)
    T, V, _ = matrix(np.r_[0.1, outside])
    points = [0.1, 0.1, -0.1]
    seen, _ = looked(T, V[:, :1], points, lambda z: 0.1 - abs(z) + 1e-12, bounded=True, budget=45, window=60)
    assert seen.settled
    T, V, _ = matrix(np.r_[0.1, outside[1:], 0.1])
    seen, _ = looked(T, V[:, :1], points, lambda z: 0.1 - abs(z) + 1e-12, bounded=True, budget=25, window=60)
    assert not seen.settled
    assert seen.likely


def test_its_memory_is_the_window():
    """However many steps: no vector besides those that are kept, and a few for one step."""
    n, window = 100_000, 6
    values = np.linspace(-1, 1, n)
    peaks = []
    for budget in (10, 40):
        tracemalloc.start()
        start = np.random.default_rng(0).standard_normal(n)
        look_outside(
            WHOLE,
            lambda v: values * v, start, np.eye(n, 1), np.array([1.001]), lambda z: z.real - 1.001, False, window,
            budget, budget,
        )  # fmt: skip
        peaks.append(tracemalloc.get_traced_memory()[1] / (8 * n))
        tracemalloc.stop()
    assert max(peaks) < window + 10
    assert abs(peaks[1] - peaks[0]) < 0.5


# ---- regions ---------------------------------------------------------------------------------------

CALLS = [
    *[("eigsh", which, {}) for which in ("LM", "SM", "LA", "SA", "BE")],
    *[("eigsh", which, {"sigma": 0.3}) for which in ("LM", "LA", "SA", "BE", "SM")],
    ("eigsh", "LM", {"sigma": 0.3, "mode": "cayley"}),
    ("eigsh", "LM", {"sigma": 0.3, "mode": "buckling"}),
    *[("eigs", which, {}) for which in ("LM", "SM", "LR", "SR", "LI", "SI")],
    *[("eigs", which, {"sigma": 0.3}) for which in ("LM", "LR", "SR", "SM")],
    *[("eigs real", which, {}) for which in ("LM", "SM", "LR", "SR", "LI")],
    ("eigs real", "LM", {"sigma": 0.3}),
    ("eigs real", "LM", {"sigma": 0.3 + 0.4j}),
    ("eigs real", "LM", {"sigma": 0.3 + 0.4j, "OPpart": "i"}),
]


@pytest.mark.parametrize(("solver", "which", "arguments"), CALLS)
def test_a_region_is_what_scipy_wants(solver, which, arguments):
    """Of what SciPy returns nothing is behind what it does not; without the most wanted one all others are."""
    rng, n, k = np.random.default_rng(5), 16, 4
    M = None
    if solver == "eigsh":
        A = rng.standard_normal((n, n))
        A = A + A.T
        if arguments.get("mode") == "buckling":
            M, A = A, A @ A + 5 * np.eye(n)
    else:
        A = rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if solver == "eigs" else 0)
    w = la.eigvalsh(A, M) if solver == "eigsh" and M is None else la.eigvals(A, M)
    w = w.real if solver == "eigsh" else w
    found = (spla.eigsh if solver == "eigsh" else spla.eigs)(
        A, k, M, which=which, v0=np.ones(n), maxiter=9999, **arguments
    )[0]
    if solver == "eigs real":  # of a pair that k cuts the other one is known
        found = np.r_[found, found.conj()]
    call = {"which": which, "sigma": None, "mode": "normal", "OPpart": None, **arguments}
    ranked = ranking(solver == "eigsh", solver != "eigs", True, **call)
    computed = np.min(abs(w[:, None] - found), axis=1) < 1e-6
    theta, others = ranked.theta(w[computed]), ranked.theta(w[~computed])
    region, margin = Region.of(ranked, theta), np.full(theta.size, 1e-9)
    assert not any(region.behind(other, theta, margin).any() for other in others)
    assert np.all(region.depth(others) < 1e-9)
    assert np.all(region.depth(theta) > -1e-9)
    # Points of the boundary are neither inside nor outside.
    assert np.max(abs(region.depth(region.boundary(theta)))) < 1e-9
    depths = region.depth(theta)
    if which != "BE":
        most = int(np.argmax(depths))
        kept = np.flatnonzero(depths < depths[most] - 1e-9)
        assert Region.of(ranked, theta[kept]).behind(theta[most], theta[kept], margin[kept]).all()


def test_both_ends():
    z = np.array([-5.0, -4.0, 2.0, 3.0, 4.0])
    region = Region.of(Ranking("BE", None, "none", True), z)
    assert region.ends == (-4.0, 2.0)
    assert region.behind(-4.5, z, np.zeros(5)).tolist() == [False, True, False, False, False]
    assert region.behind(3.5, z, np.zeros(5)).tolist() == [False, False, True, True, False]
    assert not region.behind(0.0, z, np.zeros(5)).any()


# ---- the compressed pencil -------------------------------------------------------------------------


def operator(A):
    return ValueOperator(A.shape, A.dtype, lambda V: A @ V, lambda V: A.conj().T @ V, "A", A)


def judge_of(A, B, w, X, hermitian):
    problem = Eigenproblem(operator(A), None if B is None else operator(B), hermitian, "2")
    return Judge(DeflatedPairs.of(problem, w, X, Adjoint(), np.full(w.size, 1e-15)))


@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("mass", [None, "definite", "indefinite", "singular"])
@pytest.mark.parametrize("seed", range(6, 11))
def test_the_compressed_pencil_has_the_other_eigenvalues(hermitian, mass, seed):
    rng, n, k = np.random.default_rng(seed), 14, 3
    A = gaussian(rng, (n, n))
    A = A + A.conj().T if hermitian else A
    B = None
    if mass is not None:
        F = la.qr(gaussian(rng, (n, n)))[0]
        levels = np.linspace(1, 3, n) * (np.where(np.arange(n) % 3, 1, -1) if mass == "indefinite" else 1)
        levels[-2:] *= mass != "singular"
        B = (F * levels) @ F.conj().T
    w, X = la.eig(A, B)
    finite = np.flatnonzero(np.abs(w) < 1e6)
    if hermitian:
        real = np.abs(w[finite].imag) < 1e-9
        finite = finite[real] if mass != "indefinite" else finite
        if mass == "indefinite" and not real.all():
            A = A @ A.conj().T + np.eye(n)  # definite: real eigenvalues
            w, X = la.eig(A, B)
            finite = np.arange(n)
        w = np.where(abs(w) < 1e6, w.real, np.inf)
    assert finite.size == n - 2 * (mass == "singular")
    judge = judge_of(A, B, w[finite[:k]], X[:, finite[:k]], hermitian)
    pairs = judge.pairs
    right = rest.complement(pairs.Q_BX if hermitian else pairs.Q_X)
    left = right if hermitian else rest.complement(pairs.Q_BX)
    compressed = None if B is None else left.conj().T @ B @ right
    others = rest.eigenvalues(left.conj().T @ A @ right, compressed, hermitian)
    assert others.size == finite.size - k
    distances = np.abs(w[finite[k:], None] - others)
    assert np.max(distances.min(axis=1)) < 1e-9 * (1 + np.max(abs(others)))
    found = rest.by_lapack(judge)
    assert (found.state, found.cut) == ("proved", {})
    np.testing.assert_allclose(found.closest, np.min(abs(others[:, None] - judge.w), axis=0), rtol=1e-6)


def test_an_ill_conditioned_copy_is_a_copy():
    """Rounding splits a double eigenvalue of condition 1e8 by 1e-8; that A − w is singular is seen."""
    n = 20
    values = np.r_[1.0, 1.0, np.linspace(2, 6, n - 2)]
    A, V, left = matrix(values, 7, 1e8)
    x = V[:, :1] / la.norm(V[:, 0])
    assert rest.by_lapack(judge_of(A, None, np.array([1.0 + 0j]), x, False)).cut.keys() == {0}
    # Where it is far from that, it is none.
    values[1] = 1.0 + 1e-3
    A, V, left = matrix(values, 7, 1e4)
    x = V[:, :1] / la.norm(V[:, 0])
    assert rest.by_lapack(judge_of(A, None, np.array([1.0 + 0j]), x, False)).cut == {}
