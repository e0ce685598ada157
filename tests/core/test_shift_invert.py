"""The factorisation behind ``sigma``: its ordering, what makes it fall back, and when it is freed."""

import gc
import weakref

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad, make_vjp

import krylov_adj as ka
from krylov_adj.krylov import factors as shift_invert
from krylov_adj.perturbation.selection import ranking

RNG = onp.random.default_rng(0)
EYE = sp.eye(24, format="csr")
D2 = sp.diags([-onp.ones(23), 2 * onp.ones(24), -onp.ones(23)], offsets=[-1, 0, 1]).tocsr()
D1 = sp.diags([-onp.ones(23), onp.ones(23)], offsets=[-1, 1]).tocsr()
LAPLACIAN = sp.kron(D2, EYE) + sp.kron(EYE, D2) + sp.diags(0.3 * RNG.random(576))
HOP = sp.kron(sp.diags([onp.ones(23)], offsets=[1], shape=(24, 24)), sp.diags(onp.exp(0.7j * onp.arange(24))))
MAGNETIC = HOP + HOP.conj().T + sp.kron(EYE, D2) + sp.diags(0.3 * RNG.random(576))
FLOW = LAPLACIAN + 0.4 * sp.kron(D1, EYE) + 0.3 * sp.kron(EYE, D1)
MASS = sp.kron(sp.eye(24) * 2 / 3 - D2 / 12 + EYE / 2, EYE).tocsr()


def path(m):
    return sp.diags([onp.ones(m - 1), onp.ones(m - 1)], offsets=[-1, 1])


ADJACENCY = (sp.kron(path(18), sp.eye(32)) + sp.kron(sp.eye(18), path(32))).tocsr()

# matrix, M, sigma, dtype of the factors, factorisations made, refined
CASES = {
    "definite": (LAPLACIAN, None, -0.1, "d", 1, False),
    "definite, M": (LAPLACIAN, MASS, -0.1, "d", 1, False),
    "single": (LAPLACIAN.astype("f"), None, -0.1, "f", 1, False),
    "interior": (LAPLACIAN, None, 3.71, "d", 1, True),
    "complex Hermitian, interior": (MAGNETIC, None, 1.37, "D", 1, True),
    "complex sigma": (LAPLACIAN, None, 3.71 + 0.1j, "D", 1, False),
    "symmetric pattern": (FLOW, None, -0.1, "d", 1, False),
    # Eliminating a 1 next to a 1 leaves a pivot of zero, or of rounding.
    "zero pivots": (ADJACENCY, None, 1.0, "d", 2, False),
    "tiny pivots": (ADJACENCY, None, 1.0 + 1e-13, "d", 2, False),
    "zero diagonal": (ADJACENCY + sp.diags(onp.r_[0.0, onp.full(575, 4.5)]), None, 0.0, "d", 1, False),
    "any pattern": (LAPLACIAN + 0.1 * sp.random(576, 576, density=0.002, random_state=RNG), None, -0.1, "d", 1, False),
}


@pytest.fixture
def factorisations(monkeypatch):
    """The keyword arguments, and weak references to the results, of every call of SuperLU."""

    class Factors:
        def __init__(self, lu):
            self._lu, self.solves = lu, 0

        def solve(self, *arguments):
            self.solves += 1
            return self._lu.solve(*arguments)

    calls, splu = [], spla.splu

    def recorded(K, **options):
        factors = Factors(splu(K, **options))
        calls.append((options, weakref.ref(factors)))
        return factors

    monkeypatch.setattr(shift_invert.spla, "splu", recorded)
    return calls


@pytest.mark.parametrize("name", CASES)
def test_the_inverse(name, factorisations):
    """Accurate like SuperLU's own, by the ordering that the matrix deserves."""
    A, M, sigma, dtype, count, refined = CASES[name]
    K = (A - sigma * (sp.eye(576) if M is None else M)).toarray().astype(dtype)
    apply, apply_adjoint, found = shift_invert.factorise(A, M, sigma)
    assert found == onp.dtype(dtype)
    symmetric = name not in ("zero diagonal", "any pattern")
    assert [options.get("permc_spec") == "MMD_AT_PLUS_A" for options, _ in factorisations] == [
        symmetric,
        *[False] * (count - 1),
    ]
    in_use = factorisations[-1][1]()
    in_use.solves = 0
    V = RNG.standard_normal((576, 3)).astype(dtype)
    eps = onp.finfo(dtype).eps
    for solve, matrix in ((apply, K), (apply_adjoint, K.conj().T)):
        X = solve(V)
        assert X.dtype == onp.dtype(dtype)
        error = onp.abs(V - matrix @ X) / (onp.abs(matrix) @ onp.abs(X) + onp.abs(V))
        assert onp.max(error) <= 500 * eps
    assert in_use.solves == (4 if refined else 2)
    if onp.dtype(dtype).kind != "c":
        onp.testing.assert_allclose(apply(1j * V), 1j * apply(V))


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("shape", [(200,), (200, 3)])
def test_hermitian_factors_serve_for_their_adjoint(shape, dense):
    """Conjugated, not transposed; for real and for complex right-hand sides."""
    K = sp.diags([RNG.standard_normal(199) + 1j * RNG.standard_normal(199)], offsets=[1], shape=(200, 200))
    K = sp.csc_array(K + K.conj().T + sp.diags(onp.linspace(6, 9, 200)))
    K = K.toarray() if dense else K
    apply, apply_adjoint, _ = shift_invert.factorise(K, None, 0.5, hermitian=True)
    for v in (RNG.standard_normal(shape), RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)):
        for solve in (apply, apply_adjoint):
            x = solve(v)
            onp.testing.assert_allclose(K @ x - 0.5 * x, v, atol=1e-12)


@pytest.mark.parametrize("name", ["definite", "symmetric pattern"])
def test_the_ordering_saves_fill(name):
    K = sp.csc_array(CASES[name][0])
    options = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
    assert spla.splu(K, **options).nnz < 0.75 * spla.splu(K).nnz


def test_a_singular_matrix_is_an_error():
    with pytest.raises(RuntimeError, match="singular"):
        shift_invert.factorise(sp.diags(onp.r_[1.0, 0.0, 1.0]).tocsc(), None, 0.0)
    with pytest.raises(RuntimeError, match="singular"):  # for either order of pivots
        shift_invert.factorise(sp.csc_array(onp.ones((3, 3))), None, 0.0)


DIAGONAL = onp.arange(576)
V0 = onp.ones(576)


def levels(A, solver, sigma, **arguments):
    """p to a loss of the pairs of A + diag(p)."""

    def f(p):
        operator = ka.aslinearoperator(A) + ka.coo_array((p, (DIAGONAL, DIAGONAL)), shape=A.shape)
        w, X = solver(operator, k=3, sigma=sigma, v0=V0, **arguments)
        return np.sum(np.real(w)) + np.sum(np.abs(X[:, 0]) ** 4)

    return f


@pytest.mark.parametrize(
    ("A", "solver", "sigma"),
    [(LAPLACIAN, "eigsh", -0.1), (LAPLACIAN, "eigsh", 3.71), (MAGNETIC, "eigsh", 1.37), (FLOW, "eigs", -0.1)],
)
def test_traced_and_untraced_results_agree(A, solver, sigma, factorisations):
    """The untraced call is SciPy's to the bit, in our order; the traced one has the same pairs to rounding."""
    A = sp.csr_array(A)
    w, X = getattr(spla, solver)(A, k=3, sigma=sigma, v0=V0)
    order = onp.argsort(w) if solver == "eigsh" else onp.argsort(abs(w - sigma))
    expected = w[order], X[:, order]
    factorisations.clear()
    plain = getattr(ka, solver)(A, k=3, sigma=sigma, v0=V0)
    assert [options.get("permc_spec") for options, _ in factorisations] == [None] * len(factorisations)
    for found, value in zip(plain, expected, strict=True):
        onp.testing.assert_array_equal(found, value)
    values = []

    def f(p):
        w, X = getattr(ka, solver)(ka.aslinearoperator(A) * p, k=3, sigma=sigma, v0=V0)
        values.append((onp.sort(onp.real(w._value)), np.abs(X._value) ** 2))
        return np.sum(np.real(w))

    grad(f)(1.0)
    onp.testing.assert_allclose(values[0][0], onp.sort(expected[0].real), rtol=1e-10)
    onp.testing.assert_allclose(values[0][1].sum(axis=1), (abs(expected[1]) ** 2).sum(axis=1), rtol=1e-8, atol=1e-12)
    assert factorisations[-1][0]["permc_spec"] == "MMD_AT_PLUS_A"


def test_an_inverse_of_ones_own_replaces_it(factorisations):
    """The way to turn the ordering off."""
    A = sp.csc_array(LAPLACIAN)
    lu = spla.splu(A + 0.1 * sp.eye(576))
    factorisations.clear()
    own = ka.LinearOperator(A.shape, lambda v: lu.solve(v), dtype=float)
    ours = grad(levels(A, ka.eigsh, -0.1))(onp.zeros(576))
    assert len(factorisations) == 1
    theirs = grad(levels(A, ka.eigsh, -0.1, OPinv=own))(onp.zeros(576))
    assert len(factorisations) == 1
    onp.testing.assert_allclose(theirs, ours, atol=1e-9 * onp.max(onp.abs(ours)))


@pytest.mark.parametrize("A", [LAPLACIAN, FLOW])
def test_factors_serve_both_passes_and_are_freed_with_the_tape(A, factorisations):
    solver = ka.eigsh if A is LAPLACIAN else ka.eigs
    gc.collect()
    gc.disable()
    try:
        vjp, _ = make_vjp(levels(sp.csr_array(A), solver, -0.1))(onp.zeros(576))
        ((_, factors),) = factorisations
        forward = factors().solves
        vjp(1.0)
        assert len(factorisations) == 1
        assert factors().solves > forward
        del vjp
        assert factors() is None
    finally:
        gc.enable()


# ---- a shift within rounding of an eigenvalue ----------------------------------------------------


def banded(n, dtype, hermitian, seed=1):
    rng = onp.random.default_rng(seed)
    band = onp.abs(onp.subtract.outer(onp.arange(n), onp.arange(n))) <= 3
    B = 0.3 * band * (rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if dtype is complex else 0))
    C = 0.1 * band * rng.standard_normal((n, n))
    return onp.diag(onp.linspace(4, 12, n)) + (0.5 * (B + B.conj().T) if hermitian else B), onp.eye(n) + C @ C.T


def near_an_eigenvalue(solver, A, M, sigma):
    n, weights = A.shape[0], onp.cos(onp.arange(A.shape[0]))[:, None]

    def f(p):
        w, X = solver(sp_plus(A, p), k=3, M=sp.csr_array(M), sigma=sigma, v0=onp.ones(n))
        return np.sum(np.real(w)) + np.sum(weights * np.abs(X) ** 2)

    return f(onp.zeros(n)), grad(f)(onp.zeros(n))


def sp_plus(A, p):
    return ka.aslinearoperator(sp.csr_array(A)) + ka.diags_array([p], offsets=[0])


@pytest.mark.parametrize("delta", [0.0, 2e-16, -4e-16, 3e-14, 1e-12])
@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("n", [40, 260])
def test_hermitian_pairs_of_a_shift_next_to_an_eigenvalue(n, dtype, delta):
    A, M = banded(n, dtype, True)
    lowest = la.eigvalsh(A, M)[0]
    value, gradient = near_an_eigenvalue(ka.eigsh, A, M, lowest * (1 + delta))
    expected, expected_gradient = near_an_eigenvalue(ka.eigsh, A, M, lowest * (1 - 1e-4))
    onp.testing.assert_allclose(value, expected, rtol=1e-9)
    onp.testing.assert_allclose(gradient, expected_gradient, atol=1e-6 * la.norm(expected_gradient))


@pytest.mark.parametrize("hermitian", [True, False])
def test_a_shift_that_is_an_eigenvalue_to_the_last_bit(hermitian):
    """Nothing divides by w − σ; the inverse is one at a shift next to it."""
    A, _ = banded(260, complex, hermitian)
    w, X = la.eigh(A) if hermitian else la.eig(A)
    first = onp.argsort(w.real)[:3]
    w, X = w[first], X[:, first]
    K = la.inv(A - (w[0] + 1e-12) * onp.eye(260))
    inverse = ka.LinearOperator(A.shape, lambda v: K @ v, lambda v: K.conj().T @ v, dtype=complex)

    def gradient(of_vectors, **place):
        def f(p):
            values, vectors = ka.attach_eigenpairs(sp_plus(A, p), w, X, hermitian=hermitian, **place)
            of_values = np.sum(np.real(values))
            return of_values + np.sum(onp.arange(260.0)[:, None] * np.abs(vectors) ** 2) if of_vectors else of_values

        return grad(f)(onp.zeros(260))

    for of_vectors in (True, False):
        expected = gradient(of_vectors, sigma=w[0] + 0.01)
        got = gradient(of_vectors, sigma=w[0], OPinv=inverse)
        onp.testing.assert_allclose(got, expected, atol=1e-7 * la.norm(expected))


@pytest.mark.parametrize("dtype", ["float64", "complex128", "complex64"])
def test_the_order_of_values_next_to_their_shift(dtype):
    """One that is the shift to the last bit comes first, and nothing is divided by zero."""
    arguments = {"sigma": 5.0, "which": "LM", "mode": "normal", "OPpart": None}
    values = onp.array([2.0, 5.0, 3.0, 9.0, 5.0000001]).astype(dtype)
    order = ranking(dtype == "float64", False, True, **arguments).most_wanted_first(values)
    onp.testing.assert_array_equal(order, [1, 4, 2, 0, 3])


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize("mass", [True, False])
@pytest.mark.parametrize("dtype", [float, complex])
def test_what_such_a_shift_has_spoiled_is_refused(dtype, mass, traced):
    """Of a problem that is not Hermitian: SciPy returns it."""
    A, M = banded(40, dtype, False)
    w = la.eigvals(A, M if mass else None)
    sigma = w[onp.argmin(abs(w))] * (1 + 1e-15)
    arguments = {"k": 3, "M": sp.csr_array(M) if mass else None, "sigma": sigma, "v0": onp.ones(40)}
    theirs, X = spla.eigs(sp.csr_array(A), **arguments)
    assert onp.max(la.norm(A @ X - (M @ X if mass else X) * theirs, axis=0)) > 1e-6
    calls = [lambda: ka.eigs(sp_plus(A, onp.zeros(40)), **arguments)]
    calls += [lambda: ka.eigs(sp.csr_array(A), return_eigenvectors=False, **arguments)]
    if traced:
        calls = [lambda: grad(lambda p: np.sum(np.real(ka.eigs(sp_plus(A, p), **arguments)[0])))(onp.zeros(40))]
    for call in calls:
        with pytest.raises(ValueError, match=r"sigma lies within rounding of an eigenvalue.*move it"):
            call()


@pytest.mark.parametrize("form", ["csc", "csr"])
def test_the_matrix_that_is_factorised_is_left_as_it_is(form):
    """With sigma = 0, where nothing is subtracted: zeros and duplicates that it stores stay stored."""
    rows, columns = [0, 1, 1, 2, 2, 0, 2], [0, 1, 1, 2, 0, 2, 1]
    A = sp.coo_array(([4.0, 1.0, 2.0, 5.0, 1.0, 2.0, 0.0], (rows, columns)), shape=(3, 3))
    given = sp.csc_array((3, 3)) if form == "csc" else sp.csr_array((3, 3))
    given.data, given.indices = onp.array([4.0, 1.0, 1.0, 2.0, 0.0, 2.0, 5.0]), onp.array([0, 2, 1, 1, 2, 0, 2])
    given.indptr = onp.array([0, 2, 5, 7])
    data, indices, dense = given.data.copy(), given.indices.copy(), A.toarray() if form == "csc" else A.toarray().T
    apply, adjoint, _ = shift_invert.factorise(given, None, 0.0)
    onp.testing.assert_allclose(apply(onp.arange(3.0)), onp.linalg.solve(dense, onp.arange(3.0)), rtol=1e-13)
    onp.testing.assert_allclose(adjoint(onp.arange(3.0)), onp.linalg.solve(dense.T, onp.arange(3.0)), rtol=1e-13)
    onp.testing.assert_array_equal(given.data, data)
    onp.testing.assert_array_equal(given.indices, indices)


def test_an_inverse_of_ours_has_its_own_adjoint():
    """The systems of a problem that is not Hermitian take as many steps with it as with SciPy's."""
    n, rng = 240, onp.random.default_rng(0)
    A = onp.diag(onp.arange(n) * 1.0) + 0.1 * onp.triu(rng.standard_normal((n, n)), 1)
    B, W = rng.standard_normal((n, n)) / n, rng.standard_normal(n)
    lu = la.lu_factor(A - 20.3 * onp.eye(n))
    functions = (lambda v: la.lu_solve(lu, v)), (lambda v: la.lu_solve(lu, v, trans=2))
    inverses = {
        "ours": ka.LinearOperator((n, n), *functions, dtype=float),
        "SciPy's": spla.LinearOperator((n, n), functions[0], rmatvec=functions[1], dtype=float),
    }
    found = {}
    for name, inverse in inverses.items():
        reports = []

        def f(t, inverse=inverse, reports=reports):
            def apply(v):
                return np.dot(A, v) + t * np.dot(B, v)

            def apply_adjoint(v):
                return np.dot(A.T, v) + t * np.dot(B.T, v)

            operator = ka.LinearOperator((n, n), apply, apply_adjoint, dtype=float)
            options = ka.Adjoint(callback=reports.append)
            w, X = ka.eigs(operator, k=2, sigma=20.3, OPinv=inverse, v0=onp.ones(n), adjoint=options)
            return np.real(w[0]) + np.sum(W * np.abs(X[:, 0]) ** 2)

        found[name] = grad(f)(0.0), reports[-1].method, reports[-1].iterations
    assert found["ours"] == found["SciPy's"]
    assert found["ours"][1] == "shared"
    assert found["ours"][2] < 20
