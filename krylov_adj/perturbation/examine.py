"""Residuals of given eigenpairs A x = λ B x, and the digits of λ that the operators determine.

‖A x − λ B x‖ is judged by (‖A‖ + |λ|‖B‖)‖x‖, which is blind to λ where it is far below ‖A‖/‖B‖: then every smooth x
has a small residual. So λ must be the one that belongs to x, zᴴ(A x − λ B x) = 0 for a z that is not nearly
orthogonal to B x: the left eigenvector x of a Hermitian problem, B x of others. Rounding in A x and λ B x changes it by

    δλ = ε (‖A‖ + |λ|‖B‖) ‖x‖‖z‖ / |zᴴB x|,

for Hermitian problems ε (‖A‖ + |λ|‖B‖) ‖x‖²/|xᴴB x|. For B = I that is ε‖A‖. Of a stiff mass matrix, such as −d²/dx²
by differences, x sees a part of the size |zᴴB x|/(‖x‖‖z‖‖B‖) only, 10⁻⁶ for the lowest modes of a beam with 4,000
points; and ‖A‖ is that of d⁴/dx⁴. δλ is then no small part of λ, whatever the solver, and x is no better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..krylov.precision import Precision
from .problem import Eigenproblem
from .spans import overlaps

Array = np.ndarray

#: Deviations of λ up to so many δλ are rounding: norms of A and B are estimated from below.
ROUNDINGS = 100.0

#: B is stiff where a vector sees less than this part of it.
STIFF = 1e-3

#: Digits are few where δλ is past this part of λ, or of its distance from others. It is a bound: of some thousand
#: unknowns, whose errors average out, gradients are an order of magnitude better.
FEW = 1e-4


@dataclass(frozen=True)
class Examination:
    """The facts that A x − λ B x shows.

    Attributes
    ----------
    scales : ndarray, shape (k,)
        ‖A‖ + |λ|‖B‖, the norms from below.
    residuals : ndarray, shape (k,)
        ‖A x − λ B x‖ / ‖x‖, relative to the scales.
    deviations : ndarray, shape (k,)
        How far λ is from the one that belongs to x.
    rounding : ndarray, shape (k,)
        δλ.
    seen : ndarray, shape (k,)
        The part of B that x sees.
    """

    scales: Array
    residuals: Array
    deviations: Array
    rounding: Array
    seen: Array

    def accepted(self, w: Array, rtol: float) -> Array:
        """The deviations that are accepted."""
        return np.maximum(rtol * np.abs(w), ROUNDINGS * self.rounding)

    def of_few_digits(self, w: Array) -> dict[int, float]:
        """δλ of those that a stiff B leaves few digits, relative to λ or the distance of the next, if that is more."""
        distance = np.abs(w[:, None] - w)
        distance[distance <= 10 * (self.rounding[:, None] + self.rounding)] = np.inf
        nearest = np.min(distance, axis=1)
        with np.errstate(divide="ignore"):
            relative = self.rounding / np.maximum(np.abs(w), np.where(np.isfinite(nearest), nearest, 0))
        few = (self.seen < STIFF) & (relative > FEW)
        return {int(i): float(relative[i]) for i in np.flatnonzero(few)}


def examine(problem: Eigenproblem, w: Array, X: Array, AX: Array, BX: Array) -> Examination:
    """The pairs by A X and B X, which the caller has computed."""
    eps, norms, space = Precision.of(X.dtype).eps, problem.space.norms(X), problem.space
    norm_A, norm_B = problem.norms
    norm_A = max(norm_A, float(np.max(space.norms(AX) / norms)))
    norm_B = max(norm_B, float(np.max(space.norms(BX) / norms)))
    scales = norm_A + np.abs(w) * norm_B
    R, Z = AX - BX * w, X if problem.hermitian else BX
    residuals = space.norms(R) / (norms * np.where(scales > 0, scales, 1))
    seen = overlaps(space, X, Z, BX) / norm_B
    with np.errstate(divide="ignore", invalid="ignore"):  # B x = 0: any λ will do, or none
        deviations = np.abs(space.dots(Z, R)) / (space.norms(Z) * norms * seen * norm_B)
        return Examination(scales, residuals, deviations, eps * scales / (seen * norm_B), seen)
