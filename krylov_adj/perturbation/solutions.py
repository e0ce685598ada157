"""The results of solves of the systems of eigenpairs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..report.report import Report
from .couplings import Coupling, Quotients

Array = np.ndarray


@dataclass(frozen=True)
class Complement:
    """Solutions U (n, k) on the complement, their report, and what is known of their accuracy.

    ``errors`` (k,) are those that solving left, estimated; ``growth`` (k,) is what R⁻¹ made of the right-hand sides,
    ``residuals`` (k,) are what is left of them, ``least`` (k,) are lower bounds on ‖R_i⁻¹‖ on the complement, and
    ``sizes`` (k,) are ‖u_i‖.
    """

    U: Array
    report: Report
    errors: Array
    growth: Array
    residuals: Array
    least: Array
    sizes: Array


@dataclass(frozen=True)
class LeftVectors:
    """Left eigenvectors, as far as they have been solved for.

    Attributes
    ----------
    Y : ndarray, shape (n, k)
        Zeros in columns that have not been.
    known : ndarray of bool, shape (k,)
    sizes, errors, growth : ndarray, shape (k,)
        Of the solutions on the complement, as in `Complement`.
    """

    Y: Array
    known: Array
    sizes: Array
    errors: Array
    growth: Array


@dataclass(frozen=True)
class Found:
    """Facts about the pairs that solves have found besides solutions, for the solves after them.

    Attributes
    ----------
    conditions : ndarray, shape (k,)
        Lower bounds on the eigenvalues' condition numbers; left eigenvectors raise them to the whole y's.
    least, least_left : ndarray, shape (k,)
        Lower bounds on ‖R_i⁻¹‖ on the complement, from right-hand sides of any kind and of left eigenvectors.
    left : LeftVectors or None
    """

    conditions: Array
    least: Array
    least_left: Array
    left: LeftVectors | None = None


@dataclass(frozen=True)
class Solution:
    """Z (n, k) and M (k, k) of block-bordered systems, and what was met on the way.

    ``left`` (k,) are the norms of the residuals on the complement, ``error`` is an estimate of the relative error.
    """

    Z: Array
    M: Array
    left: Array
    error: float = 0.0


@dataclass(frozen=True)
class PairSolution(Solution):
    """The same of eigenpairs, with their couplings (k, k).

    ``dropped`` are the couplings that have no quotient, ``eaten`` those that rounding has eaten.
    """

    couplings: Quotients = field(kw_only=True)
    dropped: tuple[Coupling, ...] = ()
    eaten: tuple[Coupling, ...] = ()
