"""Block operators, selections, and what users of SciPy's sparse arrays type, against SciPy and NumPy, traced."""

import functools

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad, make_jvp
from autograd.test_util import check_grads

import krylov_adj as ka

close = functools.partial(onp.testing.assert_allclose, rtol=1e-10, atol=1e-12)


def random(seed, *shape, dtype=complex):
    rng = onp.random.default_rng(seed)
    values = rng.standard_normal(shape)
    return values + 1j * rng.standard_normal(shape) if dtype is complex else values


def sparse(seed, *shape, dtype=complex):
    values = random(seed, *shape, dtype=dtype)
    values[onp.random.default_rng(seed).uniform(size=shape) < 0.5] = 0
    return sp.csr_array(values)


def closure(M):
    return ka.LinearOperator(M.shape, lambda v: np.dot(M, v + 0 * M[0, 0]), dtype=M.dtype)


# ---- blocks ---------------------------------------------------------------------------------------


A, B, C = random(1, 3, 3), random(2, 3, 4, dtype=float), random(3, 4, 4)
DENSE = onp.block([[A, B], [onp.zeros((4, 3)), C]])


def test_the_same_as_scipys():
    parts = [[sparse(1, 3, 3), sparse(2, 3, 4)], [None, sparse(3, 4, 4)]]
    expected = sp.block_array(parts)
    operator = ka.block_array(parts)
    assert (operator.shape, operator.dtype) == (expected.shape, expected.dtype)
    onp.testing.assert_array_equal(operator.explicit().toarray(), expected.toarray())
    assert (operator.explicit().format, ka.block_array(parts, format="csc").explicit().format) == ("csr", "csc")
    diagonal = [sparse(1, 3, 3), sparse(2, 3, 4)]
    onp.testing.assert_array_equal(ka.block_diag(diagonal).toarray(), sp.block_diag(diagonal).toarray())
    for arguments in ({}, {"k": 1}, {"n": 5, "k": -2}):
        expected = sp.eye_array(4, **arguments)
        onp.testing.assert_array_equal(ka.eye_array(4, **arguments).toarray(), expected.toarray())
    assert ka.eye_array(3, dtype=onp.complex64).dtype == onp.complex64
    assert ka.eye_array(3, dtype=int).dtype == float


@pytest.mark.parametrize("form", [ka.aslinearoperator, sp.csr_array, closure, lambda M: spla.aslinearoperator(M)])
def test_vectors_blocks_and_adjoints(form):
    operator = ka.block_array([[form(A), B], [None, form(C)]])
    for V in (random(4, 7), random(5, 7, 3), random(6, 7, dtype=float), random(7, 7, 2, dtype=float)):
        close(operator @ V, DENSE @ V)
        close(operator.H @ V, DENSE.conj().T @ V)
        close(operator.T @ V, DENSE.T @ V)
    ka.check_operator(operator)


def test_types_are_kept():
    single = ka.block_diag([onp.eye(2, dtype=onp.float32), onp.eye(3, dtype=onp.float32)])
    assert (single.dtype, (single @ onp.ones(5, onp.float32)).dtype) == (onp.float32, onp.float32)
    wider = ka.block_array([[onp.eye(2)]], dtype=complex)
    assert (wider.dtype, wider.explicit().dtype, (wider @ onp.ones(2)).dtype) == (complex, complex, complex)
    with pytest.raises(TypeError, match="do not fit into dtype=float64"):
        ka.block_array([[1j * onp.eye(2)]], dtype=float)


@pytest.mark.parametrize("form", [ka.aslinearoperator, closure])
def test_derivatives_through_traced_blocks(form):
    """A complex, non-normal, generalised pencil of blocks, with sigma where there is a matrix; to second order."""
    K, D = random(8, 6, 6) + 6 * onp.eye(6), random(9, 6, 6)

    def lowest(p, block):
        matrix = K + p[0] * D
        mass = onp.eye(12) + 0.1 * onp.diag(onp.arange(12))
        if block:
            eye = ka.eye_array(6)
            operator = ka.block_array([[None, eye], [form(matrix), eye * p[1]]])
            sigma = 0.1j if operator.has_matrix() else None
            which = "LM" if sigma else "SM"
            w = ka.eigs(operator, k=1, M=mass, sigma=sigma, which=which, v0=onp.ones(12) + 0j)[0]
        else:
            zero, eye = onp.zeros((6, 6)), onp.eye(6)
            operator = np.concatenate(
                [np.concatenate([zero, eye], axis=1), np.concatenate([matrix, eye * p[1]], axis=1)], axis=0
            )
            w = ka.eigs(operator, k=1, M=mass, sigma=0.1j, v0=onp.ones(12) + 0j)[0]
        return np.real(w[0] ** 2)

    p, d = onp.array([0.3, -0.4]), onp.array([0.6, 0.8])
    g = grad(lambda p: lowest(p, True))(p)
    close(g, grad(lambda p: lowest(p, False))(p), rtol=1e-7)
    second = [grad(lambda p, block=block: grad(lambda p: lowest(p, block))(p) @ d)(p) for block in (True, False)]
    close(second[0], second[1], rtol=1e-6)
    close(make_jvp(lambda p: lowest(p, True))(p)(d)[1], g @ d, rtol=1e-7)


def test_a_symmetric_problem_of_blocks_has_a_hermitian_gradient():
    K = sp.csr_array(-ka.pde.laplacian(40).value() * 100)

    def f(data, eigsh):
        S = ka.csr_array((data, K))
        return np.sum(eigsh(ka.block_array([[S, ka.eye_array(40)], [ka.eye_array(40), S * 2.0]])))

    g = grad(lambda data: f(data, lambda A: ka.eigsh(A, k=2, sigma=0.0, v0=onp.ones(80))[0]))(K.data)
    G = sp.csr_array((g, K.indices, K.indptr), shape=K.shape).toarray()
    close(G, G.T, atol=0, rtol=1e-12)
    direction = random(3, K.nnz, dtype=float)
    moved = lambda t: f(K.data + t * direction, lambda A: onp.linalg.eigvalsh(hermitian(A))[:2])  # noqa: E731
    close(g @ direction, (moved(1e-5) - moved(-1e-5)) / 2e-5, rtol=1e-6)


def hermitian(operator):
    dense = operator.toarray()
    return (dense + dense.T) / 2


BAD = {
    "heights": (ValueError, r"block \[0\]\[1\] has 4 rows, and blocks before it in row 0", lambda: [[A, C]]),
    "widths": (ValueError, r"block \[1\]\[0\] has 4 columns, and blocks before it in column 0", lambda: [[A], [B]]),
    "zeros alone": (ValueError, "row 1 of blocks is None alone", lambda: [[A, B], [None, None]]),
    "a column of zeros": (ValueError, "column 1 of blocks is None alone", lambda: [[A, None]]),
    "one row of operators": (ValueError, "rows of as many blocks", lambda: [A, B]),
    "ragged": (ValueError, "rows of as many blocks", lambda: [[A, B], [C]]),
    "nothing": (ValueError, "rows of as many blocks", lambda: []),
    "no operator": (TypeError, "type not understood", lambda: [["A"]]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_blocks(name):
    error, text, make = BAD[name]
    with pytest.raises(error, match=text):
        ka.block_array(make())
    with pytest.raises(ValueError, match="at least one block"):
        ka.block_diag([])


# ---- selections -----------------------------------------------------------------------------------

M = random(4, 6, 5)
KEYS = {
    "list": ([3, 0, -1, 3], slice(None)),
    "slice": (slice(1, 5, 2), slice(None, None, -1)),
    "mask": (onp.arange(6) % 2 == 0, slice(None)),
    "columns": (slice(None), [4, 0]),
    "both": (slice(2, None), [1, -2]),
    "none": ([], slice(None)),
}
FORMS = {
    "dense": ka.aslinearoperator,
    "constant": lambda M: ka.aslinearoperator(sp.csc_array(M)),
    "csr_array": lambda M: ka.csr_array(sp.csr_array(M)),
    "closure": closure,
    "sum": lambda M: closure(M) + sp.csr_array(M),
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("form", FORMS)
def test_rows_and_columns(form, key):
    rows, columns = KEYS[key]
    dense, operator = (2 * M if form == "sum" else M), FORMS[form](M)
    expected = dense[rows][:, columns]
    for selected in (
        operator[rows][:, columns],
        operator[rows, :][:, columns],
        operator[rows, slice(None)][:, columns],
    ):
        assert selected.shape == expected.shape
        close(selected.toarray(), expected)
        close(selected.H.toarray(), expected.conj().T)
    assert (operator[rows].explicit() is None) == (form in ("closure", "sum"))


def test_boundary_conditions_by_selection():
    """Rows and columns of free degrees of freedom, of traced entries: the same as those of the dense matrix."""
    S = sparse(3, 8, 8) + 5 * sp.eye_array(8)
    S = sp.csr_array(S)
    free = onp.array([0, 1, 3, 4, 6, 7])

    def f(data):
        return np.sum(np.abs(ka.solve(ka.csr_array((data, S))[free][:, free], onp.ones(6))) ** 2)

    def reference(data):
        dense = np.dot(scatter(S), data).reshape(8, 8)
        return np.sum(np.abs(np.linalg.solve(dense[onp.ix_(free, free)], onp.ones(6))) ** 2)

    close(grad(f)(S.data), grad(reference)(S.data), rtol=1e-8)
    other = ka.csr_array(S)[onp.ix_(free, [0, 2])]
    assert isinstance(other, ka.csr_array)
    close(other.toarray(), S.toarray()[onp.ix_(free, [0, 2])])


def scatter(S):
    rows = onp.repeat(onp.arange(S.shape[0]), onp.diff(S.indptr))
    matrix = onp.zeros((S.shape[0] * S.shape[1], S.nnz))
    matrix[rows * S.shape[1] + S.indices, onp.arange(S.nnz)] = 1
    return matrix


WRONG_KEYS = {
    "one row": (TypeError, r"for one of them write A\[\[i\]\]", 1),
    "out of range": (IndexError, "row 9 is out of range for 6 rows", [9]),
    "a short mask": (IndexError, "a mask of 3 entries does not go with 6 rows", onp.ones(3, bool)),
    "floats": (TypeError, "rows must be integers or a mask", [1.0]),
    "ellipsis": (TypeError, "indexed by rows, or by rows and columns", ...),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", WRONG_KEYS)
def test_wrong_keys(name, form):
    error, text, key = WRONG_KEYS[name]
    with pytest.raises(error, match=text):
        FORMS[form](M)[key]


def test_single_entries_are_those_of_sparse_matrices_alone():
    with pytest.raises(TypeError, match=r"names single entries in SciPy: write A\[rows\]\[:, columns\]"):
        closure(M)[[1, 2], [0, 1]]
    with pytest.raises(TypeError, match="not iterable"):
        list(closure(M))
    with pytest.raises(TypeError, match=r"has no derivative. Add the change, A \+ krylov_adj\.coo_array"):
        ka.csr_array(M)[0, 0] = 1.0


# ---- what users of SciPy's sparse arrays type -------------------------------------------------------


@pytest.mark.parametrize("format", ["csr", "csc", "coo"])
def test_entries_with_the_places_of_a_matrix(format):
    S = sparse(5, 6, 5).asformat(format)
    for make in (ka.csr_array, ka.coo_array):
        close(make(S).toarray(), S.toarray())
        close(make((2 * S.data, S)).toarray(), 2 * S.toarray())
        g = grad(lambda data, make=make: np.real(np.sum(make((data, S)).toarray() * M)))(S.data)
        rows, columns = (
            (S.tocoo().row, S.tocoo().col)
            if format != "csc"
            else (S.indices, onp.repeat(onp.arange(5), onp.diff(S.indptr)))
        )
        close(g, M[rows, columns])  # df = Re Σ g dz


def test_shapes_are_inferred_as_in_scipy():
    data, row, col = onp.ones(3), [0, 4, 1], [2, 0, 5]
    assert ka.coo_array((data, (row, col))).shape == sp.coo_array((data, (row, col))).shape
    assert ka.csr_array((data, (row, col))).shape == sp.csr_array((data, (row, col))).shape
    assert ka.csr_array((data, [0, 3, 1], [0, 1, 3])).shape == sp.csr_array((data, [0, 3, 1], [0, 1, 3])).shape


def duplicated():
    """Entries that are summed in one place, not sorted."""
    return onp.array([1.0, 2.0, 4.0, 8.0, 16.0]), onp.array([2, 0, 2, 1, 1]), onp.array([0, 3, 3, 5])


@pytest.mark.parametrize("matrix", ["sorted", "duplicated"])
def test_parts_of_a_sparse_matrix_are_traced(matrix):
    data, indices, indptr = duplicated()
    if matrix == "sorted":
        indices = onp.array([0, 1, 2, 0, 2])
    shape, W = (3, 4), random(2, 3, 4, dtype=float)

    def dense(data):
        return sp.csr_array((data, indices, indptr), shape=shape).toarray()

    made = ka.csr_array((data, indices, indptr), shape)
    D = dense(data)
    with pytest.raises(ValueError, match="no axis 2"):
        made.sum(axis=2)
    assert (made.nnz, made.T.nnz, made.ndim) == (5, 5, 2)
    onp.testing.assert_array_equal(made.data, data)
    parts = {
        "toarray": (lambda A: A.toarray(), D),
        "todense": (lambda A: A.todense(), D),
        "transposed": (lambda A: A.T.toarray(), D.T),
        "adjoint": (lambda A: A.H.toarray(), D.T),
        "diagonal": (lambda A: A.diagonal(), onp.diagonal(D)),
        "upper diagonal": (lambda A: A.diagonal(2), onp.diagonal(D, 2)),
        "lower diagonal": (lambda A: A.diagonal(k=-1), onp.diagonal(D, -1)),
        "rows": (lambda A: A[[2, 0]].toarray(), D[[2, 0]]),
        "columns": (lambda A: A[:, 1:3].toarray(), D[:, 1:3]),
        "an entry": (lambda A: A[0, 2], D[0, 2]),
        "no entry": (lambda A: A[1, 1], D[1, 1]),
        "entries": (lambda A: A[[0, 2, 1], [2, 1, -1]], D[[0, 2, 1], [2, 1, -1]]),
        "times a number": (lambda A: A.multiply(3.0).toarray(), 3 * D),
        "times an array": (lambda A: A.multiply(W).toarray(), D * W),
        "times a row": (lambda A: A.multiply(W[0]).toarray(), D * W[0]),
        "times a column": (lambda A: A.multiply(W[:, :1]).toarray(), D * W[:, :1]),
        "times a sparse matrix": (lambda A: A.multiply(sp.csc_array(W * (W > 0))).toarray(), D * (W * (W > 0))),
        "times itself": (lambda A: A.multiply(A).toarray(), D * D),
        "sum": (lambda A: A.sum(), D.sum()),
        "sum of columns": (lambda A: A.sum(axis=0), D.sum(axis=0)),
        "sum of rows": (lambda A: A.sum(axis=-1), D.sum(axis=-1)),
        "conj": (lambda A: A.conj().toarray(), D),
        "another format": (lambda A: A.tocsc().asformat("lil").copy().toarray(), D),
    }
    for name, (part, expected) in parts.items():
        close(part(made), expected, err_msg=name)
        weight = random(7, *onp.shape(expected), dtype=float)

        def loss(data, part=part, weight=weight):
            return np.sum(weight * part(ka.csr_array((data, indices, indptr), shape)) ** 2)

        check_grads(loss, order=2, modes=["fwd", "rev"])(data)


def test_products_with_traced_factors():
    S = sparse(6, 4, 4)
    T = ka.csr_array(S)
    check_grads(lambda t: np.sum(np.abs(T.multiply(t).toarray()) ** 2))(0.7)
    check_grads(lambda v: np.sum(np.abs(T.multiply(v).toarray()) ** 2))(onp.arange(1.0, 5.0))
    check_grads(lambda V: np.sum(np.abs(T.multiply(V).toarray()) ** 2))(random(1, 4, 4, dtype=float))
    for factor, error, text in (
        (onp.ones(3), ValueError, "does not broadcast"),
        (sparse(1, 3, 4), ValueError, r"shapes \(4, 4\) and \(3, 4\) differ"),
        (closure(C), TypeError, "the product of operators is A @ B"),
    ):
        with pytest.raises(error, match=text):
            T.multiply(factor)


def test_toarray_of_operators_is_traced():
    def f(p):
        operator = ka.kron(np.array([[1.0, p], [0.0, 2.0]]), ka.eye_array(2)) + closure(C) * p
        return np.sum(np.abs(operator.toarray()) ** 2)

    check_grads(f, order=2)(0.3)


def test_diagonals_by_position_and_format():
    expected = sp.diags([onp.ones(3), 2.0 * onp.ones(4)], [1, 0], format="csc")
    made = ka.diags_array([onp.ones(3), 2.0 * onp.ones(4)], [1, 0], format="csc")
    onp.testing.assert_array_equal(made.toarray(), expected.toarray())
