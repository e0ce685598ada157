"""What k has cut and what the solver has missed is looked for, in every class, and said where the loss reads it."""

import warnings

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
from autograd import grad, jacobian, make_jvp
from cut_clusters import CLASSES, Cut, Missed

import krylov_adj as ka

SAID = r"coincide with ones that were not computed"
ORDERS = (4, 6, 40, 200, 300)


def possible(name, n):
    """svds of 2 × 2 has no k that cuts."""
    return n >= 8 if name in ("svds", "eigsh BE", "eigsh SM", "eigsh buckling", "eigsh cayley") else True


CASES = [(name, n) for name in CLASSES for n in ORDERS if possible(name, n)]


def derivative(problem, start=0, **options):
    """The derivative, what was said, and the adjoint's reports."""
    for again in range(start, start + 20, 2):
        reports = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                options["callback"] = reports.append
                g = grad(lambda t, again=again: problem.value(t, again, ka.Adjoint(**options)))(0.0)
            except Missed:
                continue
        said = [str(entry.message) for entry in caught if issubclass(entry.category, ka.DegeneracyWarning)]
        return g, said, [report for report in reports if report.stage == "adjoint"]
    raise AssertionError("ARPACK found other eigenvalues from ten start vectors")


@pytest.mark.parametrize(("name", "n"), CASES)
def test_a_cut_is_said_in_every_class_and_at_every_order(name, n):
    for seed in range(3 if n <= 40 else 1):
        problem = Cut.draw(name, n, seed)
        _, said, reports = derivative(problem)
        assert len(said) == 1
        # A real double eigenvalue that rounding makes a complex pair is the same cluster, cut.
        assert SAID in said[0] or "the conjugate of" in said[0]
        assert "increase k" in said[0]
        assert reports[-1].completeness in ("proved", "searched")
    with pytest.raises(ValueError, match=f"{SAID}|the conjugate of"):
        derivative(problem, on_gauge="raise")
    _, said, reports = derivative(problem, on_gauge="ignore")
    assert said == []
    assert {report.completeness for report in reports} == {""}
    assert {report.search_applications + report.search_solves for report in reports} == {0}


@pytest.mark.parametrize(("name", "n"), CASES)
def test_a_whole_cluster_is_no_cut(name, n):
    for seed in range(3 if n <= 40 else 1):
        problem = Cut.draw(name, n, seed, complete=True)
        if problem.k >= n - 1:
            continue
        (first, said, reports), (other, *_) = derivative(problem), derivative(problem, start=1)
        assert said == []
        assert first == pytest.approx(other, rel=1e-8)
        assert reports[-1].completeness in ("proved", "searched")


@pytest.mark.parametrize("name", ["eigsh", "eigs", "eigsh sigma", "eigs sigma", "svds"])
def test_what_is_not_settled_is_rare(name):
    """Of cut clusters above the dense bounds."""
    for seed in range(5):
        assert derivative(Cut.draw(name, 410 + 10 * seed, seed))[1]


# ---- the inputs of those who met it ----------------------------------------------------------------


def said_of(f, at=0.0):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        g = grad(f)(at)
    return g, [str(entry.message) for entry in caught]


def test_a_right_hand_side_of_zero():
    """diag(1, 1, 0, 0): the left vector's system has nothing to solve, and four start vectors give four numbers."""
    A, B = onp.diag([1.0, 1, 0, 0]), onp.random.default_rng(0).standard_normal((4, 4))
    numbers = []
    for seed in range(4):
        v0 = onp.random.default_rng(seed).standard_normal(4)
        g, said = said_of(lambda t, v0=v0: np.real(ka.eigs(A + t * B, k=1, v0=v0)[0][0]))
        assert len(said) == 1
        assert SAID in said[0]
        numbers.append(g)
    assert onp.ptp(numbers) > 0.1


@pytest.mark.parametrize("n", [6, 40, 200])
@pytest.mark.parametrize("is_complex", [False, True])
def test_three_times_one_and_three_times_ten(n, is_complex):
    rng = onp.random.default_rng(n)
    Q = la.qr(rng.standard_normal((n, n)) + 1j * is_complex * rng.standard_normal((n, n)))[0]
    Q = Q if is_complex else Q.real
    levels = onp.r_[1.0, 1, 1, onp.linspace(2, 9, n - 6) if n > 6 else [], 10, 10, 10]
    A = (Q * levels) @ Q.conj().T
    A, B = 0.5 * (A + A.conj().T), rng.standard_normal((n, n))
    for which in ("SA", "LA", "LM"):
        for k in (1, 2, 3):
            v0 = onp.random.default_rng(k).standard_normal(n)
            _, said = said_of(lambda t, k=k, v0=v0, which=which: np.mean(
                ka.eigsh(A + t * (B + B.T), k=k, which=which, v0=v0)[0]))  # fmt: skip
            assert [SAID in text for text in said] == [True] * (k < 3)


@pytest.mark.parametrize("seed", range(10))
def test_a_kronecker_product_with_the_identity(seed):
    H = onp.diag(onp.linspace(0, 3, 150)) + 0.3 * onp.eye(150, k=1) + 0.1 * onp.eye(150, k=-1)
    A, B = ka.aslinearoperator(onp.kron(H, onp.eye(2))), onp.random.default_rng(1).standard_normal((300, 300))
    v0 = onp.random.default_rng(seed).standard_normal(300)
    _, said = said_of(lambda t: np.real(ka.eigs(A + t * ka.aslinearoperator(B), k=1, which="LR", v0=v0)[0][0]))
    assert len(said) == 1
    assert SAID in said[0]


@pytest.mark.parametrize("solver", [ka.eigsh, ka.eigs])
@pytest.mark.parametrize("n", [60, 260, 3000])
def test_a_multiple_of_the_identity(solver, n):
    """One application tells that there is nothing but copies."""
    reports = []

    def f(t, k):
        def matvec(v):
            return 2.5 * v + t * np.concatenate([v[1:], v[:1]]) + t * np.concatenate([v[-1:], v[:-1]])

        operator = ka.LinearOperator((n, n), matvec, matvec, dtype=float)
        options = ka.Adjoint(callback=reports.append)
        which = "SA" if solver is ka.eigsh else "LR"
        return np.real(np.sum(solver(operator, k=k, which=which, v0=onp.linspace(1, 2, n), adjoint=options)[0]))

    for k in (1, 3):
        _, said = said_of(lambda t, k=k: f(t, k))
        assert any(SAID in text for text in said)
        assert reports[-1].search_applications <= (n if n <= 200 else 3)


# ---- what the loss reads ---------------------------------------------------------------------------


def levels_of(values, is_complex=True, seed=0):
    n, rng = len(values), onp.random.default_rng(seed)
    Q = la.qr(rng.standard_normal((n, n)) + 1j * is_complex * rng.standard_normal((n, n)))[0]
    B = rng.standard_normal((n, n)) + 1j * is_complex * rng.standard_normal((n, n))
    A = (Q * values) @ Q.conj().T
    return 0.5 * (A + A.conj().T), B + B.conj().T, Q


@pytest.mark.parametrize("n", [30, 450])
@pytest.mark.parametrize("hermitian", [True, False])
def test_what_the_loss_does_not_read_may_be_cut(n, hermitian):
    """Of 4, 3, 3 the first two are computed: a loss of 4 is right, and of its vector; one of 3 is said."""
    A, B, Q = levels_of(onp.r_[4.0, 3.0, 3.0, onp.linspace(-1, 2, n - 3)])
    solver, which = (ka.eigsh, "LA") if hermitian else (ka.eigs, "LR")
    W = onp.diag(onp.linspace(0, 1, n))

    def pairs(t):
        return solver(A + t * B, k=2, which=which, v0=onp.ones(n) + 0j)

    def first(w):
        return int(onp.argmax(onp.real(plain(w))))

    def of_value(t):
        w, _ = pairs(t)
        return np.real(w[first(w)])

    def of_vector(t):
        w, X = pairs(t)
        x = X[:, first(w)]
        return np.real(np.dot(np.conj(x), np.dot(W, x)))

    def of_the_other(t):
        w, _ = pairs(t)
        return np.real(w[1 - first(w)])

    x, rest = Q[:, 0], Q[:, 1:]
    expected = onp.real(x.conj() @ B @ x)
    g, said = said_of(of_value)
    assert said == []
    assert g == pytest.approx(expected, rel=1e-9)
    dx = rest @ ((rest.conj().T @ B @ x) / (4.0 - onp.r_[3.0, 3.0, onp.linspace(-1, 2, n - 3)]))
    g, said = said_of(of_vector)
    assert said == []
    assert g == pytest.approx(2 * onp.real(x.conj() @ W @ dx), rel=1e-8)
    _, said = said_of(of_the_other)
    assert len(said) == 1
    assert SAID in said[0]


def plain(w):
    while hasattr(w, "_value"):
        w = w._value
    return w


@pytest.mark.parametrize("n", [30, 450])
@pytest.mark.parametrize("hermitian", [True, False])
def test_vectors_of_a_cut_cluster_are_refused(n, hermitian):
    A, B, _ = levels_of(onp.r_[4.0, 3.0, 3.0, onp.linspace(-1, 2, n - 3)])
    solver, which = (ka.eigsh, "LA") if hermitian else (ka.eigs, "LR")
    W = onp.linspace(0, 1, n)

    def f(t, **options):
        X = solver(A + t * B, k=2, which=which, v0=onp.ones(n) + 0j, adjoint=ka.Adjoint(**options))[1]
        return np.sum(W[:, None] * np.abs(X) ** 4)

    with pytest.raises(ka.AdjointNoConvergence, match=r"\(w = 3.*increase k") as caught:
        grad(f)(0.0)
    assert caught.value.report.completeness in ("proved", "searched")
    assert caught.value.report.iterations <= 60  # only the other pair's system was solved
    with pytest.raises(ka.AdjointNoConvergence, match=r"increase k"):
        make_jvp(f)(0.0)(1.0)


def test_forward_mode_looks_too():
    """Where the parameters do not mix the members there is a tangent, of one of several branches."""
    A, B = onp.diag([1.0, 1.0, 3.0, 4.0, 5.0]), onp.diag([1.0, 2.0, 0.0, 0.0, 0.0])

    def f(t):
        return ka.eigsh(A + t * B, k=1, which="SA", v0=onp.array([1.0, 0, 1, 1, 1]))[0][0]

    with pytest.warns(ka.DegeneracyWarning, match=SAID):
        assert 1.0 <= make_jvp(f)(0.0)(1.0)[1] <= 2.0


# ---- what was missed -------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [20, 450])
@pytest.mark.parametrize("solver", [ka.eigsh, ka.eigs])
def test_what_was_missed_is_said_of_the_pairs_behind_it(n, solver):
    """Two blocks, and a start vector in one of them: ARPACK returns 5, 3, 2 for 5, 4, 3."""
    top = onp.r_[5.0, 3.0, 2.0]
    A = onp.diag(onp.r_[top, onp.linspace(-1, 1, n - 4), 4.0]) + 0j
    B = onp.diag(onp.r_[1.0, 2.0, 3.0, onp.zeros(n - 4), 4.0]) + 0j
    v0 = onp.r_[onp.ones(n - 1), 0.0] + 0j

    def f(t, i):
        which = "LA" if solver is ka.eigsh else "LR"
        w, _ = solver(A + t * B, k=3, which=which, v0=v0, ncv=10, solver="arpack")
        w = w[onp.argsort(-onp.real(plain(w)))]
        assert onp.real(plain(w)) == pytest.approx(top)
        return np.real(w[i])

    g, said = said_of(lambda t: f(t, 0))
    assert (g, said) == (pytest.approx(1.0), [])
    for i in (1, 2):
        g, said = said_of(lambda t, i=i: f(t, i))
        assert g == pytest.approx(i + 1.0)  # of the pair that was returned
        assert len(said) == 1
        assert "eigenvalues {4" in said[0]
        assert "not those that were asked for" in said[0]


@pytest.mark.parametrize("n", [20, 450])
def test_a_tie_is_not_missed(n):
    """±3: which of them is returned for k = 1 is nobody's fault."""
    A, B, _ = levels_of(onp.r_[3.0, -3.0, onp.linspace(-1, 1, n - 2)])
    _, said = said_of(lambda t: ka.eigsh(A + t * B, k=1, which="LM", v0=onp.ones(n) + 0j)[0][0] ** 2)
    assert said == []


# ---- neighbours that do not coincide ---------------------------------------------------------------


@pytest.mark.parametrize("n", [30, 450])
@pytest.mark.parametrize("hermitian", [True, False])
@pytest.mark.parametrize("gap", [1e-12, 1e-11, 1e-7, 1e-5])
def test_what_rounding_mixes_is_said(n, hermitian, gap):
    rng = onp.random.default_rng(3)
    values = onp.r_[3.0, 3.0 - gap, onp.linspace(-1, 2.5, n - 2)]
    V = levels_of(values)[2]
    if not hermitian:
        V = V * onp.geomspace(1, 4, n) @ levels_of(values, seed=1)[2]
    left = la.inv(V)
    A = V @ onp.diag(values) @ left
    B = rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n))
    A, B = (0.5 * (A + A.conj().T), B + B.conj().T) if hermitian else (A, B)
    solver, which = (ka.eigsh, "LA") if hermitian else (ka.eigs, "LR")
    call = {"which": which, "v0": onp.ones(n) + 0j, "ncv": min(n - 2, 40)}
    g, said = said_of(lambda t: np.real(solver(A + t * B, k=1, **call)[0][0]))
    expected = onp.real(left[0] @ B @ V[:, 0])
    if gap <= 1e-11:
        assert len(said) == 1
        assert "ones that were not computed" in said[0]
    else:
        assert said == []
        assert g == pytest.approx(expected, rel=1e-4 if gap < 1e-6 else 1e-6)


@pytest.mark.parametrize("method", ["shared", "augmented", "gmres"])
def test_a_known_neighbour_tightens_the_systems(method):
    """The left vector has no part along the neighbour, and a residual of rtol is an error of rtol/gap."""
    rng = onp.random.default_rng(7)
    n, gap = 40, 5e-9
    values = onp.r_[3.0, 3.0 - gap, onp.linspace(-1, 2.5, n - 2)]
    V = levels_of(values)[2] * onp.geomspace(1, 3, n) @ levels_of(values, seed=1)[2]
    left, B = la.inv(V), rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n))
    A = V @ onp.diag(values) @ left
    call = {"sigma": 4.4} if method == "shared" else {"which": "LR"}
    call |= {"v0": onp.ones(n) + 0j, "ncv": 35, "adjoint": ka.Adjoint(method=method)}
    g, said = said_of(lambda t: np.real(ka.eigs(A + t * B, k=1, **call)[0][0]))
    assert said == []
    assert g == pytest.approx(onp.real(left[0] @ B @ V[:, 0]), rel=1e-5)


# ---- once, and reported apart ----------------------------------------------------------------------


@pytest.mark.parametrize("n", [60, 450])
def test_it_is_looked_for_once(n):
    """For all rows of a Jacobian, and for second derivatives; counted apart from the systems."""
    rng = onp.random.default_rng(5)
    A = onp.diag(onp.r_[5.0, 4.0, 3.0, onp.linspace(-1, 1.5, n - 3)]) + 0.02 * rng.standard_normal((n, n))
    B, calls, reports = rng.standard_normal((n, n)) / n, [0], []

    def pairs(t):
        def matvec(v):
            calls[0] += 1
            return np.dot(A, v) + t * np.dot(B, v) + t**2 * v

        def rmatvec(v):
            return np.dot(A.T, v) + t * np.dot(B.T, v) + t**2 * v

        operator = ka.LinearOperator((n, n), matvec, rmatvec, dtype=float)
        options = ka.Adjoint(callback=reports.append)
        return ka.eigs(operator, k=3, which="LR", v0=onp.ones(n), adjoint=options)

    jacobian(lambda t: np.real(pairs(t)[0]))(0.0)
    adjoint = [report for report in reports if report.stage == "adjoint"]
    assert len(adjoint) == 2  # of the first row, and of the others together
    assert {report.completeness for report in adjoint} == {"proved" if n <= 200 else "searched"}
    assert adjoint[0].search_applications == (n if n <= 200 else adjoint[0].search_applications) > 0
    assert adjoint[1].search_applications == 0
    assert f"by {adjoint[0].search_applications} applications and 0 solves besides" in str(adjoint[0])
    forward = reports[0].applications
    if n > 200:
        assert adjoint[0].search_applications <= max(20, 0.15 * forward)
    reports.clear()
    grad(grad(lambda t: np.real(pairs(t)[0][0])))(0.0)
    assert sum(report.search_applications > 0 for report in reports) == 1
    calls[0] = 0
    reports.clear()
    grad(lambda t: np.real(pairs(t)[0][0]))(0.0)
    counted = sum(report.applications + report.search_applications for report in reports)
    # Left systems apply the adjoint, the search the operator itself; besides there are checks.
    assert calls[0] <= counted + 15


def test_with_an_inverse_it_takes_solves():
    problem = Cut.draw("eigs sigma", 450, 0, complete=True)
    _, _, (report, *_) = derivative(problem)
    assert report.search_applications <= 1
    assert 0 < report.search_solves <= 20
    assert report.completeness == "searched"


@pytest.mark.parametrize("n", [30, 450])
def test_pairs_of_another_solver_are_looked_next_to(n):
    """Nothing is known of what was wanted, and so nothing of what was missed."""
    A, B, Q = levels_of(onp.r_[3.0, 3.0, 2.0, onp.linspace(-1, 1.5, n - 3)])

    def f(t, numbers):
        w = onp.r_[3.0, 3.0, 2.0][numbers]
        return ka.attach_eigenpairs(A + t * B, w, Q[:, numbers], hermitian=True)[0][0]

    for numbers, cut in (([0], True), ([0, 2], True), ([2], False), ([2, 0, 1], False)):
        _, said = said_of(lambda t, numbers=numbers: f(t, numbers))
        assert [SAID in text for text in said] == [True] * cut


@pytest.mark.slow
@pytest.mark.parametrize("hermitian", [True, False])
@pytest.mark.parametrize("n", [300, 420])
def test_pairs_of_another_solver_at_the_end_of_a_wide_spectrum(n, hermitian):
    """As many steps as it takes to tell, or LAPACK where that is no more."""
    rng = onp.random.default_rng(n)
    V = la.qr(rng.standard_normal((n, n)))[0]
    if not hermitian:
        V = V @ (onp.eye(n) + 0.3 * rng.standard_normal((n, n)) / n**0.5)
    A, B = (V * onp.r_[1.0, 1.0, 2 + 0.4 * onp.arange(n - 2)]) @ la.inv(V), rng.standard_normal((n, n)) / n**0.5
    if hermitian:
        A, B = 0.5 * (A + A.T), B + B.T
    x = V[:, 0] / la.norm(V[:, 0])

    def f(t):
        operator = ka.LinearOperator(
            (n, n),
            lambda v: np.dot(A, v) + t * np.dot(B, v),
            lambda v: np.dot(A.T, v) + t * np.dot(B.T, v),
            dtype=float,
        )
        return np.real(ka.attach_eigenpairs(operator, [1.0], x[:, None], hermitian=hermitian)[0][0])

    _, said = said_of(f)
    assert [SAID in text for text in said] == [True]


@pytest.mark.slow
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("solver", ["eigsh", "eigs"])
def test_what_is_deflated_is_not_taken_for_an_eigenvalue(solver, is_complex, sign):
    """Its zero is more wanted than the whole of a spectrum of one sign."""
    n, rng = 420, onp.random.default_rng(1)

    def draw():
        return rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if is_complex else 0)

    V = la.qr(draw())[0]
    if solver == "eigs":
        V = V @ (onp.eye(n) + 0.3 * draw() / n**0.5)
    values = sign * onp.r_[1.0, 1.0, 1.5 + onp.cumsum(rng.uniform(0.2, 0.7, n - 2))]
    A, B = (V * values) @ la.inv(V), draw() / n**0.5
    if solver == "eigsh":
        A, B = 0.5 * (A + A.conj().T), B + B.conj().T
    which = ("S" if sign > 0 else "L") + ("A" if solver == "eigsh" else "R")

    def f(t):
        operator = ka.LinearOperator(
            (n, n),
            lambda v: np.dot(A, v) + t * np.dot(B, v),
            lambda v: np.dot(A.conj().T, v) + t * np.dot(B.conj().T, v),
            dtype=A.dtype,
        )
        return np.real(getattr(ka, solver)(operator, k=1, which=which, v0=onp.ones(n))[0][0])

    _, said = said_of(f)
    assert [SAID in text for text in said] == [True]


def test_an_eigenvalue_of_single_precision_that_was_missed_is_said():
    n, rng = 230, onp.random.default_rng(4)
    A = ((rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n))) / n**0.5).astype(onp.complex64)
    v0 = onp.random.default_rng(3).standard_normal(n)
    w = ka.eigs(A, k=3, which="LM", v0=v0)[0]
    _, said = said_of(lambda t: np.sum(np.abs(ka.eigs(A + t * A, k=3, which="LM", v0=v0)[0])))
    missed = bool(onp.min(onp.abs(w)) < onp.sort(onp.abs(la.eigvals(A)))[-3] * (1 - 1e-3))
    assert [("were not computed" in text) for text in said] == [True] * missed


def test_a_pencil_without_an_operator_is_not_settled():
    """M by a function, and no inverse of it: nothing to iterate with."""
    n, reports = 450, []
    A, B, Q = levels_of(onp.r_[3.0, 3.0, onp.linspace(-1, 1.5, n - 2)])
    M = ka.LinearOperator((n, n), lambda v: 2.0 * v, dtype=float)

    def f(t):
        operator = ka.LinearOperator((n, n), lambda v: np.dot(A, v) + t * np.dot(B, v), dtype=complex)
        options = ka.Adjoint(callback=reports.append)
        w, _ = ka.attach_eigenpairs(operator, [1.5], Q[:, :1] / 2**0.5, M=M, hermitian=True, adjoint=options)
        return w[0]

    _, said = said_of(f)
    assert said == []
    assert reports[-1].completeness == "not settled"


def test_a_double_eigenvalue_of_a_nonlinear_problem():
    def f(p):
        def T(lam):
            return np.diag(np.array([1.0, 1.0, 3.0])) * (1 + p) - lam * np.eye(3)

        return ka.attach_nonlinear(T, 1.0, onp.eye(3)[0])[0]

    _, said = said_of(f)
    assert len(said) == 1
    assert SAID in said[0]
