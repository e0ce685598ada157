"""Couplings between computed eigenpairs: numerators over gaps, and how many digits rounding leaves of them.

A coupling t = q/δ has a numerator q that is a difference of terms of some size s, rounded to εs, so that t is
known to εs/δ. A numerator of at most `NOISE` εs may be rounding alone: then t is zero (the noise rule). It is
truly zero for a loss of the span of a cluster (a projector), at every gap, and rounding makes no error. Of another
function of a cluster, such as Σ F(wᵢ) xᵢᴴWxᵢ with numerators of the order of the gap, the noise rule has
dropped what it should not have. The cotangents γᵢ of the eigenvalues tell the two apart. A smooth function of the
compressed matrix H = XᴴAX has a cotangent Γ with the γᵢ on its diagonal and the couplings off it. Where the γᵢ of a
cluster are equal, Γ is a multiple of the identity in every basis but for chance, and has no couplings; where they are
not, the couplings are as large as their differences. So what was dropped is at most NOISE εs/δ, and about |γᵢ − γⱼ|.

The vectors themselves are known up to a rotation by θ = e/δ, e the backward error of the pairs in their span
(rounding, and the residuals' part in it), at most a large one. It turns Γ into Γ + [Γ, θ], an error of
(|tⱼᵢ| + |γᵢ − γⱼ|) θ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..krylov.precision import NOISE, Precision

Array = np.ndarray


@dataclass(frozen=True)
class Coupling:
    """A coupling between two eigenpairs, and what is wrong with it.

    Of coinciding eigenvalues, which has no quotient and was dropped: ``size`` is its numerator's, relative to what it
    was computed from. Of others: ``size`` is the error that rounding makes of it, relative to the whole derivative. j
    counts the conjugates that complete the deflation too, see `DeflatedPairs.name`.
    """

    j: int
    i: int
    size: float
    gap: float


@dataclass(frozen=True)
class Quotients:
    """Couplings (d, k); zeros where numerators are ``noise``, and where eigenvalues are ``equal``.

    ``rounding`` is the error that the numerators' rounding makes of those that are not zero; ``dropped`` are those of
    equal eigenvalues that are not noise, and ``lost`` (d, k) the sizes of their numerators.
    """

    values: Array
    rounding: Array
    lost: Array
    noise: Array
    equal: Array
    dropped: tuple[Coupling, ...]

    def above(self, others: Quotients) -> Quotients:
        """These couplings, and those of other pairs in the rows below."""
        values, rounding, lost, noise, equal = (
            np.concatenate([getattr(self, part), getattr(others, part)])
            for part in ("values", "rounding", "lost", "noise", "equal")
        )
        return Quotients(values, rounding, lost, noise, equal, self.dropped + others.dropped)


def divide(numerators: Array, gaps: Array, size: Array, equal: Array, eps: float, first: int = 0) -> Quotients:
    """numerators / gaps (d, k) by the noise rule, zero on the diagonal and where eigenvalues count as ``equal``.

    ``size`` (d, k) is what the numerators' rounding is relative to; ``first`` is the number of the first row's pair.
    """
    rows, columns = np.arange(first, first + gaps.shape[0]), np.arange(gaps.shape[1])
    noise = (np.abs(numerators) <= NOISE * eps * size) | (rows[:, None] == columns)
    zero = noise | equal
    safe = np.where(zero, 1, gaps)
    dropped = tuple(
        Coupling(int(rows[j]), int(i), float(abs(numerators[j, i]) / size[j, i]), float(abs(gaps[j, i])))
        for j, i in np.argwhere(equal & ~noise)
    )
    rounding = np.where(zero, 0, eps * size / np.abs(safe))
    lost = np.where(equal & ~noise, np.abs(numerators), 0)
    return Quotients(np.where(zero, 0, numerators / safe), rounding, lost, noise, equal, dropped)


def rotations(gaps: Array, level: Array) -> Array:
    """θ (d, k): the angles up to which the vectors of two eigenpairs are known, at most one; zero on the diagonal.

    ``level`` (d, k) is the pairs' backward error in their span.
    """
    theta = level / np.maximum(np.maximum(np.abs(gaps), level), Precision.of(level.dtype).tiny)
    np.fill_diagonal(theta, 0)
    return theta


def dropped_sizes(couplings: Quotients, gaps: Array, level: Array) -> Array:
    """Return lower bounds on the couplings (d, k) that equal eigenvalues made zeros."""
    return couplings.lost / np.maximum(np.maximum(np.abs(gaps), level), Precision.of(level.dtype).tiny)


def coupling_errors(couplings: Quotients, gaps: Array, size: Array, level: Array, weights: Array, eps: float) -> Array:
    """Errors (d, k) of an adjoint's couplings, of those that were dropped as noise too.

    ``weights`` (d,) are the cotangents of the eigenvalues; the other arguments are those of `divide` and `rotations`.
    """
    k = gaps.shape[1]
    unequal = np.abs(weights[:, None] - weights[:k])
    with np.errstate(divide="ignore", invalid="ignore"):
        largest = NOISE * eps * size / np.abs(gaps)
    lost = np.where(couplings.noise, np.fmin(largest, unequal), 0) + dropped_sizes(couplings, gaps, level)
    return couplings.rounding + lost + (np.abs(couplings.values) + unequal) * rotations(gaps, level)
