"""The rest of the spectrum by LAPACK: the pencil compressed to the complement of the computed pairs.

With orthonormal bases V of X^⊥ and U of (B X)^⊥ the eigenvalues of UᴴAV x = λ UᴴBV x are those that were not computed;
of a Hermitian pencil (B X)^⊥ serves on both sides. There is nothing to be matched.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg as la

from ..krylov.precision import Precision
from .completeness import Completeness, Judge
from .structures import Triplets

Array = np.ndarray

#: Where eigenvalues of a matrix that is not Hermitian are this close, which ill-conditioned ones are by rounding, the
#: smallest singular value tells whether they coincide.
CLOSE = 1e-4

#: B is definite where its lowest eigenvalue is above so many machine epsilons of the highest, times n.
DEFINITE = 10.0

#: An eigenvalue α/β is infinite where β is below so many machine epsilons of the pencil's size.
INFINITE = 10.0


def by_lapack(judge: Judge) -> Completeness:
    """All of the eigenvalues that were not computed."""
    problem, pairs, w = judge.problem, judge.pairs, judge.w
    A, B = problem.dense
    if isinstance(problem.structure, Triplets):
        rows, root = problem.structure.rows, float(np.sqrt(2))
        U, V = complement(root * pairs.X[:rows]), complement(root * pairs.X[rows:])
        values = _singular_values(U.conj().T @ A[:rows, rows:] @ V)
        return judge.judge("proved", values, np.abs(values[:, None] - w), judge.tolerance)
    right = complement(pairs.Q_BX if problem.hermitian else pairs.Q_X)
    left = right if problem.hermitian else complement(pairs.Q_BX)
    A = left.conj().T @ A @ right
    compressed_B = None if problem.B is None else left.conj().T @ B @ right
    # T(λ) of a nonlinear problem is singular, or it is not.
    values = (
        np.zeros(min(len(A), 1)) if problem.structure.nonlinear else eigenvalues(A, compressed_B, problem.hermitian)
    )
    distances = np.abs(values[:, None] - w)
    if not problem.hermitian:
        # Of ill-conditioned ones rounding is more than the tolerance; that A − wB is singular is seen all the same.
        for i in np.flatnonzero(np.min(distances, axis=0, initial=np.inf) <= CLOSE * judge.size):
            distances[:, i] = _from_singular(A, compressed_B, w[i])
    return judge.judge("proved", values, distances, judge.tolerance)


def complement(Q: Array) -> Array:
    """An orthonormal basis (n, n − d) of what is orthogonal to the columns of Q (n, d)."""
    return la.qr(Q, mode="full")[0][:, Q.shape[1] :]


def eigenvalues(A: Array, B: Array | None, hermitian: bool) -> Array:
    """The finite eigenvalues of a dense pencil."""
    if not len(A):
        return np.zeros(0)
    if B is None:
        return la.eigvalsh(A) if hermitian else la.eigvals(A)
    if hermitian:
        lowest, highest = la.eigvalsh(B)[[0, -1]]
        if lowest > DEFINITE * len(B) * Precision.of(A.dtype).eps * highest:  # not so in buckling mode
            return la.eigvalsh(A, B)
    alpha, beta = la.eigvals(A, B, homogeneous_eigvals=True)
    size = INFINITE * Precision.of(A.dtype).eps * np.linalg.norm(B) * np.abs(alpha)
    finite = np.abs(beta) * np.linalg.norm(A) > size
    values = alpha[finite] / beta[finite]
    return values.real if hermitian else values


def _singular_values(A: Array) -> Array:
    return la.svdvals(A) if A.size else np.zeros(0)


def _from_singular(A: Array, B: Array | None, w: complex) -> float:
    """‖(A − wB)v‖/‖Bv‖ for the right singular vector v of the smallest singular value."""
    s, VH = la.svd(A - w * (np.eye(len(A)) if B is None else B))[1:]
    v = VH[-1].conj()
    return float(s[-1] / np.linalg.norm(v if B is None else B @ v))
