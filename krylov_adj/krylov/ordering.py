"""Which Ritz values of a symmetric operator are wanted: in which order, and on how many sides of its spectrum."""

from __future__ import annotations

import numpy as np

from .precision import Precision

Array = np.ndarray


class Ordering:
    """Which Ritz values are wanted: the largest.

    ``key(theta)`` ranks Ritz values; larger is more wanted. ``signed(theta)`` is the same with a sign, where there are
    two sides;
    ``beyond(limit)`` is an upper bound and perhaps a lower one, negative, past which lie all values with a larger key
    and no others.
    """

    def signed(self, theta: Array) -> Array:
        return theta

    def key(self, theta: Array) -> Array:
        return self.signed(theta)

    def beyond(self, limit: float) -> tuple[float, ...]:
        return (limit,)


class LargestInModulus(Ordering):
    def key(self, theta: Array) -> Array:
        return np.abs(self.signed(theta))

    def beyond(self, limit: float) -> tuple[float, ...]:
        return limit, -limit


class ClosestTo(LargestInModulus):
    """Wants the values 1/((λ − σ′) u) of T = (A − σ′B)⁻¹B/u of the λ closest to σ: the largest 1/(|λ − σ| u).

    ``moved`` is σ′ − σ. All is as for the largest in modulus where it is zero.
    """

    def __init__(self, moved: float, unit: float):
        self.step = moved * unit

    def signed(self, theta: Array) -> Array:
        past = 1 + theta * self.step
        return theta / np.where(past == 0, Precision.of(float).eps, past)

    def beyond(self, limit: float) -> tuple[float, ...]:
        if not limit > 0:  # σ′ is an eigenvalue, beside which nothing else has a size
            raise InvariantSubspace
        distance = 1 / limit
        if not distance > abs(self.step):  # σ′ is none of the λ that are so close
            raise InvariantSubspace
        return 1 / (distance - self.step), -1 / (distance + self.step)


def cut(signed: Array, k: int, near: float) -> bool:
    """Whether all those of the first k values that are next to the last of them have another one next to them."""
    last = signed[:k][np.abs(np.abs(signed[:k]) - abs(signed[k - 1])) <= near]
    return bool(np.all(np.min(np.abs(last[:, None] - signed[k:]), axis=1, initial=np.inf) <= near))


class InvariantSubspace(Exception):
    """No vector is left that is B-orthogonal to the basis, or only ones that B does not see; or there is no proof."""
