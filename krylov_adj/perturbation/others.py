"""Eigenvalues besides the computed ones: those that k may have cut, or the forward pass missed.

An eigenvalue that coincides with a computed one and was not computed leaves no trace where a loss reads eigenvalues
only: Hermitian ones need no system, and the systems of left eigenvectors are consistent. So every derivative looks at
what is left of the spectrum once the computed pairs are deflated: X^⊥ mapped into (B X)^⊥ has the eigenvalues that were
not computed and no others, whatever the pencil.

Up to some order LAPACK computes all of them, and nothing is left open (`rest.py`). Above, a random vector says whether
another eigenvalue is at least as wanted as the last computed one (`search.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..options import DENSE_ORDER
from .cache import Cache
from .completeness import LAPACK_ORDER, Completeness, Judge
from .pairs import DeflatedPairs
from .rest import CLOSE, by_lapack
from .search import BUDGET, by_search, next_to_each


@dataclass(frozen=True, eq=False)
class Others:
    """The eigenvalues besides the given ones, looked for once, whatever asks first."""

    pairs: DeflatedPairs
    cache: Cache = field(init=False, default_factory=Cache, repr=False)

    def is_first_report(self) -> bool:
        """Whether what the search took is in no report yet; the one who asks first reports it."""
        with self.cache.lock:
            if self.cache.has("reported"):
                return False
            return self.cache.value("reported", lambda: True)

    @property
    def completeness(self) -> Completeness:
        return self.cache.value("completeness", lambda: look_for_others(self.pairs))


def look_for_others(pairs: DeflatedPairs) -> Completeness:
    """Return what is known of the eigenvalues that were not computed."""
    problem, before, judge = pairs.problem, pairs.problem.counts(), Judge(pairs)
    if _is_known(judge):
        assert problem.cut is not None
        distances = abs(problem.cut[:, None] - pairs.w)
        found = judge.judge("proved", np.zeros(0), distances, judge.tolerance)
    elif _few(pairs):
        found = by_lapack(judge)
    elif problem.structure.nonlinear or problem.surplus is not None:
        found = judge.unknown()
    else:
        searched = next_to_each(judge) if problem.selection is None else by_search(judge)
        found = by_lapack(judge) if searched is None else searched
    applications, solves = (after - start for after, start in zip(problem.counts(), before, strict=True))
    return replace(found, applications=applications, solves=solves)


def _is_known(judge: Judge) -> bool:
    """Whether the forward pass has proved that it missed none, and told what comes next.

    Of a problem that is not Hermitian LAPACK tells all eigenvalues, but not so well which of them coincide.
    """
    known = judge.problem.cut
    if known is None or judge.problem.hermitian:
        return known is not None
    return not np.any(np.abs(known[:, None] - judge.w) <= CLOSE * judge.size)


def _few(pairs: DeflatedPairs) -> bool:
    """Whether LAPACK is asked: a dense matrix costs few applications, or none, and little time."""
    problem, n = pairs.problem, pairs.problem.n
    if not pairs.space.whole:
        return False
    if n <= DENSE_ORDER or n > LAPACK_ORDER:
        return n <= DENSE_ORDER
    cost = 0 if problem.selection is None or problem.inverse is not None else problem.selection.cost
    return (problem.hermitian and problem.explicit) or n <= BUDGET * cost
