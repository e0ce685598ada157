"""Every threshold that is made of ε, with its reason: how far a floating-point type tells numbers apart.

Thresholds are relative: to the size that stands in front of them where they are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

#: A numerator or right-hand side, a difference of terms, is noise below this many ε of its terms: an inner product of
#: n random roundings is √n ε off, and n is up to a million here, most of which average out.
NOISE = 30.0

#: Members of one multiple eigenvalue lie this many ε of the operator's size from it: the sum for two, 100 ε, is what
#: backward stable solvers leave between computed copies, with norms that are estimated from below.
INDISTINCT = 50.0

#: Eigenvalues with condition numbers past this over √ε have no derivative: rounding splits a Jordan block of order two
#: by √ε, which shows κ of up to 1/√ε; at the limit κ²ε, the relative error of the derivative, is a few times 10⁻⁴.
DEFECTIVE = 0.02

#: Estimated errors past this are said: halfway between errors that have to be, 1e-4, and those of which nothing need be
#: said, 1e-6, as estimates are about twice too large. In single precision rounding alone is past it: there what is lost
#: of its digits, in ε.
SAID = 2e-5
SAID_EPSILONS = 1e3


@dataclass(frozen=True)
class Precision:
    """The thresholds of one floating-point type; `of` gives those of arrays' types, real or complex.

    Attributes
    ----------
    eps : float
        The distance from one to the next number. What is left of a vector after an orthogonalisation is rounding below
        this part of it: a Krylov space is closed.
    tiny : float
        The smallest number with all digits.
    """

    eps: float
    tiny: float

    @staticmethod
    @cache
    def of(dtype: Any) -> Precision:
        """The precision of a type."""
        limits = np.finfo(dtype)
        return Precision(float(limits.eps), float(limits.tiny))

    @property
    def floor(self) -> float:
        """10 ε: what rounding leaves of a residual, relative to ‖A‖‖x‖, or of a pivot that is zero."""
        return 10 * self.eps

    @property
    def noise(self) -> float:
        """30 ε: see `NOISE`. Ritz values this close are copies of one."""
        return NOISE * self.eps

    @property
    def indistinct(self) -> float:
        """50 ε: see `INDISTINCT`."""
        return INDISTINCT * self.eps

    @property
    def tied(self) -> float:
        """100 ε: two eigenvalues that count as one; ranks of such have no order."""
        return 2 * INDISTINCT * self.eps

    @property
    def orthonormal(self) -> float:
        """100 ε: how far from the identity the Gram matrix of vectors is that solvers return as orthonormal."""
        return 100 * self.eps

    def agreeing(self, n: int) -> float:
        """1000 ε √n: how far products with a vector of n entries may differ that are computed in two ways."""
        return float(1e3 * self.eps * max(n, 1) ** 0.5)

    @property
    def together(self) -> float:
        """ε^¾: eigenvalues this close, of the operator's size, are followed as one space.

        2e-12 in double precision: the rounding of semisimple eigenvalues with condition numbers up to a hundred.
        """
        return float(self.eps**0.75)

    @property
    def second_difference(self) -> float:
        """ε^⅓: points closer than this, of the interval they are in, lose half of the digits of a second difference."""
        return float(self.eps ** (1 / 3))

    @property
    def half(self) -> float:
        """√ε: half of the digits. A step's error is the square of this, what is less is a copy, or a rounding grown.

        What half of the digits tell apart is apart; a promise (Hermitian, an adjoint, a phase that is not read) that
        fails past this fails by more than rounding.
        """
        return float(np.sqrt(self.eps))

    @property
    def near(self) -> float:
        """ε^0.4: values closer to the last wanted one than this are computed too, as k may cut a cluster."""
        return float(self.eps**0.4)

    @property
    def few_digits(self) -> float:
        """ε^0.2: a relative error that leaves few digits: 7e-4 in double, 4e-2 in single precision."""
        return float(self.eps**0.2)

    @property
    def largest_floor(self) -> float:
        """ε^0.25: a floor of rounding above this, relative to the right-hand side, is no solution."""
        return float(self.eps**0.25)

    @property
    def singular(self) -> float:
        """√ε/100: below this part of the operator's size, what it makes of a residual is that of a null vector."""
        return 0.01 * self.half

    @property
    def defective(self) -> float:
        """0.02/√ε: see `DEFECTIVE`."""
        return DEFECTIVE / self.half

    @property
    def said(self) -> float:
        """The estimated error past which a derivative is said to have lost digits, see `SAID`."""
        return max(SAID, SAID_EPSILONS * self.eps)
