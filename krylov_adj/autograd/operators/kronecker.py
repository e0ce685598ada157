"""Kronecker products and sums of operators, under SciPy's names and in SciPy's order.

A vector is a grid function with one axis for each factor, flattened in C order, and each factor is
applied along its axis to all other axes at once. No factor is multiplied out.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..elementary import xp
from .algebra import Composite
from .base import LinearOperator
from .matrices import Dense, aslinearoperator

__all__ = ["kron", "kronsum"]


def kron(A: Any, B: Any, *more: Any) -> LinearOperator:
    """The Kronecker product A ⊗ B (⊗ …) as an operator, in the order of `scipy.sparse.kron`.

    Parameters
    ----------
    A, B, *more : anything `aslinearoperator` takes
        Shapes (m₁, n₁), (m₂, n₂), …; may depend on traced values where their type can.

    Returns
    -------
    LinearOperator
        Of shape (m₁ m₂ …, n₁ n₂ …). With the vector as an array X of shape (n₁, n₂), A ⊗ B maps X to
        A X Bᵀ: A acts along the first axis, B along the second.

    Raises
    ------
    TypeError, ValueError
        From `aslinearoperator`.

    Notes
    -----
    Applied factor by factor, to whole blocks: n₂ applications of A and n₁ of B (of square factors)
    to a vector. ``explicit()`` multiplies the factors' matrices out, with nnz(A) nnz(B) entries, for
    ``sigma`` and direct solves, and where that is no more work; it is None where a factor has no matrix.

    Derivative
    ----------
    With respect to the vector and everything that the factors depend on, to any order.

    Examples
    --------
    >>> import numpy as np
    >>> import krylov_adj as ka
    >>> X = np.arange(6.0).reshape(2, 3)
    >>> A, B = np.array([[1.0, 2.0], [0.0, 1.0]]), np.diag([1.0, 10.0, 100.0])
    >>> print(np.array_equal(ka.kron(A, B) @ X.ravel(), (A @ X @ B.T).ravel()))
    True
    """
    operands = [aslinearoperator(operand) for operand in (A, B, *more)]
    rows, columns = (int(np.prod([operand.shape[i] for operand in operands])) for i in (0, 1))
    return Kronecker((rows, columns), np.result_type(*(operand.dtype for operand in operands)), *operands)


def kronsum(A: Any, B: Any, *more: Any) -> LinearOperator:
    """The Kronecker sum A ⊕ B (⊕ …) of square operators, in the order of `scipy.sparse.kronsum`.

    Parameters
    ----------
    A, B, *more : anything `aslinearoperator` takes
        Square, of orders m, n, …; may depend on traced values where their type can.

    Returns
    -------
    LinearOperator
        Of order m n …: for two operators ``kron(I_n, A) + kron(B, I_m)``. That is SciPy's
        convention, in which the *first* operator acts along the last, fastest axis of the C-ordered array of
        shape (…, n, m). A separable operator on a grid of shape (nx, ny) is ``kronsum(Ay, Ax)``.
        Its eigenvalues are all sums of one eigenvalue of each operator.

    Raises
    ------
    ValueError
        Operators that are not square.
    TypeError
        From `aslinearoperator`.

    Notes
    -----
    Applied to whole blocks along each axis: n applications of A and m of B to a vector.
    ``explicit()`` is a SciPy ``csr_array``, which solvers apply where all operators are sparse, or None
    where one has no matrix.

    Derivative
    ----------
    With respect to the vector and everything that the operators depend on, to any order.

    Examples
    --------
    A separable potential in two dimensions, E = E_x + E_y:

    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> D = -0.5 * ka.pde.laplacian(20, spacing=0.5)
    >>> x2 = 0.25 * (numpy.arange(20) - 9.5) ** 2
    >>> def ground_state(stiffness):  # E = ω/2 + 1/2, ω² = stiffness, up to the discretisation
    ...     Vx = ka.csr_array((0.5 * stiffness * x2, numpy.arange(20), numpy.arange(21)), (20, 20))
    ...     Vy = ka.csr_array((0.5 * x2, numpy.arange(20), numpy.arange(21)), (20, 20))
    ...     H = ka.kronsum(D + Vy, D + Vx)
    ...     return ka.eigsh(H, k=1, sigma=0.0, v0=numpy.ones(400))[0][0]
    >>> print(round(float(grad(ground_state)(1.0)), 2))  # dE/dω² = 1/(4 ω)
    0.24
    """
    operands = [aslinearoperator(operand) for operand in (A, B, *more)]
    for operand in operands:
        if operand.shape[0] != operand.shape[1]:
            raise ValueError(f"kronsum: operators must be square, not of shape {operand.shape}")
    n = int(np.prod([operand.shape[0] for operand in operands]))
    return KroneckerSum((n, n), np.result_type(*(operand.dtype for operand in operands)), *operands)


class Kronecker(Composite):
    """A₁ ⊗ … ⊗ A_d."""

    def _apply(self, X: Any) -> Any:
        return self._each(X, [(operand._apply, *operand.shape) for operand in self._operands])

    def _apply_adjoint(self, X: Any) -> Any:
        return self._each(X, [(operand._apply_adjoint, *operand.shape[::-1]) for operand in self._operands])

    def _each(self, X: Any, factors: list[tuple[Any, int, int]]) -> Any:
        before, after = int(np.prod([columns for _, _, columns in factors])), X.shape[1] if X.ndim == 2 else 1
        # Factors that make the array smaller come first; else the last axis, whose blocks are nearly in place.
        order = sorted(range(len(factors)), key=lambda axis: (factors[axis][1] / max(factors[axis][2], 1), -axis))
        sizes = [columns for _, _, columns in factors]
        Y = xp.reshape(X, (before, after))
        for axis in order:
            apply, rows, _ = factors[axis]
            Y = _along(Y, apply, (*sizes, after), axis, rows)
            sizes[axis] = rows
        return xp.reshape(Y, (int(np.prod(sizes)), *X.shape[1:]))

    def _matrix(self, *matrices: Any) -> Any:
        if not any(sp.issparse(matrix) for matrix in matrices):
            return functools.reduce(np.kron, matrices)
        return sp.csr_array(functools.reduce(lambda a, b: sp.kron(a, b, format="csr"), matrices))

    def applied_by_matrix(self) -> bool:
        """Where the sparse product has no more entries than what applying all factors takes, which also transposes."""
        if not super().applied_by_matrix() or any(map(_has_dense_parts, self._operands)):
            return False
        filling = [operand.explicit().nnz / max(operand.shape[0], 1) for operand in self._operands]  # of a row
        return bool(np.prod(filling) <= 2 * np.sum(filling))


class KroneckerSum(Composite):
    """A₁ ⊕ … ⊕ A_d, A₁ along the last axis."""

    def _apply(self, X: Any) -> Any:
        return self._summed(X, [operand._apply for operand in self._operands])

    def _apply_adjoint(self, X: Any) -> Any:
        return self._summed(X, [operand._apply_adjoint for operand in self._operands])

    def _summed(self, X: Any, functions: list[Any]) -> Any:
        sizes = (*(operand.shape[0] for operand in self._operands[::-1]), X.shape[1] if X.ndim == 2 else 1)
        total = None
        for axis, apply in enumerate(reversed(functions)):
            term = xp.reshape(_along(X, apply, sizes, axis, sizes[axis]), X.shape)
            total = term if total is None else total + term
        return total

    def applied_by_matrix(self) -> bool:
        return super().applied_by_matrix() and not any(map(_has_dense_parts, self._operands))

    def _matrix(self, *matrices: Any) -> Any:
        arrays = map(sp.csr_array, matrices)  # of matrices SciPy 1.18 warns
        return sp.csr_array(functools.reduce(lambda a, b: sp.kronsum(a, b, format="csr"), arrays))


def _along(X: Any, apply: Any, sizes: tuple[int, ...], axis: int, rows: int) -> Any:
    """``apply`` along one axis of X seen as an array of the given sizes, all others as one block."""
    left, n, right = int(np.prod(sizes[:axis])), sizes[axis], int(np.prod(sizes[axis + 1 :]))
    if left == 1:
        return apply(xp.reshape(X, (n, right)))  # (rows, right)
    block = xp.reshape(xp.transpose(xp.reshape(X, (left, n, right)), (1, 0, 2)), (n, left * right))
    return xp.transpose(xp.reshape(apply(block), (rows, left, right)), (1, 0, 2))  # (left, rows, right)


def _has_dense_parts(operator: LinearOperator) -> bool:
    """Dense matrices along each axis are faster than the sparse matrix of their sum."""
    parts = operator._operands if isinstance(operator, Composite) else ()
    return isinstance(operator, Dense) or any(map(_has_dense_parts, parts))
