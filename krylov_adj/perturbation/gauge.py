"""Whether a loss depends on what eigenvectors leave arbitrary: phases, bases of eigenspaces."""

from __future__ import annotations

import warnings

import numpy as np

from ..krylov import small
from ..options import Adjoint
from ..report.errors import DegeneracyWarning, GaugeWarning
from ..report.messages import (
    close_eigenvalues,
    cut_eigenvalues,
    few_digits_of_subspace,
    in_words_of_eigenpairs,
    lost_couplings,
    lost_second_derivative,
    missed_eigenvalues,
    moves_within_cluster,
    nearly_defective,
    reads_basis,
    reads_null_vectors,
    reads_phase,
    reads_subspace_basis,
    reads_zero,
    unequal_weights,
)
from ..report.report import silenced
from .accuracy import Accuracy
from .completeness import MISSED, Completeness
from .pairs import DeflatedPairs
from .solutions import PairSolution

Array = np.ndarray


def check_gauge(
    accuracy: Accuracy, complete: Completeness | None, gw: Array, gauge: Array, solution: PairSolution, reads: Array
) -> None:
    """Say what of the loss depends on an arbitrary choice, or on eigenvalues that coincide.

    ``reads`` (k,) says which pairs the loss reads at all; ``complete`` is None where it reads none.
    """
    if accuracy.pairs.options.on_gauge != "ignore":
        _check_gauge(accuracy, gw, gauge, solution)
        if complete is not None:
            _check_complete(accuracy, complete, reads)


def _check_gauge(accuracy: Accuracy, gw: Array, gauge: Array, solution: PairSolution) -> None:
    pairs, conditions, options = accuracy.pairs, accuracy.known, accuracy.pairs.options
    eps, half, k = pairs.eps, pairs.precision.half, pairs.w.size
    structure, unit = pairs.problem.structure, pairs.problem.units[1]
    words = in_words_of_eigenpairs if structure.mirrored else str
    # A legal loss leaves rounding, amplified by however its cotangents were computed: √ε is far
    # above that and far below the order-one value of a loss that reads a phase.
    depends = np.flatnonzero(gauge > half)
    if depends.size:
        say(GaugeWarning, words(reads_phase(depends, gauge[depends])), options)
    mirrored = [coupling for coupling in solution.dropped if structure.mirrored and coupling.j >= k]
    if mirrored:
        size = max(coupling.size for coupling in mirrored)
        say(GaugeWarning, reads_null_vectors(sorted({(c.j - k, c.i) for c in mirrored}), size), options)
    dropped = [coupling for coupling in solution.dropped if coupling not in mirrored]
    if dropped:
        worst = max(dropped, key=lambda coupling: coupling.size)
        members = sorted({(min(c.i, c.j), max(c.i, c.j)) for c in dropped})
        named = [(pairs.name(i), pairs.name(j)) for i, j in members]
        say(GaugeWarning, words(reads_basis(named, worst.size, worst.gap * unit)), options)
    lost = [coupling for coupling in solution.eaten if not accuracy.coalescing(coupling)]
    if lost:
        members = sorted({(min(c.i, c.j), max(c.i, c.j)) for c in lost})
        named = [(pairs.name(i), pairs.name(j)) for i, j in members]
        total = small.norm(np.array([coupling.size for coupling in lost]))
        say(DegeneracyWarning, words(lost_couplings(named, total, min(c.gap for c in lost) * unit)), options)
    weights = np.r_[gw, np.zeros(pairs.cut.size)]  # a loss does not read what was not computed
    unequal = [
        group
        for group in pairs.coinciding()
        if np.max(np.abs(weights[group] - weights[group[0]])) > half * np.max(np.abs(gw))
    ]
    if unequal:
        groups = [([pairs.name(j) for j in group], pairs.given_w[group[0]]) for group in unequal]
        say(DegeneracyWarning, words(unequal_weights(groups)), options)
    if structure.mirrored:
        zero = np.flatnonzero(pairs.vanishing & (np.abs(gw) > half * np.max(np.abs(gw))))
        if zero.size:
            say(DegeneracyWarning, reads_zero(zero, pairs.given_w[zero]), options)
    meeting = {i for coupling in solution.eaten if coupling not in lost for i in (coupling.i, coupling.j) if i < k}
    # κ²ε is right to a factor of ten, and may be the cause of an error that has been estimated otherwise.
    limit = accuracy.said if solution.error <= accuracy.said else 0.1 * accuracy.said
    ill = np.array(sorted(meeting | set(np.flatnonzero(conditions**2 * eps > limit).tolist())), int)
    if ill.size:
        say(DegeneracyWarning, nearly_defective(ill, conditions[ill], eps), options)


def check_basis(pairs: DeflatedPairs, dependence: float) -> None:
    """Say that a loss of an invariant subspace depends on its basis, by so much of the size of its cotangents."""
    if dependence > pairs.precision.half and pairs.options.on_gauge != "ignore":
        say(GaugeWarning, reads_subspace_basis(dependence), pairs.options)


def check_digits(pairs: DeflatedPairs, error: float) -> None:
    """Say that a derivative of an invariant subspace has lost digits, by an estimate of its error."""
    if error > pairs.precision.said and pairs.options.on_gauge != "ignore":
        say(DegeneracyWarning, few_digits_of_subspace(error), pairs.options)


def check_cut(pairs: DeflatedPairs, complete: Completeness) -> None:
    """Say what a loss of an invariant subspace reads of a cluster that k cut, or in the place of one it missed."""
    zero = np.zeros(pairs.w.size)
    _check_complete(Accuracy(pairs, zero + 1, zero), complete, zero == 0)


def check_motion(pairs: DeflatedPairs, motion: Array, error: float) -> None:
    """Say what a second derivative in forward mode loses of functions of a cluster.

    ``motion`` (2, k) is how far the vectors move within the span, as 1/gap, and out of it. A function of the span does
    not feel the first, but terms with it cancel down to their ``error``, which is relative to them.
    """
    inside, outside = np.max(motion, axis=1)
    lost = error * float(inside / outside) if outside > 0 else 0.0
    if lost > pairs.precision.said and pairs.options.on_gauge != "ignore":
        say(DegeneracyWarning, moves_within_cluster(lost), pairs.options)


def check_second_derivative(pairs: DeflatedPairs, error: float) -> None:
    """Say what is lost where terms with the reciprocal of a gap have cancelled; ``error`` is relative."""
    if error > pairs.precision.said and pairs.options.on_gauge != "ignore":
        say(DegeneracyWarning, lost_second_derivative(error), pairs.options)


def check_gaps(accuracy: Accuracy, reads: Array) -> None:
    """Say where a second derivative passes through eigenvalues of pairs that are read, (k,), and too close for it.

    In that of a function of the whole cluster terms with the squares of a gap's reciprocal cancel. Whether they do is
    not known here: it may be said of a loss of single members, too, which is as accurate as the gap.
    """
    pairs, spread = accuracy.pairs, accuracy.spread
    gaps = np.abs(pairs.w[:, None] - pairs.w)
    tau = pairs.tolerances(pairs.w.size)
    apart = (gaps > tau[:, None] + tau) & reads & reads[:, None]
    if apart.any():
        check_second_derivative(pairs, min(pairs.eps * (spread / float(np.min(gaps[apart]))) ** 2, 1.0))


def _check_complete(accuracy: Accuracy, complete: Completeness, reads: Array) -> None:
    """Say what the loss reads of a cluster that k cut, or in the place of an eigenvalue that was missed."""
    pairs, problem, options = accuracy.pairs, accuracy.pairs.problem, accuracy.pairs.options
    unit, words = problem.units[1], in_words_of_eigenpairs if problem.structure.mirrored else str
    cut = {i: distance * unit for i, distance in complete.cut.items() if reads[i]}
    if problem.structure.mirrored:  # what is zero is said by itself
        cut = {i: distance for i, distance in cut.items() if not pairs.vanishing[i]}
    if cut:
        say(DegeneracyWarning, words(cut_eigenvalues(cut, pairs.given_w, problem.hermitian)), options)
    close = {i: (distance * unit, part) for i, (distance, part) in complete.close.items() if reads[i]}
    if close:
        say(DegeneracyWarning, words(close_eigenvalues(close, pairs.given_w)), options)
    # What is known of an ill-conditioned eigenvalue is not known of its distance to another one.
    known = accuracy.known * MISSED * pairs.tolerances(reads.size)
    apart = np.abs(complete.missed[:, None] - pairs.w) > known
    behind = complete.behind & apart & reads if complete.missed.size else np.zeros((0, reads.size), dtype=bool)
    missed = behind.any(axis=1)
    if missed.any():
        numbers = np.flatnonzero(behind.any(axis=0))
        say(DegeneracyWarning, words(missed_eigenvalues(complete.missed[missed] * unit, numbers)), options)


def say(category: type[Warning], message: str, options: Adjoint) -> None:
    """Warn, or raise where `Adjoint` says so; neither where the category is silenced."""
    if silenced(category):
        return
    if options.on_gauge == "raise":
        raise ValueError(message)
    warnings.warn(category(message), stacklevel=2)
