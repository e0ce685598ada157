"""Differences at shorter and shorter steps, each with what is known of its error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Difference", "best_known", "differences"]

#: From one step to the next, which costs two values of f; a length that f has is met within a factor of two.
RATIO = 4.0

#: The shortest step in ε of the size of x: the rounding of x itself is then a thousandth of it.
SHORTEST = 1e3

#: Differences, of those that are best known, of which the last one's doubt is that of the first too.
ALIKE = 3


@dataclass(frozen=True)
class Difference:
    """An extrapolated difference, how far it is from those it is made of, and the shortest of their steps.

    ``rounding`` is what rounding of x and of f makes of it; it is in the uncertainty.
    """

    value: float
    uncertainty: float
    step: float
    rounding: float

    @property
    def doubt(self) -> float:
        """The uncertainty, relative to the value."""
        return self.uncertainty / abs(self.value) if self.value else float(self.uncertainty > 0)


def best_known(found: list[Difference]) -> Difference:
    """The difference that is best known, with the uncertainty that several have.

    That of one may be small by chance, where all are rounding.
    """
    ranked = sorted(found, key=lambda difference: difference.doubt)
    best = ranked[0]
    alike = ranked[min(ALIKE, (len(ranked) + 1) // 2) - 1]
    return replace(best, uncertainty=max(best.uncertainty, alike.doubt * abs(best.value)))


def differences(f: Callable[[float], float], step: float, rounding: float, eps: float) -> Iterator[Difference]:
    """df(t)/dt at t = 0 by central differences, extrapolated to the step zero, the longest steps first.

    Ridders' tableau with the steps h, h/4, h/16, … down to `SHORTEST` times ``rounding``, that of t, two at least;
    ``eps`` is that of f. What steps tell
    that are longer than f's own length has a large doubt, and so has the noise of those that are too short.

    References
    ----------
    Ridders, Adv. Eng. Software 4 (1982) 75.
    """
    longer: list[float] = []
    taken = 0
    while taken < 2 or step >= SHORTEST * rounding:
        ahead, behind = f(step), f(-step)
        row = [(ahead - behind) / (2 * step)]
        noise = (eps * max(abs(ahead), abs(behind)) + rounding * abs(row[0])) / step
        if np.isfinite(row[0]):
            for order, other in enumerate(longer, start=1):
                row.append(row[-1] + (row[-1] - other) / (RATIO ** (2 * order) - 1))
                yield Difference(row[-1], max(abs(row[-1] - row[-2]), abs(row[-1] - other)) + noise, step, noise)
            longer = row
        else:  # not within this step
            longer = []
        step, taken = step / RATIO, taken + 1
