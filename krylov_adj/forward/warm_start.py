"""Where a solve of a Hermitian problem starts that follows another one: vectors, and a better shift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..krylov import small
from ..krylov.arnoldi import arnoldi
from ..krylov.precision import Precision
from ..perturbation.problem import Inverse, ValueOperator
from .continuation import Continuation, expected
from .request import Request

Array = np.ndarray

#: Gaps between eigenvalues are wide enough for a shift from this part of the wanted ones' extent on.
GAP = 1e-3

#: Residuals of the approximations, of the wanted ones' extent, up to which a shift is placed by them.
SPREAD = 0.2

#: Unwanted eigenvalues on the other side of σ are no hindrance from this many times the distance of the others on.
FAR = 2.0

#: Of the space without restarts for a problem that is not Hermitian, and two more for each pair.
WARM_DIMENSION = 40

#: A shift beside all wanted eigenvalues is so far from the closest, of the extent to the first unwanted one.
BESIDE = 0.1


@dataclass(frozen=True)
class Warm:
    """``start``, the vector to start from; ``reference``, which signs follow; ``shift``, for the inverse."""

    start: Array
    reference: Array
    shift: Any


def warm_start(request: Request, A: ValueOperator, M: ValueOperator | None, continuation: Continuation) -> Warm | None:
    """Return the start by the last calls' eigenvectors; None where there are none of such a problem.

    Without an inverse from where they were going: to apply A to several calls' costs more than it saves.
    """
    k, sigma = int(request.k), request.sigma
    dtype = np.result_type(*(operator.dtype for operator in (A, M) if operator is not None))
    kept = continuation.recent(A.shape[0], dtype)
    if not kept:
        return None
    reference = kept[0][:, :k].sum(axis=1)
    if sigma is None:
        return Warm(expected(kept)[0][:, :k].sum(axis=1), reference, None)
    w, X, spread = rayleigh_ritz(A, M, np.concatenate(kept, axis=1), k, float(np.real(sigma)))
    last, shift = continuation.gap, sigma
    movable = request.OPinv is None and A.explicit and (M is None or M.explicit)
    if movable and last is not None and last[:2] == (k, sigma) and w.size == k:
        shift = better_shift(w, float(np.real(sigma)), last[2], spread)
    return Warm(X.sum(axis=1), reference, shift)


def warm_arnoldi(
    request: Request, dtype: np.dtype, inverse: Inverse, continuation: Continuation
) -> tuple[tuple[Array, Array] | None, Array | None]:
    """Return w (k,) and X (n, k) of A x = w x, not Hermitian, in the last call's order, or None; and a v0 or None.

    ``dtype`` is A's. There are none where the call asks for something else than the eigenvalues closest to sigma,
    where there is nothing to start from, or the space did not do; then the second result, if it is not None, is the
    start vector for ARPACK.
    """
    usual = request.which == "LM" and request.ncv is None and request.maxiter is None
    n, kind = inverse.operator.shape[0], inverse.operator.dtype.kind
    # SciPy solves with the real part of (A − σ)⁻¹ where A is real and σ is not.
    if not usual or not 0 < request.k < n - 1 or (kind == "c" and dtype.kind != "c"):
        v0 = continuation.start_vector(n, dtype, float(request.tol), None)
        return None, v0
    k, tol = int(request.k), float(request.tol)
    start = continuation.start_vector(n, inverse.operator.dtype, tol, None)
    if start is None:
        return None, None
    found = arnoldi(inverse.operator.space, inverse.operator.apply, start, k, tol, min(WARM_DIMENSION + 2 * k, n))
    X = found.X.astype(np.result_type(found.X, np.complex64), copy=False)
    size = np.abs(found.theta)
    certain = size > (1 + 1e-6) * size[-1]  # of a pair that k cuts either one serves
    order = continuation.in_last_order(X, certain, k)
    if not found.converged or order is None:
        return None, start
    return ((inverse.sigma + 1 / found.theta)[order], np.asfortranarray(X[:, order])), None


def rayleigh_ritz(
    A: ValueOperator, M: ValueOperator | None, V: Array, k: int, sigma: float
) -> tuple[Array, Array, float]:
    """Return approximations to the k eigenpairs closest to σ in the span of V, and the largest ‖A x − w M x‖/‖M x‖."""
    space = A.space
    Q, R = space.qr(V, pivoting=True)
    size = np.abs(np.diagonal(R))
    Q = np.asfortranarray(Q[:, size > 1e-2 * Precision.of(V.dtype).half * size[0]])
    MQ = Q
    if M is not None:  # M-orthonormal, without what M does not see
        MQ = M.apply(Q)
        s, U = small.eigh(space, space.gram(Q, MQ))
        seen = s > Precision.of(V.dtype).half * s[-1]
        U = U[:, seen] * s[seen] ** -0.5
        Q, MQ = np.asfortranarray(Q @ U), MQ @ U
    AQ = A.apply(Q)
    G = space.gram(Q, AQ)
    w, Y = small.eigh(space, 0.5 * (G + G.conj().T))
    first = np.argsort(np.abs(w - sigma))[:k]
    w, Y = w[first], Y[:, first]
    MX = MQ @ Y
    return w, Q @ Y, float(np.max(space.safe_norms(AQ @ Y - MX * w) / space.safe_norms(MX), initial=0))


def gap_beyond(last: float, others: Array) -> float | None:
    """Return how much farther from σ than the last wanted eigenvalue the next on its side is; None if none is known.

    All relative to σ, ``others`` the unwanted ones that are known. Zero with some about as near on the other side: a
    shift that is moved away from them does not tell them from the wanted ones.
    """
    along = others * np.sign(last)
    beyond = np.min(along[along > 0], initial=np.inf)
    opposite = np.min(-along[along < 0], initial=np.inf)
    if opposite <= FAR * min(beyond, abs(last)):
        return 0.0
    return None if np.isinf(beyond) else float(beyond - abs(last))


def better_shift(w: Array, sigma: float, gap: float, spread: float) -> float:
    """Return the shift with which Lanczos finds the eigenvalues w closest to σ in the fewest steps.

    They lie on one side of σ, else σ is in their midst already. w are approximations, the k-th ``gap`` closer to σ than
    the next one, and good for something only if ``spread``, from their residuals, is small.

    With distances t from σ and the shift at s, the unwanted eigenvalues, from c on, are those of T in (0, 1/(c − s)].
    Lanczos convergence to a wanted t grows with how far 1/(t − s) is from that interval in units of its length:
    (c − t)/(t − s) for t > s, (c − s)/(s − t) for t < s. The least of these is largest for a shift between the
    wanted eigenvalues, nearer to the last; it is put in the middle of a gap, or beside the first.
    """
    t, side = np.sort(np.abs(w - sigma)), np.sign(w[0] - sigma)
    c = t[-1] + gap
    extent = c - t[0]
    if not gap > 0 or np.any(np.sign(w - sigma) != side) or spread > SPREAD * extent:
        return sigma
    wide = np.diff(t) > GAP * extent
    places = np.append(0.5 * (t[1:] + t[:-1])[wide], t[0] - BESIDE * extent)
    places = places[places > 0]
    if not places.size:
        return sigma
    away = t - places[:, None]
    reach = np.min(np.where(away > 0, c - t, c - places[:, None]) / np.abs(away), axis=1)
    best = int(np.argmax(reach))
    # The one that there is competes too.
    return float(sigma + side * places[best]) if reach[best] > gap / t[-1] else sigma
