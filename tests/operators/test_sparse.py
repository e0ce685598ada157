"""Sparse operators with traced entries: against dense matrices, in both modes, to third order."""

import tracemalloc

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg
import scipy.sparse as sp
from autograd import grad, make_jvp

import krylov_adj as ka
from krylov_adj.forms.patterns import Pattern

# A pattern with everything that is legal: columns out of order, a place that is stored twice, an
# empty row, an explicit zero.
SHAPE = (5, 4)
ROW = onp.array([0, 0, 1, 1, 1, 3, 3, 4])
COL = onp.array([3, 0, 2, 1, 2, 0, 3, 1])
INDPTR = onp.array([0, 2, 5, 5, 7, 8])
BASIS = onp.zeros((8, *SHAPE))
BASIS[onp.arange(8), ROW, COL] = 1.0
PERMUTATION = onp.array([6, 2, 0, 7, 4, 1, 5, 3])

# Two elements in a row and a third one apart; one degree of freedom constrained.
DOFS = onp.array([[0, 1, 3], [3, -1, 2], [1, 0, 3]])


def csr(data):
    return ka.csr_array((data, COL, INDPTR), SHAPE)


def coo(data):
    return ka.coo_array((data, (ROW[PERMUTATION], COL[PERMUTATION])), SHAPE)


def assembled(data):
    return ka.assemble(np.reshape(data, (3, 3, 3)), DOFS, (5, 5))


def element_basis():
    basis = onp.zeros((27, 5, 5))
    for number, (e, i, j) in enumerate(onp.ndindex(3, 3, 3)):
        if DOFS[e, i] >= 0 and DOFS[e, j] >= 0:
            basis[number, DOFS[e, i], DOFS[e, j]] = 1.0
    return basis


#: form: how the operator is made of data, and the dense matrix of each datum
FORMS = {"csr": (csr, BASIS), "coo": (coo, BASIS[PERMUTATION]), "assemble": (assembled, element_basis())}
DTYPES = ("float32", "float64", "complex64", "complex128")


def random(shape, dtype, seed):
    rng = onp.random.default_rng(seed)
    values = rng.normal(size=shape) + (1j * rng.normal(size=shape) if onp.dtype(dtype).kind == "c" else 0)
    return values.astype(dtype)


def times(A, X):
    """A X of a dense traced matrix, by products and sums: autograd's dot mixes up real and complex."""
    return np.sum(A[:, :, None] * X[None, :, :], axis=1) if X.ndim == 2 else np.sum(A * X[None, :], axis=1)


def dense(basis, data):
    return np.sum(basis.astype(onp.float32) * data[:, None, None], axis=0)


class Case:
    """One loss by the sparse operator and by the dense matrix, of data and vectors."""

    def __init__(self, form, dtype, x_dtype, columns):
        self.make, self.basis = FORMS[form]
        size, rows, cols = self.basis.shape
        tail = () if columns is None else (columns,)
        self.data = random(size, dtype, 0)
        if form == "csr":
            self.data[3] = 0  # explicit
        self.x = random((cols, *tail), x_dtype, 1)
        self.y = random((rows, *tail), x_dtype, 2)
        self.tangents = random(size, dtype, 3), random((cols, *tail), x_dtype, 4)
        self.weight = random((rows, *tail), x_dtype, 5)
        single = onp.result_type(dtype, x_dtype) in (onp.float32, onp.complex64)
        self.tolerance = {"rtol": 1e-4, "atol": 1e-4} if single else {"rtol": 1e-12, "atol": 1e-12}

    def loss(self, Ax, AHy):
        pairing = np.sum(np.real(Ax * self.weight))  # its square as a power would be of double precision in NumPy 1
        return pairing * pairing + np.sum(np.abs(AHy) ** 2) * np.sum(np.abs(Ax) ** 2)

    def sparse_loss(self, data, x):
        A = self.make(data)
        return self.loss(A @ x, A.H @ self.y)

    def dense_loss(self, data, x):
        A = dense(self.basis, data)
        return self.loss(times(A, x), times(np.conj(A).T, self.y))


def real_pairing(g, d):
    return np.sum(np.real(g * d))  # autograd's convention: df = Re Σ g dx


def slope(f):
    """Directional derivative along (d, e) as a function of (data, x), by reverse mode."""

    def directional(data, x, d, e):
        return real_pairing(grad(f, 0)(data, x), d) + real_pairing(grad(f, 1)(data, x), e)

    return directional


CASES = [
    (form, dtype, x_dtype, columns)
    for form in FORMS
    for dtype in DTYPES
    for x_dtype in DTYPES
    for columns in (None, 3)
    if onp.finfo(dtype).dtype == onp.finfo(x_dtype).dtype
]


@pytest.fixture(params=CASES, ids=lambda case: "-".join(map(str, case)))
def case(request):
    return Case(*request.param)


def test_products(case):
    A, D = case.make(case.data), dense(case.basis, case.data)
    for actual, expected in (
        (A @ case.x, D @ case.x),
        (A.H @ case.y, D.conj().T @ case.y),
        (A.T @ case.y, D.T @ case.y),
        (A.H.H @ case.x, D @ case.x),
        (A.explicit().toarray(), D),
    ):
        assert type(actual) is onp.ndarray
        assert actual.dtype == expected.dtype
        onp.testing.assert_allclose(actual, expected, **case.tolerance)
    assert isinstance(A, ka.LinearOperator)
    assert A.dtype == case.data.dtype


def test_gradients_in_data_and_vector(case):
    for argument, value in enumerate((case.data, case.x)):
        g = grad(case.sparse_loss, argument)(case.data, case.x)
        assert g.dtype == value.dtype
        assert g.shape == value.shape
        expected = grad(case.dense_loss, argument)(case.data, case.x)
        onp.testing.assert_allclose(g, expected, rtol=case.tolerance["rtol"], atol=case.tolerance["atol"] * 100)


DOUBLE = [case for case in CASES if case[1] in ("float64", "complex128")]


@pytest.mark.parametrize(("form", "dtype", "x_dtype", "columns"), DOUBLE)
def test_forward_mode_second_and_third_order(form, dtype, x_dtype, columns):
    case = Case(form, dtype, x_dtype, columns)
    d, e = case.tangents
    f, reference = case.sparse_loss, case.dense_loss

    def forward(f):
        """The directional derivative by forward mode."""
        return lambda data, x: make_jvp(lambda data: f(data, x))(data)(d)[1] + make_jvp(lambda x: f(data, x))(x)(e)[1]

    def reverse(f):
        return lambda data, x: slope(f)(data, x, d, e)

    first = slope(reference)(case.data, case.x, d, e)
    second = reverse(reverse(reference))(case.data, case.x)
    third = reverse(reverse(reverse(reference)))(case.data, case.x)
    onp.testing.assert_allclose(forward(f)(case.data, case.x), first, rtol=1e-12)
    for second_order in (reverse(reverse(f)), forward(reverse(f)), reverse(forward(f)), forward(forward(f))):
        onp.testing.assert_allclose(second_order(case.data, case.x), second, rtol=1e-11)
    onp.testing.assert_allclose(reverse(reverse(reverse(f)))(case.data, case.x), third, rtol=1e-11)


# ---- algebra -------------------------------------------------------------------------------


def square(data):
    return ka.csr_array((data, [1, 0, 1, 2, 0], [0, 1, 3, 5]), (3, 3))


SQUARE = onp.zeros((5, 3, 3))
SQUARE[onp.arange(5), [0, 1, 1, 2, 2], [1, 0, 1, 2, 0]] = 1.0
S = sp.csr_array(onp.array([[0.0, 2.0, 0.0], [1.0, 0.0, -3.0], [0.5, 0.0, 4.0]]))
ALGEBRA = {
    "A + A.T": (lambda A: A + A.T, lambda D: D + D.T),
    "A - S": (lambda A: A - S, lambda D: D - S.toarray()),
    "S + A": (lambda A: S + A, lambda D: D + S.toarray()),
    "S - A": (lambda A: S - A, lambda D: S.toarray() - D),
    "A @ S": (lambda A: A @ S, lambda D: np.dot(D, S.toarray())),
    "S @ A": (lambda A: S @ A, lambda D: np.dot(S.toarray(), D)),
    "A.H @ A": (lambda A: A.H @ A, lambda D: np.dot(D.T, D)),
    "2 A / 3": (lambda A: 2.0 * A / 3.0, lambda D: 2.0 * D / 3.0),
    "A ** 2": (lambda A: A**2, lambda D: np.dot(D, D)),
    "-A": (lambda A: -A, lambda D: -D),
}


@pytest.mark.parametrize("name", ALGEBRA)
def test_algebra(name):
    combine, expected = ALGEBRA[name]
    data, x = random(5, float, 0), random(3, float, 1)
    D = onp.tensordot(data, SQUARE, 1)
    onp.testing.assert_allclose(combine(square(data)) @ x, expected(D) @ x, rtol=1e-13)
    onp.testing.assert_allclose(combine(square(data)).explicit().toarray(), expected(D), rtol=1e-13)
    g = grad(lambda data: np.sum((combine(square(data)) @ x) ** 2))(data)
    reference = grad(lambda data: np.sum(np.dot(expected(dense(SQUARE, data)), x) ** 2))(data)
    onp.testing.assert_allclose(g, reference, rtol=1e-12)


def test_an_array_times_an_operator():
    data, X = random(5, float, 0), random((2, 3), float, 1)
    onp.testing.assert_allclose(X @ square(data), X @ onp.tensordot(data, SQUARE, 1), rtol=1e-13)


OPERATORS = {
    **{f"{form} {dtype}": FORMS[form][0](random(len(FORMS[form][1]), dtype, 0)) for form in FORMS for dtype in DTYPES},
    **{name: combine(square(random(5, complex, 0))) for name, (combine, _) in ALGEBRA.items()},
    "no entries": ka.csr_array(([], [], onp.zeros(4, int)), (3, 2)),
    "no elements": ka.assemble(onp.zeros((0, 2, 2)), onp.zeros((0, 2), int), (3, 3)),
    "integers": ka.coo_array((onp.arange(4), ([0, 1, 2, 0], [0, 1, 2, 2])), (3, 3)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_check_operator(name):
    assert "adjoint to" in ka.check_operator(OPERATORS[name])


def test_operators_without_rows_or_columns():
    for shape in ((0, 3), (3, 0)):
        A = ka.coo_array((onp.zeros(0), ([], [])), shape)
        assert (A @ onp.ones(shape[1])).shape == (shape[0],)
        assert (A.H @ onp.ones((shape[0], 2))).shape == (shape[1], 2)


# ---- values --------------------------------------------------------------------------------


def test_explicit_keeps_zeros_and_belongs_to_the_caller():
    data = onp.array([1.0, 0.0, 3.0, 4.0, 5.0])
    indices = onp.array([1, 1, 0, 2, 0])
    A = ka.csr_array((data, indices, [0, 1, 3, 5]), (3, 3))
    matrix = A.explicit()
    assert matrix.nnz == 5
    matrix.sort_indices()  # as SuperLU does, in place
    matrix.data[:] = 0
    onp.testing.assert_array_equal(data, [1, 0, 3, 4, 5])
    onp.testing.assert_array_equal(A @ onp.array([1.0, 10.0, 100.0]), [10, 3, 405])
    indices[:] = 0  # the pattern is the operator's own
    onp.testing.assert_array_equal(A @ onp.array([1.0, 10.0, 100.0]), [10, 3, 405])


def test_explicit_zeros_have_derivatives():
    x = onp.array([1.0, 2.0, 3.0, 4.0])
    g = grad(lambda data: np.sum(csr(data) @ x))(onp.zeros(8))
    onp.testing.assert_array_equal(g, x[COL])


def test_coo_and_assemble_store_each_place_once_in_order():
    for form, places in (("coo", 7), ("assemble", 12)):
        make, basis = FORMS[form]
        matrix = make(onp.ones(len(basis))).explicit()
        assert matrix.nnz == places
        assert matrix.has_canonical_format


def test_assembly_is_deterministic():
    rng = onp.random.default_rng(0)
    dofs = rng.integers(-1, 40, (500, 4))
    K = rng.normal(size=(500, 4, 4))
    first, second = (ka.assemble(K, dofs, (40, 40)).explicit() for _ in range(2))
    onp.testing.assert_array_equal(first.data, second.data)
    expected = onp.zeros((41, 41))
    onp.add.at(expected, (dofs[:, :, None], dofs[:, None, :]), K)  # −1 is the last row and column
    onp.testing.assert_allclose(first.toarray(), expected[:40, :40], atol=1e-12)


# ---- cost ----------------------------------------------------------------------------------


def peak(function, *arguments):
    tracemalloc.start()
    function(*arguments)
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return size


def banded(n):
    """(data, x, operator) of a matrix with five entries in every row."""
    rows = onp.repeat(onp.arange(n), 5)
    cols = (rows + onp.tile([-7, -1, 0, 1, 50], n)) % n
    data = onp.random.default_rng(0).normal(size=5 * n)
    return data, data[:n], lambda data: ka.coo_array((data, (rows, cols)), (n, n))


def cost_losses(make, x):
    def loss(data, x):
        A = make(data)
        return np.sum((A @ x) ** 2) + np.sum((A.H @ x) ** 2)

    first = grad(loss, (0, 1))
    second = grad(lambda data, x: np.sum(first(data, x)[0] ** 2), (0, 1))
    return {"value": loss, "gradient": first, "second order": second}


@pytest.mark.parametrize("order", ["value", "gradient", "second order"])
def test_memory_is_proportional_to_the_entries(order):
    peaks = []
    for n in (10_000, 40_000):
        data, x, make = banded(n)
        peaks.append(peak(cost_losses(make, x)[order], data, x))
        assert peaks[-1] < {"value": 12, "gradient": 15, "second order": 25}[order] * data.nbytes  # a dense A: 1600
    assert peaks[1] < 4.1 * peaks[0]


def test_cotangent_of_the_entries_with_many_columns_needs_no_memory_for_each():
    n, k = 2000, 200
    rows = onp.repeat(onp.arange(n), 30)
    cols = onp.random.default_rng(0).integers(0, n, 30 * n)
    X = onp.random.default_rng(1).normal(size=(n, k))
    data = onp.ones(30 * n)
    size = peak(grad(lambda data: np.sum(ka.coo_array((data, (rows, cols)), (n, n)) @ X)), data)
    assert size < 0.3 * data.nbytes * k


def test_number_of_passes_over_the_entries(monkeypatch):
    """Time by counting: a pass is O(nnz k) work, and there are few, whatever the size."""
    passes = []
    contract = Pattern.contract

    def counted(self, free, u, v):
        passes.append(free)
        return contract(self, free, u, v)

    monkeypatch.setattr(Pattern, "contract", counted)
    counts = {}
    for n in (100, 400):
        data, x, make = banded(n)
        for order, f in cost_losses(make, x).items():
            passes.clear()
            f(data, x)
            counts.setdefault(order, []).append(len(passes))
    assert counts == {"value": [2, 2], "gradient": [6, 6], "second order": [18, 18]}


# ---- eigenvalue problems -------------------------------------------------------------------

N = 30
SIDE = onp.arange(N)


def tridiagonal(lower, middle, upper):
    data = np.concatenate([middle, lower, upper])
    row = onp.concatenate([SIDE, SIDE[1:], SIDE[:-1]])
    col = onp.concatenate([SIDE, SIDE[:-1], SIDE[1:]])
    return data, row, col


def make_coo(parts):
    data, row, col = tridiagonal(*parts)
    return ka.coo_array((data, (row, col)), (N, N))


def symmetric_parts(p):
    t = np.sin(p[0] * SIDE[1:]) - 2.0
    return t, 4.0 + p[1] ** 2 * SIDE / N, t


def hermitian_parts(p):
    t = (np.sin(p[0] * SIDE[1:]) - 2.0) * np.exp(1j * p[1] * SIDE[1:])
    return np.conj(t), 4.0 + p[1] ** 2 * SIDE / N + 0j, t


def general_parts(p):
    return np.sin(p[0] * SIDE[1:]) - 1.0, 4.0 + p[1] ** 2 * SIDE / N, -1.2 + p[0] * SIDE[1:] / N


def complex_parts(p):
    return (1 + 0.3j) * general_parts(p)[0], 1j * p[0] * SIDE + 4.0, -1.2 + p[1] * SIDE[1:] / N + 0.2j


PENCILS = {
    "symmetric": (ka.eigsh, symmetric_parts, {"sigma": -0.9}),
    "symmetric SA": (ka.eigsh, symmetric_parts, {"which": "SA"}),
    "hermitian": (ka.eigsh, hermitian_parts, {"sigma": -0.9}),
    "real": (ka.eigs, general_parts, {"sigma": 1.3}),
    "real LR": (ka.eigs, general_parts, {"which": "LR"}),
    "complex": (ka.eigs, complex_parts, {"sigma": 4.1 + 2.0j}),
}
P = onp.array([0.4, 0.7])
PROFILE = onp.cos(SIDE)


def mass(p):
    """The mass matrix of linear elements with varying density, one end held."""
    density = 1.0 + 0.5 * np.sin(p[0] + p[1] * SIDE)
    element = onp.array([[2.0, 1.0], [1.0, 2.0]]) / 6
    dofs = onp.stack([SIDE - 1, SIDE], axis=1)
    return ka.assemble(density[:, None, None] * element, dofs, (N, N))


def loss_of_pairs(w, X):
    return np.sum(np.abs(w) ** 2) + np.sum(PROFILE[:, None] * np.abs(X) ** 2) + np.real(w[0])


def by_numpy(name, p, M):
    """The same loss from dense matrices of plain NumPy and SciPy."""
    solver, parts, arguments = PENCILS[name]
    data, row, col = tridiagonal(*parts(p))
    A = onp.zeros((N, N), data.dtype)
    A[row, col] = data
    if solver is ka.eigsh:
        w, X = scipy.linalg.eigh(A, M)
    else:
        w, X = scipy.linalg.eig(A, M)
    order = onp.argsort(onp.abs(w - arguments["sigma"])) if "sigma" in arguments else onp.argsort(w.real)
    best = order[-1:] if arguments.get("which") == "LR" else order[:1]
    w, X = w[best], X[:, best]
    norms = onp.einsum("ni,ni->i", X.conj(), X if M is None else M @ X).real
    return loss_of_pairs(w, X / onp.sqrt(norms))


def differences(f, p, h=1e-3):
    def central(e, h):
        return (f(p + h * e) - f(p - h * e)) / (2 * h)

    return onp.array([(4 * central(e, h / 2) - central(e, h)) / 3 for e in onp.eye(p.size)])


# Without sigma SciPy needs Minv for a generalised problem.
@pytest.mark.parametrize(
    ("name", "generalised"),
    [(name, M) for name, (_, _, arguments) in PENCILS.items() for M in (False, True) if not M or "sigma" in arguments],
)
def test_eigen_gradients(name, generalised):
    solver, parts, arguments = PENCILS[name]

    def f(p):
        A = make_coo(parts(p))
        M = mass(p) if generalised else None
        return loss_of_pairs(*solver(A, k=1, M=M, v0=onp.ones(N, A.dtype), **arguments))

    def reference(p):
        return by_numpy(name, p, mass(p).explicit().toarray() if generalised else None)

    onp.testing.assert_allclose(f(P), reference(P), rtol=1e-10)
    onp.testing.assert_allclose(grad(f)(P), differences(reference, P), rtol=1e-7, atol=1e-8)
    ka.check_gradient(f, P, order=2)


def test_single_precision_eigen_gradient():
    data, row, col = tridiagonal(*symmetric_parts(P))

    def f(data):
        A = ka.coo_array((data, (row, col)), (N, N))
        return ka.eigsh(A, k=1, sigma=0.3, v0=onp.ones(N, data.dtype))[0][0]

    g = grad(f)(data.astype(onp.float32))
    assert g.dtype == onp.float32
    onp.testing.assert_allclose(g, grad(f)(data), atol=1e-5)


@pytest.mark.parametrize("kind", ["csr_array", "aslinearoperator", "scipy"])
@pytest.mark.parametrize("arguments", [{"sigma": 0.0}, {"sigma": 0.0, "M": True}, {"which": "SA"}])
def test_linear_combinations(kind, arguments):
    rng = onp.random.default_rng(3)
    matrices = [rng.uniform(size=(N, N)) * (rng.uniform(size=(N, N)) < 0.1) for _ in range(3)]
    matrices[0] += onp.diag(onp.linspace(1.5, 10, N))
    matrices = [sp.csr_array(D + D.T) for D in matrices]
    wrap = {
        "csr_array": lambda S: ka.csr_array((S.data, S.indices, S.indptr), S.shape),
        "aslinearoperator": ka.aslinearoperator,
        "scipy": lambda S: S,
    }[kind]
    A0, A1, A2 = (wrap(S) for S in matrices)
    M = mass(P) if arguments.get("M") else None
    dense_M = None if M is None else M.explicit().toarray()

    def f(p):
        # Before autograd 1.9 a traced number cannot stand on the left.
        A = A0 + ka.aslinearoperator(A1) * p[0] + ka.aslinearoperator(A2) * p[1]
        return loss_of_pairs(*ka.eigsh(A, k=1, v0=onp.ones(N), **{**arguments, "M": M}))

    def reference(p):
        w, X = scipy.linalg.eigh((matrices[0] + p[0] * matrices[1] + p[1] * matrices[2]).toarray(), dense_M)
        first = onp.argmin(onp.abs(w)) if "sigma" in arguments else 0
        return loss_of_pairs(w[[first]], X[:, [first]])

    p = onp.array([0.2, -0.1])
    onp.testing.assert_allclose(grad(f)(p), differences(reference, p), rtol=1e-8)
    ka.check_gradient(f, p, order=2)


# ---- bad input -----------------------------------------------------------------------------

ONES = onp.ones(3)
BAD = {
    "no tuple": (TypeError, "expected krylov_adj.csr_array", lambda: ka.csr_array("entries", (3, 3))),
    "another shape": (ValueError, "not that of the matrix", lambda: ka.csr_array(onp.eye(3), (3, 4))),
    "traced dense": (
        TypeError,
        "an operator by aslinearoperator",
        lambda: grad(lambda D: np.sum(ka.csr_array(D) @ ONES))(onp.eye(3)),
    ),
    "a pattern of another format": (
        TypeError,
        "csr, csc or coo matrix, not of dia",
        lambda: ka.csr_array((ONES, sp.dia_array(onp.eye(3)))),
    ),
    "no entries, no shape": (ValueError, "the shape has to be given", lambda: ka.coo_array(([], ([], [])))),
    "two parts": (TypeError, "expected krylov_adj.csr_array", lambda: ka.csr_array((ONES, [0, 1, 2]), (3, 3))),
    "coo in three parts": (TypeError, "expected krylov_adj.coo", lambda: ka.coo_array((ONES, [0], [0]), (3, 3))),
    "shape": (TypeError, "two integers", lambda: ka.csr_array((ONES, [0, 1, 2], [0, 1, 2, 3]), 3)),
    "float shape": (TypeError, "two integers", lambda: ka.csr_array((ONES, [0, 1, 2], [0, 1, 2, 3]), (3.0, 3))),
    "negative shape": (ValueError, "negative", lambda: ka.csr_array((ONES, [0, 1, 2], [0, 1, 2, 3]), (3, -3))),
    "column too large": (
        ValueError,
        "column indices must be from 0 to 2; number 1 is 3",
        lambda: ka.csr_array((ONES, [0, 3, 2], [0, 1, 2, 3]), (3, 3)),
    ),
    "negative column": (
        ValueError,
        "number 0 is -1 .1 outside",
        lambda: ka.coo_array((ONES, ([0, 1, 2], [-1, 0, 1])), (3, 3)),
    ),
    "row too large": (ValueError, "row indices", lambda: ka.coo_array((ONES, ([0, 1, 5], [0, 0, 0])), (3, 3))),
    "float indices": (
        TypeError,
        "must be integers, not of dtype float64",
        lambda: ka.csr_array((ONES, [0.0, 1.0, 2.0], [0, 1, 2, 3]), (3, 3)),
    ),
    "lengths": (ValueError, "3 data and 2 indices", lambda: ka.csr_array((ONES, [0, 1], [0, 1, 2, 3]), (3, 3))),
    "coo lengths": (
        ValueError,
        "3 data, 2 row and 3",
        lambda: ka.coo_array((ONES, ([0, 1], [0, 1, 2])), (3, 3)),
    ),
    "indptr's length": (
        ValueError,
        "indptr of length 4, not 3",
        lambda: ka.csr_array((ONES, [0, 1, 2], [0, 1, 3]), (3, 3)),
    ),
    "indptr's end": (
        ValueError,
        "from 0 to 2, not from 0 to 3",
        lambda: ka.csr_array((ONES, [0, 1, 2], [0, 1, 2, 2]), (3, 3)),
    ),
    "indptr's start": (ValueError, "from 1 to", lambda: ka.csr_array((ONES, [0, 1, 2], [1, 1, 2, 3]), (3, 3))),
    "indptr decreases": (
        ValueError,
        "decreases from 2 to 1 at row 1",
        lambda: ka.csr_array((ONES, [0, 1, 2], [0, 2, 1, 3]), (3, 3)),
    ),
    "objects": (
        TypeError,
        "autograd.numpy.array",
        lambda: ka.csr_array((onp.array([None] * 3), [0, 1, 2], [0, 1, 2, 3]), (3, 3)),
    ),
    "data's dimensions": (
        ValueError,
        "1 dimension",
        lambda: ka.csr_array((onp.eye(3), [0, 1, 2], [0, 1, 2, 3]), (3, 3)),
    ),
    "dofs too large": (ValueError, "up to 3", lambda: ka.assemble(onp.ones((1, 2, 2)), [[0, 3]], (3, 3))),
    "dofs's shape": (ValueError, "go with", lambda: ka.assemble(onp.ones((2, 2, 2)), [[0, 1]], (3, 3))),
    "float dofs": (TypeError, "integers", lambda: ka.assemble(onp.ones((1, 2, 2)), [[0.0, 1.0]], (3, 3))),
    "not square": (ValueError, "square", lambda: ka.assemble(onp.ones((1, 2, 2)), [[0, 1]], (3, 4))),
    "flat elements": (ValueError, "3 dimension", lambda: ka.assemble(onp.ones((2, 2)), [[0, 1]], (3, 3))),
    "traced indices": (
        TypeError,
        "cannot be traced",
        lambda: grad(lambda i: ka.csr_array((ONES, i, [0, 1, 2, 3]), (3, 3)) @ ONES)(ONES),
    ),
    "traced numbers in a list": (
        TypeError,
        "autograd.numpy.array",
        lambda: grad(lambda v: ka.coo_array(([v, v], ([0, 1], [0, 1])), (2, 2)) @ onp.ones(2))(1.0),
    ),
    "vector's length": (ValueError, "dimension mismatch", lambda: csr(onp.ones(8)) @ onp.ones(5)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    error, message, call = BAD[name]
    with pytest.raises(error, match=message):
        call()


# ---- diags_array ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [None, (6, 6), (4, 6), (7, 5)])
@pytest.mark.parametrize("is_complex", [False, True])
def test_diags_array_is_scipys(shape, is_complex):
    rng = onp.random.default_rng(3)
    m, n = shape or (6, 6)
    offsets = [0, 2, -1]
    lengths = [min(m + min(o, 0), n - max(o, 0)) for o in offsets]
    parts = [rng.normal(size=k) + (1j * rng.normal(size=k) if is_complex else 0) for k in lengths]
    expected = sp.diags(parts, offsets, shape=(m, n)).toarray()
    assert onp.array_equal(ka.diags_array(parts, offsets=offsets, shape=shape).explicit().toarray(), expected)
    v = rng.normal(size=n)

    def f(p):
        A = ka.diags_array([p * part for part in parts], offsets=offsets, shape=shape)
        return np.sum(np.abs(A @ v) ** 2)

    size = onp.linalg.norm(expected @ v) ** 2
    assert abs(grad(f)(1.5) - 3 * size) < 1e-12 * size
    assert abs(grad(grad(f))(1.5) - 2 * size) < 1e-12 * size


def test_diags_array_of_one_diagonal_and_of_constants():
    V = onp.arange(1.0, 5.0)
    assert onp.array_equal(ka.diags_array(V).explicit().toarray(), onp.diag(V))
    assert onp.array_equal(ka.diags_array(V, offsets=-2).explicit().toarray(), onp.diag(V, -2))
    second = ka.diags_array([onp.ones(1), [-2.0], [1.0]], offsets=[-1, 0, 1], shape=(5, 5))
    assert onp.array_equal(second.explicit().toarray(), onp.eye(5, k=1) + onp.eye(5, k=-1) - 2 * onp.eye(5))
    assert abs(grad(lambda c: ka.diags_array(np.array([c]), shape=(3, 3)) @ onp.ones(3) @ onp.ones(3))(2.0) - 3) < 1e-15


@pytest.mark.parametrize(
    ("diagonals", "options", "error", "text"),
    [
        ([onp.ones(3)], {"offsets": [0, 1]}, ValueError, "1 diagonals do not go with offsets of shape"),
        ([onp.ones(3), onp.ones(3)], {"offsets": [0, 0]}, ValueError, "no offset twice; offsets are"),
        ([onp.ones(3), onp.ones(3)], {"offsets": [0, 1]}, ValueError, "at offset 1 .* has 2 entries, and 3 were given"),
        (onp.ones(3), {"offsets": 4, "shape": (3, 3)}, ValueError, "at offset 4 .* has 0 entries"),
        (onp.ones((3, 3)), {}, ValueError, "a diagonal must have 1 dimension"),
        (onp.ones(3), {"offsets": 0.5}, TypeError, "offsets must be integers"),
        (["a"], {"offsets": [0]}, TypeError, "a diagonal must be an array of numbers"),
    ],
)
def test_bad_diagonals(diagonals, options, error, text):
    with pytest.raises(error, match=text):
        ka.diags_array(diagonals, **options)


@pytest.mark.parametrize("dtype", [onp.int8, onp.uint8, onp.int16, onp.int64, onp.float32, onp.complex64])
def test_sums_do_not_overflow_and_keep_their_precision(dtype):
    data = onp.full(3, 100, dtype)
    A = ka.coo_array((data, ([1, 1, 1], [0, 0, 0])), (2, 2)).explicit().toarray()
    B = ka.assemble(onp.full((3, 1, 1), 100, dtype), onp.ones((3, 1), int), (2, 2)).explicit().toarray()
    assert A[1, 0] == B[1, 1] == 300
    assert onp.dtype(dtype).kind not in "fc" or A.dtype == B.dtype == dtype


def test_conjugates_and_sums_of_complex_entries():
    rng = onp.random.default_rng(4)
    S = sp.random(6, 5, density=0.5, random_state=2, format="csr")
    S = S + 1j * sp.csr_array((rng.standard_normal(S.nnz), S.indices, S.indptr), S.shape)
    A = ka.csr_array(S)
    onp.testing.assert_allclose(A.conj().toarray(), S.toarray().conj())
    for axis in (0, 1, None):
        onp.testing.assert_allclose(onp.ravel(A.sum(axis)), onp.ravel(S.toarray().sum(axis)))
