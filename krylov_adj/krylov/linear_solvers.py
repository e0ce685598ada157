"""The engines of linear systems: one pass each, D with A D ≈ R for a block of right-hand sides.

An engine gets A and the preconditioner as functions of blocks and promises nothing: whoever calls
it computes the residual, and calls again while it falls. SciPy's solvers report success for a
recurred residual that has drifted from the true one; its MINRES is wrong for complex Hermitian
matrices, and ours stands in its place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ..report.linear_messages import singular
from ..report.messages import not_finite
from .factors import SingularMatrix, factors_of
from .gmres import gmres
from .minres import minres
from .precision import Precision
from .space import Space

Array = np.ndarray
Apply = Callable[[Array], Array]
#: (A, P or None, R, target of every column relative to R, most iterations) to (D, iterations).
Engine = Callable[[Apply, Apply | None, Array, Array, int], tuple[Array, int]]

ITERATIVE = ("gmres", "minres", "cg", "bicgstab", "gcrot")
#: Solvers of Hermitian systems: the adjoint system is the system.
HERMITIAN = ("minres", "cg")

#: Krylov dimension between restarts of GMRES; the next one where a whole pass made no progress.
RESTARTS = (60, 120, 240, 480)
#: Restarts of GMRES, or outer steps of GCROT, in one pass.
CYCLES = 5
#: Largest Krylov basis, in numbers: beyond it fewer columns at once, and no larger restart.
BASIS_ENTRIES = 5 * 10**7
#: Inner steps of GCROT for each outer one.
GCROT_STEPS = 20

# SciPy 1.11 calls the tolerance tol, later versions rtol.
_RTOL = "rtol" if "rtol" in inspect.signature(spla.cg).parameters else "tol"


class Breakdown(ArithmeticError):
    """A solver's vectors have overflowed: raised by the functions that it is given."""


def iterative_engines(space: Space, solver: str, n: int) -> list[Engine]:
    """The engines to try in order: one, or for GMRES one for every restart; for the systems of one matrix."""
    if solver == "minres":
        return [partial(_minres, space)]
    if solver != "gmres" and not space.whole:
        raise NotImplementedError(f"solver={solver!r} is SciPy's and needs all rows on one process; use 'gmres'")
    if solver == "gcrot":
        return [partial(_gcrot, [])]
    if solver != "gmres":
        return [partial(_scipy, getattr(spla, solver), {})]
    larger = [restart for restart in RESTARTS[1:] if restart < 2 * n and restart * n <= BASIS_ENTRIES]
    return [partial(_gmres, space, restart) for restart in (RESTARTS[0], *larger)]


def _gmres(
    space: Space, restart: int, A: Apply, P: Apply | None, R: Array, target: Array, maxiter: int
) -> tuple[Array, int]:
    """GMRES on as many columns at once as fit."""
    n, m = R.shape
    D, most = np.zeros_like(R), 0
    width = max(1, BASIS_ENTRIES // (restart * n))
    for start in range(0, m, width):
        part = slice(start, start + width)
        steps = min(maxiter, CYCLES * restart)
        D[:, part], taken, _ = gmres(space, lambda V, columns: A(V), R[:, part], target[part], steps, restart, P)
        most = max(most, taken)
    return D, most


def _minres(space: Space, A: Apply, P: Apply | None, R: Array, target: Array, maxiter: int) -> tuple[Array, int]:
    return minres(space, lambda V, columns: A(V), R, target, maxiter, P)[:2]


def _scipy(
    function: Callable[..., Any],
    options: dict[str, Any],
    A: Apply,
    P: Apply | None,
    R: Array,
    target: Array,
    maxiter: int,
) -> tuple[Array, int]:
    """One of SciPy's solvers, column by column."""
    n, m = R.shape

    def as_scipy(function: Apply) -> spla.LinearOperator:
        return spla.LinearOperator((n, n), lambda v: function(v.reshape(-1, 1)).reshape(v.shape), dtype=R.dtype)

    options = options | {"M": None if P is None else as_scipy(P), "maxiter": maxiter, "atol": 0.0}
    D, most = np.zeros_like(R), 1
    for j in range(m):
        calls: list[None] = []
        options |= {_RTOL: target[j], "callback": lambda x, c=calls: c.append(None)}
        try:
            with np.errstate(all="ignore"):  # a breakdown shows in the residual
                D[:, j] = function(as_scipy(A), R[:, j], **options)[0]
        except Breakdown:
            pass
        most = max(most, len(calls))
    return D, most


def _gcrot(recycled: list[Any], A: Apply, P: Apply | None, R: Array, target: Array, maxiter: int) -> tuple[Array, int]:
    """GCROT; the space that it recycles serves all columns and passes.

    Not in single precision, where SciPy's criterion for dependent vectors (1e-12) keeps all.
    """
    cycles = min(CYCLES, -(-maxiter // GCROT_STEPS))
    options = {"m": GCROT_STEPS, "CU": recycled if Precision.of(R.dtype).eps < 1e-12 else None}
    D, steps = _scipy(spla.gcrotmk, options, A, P, R, target, cycles)
    if not np.all(np.isfinite(D)):
        recycled.clear()
    return D, steps * GCROT_STEPS


# --------------------------------------------------------------------------------------------
# LU factors.
# --------------------------------------------------------------------------------------------


def lu_factors(matrix: Any, dtype: np.dtype) -> Callable[[Array, bool], Array]:
    """(V, adjoint) ↦ A⁻¹ V or A⁻ᴴ V for an explicit matrix.

    Raises
    ------
    numpy.linalg.LinAlgError
        At a zero pivot.
    ValueError
        For NaN or infinity.
    """
    matrix = matrix.tocsc().astype(dtype) if sp.issparse(matrix) else np.asarray(matrix, dtype)
    if not np.all(np.isfinite(matrix.data if sp.issparse(matrix) else matrix)):
        raise ValueError(not_finite("A"))
    try:
        return factors_of(matrix)
    except SingularMatrix as error:
        raise np.linalg.LinAlgError(singular(None)) from error
