"""The anchor: where parameters may sit, the three traps, and derivatives of derivatives.

Every test compares values. A Box that leaks is an error of type; a dead Box that is mistaken for a
live one is a wrong number with no Box in sight.
"""

import functools

import autograd.numpy as np
import numpy as onp
import pytest
from autograd import (
    elementwise_grad,
    grad,
    hessian,
    hessian_vector_product,
    jacobian,
    make_ggnvp,
    make_jvp,
    make_vjp,
)
from autograd.differential_operators import make_jvp_reversemode
from autograd.tracer import isbox

import krylov_adj as ka
from krylov_adj.autograd import trace as _trace

N = 7


def spd_matrices(seed, count):
    rng = onp.random.default_rng(seed)
    matrices = rng.normal(size=(count, N, N))
    return [m + m.T for m in matrices]


def complex_matrices(seed, count):
    rng = onp.random.default_rng(seed)
    return list(rng.normal(size=(count, N, N)) + 1j * rng.normal(size=(count, N, N)))


A0, A1, A2 = spd_matrices(0, 3)
C0, C1, C2 = complex_matrices(1, 3)
WEIGHT = complex_matrices(2, 1)[0]
P = onp.array([0.3, -0.2])


def hermitian_loss(operator):
    w, X = ka.eigsh(operator, k=2, which="SA", v0=onp.ones(N))
    x = X[:, 0] + 0j  # autograd warns where a complex matrix meets a real vector
    q = np.sum(np.conj(x) * np.dot(WEIGHT, x))
    return w[0] ** 2 + w[1] * np.sum(np.abs(X[:, 0]) ** 4) + np.abs(q) ** 2


def general_loss(operator):
    w, X = ka.eigs(operator, k=2, which="LR", v0=onp.ones(N))
    q = np.sum(np.conj(X[:, 0]) * np.dot(WEIGHT, X[:, 0]))
    return np.real(w[0]) ** 2 + np.imag(w[0]) * np.sum(np.abs(X[:, 0]) ** 4) + np.abs(q) ** 2


def symmetric_closure(p):
    return ka.LinearOperator(
        (N, N), lambda v: np.dot(A0, v) + np.sin(p[0]) * np.dot(A1, v) + p[1] ** 2 * np.dot(A2, v), dtype=float
    )


def general_closure(p):
    def matvec(v):
        return np.dot(C0, v) + np.sin(p[0]) * np.dot(C1, v) + p[1] ** 2 * np.dot(C2, v)

    return ka.LinearOperator((N, N), matvec, dtype=complex)


def symmetric(p):
    return hermitian_loss(symmetric_closure(p))


def general(p):
    return general_loss(general_closure(p))


LOSSES = {"hermitian": symmetric, "non-hermitian": general}


def dense(p, hermitian):
    """The same losses by a dense solve of plain NumPy: no code of ours."""
    if hermitian:
        w, X = onp.linalg.eigh(A0 + onp.sin(p[0]) * A1 + p[1] ** 2 * A2)
    else:
        w, X = onp.linalg.eig(C0 + onp.sin(p[0]) * C1 + p[1] ** 2 * C2)
        order = onp.argsort(-w.real)
        w, X = w[order], X[:, order]
    x = X[:, 0] / onp.linalg.norm(X[:, 0])
    q = onp.vdot(x, WEIGHT @ x)
    quartic = onp.sum(onp.abs(x) ** 4)
    if hermitian:
        return w[0] ** 2 + w[1] * quartic + abs(q) ** 2
    return w[0].real ** 2 + w[0].imag * quartic + abs(q) ** 2


def richardson(f, h):
    """Central differences at h and h/2, extrapolated."""

    def central(h):
        return (f(h) - f(-h)) / (2 * h)

    return (4 * central(h / 2) - central(h)) / 3


def difference_gradient(f, p, h=2e-3):
    return onp.array([richardson(lambda s, e=e: f(p + s * e), h) for e in onp.eye(p.size)])


@pytest.fixture(params=LOSSES)
def loss(request):
    return LOSSES[request.param], functools.partial(dense, hermitian=request.param == "hermitian")


def test_gradient(loss):
    f, reference = loss
    onp.testing.assert_allclose(f(P), reference(P), rtol=1e-12)
    onp.testing.assert_allclose(grad(f)(P), difference_gradient(reference, P), rtol=1e-8, atol=1e-9)


# ---- where parameters may sit --------------------------------------------------------------


class Model:
    def __init__(self, p):
        self.p = p

    def apply(self, v):
        return np.dot(A0, v) + np.sin(self.p[0]) * np.dot(A1, v) + self.p[1] ** 2 * np.dot(A2, v)


def apply_with(p, table, v):
    return np.dot(table["A0"], v) + np.sin(p[0]) * np.dot(A1, v) + table["square"] * np.dot(A2, v)


def forms(p):
    def operator(function):
        return ka.LinearOperator((N, N), function, dtype=float)

    table = {"A0": A0, "square": p[1] ** 2}
    wrap = ka.aslinearoperator
    return {
        "closure": symmetric_closure(p),
        "bound method": operator(Model(p).apply),
        "partial": operator(functools.partial(apply_with, p, table)),
        "dense": A0 + np.sin(p[0]) * A1 + p[1] ** 2 * A2,
        "algebra": wrap(A0) + wrap(A1) * np.sin(p[0]) + (wrap(A2) * p[1]) * p[1],
        "product": wrap(A0) + wrap(A1) * np.sin(p[0]) + (wrap(A2) * p[1] ** 2) @ wrap(onp.eye(N)),
    }


@pytest.mark.parametrize("form", list(forms(P)))
def test_every_form_gives_the_same_gradient(form):
    expected = difference_gradient(functools.partial(dense, hermitian=True), P)
    g = grad(lambda p: hermitian_loss(forms(p)[form]))(P)
    onp.testing.assert_allclose(g, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("form", list(forms(P)))
def test_every_form_gives_the_same_hessian(form):
    f = functools.partial(dense, hermitian=True)
    expected = difference_gradient(lambda q: difference_gradient(f, q, 1e-2), P, 1e-2)
    H = jacobian(grad(lambda p: hermitian_loss(forms(p)[form])))(P)
    onp.testing.assert_allclose(H, expected, rtol=1e-6, atol=1e-6)


# ---- any order, both modes -----------------------------------------------------------------


def test_hessian(loss):
    f, reference = loss
    expected = difference_gradient(lambda q: difference_gradient(reference, q, 1e-2), P, 1e-2)
    for H in (hessian(f)(P), jacobian(grad(f))(P)):
        onp.testing.assert_allclose(H, H.T, atol=1e-10)
        onp.testing.assert_allclose(H, expected, rtol=1e-6, atol=1e-6)


def test_third_order(loss):
    f, _ = loss
    T = jacobian(hessian(f))(P)
    expected = onp.stack([richardson(lambda s, e=e: hessian(f)(P + s * e), 5e-3) for e in onp.eye(2)], axis=-1)
    onp.testing.assert_allclose(T, expected, rtol=1e-6, atol=1e-6)


def test_forward_mode(loss):
    f, _ = loss
    d = onp.array([0.7, -1.1])
    onp.testing.assert_allclose(make_jvp(f)(P)(d)[1], grad(f)(P) @ d, rtol=1e-10)


def test_forward_over_reverse_and_reverse_over_forward(loss):
    f, _ = loss
    d = onp.array([0.7, -1.1])
    expected = hessian(f)(P) @ d
    onp.testing.assert_allclose(make_jvp(grad(f))(P)(d)[1], expected, rtol=1e-9, atol=1e-10)
    onp.testing.assert_allclose(hessian_vector_product(f)(P, d), expected, rtol=1e-9, atol=1e-10)
    onp.testing.assert_allclose(grad(lambda p: make_jvp(f)(p)(d)[1])(P), expected, rtol=1e-9, atol=1e-10)


def test_double_vjp_trick_where_a_live_trace_has_a_dead_ones_number(loss):
    f, _ = loss
    d = onp.array([0.7, -1.1])
    onp.testing.assert_allclose(make_jvp_reversemode(f)(P)(d), grad(f)(P) @ d, rtol=1e-10)


def test_gauss_newton_products():
    def levels(p):
        return ka.eigsh(symmetric_closure(p), k=3, which="SA", v0=onp.ones(N))[0]

    d = onp.array([0.7, -1.1])
    J = jacobian(levels)(P)
    onp.testing.assert_allclose(make_ggnvp(levels)(P)(d), J.T @ (J @ d), rtol=1e-10)


def test_a_gradient_inside_the_differentiated_function(loss):
    f, _ = loss

    def outer(q):
        return np.sum(grad(lambda p: f(p * q[0]))(P) ** 2) * q[1]

    q = onp.array([0.9, 1.3])
    expected = difference_gradient(lambda q: float(outer(q)), q, 1e-3)
    onp.testing.assert_allclose(grad(outer)(q), expected, rtol=1e-8, atol=1e-8)


def test_different_levels_in_different_coefficients(loss):
    """The inner parameter in one coefficient, the outer in another."""
    f, _ = loss

    def outer(b):
        return grad(lambda a: f(np.stack([a, b])))(P[0])

    onp.testing.assert_allclose(grad(outer)(P[1]), hessian(f)(P)[0, 1], rtol=1e-9, atol=1e-10)


# ---- the traps -----------------------------------------------------------------------------


def diagonal(entries):
    return ka.LinearOperator((entries.size, entries.size), lambda v: entries * v, dtype=float)


def test_trap_1_a_dead_trace_in_the_closure_is_not_read():
    """diag(p) with p = q²: an operator read with its dead Boxes returned 2q times too much or too little."""
    q = onp.array([1.0, 1.5, 2.5, 3.5, 5.0])

    def smallest(q):
        p = q**2
        w, X = ka.eigs(diagonal(p) @ ka.aslinearoperator(onp.eye(5)), k=1, which="SR", v0=onp.ones(5))
        return np.real(w[0])

    g = grad(smallest)(q)
    onp.testing.assert_allclose(g, [2.0, 0, 0, 0, 0], atol=1e-12)
    assert not isbox(g)
    onp.testing.assert_allclose(hessian(smallest)(q), onp.diag([2.0, 0, 0, 0, 0]), atol=1e-10)


def test_trap_1_transposes_outlive_their_trace():
    """A transpose traced in the forward pass, applied while another trace has taken its number."""
    p = onp.array([1.0, 2.0, 3.0])
    transposed = {}

    def f(p):
        operator = ka.LinearOperator((3, 3), lambda v: p**2 * np.roll(v, 1), dtype=float).prepared()
        transposed["apply"] = operator._apply_adjoint
        return np.sum(operator @ onp.ones(3))

    grad(f)(p)

    def later(v):
        return np.sum(_trace.seen_from(transposed["apply"](_trace.strip(v)), _trace.UNTRACED) * v)

    expected = onp.roll(p**2 * 1.0, -1)
    onp.testing.assert_allclose(grad(later)(onp.ones(3)), expected, rtol=1e-14)


def test_trap_2_second_derivatives_do_not_lose_a_term():
    """Anchored to A X instead of to the residual, this was 4 % off, silently."""
    f = functools.partial(dense, hermitian=False)
    expected = difference_gradient(lambda q: difference_gradient(f, q, 1e-2), P, 1e-2)
    onp.testing.assert_allclose(hessian(general)(P), expected, rtol=1e-5, atol=1e-6)


def test_trap_3_boxes_in_keywords_are_seen():
    """autograd looks at positional arguments only."""

    def f(p):
        w, X = ka.eigsh(A=A0 + p * A1, k=1, which="SA", v0=onp.ones(N))
        return w[0]

    w, X = onp.linalg.eigh(A0 + 0.3 * A1)
    onp.testing.assert_allclose(grad(f)(0.3), X[:, 0] @ A1 @ X[:, 0], rtol=1e-12)


def test_the_operator_is_solved_for_once_per_level():
    """grad of grad: the pairs are attached at two levels and each solved for once."""
    reports = []

    def f(p):
        options = ka.Adjoint(callback=lambda report: reports.append(report.stage))
        w, X = ka.eigsh(symmetric_closure(p), k=1, which="SA", v0=onp.ones(N), adjoint=options)
        return np.sum(np.abs(X[:, 0]) ** 4)

    grad(lambda p: np.sum(grad(f)(p) * onp.array([0.7, -1.1])))(P)
    assert reports.count("forward") == 1
    # The gradient (adjoint), its own derivative (tangent of that system), the pairs' (adjoint).
    assert reports.count("adjoint") == 2
    assert reports.count("tangent") == 1


def test_subsets_of_cotangents():
    def pick(which):
        def f(p):
            w, X = ka.eigsh(symmetric_closure(p), k=3, which="SA", v0=onp.ones(N))
            return {"w1": w[1], "x2": np.sum(X[:, 2] ** 4), "none": p[0] * 1.0}[which]

        return f

    for which in ("w1", "x2"):
        f = pick(which)
        expected = difference_gradient(f, P)
        onp.testing.assert_allclose(grad(f)(P), expected, rtol=1e-8, atol=1e-9)
    onp.testing.assert_array_equal(grad(pick("none"))(P), [1.0, 0.0])


def test_eigenvalues_of_a_hermitian_problem_need_no_solve():
    reports = []

    def f(p):
        options = ka.Adjoint(callback=reports.append)
        w, X = ka.eigsh(symmetric_closure(p), k=3, which="SA", v0=onp.ones(N), adjoint=options)
        return np.sum(w * onp.array([1.0, 2.0, -1.0]))

    grad(f)(P)
    assert [r.method for r in reports if r.stage != "forward"] == ["none"]


def test_holomorphic_parameters_satisfy_cauchy_riemann():
    """f(p) = λ(p) of a complex p: ∂f/∂Im p = i ∂f/∂Re p."""

    def eigenvalue(p):
        w, X = ka.eigs(C0 + p * C1, k=1, which="LR", v0=onp.ones(N))
        return w[0]

    p = 0.2 + 0.1j
    real, imag = (grad(lambda p, part=part: part(eigenvalue(p)))(p) for part in (np.real, np.imag))
    # autograd: df = Re(g dp). With λ' = a + ib: d Re λ = Re(λ' dp), d Im λ = Re(−i λ' dp).
    onp.testing.assert_allclose(imag, -1j * real, rtol=1e-10)
    h = 1e-5
    difference = (eigenvalue(p + h) - eigenvalue(p - h)) / (2 * h)
    onp.testing.assert_allclose(real, difference, rtol=1e-7)


def test_real_parameters_get_real_gradients():
    g = grad(general)(P)
    assert g.dtype == onp.float64
    vjp, _ = make_vjp(general)(P)
    assert vjp(1.0).dtype == onp.float64
    assert elementwise_grad(general)(P).dtype == onp.float64
