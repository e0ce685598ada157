"""Operators that may be traced, as the plain values that the forward pass and the systems work with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ..forward.operands import as_scipy, floating, matrix_operator
from ..forward.scaling import ONE, Units, choose_units, has_entries, probe, row_sizes, times_number
from ..options import Adjoint
from ..perturbation.problem import ValueOperator
from .operators.algebra import assembled_once
from .operators.base import LinearOperator
from .operators.matrices import aslinearoperator, without_boxes
from .trace import UNTRACED, guarded, is_box, levels, strip

__all__ = [
    "as_value",
    "check_operators",
    "check_options",
    "measured",
    "plain_operand",
    "restored",
    "scaled",
    "units",
    "value_of_inverse",
]


def as_value(operator: LinearOperator, hermitian: bool, name: str, deepest: int = UNTRACED) -> ValueOperator:
    """Return an operator on plain arrays, whose closure may hold Boxes up to level ``deepest``."""
    if operator.applied_by_matrix():
        return matrix_operator(operator.explicit(), hermitian, name, operator.dtype)
    dtype = np.result_type(operator.dtype, np.float32)
    explicit = operator.explicit if operator.has_matrix() else None
    operator = operator.plain()

    def columnwise(function: Callable[[Any], Any], rows: int) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function for blocks. Boxes are stripped column by column: no trace of a whole block is built."""

        def apply(V: np.ndarray) -> np.ndarray:
            if V.ndim == 1 or operator.applies_blocks():
                return strip(function(V))
            result = np.empty((rows, V.shape[1]), np.result_type(V, dtype), order="F")
            for j in range(V.shape[1]):
                result[:, j] = strip(function(V[:, j]))
            return result

        return apply

    apply = columnwise(guarded(operator._apply, deepest), operator.shape[0])
    apply_adjoint = columnwise(guarded(operator._apply_adjoint, deepest), operator.shape[1])
    return ValueOperator(operator.shape, dtype, apply, apply if hermitian else apply_adjoint, name, explicit)


def plain_operand(x: Any, needs_matrix: bool = False, hermitian: bool = True) -> Any:
    """Return an argument for SciPy without Boxes; our operators as matrices where that is faster or needed.

    Of an operator that need not be ``hermitian`` the adjoint may be applied, too.
    """
    if not isinstance(x, spla.LinearOperator):
        return strip(x)
    x = floating(x)
    if not isinstance(x, LinearOperator):
        return x
    if x.applied_by_matrix() or (needs_matrix and x.has_matrix()):
        return x.explicit()
    return as_scipy(as_value(x if hermitian else with_adjoint(x), hermitian, "matvec"))


def with_adjoint(operator: LinearOperator) -> LinearOperator:
    """Return the operator with its adjoint at hand, where it has one."""
    with suppress(TypeError):  # which says so again where the adjoint is applied
        return operator.prepared()
    return operator


def value_of_inverse(OPinv: Any, scale: Units, sigma: Any, hermitian: bool) -> Any:
    """Return OPinv in other units, for `make_inverse`; an operator of ours as a value operator."""
    if not isinstance(OPinv, LinearOperator):
        return times_number(strip(OPinv), scale.a)
    operator, symmetric = _times(floating(OPinv), scale.a), hermitian and np.imag(0 if sigma is None else sigma) == 0
    operator = operator if symmetric else with_adjoint(operator)
    return as_value(operator, symmetric, "OPinv")


def check_options(adjoint: Any) -> Adjoint:
    """Return the options, with a preconditioner on plain values."""
    if adjoint is None:
        return Adjoint()
    if not isinstance(adjoint, Adjoint):
        raise TypeError(f"adjoint must be krylov_adj.Adjoint(...), not {type(adjoint).__name__}")
    given = adjoint.preconditioner
    if given is None:
        return adjoint
    if not hasattr(given, "matvec"):
        return replace(adjoint, preconditioner=lambda V: strip(given(V)))
    return replace(adjoint, preconditioner=without_boxes(aslinearoperator(given)))


def check_operators(A: Any, M: Any) -> tuple[LinearOperator, LinearOperator | None]:
    """Return A and M as operators whose matrices are assembled at most once in the solve that follows."""
    op_A = assembled_once(aslinearoperator(A))
    if op_A.shape[0] != op_A.shape[1]:
        raise ValueError(f"expected square matrix (shape={op_A.shape})")
    if M is None:
        return op_A, None
    op_M = assembled_once(aslinearoperator(floating(M, op_A.dtype)))
    if op_M.shape != op_A.shape:
        raise ValueError(f"wrong M dimensions {op_M.shape}, should be {op_A.shape}")
    return op_A, op_M


# --------------------------------------------------------------------------------------------
# Units, see forward/scaling.py.
# --------------------------------------------------------------------------------------------


def units(A: Any, M: Any, sigma: Any = None, squared: bool = False) -> tuple[Units, int]:
    """Return the units in which to solve A x = w M x, and the highest level at which A or M is traced.

    One application of each operator tells both. Of one of SciPy's nothing is known, and the problem left as it is.

    Raises
    ------
    ValueError
        Where rounding leaves nothing of A in A − σ: sigma is in other units than A.
    """
    given = [operand for operand in (A, M) if operand is not None]
    if not all(_measurable(operand) for operand in given):
        return ONE, UNTRACED
    sizes, traced = zip(*(measured(operand) for operand in given), strict=True)
    return choose_units(list(sizes), [operand.dtype for operand in given], sigma, squared, M is not None), max(traced)


def _measurable(operand: Any) -> bool:
    own = isinstance(operand, LinearOperator) or sp.issparse(operand) or isinstance(strip(operand), np.ndarray)
    return own and has_entries(operand)


def measured(operand: Any) -> tuple[tuple[float, float], int]:
    """Return the sizes of A's rows, see `row_sizes`, and the level of A's trace."""
    n = operand.shape[1]
    v = probe(n, operand.dtype)
    image = operand._apply(v) if isinstance(operand, LinearOperator) else strip(operand) @ v
    level = max(levels(image if isinstance(operand, LinearOperator) else operand), default=UNTRACED)
    return row_sizes(strip(image), n), level


@dataclass(frozen=True)
class Scaled:
    """A′ and M′, traced where A and M are, see `forward/scaling.py`.

    ``deepest`` is the highest level at which either is traced, ``options`` are those for A′ and M′.
    """

    units: Units
    deepest: int
    A: Any
    M: Any
    options: Adjoint


def scaled(A: Any, M: Any, options: Adjoint, sigma: Any = None, squared: bool = False) -> Scaled:
    """Return the problem in units in which its operators are not far from one, as for `units`."""
    scale, deepest = units(A, M, sigma, squared)
    A, M = _times(A, 1 / scale.a), _times(M, 1 / scale.m)
    A, M = (assembled_once(x) if isinstance(x, LinearOperator) else x for x in (A, M))
    return Scaled(scale, deepest, A, M, scale.options(options))


def _times(operand: Any, factor: float) -> Any:
    if factor != 1 and (isinstance(operand, LinearOperator) or is_box(operand)):
        return operand * factor
    return times_number(operand, factor)


def restored(scale: Units, w: Any, X: Any, normalization: str) -> tuple[Any, Any]:
    """Return w and x of w′ and x′, traced where those are.

    Raises
    ------
    ValueError
        Where a value is outside of the range of its precision.
    """
    scale.check_range(np.asarray(strip(w)))
    factor = scale.eigenvalue_factor
    return w if factor == 1 else w * factor, scale.vectors(X, normalization)
