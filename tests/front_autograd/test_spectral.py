"""Functions of small Hermitian matrices and their derivatives, against references that divide by no gap."""

import threading
import warnings
from decimal import Decimal, localcontext
from functools import cache
from itertools import combinations_with_replacement

import autograd.numpy as np
import numpy as onp
import pytest
from autograd import grad, hessian, jacobian, make_jvp

import krylov_adj as ka
from krylov_adj.autograd.spectral_maps import Form
from krylov_adj.perturbation.functions import divided_differences

GAPS = (0.0, 1e-15, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2)
SIZE = 5


def matrices(is_complex, gap, seed=0):
    """H₀, H₁, H₂, H₁₂ of H(p) = H₀ + p₁H₁ + p₂H₂ + p₁p₂H₁₂ at p = 0, with a cluster of three eigenvalues."""
    rng = onp.random.default_rng(seed)

    def draw():
        B = rng.normal(size=(SIZE, SIZE)) + (1j * rng.normal(size=(SIZE, SIZE)) if is_complex else 0)
        return (B + B.conj().T) / 2

    Q = onp.linalg.qr(draw())[0]
    w = onp.r_[0.7 + gap * onp.array([0.0, 1.0, 1.7]), 1.3, 2.0]
    H = (Q * w) @ Q.conj().T
    return (H + H.conj().T) / 2, draw() / 4, draw() / 4, draw() / 4


def around(F, H, *products):
    """(1/2πi) ∮ F(z) Σ R E R E′ … R dz over products (E, E′ …), R = 1/(z − H), around all eigenvalues."""
    turn = 1.2 * onp.exp(2j * onp.pi * (onp.arange(240) + 0.5) / 240)
    R = onp.linalg.inv((1.35 + turn)[:, None, None] * onp.eye(SIZE) - H)
    total = 0
    for product in products:
        term = R
        for E in product:
            term = term @ E @ R
        total = total + term
    return onp.tensordot(turn * F(1.35 + turn) / 240, total, 1)


class Heat:
    """exp(−t x) x², or exp(−i t x)."""

    def __init__(self, unit):
        self.unit = unit

    def __call__(self, x, t):
        return np.exp(-self.unit * t * x) * x**2

    def by_t(self, times):
        return lambda z: onp.exp(-self.unit * 0.8 * z) * z**2 * (-self.unit * z) ** times


def reference(F, W, H0, H1, H2, H12):
    """Gradient and Hessian in (p₁, p₂, t) of Re tr W F(H(p), t)."""

    def value(times, *products):
        return onp.real(onp.trace(W @ around(F.by_t(times), H0, *products)))

    first = onp.array([value(0, [H1]), value(0, [H2]), value(1, [])])
    mixed = value(0, [H1, H2], [H2, H1], [H12])
    second = onp.array(
        [
            [value(0, [H1, H1], [H1, H1]), mixed, value(1, [H1])],
            [mixed, value(0, [H2, H2], [H2, H2]), value(1, [H2])],
            [value(1, [H1]), value(1, [H2]), value(2, [])],
        ]
    )
    return first, second


def close(a, b, rtol):
    return onp.linalg.norm(a - b) <= rtol * onp.linalg.norm(b)


@pytest.mark.parametrize(("unit", "gap"), [*((1.0, gap) for gap in GAPS), *((1j, gap) for gap in GAPS[::4])])
@pytest.mark.parametrize("is_complex", [False, True], ids=["real H", "complex H"])
def test_first_and_second_derivatives_at_every_gap(is_complex, unit, gap):
    H0, H1, H2, H12 = matrices(is_complex, gap)
    rng = onp.random.default_rng(1)
    W = rng.normal(size=(SIZE, SIZE)) + 1j * rng.normal(size=(SIZE, SIZE))
    F = Heat(unit)

    def loss(q):
        H = H0 + q[0] * H1 + q[1] * H2 + q[0] * q[1] * H12
        return np.real(np.sum(W.T * ka.spectral_function(F, H, q[2])))

    q = onp.array([0.0, 0.0, 0.8])
    first, second = reference(F, W, H0, H1, H2, H12)
    along = onp.eye(3)
    assert close(grad(loss)(q), first, 1e-12)
    assert close([make_jvp(loss)(q)(d)[1] for d in along], first, 1e-12)
    assert close(hessian(loss)(q), second, 1e-12)
    forward_over_reverse = [make_jvp(grad(loss))(q)(d)[1] for d in along]
    assert close(forward_over_reverse, second, 1e-12)
    reverse_over_forward = [grad(lambda q, d=d: make_jvp(loss)(q)(d)[1])(q) for d in along]
    assert close(reverse_over_forward, second, 1e-12)
    twice = [[make_jvp(lambda q, d=d: make_jvp(loss)(q)(d)[1])(q)(e)[1] for d in along] for e in along]
    assert close(twice, second, 1e-12)


@pytest.mark.parametrize("gap", GAPS)
def test_sums_at_every_gap(gap):
    H0, H1, H2, H12 = matrices(True, gap, seed=3)
    F = Heat(1.0)

    def loss(q):
        return ka.spectral_sum(F, H0 + q[0] * H1 + q[1] * H2 + q[0] * q[1] * H12, q[2])

    q = onp.array([0.0, 0.0, 0.8])
    first, second = reference(F, onp.eye(SIZE), H0, H1, H2, H12)
    assert close(grad(loss)(q), first, 1e-12)
    assert close([make_jvp(loss)(q)(d)[1] for d in onp.eye(3)], first, 1e-12)
    assert close(hessian(loss)(q), second, 1e-12)
    assert close([make_jvp(grad(loss))(q)(d)[1] for d in onp.eye(3)], second, 1e-12)


def test_third_derivatives():
    """tr H⁴ and a complex scalar, to the third order."""
    H, E = matrices(True, 0.0)[:2]

    def third(f):
        for _ in range(3):
            f = grad(f)
        return f

    value = third(lambda t: ka.spectral_sum(lambda x: x**4, H + t * E))(0.0)
    assert value == pytest.approx(24 * onp.real(onp.trace(H @ E @ E @ E)), rel=1e-12)
    W = matrices(True, 0.0, seed=8)[1]
    value = third(lambda t: np.real(np.sum(W.T * ka.spectral_function(lambda x: x**3, H + t * E))))(0.0)
    assert value == pytest.approx(6 * onp.real(onp.trace(W @ E @ E @ E)), rel=1e-12)
    value = third(lambda t: np.real(ka.spectral_function(lambda x, b: np.exp(b * x), H, t)[0, 0]))(0.3)
    w, Q = onp.linalg.eigh(H)
    assert value == pytest.approx(onp.sum(onp.abs(Q[0]) ** 2 * w**3 * onp.exp(0.3 * w)), rel=1e-12)


def test_complex_arguments_are_holomorphic():
    H = matrices(True, 1e-10)[0]
    z = 0.3 - 0.4j

    def loss(z):
        return np.real(ka.spectral_sum(lambda x, z: np.exp(z * x), H, z))

    w = onp.linalg.eigvalsh(H)
    assert grad(loss)(z) == pytest.approx(onp.sum(w * onp.exp(z * w)), rel=1e-13)  # autograd: df = Re g dz


def test_gradients_are_those_of_the_hermitian_part():
    H = matrices(True, 1e-6)[0]
    rng = onp.random.default_rng(5)
    W, E = rng.normal(size=(2, SIZE, SIZE))

    def loss(H):
        return np.real(np.sum(W * ka.spectral_function(np.exp, H)))

    g = grad(loss)(H)
    assert onp.array_equal(g, g.conj().T)
    tangent = make_jvp(loss)(H)(E + 0j)[1]
    assert tangent == pytest.approx(make_jvp(loss)(H)((E + E.T) / 2 + 0j)[1], rel=1e-14)
    assert tangent == pytest.approx(onp.real(onp.sum(g * E)), rel=1e-12)


def test_types_and_values():
    H = matrices(False, 1e-2)[0]
    single = ka.spectral_function(np.exp, H.astype(onp.float32))
    assert single.dtype == onp.float32
    assert grad(lambda H: np.sum(ka.spectral_function(np.exp, H)))(H.astype(onp.float32)).dtype == onp.float32
    assert ka.spectral_sum(np.exp, H.astype(onp.float32)).dtype == onp.float32
    assert ka.spectral_function(lambda x: np.exp(1j * x), H.astype(onp.float32)).dtype == onp.complex64
    assert ka.spectral_function(np.exp, H).dtype == onp.float64
    assert onp.allclose(ka.spectral_function(lambda x: x**2, H), H @ H, rtol=1e-14)
    assert onp.allclose(ka.spectral_function(lambda x: 2.0, H), 2 * onp.eye(SIZE), rtol=0, atol=1e-14)  # a constant
    assert onp.array_equal(ka.spectral_function(np.exp, [[2, 0], [0, 2]]), ka.spectral_function(np.exp, 2 * onp.eye(2)))
    assert ka.spectral_sum(lambda x: x, onp.ones((1, 1))) == 1.0
    assert ka.spectral_function(lambda x, n: x**n, H, 2) == pytest.approx(H @ H)
    assert ka.spectral_sum(lambda x, a: a, onp.eye(1), 0.1) == 0.1  # in double precision


def test_derivatives_by_one_call_in_threads():
    """autograd counts traces per process: F's own are opened above them."""
    H, H1 = matrices(True, 1e-8)[:2]

    def gradient():
        return grad(lambda t: np.real(ka.spectral_function(np.exp, H + t * H1)[0, 1]))(0.0)

    expected, found = gradient(), []
    threads = [threading.Thread(target=lambda: found.extend(gradient() for _ in range(5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 20


# --------------------------------------------------------------------------------------------
# Divided differences, against 140 digits.
# --------------------------------------------------------------------------------------------

MU, KT = 0.2005, 1e-3

#: F, F in decimals, and where.
FUNCTIONS = {
    "log": (lambda x: np.log(x), lambda x: x.ln(), 0.7),
    "log of -x at -1": (lambda x: np.log(-x), lambda x: (-x).ln(), -1.0),
    "log of |x| at -1": (lambda x: np.log(np.abs(x)), lambda x: abs(x).ln(), -1.0),
    "cubic at -1": (lambda x: x**3 - x, lambda x: x**3 - x, -1.0),
    "root": (lambda x: np.sqrt(x), lambda x: x.sqrt(), 2.0),
    "exponential": (lambda x: np.exp(-20 * x), lambda x: (-20 * x).exp(), 0.3),
    "pole": (lambda x: 1 / x, lambda x: 1 / x, -0.05),
    **{
        f"Fermi at {z} kT": (
            lambda x: 0.5 * (1 - np.tanh(0.5 * (x - MU) / KT)),
            lambda x: 1 / (1 + ((x - Decimal(MU)) / Decimal(KT)).exp()),
            MU + z * KT,
        )
        for z in (-9.3, -2.7, 0.4, 5.1)
    },
}
PATTERNS = ((0.0, 1 / 3, 0.5, 1.0), (0.0, 0.01, 0.01, 1.0))


def divided(F, points):
    """F[x₀ … x_m] of decimals, which are moved apart where they coincide."""
    x = [point + i * Decimal("1e-30") for i, point in enumerate(points)]
    values = [F(point) for point in x]
    for m in range(1, len(x)):
        values = [(values[i + 1] - values[i]) / (x[i + m] - x[i]) for i in range(len(x) - m)]
    return values[0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_divided_differences_of_three_orders_at_every_gap(name):
    """Errors in max |F⁽ᵐ⁾| / m! over the interval of the points."""
    F, exact, centre = FUNCTIONS[name]
    exact = cache(exact)
    derivatives = Form(F, 0, 0).derivatives(())
    with localcontext() as context:
        context.prec = 140
        for gap in GAPS:
            for pattern in PATTERNS:
                w = onp.sort(centre + gap * onp.array(pattern))
                for order in (1, 2, 3):
                    table = divided_differences(derivatives, w, order)
                    for row in combinations_with_replacement(range(4), order + 1):
                        points = [Decimal(float(x)) for x in w[list(row)]]
                        inside = {points[0], points[-1], (points[0] + points[-1]) / 2}
                        scale = max(abs(divided(exact, [point] * (order + 1))) for point in inside)
                        error = abs(Decimal(float(table[row])) - divided(exact, points))
                        assert error <= Decimal("1e-13") * scale, (gap, pattern, order, row, float(error / scale))


# --------------------------------------------------------------------------------------------
# Functions that are narrow, singular or jump: between the eigenvalues F may be anything.
# --------------------------------------------------------------------------------------------


def fermi(x, mu, kT):
    return 0.5 * (1 - np.tanh(0.5 * (x - mu) / kT))


def test_a_narrow_step_between_eigenvalues():
    """Two rules of Gauss that miss the step agree on nothing; the quotient is right."""
    H = onp.diag([-1.0, 0.9])
    E = onp.array([[0.3, 1.0], [1.0, -0.2]])
    D = make_jvp(lambda H: ka.spectral_function(fermi, H, 0.2005, 1e-3))(H)(E)[1]
    assert D[0, 1] == pytest.approx(-1 / 1.9, rel=1e-14)
    D = make_jvp(lambda H: ka.spectral_function(lambda x: np.where(x < 0.2, x, 0.0), H))(H)(E)[1]
    assert close(D, onp.array([[0.3, 1 / 1.9], [1 / 1.9, 0.0]]), 1e-14)


def test_singularities_between_eigenvalues():
    H = onp.diag([-1.0, -1.0 + 1e-9, 1.0, 1.0])
    D = jacobian(lambda t: ka.spectral_function(lambda x: 1 / x, H + t * onp.ones((4, 4))))(0.0)
    assert close(D, -onp.linalg.inv(H) @ onp.ones((4, 4)) @ onp.linalg.inv(H), 1e-14)
    D = jacobian(lambda t: ka.spectral_function(np.sign, H + t * onp.ones((4, 4))))(0.0)
    assert close(D[:2, 2:], onp.ones((2, 2)), 1e-8)
    assert not D[:2, :2].any()


def test_formulas_that_cancel_leave_rounding_only():
    """(x − 1)⁸ written out has no digits near 1, and its quotients are noise over the gap."""
    coefficients = [1, -8, 28, -56, 70, -56, 28, -8, 1]
    H = onp.diag(1 + onp.array([0.0, 1e-15, 1e-12, 1e-9]))
    D = jacobian(lambda t: ka.spectral_function(lambda x: sum(c * x**i for i, c in enumerate(coefficients)), H + t))(
        0.0
    )
    assert onp.max(onp.abs(D)) < 1e-12


# --------------------------------------------------------------------------------------------
# The smooth largest eigenvalue.
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [1e-3, 1.0, 50.0, 1e3, 1e7, 1e300])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_softmax_lies_within_its_bounds(scale, beta):
    for gap in GAPS:
        H = scale * matrices(True, gap)[0]
        w = onp.linalg.eigvalsh(H)
        slack = 8 * onp.finfo(float).eps * abs(w[-1])
        value = ka.softmax_eigenvalue(H, beta)
        assert w[-1] - slack <= value <= w[-1] + onp.log(SIZE) / beta + slack
        value = ka.softmax_eigenvalue(H, beta, which="smallest")
        assert w[0] - onp.log(SIZE) / beta - slack <= value <= w[0] + slack


def test_softmax_of_a_multiple_eigenvalue_is_the_upper_bound():
    assert ka.softmax_eigenvalue(3.0 * onp.eye(4), 2.0) == 3.0 + onp.log(4) / 2


@pytest.mark.parametrize("which", ["largest", "smallest"])
@pytest.mark.parametrize("gap", GAPS)
def test_derivatives_of_softmax(which, gap):
    H0, H1, H2, H12 = matrices(True, gap)
    sign = 1.0 if which == "largest" else -1.0

    def loss(q):
        return ka.softmax_eigenvalue(H0 + q[0] * H1 + q[1] * H2 + q[0] * q[1] * H12, q[2], which)

    class Exp:
        def by_t(self, times):
            return lambda z: onp.exp(sign * 3.0 * z) * (sign * z) ** times

    q = onp.array([0.0, 0.0, 3.0])
    first, second = reference(Exp(), onp.eye(SIZE), H0, H1, H2, H12)  # of S = tr exp(±βH)
    S = onp.real(onp.trace(around(Exp().by_t(0), H0, [])))
    log1, log2 = first / S, second / S - onp.outer(first, first) / S**2
    beta, e = 3.0, onp.array([0.0, 0.0, 1.0])
    gradient = sign * (log1 / beta - onp.log(S) / beta**2 * e)
    second = (
        log2 / beta - (onp.outer(e, log1) + onp.outer(log1, e)) / beta**2 + 2 * onp.log(S) / beta**3 * onp.outer(e, e)
    )
    assert close(grad(loss)(q), gradient, 1e-12)
    assert close(hessian(loss)(q), sign * second, 1e-12)
    assert close(make_jvp(grad(loss))(q)(e)[1], sign * second[2], 1e-12)


# --------------------------------------------------------------------------------------------
# Refused.
# --------------------------------------------------------------------------------------------


def test_a_clipped_argument_keeps_derivatives_from_overflowing():
    H = onp.diag([-1.0, 0.0, 1.0])

    def loss(F):
        return lambda t: ka.spectral_sum(F, H + t * onp.eye(3), 0.0, 1e-4)

    with pytest.raises(ValueError, match=r"order 2 of F is not finite.*clip"):
        make_jvp(grad(lambda t: ka.spectral_function(fermi, H + t * onp.eye(3), 0.0, 1e-4)[1, 1]))(0.0)(1.0)

    def clipped(x, mu, kT):
        return 0.5 * (1 - np.tanh(np.clip(0.5 * (x - mu) / kT, -50, 50)))

    assert grad(loss(clipped))(0.0) == pytest.approx(-0.25e4)
    assert abs(grad(grad(loss(clipped)))(1e-4)) == pytest.approx(0.0909 * 1e8, rel=1e-3)


def test_parameters_in_closures_are_refused():
    H = onp.diag([1.0, 2.0])

    def loss(t):
        return ka.spectral_function(lambda x: np.exp(t * x), H)[0, 0]

    with pytest.raises(TypeError, match=r"reads a parameter from its closure.*spectral_function\(F, H, \*args\)"):
        grad(loss)(0.5)
    with pytest.raises(TypeError, match="spectral_sum"):
        make_jvp(lambda t: ka.spectral_sum(lambda x: t * x, t * H))(0.5)(1.0)


@pytest.mark.parametrize(
    ("H", "text"),
    [
        (onp.ones(3), "square"),
        (onp.ones((2, 3)), "square"),
        (onp.zeros((0, 0)), "square"),
        (onp.array([[1.0, onp.nan], [onp.nan, 1.0]]), "NaN"),
        (onp.array([[1.0, 2.0], [0.0, 1.0]]), "not Hermitian"),
        (onp.array([[1.0, 1j], [1j, 1.0]]), "not Hermitian"),
        (onp.array([[1.0, 1e-3], [1.001e-3, 1.0]]), "not Hermitian"),
        (1e200 * onp.array([[1.0, 2.0], [0.0, 1.0]]), "not Hermitian"),
        (1e-200 * onp.array([[1.0, 2.0], [0.0, 1.0]]), "not Hermitian"),
    ],
)
def test_what_is_no_hermitian_matrix_is_refused(H, text):
    for function in (
        lambda: ka.spectral_function(np.exp, H),
        lambda: ka.spectral_sum(np.exp, H),
        lambda: ka.softmax_eigenvalue(H, 1.0),
    ):
        with pytest.raises(ValueError, match=text):
            function()


def test_other_arguments_are_refused():
    H = onp.diag([1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="F must be a function"):
        ka.spectral_function(3.0, H)
    with pytest.raises(TypeError, match="number 1 is not: shape"):
        ka.spectral_function(lambda x, a, b: x, H, 1.0, onp.ones(2))
    with pytest.raises(TypeError, match="number 0 is not: str"):
        ka.spectral_function(lambda x, a: x, H, "a")
    for F in (lambda x: x / np.sum(x), lambda x: x - np.max(x)):
        with pytest.raises(ValueError, match=r"must be elementwise.*differ by"):
            ka.spectral_function(F, H)
    with pytest.raises(ValueError, match=r"must be elementwise.*shape \(3, 1\)"):
        ka.spectral_sum(lambda x: x[:, None], H)
    with pytest.raises(ValueError, match="which must be"):
        ka.softmax_eigenvalue(H, 1.0, which="LA")
    for beta in (0.0, -1.0, onp.nan, 1j):
        with pytest.raises(ValueError, match="beta must be positive"):
            ka.softmax_eigenvalue(H, beta)
    with pytest.raises(TypeError, match="scalars"):
        ka.softmax_eigenvalue(H, onp.ones(3))


def test_functions_without_value_or_derivative_are_refused():
    H = onp.diag([0.0, 1.0, 1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"F is not finite where it is needed, at the eigenvalues \[0\]"):
            ka.spectral_function(np.log, H)
        assert ka.spectral_sum(np.sqrt, H) == 2.0
        with pytest.raises(ValueError, match=r"derivative of order 1 of F is not finite.*\[0\]"):
            grad(lambda t: ka.spectral_function(np.sqrt, H + t)[1, 1])(0.0)
        with pytest.raises(ValueError, match="not finite"):
            grad(lambda t: ka.spectral_sum(np.sqrt, H + t))(0.0)
