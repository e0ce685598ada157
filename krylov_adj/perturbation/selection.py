"""Which eigenvalues a call of `eigs` or `eigsh` names, in which order, and what else would have been among them.

SciPy ranks θ(w), not w: with sigma ARPACK sees the eigenvalues of an inverse.

    sigma given                        θ = 1/(w − σ)
    eigs, real A, complex σ, "r"       θ = ½ (1/(w − σ) + 1/(w − σ*)),  "i": (1/(w − σ) − 1/(w − σ*)) / 2i
    eigsh, buckling, cayley            θ = w/(w − σ),  (w + σ)/(w − σ)

The order of `eigs` is that of falling rank. Where rounding decides the rank (of ±w, of all eigenvalues of one modulus)
the larger real part comes first, then the larger imaginary part; so a tie has the same order in every call.

What is wanted at least as much as the last of those that were returned is a region of the plane: a half plane, what is
outside of a circle, …
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..krylov.precision import Precision

__all__ = ["Ranking", "Region", "Selection", "ranking"]

Array = np.ndarray


@dataclass(frozen=True)
class Ranking:
    """The rank that ``which`` gives the eigenvalues of one problem.

    Attributes
    ----------
    which : str
        As in SciPy.
    sigma : number or None
    transform : {"none", "inverse", "real part", "imaginary part", "buckling", "cayley"}
        What θ is.
    real : bool
        What ARPACK iterates with is real: eigenvalues come in pairs whose members rank alike, and imaginary parts are
        ranked by their size.
    """

    which: str
    sigma: Any
    transform: str
    real: bool

    def distance(self, w: Array) -> Array:
        """w − σ, or w without σ."""
        return w if self.sigma is None else w - self.sigma

    def theta(self, w: Array) -> Array:
        """θ(w), shape (m,); finite where w is σ."""
        if self.transform == "none":
            return w
        inverse = _inverse(self.distance(w))
        if self.transform in ("real part", "imaginary part"):
            other = _inverse(w - np.conj(self.sigma))
            return 0.5 * (inverse + other) if self.transform == "real part" else -0.5j * (inverse - other)
        if self.transform == "inverse":
            return inverse
        return (w if self.transform == "buckling" else w + self.sigma) * inverse

    def wantedness(self, w: Array) -> Array:
        """A number for every eigenvalue, the larger the more wanted, shape (m,)."""
        return self.rank(self.theta(w))

    def rank(self, theta: Array) -> Array:
        """The same for given θ; of no meaning for "BE"."""
        if self.which in ("LI", "SI"):
            part = np.abs(theta.imag) if self.real else theta.imag
        else:
            part = np.abs(theta) if self.which in ("LM", "SM") else theta.real
        return -part if self.which[0] == "S" else part

    def with_conjugates(self, w: Array, X: Array) -> tuple[Array, Array]:
        """The same, and the other member of every pair of which there is one."""
        lone = [i for i, j in self._pairs(w) if j is None and w[i].imag != 0]
        if not (self.real and lone):
            return w, X
        return np.r_[w, w[lone].conj()], np.concatenate([X, X[:, lone].conj()], axis=1)

    def most_wanted_first(self, w: Array) -> Array:
        """The numbers of the eigenvalues in order, shape (m,): members of a pair next to each other, Im w > 0 first."""
        groups = self._pairs(w)
        first = np.array([i for i, _ in groups], dtype=int)
        keys = [self.wantedness(w[first]), w[first].real, w[first].imag]
        alike = np.full(first.size, Precision.of(w.dtype).tied * np.max(np.abs(w), initial=0))
        order = _in_order(keys, [self._rounding(w)[first], alike, alike])
        return np.array([i for g in order for i in groups[g] if i is not None], dtype=int)

    def _rounding(self, w: Array) -> Array:
        """The differences of θ that mean nothing, shape (m,): of w that is ε of the largest."""
        theta, size = np.abs(self.theta(w)), np.max(np.abs(w), initial=0)
        if self.sigma is None:
            return Precision.of(w.dtype).tied * np.full(w.size, size)
        with np.errstate(over="ignore"):
            steep = theta * np.abs(_inverse(self.distance(w)))  # ``|dθ/dw|``
            return Precision.of(w.dtype).tied * (theta + steep * (size + abs(self.sigma)))

    def _pairs(self, w: Array) -> list[tuple[int, int | None]]:
        """Every eigenvalue once: by itself, or as (the member of a pair with Im w > 0, its conjugate)."""
        if not (self.real and np.iscomplexobj(w)):
            return [(i, None) for i in range(w.size)]
        upper, lower = np.flatnonzero(w.imag > 0), list(np.flatnonzero(w.imag < 0))
        groups: list[tuple[int, int | None]] = [(int(i), None) for i in np.flatnonzero(w.imag == 0)]
        for i in upper:
            away = np.abs(w[lower] - w[i].conj())
            j = int(np.argmin(away)) if away.size else -1
            paired = j >= 0 and away[j] <= Precision.of(w.dtype).half * np.abs(w[i])
            groups.append((int(i), int(lower.pop(j)) if paired else None))
        return groups + [(int(i), None) for i in lower]


def ranking(
    hermitian: bool,
    real_A: bool,
    real_M: bool,
    which: str,
    sigma: Any,
    mode: str = "normal",
    OPpart: Any = None,
    standard: bool = False,
) -> Ranking:
    """The `Ranking` of SciPy's arguments; ``standard``: θ is that of (A − σM)⁻¹M as a standard problem."""
    complex_shift = sigma is not None and bool(np.imag(sigma) != 0)
    if sigma is None:
        transform = "none"
    elif hermitian and mode != "normal":
        transform = mode
    elif not hermitian and complex_shift and real_A and not standard:
        transform = "imaginary part" if str(OPpart or "r").lower() == "i" else "real part"
    else:
        transform = "inverse"
    return Ranking(which, sigma, transform, real_A and real_M and not (standard and complex_shift))


def _in_order(keys: list[Array], roundings: list[Array]) -> Array:
    """The permutation that sorts by falling keys[0]; by keys[1] what that leaves tied, and so on.

    Neighbours are tied where they differ by no more than the rounding of either: next to σ, θ has no accuracy, and is
    larger than all others all the same.
    """

    def sort(numbers: Array, depth: int) -> Array:
        if depth == len(keys) or numbers.size < 2:
            return numbers
        numbers = numbers[np.argsort(-keys[depth][numbers], kind="stable")]
        key, rounding = keys[depth][numbers], roundings[depth][numbers]
        apart = 1 + np.flatnonzero(key[:-1] - key[1:] > np.minimum(rounding[:-1], rounding[1:]))
        return np.concatenate([sort(run, depth + 1) for run in np.split(numbers, apart)])

    return sort(np.arange(keys[0].size), 0)


def _inverse(distance: Array) -> Array:
    """1/d, for d = 0 a number that is larger than all others, and whose square is in range."""
    least = np.sqrt(Precision.of(distance.dtype).tiny)
    return 1 / np.where(np.abs(distance) < least, least, distance)


#: Points on a circle around a region.
SAMPLES = 16


@dataclass(frozen=True)
class Selection:
    """The eigenvalues that were asked for, and what they took.

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
        """The image of v under the operator that it iterates with, from (A − σB)⁻¹B v."""
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
        """Return how much more the θ are wanted than the last one; negative outside of the region."""
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
