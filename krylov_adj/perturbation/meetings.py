"""Where two eigenvalues come closest along a path, by parabolas through D(s) = (λ₁ − λ₂)².

D is smooth where the two eigenvalues meet: they are the roots of a 2 × 2 matrix that is. At an avoided crossing, and at
a crossing, D = a²(s − m)² + g² to leading order: with the coupling g constant the two levels turn by

    cos 2θ = (u₀u₁ + g²)/(√D₀ √D₁),    u = a(s − m),

into each other between s₀ and s₁ (complex without symmetry). If they turn less, they are not what bends each other.
Which root √D is the continuous one is found by steps in which it turns by less than 60°.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..krylov.precision import Precision

__all__ = ["Parabola", "continue_root", "fit", "least_gap"]

#: Parabolas of one meeting: the error of the next is about the product of the last two.
PARABOLAS = 12

#: Straight lines at the end of them: each squares the error.
SECANTS = 6

#: A parabola that foretells D to this part of it has found the minimum.
FORETOLD = 1e-7

#: A minimum is enclosed where the least ``|D|`` is larger than that of a parabola by this part of it at most.
ENCLOSED = 0.1

#: Halvings of a step in which √D turns too far.
HALVINGS = 20

Values = Callable[[float], complex]


@dataclass(frozen=True)
class Parabola:
    """D(s) ≈ a²(s − m)² + g², of complex coefficients ``square`` = a², ``middle`` = m, ``rest`` = g²."""

    square: complex
    middle: complex
    rest: complex

    def __call__(self, s: float) -> complex:
        return self.square * (s - self.middle) ** 2 + self.rest

    def nearest(self, low: float, high: float) -> float:
        """Return s between ``low`` and ``high`` at which ``|D|`` is least."""
        middle, half = 0.5 * (low + high), 0.5 * (high - low)  # t = (s − middle)/half, for digits
        m = (self.middle - middle) / half
        q = np.array([self.square * half**2, -2 * self.square * half**2 * m, self.square * half**2 * m**2 + self.rest])
        size = np.polymul(q, q.conj()).real
        scale = np.max(np.abs(size))
        if not (scale > 0 and np.isfinite(scale)):
            return middle
        roots = np.roots(np.polyder(size / scale))
        candidates = np.r_[np.clip(roots.real, -1, 1), -1.0, 1.0]
        return middle + half * float(candidates[np.argmin(np.abs(np.polyval(q, candidates)))])

    @property
    def width(self) -> float:
        """The distance from the middle at which the gap is twice as large."""
        return float(np.sqrt(3 * abs(self.rest) / abs(self.square))) if self.square else np.inf

    def turn(self, s0: float, d0: complex, s1: float, d1: complex) -> float:
        """Return ``|sin²|`` of the angle by which two levels turn into each other, of the differences d = √D."""
        product = d0 * d1
        u = self.square * (s0 - self.middle) * (s1 - self.middle)
        return abs(product - u - self.rest) / (2 * abs(product))


def fit(points: list[tuple[float, complex]]) -> Parabola | None:
    """Return the parabola through three points (s, D); None where they lie on a straight line."""
    (s0, D0), (s1, D1), (s2, D2) = points
    slope = (D1 - D0) / (s1 - s0)
    square = ((D2 - D1) / (s2 - s1) - slope) / (s2 - s0)
    if abs(square) * (s2 - s0) ** 2 <= Precision.of(np.float64).noise * max(abs(D0), abs(D1), abs(D2)):
        return None
    middle = 0.5 * (s0 + s1) - 0.5 * slope / square
    return Parabola(square, middle, D0 - square * (s0 - middle) ** 2)


def least_gap(D: Values, points: list[tuple[float, complex]], met: float) -> tuple[list[tuple[float, complex]], bool]:
    """Return the ``points`` (s, D), three or more, with those added that lead to the least ``|D|`` between them.

    And whether it has been found. It ends where ``|D|`` is at most ``met``, or parabolas foretell what they find. Next
    to a crossing D has no digits for a parabola: there √D is followed to where it would change its sign, on a straight
    line.
    """
    low, high = min(points)[0], max(points)[0]
    points = list(points)
    for _ in range(PARABOLAS):
        best = min(points, key=_size)
        if abs(best[1]) <= met:
            return sorted(points), True
        parabola = fit(sorted(sorted(points, key=lambda point: abs(point[0] - best[0]))[:3]))
        if parabola is None:
            break
        s = parabola.nearest(low, high)
        if min(abs(s - point[0]) for point in points) <= Precision.of(np.float64).second_difference * (high - low):
            break
        value = D(s)
        points.append((s, value))
        if abs(value - parabola(s)) <= FORETOLD * abs(value):
            return sorted(points), True
    for _ in range(SECANTS):
        points = sorted(points)
        i = min(max(points.index(min(points, key=_size)), 1), len(points) - 2)
        if _size(points[i]) <= met:
            break
        s = _change_of_sign(*points[i - 1 : i + 2])
        if s in [point[0] for point in points]:
            break
        points.append((s, D(s)))
    points, best = sorted(points), min(points, key=_size)
    if abs(best[1]) <= met:
        return points, True
    parabola = fit(sorted(sorted(points, key=lambda point: abs(point[0] - best[0]))[:3]))
    # Of a minimum that the points have enclosed, where D is no smaller than a parabola through them says.
    found = parabola is not None and abs(best[1]) <= (1 + ENCLOSED) * abs(parabola(parabola.nearest(low, high)))
    return points, found


def _change_of_sign(left: tuple[float, complex], middle: tuple[float, complex], right: tuple[float, complex]) -> float:
    """Return where √D changes its sign on a straight line: on the side of the middle that leaves both slopes equal."""
    (s0, D0), (s1, D1), (s2, D2) = left, middle, right
    r0, r1, r2 = abs(D0) ** 0.5, abs(D1) ** 0.5, abs(D2) ** 0.5
    before = abs((r0 + r1) / (s1 - s0) - (r2 - r1) / (s2 - s1))
    beyond = abs((r0 - r1) / (s1 - s0) - (r1 + r2) / (s2 - s1))
    if before < beyond:
        return (s0 * r1 + s1 * r0) / (r0 + r1)
    return (s1 * r2 + s2 * r1) / (r1 + r2)


def _size(point: tuple[float, complex]) -> float:
    return abs(point[1])


def continue_root(D: Values, points: list[tuple[float, complex]], d0: complex) -> complex | None:
    """Return the continuous √D at the last of the ``points`` that is d0 at the first; None where it cannot be told."""
    root = d0
    for (s0, _), (s1, D1) in pairwise(sorted(points)):
        found = _across(D, s0, root, s1, D1, HALVINGS)
        if found is None:
            return None
        root = found
    return root


def _across(D: Values, s0: float, root: complex, s1: float, D1: complex, halvings: int) -> complex | None:
    new = complex(np.sqrt(complex(D1)))
    inner = (np.conj(root) * new).real
    new = new if inner >= 0 else -new
    if abs(inner) >= 0.5 * abs(root) * abs(new):
        return new
    if not halvings:
        return None
    s = 0.5 * (s0 + s1)
    half = _across(D, s0, root, s, D(s), halvings - 1)
    return None if half is None else _across(D, s, half, s1, D1, halvings - 1)
