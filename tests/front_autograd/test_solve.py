"""Derivatives of `solve`: every solver, every form of a matrix, every mode, any order.

References are dense: differences of NumPy's solve, and autograd through its own `np.linalg.solve`.
"""

import functools

import autograd.numpy as np
import numpy as onp
import pytest
from autograd import elementwise_grad, grad, hessian, jacobian, make_ggnvp, make_jvp
from autograd.differential_operators import make_jvp_reversemode
from autograd.test_util import check_grads
from autograd.tracer import isbox
from systems import CASES, SUITABLE, D, N, P, difference, loss_of, losses, operator, problem, random, record_reports

import krylov_adj as ka


@pytest.fixture
def reports(monkeypatch):
    return record_reports(monkeypatch)


@pytest.mark.parametrize(("solver", "kind", "dtype", "form"), CASES)
def test_gradient(solver, kind, dtype, form):
    f, reference = losses(solver, kind, dtype, form)
    onp.testing.assert_allclose(f(P), reference(P), rtol=1e-11)
    g = grad(f)(P)
    assert g.dtype == float
    onp.testing.assert_allclose(g, grad(reference)(P), rtol=1e-10, atol=1e-10)
    onp.testing.assert_allclose(g @ D, difference(reference, P, D), rtol=1e-8)
    onp.testing.assert_allclose(make_jvp(f)(P)(D)[1], g @ D, rtol=1e-10)


@pytest.mark.parametrize(("solver", "kind", "dtype", "form"), CASES)
def test_second_derivatives_in_all_modes(solver, kind, dtype, form):
    f, reference = losses(solver, kind, dtype, form)
    expected = hessian(reference)(P)
    close = functools.partial(onp.testing.assert_allclose, rtol=1e-9, atol=1e-9)
    close(hessian(f)(P), expected)
    close(jacobian(grad(f))(P), expected)
    close(make_jvp(grad(f))(P)(D)[1], expected @ D)
    close(grad(lambda p: make_jvp(f)(p)(D)[1])(P), expected @ D)
    close(make_jvp(lambda p: make_jvp(f)(p)(D)[1])(P)(D)[1], D @ expected @ D)


@pytest.mark.parametrize("solver", SUITABLE)
def test_autograds_own_checker(solver):
    form = "dense" if solver == "direct" else "closure"
    for dtype in (float, complex):
        f, _ = losses(solver, SUITABLE[solver][-1], dtype, form)
        check_grads(f, order=2, modes=["fwd", "rev"])(P)


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("solver", ["direct", "gmres"])
def test_third_order(solver, dtype):
    f, reference = losses(solver, "non-normal", dtype, "algebra")
    expected = jacobian(hessian(reference))(P)
    onp.testing.assert_allclose(jacobian(hessian(f))(P), expected, rtol=1e-8, atol=1e-8)


# ---- what is differentiated ----------------------------------------------------------------


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("shape", [(N,), (N, 3)])
def test_the_right_hand_side_alone(dtype, shape):
    A = problem("non-normal", dtype)[0][0]
    c, b = random(5, shape, dtype), random(6, shape, dtype)
    for solver in ("direct", "gmres"):
        x = ka.solve(A, b, solver=solver, rtol=1e-13)
        assert x.shape == shape
        onp.testing.assert_allclose(x, onp.linalg.solve(A, b), rtol=1e-10, atol=1e-11)
        # autograd: df = Re Σ g db, so g = A⁻ᵀ c for f = Re Σ c x
        g = grad(lambda b, solver=solver: np.real(np.sum(c * ka.solve(A, b, solver=solver, rtol=1e-13))))(b)
        onp.testing.assert_allclose(g, onp.linalg.solve(A.T, c), rtol=1e-10, atol=1e-11)
        check_grads(lambda b, solver=solver: ka.solve(A, b, solver=solver, rtol=1e-13), modes=["fwd", "rev"])(b)


@pytest.mark.parametrize("solver", ["direct", "gmres", "cg", "minres"])
def test_entries_of_a_dense_matrix(solver):
    """At a Hermitian matrix too the entries are free: its adjoint's derivative is not its own."""
    A, b = problem("definite", float)[0][0], random(7, (N,), float)

    def f(A):
        return np.sum(ka.solve(A, b, solver=solver, rtol=1e-13) ** 3)

    def reference(A):
        return np.sum(np.linalg.solve(A, b) ** 3)

    V = random(8, (N, N), float)
    onp.testing.assert_allclose(grad(f)(A), grad(reference)(A), rtol=1e-9, atol=1e-10)
    second = [grad(lambda A, f=f: np.sum(V * grad(f)(A)))(A) for f in (f, reference)]
    onp.testing.assert_allclose(second[0], second[1], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("solver", ["direct", "gmres", "bicgstab", "gcrot"])
@pytest.mark.parametrize("complex_b", [False, True])
def test_real_meets_complex(solver, complex_b):
    """A real A with a complex b, and the other way round; real parameters keep real gradients."""
    A = problem("non-normal", float if complex_b else complex)[0]
    b = random(9, (N,), complex if complex_b else float)

    def f(p, b):
        return loss_of(ka.solve(operator(A, p, "algebra"), b, solver=solver, rtol=1e-13)[:, None])

    def reference(p, b):
        return loss_of(np.linalg.solve(operator(A, p, "dense") + 0j, b + 0j)[:, None])

    for argument in (0, 1):
        g, expected = grad(f, argument)(P, b), grad(reference, argument)(P, b)
        assert g.dtype == (P, b)[argument].dtype
        onp.testing.assert_allclose(g, expected, rtol=1e-9, atol=1e-9)
    onp.testing.assert_allclose(hessian(f)(P, b), hessian(reference)(P, b), rtol=1e-8, atol=1e-8)
    g = grad(f, 1)(P, b)
    onp.testing.assert_allclose(make_jvp(lambda b: f(P, b))(b)(b)[1], onp.sum(g * b).real, rtol=1e-9)


def test_holomorphic_parameters_satisfy_cauchy_riemann():
    A, b = problem("non-normal", complex)

    def entry(p):
        return ka.solve(A[0] + p * A[1], b[0][:, 0])[0]

    real, imag = (grad(lambda p, part=part: part(entry(p)))(0.2 + 0.1j) for part in (np.real, np.imag))
    onp.testing.assert_allclose(imag, -1j * real, rtol=1e-10)


def test_a_zero_right_hand_side_is_not_solved_for_but_has_a_derivative(reports):
    A = problem("non-normal", float)[0][0]
    assert not ka.solve(A, onp.zeros(N)).any()
    assert reports == []
    J = jacobian(lambda b: ka.solve(A, b))(onp.zeros(N))
    onp.testing.assert_allclose(J, onp.linalg.inv(A), rtol=1e-10, atol=1e-12)
    H = jacobian(jacobian(lambda p: ka.solve(p * A, p**2 * onp.ones(N))))(1.0)
    onp.testing.assert_allclose(H, onp.zeros(N), atol=1e-9)


def test_columns_are_solved_as_if_alone():
    A, b = problem("non-normal", float)
    B = onp.concatenate([b[0], onp.zeros((N, 1)), 1e-30 * b[1]], axis=1)
    for solver in ("direct", "gmres", "bicgstab", "gcrot"):
        X = ka.solve(A[0], B, solver=solver, rtol=1e-12)
        for j in range(B.shape[1]):
            alone = ka.solve(A[0], B[:, j], solver=solver, rtol=1e-12)
            onp.testing.assert_allclose(X[:, j], alone, rtol=1e-9, atol=1e-11 * onp.abs(alone).max())
    assert ka.solve(A[0], onp.zeros((N, 0))).shape == (N, 0)


@pytest.mark.parametrize("solver", SUITABLE)
@pytest.mark.parametrize("dtype", [onp.float32, onp.complex64])
def test_single_precision_stays_single(solver, dtype):
    A = [a.astype(dtype) for a in problem("definite", float if dtype is onp.float32 else complex)[0]]
    b = random(3, (N,), float).astype(dtype)
    p = P.astype(onp.float32)

    def f(p):
        x = ka.solve(operator(A, p, "dense"), b, solver=solver)
        assert x.dtype == dtype
        return np.sum(np.abs(x) ** 2)

    g = grad(f)(p)
    assert g.dtype == onp.float32
    expected = grad(lambda p: np.sum(np.abs(np.linalg.solve(operator(A, p, "dense"), b + 0.0j)) ** 2))(P)
    onp.testing.assert_allclose(g, expected, rtol=1e-3)


@pytest.mark.parametrize("solver", [None, "cg", "bicgstab", "gmres"])
def test_no_size_of_the_right_hand_side_matters(solver):
    A, b = problem("definite", float)[0][0], random(3, (N,), float)
    x = ka.solve(A, b, solver=solver)
    for exponent in (-1000, -60, 60, 900):
        onp.testing.assert_array_equal(ka.solve(A, b * 2.0**exponent, solver=solver), x * 2.0**exponent)


def test_integers_become_double():
    x = ka.solve(onp.array([[2, 1], [0, 4]]), onp.array([4, 8]))
    assert x.dtype == float
    onp.testing.assert_allclose(x, [1.0, 2.0])


# ---- traces --------------------------------------------------------------------------------


def test_a_dead_trace_in_the_closure_is_not_read():
    """diag(p) with p = q²: x = 1/q², and every derivative of it."""
    q = onp.array([1.0, 1.5, 2.5])

    def f(q):
        p = q**2
        return np.sum(ka.solve(ka.LinearOperator((3, 3), lambda v: p * v, dtype=float), onp.ones(3)))

    g = grad(f)(q)
    assert not isbox(g)
    onp.testing.assert_allclose(g, -2 / q**3, rtol=1e-9)
    onp.testing.assert_allclose(hessian(f)(q), onp.diag(6 / q**4), rtol=1e-9, atol=1e-10)
    third = jacobian(lambda q: onp.sum(D[0]) * elementwise_grad(elementwise_grad(f))(q))(q)
    onp.testing.assert_allclose(third, D[0] * onp.diag(-24 / q**5), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("form", ["dense", "algebra", "closure"])
def test_nested_and_unusual_traces(form):
    f, reference = losses("gmres", "non-normal", float, form)
    g = grad(reference)(P)
    onp.testing.assert_allclose(make_jvp_reversemode(f)(P)(D), g @ D, rtol=1e-10)

    def outer(f):
        return lambda q: np.sum(grad(lambda p: f(p * q[0]))(P) ** 2) * q[1]

    q = onp.array([0.9, 1.3])
    onp.testing.assert_allclose(grad(outer(f))(q), grad(outer(reference))(q), rtol=1e-8)
    mixed = [grad(lambda b, f=f: grad(lambda a: f(np.stack([a, b])))(P[0]))(P[1]) for f in (f, reference)]
    onp.testing.assert_allclose(mixed[0], mixed[1], rtol=1e-8)
    A, b = problem("non-normal", float)

    def solution(p):
        return ka.solve(operator(A, p, form), b[0][:, 0])

    J = jacobian(solution)(P)
    onp.testing.assert_allclose(make_ggnvp(solution)(P)(D), J.T @ (J @ D), rtol=1e-9)


def test_a_system_is_solved_for_once_per_level(reports):
    f, _ = losses("gmres", "non-normal", float, "closure")
    grad(lambda p: np.sum(grad(f)(p) * D))(P)
    stages = [report.stage for report in reports]
    # The gradient (adjoint), its own derivative (tangent), the solution's second share (adjoint).
    assert [stages.count(s) for s in ("forward", "adjoint", "tangent")] == [1, 2, 1]


def test_without_traces_nothing_of_autograd_is_reached(monkeypatch):
    def refuse(*arguments):
        raise AssertionError

    monkeypatch.setattr("krylov_adj.autograd.linear.attach_solution", refuse)
    monkeypatch.setattr(ka.LinearOperator, "prepared", refuse)
    A, b = problem("definite", float)
    for form in ("dense", "algebra", "closure"):
        for solver in SUITABLE if form != "closure" else list(SUITABLE)[1:]:
            x = ka.solve(operator(A, P, form), b[0], solver=solver)
            assert type(x) is onp.ndarray
