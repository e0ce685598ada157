"""What is said of systems that were not solved."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from ..report.errors import AdjointNoConvergence
from ..report.messages import cut_cluster, in_words_of_eigenpairs, not_converged, vanishing_triplets
from ..report.report import Report

if TYPE_CHECKING:
    from .bordered import BorderedSystems


def refuse(systems: BorderedSystems, report: Report) -> None:
    """Raise, or warn, where systems were not solved.

    Raises
    ------
    AdjointNoConvergence
    """
    if report.converged:
        return
    message = _failure(systems, report)
    if systems.options.on_failure == "raise":
        systems.tell(report)
        raise AdjointNoConvergence(message, report)
    warnings.warn(message, RuntimeWarning, stacklevel=2)


def refuse_cut(systems: BorderedSystems) -> None:
    """Likewise where k cuts a cluster: its left eigenvectors are not determined by the computed pairs."""
    complete, unit = systems.complete(), systems.problem.units[1]
    neighbours = {i: distance * unit for i, distance in complete.cut.items()}
    none = np.zeros(systems.w.size)
    refuse(systems, Report("adjoint", "none", 0.0, none, neighbours=neighbours, completeness=complete.state))


def _failure(systems: BorderedSystems, report: Report) -> str:
    singular = systems.problem.rows is not None
    if singular and report.neighbours and systems.vanishing[list(report.neighbours)].all():
        return vanishing_triplets(report, systems.given_w)
    message = cut_cluster(report, systems.given_w) if report.neighbours else not_converged(report)
    return in_words_of_eigenpairs(message) if singular else message
