"""Eigenpairs of Hermitian problems for `eigsh`: Lanczos with an inverse, or with a filter.

For what ARPACK needs most applications for, and with the certainty that no eigenvalue was missed
(`krylov.lanczos`). What this does not apply to, or what does not converge, is ARPACK's.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

from ..krylov.ordering import InvariantSubspace
from ..krylov.precision import Precision
from ..options import DENSE_ORDER
from ..perturbation.problem import Inverse, Pairs, Surplus, ValueOperator
from .continuation import Continuation
from .lanczos import LanczosSolve
from .request import Request
from .warm_start import Warm

__all__ = ["applies_to", "hermitian_pairs"]

Array = np.ndarray

#: The basis, unless ``ncv`` says: as ARPACK's without an inverse, where it may be the memory, and with one
#: enough for most problems without a restart.
DIMENSION = 20
INVERSE_DIMENSION = 30

#: Of the random vectors, unless ``rng`` is given: equal calls have equal results.
SEED = 7


def applies_to(request: Request, A: ValueOperator, M: ValueOperator | None) -> bool:
    """Return whether a problem is for `hermitian_pairs`, as far as can be told without its inverse.

    Not: M without sigma, modes other than "normal", small or invalid problems.
    """
    n, k, sigma, which, tol = A.shape[0], request.k, request.sigma, request.which, request.tol
    kind = which == "LM" if sigma is not None else M is None and which in ("SA", "LA", "LM", "SM")
    if not kind or np.imag(sigma or 0.0) or request.mode != "normal" or n <= DENSE_ORDER:
        return False
    integers = all(value is None or isinstance(value, Integral) for value in (k, request.ncv, request.maxiter))
    if not integers or not 0 < k < n or (request.maxiter is not None and request.maxiter <= 0):
        return False
    if request.Minv is not None or not isinstance(tol, Real) or not float(tol) >= 0:
        return False
    start = None if request.v0 is None else np.asarray(request.v0)
    numbers = "fiubc" if any(operator.dtype.kind == "c" for operator in (A, M) if operator is not None) else "fiub"
    usable = start is None or (
        start.shape == (n,) and start.dtype.kind in numbers and 0 < np.max(np.abs(start)) < np.inf
    )
    return usable and k + 4 <= _dimension(request, n)


def _dimension(request: Request, n: int) -> int:
    """Return the number of vectors of the basis."""
    default = DIMENSION if request.sigma is None else INVERSE_DIMENSION
    return min(int(request.ncv or max(3 * request.k, default)), n // 2)


def hermitian_pairs(
    request: Request,
    A: ValueOperator,
    M: ValueOperator | None,
    inverse: Inverse | None,
    continuation: Continuation | None = None,
    warm: Warm | None = None,
) -> Pairs | None:
    """Return M-normalised pairs of a Hermitian problem that this `applies_to`; None where ARPACK is to be asked.

    That is what has not converged, and an inverse that is complex where A and M are real. It may have another shift
    than sigma.
    """
    n, k, sigma, which = A.shape[0], int(request.k), request.sigma, request.which
    dtypes = [operator.dtype for operator in (A, M) if operator is not None]
    if inverse is not None:
        # SciPy solves with the real part of an inverse that is complex where A and M are real.
        if inverse.operator.dtype.kind == "c" and all(dtype.kind == "f" for dtype in dtypes):
            return None
        dtypes.append(inverse.operator.dtype)
    if (inverse is None) != (sigma is None) or any(dtype.kind not in "fc" for dtype in dtypes):
        return None
    v0, maxiter, tol = request.v0, request.maxiter, request.tol
    dimension, dtype = _dimension(request, n), np.result_type(*dtypes)
    real_dtype = np.finfo(dtype).dtype
    rng = np.random.default_rng(SEED if request.rng is None else request.rng)
    scale = 1.0 if M is None else _scale(M)

    def random() -> Array:
        v = scale * rng.standard_normal(n)
        return (v if dtype.kind == "f" else v + 1j * scale * rng.standard_normal(n)).astype(dtype)

    first = random()
    start = None if v0 is None else (np.asarray(v0) / np.max(np.abs(v0))).astype(dtype)
    reference = first if start is None else start
    if warm is not None:
        # Completeness is proved, so that no random part is needed for what the kept vectors do not have.
        reference, start = warm.reference, warm.start.astype(dtype)
    solve = LanczosSolve(
        k=k,
        dimension=dimension,
        tol=max(float(tol), Precision.of(dtype).eps),
        most=10 * n if maxiter is None else dimension + int(maxiter) * (dimension - k),
        random=random,
        first=first,
        start=start,
        continuation=continuation,
    )
    try:
        if inverse is not None:
            found = solve.inverted(A, inverse, M, float(np.real(sigma)))
        elif which == "LM":
            found = solve.largest(A)
        elif which == "SM":
            found = solve.smallest(A)
        else:
            found = solve.filtered(A, 1 if which == "LA" else -1)
    except InvariantSubspace:
        return None
    if found is None:
        return None
    w = found.w
    order = np.argsort(w[:k])
    # Signs, or phases, that do not jump from one parameter to the next.
    along = A.space.gram(reference, found.X[:, :k])
    size = np.abs(along)
    phases = np.where(size > 0, along.conj(), 1) / np.where(size > 0, size, 1)
    X = np.asfortranarray((found.X[:, :k] * phases.astype(dtype))[:, order])
    next_w = w[k:].astype(real_dtype) if found.resolved else None
    surplus = Surplus(next_w, found.other_w.astype(real_dtype), found.other_X)
    return Pairs(w[:k][order].astype(real_dtype), X, "2" if M is None else "M", found.method, inverse, surplus)


def _scale(M: ValueOperator) -> Any:
    """Return M's diagonal to the power of −½, where it is explicit.

    A vector of random entries on this scale has an equal share of all eigenvectors, wherever they live.
    """
    if not M.explicit:
        return 1.0
    diagonal = np.real(M.matrix.diagonal())
    return np.where(diagonal > 0, diagonal, np.max(diagonal)) ** -0.5
