"""Every kind of operator of the package passes `check_operator`: one table."""

import itertools

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

import krylov_adj as ka

DTYPES = ("float32", "float64", "complex64", "complex128")
SHAPES = ((6, 6), (4, 7), (7, 4))


def random(shape, dtype, seed=0):
    rng = onp.random.default_rng(seed)
    values = rng.standard_normal(shape)
    if onp.dtype(dtype).kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(dtype)


def matrix(shape, dtype, seed=0):
    """A third of its entries zero, and well away from singular where it is square."""
    values = random(shape, dtype, seed)
    values[onp.random.default_rng(9).uniform(size=shape) < 1 / 3] = 0
    return values + 4 * onp.eye(*shape, dtype=dtype)


def csr(M):
    S = sp.csr_array(M)
    return ka.csr_array((S.data, S.indices, S.indptr), M.shape)


def coo(M):
    row, col = onp.nonzero(M)
    order = onp.random.default_rng(1).permutation(row.size)
    return ka.coo_array((M[row, col][order], (row[order], col[order])), M.shape)


def diags(M):
    offsets = [1, 0, -2]
    return ka.diags_array([onp.diagonal(M, offset) for offset in offsets], offsets=offsets, shape=M.shape)


def assembled(M):
    n = M.shape[0]
    dofs = onp.stack([onp.arange(n), onp.roll(onp.arange(n), 1), onp.full(n, -1)], axis=1)
    return ka.assemble(random((n, 3, 3), M.dtype, 3), dofs, (n, n))


def functions(*names):
    def make(M):
        zero = M.dtype.type(0)
        known = {
            "rmatvec": lambda v: np.dot(M.conj().T, v + zero),
            "matmat": lambda V: np.dot(M, V + zero),
            "rmatmat": lambda V: np.dot(M.conj().T, V + zero),
        }
        return ka.LinearOperator(
            M.shape, lambda v: np.dot(M, v + zero), dtype=M.dtype, **{name: known[name] for name in names}
        )

    return make


class InScipysWay(ka.LinearOperator):
    def __init__(self, M):
        self.M = M
        super().__init__(shape=M.shape, dtype=M.dtype)

    def _matvec(self, v):
        return np.dot(self.M, v + self.M.dtype.type(0))


CALLBACKS = [chosen for size in range(4) for chosen in itertools.combinations(("rmatvec", "matmat", "rmatmat"), size)]

#: kind: made of a matrix of any shape (SQUARE: of a square one)
ANY = {
    "dense": ka.aslinearoperator,
    "scipy csr_array": lambda M: ka.aslinearoperator(sp.csr_array(M)),
    "scipy csc_matrix": lambda M: ka.aslinearoperator(sp.csc_matrix(M)),
    "scipy coo_array": lambda M: ka.aslinearoperator(sp.coo_array(M)),
    "scipy operator": lambda M: ka.aslinearoperator(spla.aslinearoperator(M)),
    "csr_array": csr,
    "coo_array": coo,
    "subclass": InScipysWay,
    **{f"functions {' '.join(names)}": functions(*names) for names in CALLBACKS},
    "diags_array": diags,
    "eye_array": lambda M: ka.eye_array(*M.shape, k=1, dtype=M.dtype),
    "block_array": lambda M: ka.block_array([[csr(M), None, M], [None, functions()(M), csr(M) * 0.5]]),
    "block_diag": lambda M: ka.block_diag([functions("rmatvec")(M), M[:2], csr(M)]),
    "rows and columns": lambda M: functions()(M)[[2, 0]][:, ::2],
    "rows and columns of entries": lambda M: csr(M)[[2, 0]][:, ::2],
    "sum": lambda M: csr(M) + functions()(M),
    "difference": lambda M: ka.aslinearoperator(M) - coo(M.real.astype(M.dtype)) * 0.5,
    "product": lambda M: csr(M).H @ functions("rmatvec")(M),
    "scaled": lambda M: csr(M) * (0.3 if M.dtype.kind == "f" else 0.3 - 0.4j),
    "divided": lambda M: functions()(M) / 3.0,
    "negative": lambda M: -coo(M),
    "adjoint": lambda M: functions()(M).H,
    "transpose": lambda M: csr(M).T,
    "kron": lambda M: ka.kron(csr(M), M[:2, :3]),
    "kron of three": lambda M: ka.kron(functions("matmat")(M), M[:1, :2], csr(M[:3, :2])),
}
SQUARE = {
    "assemble": assembled,
    "power": lambda M: csr(M) ** 3,
    "power 0": lambda M: csr(M) ** 0,
    "kronsum": lambda M: ka.kronsum(csr(M), M[:3, :3]),
    "kronsum of three": lambda M: ka.kronsum(functions()(M), csr(M[:2, :2]), M[:3, :3]),
    "inverse": lambda M: ka.inverse(csr(M), rtol=1e-6),
    "inverse by gmres": lambda M: ka.inverse(functions()(M), rtol=30 * float(onp.finfo(M.dtype).eps)),
    "prepared": lambda M: (functions()(M) + csr(M)).prepared(),
    "plain": lambda M: (functions()(M) + ka.kron(M, M[:1, :1])).plain(),
}
TABLE = [
    (kind, shape, dtype)
    for kinds, shapes in ((ANY, SHAPES), (SQUARE, SHAPES[:1]))
    for kind, shape, dtype in itertools.product(kinds, shapes, DTYPES)
]


@pytest.mark.parametrize(("kind", "shape", "dtype"), TABLE)
def test_operators(kind, shape, dtype):
    operator = {**ANY, **SQUARE}[kind](matrix(shape, dtype))
    assert operator.dtype == onp.dtype(dtype)
    assert f"{operator.shape}, {dtype}: linear to" in ka.check_operator(operator)


GRIDS = [(7,), (4, 5), (3, 4, 2)]
BOUNDARIES = ["dirichlet", "neumann", "periodic", 0.7, "mixed"]
DIFFERENTIAL = {
    "laplacian": lambda grid, boundary, dtype: ka.pde.laplacian(grid, 0.5, boundary, onp.dtype(dtype)),
    "diffusion": lambda grid, boundary, dtype: ka.pde.diffusion(
        1.0 + abs(random(grid, dtype)).astype(dtype), 0.5, boundary
    ),
    "upwind": lambda grid, boundary, dtype: ka.pde.advection(random((len(grid), *grid), dtype), 0.5, boundary),
    "central": lambda grid, boundary, dtype: ka.pde.advection(
        random((len(grid), *grid), dtype), 0.5, boundary, "central"
    ),
}


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kind", DIFFERENTIAL)
def test_differential_operators(kind, grid, boundary):
    """Laplacians and diffusion with real coefficients are also Hermitian, for every boundary."""
    conditions = ["periodic", "dirichlet", -0.4][: len(grid)] if boundary == "mixed" else boundary
    bloch = isinstance(boundary, float) or (boundary == "mixed" and len(grid) == 3)
    for dtype in ("float32", "float64", "complex128"):
        if dtype == "complex128" and kind in ("laplacian", "upwind"):
            continue
        operator = DIFFERENTIAL[kind](grid, conditions, dtype)
        assert (operator.dtype.kind == "c") == (bloch or dtype == "complex128")
        hermitian = kind in ("laplacian", "diffusion") and dtype != "complex128"
        ka.check_operator(operator, hermitian=hermitian)
        ka.check_operator(operator.H @ operator, hermitian=True)
        ka.check_operator(ka.aslinearoperator(operator.value()), hermitian=hermitian)


def test_the_table_is_complete():
    """Every public function that returns an operator has a row."""
    makers = {
        name
        for space in (ka, ka.pde)
        for name in space.__all__
        if getattr(getattr(space, name), "__annotations__", {}).get("return")
        in ("LinearOperator", "Stencil", "csr_array")
    }
    makers |= {"csr_array", "LinearOperator"}
    rows = {*ANY, *SQUARE, *DIFFERENTIAL}
    named = {"aslinearoperator": "dense", "LinearOperator": "functions ", "advection": "upwind"}
    assert {named.get(name, name) for name in makers} <= rows
    assert len(makers) >= 12
