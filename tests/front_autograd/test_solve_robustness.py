"""`solve` beside its derivatives: preconditioners, guesses, factors, memory, and honest failure."""

import gc
import threading
import weakref

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad, hessian, make_jvp
from systems import SUITABLE, N, P, losses, operator, problem, random, record_reports

import krylov_adj as ka
from krylov_adj.krylov import linear_system


@pytest.fixture
def reports(monkeypatch):
    return record_reports(monkeypatch)


# ---- preconditioners, initial guesses, factors ---------------------------------------------


class Counted:
    """A near inverse of A, not Hermitian, that counts its applications and its adjoint's."""

    def __init__(self, A, seed=4):
        E = random(seed, A.shape, complex if onp.iscomplexobj(A) else float)
        self.matrix = onp.linalg.inv(A + 0.02 * E)
        self.plain = self.adjoint = 0

    def operator(self, adjoint=True):
        def matvec(v):
            self.plain += 1
            return self.matrix @ v

        def rmatvec(v):
            self.adjoint += 1
            return self.matrix.conj().T @ v

        rmatvec = rmatvec if adjoint else None
        return spla.LinearOperator(self.matrix.shape, matvec, rmatvec, dtype=self.matrix.dtype)


@pytest.mark.parametrize("solver", [None, "gmres", "bicgstab", "gcrot"])
@pytest.mark.parametrize("dtype", [float, complex])
def test_the_adjoint_system_uses_the_preconditioners_adjoint(solver, dtype, reports):
    n = 150
    A = random(1, (n, n), dtype) + 2 * onp.diag(onp.arange(n))  # far too ill-conditioned without help
    b = random(2, (n,), dtype)
    P = Counted(A)
    settings = {"solver": solver, "preconditioner": P.operator(), "rtol": 1e-12}
    ka.solve(A, b, **settings)
    assert P.plain > 0
    assert P.adjoint == 0
    P.plain = 0
    g = grad(lambda t: np.sum(np.abs(ka.solve(t * A, b, **settings)) ** 2))(1.0)
    onp.testing.assert_allclose(g, -2 * onp.linalg.norm(onp.linalg.solve(A, b)) ** 2, rtol=1e-9)
    forward, backward = reports[-2:]
    assert (forward.stage, backward.stage) == ("forward", "adjoint")
    assert backward.iterations <= forward.iterations + 40
    assert abs(P.adjoint - P.plain) <= 40
    # A second derivative solves with both again.
    H = grad(grad(lambda t: np.sum(np.abs(ka.solve(t * A, b, **settings)) ** 2)))(1.0)
    onp.testing.assert_allclose(H, -3 * g, rtol=1e-8)


def test_preconditioners_come_in_every_form():
    A, b = problem("definite", float)[0][0], random(2, (N,), float)
    expected, g = onp.linalg.solve(A, b), grad(lambda A: np.sum(np.linalg.solve(A, b) ** 2))(A)
    inverse = onp.linalg.inv(A + 0.01 * onp.diag(onp.arange(N)))
    forms = [
        inverse,
        sp.csr_array(inverse),
        ka.LinearOperator((N, N), lambda v: np.dot(inverse, v), dtype=float),
        lambda V: inverse @ V,
        spla.splu(sp.csc_matrix(A)).solve,
        inverse.astype(onp.float32),
    ]
    for preconditioner in forms:
        for solver in ("gmres", "minres", "cg", "bicgstab", "gcrot"):
            settings = {"solver": solver, "preconditioner": preconditioner, "rtol": 1e-12}
            onp.testing.assert_allclose(ka.solve(A, b, **settings), expected, rtol=1e-9)
            actual = grad(lambda A, settings=settings: np.sum(ka.solve(A, b, **settings) ** 2))(A)
            onp.testing.assert_allclose(actual, g, rtol=1e-8, atol=1e-9)


def test_a_preconditioner_may_be_complex_or_traced():
    A, b = problem("non-normal", float)[0][0], random(2, (N,), float)
    shifted = onp.linalg.inv(A + 0.1j * onp.eye(N))
    for solver in ("gmres", "bicgstab", "gcrot"):
        x = ka.solve(A, b, solver=solver, preconditioner=shifted, rtol=1e-12)
        assert x.dtype == float
        onp.testing.assert_allclose(x, onp.linalg.solve(A, b), rtol=1e-9)
    q = onp.linspace(1.0, 2.0, N)

    def f(q):
        T = ka.LinearOperator((N, N), lambda v: q * v + 0.1 * np.roll(v, 1), dtype=float)
        jacobi = ka.LinearOperator((N, N), lambda v: v / q, dtype=float)
        return np.sum(ka.solve(T, b, preconditioner=jacobi, rtol=1e-13) ** 2)

    def reference(q):
        return np.sum(np.linalg.solve(np.diag(q) + 0.1 * onp.roll(onp.eye(N), 1, axis=0), b) ** 2)

    onp.testing.assert_allclose(grad(f)(q), grad(reference)(q), rtol=1e-9)
    onp.testing.assert_allclose(hessian(f)(q), hessian(reference)(q), rtol=1e-8, atol=1e-10)


def test_a_preconditioner_without_adjoint():
    A, b = problem("non-normal", float)[0][0], random(2, (N,), float)
    P = Counted(A).operator(adjoint=False)

    def f(t):
        return np.sum(ka.solve(t * A, b, preconditioner=P))

    onp.testing.assert_allclose(make_jvp(f)(1.0)(1.0)[1], -f(1.0), rtol=1e-8)
    with pytest.raises(NotImplementedError, match="preconditioner has no adjoint"):
        grad(f)(1.0)


def test_initial_guess(reports):
    A, b = problem("non-normal", complex)[0][0], random(2, (N, 2), complex)
    x = onp.linalg.solve(A, b)
    for solver in ("direct", "gmres", "bicgstab", "gcrot"):
        onp.testing.assert_array_equal(ka.solve(A, b, solver=solver, x0=x), x)
        assert reports[-1].iterations == 0
        onp.testing.assert_allclose(ka.solve(A, b, solver=solver, x0=x + 1, rtol=1e-12), x, rtol=1e-9)
    assert grad(lambda t: 0 * t + np.sum(np.real(ka.solve(A, b, x0=t * x))))(1.0) == 0


def test_derivatives_use_the_factors_again(monkeypatch):
    calls = []
    factors = linear_system.lu_factors
    monkeypatch.setattr(linear_system, "lu_factors", lambda *a: calls.append(a) or factors(*a))
    f, _ = losses("direct", "non-normal", float, "algebra")
    hessian(f)(P)
    assert len(calls) == 1


def test_the_tape_frees_the_factors(monkeypatch):
    systems = []

    def tracked(*arguments):
        system = linear_system.LinearSystem(*arguments)
        systems.append(weakref.ref(system))
        return system

    monkeypatch.setattr("krylov_adj.autograd.linear.LinearSystem", tracked)
    f, _ = losses("direct", "non-normal", float, "algebra")
    gc.disable()
    try:
        grad(f)(P)
        alive = [system() for system in systems]
    finally:
        gc.enable()
    assert alive == [None]


def test_many_threads():
    def work(seed, results):
        q = random(seed, (2,), float)
        f, reference = losses("gmres", "non-normal", float, "algebra")
        results[seed] = onp.abs(grad(f)(q) - grad(reference)(q)).max() / onp.abs(grad(reference)(q)).max()

    results = {}
    threads = [threading.Thread(target=work, args=(seed, results)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert max(results.values()) < 1e-8


# ---- failure -------------------------------------------------------------------------------


def neumann(n):
    return sp.diags([-onp.ones(n - 1), onp.r_[1, onp.full(n - 2, 2.0), 1], -onp.ones(n - 1)], [-1, 0, 1], format="csr")


@pytest.mark.parametrize("solver", ["bicgstab", "gcrot"])
def test_a_solver_that_cannot(solver):
    """The cyclic shift: Krylov methods make no progress for n steps."""
    n = 100
    C = sp.csr_array(onp.roll(onp.eye(n), 1, axis=0))
    with pytest.raises(ka.LinearNoConvergence, match=rf"{solver} did not solve A x = b.*\(a\).*\(b\).*\(c\)") as caught:
        ka.solve(C, onp.eye(n)[0], solver=solver)
    report = caught.value.report
    assert report.residuals[0] > 0.5
    assert not report.converged
    onp.testing.assert_allclose(ka.solve(C, onp.eye(n)[0], solver="gmres"), onp.eye(n)[-1], atol=1e-9)


@pytest.mark.parametrize(
    "A",
    [neumann(60), sp.kronsum(sp.csr_array(neumann(9)), 0.3 * sp.csr_array(neumann(7)), format="csr")],
    ids=["1-D", "2-D"],
)
def test_singular_matrices(A):
    n = A.shape[0]
    inside = random(3, (n,), float)
    inside -= inside.mean()
    for matrix in (A, A.toarray()):
        with pytest.raises(onp.linalg.LinAlgError, match="singular to working precision"):
            ka.solve(matrix, inside)
    for solver in ("gmres", "minres", "cg", "bicgstab", "gcrot"):
        x = ka.solve(A, inside, solver=solver)
        onp.testing.assert_allclose(A @ x, inside, atol=1e-9)
        for part in (1.0, 1e-3, 1e-7):  # outside of the range: SciPy's minres reports success
            with pytest.raises(ka.LinearNoConvergence, match="A is singular"):
                ka.solve(A, inside + part, solver=solver)


def test_a_derivative_that_does_not_exist():
    """Any multiple of the null vector may be added to x: a loss that sees it has no gradient."""
    A = neumann(40)
    S = ka.aslinearoperator(A)
    b = onp.linspace(-1, 1, 40)
    with pytest.raises(ka.AdjointNoConvergence, match="of a derivative") as caught:
        grad(lambda t: np.sum(ka.solve(S * t, b, solver="minres") * onp.arange(40.0) ** 2))(1.0)
    assert caught.value.report.stage == "adjoint"
    # One that does not see it has one.
    g = grad(lambda t: np.sum(np.diff(ka.solve(S * t, b, solver="minres")) ** 2))(1.0)
    x = onp.linalg.pinv(A.toarray(), rcond=1e-10) @ b
    onp.testing.assert_allclose(g, -2 * onp.sum(onp.diff(x) ** 2), rtol=1e-8)


def test_badly_scaled_rows_are_not_singular():
    scales = onp.array([1.0, 1e-20, 1e30])
    A = onp.array([[2.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]])
    for matrix in (scales[:, None] * A, sp.csr_array(scales[:, None] * A)):
        onp.testing.assert_allclose(ka.solve(matrix, scales), onp.linalg.solve(A, onp.ones(3)), atol=1e-12)


def test_what_rounding_admits_is_accepted_and_more_is_not(reports):
    Q = onp.linalg.qr(random(1, (40, 40), float))[0]
    b = random(2, (40,), float)
    for condition in (1e6, 1e10, 1e12):
        A = (Q * onp.geomspace(1, 1 / condition, 40)) @ Q.T
        for solver in ("direct", "gmres"):
            x = ka.solve(A, b, solver=solver)
            report = reports[-1]
            assert report.converged
            onp.testing.assert_allclose(onp.linalg.norm(b - A @ x) / onp.linalg.norm(b), report.residuals[0], rtol=0.5)
            assert onp.linalg.norm(x - onp.linalg.solve(A, b)) <= 1e-14 * condition * onp.linalg.norm(x)
    A = (Q * onp.geomspace(1, 1e-18, 40)) @ Q.T
    with pytest.raises(onp.linalg.LinAlgError, match="one step of refinement"):
        ka.solve(A, b)
    with pytest.raises(ka.LinearNoConvergence):
        ka.solve(A, b, solver="gmres")


@pytest.mark.parametrize(
    ("dtype", "size"), [(float, 1e200), (float, 1e-200), (onp.float32, 1e25), (onp.float32, 1e-25)]
)
def test_no_size_of_the_matrix_matters(dtype, size):
    A = (problem("definite", float)[0][0] * size).astype(dtype)
    b = random(3, (N,), float).astype(dtype)
    exact = onp.linalg.solve(A.astype(float) / size, b)
    for solver in SUITABLE:
        x = ka.solve(A, b, solver=solver) * dtype(size)
        onp.testing.assert_allclose(x, exact, rtol=1e-3 if dtype is onp.float32 else 1e-8)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_returned_solves_the_system(seed):
    """Whatever the matrix, a returned x has the residual that was asked for; all else raises."""
    rng = onp.random.default_rng(seed)
    n = int(rng.integers(2, 40))
    A = rng.normal(size=(n, n)) * 10.0 ** rng.uniform(-8, 0, size=(n, 1)) ** (seed % 3)
    A = A @ A.T if seed % 2 else A
    b = rng.normal(size=n)
    solved = []
    for solver in SUITABLE:
        if solver in ("minres", "cg") and seed % 2 == 0:
            with pytest.raises(ValueError, match="needs a Hermitian A"):
                ka.solve(A, b, solver=solver)
            continue
        try:
            x = ka.solve(A, b, solver=solver)
        except (ka.LinearNoConvergence, onp.linalg.LinAlgError):
            continue
        solved.append(solver)
        floor = 1e-13 * onp.linalg.norm(A) * onp.linalg.norm(x) / onp.linalg.norm(b)
        assert onp.linalg.norm(b - A @ x) / onp.linalg.norm(b) <= max(1e-10, floor)
    # What can be solved is.
    assert ({"direct", "gmres"} <= set(solved)) == bool(onp.linalg.cond(A) < 1e12)


A2 = onp.array([[2.0, 1.0], [0.0, 3.0]])
ONES = onp.ones(2)
ROTATION = ka.LinearOperator((2, 2), lambda v: np.dot(A2, v), dtype=float)
ERRORS = {
    "unknown solver": (ValueError, "solver='lu'.*'direct'", lambda: ka.solve(A2, ONES, solver="lu")),
    "unknown keyword": (TypeError, "tol", lambda: ka.solve(A2, ONES, tol=1e-3)),
    "not square": (ValueError, "square", lambda: ka.solve(onp.ones((2, 3)), ONES)),
    "length of b": (ValueError, r"b of shape \(2,\)", lambda: ka.solve(A2, onp.ones(3))),
    "dimensions of b": (ValueError, "b of shape", lambda: ka.solve(A2, onp.ones((2, 2, 2)))),
    "sparse b": (TypeError, "toarray", lambda: ka.solve(A2, sp.csr_array(A2))),
    "b of objects": (TypeError, "numbers", lambda: ka.solve(A2, onp.array(["a", "b"]))),
    "NaN in b": (ValueError, "right-hand side.*NaN", lambda: ka.solve(A2, onp.array([1.0, onp.nan]))),
    "NaN in dense A": (ValueError, "NaN", lambda: ka.solve(A2 * onp.nan, ONES)),
    "NaN in sparse A": (ValueError, "NaN", lambda: ka.solve(sp.csr_array(A2 * onp.nan), ONES)),
    "NaN in a closure": (
        ValueError,
        "NaN",
        lambda: ka.solve(ka.LinearOperator((2, 2), lambda v: v * onp.nan, dtype=float), ONES),
    ),
    "rtol": (ValueError, "rtol=-1", lambda: ka.solve(A2, ONES, rtol=-1)),
    "shape of x0": (ValueError, "x0 has shape", lambda: ka.solve(A2, ONES, x0=onp.ones((2, 1)))),
    "NaN in x0": (ValueError, "initial guess", lambda: ka.solve(A2, ONES, x0=ONES * onp.nan)),
    "complex x0": (ValueError, "x0 is complex", lambda: ka.solve(A2, ONES, x0=ONES * 1j)),
    "direct without a matrix": (ValueError, "explicit", lambda: ka.solve(ROTATION, ONES, solver="direct")),
    "direct with a preconditioner": (
        ValueError,
        "no preconditioner",
        lambda: ka.solve(A2, ONES, solver="direct", preconditioner=A2),
    ),
    "cg": (ValueError, "needs a Hermitian", lambda: ka.solve(A2, ONES, solver="cg")),
    "minres": (ValueError, "needs a Hermitian", lambda: ka.solve(ROTATION, ONES, solver="minres")),
    "indefinite preconditioner": (
        ValueError,
        "positive definite preconditioner",
        lambda: ka.solve(onp.eye(2), ONES, solver="cg", preconditioner=-onp.eye(2)),
    ),
    "shape of the preconditioner": (
        ValueError,
        "preconditioner has shape",
        lambda: ka.solve(A2, ONES, preconditioner=onp.eye(3)),
    ),
    "result of the preconditioner": (
        ValueError,
        "preconditioner returned shape",
        lambda: ka.solve(A2, ONES, preconditioner=lambda V: V[:1]),
    ),
    "NaN from the preconditioner": (
        ValueError,
        "preconditioner returned NaN",
        lambda: ka.solve(A2, ONES, preconditioner=lambda V: V * onp.nan),
    ),
    "complex preconditioner undeclared": (
        TypeError,
        "declare it",
        lambda: ka.solve(A2, ONES, preconditioner=lambda V: V * 1j),
    ),
    "complex A undeclared": (
        TypeError,
        "complex",
        lambda: ka.solve(spla.LinearOperator((2, 2), lambda v: 1j * v, dtype=float), ONES),
    ),
    "not transposable": (
        TypeError,
        "rmatvec",
        lambda: grad(lambda t: np.sum(ka.solve(ka.LinearOperator((2, 2), spla.aslinearoperator(A2).matvec), t * ONES)))(
            1.0
        ),
    ),
    "no adjoint": (
        NotImplementedError,
        "A has no adjoint",
        lambda: grad(lambda t: np.sum(ka.solve(spla.LinearOperator((2, 2), lambda v: A2 @ v, dtype=float), t * ONES)))(
            1.0
        ),
    ),
    "wrong adjoint": (
        ValueError,
        "adjoint of A is wrong",
        lambda: grad(
            lambda t: np.sum(
                ka.solve(
                    ka.LinearOperator((2, 2), lambda v: np.dot(A2, v), lambda v: np.dot(A2, v), dtype=float) * t, ONES
                )
            )
        )(1.0),
    ),
}


@pytest.mark.parametrize(("error", "message", "call"), ERRORS.values(), ids=ERRORS)
def test_errors(error, message, call):
    with pytest.raises(error, match=message):
        call()


def test_nothing_is_printed_and_no_random_state_touched(capfd):
    state = onp.random.get_state()[1].copy()  # noqa: NPY002
    for solver in SUITABLE:
        f, _ = losses(solver, "definite", float, "dense")
        hessian(f)(P)
    onp.testing.assert_array_equal(onp.random.get_state()[1], state)  # noqa: NPY002
    assert capfd.readouterr() == ("", "")


def test_which_solver_runs(reports):
    A, b = problem("non-normal", float)
    closure = operator(A, P, "closure")
    for arguments, expected in (
        ({"A": A[0]}, "direct"),
        ({"A": sp.csr_array(A[0])}, "direct"),
        ({"A": 2 * ka.aslinearoperator(A[0]).H, "solver": "auto"}, "direct"),
        ({"A": closure}, "gmres"),
        ({"A": A[0] + closure}, "gmres"),
        ({"A": A[0], "preconditioner": onp.eye(N)}, "gmres"),
        ({"A": A[0], "solver": "gcrot"}, "gcrot"),
    ):
        ka.solve(b=b[0], **arguments)
        assert reports[-1].method == expected
