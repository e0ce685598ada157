"""Matrices, and operators from elsewhere, as operators of this package."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ...forward.operands import applied_by_parts, floating
from ...krylov.space import times
from ...report.container_messages import sparse_with_traced
from ..elementary import apply_constant, xp
from ..trace import refuse_boxes, strip
from .base import LinearOperator

__all__ = ["Constant", "Dense", "aslinearoperator"]

# ``t * S`` with a traced t: autograd would trace S, and says only that it cannot.
for _format in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil"):
    for _kind in ("array", "matrix"):
        refuse_boxes(getattr(sp, f"{_format}_{_kind}"), sparse_with_traced(f"{_format}_{_kind}"))


class Dense(LinearOperator):
    """A dense matrix, possibly traced."""

    def __init__(self, matrix: Any):
        self.matrix = matrix
        spla.LinearOperator.__init__(self, np.dtype(matrix.dtype), matrix.shape)

    def _apply(self, X: Any) -> Any:
        return self._multiply(self.matrix, X)

    def _apply_adjoint(self, X: Any) -> Any:
        return self._multiply(xp.conj(self.matrix).T, X)

    def _multiply(self, matrix: Any, X: Any) -> Any:
        # autograd warns where it takes the real part of what a real factor of a complex product gets.
        if np.iscomplexobj(strip(X)) and self.dtype.kind != "c":
            return xp.dot(matrix, xp.real(X)) + 1j * xp.dot(matrix, xp.imag(X))
        if self.dtype.kind == "c" and not np.iscomplexobj(strip(X)):
            X = X * self.dtype.type(1)
        return xp.dot(matrix, X)

    def prepared(self) -> LinearOperator:
        return self

    def plain(self) -> LinearOperator:
        return Dense(strip(self.matrix))

    def explicit(self) -> Any:
        return strip(self.matrix)

    def applies_blocks(self) -> bool:
        return True


class Constant(LinearOperator):
    """A SciPy sparse matrix or a SciPy LinearOperator, differentiable in the vector only."""

    def __init__(self, constant: Any):
        self.constant = floating(constant)
        spla.LinearOperator.__init__(self, self.constant.dtype, constant.shape)

    def _apply(self, X: Any) -> Any:
        return apply_constant(X, self._values, self._adjoint_values)

    def _apply_adjoint(self, X: Any) -> Any:
        return apply_constant(X, self._adjoint_values, self._values)

    def _values(self, X: np.ndarray) -> np.ndarray:
        if sp.issparse(self.constant):
            return times(self.constant, X)
        return applied_by_parts(self.constant, self.constant.matvec if X.ndim == 1 else self.constant.matmat, X)

    def _adjoint_values(self, X: np.ndarray) -> np.ndarray:
        if sp.issparse(self.constant):  # SciPy's transpose is a view; conjugating the vectors copies no matrix
            return times(self.constant.T, X) if self.dtype.kind != "c" else (self.constant.T @ X.conj()).conj()
        return applied_by_parts(self.constant, self.constant.rmatvec if X.ndim == 1 else self.constant.rmatmat, X)

    def prepared(self) -> LinearOperator:
        return self

    def explicit(self) -> Any:
        return self.constant if sp.issparse(self.constant) else None

    def has_matrix(self) -> bool:
        return bool(sp.issparse(self.constant))

    def applies_blocks(self) -> bool:
        return True


def aslinearoperator(A: Any) -> LinearOperator:
    """A as a `LinearOperator` of this package.

    Parameters
    ----------
    A : LinearOperator, SciPy LinearOperator, SciPy sparse matrix, or dense array (traced or not)
        Also anything else with ``shape`` and ``matvec``.

    Returns
    -------
    LinearOperator
        A itself if it is one already. Of floating-point numbers: booleans and integers count as double precision.

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        For an array that is not two-dimensional.

    Derivative
    ----------
    ``aslinearoperator(A) @ x`` is differentiable in x, also where A is a SciPy sparse matrix or a
    SciPy LinearOperator (with ``rmatvec``), and in the entries of a traced dense A.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> import scipy.sparse as sp
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> D = ka.aslinearoperator(sp.diags([1.0, 2.0]))
    >>> grad(lambda x: np.sum((D @ x) ** 2))(np.ones(2))
    array([2., 8.])
    """
    if isinstance(A, LinearOperator):
        return floating(A)
    if isinstance(A, spla.LinearOperator) or sp.issparse(A):
        return Constant(A)
    if isinstance(strip(A), np.ndarray):
        if np.ndim(strip(A)) != 2:
            raise ValueError(f"a matrix has two dimensions, not shape {np.shape(strip(A))}")
        # No np.matrix, whose products have two dimensions.
        return Dense(floating(np.asarray(A)) if strip(A) is A else A)
    return Constant(spla.aslinearoperator(A))


def without_boxes(operator: LinearOperator) -> LinearOperator:
    """The operator's values: it says how to compute, and no derivative passes through it."""

    def apply(V: np.ndarray) -> np.ndarray:
        return strip(operator._apply(V))

    def apply_adjoint(V: np.ndarray) -> np.ndarray:
        return strip(operator._apply_adjoint(V))

    return LinearOperator(operator.shape, apply, apply_adjoint, apply, apply_adjoint, operator.dtype)
