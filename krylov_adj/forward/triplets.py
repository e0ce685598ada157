"""The forward solve of `svds`: SciPy's triplets, made triplets of A, as eigenpairs of H = [[0, A], [Aᴴ, 0]]."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse.linalg import svds as scipy_svds

from ..options import Adjoint
from ..perturbation.problem import Eigenproblem, Pairs, ValueOperator, real_dtype
from ..perturbation.selection import Ranking, Selection
from ..perturbation.singular import AugmentedOperator
from ..perturbation.structures import Triplets
from ..report.messages import triplets_not_resolved
from .arpack import accepted_residual
from .operands import named_boxes
from .refinement import refined, vanishing
from .scaling import ONE, Units

__all__ = ["ResolvedTriplets", "TripletRequest", "resolve_triplets", "scipy_triplets"]

Array = np.ndarray

_HAS_RNG = "rng" in inspect.signature(scipy_svds).parameters


@dataclass(frozen=True, eq=False)
class TripletRequest:
    """Singular triplets that are asked for: SciPy's arguments, as plain values; SciPy checks them."""

    k: Any
    which: str = "LM"
    tol: Any = 0
    ncv: Any = None
    v0: Any = None
    maxiter: Any = None
    solver: str = "arpack"
    rng: Any = None
    random_state: Any = None
    options: Any = None

    @property
    def selection(self) -> tuple[Ranking, int]:
        """The ranking of squares of singular values, and the size of ARPACK's basis."""
        ranking = Ranking("SA" if self.which == "SM" else "LA", None, "none", True)
        return ranking, int(self.ncv or max(2 * self.k + 1, 20))


def scipy_triplets(request: TripletRequest, A: Any, wanted: bool | str = True) -> Any:
    """Return SciPy's result for ``return_singular_vectors=wanted``; A is one of SciPy's operands."""
    seed = {} if request.random_state is None else {"random_state": request.random_state}
    if request.rng is not None:
        seed |= {"rng": request.rng} if _HAS_RNG else {"random_state": np.random.default_rng(request.rng)}
    with named_boxes():
        return scipy_svds(
            A,
            request.k,
            ncv=request.ncv,
            tol=request.tol,
            which=request.which,
            v0=request.v0,
            maxiter=request.maxiter,
            return_singular_vectors=wanted,
            solver=request.solver,
            options=request.options,
            **seed,
        )


@dataclass(frozen=True, eq=False)
class ResolvedTriplets:
    """Triplets with small residuals in A itself.

    Attributes
    ----------
    given : (u, s, v)
        SciPy's, with columns v.
    kept : ndarray of int
        Which of them are resolved. The others have σ = 0 to rounding, and vectors that are none.
    pairs : Pairs
        Eigenpairs (σ, (u, v)/√2) of ``problem`` for those.
    problem : Eigenproblem
    reason : str
        Why the others are not.
    """

    given: tuple[Array, Array, Array]
    kept: Array
    pairs: Pairs
    problem: Eigenproblem
    reason: str


def resolve_triplets(
    request: TripletRequest,
    A: ValueOperator,
    triplets: tuple[Array, Array, Array],
    options: Adjoint,
    scale: Units = ONE,
) -> ResolvedTriplets:
    """Return SciPy's triplets (u, s, vh) of A, made accurate.

    Raises
    ------
    ValueError
        Where some are no triplets, and their σ are not zero.
    """
    ranking, ncv = request.selection
    selection, H, tol = Selection(ranking, ncv, A.applications), AugmentedOperator(A), float(request.tol)
    u, s, vh = triplets
    dtype = np.result_type(A.dtype, np.float32)
    u, s, v = u.astype(dtype), s.astype(real_dtype(dtype)), vh.conj().T.astype(dtype)
    rtol, kept = max(tol, options.tolerance(dtype)), np.arange(s.size)
    found = refined(H, u, s, v, rtol, options)
    reason = triplets_not_resolved(found.s * scale.a, found.residuals * scale.a, found.strayed, found.bad)
    # From AᴴA SciPy has one vector of σ = 0, and the other from a division by zero: an error where that is read.
    resolved = np.flatnonzero(s > vanishing(H, s))
    if found.bad.size and resolved.size and not np.intersect1d(found.bad, resolved).size:
        kept = resolved
        found = refined(H, u[:, kept], s[kept], v[:, kept], rtol, options)
    if found.bad.size:
        raise ValueError(reason)
    name = str(request.solver).upper() + ("" if np.array_equal(found.s, s[kept]) else "+Newton")
    asked_for = selection if kept.size == s.size else None  # what was left out was computed, too
    X = np.concatenate([found.U, found.V]) / dtype.type(np.sqrt(2))
    pairs = Pairs(
        found.s,
        X,
        "2",
        name,
        selection=asked_for,
        rtol=accepted_residual(dtype, tol),
        applications=A.applications,
    )
    problem = Eigenproblem(H, None, True, "2", structure=Triplets(H.rows), units=scale.pair, selection=asked_for)
    return ResolvedTriplets((u, s, v), kept, pairs, problem, reason)
