"""The inverse of A − σM by LU factorisation, and its adjoint from the same factors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla

Array = np.ndarray


def factorise(A: Any, M: Any, sigma: Any) -> tuple[Callable[[Array], Array], Callable[[Array], Array], np.dtype]:
    """v ↦ (A − σM)⁻¹ v, v ↦ (A − σM)⁻ᴴ v and their dtype.

    Parameters
    ----------
    A, M : ndarray or SciPy sparse, shape (n, n)
        M None for the identity.
    sigma : number

    Raises
    ------
    RuntimeError
        From SuperLU where the sparse A − σM is exactly singular.
    """
    dtype = np.result_type(A.dtype, np.float32, *(() if M is None else (M.dtype,)))
    if np.imag(sigma) != 0:
        dtype = np.result_type(dtype, np.complex64)
    shift = dtype.type(sigma if dtype.kind == "c" else np.real(sigma))
    if sp.issparse(A) and (M is None or sp.issparse(M)):
        identity = sp.identity(A.shape[0], dtype=dtype, format="csc")
        lu = spla.splu((A - shift * (identity if M is None else M)).tocsc().astype(dtype))

        def solve(V: Array, adjoint: bool) -> Array:
            return lu.solve(np.asarray(V, dtype, order="F"), "H" if adjoint else "N")

    else:
        A = A.toarray() if sp.issparse(A) else A
        M = np.eye(A.shape[0], dtype=dtype) if M is None else M.toarray() if sp.issparse(M) else M
        factors = la.lu_factor(A - shift * M)

        def solve(V: Array, adjoint: bool) -> Array:
            return la.lu_solve(factors, np.asarray(V, dtype), 2 if adjoint else 0)

    def apply(V: Array, adjoint: bool = False) -> Array:
        if np.iscomplexobj(V) and dtype.kind != "c":
            return solve(V.real, adjoint) + 1j * solve(V.imag, adjoint)
        return solve(V, adjoint)

    return apply, lambda V: apply(V, True), dtype
