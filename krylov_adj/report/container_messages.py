"""The texts of messages about arrays, matrices and operators that hold traced values or have no matrix."""

from __future__ import annotations

#: Of the objects that autograd puts in the place of traced values.
BOX = "ArrayBox"


def objects_in_array() -> str:
    return (
        "an array of objects: numpy.array, numpy.diag, numpy.stack or an assignment has put traced values of autograd "
        "into an array of NumPy. Use autograd.numpy in their place: import autograd.numpy as np; np.array([[t, 1.0], "
        "[1.0, t]]), np.diag(t * v), np.stack, np.concatenate"
    )


def objects_in_sparse() -> str:
    return (
        "a SciPy sparse matrix of objects: it was made of traced values of autograd. Use krylov_adj.csr_array((data, "
        "indices, indptr), shape), coo_array((data, (row, col)), shape), diags_array(diagonals, offsets=...), "
        "block_array or assemble; and for a factor, krylov_adj.aslinearoperator(S) * t"
    )


def sparse_with_traced(kind: str) -> str:
    return (
        f"a traced number or array met a SciPy {kind} in a sum, product or quotient, which autograd does not know. "
        "Wrap the matrix: krylov_adj.aslinearoperator(S) * t, + and @ with traced values work then; entries that are "
        "traced themselves belong in krylov_adj.csr_array(S).multiply(...), csr_array((data, indices, indptr), shape) "
        "or diags_array(diagonals)"
    )


def sparse_times_traced() -> str:
    return (
        "a SciPy sparse matrix was multiplied with a traced vector, which it takes for an array of objects. Use "
        "krylov_adj.aslinearoperator(S) @ v in place of S @ v"
    )


def pattern_of_numbers(kind: str) -> str:
    return (
        "LinearOperator: sparsity must be a SciPy sparse matrix, or a dense one, whose nonzero entries say where the "
        f"operator's may stand, not {kind}; for a stencil on a grid pass grid=(nx, ny), reach=(1, 1)"
    )


def outside_of_pattern(difference: float, grid: tuple[int, ...], reach: tuple[int, ...]) -> str:
    stencil = (
        f"reach={reach} is too short for the stencil on grid={grid}; (b) vectors are not the grid's points in C order"
        if grid
        else "entries are missing in sparsity; (b) boundaries are periodic, and no entries of it wrap around"
    )
    return (
        "the operator has entries where its pattern has none: its product with a random vector and that of its probed "
        f"matrix differ by {difference:.1e} of their size. It may be that (a) {stencil}; (c) the operator is not "
        "linear: see krylov_adj.check_operator"
    )


def needs_inverse(residual: float, iterations: int) -> str:
    return (
        "sigma needs solves with A − sigma M, and A or M is given by functions alone: GMRES reached a relative "
        f"residual of {residual:.1e} in {iterations} iterations. Give krylov_adj.LinearOperator the places of its "
        "entries, sparsity=S (a SciPy sparse matrix), or grid=(nx, ny) with reach=(1, 1) for a stencil: its matrix is "
        "found by a few products, and factorised. Or pass OPinv=, an operator that applies (A − sigma M)⁻¹"
    )


def complex_start() -> str:
    return (
        "v0 is complex, and A and M are real: SciPy would drop its imaginary part. Pass v0.real, or make A complex: "
        "A + 0j, or A * (1 + 0j) of an operator"
    )
