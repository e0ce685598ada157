"""Units of operators far from one: A = a A′ and M = m M′ with powers of two a, m.

ARPACK stops at residuals of ε^(5/3), an absolute number: operators in SI units, or inverses of large ones, it returns
"converged" with wrong pairs. And squares of numbers past 1e±150 (1e±19 in single precision) overflow or vanish. So a
problem far from one is solved as A′ x′ = w′ M′ x′, exactly the same one:

    w = (a/m) w′,   x = x′ (xᴴx = 1),  m^(−½) x′ (xᴴMx = 1),  a^(−½) x′ (xᴴAx = 1),
    (A − σM)⁻¹ = (A′ − σ′M′)⁻¹/a,   σ′ = (m/a) σ.

Scaling A by 1/a and w by a/m is part of what is differentiated, so that derivatives need nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ..autograd.operators.algebra import assembled_once
from ..autograd.operators.base import LinearOperator, random_vector
from ..autograd.trace import UNTRACED, is_box, levels, strip
from ..options import Adjoint
from ..report.messages import out_of_range, shift_out_of_range

__all__ = ["ONE", "Units", "measured", "times_number", "units"]


@dataclass(frozen=True)
class Units:
    """The units a of A and m of M: even powers of two, in most problems one.

    ``deepest`` is the highest level at which A or M is traced, which the application that tells their sizes tells too.
    """

    a: float = 1.0
    m: float = 1.0
    deepest: int = UNTRACED

    @property
    def trivial(self) -> bool:
        return self.a == self.m == 1

    @property
    def pair(self) -> tuple[float, float]:
        """For `Eigenproblem`."""
        return self.a, self.of_values

    @property
    def of_values(self) -> float:
        """What w′ is multiplied by."""
        return self.a / self.m

    def of_vectors(self, normalization: str) -> float:
        """What x′ is multiplied by."""
        return {"2": 1.0, "M": self.m**-0.5, "A": self.a**-0.5}[normalization]

    def operators(self, A: Any, M: Any) -> tuple[Any, Any]:
        """A′ and M′."""
        scaled = times_number(A, 1 / self.a), times_number(M, 1 / self.m)
        A, M = (assembled_once(x) if isinstance(x, LinearOperator) else x for x in scaled)
        return A, M

    def arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Those of SciPy's functions that have a unit."""
        inverses = {"OPinv": self.a, "Minv": self.m}
        scaled = {name: times_number(arguments[name], factor) for name, factor in inverses.items()}
        return arguments | scaled | {"sigma": self.shift(arguments["sigma"])}

    def shift(self, sigma: Any) -> Any:
        """σ′."""
        if sigma is None or self.trivial:
            return sigma
        # In double precision: a number of single precision may leave its range.
        return (complex(sigma) if np.iscomplexobj(sigma) else float(sigma)) * (self.m / self.a)

    def options(self, options: Adjoint) -> Adjoint:
        """With a preconditioner for A′ − λ′M′."""
        given, a = options.preconditioner, self.a
        if given is None or a == 1:
            return options
        if hasattr(given, "matvec"):
            return replace(options, preconditioner=times_number(given, a))
        return replace(options, preconditioner=lambda V: a * np.asarray(given(V)))

    def values(self, w: Any) -> Any:
        """w of w′.

        Raises
        ------
        ValueError
            Where one is outside of the range of its precision.
        """
        if self.of_values == 1:
            return w
        plain = np.asarray(strip(w))
        with np.errstate(all="ignore"):
            moved = np.abs(plain * self.of_values)
        if not np.all(np.isfinite(moved)) or np.any((moved < np.finfo(moved.dtype).tiny) & (plain != 0)):
            raise ValueError(out_of_range(float(np.max(np.abs(plain), initial=0)), self.a, self.m, moved.dtype))
        return w * self.of_values

    def vectors(self, X: Any, normalization: str) -> Any:
        """x of x′."""
        factor = self.of_vectors(normalization)
        return X if X is None or factor == 1 else X * factor


ONE = Units()


def units(A: Any, M: Any, sigma: Any = None, squared: bool = False) -> Units:
    """The units in which to solve A x = w M x; ``squared`` where the solver works with AᴴA.

    One application of each operator. With one of SciPy's, the problem is left as it is.

    Raises
    ------
    ValueError
        Where rounding leaves nothing of A in A − σ: sigma is in other units than A.
    """
    given = [operand for operand in (A, M) if operand is not None]
    if not all(_measurable(operand) for operand in given):
        return ONE
    exponents, traced = zip(*(measured(operand) for operand in given), strict=True)
    one = Units(deepest=max(traced))
    if not np.all(np.isfinite(exponents)):
        return one
    dtype = np.result_type(np.float32, *(operand.dtype for operand in given))
    eps = float(np.finfo(dtype).eps)
    # Binary orders of magnitude in which ε^(5/3) does no harm; of AᴴA half as many.
    near, grid, largest = (14, 16, 112) if eps > 1e-10 else (40, 64, 960)
    if squared:
        near, grid = near // 2, grid // 2
    size = 2.0 ** min(exponents[0][1], 1023)
    if sigma is not None and M is None and abs(sigma) * eps > size:
        raise ValueError(shift_out_of_range(sigma, size, eps))
    # Units are those of all rows: one where some are below it and others above.
    of_A, of_M = [min(max(low, 0.0), high) for low, high in exponents] + [0.0] * (M is None)
    if max(abs(of_A), abs(of_M), abs(of_A - of_M)) <= near:
        return one
    if M is not None:
        grid //= 2
    a, m = (int(np.clip(grid * round(exponent / grid), -largest, largest)) for exponent in (of_A, of_M))
    if not abs(a - m) <= largest:
        raise ValueError(out_of_range(1.0, 2.0**a, 2.0**m, np.finfo(dtype).dtype))
    return replace(one, a=2.0**a, m=2.0**m)


def _measurable(operand: Any) -> bool:
    if not (isinstance(operand, LinearOperator) or sp.issparse(operand) or isinstance(strip(operand), np.ndarray)):
        return False
    return len(operand.shape) == 2 and min(operand.shape) > 0 and np.dtype(operand.dtype).kind in "fciub"


def measured(operand: Any) -> tuple[tuple[float, float], int]:
    """log₂ of the sizes of A's rows, the lower decile (without rows of zero) and the largest; the level of A's trace.

    By A v for one pseudo-random v. Rows far above the others may be penalties that impose boundary conditions.
    """
    n = operand.shape[1]
    v = random_vector(n, operand.dtype)
    v /= v.dtype.type(n**0.5)  # no sum overflows where no entry does
    image = operand._apply(v) if isinstance(operand, LinearOperator) else strip(operand) @ v
    with np.errstate(all="ignore"):
        sizes = np.abs(np.ravel(np.asarray(strip(image))))
        sizes = sizes[sizes != 0] if sizes.any() else np.zeros(1)
        low = np.partition(sizes, (sizes.size - 1) // 10)[(sizes.size - 1) // 10]
        rows = np.log2([low, np.max(sizes)]) + np.log2(n)
    level = max(levels(image if isinstance(operand, LinearOperator) else operand), default=UNTRACED)
    return (float(rows[0]), float(rows[1])), level


def times_number(operand: Any, factor: float) -> Any:
    """The operand, traced or not, times a number."""
    if operand is None or factor == 1:
        return operand
    if isinstance(operand, (LinearOperator, np.ndarray)) or is_box(operand) or sp.issparse(operand):
        return operand * factor
    operand = spla.aslinearoperator(operand)
    return operand * np.finfo(np.result_type(operand.dtype, np.float16)).dtype.type(factor)
