"""Inverses for shift-invert and of mass matrices: the caller's, or by a factorisation of explicit matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..krylov.factors import factorise
from ..krylov.gmres import gmres
from ..krylov.precision import Precision
from ..krylov.space import WHOLE
from ..options import most_iterations
from ..perturbation.problem import Inverse, ValueOperator
from ..report.container_messages import needs_inverse
from ..report.messages import boxes_in_scipy
from .operands import value_operator

__all__ = ["check_solvable", "make_inverse", "make_mass_inverse"]

Array = np.ndarray

#: Of the right-hand side that A − σM is tried with.
SEED = 31

#: Krylov dimension between restarts of SciPy's GMRES.
SCIPY_RESTART = 20


def make_inverse(A: ValueOperator, M: ValueOperator | None, sigma: Any, OPinv: Any, hermitian: bool) -> Inverse | None:
    """Return (A − σM)⁻¹ from OPinv or from a factorisation of explicit matrices; None without either.

    ``OPinv`` is one of SciPy's operators or a value operator.
    """
    if sigma is None:
        if OPinv is not None:
            raise ValueError("OPinv should not be specified with sigma = None.")
        return None
    symmetric = hermitian and np.imag(sigma) == 0
    if OPinv is not None:
        operator = OPinv if isinstance(OPinv, ValueOperator) else value_operator(OPinv, symmetric, "OPinv")
        if operator.shape != A.shape:
            raise ValueError(f"wrong OPinv dimensions {operator.shape}, should be {A.shape}")
        if not symmetric and not _has_adjoint(operator.counted_anew()):
            return None
        return Inverse(sigma, operator)
    if not (A.explicit and (M is None or M.explicit)):
        return None
    apply, apply_adjoint, dtype = factorise(A.matrix, None if M is None else M.matrix, sigma, symmetric)
    return Inverse(sigma, ValueOperator(A.shape, dtype, apply, apply_adjoint, "the inverse of A − σM"))


def check_solvable(A: ValueOperator, M: ValueOperator | None, sigma: Any) -> None:
    """Raise where GMRES(20) does not solve a system with A − σM to a few digits, of operators without matrices.

    It is what SciPy does for every vector, to all digits and at great length before it gives up.

    Raises
    ------
    ValueError
        With what to pass.
    """
    A, M = A.counted_anew(), None if M is None else M.counted_anew()
    dtype = np.result_type(A.dtype, *(() if M is None else (M.dtype,)), np.complex64 if np.imag(sigma) else np.float32)
    n, goal = A.shape[0], Precision.of(dtype).few_digits

    def apply(V: Array, columns: Any = None) -> Array:
        return np.asarray(A.apply(V) - sigma * (V if M is None else M.apply(V)), dtype, order="F")

    b = WHOLE.random(n, dtype, SEED, 1)
    X, steps, _ = gmres(WHOLE, apply, b, np.array([goal]), most_iterations(n), SCIPY_RESTART)
    residual = float(WHOLE.norms(b - apply(X))[0] / WHOLE.norms(b)[0])
    if not residual <= 2 * goal:
        raise ValueError(needs_inverse(residual, steps))


def make_mass_inverse(M: ValueOperator, Minv: Any, hermitian: bool) -> Callable[[], Callable[[Array], Array]] | None:
    """Return a function that makes v ↦ M⁻¹v when it is needed, from Minv or by a factorisation; None without either."""
    if Minv is not None:
        return lambda: value_operator(Minv, hermitian, "Minv").apply
    if not M.explicit:
        return None
    return lambda: factorise(M.matrix, None, 0.0, hermitian)[0]


def _has_adjoint(operator: ValueOperator) -> bool:
    """Return whether the operator's adjoint can be applied; SciPy's answer is an exception."""
    try:
        operator.adjoint(np.zeros(operator.shape[0], operator.dtype))
    except (NotImplementedError, TypeError) as error:
        if str(error) == boxes_in_scipy():
            raise
        return False
    return True
