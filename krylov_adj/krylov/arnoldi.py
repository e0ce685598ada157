"""Arnoldi without a restart, which stops at the step that it has converged in.

A restarted process such as ARPACK's converges at the end of a cycle only, and a start that knows much is not felt
before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import small
from .blocks import steps_to_go
from .orthogonal import KrylovProcess
from .precision import Precision
from .space import Space

Array = np.ndarray

#: Ritz values whose residual is below this part of them will be wanted if their residual's reach is.
ARRIVING = 1e-2


@dataclass(frozen=True)
class Found:
    """The largest Ritz pairs (theta (k + e,), X (n, k + e), ‖x‖ = 1), converged or not; e of the k-th one's modulus."""

    theta: Array
    X: Array
    converged: bool


def arnoldi(space: Space, apply: Callable[[Array], Array], start: Array, k: int, tol: float, dimension: int) -> Found:
    """The k eigenpairs of T with the largest ``|θ|``, to residuals of tol ``|θ|``.

    Parameters
    ----------
    space : Space
    apply : callable
        ``apply(v)`` is T v, for single vectors.
    start : ndarray, shape (n,)
        Complex where T is.
    k : int
    tol : float
    dimension : int
        Largest dimension of the space; what has not converged then is returned as it is.
    """
    precision, check, history = Precision.of(start.dtype), k + 2, list[tuple[int, float]]()
    process = KrylovProcess(space, apply, start, np.zeros((start.size, 0)), dimension, dimension)
    H, V = process.H, process.V
    for m in range(1, dimension + 1):
        process.step()
        closed, norm = process.closed, np.abs(H[m, m - 1])
        if m < check and m < dimension and not closed:
            continue
        theta, S = small.eig(space, H[:m, :m])
        order = np.argsort(-np.abs(theta), kind="stable")
        theta, S = theta[order], S[:, order]
        size, residuals = np.abs(theta), norm * np.abs(S[-1])
        # Those that k would cut from others of their modulus are wanted with them: pairs of a real T, mostly.
        wanted = int(np.count_nonzero(size >= (1 - precision.half) * size[min(k, m) - 1]))
        excess = float(np.max(residuals[:wanted] / (max(tol, precision.eps) * size[:wanted])))
        history.append((m, excess))
        coming = size + np.where(residuals <= ARRIVING * size, residuals, 0)
        complete = k <= wanted < m and bool(np.all(coming[wanted:] < size[wanted - 1]))
        if closed or m == dimension or (excess <= 1 and complete):
            X = (S[:, :wanted].T @ V[:m]).T
            return Found(theta[:wanted], X / space.norms(X), excess <= 1 and complete and not closed)
        check = m + (steps_to_go(history) if excess > 1 else 1)
    raise AssertionError("unreachable")
