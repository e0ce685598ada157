"""Whether a loss depends on what eigenvectors leave arbitrary: phases, bases of eigenspaces."""

from __future__ import annotations

import warnings

import numpy as np

from ..options import Adjoint
from ..reports import GaugeWarning, basis_dependence, phase_dependence
from .bordered import Coupling

Array = np.ndarray


def check_phase(X: Array, gX: Array, options: Adjoint) -> None:
    """Warn where the loss changes with the phase of an eigenvector.

    dx = i x dφ changes f by Re(gxᴴ i x) dφ = Im(xᴴg) dφ, so Im(xᴴg) = 0 for a loss that is a function of the
    eigenvector as such. A real vector's sign is as arbitrary and leaves no trace in g.
    """
    if options.on_gauge == "ignore" or not np.iscomplexobj(X):
        return
    c = np.einsum("ij,ij->j", X.conj(), gX)
    scale = np.linalg.norm(X, axis=0) * np.linalg.norm(gX, axis=0)
    # A legal loss leaves rounding, amplified by however its cotangents were computed: √ε is far
    # above that and far below the order-one value of a loss that reads a phase.
    depends = np.abs(c.imag) > np.sqrt(np.finfo(X.dtype).eps) * scale
    if depends.any():
        where = np.flatnonzero(depends)
        _say(phase_dependence(where, np.abs(c.imag[where]) / scale[where]), options)


def check_basis(dropped: tuple[Coupling, ...], options: Adjoint) -> None:
    """Warn where a coupling inside a degenerate eigenspace was dropped."""
    if options.on_gauge == "ignore" or not dropped:
        return
    worst = max(dropped, key=lambda coupling: coupling.size)
    pairs = sorted({(min(c.i, c.j), max(c.i, c.j)) for c in dropped})
    _say(basis_dependence(pairs, worst.size, worst.gap), options)


def _say(message: str, options: Adjoint) -> None:
    if options.on_gauge == "raise":
        raise ValueError(message)
    warnings.warn(GaugeWarning(message), stacklevel=2)
