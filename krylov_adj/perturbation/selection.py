"""Which eigenvalues the forward pass was asked for: what else would have been among them.

SciPy ranks the values θ of the operator that it iterates with (`ranking.py`). What it wants at least as much as the
last of those that it returned is a region of the plane: a half plane, what is outside of a circle, …
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .ranking import Ranking

Array = np.ndarray

#: Points on a circle around a region.
SAMPLES = 16


@dataclass(frozen=True)
class Selection:
    """What was asked for, and what it took.

    Attributes
    ----------
    ranking : Ranking
        Of eigenvalues; of singular values that of their squares.
    ncv : int
        The vectors of ARPACK's basis.
    cost : int
        Its applications of the operator, or with sigma of the inverse.
    """

    ranking: Ranking
    ncv: int
    cost: int

    @property
    def real_part(self) -> bool:
        """Whether it iterates with a part of a complex inverse, in real arithmetic."""
        return self.ranking.transform in ("real part", "imaginary part")

    def image(self, v: Array, inverse: Array) -> Array:
        """What it iterates with makes of v, for (A − σB)⁻¹B v."""
        transform, sigma = self.ranking.transform, self.ranking.sigma
        if self.real_part:
            return inverse.real if transform == "real part" else inverse.imag
        if transform in ("buckling", "cayley"):
            return v + v.dtype.type((1 if transform == "buckling" else 2) * sigma) * inverse
        return inverse


@dataclass(frozen=True)
class Region:
    """The θ that are wanted at least as much as the last of some computed ones.

    Attributes
    ----------
    ranking : Ranking
    last : float
        How much the last one is wanted.
    ends : (float, float)
        For "BE", the last one at the lower end and at the upper end.
    """

    ranking: Ranking
    last: float
    ends: tuple[float, float]

    @classmethod
    def of(cls, ranking: Ranking, theta: Array) -> Region:
        """The region of which the least wanted of the θ are the boundary."""
        lower = theta.size // 2  # of an odd number SciPy takes one more from the upper end
        ordered = np.sort(theta.real)
        ends = (float(ordered[lower - 1]) if lower else -np.inf, float(ordered[lower]))
        return cls(ranking, float(np.min(ranking.rank(theta))), ends)

    @property
    def bounded(self) -> bool:
        """It is inside of the spectrum, where Ritz values are that are no eigenvalues."""
        return self.ranking.which == "SM"

    def depth(self, theta: Array) -> Array:
        """How much more the θ are wanted than the last one; negative outside of the region."""
        if self.ranking.which == "BE":
            return np.maximum(self.ends[0] - theta.real, theta.real - self.ends[1])
        return self.ranking.rank(theta) - self.last

    def behind(self, other: complex, theta: Array, margin: Array) -> Array:
        """Which of the θ are less wanted than another one by more than ``margin`` (k,), and made way for it."""
        if self.ranking.which != "BE":
            rank = self.ranking.rank(np.append(theta, other))
            return rank[:-1] + margin < rank[-1]
        below, above = self.ends
        if other.real <= below:
            return (theta.real <= below) & (other.real + margin < theta.real)
        return (theta.real >= above) & (theta.real + margin < other.real)

    def boundary(self, theta: Array) -> Array:
        """Points around the region, those on lines level with the θ."""
        which = self.ranking.which
        if which == "BE":
            return np.array([end for end in self.ends if np.isfinite(end)])
        last = self.last if which[0] == "L" else -self.last
        if which[1] == "M":
            turns = SAMPLES if np.iscomplexobj(theta) else 2
            return last * np.exp(2j * np.pi * np.arange(turns) / turns)
        if which[1] == "I":
            lines = [last, -last] if self.ranking.real else [last]
            return np.concatenate([theta.real + 1j * line for line in lines])
        return last + 1j * np.r_[0.0, theta.imag, -theta.imag] if np.iscomplexobj(theta) else np.array([last])
