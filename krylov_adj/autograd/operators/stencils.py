"""Stencils on rectangular grids (forms/stencils.py) as operators that autograd differentiates through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse.linalg as spla

from ...forms.stencils import Coupling, StencilForm
from ...forms.trilinear import INPUT, OUTPUT
from ..elementary import xp
from ..trace import strip
from ..trilinear import contract
from .base import LinearOperator

__all__ = ["Stencil"]


class Stencil(LinearOperator):
    """A linear operator on functions on a grid, shape (n, n) with n the number of grid points.

    Made by the functions of `krylov_adj.pde`. Vectors are the flattened (C order) grid functions.
    Supports what every `krylov_adj.LinearOperator` does; ``value()`` is the SciPy sparse matrix.

    Examples
    --------
    >>> import krylov_adj as ka
    >>> A = ka.pde.laplacian(3)
    >>> print(A.grid, A.value().toarray().tolist())
    (3,) [[-2.0, 1.0, 0.0], [1.0, -2.0, 1.0], [0.0, 1.0, -2.0]]
    """

    def __init__(self, grid: tuple[int, ...], coefficients: Sequence[Any], couplings: Sequence[Coupling]):
        self.grid = grid
        self._coefficients = xp.concatenate([xp.ravel(a) for a in coefficients])
        self._form = StencilForm(grid, [np.shape(strip(a)) for a in coefficients], couplings)
        n = int(np.prod(grid))
        spla.LinearOperator.__init__(self, self._coefficients.dtype, (n, n))

    def _apply(self, X: Any) -> Any:
        return contract(self._coefficients, X, self._form, OUTPUT)

    def _apply_adjoint(self, X: Any) -> Any:
        return xp.conj(contract(self._coefficients, xp.conj(X), self._form, INPUT))  # Aᴴ x = conj(Aᵀ conj(x))

    def prepared(self) -> LinearOperator:
        return self

    def explicit(self) -> Any:
        return self._form.matrix(strip(self._coefficients))

    def applies_blocks(self) -> bool:
        return True

    def value(self) -> Any:
        """The operator at its present coefficients as a SciPy ``csr_array``, assembled anew."""
        return self.explicit()
