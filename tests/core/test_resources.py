"""Memory, threads, honest reports, tolerances, scales; every option changes something."""

import gc
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse.linalg as spla
from autograd import grad, hessian, make_jvp, make_vjp
from autograd.tracer import trace_stack

import krylov_adj as ka
from krylov_adj.krylov.lanczos import OTHERS

SOLVERS = {"eigsh": (ka.eigsh, "SA", 8), "eigs": (ka.eigs, "SR", 16)}


# ---- memory --------------------------------------------------------------------------------


def large(solver, n, k, calls=None, **kwargs):
    """p -> a loss of k pairs of a matrix-free operator of order n, and the parameters."""
    function, which, _ = SOLVERS[solver]
    d = onp.linspace(0, 10, n)
    d[:5] = [-300, -250, -200, -160, -130]  # ARPACK and the adjoint converge in few steps
    start = onp.full(n, 1e-3)
    start[:20] = 1.0

    def f(p):
        def matvec(v):
            if calls is not None:
                calls.append(v.shape)
            return p[0] * (2 * v) - np.concatenate([v[1:], v[:1]]) - np.concatenate([v[-1:], v[:-1]]) + p[1] * d * v

        op = ka.LinearOperator((n, n), matvec, dtype=float)
        w, X = function(op, k=k, which=which, v0=start, **kwargs)
        return np.sum(np.real(w)) + np.sum(np.abs(X[:, 0]) ** 4)

    return f, onp.array([1.0, 1.0])


def kept(f, p):
    """Bytes that live between the forward and the backward pass."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        vjp, _ = make_vjp(f)(p)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("solver", SOLVERS)
def test_memory_between_the_passes_is_a_few_blocks_of_vectors(solver):
    n, itemsize = 50_000, SOLVERS[solver][2]
    sizes, steps = [], []
    for k, kwargs in ((2, {}), (4, {}), (2, {"ncv": 6}), (2, {"ncv": 50}), (2, {"tol": 1e-2})):
        calls = []
        sizes.append(kept(*large(solver, n, k, calls, **kwargs)))
        steps.append(len(calls))
    assert sizes[0] <= 6 * n * 2 * itemsize
    assert sizes[1] - sizes[0] <= 6 * n * 2 * itemsize
    # However many steps the solver took, and whatever basis it kept: but for a few eigenvectors that it found besides.
    assert len(set(steps[2:])) > 1
    assert onp.ptp([sizes[0], *sizes[2:]]) <= (OTHERS if solver == "eigsh" else 0.01) * n * itemsize


def test_memory_of_the_backward_pass_is_a_few_blocks_of_vectors():
    """MINRES holds five, and what it is given and called by about as many; columns leave it without copies."""
    n, k, peaks = 30_000, 4, []
    for adjoint in (ka.Adjoint(method="minres"), ka.Adjoint(method="minres", rtol=1e-4)):
        vjp, _ = make_vjp(large("eigsh", n, k, adjoint=adjoint)[0])(np.array([1.0, 0.5]))
        tracemalloc.start()
        try:
            vjp(1.0)
            peaks.append(tracemalloc.get_traced_memory()[1] / (8 * n * k))
        finally:
            tracemalloc.stop()
    assert max(peaks) < 7.5  # one more is a block that waits for nothing
    assert abs(peaks[0] - peaks[1]) < 0.1  # whatever the number of steps


@pytest.mark.parametrize("solver", SOLVERS)
def test_nothing_leaks(solver):
    """Over 50 gradients without the collector of cycles, the first of which fill Python's own pools:
    not one vector for each of the last 35."""
    n = 2_000
    f, p = large(solver, n, 2, tol=1e-6, adjoint=ka.Adjoint(rtol=1e-3))
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for i in range(50):
            grad(f)(p)
            if i == 14:
                before = tracemalloc.get_traced_memory()[0]
        assert tracemalloc.get_traced_memory()[0] - before < 35 * 8 * n / 4
    finally:
        gc.enable()
        tracemalloc.stop()


# ---- traces: an operator that differentiates, threads --------------------------------------

N = 12
RNG = onp.random.default_rng(0)
B = RNG.standard_normal((N, N))
X0, DIRECTION = RNG.standard_normal((2, N))
Q0 = 0.8 + 0.3 * RNG.standard_normal(N)
LADDER = onp.arange(1.0, N + 1)

ENERGIES = {
    "parameter last": lambda x, c: np.sum(np.dot(B, c * x) ** 4) / 50 + np.sum(LADDER * x**2) + np.sum(x**2 * c),
    "parameter first": lambda x, c: (
        np.sum(c * np.sin(c) * x**2) + np.sum(np.dot(B, c * x) ** 4) / 50 + 3 * np.sum(x**4)
    ),
}
HESSIAN_PRODUCTS = {
    "grad of grad": lambda f, v: grad(lambda x: np.sum(grad(f)(x) * v))(0.3 * X0),
    "vjp of grad": lambda f, v: make_vjp(grad(f))(0.3 * X0)[0](v),
    "jvp of grad": lambda f, v: make_jvp(grad(f))(0.3 * X0)(v)[1],
}


@pytest.mark.parametrize("method", ["dense", "minres", "gmres"])
@pytest.mark.parametrize("product", HESSIAN_PRODUCTS)
@pytest.mark.parametrize("energy", ENERGIES)
def test_an_operator_that_differentiates(energy, product, method):
    """The Hessian of an energy as a matrix-free operator. In the backward pass the parameters in
    its closure carry ended traces, whose numbers autograd gives to the operator's own traces."""

    def f(q):
        def matvec(v):
            return HESSIAN_PRODUCTS[product](lambda x: ENERGIES[energy](x, q**2), v)

        H = ka.LinearOperator((N, N), matvec, dtype=float)
        w, X = ka.eigsh(H, k=2, which="SA", v0=onp.ones(N), adjoint=ka.Adjoint(method=method))
        return np.sum(X[:, 0] ** 4) + w[1] ** 2

    def reference(q):
        w, X = onp.linalg.eigh(hessian(lambda x: ENERGIES[energy](x, q**2))(0.3 * X0))
        return onp.sum(X[:, 0] ** 4) + w[1] ** 2

    def along(h):
        return (reference(Q0 + h * DIRECTION) - reference(Q0 - h * DIRECTION)) / (2 * h)

    expected = (4 * along(5e-4) - along(1e-3)) / 3
    onp.testing.assert_allclose(f(Q0), reference(Q0), rtol=1e-10)
    onp.testing.assert_allclose(grad(f)(Q0) @ DIRECTION, expected, rtol=1e-6)

    def g(h):
        return grad(f)(Q0 + h * DIRECTION) @ DIRECTION

    second = (4 * (g(1e-3) - g(-1e-3)) / 2e-3 - (g(2e-3) - g(-2e-3)) / 4e-3) / 3
    found = grad(lambda q: np.sum(grad(f)(q) * DIRECTION))(Q0) @ DIRECTION
    onp.testing.assert_allclose(found, second, rtol=1e-5)


def problem(seed, hermitian=False):
    """A loss of its own for every thread; without rmatvec, so that transposes are traced there."""
    rng = onp.random.default_rng(seed)
    C, D = rng.standard_normal((2, N, N))
    C, D = (C + C.T, D + D.T) if hermitian else (C + 1j * rng.standard_normal((N, N)), D + 0j)
    C = C + onp.diag(onp.arange(N) * 2.0)

    def f(p):
        op = ka.LinearOperator(
            (N, N), lambda v: np.dot(C, v) + np.sin(p[0]) * np.dot(D, v) + p[1] ** 2 * LADDER * v, dtype=C.dtype
        )
        function, which = (ka.eigsh, "LA") if hermitian else (ka.eigs, "LR")
        w, X = function(op, k=2, which=which, v0=onp.ones(N))
        return np.sum(np.abs(X[:, 0]) ** 4) + np.real(w[0]) * np.abs(w[1])

    return f


P = onp.array([0.1, 0.2])


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_threads_with_a_problem_each(mode):
    """First derivatives are right whatever the threads do."""
    problems = [problem(seed, hermitian=seed % 3 == 0) for seed in range(24)]
    open_traces = trace_stack.top

    def derivative(f):
        return grad(f)(P) if mode == "reverse" else make_jvp(f)(P)(P)[1]

    alone = [derivative(f) for f in problems]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(derivative, problems * 3))
    onp.testing.assert_allclose(together, alone * 3, rtol=1e-9)
    assert trace_stack.top == open_traces


def test_threads_to_second_order_one_at_a_time():
    """autograd's traces are numbered per process: at higher order the caller has to take turns."""
    problems = [problem(seed, hermitian=seed % 3 == 0) for seed in range(8)]
    turn = threading.Lock()

    def second(f):
        with turn:
            return grad(lambda q: np.sum(grad(f)(q) * P))(P)

    def first(f):
        with turn:
            return grad(f)(P)

    alone = [second(f) for f in problems], [first(f) for f in problems]
    with ThreadPoolExecutor(8) as pool:
        futures = [(pool.submit(second, f), pool.submit(first, f)) for f in problems]
        for (s, g), expected in zip(futures, zip(*alone, strict=True), strict=True):
            onp.testing.assert_allclose(s.result(), expected[0], rtol=1e-9)
            onp.testing.assert_allclose(g.result(), expected[1], rtol=1e-9)


@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("order", [1, 2])
def test_a_trace_number_given_out_twice_is_no_wrong_number(order, hermitian):
    """Another thread's trace ends while this one's is open: the next trace, that of a transpose or
    of an inner derivative, is given the open one's number by autograd. Right, or an error."""
    f = problem(1, hermitian)
    opened, outer, ended = threading.Event(), threading.Event(), threading.Event()

    def other(x):
        opened.set()
        assert outer.wait(60)
        return x * x

    def mine(q):
        outer.set()
        assert ended.wait(60)
        return f(q) if order == 1 else np.sum(grad(f)(q) * P)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(grad(other), 3.0)
        assert opened.wait(60)
        second = pool.submit(grad(mine), P)
        assert outer.wait(60)
        assert first.result() == 6.0
        ended.set()
        if order == 1:
            onp.testing.assert_allclose(second.result(), grad(f)(P), rtol=1e-9)
        else:
            with pytest.raises(RuntimeError, match=r"one number to two nested traces.*take turns"):
                second.result()


# ---- reports, tolerances, scales, options --------------------------------------------------

M = 240
S, D, W = RNG.standard_normal((3, M, M))
S, D, W = onp.diag(onp.arange(M) * 1.0) + 0.2 * (S + S.T), D + D.T, W + W.T
K = S + 0.1 * RNG.standard_normal((M, M))
METHODS = [
    ("eigsh", "minres"), ("eigsh", "gmres"), ("eigsh", "augmented"),
    ("eigs", "gmres"), ("eigs", "augmented"),
]  # fmt: skip


def matrix_of(solver):
    return S if solver == "eigsh" else K


def quadratic(A, solver, factor=1.0, **options):
    """factor * x^H W x of one vector: the adjoint is one system."""
    function, which, _ = SOLVERS[solver]
    w, X = function(A, k=1, which=which, v0=onp.ones(M, A.dtype), adjoint=ka.Adjoint(**options))
    x = X[:, 0]
    return factor * (np.dot(np.real(x), np.dot(W, np.real(x))) + np.dot(np.imag(x), np.dot(W, np.imag(x))))


def slope(solver, factor=1.0, **options):
    """The derivative of the loss for A + p D at p = 0."""
    return grad(lambda p: quadratic(matrix_of(solver) + p * D, solver, factor, **options))(0.0)


@pytest.mark.parametrize("rtol", [1e-2, 1e-6])
@pytest.mark.parametrize(("solver", "method"), METHODS)
def test_reports_are_honest(solver, method, rtol):
    """The gradient in A is the outer product of the solution and x, of a symmetric A its symmetric part."""
    reports, A = [], matrix_of(solver)
    G = grad(quadratic)(A, solver, method=method, rtol=rtol, callback=reports.append)
    w, X = onp.linalg.eig(A)
    i = onp.argmin(w.real)
    assert abs(w[i].imag) == 0
    w, x = w[i].real, X[:, i].real
    solution = (2 if solver == "eigsh" else 1) * G @ x  # which is orthogonal to x
    h = 2 * (W @ x - x * (x @ W @ x))
    residual = onp.linalg.norm((A - w * onp.eye(M)).T @ solution + h) / onp.linalg.norm(h)
    forward, adjoint = reports
    assert (forward.stage, adjoint.stage, adjoint.method) == ("forward", "adjoint", method)
    assert forward.converged
    assert forward.residuals[0] < 1e-12
    assert adjoint.converged
    assert adjoint.requested == rtol
    assert 0 < adjoint.residuals[0] <= rtol
    onp.testing.assert_allclose(adjoint.residuals[0], residual, rtol=0.05)
    assert adjoint.iterations >= 3
    assert adjoint.applications >= adjoint.iterations
    assert f"{adjoint.residuals[0]:.1e} (requested {rtol:.1e})" in str(adjoint)


@pytest.mark.parametrize("solver", SOLVERS)
def test_reports_count_what_was_applied(solver):
    calls, reports = [], []
    f, p = large(solver, 300, 2, calls, adjoint=ka.Adjoint(callback=reports.append))
    vjp, _ = make_vjp(f)(p)
    forward = len(calls)
    # Besides ARPACK's there are the checks: of traces, of the adjoint, of the pairs.
    assert forward - 15 <= reports[0].applications <= forward
    vjp(1.0)
    assert reports[1].stage == "adjoint"
    if solver == "eigsh":  # the transpose of a non-Hermitian operator does not call matvec
        assert len(calls) - forward - 10 <= reports[1].applications <= len(calls) - forward


@pytest.mark.parametrize(("solver", "method"), METHODS)
def test_the_error_falls_with_rtol(solver, method):
    exact = slope(solver, method="dense")
    errors = []
    for rtol in (1e-2, 1e-4, 1e-6, 1e-8):
        errors.append(abs(slope(solver, method=method, rtol=rtol) - exact) / abs(exact))
        assert errors[-1] <= 300 * rtol
    assert errors[3] < 1e-3 * errors[0]
    assert errors[3] < 1e-6


@pytest.mark.parametrize("method", ["dense", "minres", "gmres", "auto"])
def test_the_dense_reference_is_right(method):
    w, X = onp.linalg.eigh(S)
    c = X.T @ D @ X[:, 0]
    exact = 2 * (X.T @ W @ X[:, 0])[1:] @ (c[1:] / (w[0] - w[1:]))
    onp.testing.assert_allclose(slope("eigsh", method=method), exact, rtol=1e-8)


@pytest.mark.parametrize("exponent", [-1000, -43, 43, 900])
@pytest.mark.parametrize(("solver", "method"), [*METHODS, ("eigs", "dense")])
def test_a_scaled_loss_has_exactly_the_scaled_gradient(solver, method, exponent):
    """By powers of two to the bit, however small or large; by 1e-13 and 1e+13 to rounding."""
    unit = slope(solver, method=method)
    assert slope(solver, 2.0**exponent, method=method) == unit * 2.0**exponent
    for factor in (1e-13, 1e13):
        onp.testing.assert_allclose(slope(solver, factor, method=method), unit * factor, rtol=1e-8)


@pytest.mark.parametrize("exponent", [-100, -70, 60, 90])
def test_a_scaled_loss_in_single_precision(exponent):
    """Planck's constant is a single precision number, its square is not."""

    def f(p, factor):
        w, X = ka.eigsh(S.astype("f") + p * D.astype("f"), k=1, which="SA", v0=onp.ones(M, "f"))
        return np.sum(X[:, 0] ** 4) * factor

    unit, scaled = (grad(f)(onp.float32(0), onp.float32(2.0**e)) for e in (0, exponent))
    assert scaled.dtype == onp.float32
    assert scaled == unit * onp.float32(2.0**exponent)


@pytest.mark.parametrize("scale", [2.0**-30, 2.0**-60, 2.0**40])
@pytest.mark.parametrize("method", ["dense", "minres", "gmres"])
def test_a_scaled_matrix_has_the_same_gradient_of_vectors(method, scale):
    """SI units; and no warning of an ill-conditioned matrix, which it is not."""

    def f(p):
        return quadratic(scale * S + p * (scale * D), "eigsh", method=method)

    onp.testing.assert_allclose(grad(f)(0.0), slope("eigsh", method="dense"), rtol=1e-7)


def test_every_option_changes_something():
    def report(**options):
        reports = []
        slope("eigsh", callback=reports.append, **options)
        return reports[-1]

    default = report()
    assert default.method == "minres"
    assert default.requested == 1e-10
    for method in ("minres", "gmres", "dense"):
        assert report(method=method).method == method
    assert report(rtol=1e-3).iterations < default.iterations
    assert report(method="gmres", restart=5).iterations > report(method="gmres").iterations
    inverse = onp.linalg.inv(S + 5 * onp.eye(M))
    seen = []
    preconditioned = report(method="minres", preconditioner=lambda V: seen.append(V.shape) or inverse @ V)
    assert seen
    assert preconditioned.iterations < default.iterations / 2
    assert report(preconditioner=lambda V: inverse @ V).method == "gmres"
    without_adjoint = spla.LinearOperator((M, M), matvec=lambda v: inverse @ v, dtype=float)  # as PyAMG's
    assert report(preconditioner=without_adjoint).iterations < default.iterations / 2
    with pytest.raises(ka.AdjointNoConvergence):
        report(maxiter=2)
    with pytest.warns(RuntimeWarning, match="did not converge"):
        assert not report(maxiter=2, on_failure="warn").converged


def test_on_gauge_and_cluster_tol_change_something():
    A = onp.diag(onp.r_[1.0, 1.0 + 1e-6, onp.arange(2.0, 10.0)])
    H = A + 1j * onp.triu(onp.ones((10, 10)), 1) - 1j * onp.tril(onp.ones((10, 10)), -1)
    V = onp.ones((10, 10))

    def of_one_of_a_cluster(p, **options):
        w, X = ka.eigsh(A + p * V, k=2, which="SA", v0=onp.ones(10), adjoint=ka.Adjoint(**options))
        return X[0, 0] * X[1, 0]

    def of_a_phase(p, **options):
        w, X = ka.eigsh(H + p * V, k=2, which="SA", v0=onp.ones(10), adjoint=ka.Adjoint(**options))
        return np.real(X[0, 0])

    onp.testing.assert_allclose(grad(of_one_of_a_cluster)(0.0), -1e6, rtol=1e-6)  # V_12 / gap
    for f, options, match in (
        (of_one_of_a_cluster, {"cluster_tol": 1e-3}, "basis chosen inside a degenerate eigenspace"),
        (of_a_phase, {}, "phase of eigenvectors"),
    ):
        with pytest.warns(ka.GaugeWarning, match=match) as caught:
            first = grad(f)(0.0, **options)
        assert len(caught) == 1
        assert abs(first) < 1e3
        assert grad(f)(0.0, on_gauge="ignore", **options) == first
        with pytest.raises(ValueError, match=match):
            grad(f)(0.0, on_gauge="raise", **options)


@pytest.mark.parametrize("solver", [ka.eigs, ka.eigsh])
def test_a_cotangent_of_zero_has_a_derivative_of_its_own(solver):
    """At the least of Σ (|x|² − c)² the cotangent of x is zero, and its derivative, the Hessian, is not."""
    rng = onp.random.default_rng(4)
    A, B = rng.standard_normal((2, 12, 12))
    if solver is ka.eigsh:
        A, B = A + A.T, B + B.T
    A = A + onp.diag(onp.arange(0.0, 60.0, 5.0))

    def shape(t):
        X = solver(ka.aslinearoperator(A + t * B), k=1, which="LM", v0=onp.ones(12))[1]
        return np.abs(X[:, 0]) ** 2

    least, direction = shape(0.0), make_jvp(shape)(0.0)(1.0)[1]
    second = grad(grad(lambda t: np.sum((shape(t) - least) ** 2)))(0.0)
    onp.testing.assert_allclose(second, 2 * onp.sum(direction**2), rtol=1e-7)
