"""Whether a loss depends on what eigenvectors leave arbitrary: phases, bases of eigenspaces."""

from __future__ import annotations

import warnings

import numpy as np

from ..options import Adjoint
from ..reports import (
    DegeneracyWarning,
    GaugeWarning,
    nearly_defective,
    reads_basis,
    reads_phase,
    unequal_weights,
)
from .bordered import BorderedSystems, Coupling

Array = np.ndarray


def phase_dependence(X: Array, gX: Array) -> Array:
    """|Im xᴴg| / ‖x‖‖g‖ of every vector, (k,); empty for real ones.

    dx = i x dφ changes f by Re(gxᴴ i x) dφ = Im(xᴴg) dφ, so it is zero for a loss that is a function of the
    eigenvector as such. A real vector's sign is as arbitrary and leaves no trace in g.
    """
    if not np.iscomplexobj(X):
        return np.zeros(0)
    c = np.einsum("ij,ij->j", X.conj(), gX)
    scale = np.linalg.norm(X, axis=0) * np.linalg.norm(gX, axis=0)
    return np.abs(c.imag) / np.where(scale > 0, scale, 1)


def check_gauge(systems: BorderedSystems, gw: Array, gauge: Array, dropped: tuple[Coupling, ...]) -> None:
    """Say what of the loss depends on an arbitrary choice, or on eigenvalues that coincide."""
    w, conditions, options = systems.w, systems.conditions, systems.options
    if options.on_gauge == "ignore":
        return
    eps = systems.eps
    # A legal loss leaves rounding, amplified by however its cotangents were computed: √ε is far
    # above that and far below the order-one value of a loss that reads a phase.
    depends = np.flatnonzero(gauge > np.sqrt(eps))
    if depends.size:
        _say(GaugeWarning, reads_phase(depends, gauge[depends]), options)
    if dropped:
        worst = max(dropped, key=lambda coupling: coupling.size)
        pairs = sorted({(min(c.i, c.j), max(c.i, c.j)) for c in dropped})
        _say(GaugeWarning, reads_basis(pairs, worst.size, worst.gap), options)
    unequal = [
        group
        for group in systems.coinciding()
        if np.max(np.abs(gw[group] - gw[group[0]])) > np.sqrt(eps) * np.max(np.abs(gw))
    ]
    if unequal:
        _say(DegeneracyWarning, unequal_weights(unequal, w), options)
    # κ²ε past 10⁻⁶ in double precision
    ill = np.flatnonzero(conditions > 1e-3 / np.sqrt(eps))
    if ill.size:
        _say(DegeneracyWarning, nearly_defective(ill, conditions[ill], eps), options)


def _say(category: type[Warning], message: str, options: Adjoint) -> None:
    if options.on_gauge == "raise":
        raise ValueError(message)
    warnings.warn(category(message), stacklevel=2)
