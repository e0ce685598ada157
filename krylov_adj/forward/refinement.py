"""Singular triplets that were computed from AᴴA, made triplets of A.

A solver of AᴴA v = σ²v leaves ‖Aᴴu − σ v‖ ≈ ε‖A‖²/σ, which for σ < √ε‖A‖ is no smaller than σ: such triplets
are none, and derivatives at them would be wrong by ε(‖A‖/σ)². Newton's method on A itself,

    (H − σᵢ) zᵢ = −rᵢ  on the complement of all triplets,   H = [[0, A], [Aᴴ, 0]],
    (uᵢ, vᵢ) ← (uᵢ, vᵢ) + zᵢ,   then orthonormalised and rotated such that UᴴAV is diagonal,

squares the error in every step; the rotation takes care of what couples the triplets among themselves,
clusters included. (It is the block form of the Jacobi-Davidson correction, Hochstenbach, SIAM J. Sci.
Comput. 23 (2001) 606, solved accurately.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..krylov import small
from ..krylov.precision import Precision
from ..krylov.space import Space
from ..options import Adjoint
from ..perturbation import structures
from ..perturbation.pairs import DeflatedPairs
from ..perturbation.problem import Eigenproblem, ValueOperator
from ..perturbation.sides import tangent_side
from ..perturbation.singular import AugmentedOperator
from ..perturbation.solving import solve

Array = np.ndarray

#: Newton steps: from where it converges at all, three reach rounding.
STEPS = 4

#: Residuals past this over ‖A‖ are those of no triplet at all: it would converge to any.
HOPELESS = 1e-3


@dataclass(frozen=True)
class Triplets:
    """A V ≈ U diag(s), Aᴴ U ≈ V diag(s).

    ``residuals`` (k,) are those of the eigenpairs of H, relative to nothing; ``needed`` (k,) is what they may be,
    and ``strayed`` (k,) how much of the vectors is outside of what the solver returned.
    """

    U: Array
    s: Array
    V: Array
    residuals: Array
    needed: Array
    strayed: Array

    @property
    def bad(self) -> Array:
        return np.flatnonzero(~((self.residuals <= self.needed) & (self.strayed <= 0.5)))


def refined(H: AugmentedOperator, U: Array, s: Array, V: Array, rtol: float, options: Adjoint) -> Triplets:
    """Return the triplets with residuals of at most rtol·σ, up to rounding, or as near as Newton's method comes.

    Those that have such residuals already are returned as they are.
    """
    precision = Precision.of(U.dtype)
    problem, space = Eigenproblem(H, None, True, "2", structure=structures.Triplets(H.rows), space=H.space), H.space
    norm = max(float(np.max(s)), problem.norms[0])
    given, order = (U, V), np.argsort(np.argsort(s, kind="stable"))
    strayed = np.zeros(s.size)

    def needed(s: Array) -> Array:
        return np.maximum(rtol * s, precision.indistinct * norm)

    R = _residual(H, U, s, V)
    residuals = space.norms(R) / np.sqrt(2)
    if not (residuals <= np.maximum(HOPELESS * norm, needed(s))).all():
        return Triplets(U, s, V, residuals, needed(s), strayed)
    U, V = _nearest_isometry(space, U), _nearest_isometry(space, V)
    for _ in range(STEPS):
        if (residuals <= needed(s)).all():
            break
        U, s, V, R = _rayleigh_ritz(space, H, U, V)
        X = np.concatenate([U, V]) / np.sqrt(2)
        open_ = space.norms(R) / np.sqrt(2) > needed(s)
        rhs = np.where(open_, -R / np.sqrt(2), 0)
        # The error is squared anyhow: digits past those are not needed.
        pairs = DeflatedPairs.of(problem, s, X, replace(options, rtol=max(1e-6, precision.floor)))
        solved = solve(tangent_side(pairs), rhs, space.norms(rhs))
        Z, report = solved.U, solved.report
        if report.converged:
            U, V = (_nearest_isometry(space, W) for W in (U + np.sqrt(2) * Z[: H.rows], V + np.sqrt(2) * Z[H.rows :]))
            U, s, V, R = _rayleigh_ritz(space, H, U, V)
        U, s, V, R = U[:, order], s[order], V[:, order], R[:, order]
        residuals = space.norms(R) / np.sqrt(2)
        outside = [space.norms(space.project_out(G, W)) for G, W in zip(given, (U, V), strict=True)]
        strayed = np.maximum(*outside)
        if not report.converged:
            break
    return Triplets(*_in_phase(space, given, U, s, V), residuals, needed(s), strayed)


def vanishing(H: ValueOperator, s: Array) -> float:
    """Return the largest σ that rounding does not tell from zero."""
    return Precision.of(s.dtype).indistinct * max(float(np.max(s)), Eigenproblem(H, None, True, "2").norms[0])


def _in_phase(space: Space, given: tuple[Array, Array], U: Array, s: Array, V: Array) -> tuple[Array, Array, Array]:
    """Return the triplets with the phases (signs) of the given ones."""
    if U is given[0] and V is given[1]:
        return U, s, V
    inner = sum(space.total(np.sum(W.conj() * G, axis=0)) for G, W in zip(given, (U, V), strict=True))
    size = np.abs(inner)
    phase = (inner / np.where(size > 0, size, 1) + (size == 0)).astype(U.dtype)
    return U * phase, s, V * phase


def _residual(H: AugmentedOperator, U: Array, s: Array, V: Array) -> Array:
    """Return (A v − σ u, Aᴴ u − σ v) of every triplet, (m + n, k)."""
    W = np.concatenate([U, V])
    return H.apply(W) - W * s


def _rayleigh_ritz(space: Space, H: AugmentedOperator, U: Array, V: Array) -> tuple[Array, Array, Array, Array]:
    """Return U, σ, V rotated such that UᴴAV is diagonal, by increasing σ, and their residuals."""
    image = H.apply(np.concatenate([U, V]))
    AV, AHU = image[: H.rows], image[H.rows :]
    P, s, QH = small.svd(space, space.gram(U, AV))
    P, s, Q = P[:, ::-1], s[::-1], QH.conj().T[:, ::-1]
    U, V = U @ P, V @ Q
    return U, s, V, np.concatenate([AV @ Q - U * s, AHU @ P - V * s])


def _nearest_isometry(space: Space, U: Array) -> Array:
    """Return the nearest matrix with orthonormal columns; U itself where it is one to rounding."""
    gram = space.gram(U, U)
    if np.max(np.abs(gram - np.eye(gram.shape[0]))) <= Precision.of(U.dtype).orthonormal:
        return U
    P, _, QH = space.svd(U)
    return P @ QH
