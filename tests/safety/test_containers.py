"""Traced values in arrays and matrices of NumPy and SciPy: the errors say what to use in their place."""

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp
from autograd import grad

import krylov_adj as ka

S = sp.csr_array(onp.diag(onp.arange(1.0, 7.0)) + onp.eye(6, k=1) + onp.eye(6, k=-1))
V = onp.ones(6)

#: What is made of a traced t, and the text of the error.
CONTAINERS = {
    "numpy.array": (
        lambda t: onp.array([[t if i == j else 1.0 for i in range(6)] for j in range(6)]),
        r"np\.array\(\[\[",
    ),
    "numpy.diag": (lambda t: onp.diag(t * V), r"np\.diag\(t \* v\)"),
    "numpy.stack": (lambda t: onp.stack([t * V] * 6), r"np\.stack"),
    "csr_array of parts": (
        lambda t: sp.csr_array((t * S.data, S.indices, S.indptr), shape=S.shape),
        r"krylov_adj\.csr_array\(\(data, indices, indptr\), shape\)",
    ),
    "spdiags": (lambda t: sp.spdiags(t * V, 0, 6, 6), r"diags_array\(diagonals, offsets=\.\.\.\)"),
    "t * S": (
        lambda t: t * S,
        r"SciPy csr_array in a sum, product or quotient.*krylov_adj\.aslinearoperator\(S\) \* t",
    ),
    "S / t": (lambda t: S / t, r"SciPy csr_array in a sum"),
    "matrix * t": (lambda t: sp.csc_matrix(S) * t, r"SciPy csc_matrix in a sum"),
    "S @ v in a matvec": (
        lambda t: ka.LinearOperator((6, 6), lambda v: S @ (t * v), dtype=float),
        r"krylov_adj\.aslinearoperator\(S\) @ v in place of S @ v",
    ),
}
CALLS = {
    "eigsh": lambda A: np.sum(ka.eigsh(A, k=2, v0=V)[0]),
    "eigs": lambda A: np.sum(np.real(ka.eigs(A, k=2, v0=V)[0])),
    "svds": lambda A: np.sum(ka.svds(A, k=2, v0=V)[1]),
    "solve": lambda A: np.sum(ka.solve(A, V)),
    "aslinearoperator": lambda A: np.sum(ka.aslinearoperator(A) @ V),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_the_error_names_the_function_to_use(container, call):
    make, text = CONTAINERS[container]
    with pytest.raises(TypeError, match=text):
        grad(lambda t: CALLS[call](make(t)))(1.0)


def test_a_mass_and_a_right_hand_side():
    with pytest.raises(TypeError, match=r"Use autograd\.numpy"):
        grad(lambda t: np.sum(ka.eigsh(S, k=2, M=onp.diag(t * V), v0=V)[0]))(1.0)
    with pytest.raises(TypeError, match=r"Use autograd\.numpy"):
        grad(lambda t: np.sum(ka.solve(S, onp.array([t] * 6))))(1.0)
