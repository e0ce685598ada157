"""Singular triplets A v = σ u, Aᴴ u = σ v as eigenpairs, without squaring A.

The Hermitian matrix H = [[0, A], [Aᴴ, 0]] has the eigenpairs (σ, (u, v)/√2) and, mirrored by
D = diag(I, −I), (−σ, (u, −v)/√2). H, unlike AᴴA, has the condition of A, and the systems H − σᵢ of the
derivatives that of the gaps |σⱼ − σᵢ|, σⱼ + σᵢ and, where A is rectangular, σᵢ itself.

Given k triplets, both members of every mirrored pair are known and deflated: together they span
(U, 0) and (0, V), so that the deflation acts on the halves by themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from ..krylov.minres import minres
from ..krylov.precision import Precision
from ..krylov.space import Space
from .problem import ValueOperator

Array = np.ndarray


class AugmentedOperator(ValueOperator):
    """H = [[0, A], [Aᴴ, 0]] of an operator A of shape (m, n); counts applications of A and of Aᴴ."""

    def __init__(self, operator: ValueOperator):
        size = sum(operator.shape)
        matrix = self._blocks if operator.explicit else None
        both = self._augmented, self._augmented
        super().__init__((size, size), operator.dtype, *both, operator.name, matrix, space=operator.space)
        self.operator = operator
        self.rows = operator.shape[0]

    @property
    def applications(self) -> int:
        return self.operator.applications

    def apply(self, V: Array) -> Array:
        return self._augmented(V)  # the operator counts, and looks for NaN

    adjoint = apply

    def _augmented(self, V: Array) -> Array:
        top, bottom = V[: self.rows], V[self.rows :]
        return np.concatenate([self.operator.apply(bottom), self.operator.adjoint(top)])

    def half(self, V: Array, lower: bool) -> Array:
        """H V for a V whose upper (``lower``) half alone is not zero: one application of A or Aᴴ."""
        result = np.zeros(V.shape, np.result_type(V, self.dtype), order="F")
        if lower:
            result[: self.rows] = self.operator.apply(V[self.rows :])
        else:
            result[self.rows :] = self.operator.adjoint(V[: self.rows])
        return result

    def _blocks(self) -> Any:
        """Made when it is first asked for: only factorisations do."""
        A = self.operator.matrix
        if sp.issparse(A):
            return sp.bmat([[None, A], [A.conj().T, None]], format="csc")
        m, n = A.shape
        return np.block([[np.zeros((m, m), A.dtype), A], [A.conj().T, np.zeros((n, n), A.dtype)]])


# --------------------------------------------------------------------------------------------
# MINRES on half vectors.
# --------------------------------------------------------------------------------------------


def bidiagonal_minres(
    space: Space, H: AugmentedOperator, X: Array, sigma: Array, rhs: Array, rtol: Array, maxiter: int
) -> tuple[Array, int, Array]:
    """Solve (H − σᵢ) zᵢ = bᵢ on the complement of (U, 0) and (0, V).

    Started from a vector with one half zero, Lanczos' vectors of H have one half zero in turns, and a
    step costs one application of A or of Aᴴ (it is Golub & Kahan's bidiagonalisation); shifting H
    changes no vector, only the diagonal. So the other half of b is eliminated first: with
    z = (0, −q/σ) + z′ and b = (p, q),

        (H − σ) z′ = (p + A q/σ, 0),

    or by p/σ with the halves exchanged, such that the iteration starts in the shorter half and what
    of the longer one is in the null space of A or Aᴴ never enters it. Half the applications of MINRES on
    H as it comes, and no more than those of AᴴA − σ², whose condition is the square. What the division
    by a small σ costs in accuracy is seen in the residual and solved for again by the caller.

    Parameters
    ----------
    space : Space
    H : AugmentedOperator
    X : ndarray, shape (m + n, k)
        All triplets, (u, v)/√2.
    sigma : ndarray, shape (c,)
        The shifts of the c systems, not zero.
    rhs : ndarray, shape (m + n, c)
    rtol : ndarray, shape (c,)
        Residuals to reach, relative to the columns of ``rhs``.
    maxiter : int

    Returns
    -------
    Z : ndarray, shape (m + n, c)
    iterations : int
    errors : ndarray, shape (c,)
        As `minres` returns it.
    """
    m = H.rows
    start_low = H.shape[0] <= 2 * m  # n ≤ m: start in the half of v
    halves = (slice(m, None), slice(0, m)) if start_low else (slice(0, m), slice(m, None))
    start, other = halves
    bases = {half: np.sqrt(2) * X[rows] for half, rows in ((True, slice(m, None)), (False, slice(0, m)))}

    def apply(V: Array, columns: Array) -> Array:
        lower = not space.any(V[:m])
        HV = H.half(V, lower)
        rows = slice(0, m) if lower else slice(m, None)
        Q = bases[not lower].astype(X.dtype, copy=False)
        HV[rows] -= Q @ space.gram(Q, HV[rows])
        return HV

    eliminated = np.zeros(rhs.shape, rhs.dtype, order="F")
    eliminated[other] = -rhs[other] / sigma
    f = apply(eliminated, np.arange(sigma.size))
    f[start] = rhs[start] - f[start]
    f[other] = 0
    reduced = space.norms(f)
    Z = eliminated
    nonzero = np.flatnonzero(reduced > 0)
    steps, errors = 0, np.zeros(sigma.size)
    if nonzero.size:
        target = rtol[nonzero] * space.norms(rhs[:, nonzero]) / reduced[nonzero]
        target = np.clip(target, Precision.of(rhs.dtype).floor, 0.5)
        update, steps, errors[nonzero] = minres(space, apply, f[:, nonzero], target, maxiter, shifts=-sigma[nonzero])
        Z[:, nonzero] += update
    return Z, steps, errors
