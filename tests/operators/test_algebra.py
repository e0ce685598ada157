"""Kronecker products and sums, shifts, inverses and Schur complements, against dense matrices.

Also what holds for every composite: pickling, copies, and how often a matrix is assembled.
"""

import copy
import operator
import pickle

import applications
import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad, hessian, make_jvp

import krylov_adj as ka
from krylov_adj.autograd.operators.algebra import assembled_once

RNG = onp.random.default_rng(4)


@pytest.fixture(autouse=True)
def _start_anew():
    """Every test draws the same numbers, whichever ran before."""
    RNG.bit_generator.state = onp.random.default_rng(4).bit_generator.state


def random(*shape, dtype="float64"):
    values = RNG.standard_normal(shape)
    return (values + 1j * RNG.standard_normal(shape) if onp.dtype(dtype).kind == "c" else values).astype(dtype)


def diagonal(values):
    n = onp.size(getattr(values, "_value", values))
    return ka.csr_array((values, onp.arange(n), onp.arange(n + 1)), (n, n))


def csr(matrix):
    rows, cols = onp.indices(matrix.shape)
    return ka.coo_array((np.ravel(matrix), (rows.ravel(), cols.ravel())), matrix.shape)


def closure(matrix):
    """With autograd's transpose, and applied column by column."""
    zero = onp.zeros((), getattr(matrix, "_value", matrix).dtype)
    return ka.LinearOperator(matrix.shape, lambda v: np.dot(matrix, v + zero), dtype=zero.dtype)


FORMS = {"dense": ka.aslinearoperator, "csr": csr, "closure": closure}


def dense_kron(A, B):
    outer = np.reshape(A, (A.shape[0], 1, A.shape[1], 1)) * np.reshape(B, (1, B.shape[0], 1, B.shape[1]))
    return np.reshape(outer, (A.shape[0] * B.shape[0], A.shape[1] * B.shape[1]))


def dense_kronsum(A, B):
    """SciPy's order: the first operand on the last axis."""
    return dense_kron(onp.eye(B.shape[0]), A) + dense_kron(B, onp.eye(A.shape[0]))


def dense_schur(A, B, C, D):
    return A - np.dot(B, np.dot(np.linalg.inv(D), C))


def shifted(A, sigma, M=None):
    """A − σM, as docs/guides/large_problems.md writes it."""
    M = sp.identity(A.shape[0], dtype=A.dtype, format="csr") if M is None else M
    return ka.aslinearoperator(A) - ka.aslinearoperator(M) * sigma


def schur_complement(A11, A12, A21, A22, **options):
    """A₁₁ − A₁₂ A₂₂⁻¹ A₂₁, likewise."""
    return ka.aslinearoperator(A11) - ka.aslinearoperator(A12) @ ka.inverse(A22, **options) @ ka.aslinearoperator(A21)


#: name: (of the package, of dense matrices, shapes of the operands, whether the result has a matrix)
KINDS = {
    "kron": (ka.kron, dense_kron, [(3, 3), (2, 2)], True),
    "kron rectangular": (ka.kron, dense_kron, [(3, 2), (2, 4)], True),
    "kron of three": (ka.kron, lambda A, B, C: dense_kron(dense_kron(A, B), C), [(2, 2), (2, 3), (3, 1)], True),
    "kronsum": (ka.kronsum, dense_kronsum, [(3, 3), (2, 2)], True),
    "kronsum of three": (
        ka.kronsum,
        lambda A, B, C: dense_kronsum(dense_kronsum(A, B), C),
        [(3, 3), (2, 2), (4, 4)],
        True,
    ),
    "shifted": (lambda A: shifted(A, 0.7), lambda A: A - 0.7 * onp.eye(4), [(4, 4)], True),
    "shifted by M": (lambda A, M: shifted(A, 0.7, M), lambda A, M: A - 0.7 * M, [(4, 4), (4, 4)], True),
    "inverse": (lambda A: ka.inverse(A, rtol=1e-13), np.linalg.inv, [(4, 4)], False),
    "schur": (
        lambda *blocks: schur_complement(*blocks, rtol=1e-13),
        dense_schur,
        [(3, 3), (3, 4), (4, 3), (4, 4)],
        False,
    ),
    "together": (
        lambda A, B, C: ka.inverse(ka.kronsum(A, B) @ ka.kron(B, A).H, rtol=1e-13) - 0.5 * C.T,
        lambda A, B, C: np.linalg.inv(np.dot(dense_kronsum(A, B), np.conj(dense_kron(B, A)).T)) - 0.5 * C.T,
        [(2, 2), (2, 2), (4, 4)],
        False,
    ),
}


def matrices(shapes, dtype):
    """Far enough from singular where they are square."""
    return [random(*shape, dtype=dtype) + 3 * onp.eye(*shape, dtype=dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", KINDS)
def test_values_adjoints_and_blocks(name, form, dtype):
    make, dense, shapes, explicit = KINDS[name]
    parts = matrices(shapes, dtype)
    if dtype == "float32" and ("inverse" in name or name in ("schur", "together")):
        make = {  # the accuracy that the precision has
            "inverse": lambda A: ka.inverse(A, rtol=1e-6),
            "schur": lambda *blocks: schur_complement(*blocks, rtol=1e-6),
            "together": lambda A, B, C: ka.inverse(ka.kronsum(A, B) @ ka.kron(B, A).H, rtol=1e-6) - 0.5 * C.T,
        }[name]
    op, matrix = make(*(FORMS[form](part) for part in parts)), dense(*parts)
    assert op.shape == matrix.shape
    assert op.dtype == onp.dtype(dtype)
    tolerance = 2e3 * onp.finfo(dtype).eps * onp.linalg.norm(matrix) * max(op.shape)
    for kind in (dtype, onp.result_type(dtype, onp.complex64)):
        X, Y = random(matrix.shape[1], 3, dtype=kind), random(matrix.shape[0], 3, dtype=kind)
        adjoint = matrix.conj().T
        for result, expected in (
            (op @ X[:, 0], matrix @ X[:, 0]),
            (op @ X, matrix @ X),
            (op.H @ Y[:, 0], adjoint @ Y[:, 0]),
            (op.H @ Y, adjoint @ Y),
            (op.T @ Y, matrix.T @ Y),
            (op.prepared().H @ Y, adjoint @ Y),
            (op.plain() @ X, matrix @ X),
        ):
            assert result.shape == expected.shape
            assert result.dtype == onp.result_type(dtype, kind)
            onp.testing.assert_allclose(result, expected, rtol=0, atol=tolerance)
    if explicit and form != "closure":
        value = op.explicit()
        value = value.toarray() if sp.issparse(value) else value
        onp.testing.assert_allclose(value, matrix, rtol=0, atol=tolerance)
        assert sp.issparse(op.explicit()) == (form == "csr" or name.startswith(("kronsum",)))
    else:
        assert op.explicit() is None
    assert op.has_matrix() == (op.explicit() is not None)


def test_the_order_is_scipys():
    A, B = sp.csr_array(random(3, 3)), sp.csr_array(random(2, 2))
    onp.testing.assert_array_equal(ka.kron(A, B).explicit().toarray(), sp.kron(A, B).toarray())
    onp.testing.assert_allclose(
        ka.kronsum(A, B) @ onp.eye(6), sp.kronsum(sp.csr_array(A), sp.csr_array(B)).toarray(), rtol=1e-15
    )
    X = random(4, 5)  # a grid function of (y, x)
    along_x, along_y = ka.pde.laplacian(5, 0.3), ka.pde.laplacian(4, 0.7)
    both = ka.pde.laplacian((4, 5), (0.7, 0.3))
    onp.testing.assert_allclose(ka.kronsum(along_x, along_y) @ X.ravel(), both @ X.ravel(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("form", ["csr", "closure"])
@pytest.mark.parametrize("name", KINDS)
def test_derivatives(name, form, dtype):
    """Of first and second order, reverse and forward, in the operands and in the vector, through A and Aᴴ."""
    make, dense, shapes, _ = KINDS[name]
    parts, directions = matrices(shapes, dtype), [random(*shape, dtype=dtype) for shape in shapes]

    def loss(matrix, adjoint, p):
        x, y = onp.linspace(0.5, 1.5, matrix.shape[1]) * p[1], onp.linspace(1.0, 2.0, matrix.shape[0]) * p[1]
        if dtype == "complex128":
            x, y = x * (1 + 0.5j), y * (1 - 0.3j)
        return np.sum(np.abs(matrix @ x - 0.1) ** 2) + np.sum(np.abs(adjoint @ y) ** 4)

    def operands(p):
        return [part + p[0] ** 2 * direction for part, direction in zip(parts, directions, strict=True)]

    class Times:  # autograd's arrays know @ for themselves only
        def __init__(self, matrix):
            self.matrix, self.shape = matrix, matrix.shape

        def __matmul__(self, x):
            return np.dot(self.matrix, x)

    def ours(p):
        op = make(*map(FORMS[form], operands(p)))
        return loss(op, op.H, p)

    def theirs(p):
        matrix = dense(*operands(p))
        return loss(Times(matrix), Times(np.conj(matrix).T), p)

    p, d = onp.array([0.5, 0.8]), onp.array([1.0, -0.7])
    size = onp.abs(grad(theirs)(p)).max()
    onp.testing.assert_allclose(grad(ours)(p), grad(theirs)(p), rtol=0, atol=1e-11 * size)
    onp.testing.assert_allclose(make_jvp(ours)(p)(d)[1], grad(theirs)(p) @ d, rtol=0, atol=1e-11 * size)
    H = hessian(theirs)(p)
    onp.testing.assert_allclose(hessian(ours)(p), H, rtol=0, atol=1e-9 * onp.abs(H).max())


def separable(p):
    """Two traced sparse operators, one from `csr_array`, one from SciPy's matrix and a traced factor."""
    first = diagonal(p[:4] ** 2) - ka.pde.laplacian(4)
    return first, ka.aslinearoperator(sp.diags([1.0, 2.0, 4.0])) * p[4] + sp.csr_array(onp.ones((3, 3)))


SIGMA = {
    "sum": lambda p: separable(p)[0] * p[4] + 0.3 * ka.aslinearoperator(sp.diags(onp.arange(4.0))) - separable(p)[0],
    "kronsum": lambda p: ka.kronsum(*separable(p)),
    "kron": lambda p: ka.kron(*separable(p)),
    "shifted": lambda p: shifted(separable(p)[0], p[4], sp.diags([1.0, 2.0, 3.0, 4.0])),
    "product": lambda p: diagonal(p[:4]) @ -ka.pde.laplacian(4) @ diagonal(p[:4]),
}


@pytest.mark.parametrize("name", SIGMA)
def test_sparse_composites_work_with_sigma(name):
    """Values, and the gradient of an eigenvalue and a vector, against dense matrices and differences."""
    p = onp.array([1.2, 0.7, 1.9, 1.1, 1.3])

    def f(p, factorised=True):
        A = SIGMA[name](p)
        n = A.shape[0]
        sigma = 0.05 if factorised else None
        if factorised:
            w, X = ka.eigsh(A, k=2, sigma=sigma, v0=onp.ones(n))
        else:
            w, X = onp.linalg.eigh(A @ onp.eye(n))
            nearest = onp.sort(onp.argsort(abs(w - 0.05))[:2])
            w, X = w[nearest], X[:, nearest]
        return np.sum(w**2) + np.sum(X[:, 0] ** 4)

    assert sp.issparse(SIGMA[name](p).explicit())
    onp.testing.assert_allclose(f(p), f(p, False), rtol=1e-10)
    h = 1e-4
    differences = [(f(p + h * e, False) - f(p - h * e, False)) / (2 * h) for e in onp.eye(5)]
    onp.testing.assert_allclose(grad(f)(p), differences, rtol=1e-6, atol=1e-7)


def test_a_traced_shift():
    A = random(4, 4) + 5 * onp.eye(4)
    M = onp.diag([1.0, 2.0, 3.0, 4.0])

    def f(sigma, M):
        return np.sum(ka.solve(shifted(A, sigma, M), onp.ones(4)) ** 2)

    for mass in (None, M):
        B = onp.eye(4) if mass is None else mass
        x = onp.linalg.solve(A - 0.4 * B, onp.ones(4))
        onp.testing.assert_allclose(grad(f)(0.4, mass), 2 * x @ onp.linalg.solve(A - 0.4 * B, B @ x), rtol=1e-9)


def test_eigenpairs_of_a_schur_complement():
    """T(E) = H₁₁ − E − H₁₂ (H₂₂ − E)⁻¹ H₂₁ has the eigenvalues of H; with derivatives of first and second order."""
    H0, D, m = random(9, 9, dtype="complex128"), random(9, 9, dtype="complex128"), 4
    w0, V0 = onp.linalg.eig(H0)

    def f(p, i=0):
        H = H0 + p * D
        blocks = H[:m, :m], H[:m, m:], H[m:, :m], H[m:, m:]

        def T(E):
            return schur_complement(shifted(blocks[0], E), *blocks[1:3], shifted(blocks[3], E))

        H = getattr(H, "_value", H)
        H = getattr(H, "_value", H)
        w, V = onp.linalg.eig(H)
        i = onp.argmin(abs(w - w0[0]))
        E, x = ka.attach_nonlinear(T, w[i], V[:m, i] / onp.linalg.norm(V[:m, i]))
        return np.real(E) + 2 * np.imag(E) + np.sum(np.abs(x) ** 4)

    h = 1e-4
    onp.testing.assert_allclose(grad(f)(0.0), (f(h) - f(-h)) / (2 * h), rtol=1e-6)
    onp.testing.assert_allclose(grad(grad(f))(0.0), (grad(f)(h) - grad(f)(-h)) / (2 * h), rtol=1e-6)


@pytest.mark.parametrize("hermitian", [True, False])
def test_eigs_of_a_schur_complement_factorises_once(hermitian, monkeypatch):
    n, m = 60, 6
    A, D = random(n + m, n + m), random(n + m, n + m)
    A, D = (A + A.T, D + D.T) if hermitian else (A, D)
    A += 50 * onp.eye(n + m)
    calls = []
    splu = spla.splu
    monkeypatch.setattr(spla, "splu", lambda *args, **kwargs: calls.append(1) or splu(*args, **kwargs))

    def f(p, free=True):
        M = A + p * D
        blocks = M[:m, :m], M[:m, m:], M[m:, :m], M[m:, m:]
        if free:
            S = schur_complement(*blocks[:3], csr(blocks[3]))
            w, X = (ka.eigsh if hermitian else ka.eigs)(S, k=2, which="LM", v0=onp.ones(m))
        else:
            w, X = (onp.linalg.eigh if hermitian else onp.linalg.eig)(dense_schur(*blocks))
            order = onp.argsort(abs(w))[-2:]
            w, X = w[order], X[:, order]
        return np.real(np.sum(w)) + np.sum(np.abs(X) ** 4)

    g = grad(f)(0.2)
    assert len(calls) == 1
    h = 1e-4
    onp.testing.assert_allclose(g, (f(0.2 + h, False) - f(0.2 - h, False)) / (2 * h), rtol=1e-6)


# ---- every composite -------------------------------------------------------------------------


def double(v):
    return 2.0 * v


def composites():
    a, b = ka.aslinearoperator(random(4, 4) + 5 * onp.eye(4)), ka.aslinearoperator(sp.csr_array(random(4, 4)))
    c = ka.LinearOperator((4, 4), double, dtype=float)
    stencil = ka.pde.diffusion(onp.ones(4))
    return {
        "dense": a, "sparse": b, "closure": c, "stencil": stencil, "csr": csr(random(4, 4)),
        "scipy operator": ka.aslinearoperator(spla.aslinearoperator(random(4, 4))),
        "sum": a + b, "difference": c - b, "product": a @ c, "scaled": 2.0 * b, "divided": b / 3.0, "power": a**2,
        "adjoint": a.H, "transpose": stencil.T, "kron": ka.kron(a, b), "kronsum": ka.kronsum(a, c),
        "shifted": shifted(stencil, 0.3), "inverse": ka.inverse(a), "schur": schur_complement(a, b, b, a),
        "assembled once": assembled_once(a + b), "block": ka.block_array([[a, b], [None, c]]),
        "selected": c[[0, 2, 3]][:, 1:], "selected entries": csr(random(4, 4))[[0, 2]][:, [3, 1]],
        "transposed entries": csr(random(4, 4)).T, "pattern": ka.LinearOperator((4, 4), double, sparsity=onp.eye(4)),
    }  # fmt: skip


@pytest.mark.parametrize("duplicate", [lambda op: pickle.loads(pickle.dumps(op)), copy.copy, copy.deepcopy])
@pytest.mark.parametrize("name", composites())
def test_operators_can_be_pickled_and_copied(name, duplicate):
    op = composites()[name]
    twin, X = duplicate(op), random(op.shape[1], 2)
    assert (twin.shape, twin.dtype, type(twin)) == (op.shape, op.dtype, type(op))
    onp.testing.assert_array_equal(twin @ X, op @ X)
    onp.testing.assert_array_equal(twin.H @ X, op.H @ X)


@pytest.mark.parametrize("sigma", [None, 0.1])
@pytest.mark.parametrize("traced", [False, True])
def test_a_matrix_is_assembled_once_in_a_solve(traced, sigma, monkeypatch):
    calls = []
    assemble = type(ka.pde.laplacian(3)).explicit
    monkeypatch.setattr(type(ka.pde.laplacian(3)), "explicit", lambda self: calls.append(1) or assemble(self))

    def f(c):
        A, M = ka.pde.diffusion(c) + diagonal(onp.arange(400.0)), 2.0 * ka.pde.diffusion(onp.ones(400))
        w, X = ka.eigsh(A, k=2, M=M, sigma=sigma, which="LM", v0=onp.ones(400))
        return np.sum(w) + np.sum(X[:, 0] ** 4)

    (grad(f) if traced else f)(onp.linspace(1.0, 2.0, 400))
    assert len(calls) == 2
    calls.clear()
    ka.solve(ka.pde.diffusion(onp.ones(9)), onp.ones(9))
    assert len(calls) == 1


def test_products_are_not_multiplied_out_unless_factorised(monkeypatch):
    """A dense B Bᵀ of an n × 1 matrix B, which only sigma, the dense method and k near n ask for."""
    B = random(300, 1)
    A = ka.aslinearoperator(B) @ ka.aslinearoperator(B).T
    assert A.has_matrix()
    assert not A.applied_by_matrix()
    assert not (diagonal(onp.ones(300)) + A).applied_by_matrix()
    calls = []
    explicit = type(A).explicit
    monkeypatch.setattr(type(A), "explicit", lambda self: calls.append(1) or explicit(self))
    size = float(onp.sum(B**2))

    def f(p):
        return ka.eigsh(A * p, k=1, which="LA", v0=onp.ones(300))[0][0]

    onp.testing.assert_allclose(grad(f)(2.0), size, rtol=1e-12)
    assert not calls
    w, _ = ka.eigsh(A, k=1, sigma=0.9 * size, v0=onp.ones(300))
    onp.testing.assert_allclose(w, size, rtol=1e-10)
    small = ka.aslinearoperator(B[:3]) @ ka.aslinearoperator(B[:3]).T
    w = ka.eigsh(small, k=3, return_eigenvectors=False)
    onp.testing.assert_allclose(w[-1], onp.sum(B[:3] ** 2), rtol=1e-12)
    assert len(calls) == 2


def test_products_no_fuller_than_their_factors_are_multiplied_out():
    """Scaled from both sides by a diagonal, a product of theirs among the factors; not so the square of a stencil."""
    D, A = diagonal(onp.linspace(1.0, 2.0, 40)), ka.pde.laplacian((5, 8))
    assert (D @ A @ D).applied_by_matrix()
    assert (A @ ka.aslinearoperator(sp.identity(40)) + D).applied_by_matrix()
    assert not (A @ A).applied_by_matrix()
    assert not (D @ A @ A).applied_by_matrix()
    assert not (D @ closure(onp.eye(40)) @ D).applied_by_matrix()
    assert ka.kron(ka.pde.laplacian(4), ka.pde.laplacian(5)).applied_by_matrix()  # 9 entries in a row
    assert not ka.kron(A, A).applied_by_matrix()  # 25
    assert not ka.kron(onp.eye(4), D).applied_by_matrix()
    assert ka.kronsum(A, D).applied_by_matrix()
    assert not ka.kronsum(A, onp.eye(4)).applied_by_matrix()


def test_blocks_reach_the_operands_as_blocks():
    shapes = []

    def matmat(X):
        shapes.append(X.shape)
        return 2.0 * X

    a = ka.LinearOperator((3, 3), double, double, matmat, matmat, dtype=float)
    assert ka.kron(a, a).applies_blocks()
    ka.kron(a, a) @ onp.ones((9, 5))
    assert shapes == [(3, 15), (3, 15)]
    ka.kronsum(a, a).H @ onp.ones(9)
    assert shapes[2:] == [(3, 3), (3, 3)]


# ---- what is refused -------------------------------------------------------------------------


def test_what_is_refused():
    a, wide = onp.eye(3), onp.ones((2, 3))
    for make, error, text in (
        (lambda: ka.kronsum(a, wide), ValueError, r"kronsum: operators must be square, not of shape \(2, 3\)"),
        (lambda: shifted(wide, 1.0), ValueError, r"cannot add operators of shapes \(2, 3\) and \(2, 2\)"),
        (lambda: shifted(a, "1"), TypeError, "scaled by a number, not by '1'"),
        (lambda: ka.kron(a, "b"), TypeError, "type not understood"),
        (lambda: ka.inverse(wide), ValueError, r"expected square matrix \(shape=\(2, 3\)\)"),
        (lambda: ka.inverse(a, rtol=2), ValueError, r"rtol=2: expected a number in \[0, 1\)"),
        (lambda: ka.inverse(a, solver="lu"), ValueError, "solver='lu': expected None or one of"),
        (lambda: ka.inverse(onp.ones((3, 3))), onp.linalg.LinAlgError, "singular"),
    ):
        with pytest.raises(error, match=text):
            make()


def test_an_inverse_that_has_no_adjoint_or_does_not_converge():
    n = 40
    matrix = random(n, n) + 9 * onp.eye(n)
    forward_only = ka.LinearOperator((n, n), lambda v: onp.asarray(matrix @ v.astype(float)), dtype=float)
    A = ka.inverse(forward_only)
    onp.testing.assert_allclose(A @ onp.ones(n), onp.linalg.solve(matrix, onp.ones(n)), rtol=1e-8)
    with pytest.raises(TypeError, match="cannot transpose matvec"):
        A.H @ onp.ones(n)
    shift = ka.LinearOperator((n, n), lambda v: np.concatenate([v[1:], onp.zeros(1)]), dtype=float)  # singular
    with pytest.raises(ka.LinearNoConvergence, match="gmres did not solve A x = b for 1 of 1"):
        ka.inverse(shift) @ onp.ones(n)
    with pytest.raises(ka.AdjointNoConvergence):
        ka.inverse(shift).H @ onp.ones(n)


def test_division_by_operators_is_no_inverse():
    with pytest.raises(TypeError):
        operator.truediv(1.0, ka.aslinearoperator(onp.eye(2)))


def test_the_benchmark_of_applications_runs(capsys):
    """It compares every operator with its matrix, and says which one solvers apply."""
    for grid in ((6, 5), (4, 3, 5)):
        for name, made in applications.operators(grid):
            applications.row(grid, name, made)
        applications.complex_row(grid)
    printed = capsys.readouterr().out
    assert (printed.count(" matrix\n"), printed.count("as given\n"), printed.count("vector")) == (9, 3, 2)
