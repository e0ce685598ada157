"""An invariant subspace as what is deflated, in the place of eigenpairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..krylov.block_diagonal import Blocks
from ..options import Adjoint
from .cache import kept
from .pairs import DeflatedPairs
from .problem import Eigenproblem, apart_from

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class DeflatedSpace(DeflatedPairs):
    """An invariant subspace in the place of eigenpairs: the w are the eigenvalues of H, the vectors X V.

    Nothing completes it: of a real pencil it is closed under conjugation, or the conjugate space is left outside.

    Attributes
    ----------
    basis, image : ndarray, shape (n, k)
        X and B X.
    V : ndarray, shape (k, k)
    """

    basis: Array
    image: Array
    V: Array

    @classmethod
    def spanned(
        cls, problem: Eigenproblem, X: Array, BX: Array, R: Array, blocks: Blocks, options: Adjoint
    ) -> DeflatedSpace:
        """Return the space of X; R (n, k) is A X − B X H."""
        w, rotated, space = blocks.w, np.asfortranarray(X @ blocks.V), problem.space
        residuals = space.norms(R @ blocks.V) / space.norms(rotated)
        inner = space.gram(X, R)
        return cls(apart_from(problem, w), w, rotated, options, residuals, inner, X, BX, blocks.V)

    @kept
    def cut(self) -> Array:
        return np.zeros(0, dtype=int)

    @kept
    def BX(self) -> Array:
        return np.asarray(self.image @ self.V)

    @kept
    def bases(self) -> tuple[Array, Array]:
        """Orthonormal bases (n, k) of X and of B X, real where these are."""
        if self.problem.B is None and self.problem.hermitian:
            return self.basis, self.basis
        Q = self.space.basis(self.basis, False)
        return Q, Q if self.problem.B is None else self.space.basis(self.image, False)
