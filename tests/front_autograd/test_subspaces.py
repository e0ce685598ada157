"""Invariant subspaces where eigenvalues meet, against contour integrals that know no eigenvector.

Symmetric matrices alone would prove nothing of conjugation: families are complex, not normal, with a mass, defective.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp
from autograd import grad, make_jvp, make_vjp
from subspaces import KINDS, family

import krylov_adj as ka

GAPS = (0.0, 1e-14, 1e-12, 1e-9, 1e-5, 1e-2)
V = onp.array([0.6, -0.8])
ZERO = onp.zeros(2)
EXACT = {"rtol": 1e-13, "on_gauge": "raise"}


def loss_of(given, **adjoint):
    """The family's loss as a function of p."""
    k = 5
    where = {"which": "LA" if given.hermitian else "LR"} if given.normalization == "M" or given.M is None else {}
    where = where or {"sigma": 1.05}  # an M that is no inner product

    def f(p):
        A, M = given.at(p)
        arguments = {"hermitian": given.hermitian, "adjoint": ka.Adjoint(**EXACT, **adjoint)}
        return given.loss(*ka.invariant_subspace(A, k, M, v0=onp.ones(16), **where, **arguments))

    return f


def relative(found, exact):
    return abs(found - exact) / abs(exact)


CASES = [
    (kind, is_complex, mass)
    for kind in KINDS
    for is_complex in (False, True)
    for mass in (None, "definite", "any")
    if not (kind == "hermitian" and mass == "any") and not (kind == "pairs" and is_complex)
]


@pytest.mark.parametrize(("kind", "is_complex", "mass"), CASES)
@pytest.mark.parametrize("gap", GAPS)
def test_derivatives_are_those_of_contour_integrals_at_every_gap(kind, is_complex, mass, gap):
    given = family(kind, gap, is_complex, mass)
    f = loss_of(given)
    exact = given.reference
    first, second = grad(exact)(ZERO), grad(lambda p: grad(exact)(p) @ V)(ZERO)
    assert relative(f(ZERO), exact(ZERO)) < 1e-12
    assert onp.max(onp.abs(grad(f)(ZERO) - first)) < 1e-11 * onp.max(onp.abs(first))
    assert relative(make_jvp(f)(ZERO)(V)[1], first @ V) < 1e-11
    size = onp.max(onp.abs(second))
    reverse = grad(lambda p: np.dot(grad(f)(p), V))(ZERO)
    forward = make_jvp(grad(f))(ZERO)(V)[1]
    both = make_jvp(lambda p: make_jvp(f)(p)(V)[1])(ZERO)(V)[1]
    assert onp.max(onp.abs(reverse - second)) < 1e-11 * size
    assert onp.max(onp.abs(forward - second)) < 1e-11 * size
    assert abs(both - second @ V) < 1e-11 * size


@pytest.mark.parametrize("kind", KINDS)
def test_hessians_are_symmetric(kind):
    given = family(kind, 1e-12, kind != "pairs", "definite")
    f = loss_of(given)
    H = onp.array([grad(lambda p, e=e: np.dot(grad(f)(p), e))(ZERO) for e in onp.eye(2)])
    assert abs(H[0, 1] - H[1, 0]) <= 1e-13 * onp.max(onp.abs(H))


@pytest.mark.parametrize(
    ("kind", "method", "mass"),
    [
        ("hermitian", "minres", "definite"), ("hermitian", "shared", "definite"), ("hermitian", "augmented", None),
        ("hermitian", "gmres", "definite"), ("hermitian", "direct", "definite"),
        ("jordan3", "gmres", "definite"), ("jordan3", "shared", "definite"), ("jordan2", "direct", "any"),
        ("jordan3", "augmented", None), ("pairs", "shared", None), ("pairs", "augmented", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("gap", [0.0, 1e-9])
def test_every_engine(kind, method, mass, gap):
    given = family(kind, gap, kind != "pairs", mass)
    options = ka.Adjoint(method=method, **EXACT)

    def f(p):
        A, M = given.at(p)
        where = {"sigma": 1.05} if method == "shared" or mass == "any" else {"which": "LA" if given.hermitian else "LR"}
        arguments = {"hermitian": given.hermitian, "adjoint": options, "v0": onp.ones(16)}
        return given.loss(*ka.invariant_subspace(A, 5, M, **where, **arguments))

    first = grad(given.reference)(ZERO)
    assert onp.max(onp.abs(grad(f)(ZERO) - first)) < 1e-11 * onp.max(onp.abs(first))
    assert relative(make_jvp(f)(ZERO)(V)[1], first @ V) < 1e-11


# ---- what is cut, and what depends on the basis -------------------------------------------------


def jordan(m, is_complex, n=12):
    rng = onp.random.default_rng(3)
    D = onp.diag(onp.r_[onp.ones(m), onp.linspace(-3, 0, n - m)]).astype(complex if is_complex else float)
    D[onp.arange(m - 1), onp.arange(1, m)] = 1
    S = onp.eye(n) + 0.3 * rng.standard_normal((n, n)) / onp.sqrt(n)
    return S @ D @ onp.linalg.inv(S), rng.standard_normal((n, n))


TRACE = lambda X, H: np.real(np.trace(H))  # noqa: E731
PROJECTOR = lambda X, H: np.sum(np.abs(np.dot(X, np.conj(X).T)[0]) ** 2)  # noqa: E731


@pytest.mark.parametrize("loss", [TRACE, PROJECTOR])
@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize(("m", "k"), [(2, 1), (3, 1), (3, 2)])
def test_a_jordan_block_that_k_cuts_is_refused(m, k, is_complex, loss):
    A, E = jordan(m, is_complex)
    with pytest.raises(ka.DefectiveEigenvalueError, match="Increase k"):
        grad(lambda p: loss(*ka.invariant_subspace(A + p * E, k, which="LR")))(0.0)


def test_a_hermitian_cluster_that_k_cuts():
    Q = onp.linalg.qr(onp.random.default_rng(0).standard_normal((8, 8)))[0]
    A, E = (Q * [1.0, 1, 2, 3, 4, 5, 6, 7]) @ Q.T, onp.ones((8, 8))
    A = 0.5 * (A + A.T)

    def f(p, loss, k, **adjoint):
        X, H = ka.invariant_subspace(
            A + p * E, k, which="SA", v0=onp.ones(8), hermitian=True, adjoint=ka.Adjoint(**adjoint)
        )
        return loss(X, H)

    with pytest.warns(ka.DegeneracyWarning, match="coincide with ones that were not computed"):
        grad(f)(0.0, TRACE, 1)
    for method in ("dense", "minres"):
        with pytest.raises(ka.AdjointNoConvergence, match="increase k") as caught:
            grad(f)(0.0, PROJECTOR, 1, method=method)
        assert list(caught.value.report.neighbours) == [0]
    assert grad(f)(0.0, TRACE, 2) == pytest.approx(onp.sum(Q[:, :2].sum(axis=0) ** 2), rel=1e-12)


def test_copies_that_a_krylov_space_has_once_are_found():
    """A Krylov space of a diagonal matrix has one copy of every eigenvalue, whatever the start vector."""
    A, E = onp.diag(onp.r_[1.0, 1.0, 1.3, onp.linspace(3, 6, 27)]), onp.ones((30, 30))
    f = lambda p: TRACE(*ka.invariant_subspace(A + p * E, 3, which="SA", v0=onp.ones(30), hermitian=True))  # noqa: E731
    assert f(0.0) == pytest.approx(3.3, rel=1e-14)
    assert grad(f)(0.0) == pytest.approx(3.0, rel=1e-13)


def test_losses_of_the_basis_are_warned_of_and_rounding_is_not():
    given = family("hermitian", 1e-3, True)
    A, E = given.A[:2]

    def f(p, loss):
        return loss(*ka.invariant_subspace(A + p * E, 5, which="LA", v0=onp.ones(16), hermitian=True))

    with pytest.warns(ka.GaugeWarning, match="basis of the invariant subspace"):
        grad(f)(0.0, lambda X, H: np.real(X[0, 0]))
    # H = λ I up to rounding, whose commutator is nothing but that.
    U = onp.linalg.qr(A)[0]
    A = (U * onp.r_[onp.ones(5), onp.linspace(3, 4, 11)]) @ U.conj().T
    E, W = E + E.conj().T, given.W

    def g(p):
        X, H = ka.invariant_subspace(A + p * E, 5, which="SA", v0=onp.ones(16), hermitian=True)
        K = np.dot(np.conj(X).T, np.dot(W, X))
        return np.real(np.trace(np.dot(H, H)) + np.trace(np.dot(K, H)))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert onp.isfinite(grad(g)(0.0))


def test_check_gauge_sees_what_the_first_order_does_not():
    A = onp.diag([1.0, 1.0, 2.0, 5.0, 6.0])
    X, H = ka.invariant_subspace(A, 3, which="SA", v0=onp.arange(1.0, 6.0), hermitian=True)
    assert max(ka.check_gauge(lambda X, H: np.trace(H @ H) + (X @ X.T)[0, 1], X, H)) < 1e-13
    entry = ka.check_gauge(lambda X, H: H[0, 0], X, H)
    assert entry.phase < 1e-13
    assert entry.cluster < 1e-13
    assert entry.basis > 1e-3
    member = ka.check_gauge(lambda X, H: X[0, 0] ** 2, X, onp.diag([1.0, 1.0, 2.0]))
    assert member.phase < 1e-13
    assert member.cluster > 1e-3
    assert ka.check_gauge(lambda X, H: X[0, 0], X, H).phase > 1e-3
    with pytest.raises(ValueError, match="one finite real number"):
        ka.check_gauge(lambda X, H: X, X, H)
    with pytest.raises(ValueError, match="shape"):
        ka.check_gauge(lambda X, H: 1.0, X, H[:2])


# ---- what it costs ------------------------------------------------------------------------------


def convection(n=30):
    D = ka.pde.laplacian((n, n)) * -1.0
    C = sp.diags([onp.full(n * n - 1, 0.7), onp.full(n * n - 1, -0.7)], [1, -1]).tocsr()
    return lambda p, hermitian: D + ka.diags_array([p], offsets=[0]) + (0 * D if hermitian else ka.aslinearoperator(C))


@pytest.mark.parametrize("hermitian", [True, False])
def test_a_loss_of_h_alone_costs_little_and_its_second_cotangent_nothing(hermitian):
    operator, reports = convection(), []
    options = ka.Adjoint(callback=reports.append)

    def f(p):
        X, H = ka.invariant_subspace(operator(p, hermitian), 4, sigma=0.0, hermitian=hermitian, adjoint=options)
        return np.array([np.trace(H), np.trace(np.dot(H, H)), np.sum(np.dot(X, X.T)[0] ** 2)])

    vjp, _ = make_vjp(f)(onp.zeros(900))
    forward = reports.pop(0)
    rows = []
    for row in onp.eye(3):
        reports.clear()
        rows.append(vjp(row))
        rows[-1] = sum(report.solves for report in reports)
    assert rows[0] == 0 if hermitian else rows[0] <= 0.8 * forward.solves
    assert rows[1] == 0
    assert 0 < rows[2] <= 0.8 * forward.solves


def test_one_vjp_in_many_threads():
    given = family("jordan2", 1e-9, True)
    vjp, _ = make_vjp(loss_of(given))(ZERO)
    alone = make_vjp(loss_of(given))(ZERO)[0](1.0)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda g: vjp(g) / g, onp.arange(1.0, 9.0)):
            assert onp.allclose(found, alone, rtol=1e-12)


# ---- attach_subspace, units, an exceptional point ------------------------------------------------


@pytest.mark.parametrize("mass", [None, "definite"])
@pytest.mark.parametrize("kind", ["hermitian", "jordan2"])
def test_any_basis_gives_the_same_derivative(kind, mass):
    given = family(kind, 0.0, True, mass)
    A, M = given.at(ZERO)
    which = "LA" if given.hermitian else "LR"
    X, H = ka.invariant_subspace(A, 5, M, which=which, hermitian=given.hermitian, v0=onp.ones(16))
    turn = onp.linalg.qr(onp.random.default_rng(1).standard_normal((5, 5)) + 1j)[0]

    def f(p):
        A, M = given.at(p)
        found = ka.attach_subspace(
            A, X @ turn, turn.conj().T @ H @ turn, M=M, hermitian=given.hermitian, adjoint=ka.Adjoint(**EXACT)
        )
        return given.loss(*found)

    first = grad(given.reference)(ZERO)
    assert onp.max(onp.abs(grad(f)(ZERO) - first)) < 1e-11 * onp.max(onp.abs(first))


def test_misuse_is_an_error():
    A, X = onp.diag([1.0, 2.0, 3.0, 4.0]), onp.eye(4)[:, :2]
    for arguments, message in (
        ((A, X[:3]), "expected X of shape"),
        ((A, X, onp.eye(3)), "expected H of shape"),
        ((A, 2 * X), "not normalised|deviate"),
        ((A, X, onp.eye(2)), "no invariant subspace"),
        ((A, onp.full((4, 2), onp.nan)), "NaN"),
        ((A + onp.ones((4, 4)), X), "no invariant subspace"),
    ):
        with pytest.raises(ValueError, match=message):
            ka.attach_subspace(*arguments)
    with pytest.raises(ValueError, match="normalization"):
        ka.attach_subspace(A, X, normalization="M")
    with pytest.raises(ValueError, match="XᴴMX = I"):
        ka.attach_subspace(A, X, M=onp.eye(4), normalization="2", hermitian=True)
    with pytest.raises(ValueError, match=r"not Hermitian|adjoint"):
        ka.attach_subspace(A + onp.triu(onp.ones((4, 4)), 2), X, hermitian=True)


@pytest.mark.parametrize("size", [1e-120, 1e-3, 1e120])
def test_units_do_not_matter(size):
    given = family("jordan2", 1e-9, True, "definite")
    f, (A, M) = loss_of(given), given.at(ZERO)
    rng = onp.random.default_rng(0)
    E = rng.standard_normal((16, 16))

    def trace(t, a, m):
        X, H = ka.invariant_subspace(a * (A + t * E), 5, m * M, which="LR", v0=onp.ones(16))
        P = np.dot(X, np.conj(X).T) * m
        return np.real(np.trace(H)) / (a / m) + np.sum(np.abs(P[0]) ** 2)

    assert grad(trace)(0.0, size, 1 / size) == pytest.approx(grad(trace)(0.0, 1.0, 1.0), rel=1e-10)
    assert onp.isfinite(f(ZERO))


def test_the_discriminant_and_the_mean_at_an_exceptional_point():
    """[[a, 1], [z, a]] in a moving frame: D = 4 z and the mean a, to second order, where eigenvectors coalesce."""
    rng = onp.random.default_rng(5)
    n = 9
    rest = onp.diag(onp.linspace(4, 8, n - 2)) + onp.triu(rng.standard_normal((n - 2, n - 2)), 1)
    frames = [onp.eye(n) + 0.3 * rng.standard_normal((n, n)) / 3, *(rng.standard_normal((n, n)) / 10 for _ in range(2))]
    corner = [onp.zeros((n, n)) for _ in range(3)]
    corner[0][:2, :2], corner[1][1, 0] = [[1, 1], [0, 1]], 1.0
    corner[0][2:, 2:], corner[2][[0, 1], [0, 1]] = rest, 1.0

    def both(p):
        S = frames[0] + p[0] * frames[1] + p[1] * frames[2]
        B = corner[0] + p[0] * corner[1] + p[1] * corner[2]
        A = np.dot(np.dot(S, B), np.linalg.inv(S))
        H = ka.invariant_subspace(A, 2, sigma=1.2, adjoint=ka.Adjoint(**EXACT)).H
        mean = np.trace(H) / 2
        G = H - mean * np.eye(2)
        return 2 * np.trace(np.dot(G, G)), mean

    p = onp.array([0.0, 0.1])
    for i, exact in ((0, [4.0, 0.0]), (1, [0.0, 1.0])):
        f = lambda p, i=i: np.real(both(p)[i])  # noqa: E731
        assert onp.max(onp.abs(grad(f)(p) - exact)) < 1e-12
        for e in onp.eye(2):
            assert onp.max(onp.abs(grad(lambda p, e=e, f=f: np.dot(grad(f)(p), e))(p))) < 1e-11


# ---- kept digits, and lost ones -----------------------------------------------------------------


def far_apart(hermitian, size=1e10, n=8):
    """A pair next to each other, another one next to it, and eigenvalues of a huge size."""
    rng = onp.random.default_rng(2)
    A = onp.diag(onp.r_[0.0, 1.0, 2.0, size * (1 + onp.arange(n - 3))])
    A[0, 2] = 0 if hermitian else 0.5
    D = onp.zeros((n, n))
    D[2, 0] = 1.0  # turns the subspace of the first two towards the third vector
    D = D + D.T if hermitian else D
    return A, D, rng.standard_normal((n, n))


@pytest.mark.parametrize("hermitian", [True, False])
@pytest.mark.parametrize("c", [1.0, 1e-6])
def test_a_small_loss_of_x_beside_a_large_one_of_h_keeps_its_digits(hermitian, c):
    """Cotangents of H that are 1e16 times those of X in the size of A once made these noise."""
    A, D, W = far_apart(hermitian)
    W = W + W.T

    def f(p):
        X, H = ka.invariant_subspace(A + p * D, 2, sigma=0.4, v0=onp.ones(8), hermitian=hermitian)
        return np.trace(H) + c * np.trace(np.dot(np.dot(X.T, W), X))

    def dense(p):
        """The span of the first two eigenvectors of the leading block, which is decoupled from the rest."""
        w, V = onp.linalg.eig((A + p * D)[:3, :3])
        Q = onp.linalg.qr(V[:, onp.argsort(w.real)[:2]])[0]
        return float(onp.sum(onp.sort(w.real)[:2]) + c * onp.trace(Q.T @ W[:3, :3] @ Q))

    if not hermitian:
        dense = None
    g = grad(f)(0.0)
    assert g == pytest.approx(make_jvp(f)(0.0)(1.0)[1], rel=1e-9)
    alone = grad(lambda p: (f(p) - np.trace(ka.invariant_subspace(A + p * D, 2, sigma=0.4, v0=onp.ones(8),
                                                                    hermitian=hermitian).H)) / c)(0.0)  # fmt: skip
    of_h = grad(lambda p: np.trace(ka.invariant_subspace(A + p * D, 2, sigma=0.4, v0=onp.ones(8),
                                                         hermitian=hermitian).H))(0.0)  # fmt: skip
    assert g - of_h == pytest.approx(c * alone, rel=1e-6)
    if dense is not None:
        steps = [(dense(s) - dense(-s)) / (2 * s) for s in (2e-4, 1e-4)]
        assert g == pytest.approx((4 * steps[1] - steps[0]) / 3, rel=1e-7)


@pytest.mark.parametrize("gap", [0.0, 1e-14])
def test_a_semisimple_cluster_that_k_cuts_is_said_where_h_alone_is_read(gap):
    rng = onp.random.default_rng(0)
    S = onp.eye(6) + 0.3 * rng.standard_normal((6, 6))
    A = S @ onp.diag([1.0, 1.0 + gap, 3.0, 4.0, 5.0, 6.0]) @ onp.linalg.inv(S)
    E = rng.standard_normal((6, 6))
    with pytest.warns(ka.DegeneracyWarning, match="not computed"):
        grad(lambda p: TRACE(*ka.invariant_subspace(A + p * E, 1, which="SR", v0=onp.ones(6))))(0.0)


@pytest.mark.parametrize("mode", ["reverse", "forward"])
@pytest.mark.parametrize("sigma", [0.0, 1e-3])
def test_a_jordan_block_that_the_loss_hardly_feels_is_refused(mode, sigma):
    m = 10
    K = 2 * onp.eye(m) - onp.eye(m, k=1) - onp.eye(m, k=-1)
    A, E = (
        onp.block([[K, 0.1 * onp.eye(m)], [onp.zeros((m, m)), K]]),
        onp.random.default_rng(0).standard_normal((20, 20)),
    )

    def f(p):
        X = ka.invariant_subspace(A + p * E, 1, sigma=sigma, v0=onp.ones(20)).X
        return np.sum(np.cos(onp.arange(20)) * np.abs(X[:, 0]) ** 2)

    with pytest.raises(ka.DefectiveEigenvalueError):
        grad(f)(0.0) if mode == "reverse" else make_jvp(f)(0.0)(1.0)


def test_ill_conditioned_eigenvalues_that_are_apart_have_derivatives():
    """A Toeplitz matrix that is similar to a symmetric one, by a diagonal matrix: Σ w is known, and κ is 1e8."""
    n, k = 20, 4
    upper, lower = 1.0, 0.1
    T = onp.diag(onp.full(n - 1, upper), 1) + onp.diag(onp.full(n - 1, lower), -1)
    L = onp.diag(onp.ones(n - 1), -1)
    # w_j = 2 √(upper lower) cos(jπ/(n + 1)): the derivative with respect to the lower diagonal.
    exact = onp.sqrt(upper / lower) * onp.sum(onp.cos(onp.arange(1, k + 1) * onp.pi / (n + 1)))
    f = lambda p: np.trace(ka.invariant_subspace(T + p * L, k, which="LR", v0=onp.ones(n)).H)  # noqa: E731
    assert grad(f)(0.0) == pytest.approx(exact, rel=1e-6)
    assert make_jvp(f)(0.0)(1.0)[1] == pytest.approx(exact, rel=1e-6)


def test_lost_digits_are_said():
    n, E = 30, onp.random.default_rng(0).standard_normal((30, 30))
    T = onp.diag(onp.full(n - 1, 1.0), 1) + onp.diag(onp.full(n - 1, 0.1), -1)
    with pytest.warns(ka.DegeneracyWarning, match="far from normal"):
        grad(lambda p: np.trace(ka.invariant_subspace(T + p * E, 4, which="LR", v0=onp.ones(n)).H))(0.0)


@pytest.mark.parametrize("sigma", [0.3j, 0.1 + 0.01j])
def test_a_complex_shift_of_a_real_matrix(sigma):
    n = 300
    A = sp.diags_array([onp.full(n - 1, 0.4), onp.linspace(0, 9, n), onp.full(n - 1, 0.3)], offsets=[-1, 0, 1]).tocsr()
    d = onp.cos(onp.arange(n))

    def f(p, sigma):
        X, H = ka.invariant_subspace(ka.aslinearoperator(A) + ka.diags_array([p * d], offsets=[0]), 2, sigma=sigma)
        return np.real(np.trace(np.dot(H, H))) + np.sum(np.abs(np.dot(X, np.conj(X).T)[0]) ** 2)

    assert ka.check_gradient(lambda p: f(p[0], sigma), onp.zeros(1)).error < 1e-6
    assert make_jvp(lambda p: f(p, sigma))(0.0)(1.0)[1] == pytest.approx(grad(f)(0.0, sigma), rel=1e-8)


def test_arguments_are_checked_before_work_starts():
    A = onp.diag(onp.arange(1.0, 9.0))
    with pytest.raises(ValueError, match="v0 of shape"):
        ka.invariant_subspace(A, 2, v0=onp.ones(5))
    with pytest.raises(TypeError, match="integer"):
        ka.invariant_subspace(A, 2.5)
    with pytest.raises(ValueError, match="not Hermitian"):
        ka.invariant_subspace(A + onp.triu(onp.ones((8, 8)), 2), 2, hermitian=True, v0=onp.ones(8))
    zero = grad(lambda p: np.trace(ka.invariant_subspace(p * onp.eye(5), 5, hermitian=True).H))
    assert zero(0.0) == pytest.approx(5.0)


def test_functions_of_h_and_gradients_of_a_cluster():
    """A thermal density matrix through a double eigenvalue, and the directional derivatives of both its members."""
    rng = onp.random.default_rng(0)
    D = [(G + G.T) / 10 for G in rng.standard_normal((2, 30, 30))]
    A = onp.diag(onp.r_[1.0, 1.0, 1.3, onp.linspace(3, 6, 27)])
    W = rng.standard_normal((30, 30))

    def space(p, k):
        H = A + p[0] * D[0] + p[1] * D[1]
        return ka.invariant_subspace(H, k, which="SA", v0=onp.ones(30), hermitian=True)

    def density(p):
        X, H = space(p, 3)
        F = ka.spectral_function(lambda x, mu, kT: 0.5 * (1 - np.tanh((x - mu) / (2 * kT))), H, 1.2, 0.1)
        return np.sum(W * np.dot(np.dot(X, F), X.T)) + ka.softmax_eigenvalue(H, 5.0)

    for order in (1, 2):
        assert ka.check_gradient(density, ZERO, order=order).error < 1e-7
    d = onp.array([1.0, 0.5])
    found = ka.cluster_gradient(lambda p: space(p, 2), ZERO).directional(d)
    steps = [(onp.linalg.eigvalsh(A + s * (d[0] * D[0] + d[1] * D[1]))[:2] - 1) / s for s in (1e-4, 5e-5)]
    assert onp.allclose(found, 2 * steps[1] - steps[0], atol=1e-7)


@pytest.mark.parametrize(("matrix_free", "gap"), [(False, 1e-9), (True, 0.0)])
@pytest.mark.parametrize(("kind", "is_complex"), [("hermitian", True), ("jordan2", True), ("pairs", False)])
def test_large_sparse_and_matrix_free(kind, is_complex, matrix_free, gap):
    """A family beside 600 other eigenvalues, in a frame of plane rotations; not Hermitian ones are coupled to them."""
    given, n = family(kind, gap, is_complex), 616
    rng = onp.random.default_rng(2)
    others = onp.sort(rng.uniform(-3, -1.2, n - 16))
    place = rng.permutation(n)[:32].reshape(2, 16)  # of the family, and what each of its rows is rotated with
    rest = onp.setdiff1d(onp.arange(n), place[0])
    c, s = 0.8, 0.6
    Q = sp.identity(n, format="lil")
    for i, j in place.T:
        Q[i, i], Q[i, j], Q[j, i], Q[j, j] = c, s, -s, c
    Q = sp.csr_array(Q)
    coupling = sp.random(16, n - 16, density=0.1, random_state=3) * (0.0 if given.hermitian else 0.3)
    E = sp.csr_array(sp.coo_matrix((onp.ones(16), (place[0], onp.arange(16))), shape=(n, 16)))
    R = sp.csr_array(sp.coo_matrix((onp.ones(n - 16), (rest, onp.arange(n - 16))), shape=(n, n - 16)))
    fixed = sp.csr_array(Q @ (R @ sp.diags(others) @ R.T + E @ coupling @ R.T) @ Q.T)
    frame = sp.csr_array(Q @ E)  # (n, 16)
    parts = [frame @ sp.csr_array(part) @ frame.T for part in given.A]
    reports = []

    def f(p):
        if matrix_free:
            F, K = ka.aslinearoperator(frame), ka.aslinearoperator(fixed)
            A = ka.LinearOperator(
                (n, n), lambda v: F @ np.dot(given.at(p)[0], F.T @ v) + K @ v, dtype=given.A[0].dtype
            )  # fmt: skip
            where = {"which": "LA" if given.hermitian else "LR"}
        else:
            moving = [p[q] * ka.aslinearoperator(parts[q + 1]) for q in range(2)]
            A = ka.aslinearoperator(sp.csr_array(fixed + parts[0])) + moving[0] + moving[1]
            where = {"sigma": 1.05}
        options = ka.Adjoint(**EXACT, callback=reports.append)
        X, H = ka.invariant_subspace(A, 5, v0=onp.ones(n), hermitian=given.hermitian, adjoint=options, **where)
        return given.loss(np.dot(frame.T.toarray(), X), H)

    exact = given.reference
    first, second = grad(exact)(ZERO), grad(lambda p: grad(exact)(p) @ V)(ZERO)
    found, again = grad(f)(ZERO), grad(lambda p: grad(f)(p) @ V)(ZERO)
    floor = max(onp.max(report.floors) for report in reports if report.stage != "forward")
    assert onp.max(onp.abs(found - first)) < max(1e-11, 30 * floor) * onp.max(onp.abs(first))
    assert relative(make_jvp(f)(ZERO)(V)[1], first @ V) < max(1e-11, 30 * floor)
    assert onp.max(onp.abs(again - second)) < max(1e-10, 30 * floor) * onp.max(onp.abs(second))
