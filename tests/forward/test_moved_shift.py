"""Warm `eigsh` calls factorise at a better shift than sigma: the same pairs for half the solves, and none missed."""

import numpy as onp
import pytest
import scipy.linalg as la
import scipy.sparse as sp
from autograd import grad, value_and_grad
from autograd import numpy as np
from scipy.optimize import minimize

import krylov_adj as ka
from krylov_adj.forward import eigenpairs as forward
from krylov_adj.forward import warm_start
from krylov_adj.forward.warm_start import better_shift, gap_beyond, rayleigh_ritz
from krylov_adj.krylov.ordering import ClosestTo, InvariantSubspace
from krylov_adj.perturbation.problem import ValueOperator

N = 20
D2 = (N + 1) ** 2 * sp.diags([-onp.ones(N - 1), 2 * onp.ones(N), -onp.ones(N - 1)], offsets=[-1, 0, 1]).tocsr()
EYE = sp.eye(N, format="csr")
LAPLACIAN = (sp.kron(D2, EYE) + 1.7 * sp.kron(EYE, D2)).tocsr()
MASS = sp.kron(EYE, sp.eye(N) - D2 / D2[0, 0] / 3).tocsr()
DIAGONAL = onp.arange(N * N)
AXIS = onp.linspace(0, 1, N + 2)[1:-1]
WAVES = onp.stack([onp.kron(onp.sin(a * onp.pi * AXIS), onp.sin(b * onp.pi * AXIS)) for a in (1, 2) for b in (1, 2)])


@pytest.fixture
def shifts(monkeypatch):
    """The shifts at which inverses are made."""
    made, make = [], forward.make_inverse

    def record(A, M, sigma, OPinv, hermitian):
        made.append(sigma)
        return make(A, M, sigma, OPinv, hermitian)

    monkeypatch.setattr(forward, "make_inverse", record)
    return made


def pairs(A, p, warm, reports=None, k=4, **arguments):
    """The pairs of A + diag(p · waves)."""
    options = ka.Adjoint(callback=(reports if reports is not None else []).append)
    potential = ka.coo_array((20 * np.dot(p, WAVES), (DIAGONAL, DIAGONAL)), shape=A.shape)
    return ka.eigsh(ka.aslinearoperator(A) + potential, k=k, continuation=warm, adjoint=options, **arguments)


def path(steps, size=0.02):
    return [onp.array([1.0, -0.5, 0.3, 0.2]) + size * i * onp.array([1.0, 0.5, -1.0, 0.7]) for i in range(steps)]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("k", [1, 2, 4, 9])
@pytest.mark.parametrize("M", [None, MASS])
def test_the_same_gradients_for_less(shifts, sign, k, M):
    """Above σ and, with −A, below it."""

    def loss(p, warm, reports):
        w, X = pairs(sign * LAPLACIAN, sign * p, warm, reports, k, sigma=0.0, M=M)
        return np.sum(w * onp.arange(1, k + 1)) + N * N * np.sum(WAVES[0][:, None] * X**2 * onp.arange(1, k + 1))

    warm, solves = ka.Continuation(), []
    for p in path(6):
        gradients = []
        for continuation in (None, warm):
            reports = []
            gradients.append(grad(loss)(p, continuation, reports))
            solves.append(sum(report.solves for report in reports))
        onp.testing.assert_allclose(*gradients, atol=1e-9 * onp.max(onp.abs(gradients[0])))
    assert shifts[:3] == [0.0, 0.0, 0.0]  # a cold call, the first warm one, the next cold one
    moved = onp.array(shifts[3::2])
    assert onp.all(sign * moved > 0)
    assert sum(solves[3::2]) < 0.75 * sum(solves[2::2])


def test_a_quarter_of_the_solves_of_an_optimisation_is_saved():
    """At least: twenty steps towards other levels."""

    def levels(p, warm, reports):
        w, X = pairs(LAPLACIAN, p, warm, reports, sigma=0.0)
        return np.sum((w / targets - 1) ** 2) * 400 + np.sum(WAVES[3][:, None] * X**4)

    targets, solves, ends = pairs(LAPLACIAN, onp.zeros(4), None, sigma=0.0)[0] * [1.01, 0.98, 1.02, 1.0], [], []
    for warm in (None, ka.Continuation()):
        reports = []
        options = {"maxiter": 20, "ftol": 0, "gtol": 0}
        function = value_and_grad(lambda p, warm=warm, reports=reports: levels(p, warm, reports))
        ends.append(minimize(function, onp.ones(4), jac=True, method="L-BFGS-B", options=options))
        solves.append(sum(report.solves for report in reports))
    assert ends[0].fun == pytest.approx(ends[1].fun, rel=1e-6)
    assert solves[1] < 0.75 * solves[0]


def diagonal(w):
    return ka.coo_array((w, (onp.arange(w.size), onp.arange(w.size))), shape=(w.size, w.size))


def traced(w, warm, k, **arguments):
    """The k eigenvalues of diag(w) closest to zero, by a traced call."""
    found = []

    def f(w):
        values, _ = ka.eigsh(diagonal(w), k=k, sigma=0.0, continuation=warm, **arguments)
        found.append(onp.array(values._value))
        return np.sum(values)

    grad(f)(w)
    return found[0]


#: Eigenvalues that a call has to find although nothing that is kept has any of them.
COMERS = {
    "on the other side of sigma": -9.0,
    "just inside the window on the other side": -12.9,
    "next to sigma": 1e-3,
    "next to sigma on the other side": -1e-3,
    "next to the moved shift": 12.2,
    "between the wanted ones": 11.0,
    "twice the same": 11.5,
    "before the first": 9.9,
}


@pytest.mark.parametrize("name", COMERS)
@pytest.mark.parametrize("copies", [1, 2])
def test_eigenvalues_that_come_from_elsewhere(shifts, name, copies):
    """In coordinates where no start vector made of kept ones has any of them."""
    w = onp.concatenate([[10.0, 11.5, 13.0], onp.linspace(16, 90, 300)])
    warm = ka.Continuation()
    for _ in range(3):
        onp.testing.assert_allclose(traced(w, warm, 3), [10, 11.5, 13], rtol=1e-12)
    assert shifts[-1] not in (0.0, COMERS[name])
    w[-copies:] = COMERS[name]
    order = onp.argsort(onp.abs(w), kind="stable")
    expected, next_one = onp.sort(w[order[:3]]), w[order[3]]
    for _ in range(3):
        if onp.any(expected == next_one):
            with pytest.warns(ka.DegeneracyWarning, match="not computed"):
                found = traced(w, warm, 3)
        else:
            found = traced(w, warm, 3)
        onp.testing.assert_allclose(found, expected, rtol=1e-11)
        w = w[::-1].copy()


@pytest.mark.parametrize("M", [None, sp.identity(300, format="csr")])
@pytest.mark.parametrize("depth", [1e-3, 1e-2, 0.1])
@pytest.mark.parametrize("beyond", [0.01, 0.1])
def test_one_that_comes_with_a_crowd_just_beyond_the_window(M, depth, beyond):
    """On its side of T's spectrum nothing converges for long, on the other at once what is next to the window."""
    w = onp.concatenate([[10.0, 11.5, 13.0, 13 + beyond], onp.linspace(100, 900, 296)])
    warm = ka.Continuation()
    for _ in range(2):
        traced(w, warm, 3, M=M)
    w[-200:] = -onp.linspace(13.02 + beyond, 15, 200)
    w[-1] = depth - 13
    onp.testing.assert_allclose(traced(w, warm, 3, M=M), [depth - 13, 10, 11.5], rtol=1e-11)


@pytest.mark.parametrize("M", [None, sp.identity(300, format="csr")])
def test_one_that_comes_with_a_crowd_where_copies_are_found(M):
    """A multiple eigenvalue that k cuts does not end the search."""
    w = onp.concatenate([[10.0, 11.5, 13.0, 13.5], onp.linspace(100, 900, 296)])
    warm = ka.Continuation()
    for _ in range(2):
        traced(w, warm, 3, M=M)
    w[3:6] = 13
    w[-200:] = -onp.linspace(13.01, 15, 200)
    w[-1] = -12.9
    onp.testing.assert_allclose(traced(w, warm, 3, M=M), [-12.9, 10, 11.5], rtol=1e-11)


def test_all_copies_of_a_multiple_eigenvalue():
    w = onp.concatenate([[10.0, 11.0, 11.0, 11.0, 14.0], onp.linspace(16, 90, 300)])
    warm = ka.Continuation()
    for shift in (0.0, 0.01, 0.02, 0.03):
        onp.testing.assert_allclose(traced(w + shift, warm, 5), w[:5] + shift, rtol=1e-12)


@pytest.mark.parametrize("shift", [10.0, 11.5, 13.0, 0.0, 13.1, 14.4, 16.0, 40.0, -40.0, 1e-14])
def test_a_shift_in_a_bad_place(monkeypatch, shifts, shift):
    """At an eigenvalue, beside all of them, between others: the caller's sigma has the last word, and solves count."""
    w = onp.concatenate([[10.0, 11.5, 13.0], onp.linspace(16, 90, 300)])
    forward = []
    for place in (0.0, shift):
        monkeypatch.setattr(warm_start, "better_shift", lambda *_, place=place: place)
        warm, reports = ka.Continuation(), []
        options = ka.Adjoint(callback=reports.append)
        for moved in (0.0, 0.1, 0.2):
            found = traced(w + moved, warm, 3, adjoint=options)
            onp.testing.assert_allclose(found, onp.array([10, 11.5, 13]) + moved, rtol=1e-12)
        forward.append([report.solves for report in reports if report.stage == "forward"])
    if abs(shift) > 13.3:
        assert shifts[3:] == [0.0, shift, 0.0, shift, 0.0]
        assert forward[1][1] > forward[0][1]


@pytest.mark.parametrize("M", [None, onp.eye(303), sp.identity(303, format="csr")])
def test_a_shift_that_is_an_eigenvalue_of_dense_matrices(monkeypatch, M):
    monkeypatch.setattr(warm_start, "better_shift", lambda *_: 11.5)
    w, warm, found = onp.concatenate([[10.0, 11.5, 13.0], onp.linspace(16, 90, 300)]), ka.Continuation(), []

    def lowest(p):
        values, _ = ka.eigsh(p * onp.diag(w), k=3, sigma=0.0, M=M, continuation=warm)
        found.append(values._value)
        return np.sum(values)

    for _ in range(3):
        assert grad(lowest)(1.0) == pytest.approx(34.5)
        onp.testing.assert_allclose(found[-1], w[:3], rtol=1e-12)
    with pytest.raises(RuntimeError, match="exactly singular"):
        grad(lambda p: np.sum(ka.eigsh(p * onp.diag(w), k=3, sigma=11.5, M=M)[0]))(1.0)


@pytest.mark.parametrize("distance", [1e-6, 1e-9, 1e-13])
def test_a_shift_next_to_an_eigenvalue_costs_no_digits(monkeypatch, shifts, distance):
    """T's rounding is that of its value for this one, and others are small."""
    monkeypatch.setattr(warm_start, "better_shift", lambda *_: 10 + distance)
    w, warm = onp.concatenate([[-9.0, 10.0, 11.5], onp.linspace(16, 90, 300)]), ka.Continuation()
    for _ in range(3):
        onp.testing.assert_allclose(traced(w, warm, 3), w[:3], rtol=2e-14)
    assert shifts == [0.0, 10 + distance, 0.0, 10 + distance, 0.0]


def test_what_a_shift_in_the_wrong_place_may_cost(shifts):
    """The kept vectors are exact eigenvectors, of eigenvalues that are far away by now."""
    w = onp.concatenate([[10.0, 11.5, 13.0], onp.linspace(16, 90, 300)])
    warm, reports = ka.Continuation(), []
    for _ in range(4):
        found = traced(w, warm, 3, adjoint=ka.Adjoint(callback=reports.append))
        onp.testing.assert_allclose(found, onp.sort(w)[:3], rtol=1e-12)
        w = w[::-1].copy()
    solves = [report.solves for report in reports if report.stage == "forward"]
    assert len(shifts) > 4
    assert max(solves) < 4 * solves[0]


@pytest.mark.parametrize("w", [onp.r_[-1.0, 1.5, 2.0], onp.r_[10.0, 11.0, 12.0]])
def test_sigma_stays_where_it_is_in_the_midst(shifts, w):
    """Ordering eigenvalues, or unwanted ones that are about as near, on both sides."""
    rest = onp.concatenate([onp.linspace(16, 90, 300), onp.linspace(-90, -14, 200)])
    warm = ka.Continuation()
    for _ in range(3):
        onp.testing.assert_allclose(traced(onp.concatenate([w, rest]), warm, 3), w, rtol=1e-12)
    assert set(shifts) == {0.0}


def test_an_inverse_of_the_callers_is_taken_as_it_is(shifts):
    inverse = la.inv((LAPLACIAN + 0 * sp.eye(N * N)).toarray())
    warm = ka.Continuation()

    def lowest(p, A):
        potential = ka.coo_array((p * onp.ones(N * N), (DIAGONAL, DIAGONAL)), shape=A.shape)
        operator = ka.aslinearoperator(A) + potential
        return np.sum(ka.eigsh(operator, k=2, sigma=0.0, OPinv=inverse, continuation=warm)[0])

    for _ in range(3):
        assert grad(lowest)(0.0, LAPLACIAN) == pytest.approx(2)
    assert set(shifts) == {0.0}


def test_another_sigma_or_k_starts_from_the_callers(shifts):
    warm, p = ka.Continuation(), path(1)[0]
    for k, sigma in ((4, 0.0), (4, 0.0), (3, 0.0), (3, -1.0), (3, -1.0)):
        grad(lambda p, k=k, sigma=sigma: np.sum(pairs(LAPLACIAN, p, warm, k=k, sigma=sigma)[0]))(p)
        p = p + 0.01
    assert shifts[0] == shifts[2] == 0.0 != shifts[1]
    assert shifts[3] == -1.0 != shifts[4]


def test_where_a_shift_is_put():
    w = onp.array([447.0, 453.0, 494.0, 536.0])
    assert better_shift(w, 0.0, 40.0, 1.0) == pytest.approx(515)
    assert better_shift(-w, 0.0, 40.0, 1.0) == pytest.approx(-515)
    assert better_shift(w[::-1] + 5, 5.0, 40.0, 1.0) == pytest.approx(520)
    # One of them, or a cluster: beside it.
    assert 440 < better_shift(w[:1], 0.0, 6.0, 0.1) < 447
    assert 400 < better_shift(onp.array([447.0, 447.0]), 0.0, 46.0, 0.1) < 447
    # What is not known or not worth it.
    assert better_shift(w, 0.0, 0.0, 1.0) == 0
    assert better_shift(w, 0.0, 40.0, 100.0) == 0
    assert better_shift(w, 450.0, 40.0, 1.0) == 450
    assert better_shift(onp.array([1.0]), 0.0, 100.0, 1.0) == 0


def test_how_far_the_next_one_is():
    assert gap_beyond(13.0, onp.array([16.0, 17.0, -80.0])) == 3
    assert gap_beyond(-13.0, -onp.array([16.0, 17.0, -80.0])) == 3
    assert gap_beyond(13.0, onp.array([16.0, -20.0])) == 0
    assert gap_beyond(13.0, onp.array([-20.0])) == 0
    assert gap_beyond(13.0, onp.array([])) is gap_beyond(13.0, onp.array([-80.0])) is None


@pytest.mark.parametrize("moved", [0.0, 0.3, -0.7, 5.0])
def test_the_closest_values(moved):
    """θ and λ − σ, keys and bounds."""
    unit, x = 0.4, onp.array([-9.0, -2.0, -0.1, 0.2, 1.0, 7.0, 30.0])
    theta, wanted = 1 / ((x - moved) * unit), ClosestTo(moved, unit)
    onp.testing.assert_allclose(wanted.signed(theta), 1 / (x * unit), rtol=1e-12)
    onp.testing.assert_allclose(wanted.key(theta), 1 / onp.abs(x * unit), rtol=1e-12)
    for distance in (0.15, 1.5, 8.0):
        limit = 1 / (distance * unit)
        if distance <= abs(moved):
            with pytest.raises(InvariantSubspace):
                wanted.beyond(limit)
        else:
            upper, lower = wanted.beyond(limit)
            assert onp.array_equal((theta > upper) | (theta < lower), onp.abs(x) < distance)


def test_rayleigh_and_ritz_of_a_complex_problem_with_a_complex_mass():
    """In a space that has the eigenvectors, with one direction besides, they are found."""
    rng = onp.random.default_rng(8)
    G, F = (rng.standard_normal((12, 12)) + 1j * rng.standard_normal((12, 12)) for _ in range(2))
    A, M = G + G.conj().T, F @ F.conj().T / 12 + onp.eye(12)
    w, X = la.eigh(A, M)
    operators = [
        ValueOperator(K.shape, K.dtype, lambda V, K=K: K @ V, lambda V, K=K: K @ V, name)
        for K, name in ((A, "A"), (M, "M"))
    ]
    V = X[:, :4] @ (rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4)))
    found, Y, spread = rayleigh_ritz(*operators, V, 3, float(w[0]) - 0.1)
    onp.testing.assert_allclose(found, w[:3], rtol=1e-10)
    onp.testing.assert_allclose(A @ Y, (M @ Y) * found, atol=1e-9)
    assert spread < 1e-9
