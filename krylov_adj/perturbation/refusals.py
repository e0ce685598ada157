"""Errors and warnings for systems that were not solved."""

from __future__ import annotations

import warnings

import numpy as np

from ..options import Adjoint
from ..report.errors import AdjointNoConvergence
from ..report.messages import cut_cluster, in_words_of_eigenpairs, not_converged, vanishing_triplets
from ..report.report import Report, announce
from .completeness import Completeness
from .pairs import DeflatedPairs


def tell(report: Report, options: Adjoint) -> None:
    """Log a report, and give it to the caller's callback."""
    announce(report)
    if options.callback is not None:
        options.callback(report)


def refuse(pairs: DeflatedPairs, report: Report) -> None:
    """Raise, or warn, where systems were not solved.

    Raises
    ------
    AdjointNoConvergence
    """
    if report.converged:
        return
    message = _failure(pairs, report)
    if pairs.options.on_failure == "raise":
        tell(report, pairs.options)
        raise AdjointNoConvergence(message, report)
    warnings.warn(message, RuntimeWarning, stacklevel=2)


def refuse_cut(pairs: DeflatedPairs, complete: Completeness) -> None:
    """Refuse where k cuts a cluster: its left eigenvectors are not determined by the computed pairs."""
    unit = pairs.problem.units[1]
    neighbours = {i: distance * unit for i, distance in complete.cut.items()}
    none = np.zeros(pairs.w.size)
    refuse(pairs, Report("adjoint", "none", 0.0, none, neighbours=neighbours, completeness=complete.state))


def _failure(pairs: DeflatedPairs, report: Report) -> str:
    structure = pairs.problem.structure
    if structure.mirrored and report.neighbours and pairs.vanishing[list(report.neighbours)].all():
        return vanishing_triplets(report, pairs.given_w)
    message = cut_cluster(report, pairs.given_w) if report.neighbours else not_converged(report)
    return in_words_of_eigenpairs(message) if structure.mirrored else message
