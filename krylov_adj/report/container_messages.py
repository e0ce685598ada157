"""The texts of messages about traced values in arrays and matrices of NumPy and SciPy: as in `messages.py`."""

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
