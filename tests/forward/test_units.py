"""Problems in any units, solved in units of one: with powers of two results are the same numbers."""

import warnings

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad, hessian, make_jvp

import krylov_adj as ka
from krylov_adj.autograd.values import units
from krylov_adj.forward.scaling import ONE

N = 40
#: log₂ of the units of A and M.
DOUBLE = [(-990, 0), (-220, 0), (-60, 0), (130, 0), (500, 0), (980, 0), (-300, 300), (400, -400), (0, -600), (300, 500)]
SINGLE = [(-100, 0), (-18, 0), (50, 0), (-12, 10), (0, 70)]
DIRECTION = onp.cos(onp.arange(1000))
pytestmark = pytest.mark.filterwarnings("error")


def banded(n, dtype, hermitian, seed=0):
    """A, not normal unless Hermitian, and M, Hermitian positive definite."""
    rng = onp.random.default_rng(seed)
    band = onp.abs(onp.subtract.outer(onp.arange(n), onp.arange(n))) <= 3

    def draw():
        return band * (rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if dtype in "DF" else 0))

    B, C = 0.3 * draw(), 0.15 * draw()
    A = onp.diag(onp.linspace(1, 8, n)) + (0.5 * (B + B.conj().T) if hermitian else B)
    A[:3, :3] += onp.diag([-2.0, -1.2, -0.5])
    M = onp.diag(onp.linspace(1, 2, n)) + 0.5 * (C + C.conj().T)
    return A.astype(dtype), M.astype(dtype)


def real(dtype):
    return onp.zeros(0, dtype).real.dtype


def weighted(X, unit=1.0):
    weights = onp.outer(DIRECTION[: X.shape[0]], onp.arange(1.0, X.shape[1] + 1)).astype(real(X.dtype))
    return np.sum(weights * np.abs(X * unit) ** 2)


def derivatives(f, p, unit=1.0):
    """Gradient, directional derivative in forward mode, value: of a parameter in its unit."""
    direction = (unit * DIRECTION[: p.size]).astype(p.dtype)
    value, slope = make_jvp(f)(p)(direction)
    return [unit * grad(f)(p), slope, value, f(p)]


def agree(compute, dtype, exponents):
    """compute(s, m) has the same results in all units."""
    kind = real(dtype).type
    expected = compute(kind(1), kind(1))
    for a, m in exponents:
        for got, wanted in zip(compute(kind(2.0**a), kind(2.0**m)), expected, strict=True):
            scale = onp.max(onp.abs(wanted))
            onp.testing.assert_allclose(got, wanted, rtol=0, atol=(1e-9 if dtype in "dD" else 1e-3) * scale)


@pytest.mark.parametrize("dtype", "dDf")
@pytest.mark.parametrize("mass", [False, True])
@pytest.mark.parametrize("sigma", [None, -2.3])
@pytest.mark.parametrize("solver", [ka.eigsh, ka.eigs])
def test_pairs_and_derivatives(solver, sigma, mass, dtype):
    n = N if mass else 220
    A, M = banded(n, dtype, solver is ka.eigsh)

    def compute(s, m):
        def f(p):  # of the size of A
            operator = ka.aslinearoperator(sp.csr_array(s * A)) + ka.diags_array([p], offsets=[0])
            place = {"sigma": sigma * s / m} if sigma else {"which": "SA" if solver is ka.eigsh else "SR"}
            inner = {"M": sp.csr_array(m * M)} if mass else {}
            w, X = solver(operator, k=3, v0=onp.ones(n, dtype), **place, **inner)
            return np.sum(np.real(w) * (m / s)) + weighted(X, m**0.5)

        return derivatives(f, (s * onp.linspace(0, 0.1, n)).astype(real(dtype)), s)

    agree(compute, dtype, [pair for pair in (SINGLE if dtype == "f" else DOUBLE) if mass or pair[1] == 0])


@pytest.mark.parametrize("solver", [ka.eigsh, ka.eigs])
def test_functions_and_higher_derivatives(solver):
    A, M = banded(8, "D", solver is ka.eigsh)

    def compute(s, m):
        def f(p):
            operator = ka.LinearOperator((8, 8), lambda v: np.dot(s * A, v) + s * (p * v), dtype=complex)
            w, X = solver(operator, k=2, M=m * M, v0=onp.ones(8), which="LM")
            return np.sum(np.real(w) * (m / s)) + weighted(X, m**0.5)

        p = onp.linspace(0, 0.1, 8)
        return [hessian(f)(p), grad(f)(p)]

    agree(compute, "D", DOUBLE)


@pytest.mark.parametrize("dtype", "dDf")
def test_singular_triplets(dtype):
    rng = onp.random.default_rng(3)
    A = (rng.standard_normal((50, N)) + (1j * rng.standard_normal((50, N)) if dtype == "D" else 0)).astype(dtype)

    def compute(s, m):
        def f(p):
            u, sv, vh = ka.svds(s * (A * (1 + p)), k=3, v0=onp.ones(N))
            return weighted(u) + weighted(np.conj(vh).T) + np.sum(sv / s)

        return derivatives(f, onp.linspace(0, 0.1, N).astype(real(dtype)))

    agree(compute, dtype, [pair for pair in (SINGLE if dtype == "f" else DOUBLE) if pair[1] == 0])


@pytest.mark.parametrize("hermitian", [True, False])
def test_given_pairs_and_left_vectors(hermitian):
    A, M = banded(N, "D", hermitian)
    w, X = la.eigh(A, M) if hermitian else la.eig(A, M)
    w, X = w[:3], X[:, :3]
    X = X / onp.sqrt(onp.einsum("ij,ij->j", X.conj(), M @ X))

    def compute(s, m):
        def f(p):
            operator, mass = s * (A + np.diag(p)), sp.csr_array(m * M)
            pairs = ka.attach_eigenpairs(operator, w * (s / m), X * m**-0.5, M=mass, hermitian=hermitian)
            Y = ka.left_eigenvectors(operator, *pairs, M=mass, hermitian=hermitian)
            kappa = ka.condition_numbers(operator, *pairs, M=mass, hermitian=hermitian)
            return np.sum(np.real(pairs[0]) * (m / s)) + weighted(pairs[1] + Y, m**0.5) + np.sum(kappa * m)

        unit = m**0.25 * 2.0**100  # of vectors that need not be normalised
        Y = ka.left_eigenvectors(s * A, w * (s / m), X * unit, M=m * M, hermitian=hermitian)
        return [*derivatives(f, onp.zeros(N))[:3], Y * m * unit]

    agree(compute, "D", DOUBLE)


def test_nonlinear_problems():
    A, _ = banded(12, "d", False)
    B, C = onp.diag(onp.linspace(0.1, 0.5, 12)), A + 10 * onp.eye(12)
    companion = onp.block([[onp.zeros((12, 12)), onp.eye(12)], [-C, -B]])
    lam, V = la.eig(companion)
    lam, x = lam[0], V[:12, 0] / la.norm(V[:12, 0])

    def compute(s, m):
        def f(p):
            def T(value):
                t = value / m
                return s * (t * t * np.eye(12) + t * B + C + np.diag(p))

            w, y = ka.attach_nonlinear(T, lam * m, x)
            return np.real(w / m) + np.sum(np.abs(y) ** 2 * DIRECTION[:12])

        return derivatives(f, onp.zeros(12))[:3]

    agree(compute, "d", DOUBLE)


@pytest.mark.parametrize("given", ["buckling", "OPinv", "Minv", "indefinite", "values"])
def test_what_else_has_a_unit(given):
    solver = {"indefinite": ka.eigs, "values": ka.eigs}.get(given, ka.eigsh)
    A, M = banded(N, "d", solver is ka.eigsh)
    if given == "buckling":
        A, M = A + 5 * onp.eye(N), M - 1.7 * onp.eye(N)
    if given == "indefinite":
        M = M - 1.6 * onp.eye(N)
    inverse = la.inv({"OPinv": A + 2.3 * M, "Minv": M}.get(given, onp.eye(N)))

    def compute(s, m):
        def operator(factor):
            return spla.LinearOperator((N, N), lambda v: inverse @ v / factor, dtype=float)

        arguments = {
            "buckling": {"mode": "buckling", "sigma": -s / m},
            "OPinv": {"sigma": -2.3 * s / m, "OPinv": operator(s)},
            "Minv": {"which": "LA", "Minv": operator(m)},
            "indefinite": {"sigma": 2.3 * s / m},
            "values": {"sigma": -2.3 * s / m, "return_eigenvectors": False},
        }[given]
        unit = {"buckling": s**0.5, "indefinite": 1.0}.get(given, m**0.5)

        def f(p):
            result = solver(s * (A + np.diag(p)), k=3, M=m * M, v0=onp.ones(N), **arguments)
            w, X = (result, None) if given == "values" else result
            return np.sum(np.abs(w * (m / s))) + (0 if X is None else weighted(X, unit))

        return derivatives(f, onp.zeros(N))

    agree(compute, "d", DOUBLE)


@pytest.mark.parametrize("as_operator", [False, True])
def test_preconditioners(as_operator):
    A, _ = banded(220, "d", True)
    inverse = la.inv(A + 4 * onp.eye(220))

    def compute(s, m):
        def apply(V):
            return inverse @ V / s

        P = spla.LinearOperator(A.shape, apply, apply, apply, float, apply) if as_operator else apply
        options = ka.Adjoint(preconditioner=P, method="minres")

        def f(p):
            return weighted(ka.eigsh(s * (A + np.diag(p)), k=2, which="SA", adjoint=options)[1])

        return [grad(f)(onp.zeros(220))]

    agree(compute, "d", [pair for pair in DOUBLE if pair[1] == 0])


@pytest.mark.parametrize("s", [1e-68, 1e-39, 1e-19, 1e150])
def test_where_scipys_pairs_are_wrong(s):
    """ARPACK's criterion is absolute for values below ε^(2/3), which with sigma are those of a large A."""
    A, _ = banded(260, "d", True)
    expected = la.eigvalsh(A)
    place = {"which": "SA"} if s < 1 else {"sigma": -2.3 * s}
    wanted = onp.sort(expected[:3] if s < 1 else expected[onp.argsort(abs(expected + 2.3))[:3]])
    plain = spla.eigsh(s * A, k=3, v0=onp.ones(260), **place)[0] / s
    if s != 1e-19:
        assert onp.max(onp.abs(plain - wanted)) > 1e-5  # else there is nothing to be better than
    for operator in (s * A, sp.csr_array(s * A), ka.LinearOperator(A.shape, lambda v: s * (A @ v), dtype=float)):
        if isinstance(operator, ka.LinearOperator) and "sigma" in place:
            continue
        w = ka.eigsh(operator, k=3, v0=onp.ones(260), **place)[0]
        onp.testing.assert_allclose(w / s, wanted, rtol=1e-11)


def test_messages_and_reports_are_in_the_users_units():
    spectrum = onp.r_[0.5, 0.5, onp.linspace(1, 8, N - 2)]
    Q = la.qr(banded(N, "d", True)[0])[0]
    s, reports = 2.0**-400, []
    A = s * (Q * spectrum) @ Q.T
    A = 0.5 * (A + A.T)
    options = ka.Adjoint(callback=reports.append)

    def f(p):
        return weighted(ka.eigsh(A + np.diag(p), k=1, which="SA", v0=onp.ones(N), adjoint=options)[1])

    with pytest.raises(ka.AdjointNoConvergence, match=rf"0 \(w = {0.5 * s:.6g}\)"):
        grad(f)(onp.zeros(N))
    assert reports[-1].neighbours[0] < 1e-14 * s

    def lowest(p):
        return ka.eigsh(A + np.diag(p), k=1, sigma=0.1 * s, v0=onp.ones(N), adjoint=options)[0][0]

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        with pytest.warns(ka.DegeneracyWarning, match=rf"0 \(w = {0.5 * s:.6g}\)"):
            grad(lowest)(onp.zeros(N))
    w, X = la.eigh(A)
    with pytest.raises(ValueError, match=r"which is up to \S*e-1(19|20)·"):  # 8 s
        ka.attach_eigenpairs(ka.aslinearoperator(A), 2 * w[-1:], X[:, -1:], hermitian=True)


def test_partial_results_are_in_the_users_units():
    A, M = banded(260, "d", False)
    s, m = 2.0**300, 2.0**-100
    for unit_A, unit_M in ((1.0, 1.0), (s, m)):
        with pytest.raises(ka.EigenNoConvergence) as raised:
            ka.eigs(unit_A * A, k=6, M=unit_M * M, which="LR", maxiter=8, v0=onp.ones(260))
        w, X = raised.value.eigenvalues * (unit_M / unit_A), raised.value.eigenvectors * unit_M**0.5
        assert w.size > 0
        residuals = onp.linalg.norm(A @ X - M @ X * w, axis=0)
        assert onp.all(residuals < 0.1 * onp.linalg.norm(A @ X, axis=0))


@pytest.mark.parametrize("given", ["buckling", "indefinite"])
def test_partial_results_of_other_problems(given):
    B = onp.random.default_rng(0).standard_normal((260, 260))
    A, M = B @ B.T + onp.eye(260), B + B.T
    solver, mode = (ka.eigsh, {"mode": "buckling", "ncv": 10}) if given == "buckling" else (ka.eigs, {"ncv": 12})
    for s, m in ((1.0, 1.0), (2.0**300, 2.0**-100)):
        with pytest.raises(ka.EigenNoConvergence) as raised:
            solver(s * A, k=6, M=m * M, sigma=-s / m, maxiter=3 if mode.get("mode") else 2, v0=onp.ones(260), **mode)
        w, X = raised.value.eigenvalues * (m / s), raised.value.eigenvectors
        assert w.size > 0
        norms = onp.einsum("ij,ij->j", X.conj(), (s * A if given == "buckling" else onp.eye(260)) @ X)
        onp.testing.assert_allclose(norms, 1, rtol=1e-8)
        assert onp.all(onp.linalg.norm(A @ X - M @ X * w, axis=0) < 1e-6 * onp.linalg.norm(A @ X, axis=0))


@pytest.mark.parametrize("s", [1.0, 2.0**-100])
def test_formats_of_matrices(s):
    A, M = (onp.triu(onp.tril(matrix, 1), -1) for matrix in banded(N, "d", True))
    expected = la.eigvalsh(A, M)[:2] * s
    warnings.simplefilter("ignore", PendingDeprecationWarning)  # of NumPy's matrices
    for form in (onp.matrix, sp.dia_array, sp.bsr_array, sp.lil_array, sp.dok_array, sp.coo_array):
        for place in ({"which": "SA"}, {"sigma": -4 * s}):
            w = ka.eigsh(form(s * A), k=2, M=form(M), v0=onp.ones(N), **place)[0]
            onp.testing.assert_allclose(w, expected, rtol=1e-10)

            def f(p, form=form, place=place):
                return np.sum(
                    ka.eigsh(ka.aslinearoperator(form(s * A)) * p, k=2, M=form(M), v0=onp.ones(N), **place)[0]
                )

            onp.testing.assert_allclose(grad(f)(1.0), onp.sum(expected), rtol=1e-10)
    stored = sp.dia_array(A)
    stored.data[stored.offsets == 1, 0] = stored.data[stored.offsets == -1, -1] = 1e200  # outside of the matrix
    assert units(stored, None)[0].trivial


def test_numbers_and_inverses_of_single_precision():
    A, _ = banded(N, "f", True)
    s, inverse = onp.float32(2.0**60), la.inv(A + 2.3 * onp.eye(N)).astype("f")
    OPinv = spla.LinearOperator(A.shape, lambda v: inverse @ (v / s), dtype="f")

    def f(p):
        return np.sum(ka.eigsh(s * A + np.diag(p), k=2, sigma=-2.3 * s, OPinv=OPinv, v0=onp.ones(N, "f"))[0])

    assert grad(f)(onp.zeros(N, "f")).dtype == onp.float32
    tiny = 2.0**-140
    w = ka.eigsh(tiny * A.astype("d"), k=1, sigma=onp.float32(-2.3 * tiny), v0=onp.ones(N))[0] / tiny
    expected = la.eigvalsh(A.astype("d"))
    onp.testing.assert_allclose(w, expected[onp.argmin(abs(expected + 2.3))], rtol=1e-10)


@pytest.mark.parametrize("s", [2.0**70, 2.0**-70])
def test_absolute_tolerances_of_singular_values(s):
    A = onp.random.default_rng(3).standard_normal((80, 50))
    sv = ka.svds(s * A, k=3, solver="lobpcg", tol=1e-5 * max(s, 1), rng=1, maxiter=100)[1]
    onp.testing.assert_allclose(onp.sort(sv)[::-1] / s, la.svdvals(A)[:3], rtol=1e-10)


@pytest.mark.parametrize("zero", [1e-15, 1e-300, 5e-324])
def test_nonlinear_eigenvalues_of_zero(zero):
    K = onp.eye(12) + 0.2 * onp.random.default_rng(1).standard_normal((12, 12))
    A = K @ onp.diag(onp.r_[0, 1:5:11j]) @ la.inv(K)
    x, y = K[:, 0] / la.norm(K[:, 0]), la.inv(K)[0]
    gradient = grad(lambda p: ka.attach_nonlinear(lambda t: A + np.diag(p) - t * np.eye(12), zero, x)[0])(onp.zeros(12))
    onp.testing.assert_allclose(gradient, y * x / (y @ x), atol=1e-12)


@pytest.mark.parametrize("solver", [ka.eigsh, ka.eigs])
def test_penalties_are_no_unit(solver):
    """Boundary conditions are imposed by huge entries: the eigenvalues wanted are those of the others."""
    A, M = banded(260, "d", True)
    M = onp.diag(onp.diagonal(M))
    fixed = [0, 130, 259]
    free = onp.setdiff1d(onp.arange(260), fixed)
    A[fixed, fixed] = 1e30
    expected = la.eigvalsh(A[onp.ix_(free, free)], M[onp.ix_(free, free)])
    for place in ({"which": "SA" if solver is ka.eigsh else "SR"}, {"sigma": -4.0}):
        for given in (sp.csc_array(A), ka.aslinearoperator(A)):
            w = solver(given, k=3, M=sp.csc_array(M), v0=onp.ones(260), **place)[0]
            onp.testing.assert_allclose(onp.sort(w.real), expected[:3], rtol=1e-9)


def test_no_units_where_none_are_needed():
    A, M = banded(N, "d", True)
    for operand in (
        A,
        sp.csr_array(A),
        sp.dia_array(A),
        sp.lil_array(A),
        ka.aslinearoperator(A),
        A.astype("f"),
        (A * 9).astype(int),
    ):
        assert units(operand, None)[0].trivial
        assert units(1000 * operand, M)[0].trivial
    assert units(0 * A, None)[0] is not None
    for nothing in (0 * A, onp.full((3, 3), onp.nan), onp.zeros((0, 0)), onp.ones(3), "A", A.astype(object)):
        assert units(nothing, None)[0].trivial
    own = spla.LinearOperator(A.shape, lambda v: pytest.fail("applied"), dtype=float)  # as SciPy's call leaves it
    assert units(own, None)[0] is ONE


def test_shifts_and_values_out_of_range():
    A, M = banded(N, "d", True)
    for given in (A, ka.aslinearoperator(A)):
        with pytest.raises(ValueError, match="other units than A"):
            ka.eigsh(1e-30 * given, k=2, sigma=1.0)
    with pytest.raises(ValueError, match="outside of the range of float64"):
        ka.eigsh(1e200 * A, k=2, M=1e-200 * M)
    with pytest.raises(ValueError, match="outside of the range of float64"):
        ka.svds(1e308 * onp.ones((6, 4)), k=1)


def test_checks_in_any_units():
    A, _ = banded(N, "d", False)
    for s in (1e-200, 1e200):
        assert "adjoint to" in ka.check_operator(s * A)
        wrong = ka.LinearOperator((N, N), lambda v, s=s: s * (A @ v), lambda v, s=s: s * (A @ v), dtype=float)
        with pytest.raises(ValueError, match="adjoint is wrong"):
            ka.check_operator(wrong)
        assert ka.check_gradient(lambda p, s=s: np.sum((p / s) ** 3), s * onp.ones(3)).error < 1e-8
