"""Knowledge of the eigenvalues that were not computed, and which of them matter.

An eigenvalue matters where it coincides with a computed one (k cuts a cluster), where it is so close to one that
rounding mixes their vectors visibly, and where it is more wanted than one: then it was missed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..krylov.precision import SAID, SAID_EPSILONS
from .cache import Cache, kept
from .pairs import DeflatedPairs
from .selection import Region

Array = np.ndarray

#: Up to this order LAPACK takes little time (20 ms for a Hermitian matrix): it is asked where no applications of the
#: operator stand against it.
LAPACK_ORDER = 400

#: Tolerances by which a value has to be more wanted than another one to have been missed.
MISSED = 10.0


@dataclass(frozen=True)
class Completeness:
    """Knowledge of the eigenvalues that were not computed.

    Attributes
    ----------
    state : {"proved", "searched", "not settled"}
        Whether LAPACK or the forward pass knows; a search has ruled out others than those below, but for the
        probability that a random vector is blind; or neither.
    closest : ndarray, shape (k,)
        Distances from computed eigenvalues to the closest of the others that are known.
    cut : dict
        Distances from computed eigenvalues, by number, to others that coincide with them.
    close : dict
        For others that nearly do: the distance, and how much of the other vector rounding has mixed into the computed
        one.
    missed : ndarray, shape (m,)
        Eigenvalues that are more wanted than computed ones.
    behind : ndarray of bool, shape (m, k)
        Which computed ones.
    applications, solves : int
        Of the operator and of the inverse, to know that.
    """

    state: str
    closest: Array
    cut: dict[int, float] = field(default_factory=dict)
    close: dict[int, tuple[float, float]] = field(default_factory=dict)
    missed: Array = field(default_factory=lambda: np.zeros(0))
    behind: Array = field(default_factory=lambda: np.zeros((0, 0), dtype=bool))
    applications: int = 0
    solves: int = 0

    def of(self, chosen: Array) -> Completeness:
        """The same for some of the computed eigenvalues."""
        places = {int(i): m for m, i in enumerate(chosen)}
        cut = {places[i]: distance for i, distance in self.cut.items() if i in places}
        close = {places[i]: known for i, known in self.close.items() if i in places}
        behind = self.behind[:, chosen] if self.missed.size else self.behind
        return replace(self, closest=self.closest[chosen], cut=cut, close=close, behind=behind)


class Judge:
    """Compares eigenvalues that were not computed with the computed ones.

    Parameters
    ----------
    pairs : DeflatedPairs
    """

    def __init__(self, pairs: DeflatedPairs):
        self.pairs, self.problem, self.w, self.cache = pairs, pairs.problem, pairs.w, Cache()
        self.tolerance = 2 * pairs.tolerances(self.w.size)

    def judge(self, state: str, values: Array, distances: Array, tolerance: Array) -> Completeness:
        """Return those that matter of eigenvalues (m,) at given distances (m, k) from the computed ones."""
        closest = np.min(distances, axis=0, initial=np.inf)
        cut = {int(i): float(closest[i]) for i in np.flatnonzero(closest <= tolerance)}
        limit = max(SAID, 3 * SAID_EPSILONS * self.pairs.eps)  # by an upper bound of rounding, not an estimate
        # Where half of the digits tell them apart they are not close, whatever a residual of single precision is.
        near = closest <= self.pairs.precision.half * self.size
        apart = np.flatnonzero((closest > tolerance) & near & (self.rounding > limit * closest))
        close = {int(i): (float(closest[i]), float(self.rounding[i] / closest[i])) for i in apart}
        if self.region is None or not values.size:
            return Completeness(state, closest, cut, close)
        with np.errstate(over="ignore"):  # next to a shift nothing is known to be farther away
            margin = MISSED * self.margin
        behind = np.array([self.region.behind(value, self.theta, margin) for value in self.transformed(values)])
        missed = np.flatnonzero(behind.any(axis=1))
        return Completeness(state, closest, cut, close, values[missed], behind[missed])

    def unknown(self) -> Completeness:
        return Completeness("not settled", np.full(self.w.size, np.inf))

    @kept
    def size(self) -> float:
        """The size of the pencil's eigenvalues, from below."""
        norm_A, norm_B = self.problem.norms
        return float(norm_A / norm_B + np.max(np.abs(self.w)))

    @kept
    def rounding(self) -> Array:
        """The part that rounding mixes into vectors, times the distance: residuals without what a loose tol leaves."""
        return np.minimum(self.pairs.residuals / self.problem.norms[1], self.pairs.precision.indistinct * self.size)

    # ---- in the values of the operator that the forward pass iterated with ---------------------------

    def transformed(self, w: Array) -> Array:
        """θ of eigenvalues; of singular values σ, which SciPy has from AᴴA, σ²."""
        assert self.problem.selection is not None
        return self.problem.selection.ranking.theta(self.problem.structure.ranked(w))

    @kept
    def theta(self) -> Array:
        return self.transformed(self.w)

    @kept
    def margin(self) -> Array:
        """The tolerances in θ, (k,)."""
        return np.abs(self.transformed(self.w + self.tolerance) - self.theta)

    @kept
    def region(self) -> Region | None:
        """The region of what is wanted at least as much as the last computed one; None where that is not known."""
        selection = self.problem.selection
        return None if selection is None else Region.of(selection.ranking, self.theta)
