"""`svds`: SciPy's results, and their derivatives against a dense reference from all singular vectors."""

import inspect
import warnings

import autograd.numpy as np
import autograd.tracer
import numpy as onp
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad, hessian, jacobian, make_jvp
from oracle import difference
from svd_oracle import full_svd, matched, tangent

import krylov_adj as ka
from krylov_adj.krylov.minres import minres
from krylov_adj.krylov.space import WHOLE
from krylov_adj.perturbation.problem import ValueOperator
from krylov_adj.perturbation.singular import AugmentedOperator, bidiagonal_minres

SHAPES = [(24, 15), (15, 24), (18, 18)]
LARGE = [(150, 110), (110, 150)]
DTYPES = ("float32", "float64", "complex64", "complex128")
TOLERANCE = {"float64": 1e-8, "complex128": 1e-8, "float32": 3e-4, "complex64": 3e-4}
K = 3


def has_propack():
    try:
        spla.svds(onp.diag([3.0, 2.0, 1.0]), k=1, solver="propack")
    except ValueError:  # older ones have it on request only: an environment variable
        return False
    return True


SOLVERS = ("arpack", "lobpcg", *(("propack",) if has_propack() else ()))
needs_propack = pytest.mark.skipif("propack" not in SOLVERS, reason="this SciPy has PROPACK on request only")


def random(rng, *shape, dtype=float):
    x = rng.standard_normal(shape)
    if onp.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


def with_values(m, n, values, seed=0, dtype=float):
    """A matrix with the given singular values, the others zero."""
    rng, r = onp.random.default_rng(seed), len(values)
    U, V = (onp.linalg.qr(random(rng, size, r, dtype=dtype))[0] for size in (m, n))
    return (U * onp.asarray(values)) @ V.conj().T


def spectrum(m, n, dtype, seed=0):
    """Singular values in [0.5, 1], three of them above and three below, well apart."""
    values = onp.r_[3.0, 2.2, 1.6, onp.linspace(0.5, 1, min(m, n) - 6), 0.3, 0.2, 0.1]
    return with_values(m, n, values, seed, dtype).astype(dtype)


FORMS = {
    "dense": lambda A, D, p: A + p * D,
    "closure": lambda A, D, p: ka.LinearOperator(A.shape, lambda v: np.dot(A + p * D, v), dtype=A.dtype),
    "closure with rmatvec": lambda A, D, p: ka.LinearOperator(
        A.shape,
        lambda v: np.dot(A + p * D, v),
        lambda v: np.dot(np.conj(A + p * D).T, v),
        dtype=A.dtype,
    ),
    "csr": lambda A, D, p: ka.csr_array(
        (np.reshape(A + p * D, (-1,)), onp.arange(A.size) % A.shape[1], A.shape[1] * onp.arange(A.shape[0] + 1)),
        A.shape,
    ),
    "sum of sparse": lambda A, D, p: ka.aslinearoperator(sp.csr_array(A)) + ka.aslinearoperator(sp.csr_array(D)) * p,
}  # fmt: skip


class Case:
    """A matrix A + p D and a loss of its triplets that depends on everything that is not arbitrary."""

    def __init__(self, shape, dtype, form="dense", which="LM", adjoint=None, **arguments):
        rng = onp.random.default_rng(7)
        self.m, self.n = shape
        self.A, self.D = spectrum(*shape, dtype), random(rng, *shape, dtype=dtype)
        self.D = self.D / onp.linalg.norm(self.D, 2)
        self.C = random(rng, *shape, dtype=dtype)
        self.weights = rng.uniform(0.5, 1.5, K).astype(self.A.real.dtype)
        self.form, self.adjoint = FORMS[form], adjoint
        self.arguments = {"k": K, "which": which, "v0": onp.ones(min(shape), self.A.real.dtype)} | arguments

    def triplets(self, p):
        return ka.svds(self.form(self.A, self.D, p), adjoint=self.adjoint, **self.arguments)

    def loss(self, u, s, vh):
        v = np.conj(vh).T
        forms = np.sum(np.conj(u) * np.dot(self.C, v), axis=0)  # complex: fixes the phase of u relative to v
        return np.sum(self.weights * (s**2 + np.abs(forms - 0.4) ** 2 + np.sum(np.abs(u) ** 4, axis=0))) + np.sum(
            self.weights * np.sum(np.abs(v) ** 4, axis=0)
        )

    def f(self, p):
        return self.loss(*self.triplets(p))

    def exact(self, p=0.0):
        """The triplets in double precision, with the phases of what `svds` returns, and their tangents."""
        A = self.A + p * self.D
        u, s, vh = spla.svds(A, **{**self.arguments, "return_singular_vectors": True})
        U, S, V, index = matched(A, u, s, vh.conj().T)
        return (U[:, index], S[index], V[:, index]), tangent(A, u, s, vh.conj().T, self.D)

    def slope(self, p=0.0):
        """df/dp from the reference."""
        (u, s, v), (du, ds, dv) = self.exact(p)
        along = make_jvp(lambda t: self.loss(u + t * du, s + t * ds, np.conj(v + t * dv).T))
        return along(0.0)(1.0)[1]


# ---- derivatives ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("which", ["LM", "SM"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradient(shape, dtype, which, form):
    if which == "SM" and onp.finfo(dtype).eps > 1e-10:
        which = "LM"  # SciPy squares: in single precision the smallest of these are lost
    case = Case(shape, dtype, form, which)
    p = onp.dtype(dtype).type(0).real
    assert grad(case.f)(p) == pytest.approx(case.slope(), rel=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES[1::2])
@pytest.mark.parametrize("which", ["LM", "SM"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_mode(shape, which, dtype):
    case = Case(shape, dtype, "closure", which)

    def f(p):
        u, s, vh = case.triplets(p)
        return np.concatenate([u, np.conj(vh).T, np.reshape(s, (1, K))])

    values, tangents = make_jvp(f)(0.0)(1.0)
    u, v, s = onp.split(values, [case.m, case.m + case.n])
    du, ds, dv = tangent(case.A, u, s[0].real, v, case.D)
    onp.testing.assert_allclose(tangents, onp.concatenate([du, dv, ds[None]]), atol=1e-9)


@pytest.mark.parametrize("method", ["minres", "gmres", "direct", "dense", "auto"])
@pytest.mark.parametrize("which", ["LM", "SM"])
@pytest.mark.parametrize("shape", [*SHAPES, *LARGE], ids=str)
def test_every_method(shape, which, method):
    """In complex arithmetic; the large shapes are past what "auto" solves densely."""
    case = Case(shape, "complex128", "csr", which, ka.Adjoint(method=method))
    assert grad(case.f)(0.0) == pytest.approx(case.slope(), rel=1e-8)


@pytest.mark.parametrize("dtype", DTYPES[1::2])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_second_order(shape, dtype):
    case = Case(shape, dtype, "closure")
    expected, error = difference(case.slope, 0.0, 1.0, h=0.02)
    assert error < 1e-7 * abs(expected)
    assert grad(grad(case.f))(0.0) == pytest.approx(expected, rel=1e-6)
    assert make_jvp(grad(case.f))(0.0)(1.0)[1] == pytest.approx(expected, rel=1e-6)
    assert make_jvp(lambda p: make_jvp(case.f)(p)(1.0)[1])(0.0)(1.0)[1] == pytest.approx(expected, rel=1e-6)


def test_second_order_without_factorisation():
    case = Case(LARGE[0], "float64", "csr")
    expected, error = difference(case.slope, 0.0, 1.0, h=0.02)
    assert error < 1e-7 * abs(expected)
    assert grad(grad(case.f))(0.0) == pytest.approx(expected, rel=1e-6)


def test_third_order():
    case = Case(SHAPES[0], "complex128", "closure")
    expected, error = difference(grad(grad(case.f)), 0.0, 1.0, h=0.02)
    assert error < 1e-6 * abs(expected)
    assert grad(grad(grad(case.f)))(0.0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_differences_of_solving_again(shape):
    """No formula, no reference: the loss itself, with the entries of A for parameters."""
    case = Case(shape, "complex128")

    def f(A):
        return case.loss(*ka.svds(A, **case.arguments))

    gradient = grad(f)(case.A)
    expected, error = difference(f, case.A, case.D)
    assert error < 1e-7
    assert onp.sum(gradient * case.D).real == pytest.approx(expected, rel=1e-7)


def test_values_alone_need_no_system():
    received = []
    case = Case(LARGE[0], "float64", "csr", adjoint=ka.Adjoint(callback=received.append))
    case.arguments["return_singular_vectors"] = False
    weights = onp.arange(1.0, K + 1)
    slope = grad(lambda p: np.sum(weights * case.triplets(p)))(0.0)
    assert slope == pytest.approx(onp.sum(weights * case.exact()[1][1]), rel=1e-10)
    assert [report.stage for report in received] == ["forward", "adjoint"]
    assert received[1].method == "none"
    assert received[1].applications == 0


def test_the_gradient_does_not_depend_on_k():
    """Of a function of the largest triplet."""
    rng = onp.random.default_rng(1)
    A, C = spectrum(24, 15, "complex128"), random(rng, 24, 15, dtype=complex)

    def f(A, k):
        u, s, vh = ka.svds(A, k=k, v0=onp.ones(15))
        return s[-1] * np.real(np.sum(np.conj(u[:, -1]) * np.dot(C, np.conj(vh[-1]))))

    expected = grad(f)(A, 1)
    for k in (3, 9):
        onp.testing.assert_allclose(grad(f)(A, k), expected, atol=1e-9 * onp.abs(expected).max())


@needs_propack
def test_trace_identity():
    """Σσ² of all triplets is ‖A‖²: gradient 2A, Hessian 2I."""
    A = spectrum(7, 6, "float64")

    def f(A):
        return np.sum(ka.svds(A, k=6, solver="propack", return_singular_vectors=False, rng=1) ** 2)

    onp.testing.assert_allclose(grad(f)(A), 2 * A, atol=1e-12)
    onp.testing.assert_allclose(hessian(f)(A).reshape(42, 42), 2 * onp.eye(42), atol=1e-10)


def test_a_jacobian_of_values():
    case = Case(SHAPES[1], "complex128", "closure", return_singular_vectors=False)
    onp.testing.assert_allclose(jacobian(case.triplets)(0.0), case.exact()[1][1], rtol=1e-10)


# ---- clusters ---------------------------------------------------------------------------------------


def product_slope(A, D, chosen):
    """The derivative along D of Σ u vᴴ over the chosen triplets, (m, n); no division inside of a cluster.

    [[0, G], [Gᴴ, 0]] is the function of [[0, A], [Aᴴ, 0]] that is ±1 at ±σ of the chosen: Daleckii & Krein.
    """
    U, S, V = full_svd(A)
    m, n = A.shape
    common = min(m, n)
    r = onp.sqrt(0.5)
    left = onp.concatenate([r * U[:, :common], r * U[:, :common], U[:, common:], onp.zeros((m, n - common))], axis=1)
    right = onp.concatenate([r * V[:, :common], -r * V[:, :common], onp.zeros((n, m - common)), V[:, common:]], axis=1)
    w = onp.r_[S, -S, onp.zeros(m + n - 2 * common)]
    member = onp.isin(onp.arange(common), chosen).astype(float)
    f = onp.r_[member, -member, onp.zeros(m + n - 2 * common)]
    image = left.conj().T @ D @ right
    image = image + image.conj().T
    same = f[:, None] == f[None, :]
    K = onp.where(same, 0, (f[:, None] - f[None, :]) / onp.where(same, 1, w[:, None] - w[None, :]))
    return left @ (K * image) @ right.conj().T


@pytest.mark.parametrize("gap", [0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-2])
@pytest.mark.parametrize("dtype", DTYPES[1::2])
@pytest.mark.parametrize("shape", [*SHAPES, LARGE[0]], ids=str)
def test_functions_of_a_cluster_are_right_at_every_gap(shape, dtype, gap):
    m, n = shape
    values = onp.r_[2.0, 2.0 + gap, 2.5, onp.linspace(0.5, 1, min(m, n) - 3)]
    A = with_values(m, n, values, 3, dtype)
    rng = onp.random.default_rng(4)
    D, C = random(rng, m, n, dtype=dtype), random(rng, m, n, dtype=dtype)

    def f(p):
        u, _, vh = ka.svds(A + p * D, k=3, v0=rng.standard_normal(min(m, n)))
        G = np.dot(u, vh)
        return np.sum(np.abs(G - C) ** 2)

    u, _, vh = full_svd(A)[0], None, full_svd(A)[2].conj().T
    G = u[:, :3] @ vh[:3]
    expected = 2 * onp.real(onp.vdot(G - C, product_slope(A, D, [0, 1, 2])))
    assert grad(f)(0.0) == pytest.approx(expected, rel=1e-8)


DOUBLE = with_values(20, 14, onp.r_[3.0, 3.0, onp.linspace(0.5, 2, 12)], 5, complex)


def slope(loss, A, k=2, **arguments):
    D = random(onp.random.default_rng(6), *A.shape, dtype=A.dtype)
    v0 = onp.ones(min(A.shape))
    return grad(lambda p: loss(*ka.svds(A + p * D, k=k, v0=v0, **arguments)))(0.0)


def test_a_cut_cluster_is_refused():
    with pytest.raises(ka.AdjointNoConvergence, match=r"words of eigenpairs, for svds.*k cuts a cluster: increase k"):
        slope(lambda u, s, vh: np.sum(np.abs(u[:, 0]) ** 4), DOUBLE, k=1)


def test_the_basis_of_a_cluster_is_not_to_be_read():
    with pytest.warns(ka.GaugeWarning, match="basis chosen inside a degenerate eigenspace"):
        slope(lambda u, s, vh: np.sum(np.abs(u[:, 0]) ** 4), DOUBLE)


def test_coinciding_values_are_not_to_be_told_apart():
    with pytest.warns(ka.DegeneracyWarning, match="coincide differently"):
        slope(lambda u, s, vh: s[0] + 2 * s[1], DOUBLE)


# ---- the common phase ----------------------------------------------------------------------------


def test_a_loss_of_the_phase_is_warned_of():
    A = spectrum(24, 15, "complex128")
    with pytest.warns(ka.GaugeWarning, match="phase of eigenvectors"):
        slope(lambda u, s, vh: np.sum(np.real(u)), A)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        slope(lambda u, s, vh: np.sum(np.real(np.dot(u, vh))), A)  # the common phase cancels


# ---- small singular values -------------------------------------------------------------------------


@pytest.mark.parametrize("small", [1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7])
@pytest.mark.parametrize("shape", [SHAPES[0], LARGE[1]], ids=str)
def test_small_values_are_as_accurate_as_A_admits(shape, small):
    """ε‖A‖/σ. SciPy's triplets, from AᴴA, have errors of ε(‖A‖/σ)²."""
    m, n = shape
    values = onp.r_[onp.linspace(0.5, 1, min(m, n) - 2), small, 2 * small]
    A = with_values(m, n, values, 8, complex)
    rng = onp.random.default_rng(9)
    D, C = random(rng, m, n, dtype=complex), random(rng, m, n, dtype=complex)

    def f(u, s, vh):
        return np.sum(s) / small + np.sum(np.abs(np.sum(np.conj(u) * np.dot(C, np.conj(vh).T), axis=0) - 0.3) ** 2)

    v0 = onp.ones(min(m, n))
    actual = grad(lambda p: f(*ka.svds(A + p * D, k=2, which="SM", v0=v0)))(0.0)
    u, s, vh = spla.svds(A, k=2, which="SM", v0=v0)
    U, S, V, index = matched(A, u, s, vh.conj().T)
    du, ds, dv = tangent(A, u, s, vh.conj().T, D)
    along = make_jvp(lambda t: f(U[:, index] + t * du, S[index] + t * ds, np.conj(V[:, index] + t * dv).T))
    assert actual == pytest.approx(along(0.0)(1.0)[1], rel=1e-9 + 100 * 2.2e-16 / small)


def test_traced_values_are_refined_and_untraced_ones_are_scipys():
    small = 1e-7
    A = with_values(30, 20, onp.r_[onp.linspace(0.5, 1, 18), small, 2 * small], 10)
    arguments = {"k": 1, "which": "SM", "v0": onp.ones(20)}
    received = []

    def residual(triplets):
        u, s, vh = triplets
        return onp.linalg.norm(A.T @ u - vh.T * s)

    ours, scipys = ka.svds(A, **arguments), spla.svds(A, **arguments)
    for a, b in zip(ours, scipys, strict=True):
        onp.testing.assert_array_equal(a, b)
    refined = []

    def f(p):
        u, s, vh = ka.svds(A * p, adjoint=ka.Adjoint(callback=received.append), **arguments)
        refined.append([autograd.tracer.getval(x) for x in (u, s, vh)])
        return s[0]

    assert grad(f)(1.0) == pytest.approx(small, rel=1e-7)
    assert residual(scipys) > 1e-3 * small
    assert residual(refined[0]) < 1e-7 * small
    assert received[0].method == "ARPACK+Newton"


def test_lobpcg_is_polished():
    A = with_values(40, 30, onp.r_[onp.linspace(0.5, 1, 28), 0.2, 0.1], 11)
    received = []

    def f(p):
        arguments = {"k": 2, "which": "SM", "solver": "lobpcg", "rng": 3, "return_singular_vectors": False}
        return np.sum(ka.svds(A * p, adjoint=ka.Adjoint(callback=received.append), **arguments))

    assert grad(f)(1.0) == pytest.approx(0.3, rel=1e-12)
    assert received[0].residuals.max() < 1e-14


@needs_propack
def test_what_propack_returns_for_sm_is_right_or_refused():
    """SciPy 1.17 returns zeros and vectors of other singular values."""
    A = with_values(30, 20, onp.r_[onp.linspace(0.5, 1, 18), 0.2, 0.1], 12)
    arguments = {"k": 2, "which": "SM", "solver": "propack", "rng": 1, "return_singular_vectors": False}
    if onp.allclose(onp.sort(spla.svds(A, **arguments)), [0.1, 0.2], rtol=1e-6):
        assert grad(lambda p: np.sum(ka.svds(A * p, **arguments)))(1.0) == pytest.approx(0.3, rel=1e-10)
    else:
        with pytest.raises(ValueError, match="no singular triplets of A"):
            grad(lambda p: np.sum(ka.svds(A * p, **arguments)))(1.0)


def test_past_the_rank():
    """The vectors of the zero are arbitrary on both sides; those of the others are not, and the zero has a kink."""
    A = with_values(30, 20, [3.0, 2.0], 13)
    assert onp.isfinite(slope(lambda u, s, vh: np.sum(s**2) + np.sum(np.abs(u[:, 1:]) ** 4), A, k=3))
    with pytest.warns(ka.DegeneracyWarning, match="zero to working precision"):
        slope(lambda u, s, vh: np.sum(s), A, k=3)
    with pytest.raises(ka.AdjointNoConvergence, match="zero next to the largest"):
        slope(lambda u, s, vh: np.sum(u[:, 0] ** 4), A, k=3)


# ---- the engine --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_half_vectors_save_half_of_the_applications(shape, dtype):
    """Against MINRES on [[0, A], [Aᴴ, 0]] − σ as it comes, to the same residual."""
    m, n = shape
    A = spectrum(m, n, dtype)
    U, S, V = full_svd(A)
    X = onp.concatenate([U[:, :K], V[:, :K]]) / onp.sqrt(2)
    Q = onp.concatenate([X, onp.concatenate([X[:m], -X[m:]])], axis=1)
    b = random(onp.random.default_rng(14), m + n, K, dtype=dtype)
    b = b - Q @ (Q.conj().T @ b)

    def solve(engine):
        H = AugmentedOperator(ValueOperator(A.shape, A.dtype, lambda v: A @ v, lambda v: A.conj().T @ v, "A", A))
        Z = engine(H)
        applications = H.applications
        Z = Z - Q @ (Q.conj().T @ Z)
        R = b - (H.apply(Z) - Z * S[:K])
        return onp.linalg.norm(R - Q @ (Q.conj().T @ R), axis=0) / onp.linalg.norm(b, axis=0), applications

    def plain(H):
        def apply(W, columns):
            HW = H.apply(W) - W * S[:K][columns]
            return HW - Q @ (Q.conj().T @ HW)

        return minres(WHOLE, apply, b, onp.full(K, 1e-10), 1000)[0]

    residuals, halves = solve(lambda H: bidiagonal_minres(WHOLE, H, X, S[:K], b, onp.full(K, 1e-10), 1000)[0])
    _, wholes = solve(plain)
    assert residuals.max() < 1.1e-10
    assert halves < 0.6 * wholes


# ---- SciPy's function ----------------------------------------------------------------------------------


@pytest.fixture
def no_primitives(monkeypatch):
    """autograd looks for Boxes in the arguments of every primitive."""

    def fail(*args):
        raise AssertionError("a primitive was reached")

    monkeypatch.setattr(autograd.tracer, "find_top_boxed_args", fail)


RETURNS = (True, False, "u", "vh")


def identical(actual, expected):
    for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (actual, expected)), strict=True):
        assert type(a) is type(b)
        if b is not None:
            assert a.dtype == b.dtype
            onp.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("form", [onp.asarray, sp.csr_array, spla.aslinearoperator])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("shape", SHAPES[:2], ids=str)
def test_untraced_calls_are_scipys(shape, solver, dtype, form, no_primitives):
    A = form(spectrum(*shape, dtype))
    for wanted in RETURNS:
        arguments = {"k": K, "solver": solver, "rng": 5, "return_singular_vectors": wanted}
        if "rng" not in inspect.signature(spla.svds).parameters:
            theirs = {**arguments, "random_state": onp.random.default_rng(arguments["rng"])}
            del theirs["rng"]
        else:
            theirs = arguments
        identical(ka.svds(A, **arguments), spla.svds(A, **theirs))


@pytest.mark.parametrize("wanted", RETURNS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("shape", SHAPES[:2], ids=str)
def test_traced_calls_give_scipys_values(shape, solver, wanted):
    A = spectrum(*shape, "complex128")
    arguments = {"k": K, "solver": solver, "return_singular_vectors": wanted, "random_state": 5}
    expected = spla.svds(A, **arguments)
    seen = []

    def f(p):
        result = ka.svds(A * p, **arguments)
        seen.append(result)
        return np.sum(result if wanted is False else result[1])

    assert grad(f)(1.0) == pytest.approx(5.0 + 1.8, rel=1e-10)
    for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (seen[0], expected)), strict=True):
        assert (a is None) == (b is None)
        if b is not None:
            onp.testing.assert_allclose(autograd.tracer.getval(a), b, atol=1e-7)


def test_the_signature_is_scipys():
    """Names, positions and defaults; ``rng`` was ``random_state`` before SciPy 1.15."""
    ours, scipys = (list(inspect.signature(f).parameters.values()) for f in (ka.svds, spla.svds))
    positional = [p for p in scipys if p.kind is p.POSITIONAL_OR_KEYWORD]
    for mine, theirs in zip(ours, positional, strict=False):
        assert mine.name == theirs.name or (mine.name, theirs.name) == ("rng", "random_state")
        assert mine.default == theirs.default
    assert [p.name for p in ours[len(positional) :]] == ["random_state", "adjoint"]
    assert all(p.kind is p.KEYWORD_ONLY for p in ours[len(positional) :])


def test_single_precision_stays():
    A = spectrum(24, 15, "float32")

    def f(A):
        u, s, vh = ka.svds(A, k=2, v0=onp.ones(15, "float32"))
        assert {x.dtype for x in (u, s, vh)} == {onp.dtype("float32")}
        return np.sum(s) + np.sum(u**4)

    assert grad(f)(A).dtype == onp.dtype("float32")


def test_closures_without_an_adjoint_work_untraced():
    A = spectrum(24, 15, "complex128")
    operator = ka.LinearOperator(A.shape, lambda v: np.dot(A, v), dtype=complex)
    arguments = {"k": K, "v0": onp.ones(15)}
    onp.testing.assert_allclose(ka.svds(operator, **arguments)[1], spla.svds(A, **arguments)[1], rtol=1e-12)


def values(A, **arguments):
    return np.sum(ka.svds(A, **{"k": 2, "return_singular_vectors": False} | arguments))


def test_bad_input():
    A = spectrum(24, 15, "float64")

    def closure(p, rmatvec=None, error=0.0, kind=ka.LinearOperator):
        return kind(A.shape, lambda v: p * np.dot(A, v) + error, rmatvec, dtype=float)

    with pytest.raises(ValueError, match="adjoint of A is wrong"):
        grad(lambda p: values(closure(p, lambda v: np.dot(A.T, v))))(2.0)
    with pytest.raises(ValueError, match="A returned NaN"):
        grad(lambda p: values(closure(p, lambda v: p * np.dot(A.T, v), onp.nan)))(1.0)
    with pytest.raises(ValueError, match="must be in"):
        grad(lambda p: values(A * p, return_singular_vectors="uv"))(1.0)
    with pytest.raises(ValueError, match="must be an integer"):
        grad(lambda p: values(A * p, k=15))(1.0)
    with pytest.raises(TypeError, match="adjoint must be"):
        ka.svds(A, adjoint="minres")
    with pytest.raises(TypeError, match=r"krylov_adj\.LinearOperator"):
        grad(lambda p: values(closure(p, lambda v: p * np.dot(A.T, v), kind=spla.LinearOperator)))(1.0)


@pytest.mark.parametrize("scale", [2.0**-40, 2.0**40])
def test_the_loss_may_have_any_scale(scale):
    case = Case(LARGE[0], "float64", "csr")
    assert grad(lambda p: scale * case.f(p))(0.0) == scale * grad(case.f)(0.0)


def test_A_may_have_any_scale():
    case = Case(SHAPES[0], "complex128")

    def f(scale):
        u, _, vh = ka.svds(scale * case.A, **case.arguments)
        return np.sum(np.abs(np.sum(np.conj(u) * np.dot(case.C, np.conj(vh).T), axis=0)) ** 2)

    for scale in (1e-12, 1e12):

        def g(A, scale=scale):
            u, _, vh = ka.svds(A, **case.arguments)
            return np.sum(np.abs(np.sum(np.conj(u) * np.dot(case.C, np.conj(vh).T), axis=0)) ** 2)

        onp.testing.assert_allclose(scale * grad(g)(scale * case.A), grad(g)(case.A), rtol=1e-8, atol=1e-9)
