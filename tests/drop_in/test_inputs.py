"""Bad input gets an error that says what was seen and what to do; nothing wrong passes in silence."""

import warnings

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad, make_vjp
from autograd.tracer import getval

import krylov_adj as ka

N = 24
RNG = onp.random.default_rng(0)
G = RNG.standard_normal((N, N))
S = G + G.T
K = onp.diag(onp.arange(1.0, N + 1)) + 0.1 * G  # not symmetric, real eigenvalues far apart
EYE = onp.eye(N)
V0 = onp.ones(N)


def operator(matrix, **functions):
    return ka.LinearOperator(matrix.shape, lambda v: np.dot(matrix, v), dtype=matrix.dtype, **functions)


def traced(solver, A, **kwargs):
    """The gradient of a function of values and vectors, by which every check has its chance."""

    def f(p):
        w, X = solver(A(p) if callable(A) else A + p * EYE, v0=V0, **kwargs)
        return np.sum(np.real(w)) + np.sum(np.abs(X[:, 0]) ** 4)

    return grad(f)(0.0)


# ---- shapes and arguments ------------------------------------------------------------------


@pytest.mark.parametrize("solver", [ka.eigs, ka.eigsh])
@pytest.mark.parametrize("form", [onp.asarray, sp.csr_array, spla.aslinearoperator, operator])
def test_not_square(solver, form):
    with pytest.raises(ValueError, match=r"expected square matrix \(shape=\(24, 23\)\)"):
        solver(form(S[:, :-1]), k=2)


@pytest.mark.filterwarnings("ignore:k >= N:RuntimeWarning")
@pytest.mark.parametrize("solver", [ka.eigs, ka.eigsh])
def test_too_many_pairs_of_a_large_operator(solver):
    """SciPy's errors, traced or not, of operators and sparse matrices of order above 200."""
    A = sp.diags(onp.arange(1.0, 202.0))
    for k in (201, 204) if solver is ka.eigsh else (200, 201, 204):
        for form in (sp.csr_array, spla.aslinearoperator, ka.aslinearoperator):
            for more in ({}, {"solver": "arpack"}):
                with pytest.raises(TypeError, match=r"(LinearOperator|sparse) A with k >= N|for sparse A with"):
                    solver(form(A), k=k, **more)
        with pytest.raises(TypeError, match=r"(LinearOperator|sparse) A with k >= N|for sparse A with"):
            grad(lambda p, k=k: np.real(solver(ka.aslinearoperator(A) * p, k=k)[0][0]))(1.0)
        with pytest.raises(TypeError, match=r"LinearOperator M with k >= N"):
            solver(A.toarray(), k=k, M=spla.aslinearoperator(A))


@pytest.mark.parametrize("which", ["sa", "LX", "", "LR", "LA"])
def test_which_typos(which):
    for solver in (ka.eigs, ka.eigsh):
        if (solver is ka.eigs) == (which == "LA") or which not in ("LR", "LA"):
            for call in (
                lambda solver=solver: solver(S, which=which),
                lambda solver=solver: traced(solver, S, which=which),
            ):
                with pytest.raises(ValueError, match="which must be one of"):
                    call()


def test_wrong_shapes_of_M_OPinv_and_v0():
    for call in (lambda **kw: ka.eigsh(S, **kw), lambda **kw: traced(ka.eigsh, S, **kw)):
        with pytest.raises(ValueError, match="wrong M dimensions"):
            call(k=2, M=onp.eye(N + 1))
    with pytest.raises(ValueError, match=r"wrong OPinv dimensions \(25, 25\)"):
        traced(ka.eigsh, S, k=2, sigma=0.1, OPinv=onp.eye(N + 1))
    with pytest.raises(ValueError, match="OPinv should not be specified with sigma = None"):
        traced(ka.eigsh, S, k=2, OPinv=EYE)
    with pytest.raises(ValueError, match="OPinv"):
        ka.eigs(S, k=2, OPinv=EYE)
    with pytest.raises(ValueError, match="unrecognized mode"):
        traced(ka.eigsh, S, k=2, sigma=0.1, mode="bucking")
    for solver in (ka.eigs, ka.eigsh):
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            solver(S, k=2, sgima=0.1)


# ---- Adjoint -------------------------------------------------------------------------------


def test_adjoint_options():
    with pytest.raises(TypeError, match="unexpected keyword argument 'rtoll'"):
        ka.Adjoint(rtoll=1e-3)
    for name, value in (
        ("method", "minress"), ("on_gauge", "warning"), ("on_failure", None), ("rtol", 1.0), ("rtol", -1e-3),
        ("rtol", onp.nan), ("cluster_tol", 2.0), ("maxiter", 0), ("maxiter", 2.5), ("restart", -1),
        ("preconditioner", 3.0), ("callback", "print"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=rf"Adjoint\({name}=.*expected"):
            ka.Adjoint(**{name: value})
    for name in ("maxiter", "rtol", "cluster_tol"):
        with pytest.raises((TypeError, ValueError), match=rf"Adjoint\({name}='many'"):
            ka.Adjoint(**{name: "many"})
    with pytest.raises(AttributeError):
        ka.Adjoint().rtol = 1e-3
    for wrong in ({"rtol": 1e-3}, "gmres", ka.Adjoint):
        for call in (lambda w=wrong: ka.eigsh(S, adjoint=w), lambda w=wrong: traced(ka.eigs, S, k=2, adjoint=w)):
            with pytest.raises(TypeError, match=r"adjoint must be krylov_adj.Adjoint"):
                call()


def test_maxiter_of_one_raises_with_the_residuals():
    """For every iterative method; the residuals are those of the systems, well above rtol."""
    for solver, methods in ((ka.eigsh, ("minres", "gmres")), (ka.eigs, ("gmres",))):
        for method in methods:
            with pytest.raises(ka.AdjointNoConvergence, match=r"did not converge.*It may be that \(a\)") as caught:
                traced(solver, K + K.T, k=2, adjoint=ka.Adjoint(method=method, maxiter=1, restart=1))
            report = caught.value.report
            assert not report.converged
            assert report.stage == "adjoint"
            assert report.residuals.shape == (2,)
            assert report.residuals[0] > 1e-3
            assert report.iterations <= 2
            assert f"{report.residuals[0]:.1e}" in str(caught.value)
    with pytest.warns(RuntimeWarning, match="did not converge"):
        traced(ka.eigsh, S, k=2, adjoint=ka.Adjoint(method="minres", maxiter=1, on_failure="warn"))


def test_minres_is_for_hermitian_problems_and_definite_preconditioners():
    with pytest.raises(ValueError, match=r"minres.*Hermitian problems.*gmres"):
        traced(ka.eigs, K, k=2, adjoint=ka.Adjoint(method="minres"))
    with pytest.raises(ValueError, match=r"MINRES is not positive definite.*gmres"):
        traced(ka.eigsh, S, k=2, adjoint=ka.Adjoint(method="minres", preconditioner=lambda V: S @ V))
    with pytest.raises(ValueError, match=r"preconditioner returned shape \(3,\)"):
        traced(ka.eigsh, S, k=2, adjoint=ka.Adjoint(method="gmres", preconditioner=lambda V: onp.ones(3)))


# ---- what operators return -----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("value", [onp.nan, onp.inf])
@pytest.mark.parametrize("solver", [ka.eigs, ka.eigsh])
@pytest.mark.parametrize("method", ["gmres", "dense"])
def test_not_finite(solver, value, method):
    state = {"bad": True}

    def A(p):
        def apply(v):  # the adjoint as well, which may be all that a derivative needs
            return np.dot(S, v) + p * v + (value if state["bad"] else 0)

        return ka.LinearOperator((N, N), apply, apply, dtype=float)

    def f(p):
        w, X = solver(A(p), k=2, v0=V0, adjoint=ka.Adjoint(method=method))
        return np.sum(np.abs(X[:, 0]) ** 4)

    with pytest.raises(ValueError, match=r"returned NaN or infinity.*\(b\) a division by zero"):
        grad(f)(0.0)
    state["bad"] = False
    vjp, _ = make_vjp(f)(0.0)
    state["bad"] = True
    with pytest.raises(ValueError, match=r"returned NaN or infinity"):
        vjp(1.0)


def test_a_loss_that_is_not_finite_is_named():
    def f(p):
        w, X = ka.eigsh(S + p * EYE, k=2, v0=V0)
        return np.sum(X[:, 0]) / (w[0] - w[0])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, of the division
        with pytest.raises(ValueError, match=r"the loss, or its derivative .* is not finite here"):
            grad(f)(0.0)


def test_complex_values_where_real_ones_were_promised():
    with pytest.raises(TypeError, match=r"complex values from an operator of dtype float64.*dtype=complex"):
        traced(ka.eigsh, lambda p: ka.LinearOperator((N, N), lambda v: np.dot(S + 1j * p, v + 0j), dtype=float), k=2)
    with pytest.raises(ValueError, match=r"not Hermitian"):
        traced(ka.eigsh, S + 1j * G @ G.T, k=2)  # complex symmetric


@pytest.mark.parametrize("method", ["dense", "minres", "gmres"])
def test_a_false_claim_of_symmetry(method):
    """A x = w x holds exactly, so no residual of the pair shows that A is not symmetric."""
    A = onp.diag(onp.arange(1.0, N + 1)) + 0.3 * onp.triu(onp.ones((N, N)), 1)
    options = ka.Adjoint(method=method)

    def f(p, vectors):
        w, X = ka.attach_eigenpairs(A + p * S, onp.ones(1), EYE[:, :1], hermitian=True, adjoint=options)
        return w[0] + (np.sum(X[:, 0] ** 4) if vectors else 0)

    for vectors in (False, True):
        with pytest.raises((ValueError, ka.AdjointNoConvergence), match="Hermitian"):
            grad(f)(0.0, vectors)
    with pytest.raises(ValueError, match=r"not Hermitian"):
        traced(ka.eigsh, K, k=2, adjoint=options)
    with pytest.raises(ValueError, match=r"not Hermitian: A y and Aᴴ y differ"):
        ka.check_operator(A, hermitian=True)


@pytest.mark.parametrize("method", ["dense", "gmres"])
@pytest.mark.parametrize("wrong", ["the operator itself", "without the parameter"])
def test_an_rmatvec_that_is_not_the_adjoint(method, wrong):
    """No error of the pair shows it; the gradient would be wrong in silence."""
    p0 = 0.3

    def A(p):
        if wrong == "the operator itself":
            return operator(K + p * S, rmatvec=lambda v: np.dot(K + p * S, v))
        return operator(K + p * S, rmatvec=lambda v: np.dot(K.T, v))

    with pytest.raises(ValueError, match=r"the adjoint is wrong: ⟨y, A x⟩ and ⟨Aᴴ y, x⟩ differ by .*rmatvec"):
        ka.check_operator(A(p0))
    with pytest.raises((ValueError, ka.AdjointNoConvergence), match=r"rmatvec|adjoint"):
        traced(ka.eigs, lambda p: A(p0 + p), k=2, which="LR", adjoint=ka.Adjoint(method=method))


# ---- M -------------------------------------------------------------------------------------

SPD = EYE + 0.1 * G @ G.T / N
INDEFINITE = EYE.copy()
INDEFINITE[0, 1] = INDEFINITE[1, 0] = 2.0  # a positive diagonal
MASSES = {
    "negative diagonal": onp.diag(onp.r_[-1.0, onp.arange(2.0, N + 1)]),
    "indefinite": INDEFINITE,
    "not symmetric": EYE + onp.eye(N, k=1),
}
STIFFNESS = onp.diag(onp.arange(1.0, N + 1)) + 0.1 * S


MATRIX_FREE = (spla.aslinearoperator, operator)
# Untraced, matrix-free and without vectors there is nothing to check but symmetry.
SEEN = [
    (name, form, tracing, vectors)
    for name in MASSES
    for form in (onp.asarray, sp.csr_array, *MATRIX_FREE)
    for tracing in (False, True)
    for vectors in (False, True)
    if form not in MATRIX_FREE or tracing or vectors or name == "not symmetric"
]


@pytest.mark.parametrize("sigma", [None, 0.3])
@pytest.mark.parametrize(("name", "form", "tracing", "vectors"), SEEN)
@pytest.mark.parametrize("solver", [ka.eigs, ka.eigsh])
def test_M_that_is_not_positive_definite(solver, name, form, sigma, tracing, vectors):
    """An error, or (`eigs` with sigma, as documented) the right eigenvalues; never SciPy's wrong ones."""
    M = MASSES[name]
    kwargs = {"k": 2, "M": form(M), "sigma": sigma}
    matrix_free = form in MATRIX_FREE
    if matrix_free:
        inverse = spla.aslinearoperator(onp.linalg.inv(M if sigma is None else STIFFNESS - sigma * M))
        kwargs["Minv" if sigma is None else "OPinv"] = inverse
    values = []

    def f(p):
        found = solver(STIFFNESS + p * EYE if tracing else STIFFNESS, v0=V0, return_eigenvectors=vectors, **kwargs)
        w = found[0] if vectors else found
        values.append(getval(w))
        return np.real(w[0])

    def call():
        return grad(f)(0.0) if tracing else f(0.0)

    right = solver is ka.eigs and sigma is not None
    if right and not matrix_free:
        call()
    else:
        try:
            call()
        except ValueError as error:
            message = str(error)
        else:
            assert right, "no error"
            message = None
        if message is not None:
            # Of a traced call for the values only: what SciPy then finds does not match the vectors.
            unmatched = "SciPy selects other eigenvalues" in message and tracing and not vectors
            assert unmatched or "M is not Hermitian positive definite" in message
            return
    true = la.eigvals(STIFFNESS, M)
    nearest = true[onp.argsort(onp.abs(true - sigma))][:2]
    onp.testing.assert_allclose(onp.sort_complex(values[0]), onp.sort_complex(nearest), rtol=1e-9)


# ---- attach_eigenpairs ---------------------------------------------------------------------

W, X = onp.linalg.eigh(S)
PAIRS = W[:2], X[:, :2]


def test_attach_accepts_what_is_right():
    """The calls that the errors below are variations of."""
    w, V = ka.attach_eigenpairs(S, *PAIRS, hermitian=True)
    onp.testing.assert_array_equal(w, W[:2])
    onp.testing.assert_array_equal(V, X[:, :2])
    wm, Xm = la.eigh(S, SPD)
    ka.attach_eigenpairs(S, wm[:2], Xm[:, :2], M=SPD, hermitian=True)
    ka.attach_eigenpairs(S, wm[:2], Xm[:, :2] / onp.linalg.norm(Xm[:, :2], axis=0), M=SPD, normalization="2")
    ka.attach_eigenpairs(S, W[:2] * (1 + 1e-5), X[:, :2], hermitian=True, rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"w": W[:2] + 0.1}, r"residuals.*\{0: .*1: .*\} exceed 1.5e-08: these are not eigenpairs"),
        ({"w": W[1:3]}, "these are not eigenpairs"),
        ({"w": W[:2] * (1 + 1e-5)}, r"admit them with rtol"),
        ({"X": X[:, [0, 2]]}, r"pairs \{1: .*not eigenpairs"),
        ({"X": X[:, [0, 0]], "w": W[[0, 0]]}, "linearly dependent"),
        ({"X": 2 * X[:, :2]}, r"not normalised: XᴴX deviates from one by 3.0e\+00"),
        ({"X": X[:, :2] * 1e-9}, "not normalised"),
        ({"X": onp.zeros((N, 2))}, "not normalised|not eigenpairs"),
        ({"X": X[:, :2].T}, r"expected w of shape \(k,\) and X of shape \(24, k\).*got \(2,\) and \(2, 24\)"),
        ({"X": X[:, 0]}, r"got \(2,\) and \(24,\)"),
        ({"w": W[:3]}, r"got \(3,\) and \(24, 2\)"),
        ({"w": W[:0], "X": X[:, :0]}, r"\b(k|w|pairs?)\b"),
        ({"w": onp.array([W[0], onp.nan])}, "w or X holds NaN or infinity"),
        ({"X": X[:, :2] * onp.inf}, "w or X holds NaN or infinity"),
        ({"w": W[:2] + 1e-3j}, "hermitian=True, but eigenvalues have imaginary parts up to 1.0e-03"),
        ({"normalization": "M"}, r"normalization='M'.*only where M is given"),
        ({"normalization": "max"}, r"normalization='max': expected one of"),
        ({"M": SPD}, "not normalised: XᴴMX"),
        ({"M": EYE[1:]}, r"wrong M dimensions"),
        ({"A": S[1:]}, "expected square matrix"),
        ({"A": S + 0.1 * onp.triu(G)}, "not eigenpairs.*not Hermitian"),
        ({"OPinv": EYE}, "OPinv should not be specified with sigma = None"),
        ({"sigma": 0.1, "OPinv": onp.eye(N + 1)}, "wrong OPinv dimensions"),
        ({"rtol": -1.0}, "rtol"),
        ({"adjoint": {"method": "gmres"}}, "adjoint must be krylov_adj.Adjoint"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_attach_refuses(changes, match):
    arguments = {"A": S, "w": PAIRS[0], "X": PAIRS[1], "hermitian": True} | changes
    with pytest.raises((ValueError, TypeError), match=match):
        ka.attach_eigenpairs(**arguments)


def test_attach_refuses_an_eigenvalue_wrong_by_a_factor():
    """However large the norm of A is: here M's derivative multiplies the wrong value."""
    A = onp.diag(onp.r_[1e-3, 1e6 * onp.arange(1.0, N)])
    with pytest.raises(ValueError, match="not eigenpairs"):
        ka.attach_eigenpairs(A, onp.array([2e-3]), EYE[:, :1], hermitian=True)


def test_attach_of_integers_and_of_real_vectors_with_a_complex_operator():
    """Types that other solvers, or a diagonal A, give."""
    A = onp.diag(onp.arange(1.0, N + 1))
    H = S + 1j * (G - G.T)

    def f(p, w, X, P):
        w, X = ka.attach_eigenpairs(A + p * P, w, X, hermitian=True)
        return w[0] + np.real(np.sum(np.conj(X[:, 0]) * np.dot(H, X[:, 0] + 0j)))

    for P in (S, H):
        expected = P[0, 0].real + 2 * onp.sum((H[0, 1:] * P[1:, 0] / (1 - onp.arange(2.0, N + 1))).real)
        for w, X in (([1.0], EYE[:, :1]), (onp.array([1]), EYE[:, :1].astype(int))):
            onp.testing.assert_allclose(grad(f)(0.0, w, X, P), expected, rtol=1e-10)


# ---- where there is no derivative, or no convergence ---------------------------------------


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("n", [12, 260])
def test_a_defective_eigenvalue(n, k):
    """[[1, 1], [e, 1]] embedded: 1 / (2 sqrt e), at e = 0 an error. By the dense and by an iterative
    method. ARPACK splits the eigenvalue by the root of the machine precision."""
    A, E = onp.diag(onp.r_[5.0, 5.0, onp.linspace(-1, 1, n - 2)]), onp.zeros((n, n))
    A[0, 1] = E[1, 0] = 1.0

    def f(e):
        return np.real(ka.eigs(A + e * E, k=k, which="LR", v0=onp.ones(n))[0][0])

    for e, rtol in ((1e-4, 1e-8), (1e-8, 1e-5)):
        onp.testing.assert_allclose(grad(f)(e), 0.5 / onp.sqrt(e), rtol=rtol)
    with pytest.warns(ka.DegeneracyWarning, match="nearly defective"):
        onp.testing.assert_allclose(grad(f)(1e-12), 0.5 / onp.sqrt(1e-12), rtol=1e-2)
    with pytest.raises(ka.DefectiveEigenvalueError, match=r"defective.*condition number.*Jordan block"):
        grad(f)(0.0)


@pytest.mark.parametrize(
    ("solver", "method"),
    [(ka.eigs, "dense"), (ka.eigs, "gmres"), (ka.eigsh, "dense"), (ka.eigsh, "minres"), (ka.eigsh, "gmres")],
)
def test_a_cluster_cut_at_k(solver, method):
    """An error that names k and the remedy, by every method."""
    Q = onp.linalg.qr(G)[0]
    A = Q @ onp.diag(onp.r_[0.5, 0.5, onp.arange(2.0, N)]) @ Q.T

    def f(p):
        which = "SR" if solver is ka.eigs else "SA"
        w, X = solver(0.5 * (A + A.T) + p * S, k=1, which=which, v0=V0, adjoint=ka.Adjoint(method=method))
        return np.sum(np.abs(X[:, 0]) ** 4)

    with pytest.raises(ka.AdjointNoConvergence, match=r"cluster.*increase k"):
        grad(f)(0.0)


@pytest.mark.parametrize("solver", [ka.eigs, ka.eigsh])
def test_forward_no_convergence_carries_partial_results(solver):
    n = 400
    A = onp.diag(onp.r_[onp.linspace(0, 1, n - 1), 5.0])

    def f(p):
        return np.real(solver(A + p * onp.eye(n), k=3, maxiter=2, v0=onp.ones(n))[0][0])

    assert ka.EigenNoConvergence is spla.ArpackNoConvergence
    for call in (lambda: grad(f)(0.0), lambda: f(0.0)):
        with pytest.raises(ka.EigenNoConvergence, match="No convergence") as caught:
            call()
        onp.testing.assert_allclose(caught.value.eigenvalues, [5.0], rtol=1e-10)
        onp.testing.assert_allclose(onp.abs(caught.value.eigenvectors[-1]), [1.0], rtol=1e-10)


def test_a_complex_sigma_of_a_real_matrix_made_complex_finds_the_nearest():
    """Of the real matrix SciPy ranks by the real part of (A − σ)⁻¹, and takes another one for some."""
    others = 0
    for seed in range(20):
        A = onp.random.default_rng(seed).standard_normal((60, 60))
        w, sigma, v0 = la.eigvals(A), 0.5 + 1j, onp.ones(60)
        nearest = w[onp.argmin(abs(w - sigma))]
        for complex_A in (A + 0j, ka.aslinearoperator(A) * (1 + 0j)):
            onp.testing.assert_allclose(ka.eigs(complex_A, k=1, sigma=sigma, v0=v0 + 0j)[0][0], nearest, rtol=1e-9)
        others += abs(ka.eigs(A, k=1, sigma=sigma, v0=v0)[0][0] - nearest) > 1e-6
    assert others > 0


@pytest.mark.parametrize("solver", [ka.eigs, ka.eigsh])
@pytest.mark.parametrize("make", [lambda M: M, ka.aslinearoperator])
def test_a_complex_start_of_a_real_problem_is_refused(solver, make):
    """SciPy drops the imaginary part."""
    matrix = onp.diag(onp.arange(1.0, 9.0))
    with pytest.raises(ValueError, match=r"v0 is complex, and A and M are real.*A \+ 0j, or A \* \(1 \+ 0j\)"):
        solver(make(matrix), k=1, v0=onp.ones(8) * 1j)
    solver(make(matrix) * (1 + 0j), k=1, v0=onp.ones(8) * 1j)
