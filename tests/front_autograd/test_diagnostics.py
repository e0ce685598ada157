"""`canonical_phase`, `check_operator`, `check_gradient`."""

import re

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp
from autograd import grad, hessian, make_jvp
from autograd.extend import defvjp, primitive
from autograd.tracer import getval, isbox

import krylov_adj as ka

N = 8
RNG = onp.random.default_rng(2)
G, C = RNG.standard_normal((2, N, N))
S, D = G + G.T, C + C.T
H = S + 1j * (C - C.T)
WEIGHTS = RNG.standard_normal(N) + 1j * RNG.standard_normal(N)


# ---- canonical_phase -----------------------------------------------------------------------


def eigenvectors(A, hermitian):
    """Plain NumPy's, in a reproducible order, with random phases."""
    w, X = onp.linalg.eigh(A) if hermitian else onp.linalg.eig(A)
    X = X[:, onp.argsort(w.real)]
    rng = onp.random.default_rng()
    phases = onp.exp(2j * onp.pi * rng.random(N)) if onp.iscomplexobj(X) else rng.choice([-1.0, 1.0], N)
    return X * phases


def by_hand(X, index):
    columns = []
    for x in X.T:
        pivot = x[onp.argmax(onp.abs(x)) if index is None else index]
        columns.append(x * (onp.conj(pivot) / abs(pivot) if onp.iscomplexobj(x) else onp.sign(pivot)))
    return onp.stack(columns, axis=1)


@pytest.mark.parametrize("index", [None, 0, 3, -1])
@pytest.mark.parametrize("A", [S, H], ids=["real", "complex"])
def test_canonical_phase(A, index):
    X = eigenvectors(A, True)
    Y = ka.canonical_phase(X, index)
    assert Y.dtype == X.dtype
    onp.testing.assert_allclose(Y, by_hand(X, index), rtol=1e-14)
    onp.testing.assert_allclose(ka.canonical_phase(eigenvectors(A, True), index), Y, rtol=1e-12, atol=1e-14)
    onp.testing.assert_allclose(ka.canonical_phase(Y, index), Y, rtol=1e-14)
    onp.testing.assert_allclose(ka.canonical_phase(X[:, 2], index), Y[:, 2], rtol=1e-14)
    single = ka.canonical_phase(X.astype(onp.complex64 if A is H else onp.float32), index)
    assert single.dtype == (onp.complex64 if A is H else onp.float32)
    onp.testing.assert_allclose(single, Y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("index", [None, 3])
@pytest.mark.parametrize(("A", "hermitian"), [(S, True), (H, True), (G, False), (H + G, False)])
def test_a_loss_of_canonical_vectors_is_that_of_differences(A, hermitian, index):
    """A linear loss of all entries: without the convention it is of the phase, here it is legal."""
    solve, which = (ka.eigsh, "SA") if hermitian else (ka.eigs, "SR")

    def f(p):
        w, X = solve(A + p * D, k=1, which=which, tol=1e-14)
        return np.real(np.sum(WEIGHTS * (ka.canonical_phase(X, index)[:, 0] + 0j)))

    def reference(p):
        X = eigenvectors(A + p * D, hermitian)
        return onp.sum(WEIGHTS * by_hand(X / onp.linalg.norm(X, axis=0), index)[:, 0]).real

    def differences(f, h):
        return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)

    pairs = onp.linalg.eigvals(A)
    # of a complex pair of equal real parts which="SR" would select either
    assert onp.iscomplexobj(A) or pairs[onp.argmin(pairs.real)].imag == 0
    onp.testing.assert_allclose(f(0.0), reference(0.0), rtol=1e-10)
    onp.testing.assert_allclose(grad(f)(0.0), differences(reference, 1e-3), rtol=1e-7)
    onp.testing.assert_allclose(make_jvp(f)(0.0)(1.0)[1], grad(f)(0.0), rtol=1e-9)
    onp.testing.assert_allclose(grad(grad(f))(0.0), differences(lambda p: grad(f)(p), 1e-3), rtol=1e-6)


@pytest.mark.parametrize("X", [H[:, :3], S[:, :3]], ids=["complex", "real"])
def test_canonical_phase_of_any_columns_is_differentiable(X):
    """Entry by entry, to second order, against differences of the formula."""

    def f(t, phase):
        Y = phase(X + t[0] * X[::-1] + t[1] ** 2 * X**2)
        return np.sum(np.real(WEIGHTS[:, None] * Y) ** 3)

    def differences(f, h=1e-3):
        return [(8 * (f(h * e) - f(-h * e)) - (f(2 * h * e) - f(-2 * h * e))) / (12 * h) for e in onp.eye(2)]

    t, ours = onp.array([0.03, 0.2]), ka.canonical_phase
    expected = differences(lambda s: f(t + s, lambda Y: by_hand(Y, None)))
    onp.testing.assert_allclose(grad(f)(t, ours), expected, rtol=1e-7)
    onp.testing.assert_allclose(hessian(f)(t, ours), differences(lambda s: grad(f)(t + s, ours)), rtol=1e-7)


def test_canonical_phase_refuses():
    X = onp.array([[0.0, 1.0], [2.0, 0.0]])
    with pytest.raises(ValueError, match=r"entries \[0\] of columns \[0\] are zero and have no phase"):
        ka.canonical_phase(X, 0)
    with pytest.raises(ValueError, match=r"entries \[0 0\] of columns \[0 1\] are zero"):
        ka.canonical_phase(onp.zeros((3, 2)))
    with pytest.raises(IndexError):
        ka.canonical_phase(X, 2)


# ---- check_operator ------------------------------------------------------------------------


def operator(matrix, matvec=None, **functions):
    return ka.LinearOperator(matrix.shape, matvec or (lambda v: np.dot(matrix, v)), dtype=matrix.dtype, **functions)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_check_operator_passes_what_is_right(dtype):
    A = (H if onp.dtype(dtype).kind == "c" else S).astype(dtype)
    for form in (onp.asarray, sp.csr_array, operator):
        for rng in range(5):
            report = ka.check_operator(form(A), hermitian=True, rng=rng)
        assert "Hermitian to" in report
        assert str(onp.dtype(dtype)) in report
        assert f"shape {A.shape}" in report
    report = ka.check_operator(operator(A[:5], rmatvec=lambda v: np.dot(A[:5].conj().T, v)))
    assert "shape (5, 8)" in report
    ka.check_operator(ka.LinearOperator((N, N), lambda v: 0 * v, dtype=dtype), hermitian=True)


@pytest.mark.parametrize(
    ("op", "match"),
    [
        (operator(S, lambda v: np.dot(S, v) + 1e-3), "not linear.*a constant must not be added"),
        (operator(S, lambda v: np.dot(S, v) * np.sum(v**2)), "not linear"),
        (operator(H, lambda v: np.dot(H, np.conj(v))), "not linear"),
        (operator(S, lambda v: np.abs(np.dot(S, v))), "not linear"),
        (operator(S, matmat=lambda V: np.dot(S, V[:, ::-1])), r"blocks are wrong: A \[x z\] and \[A x, A z\]"),
        (operator(G, rmatvec=lambda v: np.dot(G, v)), "adjoint is wrong.*rmatvec is the conjugate transpose"),
        (operator(H, rmatvec=lambda v: np.dot(H.T, v)), "adjoint is wrong"),
        (operator(S, rmatvec=lambda v: np.dot(S, v) * (1 + 1e-6)), "adjoint is wrong"),
        (operator(S, rmatvec=lambda v: np.dot(S, v), rmatmat=lambda V: -np.dot(S, V)), "adjoint"),
        (operator(G), r"not Hermitian: A y and Aᴴ y"),
        (operator(1j * S), r"not Hermitian"),
        (operator(S[:5]), r"Hermitian operator is square, not of shape \(5, 8\)"),
        (operator(S, lambda v: np.dot(S, v) / 0 * 0), "NaN or infinity"),
        (operator(S, rmatvec=lambda v: np.dot(S, v) * onp.nan), "adjoint"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_check_operator_finds(op, match):
    for rng in range(3):
        with pytest.raises(ValueError, match=match):
            ka.check_operator(op, hermitian=True, rng=rng)


def test_check_operator_needs_an_adjoint_and_declared_types():
    with pytest.raises(TypeError, match=r"complex values from an operator of dtype float64"):
        ka.check_operator(operator(S, lambda v: 1j * v))
    with pytest.raises(TypeError, match=r"cannot transpose matvec.*aslinearoperator"):
        ka.check_operator(operator(S, lambda v: sp.csr_array(S) @ v))
    error = 1e-9
    wrong = operator(S, rmatvec=lambda v: np.dot(S, v) * (1 + error))
    with pytest.raises(ValueError, match="adjoint is wrong"):
        ka.check_operator(wrong)
    assert "accepted: 1.0e-06" in ka.check_operator(wrong, rtol=1e-6)


# ---- check_gradient ------------------------------------------------------------------------


def wrong_square(change):
    @primitive
    def function(x):
        return np.sum(x**2)

    defvjp(function, lambda ans, x: lambda g: g * change(2 * x))
    return function


POINT = onp.array([0.4, -1.2, 2.5])


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_check_gradient_passes_what_is_right(scale):
    def f(x):
        return scale * (np.sum(np.sin(x) ** 2) + x[0] * x[1])

    for rng in range(5):
        for order in (1, 2):
            check = ka.check_gradient(f, POINT, order, rng=rng)
            assert check.error < 1e-6
            onp.testing.assert_allclose(check.derivative, check.difference, rtol=1e-4, atol=1e-7 * scale)
            assert f"{check.derivative:.12e}" in str(check)
    ka.check_gradient(lambda x: scale * x**3, 0.7, 2)
    ka.check_gradient(f, scale * POINT)


def test_check_gradient_measures_the_derivative_it_says():
    """In the direction drawn from rng, of unit length."""
    rng = onp.random.default_rng(5)
    d = rng.standard_normal(3)
    d /= onp.linalg.norm(d)
    check = ka.check_gradient(lambda x: np.sum(x**3), POINT, rng=5)
    onp.testing.assert_allclose([check.derivative, check.difference], 3 * POINT**2 @ d, rtol=1e-7)
    check = ka.check_gradient(lambda x: np.sum(x**3), POINT, 2, rng=5)
    onp.testing.assert_allclose([check.derivative, check.difference], 6 * POINT @ d**2, rtol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        lambda g: 1.0001 * g, lambda g: -g, lambda g: 0 * g, lambda g: g[::-1], lambda g: g * onp.array([1, 1, 0]),
        lambda g: g + 1e-3,
    ],
)  # fmt: skip
def test_check_gradient_finds_a_wrong_derivative(change):
    for rng in range(5):
        with pytest.raises(AssertionError, match=r"disagrees with differences: derivative .*relative error"):
            ka.check_gradient(wrong_square(change), POINT, rng=rng)


def test_check_gradient_finds_a_wrong_second_derivative():
    @primitive
    def derivative(x):
        return 3 * x**2

    defvjp(derivative, lambda ans, x: lambda g: g * 6.1 * x)

    @primitive
    def cube(x):
        return np.sum(x**3)

    defvjp(cube, lambda ans, x: lambda g: g * derivative(x))
    ka.check_gradient(cube, POINT)
    with pytest.raises(AssertionError, match="disagrees"):
        ka.check_gradient(cube, POINT, 2)


def test_check_gradient_of_complex_input():
    z = POINT + 1j * POINT[::-1]
    for f in (lambda z: np.sum(np.abs(z) ** 2) ** 2, lambda z: np.real(np.sum(WEIGHTS[:3] * z**3)) ** 2):
        for order in (1, 2):
            assert ka.check_gradient(f, z, order).error < 1e-6
    function = primitive(lambda z: np.sum(np.abs(z) ** 2))
    defvjp(function, lambda ans, z: lambda g: g * 2 * z)  # the conjugate of autograd's convention
    with pytest.raises(AssertionError, match="disagrees"):
        ka.check_gradient(function, z)


def test_check_gradient_is_not_satisfied_by_useless_differences():
    """Where differences say nothing, a derivative wrong by half must not pass for right."""
    function = primitive(lambda x: np.sum(np.sin(3000 * x)))
    defvjp(function, lambda ans, x: lambda g: g * 1500 * np.cos(3000 * x))
    for rng in range(5):
        with pytest.raises((AssertionError, ValueError)):
            ka.check_gradient(function, POINT, rng=rng)


# ---- steps that are too long ----------------------------------------------------------------


def crossing(gap):
    """The weight of one level in the lower state of two that avoid each other: ½(1 − t/r), r² = t² + gap²/4."""
    Q = onp.linalg.qr(onp.random.default_rng(3).normal(size=(6, 6)))[0]
    D, coupling = onp.zeros((2, 6, 6))
    D[0, 0], D[1, 1], coupling[0, 1], coupling[1, 0] = 1, -1, gap / 2, gap / 2
    base = Q @ (onp.diag([0.0, 0, 1, 2, 3, 4]) + coupling) @ Q.T
    base, D = 0.5 * (base + base.T), Q @ D @ Q.T

    def weight(t):
        return np.dot(Q[:, 0], ka.eigsh(base + t * D, k=2, which="SA", v0=onp.ones(6))[1][:, 0]) ** 2

    return weight


@pytest.mark.parametrize("gap", [1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8])
@pytest.mark.parametrize("order", [1, 2])
def test_check_gradient_takes_steps_short_enough_for_a_gap(gap, order):
    f, t = crossing(gap), 0.3 * gap
    r2 = t**2 + gap**2 / 4
    exact = -0.125 * gap**2 / r2**1.5 * (1 if order == 1 else -3 * t / r2)
    check = ka.check_gradient(lambda x: f(x - 1.0), 1.0 + t, order, rtol=1e-5)
    # Of 1 + t and of A rounding leaves ε/gap.
    onp.testing.assert_allclose(abs(check.derivative), abs(exact), rtol=max(1e-9, 100 * onp.finfo(float).eps / gap))
    assert check.error < 1e-5 + check.uncertainty / abs(exact)
    assert check.step < gap


@pytest.mark.parametrize("gap", [1e-3, 1e-6])
@pytest.mark.parametrize("wrong", [1e-4, 1e-2, -0.5, -2.0])
def test_check_gradient_finds_what_is_wrong_beside_a_gap(gap, wrong):
    right = crossing(gap)
    function = primitive(lambda x: right(x - 1.0))
    defvjp(function, lambda ans, x: lambda g: g * (1 + wrong) * grad(right)(x - 1.0))
    with pytest.raises(AssertionError, match="disagrees") as caught:
        ka.check_gradient(function, 1.0 + 0.3 * gap)
    # The numbers are those of the steps that are short enough.
    numbers = re.search(r"derivative (\S+), differences (\S+) ±.* \(step (\S+)\)", str(caught.value))
    derivative, difference, step = map(float, numbers.groups())
    onp.testing.assert_allclose(derivative, (1 + wrong) * difference, rtol=1e-5)
    assert step < gap


def test_check_gradient_begins_with_the_step_given_and_says_what_it_took():
    steps = []

    def f(x):
        steps.append(abs(getval(x) - 0.5))
        return np.sin(x) if isbox(x) else np.sin(x) + noise * (x > 0.5)

    noise = 0.0
    check = ka.check_gradient(f, 0.5, step=0.1)
    assert sorted(set(onp.round(steps, 12)), reverse=True) == [0.1, 0.025, 0.00625, 0.0]
    assert check.step == 0.1 / 16
    noise, steps = 1e-3, []  # a jump: no difference is right
    with pytest.raises(AssertionError) as caught:
        ka.check_gradient(f, 0.5, step=0.1)
    shortest = min(step for step in steps if step)
    assert f"of steps from 1.0e-01 to {shortest:.1e}" in str(caught.value)
    assert 1e3 * onp.finfo(float).eps * 0.5 <= shortest < 4e3 * onp.finfo(float).eps * 0.5
    assert len(steps) == 1 + 2 * len({round(onp.log2(step)) for step in steps if step})


@pytest.mark.parametrize(("dtype", "most"), [(onp.float64, 30), (onp.float32, 6)])
def test_check_gradient_takes_four_calls_and_no_more_than_it_says(dtype, most):
    calls = []

    def counted(change):
        function = primitive(lambda x: calls.append(1) or np.sum(x**2))
        defvjp(function, lambda ans, x: lambda g: g * change * 2 * x)
        return function

    ka.check_gradient(counted(1), POINT.astype(dtype), rtol=1e-3)
    assert len(calls) == 1 + 4
    with pytest.raises(AssertionError, match="disagrees"):
        ka.check_gradient(counted(1.01), POINT.astype(dtype), rtol=1e-3)
    assert 4 < len(calls) - 6 <= most


@pytest.mark.parametrize("d", [(1.0, 1.5, 2, 3, 4, 5), (1.0, 2, 4, 8, 16, 32), (1.0, 3, 5, 7, 9, 11)])
def test_check_gradient_of_a_derivative_that_is_zero(d):
    """Its rounding and that of differences have nothing to be relative to but what differences can tell."""
    weights = onp.random.default_rng(1).standard_normal(6)
    for seed in range(3):
        B = onp.random.default_rng(seed).standard_normal((6, 6))

        def f(t, B=B + B.T):
            A = onp.diag(d) + t[0] * B
            return np.sum(weights * ka.eigsh(A, k=2, which="SA", v0=onp.arange(1.0, 7.0))[1][:, 0] ** 2)

        check = ka.check_gradient(f, onp.zeros(1))
        assert abs(check.derivative) < 1e-14
        assert check.error < 1e-6
    ka.check_gradient(lambda x: 1 + np.sum(x**2), onp.zeros(3))
    wrong = primitive(lambda x: 1 + 1e-6 * np.sum(x))
    defvjp(wrong, lambda ans, x: lambda g: 0 * x)
    with pytest.raises(AssertionError, match="disagrees"):
        ka.check_gradient(wrong, onp.zeros(3))


def test_check_gradient_knows_the_rounding_of_x():
    """Next to a crossing steps are so short that it is most of what differences are in error by."""
    B = onp.random.default_rng(0).standard_normal((6, 6))
    weights = onp.random.default_rng(1).standard_normal(6)
    Q = onp.linalg.qr(onp.random.default_rng(4).standard_normal((6, 6)))[0]
    A0 = (Q * onp.array([1.0, 1.0 + 1e-8, 2, 3, 4, 5])) @ Q.T

    def f(t):
        A = A0 + t[0] * (B + B.T)
        return np.sum(weights * ka.eigsh(A, k=2, which="SA", v0=onp.arange(1.0, 7.0))[1][:, 0] ** 2)

    check = ka.check_gradient(f, onp.zeros(1))
    assert check.step < 1e-9
    assert check.uncertainty > abs(check.derivative - check.difference) - 1e-6 * abs(check.derivative) > 0


def test_check_gradient_at_the_edge_of_a_domain():
    """The first steps leave it; shorter ones do not."""
    with onp.errstate(invalid="ignore"):
        check = ka.check_gradient(lambda x: np.sqrt(x - 1.0), 1.0 + 1e-6)
        assert check.error < 1e-6
        with pytest.raises(ValueError, match=r"values of the function are not finite at the steps 1.0e-01"):
            ka.check_gradient(lambda x: x * (onp.nan if abs(getval(x) - 1.0) > 1e-14 else 1.0), 1.0, step=0.1)


def test_check_gradient_refuses():
    with pytest.raises(ValueError, match="order must be 1 or 2, not 3"):
        ka.check_gradient(lambda x: np.sum(x), POINT, 3)
    with pytest.raises(ValueError, match="NaN or infinity"), onp.errstate(all="ignore"):
        ka.check_gradient(lambda x: np.sum(np.sqrt(x - x)), POINT)


def test_check_gradient_of_eigenpairs():
    """Its messages' remedies work: an arbitrary sign is found, and cured."""

    def f(p, phase=ka.canonical_phase):
        w, X = ka.eigsh(S + p[0] * D + np.diag(p[1] * onp.arange(N)), k=2, which="SA", tol=1e-14)
        return w[0] * np.sum(phase(X)[:, 1] * WEIGHTS.real)

    for order in (1, 2):
        assert ka.check_gradient(f, POINT[:2] / 10, order).error < 1e-6
