"""Differences at shorter and shorter steps, each with what is known of its error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["Difference", "differences"]

#: From one step to the next, which costs two values of f; a length that f has is met within a factor of two.
RATIO = 4.0

#: The shortest step in ε of the size of x: the rounding of x itself is then a thousandth of it.
SHORTEST = 1e3


@dataclass(frozen=True)
class Difference:
    """An extrapolated difference, how far it is from those it is made of, and the shortest of their steps."""

    value: float
    uncertainty: float
    step: float

    @property
    def doubt(self) -> float:
        """The uncertainty, relative to the value."""
        return self.uncertainty / abs(self.value) if self.value else float(self.uncertainty > 0)


def differences(f: Callable[[float], float], step: float, rounding: float) -> Iterator[Difference]:
    """df(t)/dt at t = 0 by central differences, extrapolated to the step zero, the longest steps first.

    Ridders' tableau with the steps h, h/4, h/16, … down to `SHORTEST` times ``rounding``, two at least. What steps tell
    that are longer than f's own length has a large doubt, and so has the noise of those that are too short.

    References
    ----------
    Ridders, Adv. Eng. Software 4 (1982) 75.
    """
    longer: list[float] = []
    taken = 0
    while taken < 2 or step >= SHORTEST * rounding:
        row = [(f(step) - f(-step)) / (2 * step)]
        if np.isfinite(row[0]):
            for order, other in enumerate(longer, start=1):
                row.append(row[-1] + (row[-1] - other) / (RATIO ** (2 * order) - 1))
                yield Difference(row[-1], max(abs(row[-1] - row[-2]), abs(row[-1] - other)), step)
            longer = row
        else:  # not within this step
            longer = []
        step, taken = step / RATIO, taken + 1
