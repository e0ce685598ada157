"""Units of operators far from one: A = a A′ and M = m M′ with powers of two a, m.

ARPACK stops at residuals of ε^(5/3), an absolute number: operators in SI units, or inverses of large ones, it returns
"converged" with wrong pairs. And squares of numbers past 1e±150 (1e±19 in single precision) overflow or vanish. So a
problem far from one is solved as A′ x′ = w′ M′ x′, exactly the same one:

    w = (a/m) w′,   x = x′ (xᴴx = 1),  m^(−½) x′ (xᴴMx = 1),  a^(−½) x′ (xᴴAx = 1),
    (A − σM)⁻¹ = (A′ − σ′M′)⁻¹/a,   σ′ = (m/a) σ.

Scaling A by 1/a and w by a/m is part of what is differentiated, so that derivatives need nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ..krylov.precision import Precision
from ..options import Adjoint
from ..perturbation.problem import ValueOperator
from ..report.messages import out_of_range, shift_out_of_range
from .operands import random_vector

__all__ = ["ONE", "Units", "choose_units", "probe", "row_sizes", "times_number", "units"]

Array = np.ndarray

#: log₂ of the sizes of an operator's rows: the lower decile, without rows of zero, and the largest.
Sizes = tuple[float, float]


@dataclass(frozen=True)
class Units:
    """The units a of A and m of M: even powers of two, in most problems one."""

    a: float = 1.0
    m: float = 1.0

    @property
    def trivial(self) -> bool:
        return self.a == self.m == 1

    @property
    def pair(self) -> tuple[float, float]:
        """The factors that A and the eigenvalues are divided by."""
        return self.a, self.eigenvalue_factor

    @property
    def eigenvalue_factor(self) -> float:
        """The factor by which w is w′."""
        return self.a / self.m

    def eigenvector_factor(self, normalization: str) -> float:
        """Return the factor by which x is x′."""
        return {"2": 1.0, "M": self.m**-0.5, "A": self.a**-0.5}[normalization]

    def shift(self, sigma: Any) -> Any:
        """Return σ′ of σ."""
        if sigma is None or self.trivial:
            return sigma
        # In double precision: a number of single precision may leave its range.
        return (complex(sigma) if np.iscomplexobj(sigma) else float(sigma)) * (self.m / self.a)

    def options(self, options: Adjoint) -> Adjoint:
        """Return the options with a preconditioner for A′ − λ′M′."""
        given, a = options.preconditioner, self.a
        if given is None or a == 1:
            return options
        if hasattr(given, "matvec"):
            return replace(options, preconditioner=times_number(given, a))
        return replace(options, preconditioner=lambda V: a * np.asarray(given(V)))

    def check_range(self, w: Array) -> None:
        """Raise ValueError where an eigenvalue w, of w′, is outside of the range of its precision."""
        if self.eigenvalue_factor == 1:
            return
        with np.errstate(all="ignore"):
            moved = np.abs(w * self.eigenvalue_factor)
        if not np.all(np.isfinite(moved)) or np.any((moved < Precision.of(moved.dtype).tiny) & (w != 0)):
            raise ValueError(out_of_range(float(np.max(np.abs(w), initial=0)), self.a, self.m, moved.dtype))

    def values(self, w: Array) -> Array:
        """Return w of w′.

        Raises
        ------
        ValueError
            Where one is outside of the range of its precision.
        """
        self.check_range(w)
        return w if self.eigenvalue_factor == 1 else w * self.eigenvalue_factor

    def vectors(self, X: Any, normalization: str) -> Any:
        """Return x of x′."""
        factor = self.eigenvector_factor(normalization)
        return X if X is None or factor == 1 else X * factor

    def scaled(self, w: Array, X: Array, normalization: str) -> tuple[Array, Array]:
        """Return w′ and x′ of w and x."""
        return w / self.eigenvalue_factor, X / self.eigenvector_factor(normalization)


ONE = Units()


def choose_units(
    sizes: list[Sizes], dtypes: list[Any], sigma: Any = None, squared: bool = False, with_M: bool = False
) -> Units:
    """Return the units for operators of the given sizes and types, A's and with ``with_M`` M's, see `units`."""
    if not np.all(np.isfinite(sizes)):
        return ONE
    dtype = np.result_type(np.float32, *dtypes)
    eps = Precision.of(dtype).eps
    # Binary orders of magnitude in which ε^(5/3) does no harm; of AᴴA half as many.
    near, grid, largest = (14, 16, 112) if eps > 1e-10 else (40, 64, 960)
    if squared:
        near, grid = near // 2, grid // 2
    size = 2.0 ** min(sizes[0][1], 1023)
    if sigma is not None and not with_M and abs(sigma) * eps > size:
        raise ValueError(shift_out_of_range(sigma, size, eps))
    # Units are those of all rows: one where some are below it and others above.
    of_A, of_M = [min(max(low, 0.0), high) for low, high in sizes] + [0.0] * (not with_M)
    if max(abs(of_A), abs(of_M), abs(of_A - of_M)) <= near:
        return ONE
    if with_M:
        grid //= 2
    a, m = (int(np.clip(grid * round(exponent / grid), -largest, largest)) for exponent in (of_A, of_M))
    if not abs(a - m) <= largest:
        raise ValueError(out_of_range(1.0, 2.0**a, 2.0**m, np.finfo(dtype).dtype))
    return Units(2.0**a, 2.0**m)


def units(A: Any, M: Any = None, sigma: Any = None, squared: bool = False) -> Units:
    """Return the units in which to solve A x = w M x; ``squared`` where the solver works with AᴴA.

    A and M are value operators, arrays or sparse matrices; one application of each. With one of SciPy's operators, the
    problem is left as it is.

    Raises
    ------
    ValueError
        Where rounding leaves nothing of A in A − σ: sigma is in other units than A.
    """
    given = [operand for operand in (A, M) if operand is not None]
    if not all(measurable(operand) for operand in given):
        return ONE
    sizes = [row_sizes(_image(operand, probe(operand.shape[1], operand.dtype)), operand.shape[1]) for operand in given]
    return choose_units(sizes, [operand.dtype for operand in given], sigma, squared, M is not None)


def measurable(operand: Any) -> bool:
    """Return whether the operand is a matrix of numbers that is not empty, and none of SciPy's operators."""
    if not isinstance(operand, (ValueOperator, np.ndarray)) and not sp.issparse(operand):
        return False
    return has_entries(operand)


def has_entries(operand: Any) -> bool:
    """Return whether the operand has two dimensions, rows and columns, and entries that are numbers."""
    return len(operand.shape) == 2 and min(operand.shape) > 0 and np.dtype(operand.dtype).kind in "fciub"


def probe(n: int, dtype: Any) -> Array:
    """Return a pseudo-random vector, (n,), for `row_sizes`."""
    v = random_vector(n, dtype)
    v /= v.dtype.type(n**0.5)  # no sum overflows where no entry does
    return v


def _image(operand: Any, v: Array) -> Array:
    return operand.counted_anew().apply(v) if isinstance(operand, ValueOperator) else operand @ v


def row_sizes(image: Any, n: int) -> Sizes:
    """Return the sizes of A's rows, by the image A v of the `probe` (n,).

    Rows far above the others may be penalties that impose boundary conditions.
    """
    with np.errstate(all="ignore"):
        sizes = np.abs(np.ravel(np.asarray(image)))
        sizes = sizes[sizes != 0] if sizes.any() else np.zeros(1)
        low = np.partition(sizes, (sizes.size - 1) // 10)[(sizes.size - 1) // 10]
        rows = np.log2([low, np.max(sizes)]) + np.log2(n)
    return float(rows[0]), float(rows[1])


def times_number(operand: Any, factor: float) -> Any:
    """Return a matrix, SciPy's operator or value operator times a number."""
    if operand is None or factor == 1:
        return operand
    if isinstance(operand, np.ndarray) or sp.issparse(operand):
        return operand * factor
    if isinstance(operand, ValueOperator):
        return _scaled_operator(operand, factor)
    operand = spla.aslinearoperator(operand)
    return operand * np.finfo(np.result_type(operand.dtype, np.float16)).dtype.type(factor)


def _scaled_operator(operator: ValueOperator, factor: float) -> ValueOperator:
    """Return a value operator times a number, with a count of its own."""

    def times(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda V: factor * function(V)

    matrix = (lambda: operator.matrix * factor) if operator.explicit else None
    given, adjoint = operator.counted_anew(), None
    if operator.has_adjoint:
        adjoint = times(given.adjoint)
    return ValueOperator(
        operator.shape,
        operator.dtype,
        times(given.apply),
        adjoint,
        operator.name,
        matrix,
        operator.by_matrix,
        operator.space,
    )
