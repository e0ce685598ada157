"""The forward solve of `eigs` and `eigsh`: by ARPACK, by Lanczos of our own, or by LAPACK."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse.linalg as spla

from ..autograd.attach import as_value, attach_verified, make_inverse, make_pencil
from ..autograd.operators.base import LinearOperator
from ..autograd.operators.matrices import named_boxes
from ..options import Adjoint
from ..perturbation.problem import Beyond, Inverse, ValueOperator
from ..perturbation.ranking import ranking
from ..perturbation.selection import Selection
from ..report.report import Report
from .arpack import (
    accepted_residual,
    admits,
    as_scipy,
    call_scipy,
    in_order_of_values,
    next_to_one,
    plain_operand,
    scipy_eigsh,
    spoiled_residual,
)
from .continuation import Continuation
from .lapack import dense_pairs, matrices_for_lapack, past_arpack
from .scaling import Units
from .symmetric import SymmetricPairs, covered, symmetric_pairs
from .warm_start import warm_arnoldi, warm_start

__all__ = ["attached_pairs", "plain_pairs"]

Array = np.ndarray


@dataclass(frozen=True)
class Pairs:
    """Eigenpairs as they are returned; X is None for real `eigsh` without vectors."""

    w: Array
    X: Any
    normalization: str
    method: str
    beyond: Beyond | None = None


def plain_pairs(
    solver: Any,
    A: Any,
    k: int,
    M: Any,
    vectors: bool,
    arguments: dict[str, Any],
    continuation: Continuation | None,
) -> tuple[Array, Any, str]:
    """w, X and their normalisation of plain operands: SciPy's, as far as ARPACK goes."""
    hermitian = solver is scipy_eigsh
    A = plain_operand(A, arguments["sigma"] is not None or past_arpack(hermitian, A, k))
    M = plain_operand(M, True)
    _start(continuation, A, M, arguments)
    matrices = matrices_for_lapack(hermitian, A, k, M, arguments)
    found = _by_scipy(solver, A, k, M, vectors, arguments, matrices)
    if continuation is not None and found.X is not None:
        continuation.keep_vectors(found.X)
    return found.w, found.X, found.normalization


def attached_pairs(
    solver: Any,
    op_A: LinearOperator,
    k: int,
    op_M: LinearOperator | None,
    vectors: bool,
    plain: dict[str, Any],
    continuation: Continuation | None,
    choice: str,
    options: Adjoint,
    scale: Units,
) -> tuple[Any, Any, str]:
    """w, X (of no meaning where only values were asked for) and their normalisation; traced where A or M are.

    What runs, and so every value, does not depend on whether anything is traced.
    """
    # SciPy factorises A with sigma, and M without; near k = n it has to have both.
    hermitian, real = solver is scipy_eigsh, op_A.dtype.kind != "c"
    value_A = plain_operand(op_A, plain["sigma"] is not None or past_arpack(hermitian, op_A, k))
    value_M = plain_operand(op_M, True)
    matrices = matrices_for_lapack(hermitian, value_A, k, value_M, plain)
    dense = matrices is not None or past_arpack(hermitian, op_A, k)
    if plain["sigma"] is None and not dense and not isinstance(value_A, as_scipy):
        value_A = as_scipy(as_value(op_A, True, "matvec"))  # which counts

    def inverse_at(shift: Any) -> Inverse | None:
        return None if dense else make_inverse(op_A, op_M, shift, plain["OPinv"], hermitian)

    own, solves = None, 0
    if hermitian and not dense and choice == "auto" and admits(value_M, plain):
        counted = value_A.operator if plain["sigma"] is None else as_value(op_A, True, "matvec")
        M_operator = None if op_M is None else as_value(op_M, True, "M")
        own, inverse, solves = _by_lanczos(counted, M_operator, k, plain, inverse_at, continuation)
    else:
        inverse = inverse_at(plain["sigma"])
    warm, starting = None, continuation
    standard = not hermitian and op_M is None and choice == "auto"
    if standard and continuation is not None and inverse is not None:
        # Where it does not do, it leaves the v0 that there is.
        warm, starting = warm_arnoldi(op_A.dtype, inverse, k, plain, continuation)
    if own is not None:
        found = Pairs(own.w, own.X, "2" if op_M is None else "M", own.method, own.beyond)
    elif warm is not None:
        found = Pairs(*warm, "2", "Arnoldi")
    else:
        if inverse is not None and plain["OPinv"] is None:
            plain["OPinv"] = as_scipy(inverse.operator)
        _start(starting, value_A, value_M, plain)
        found = _by_scipy(solver, value_A, k, value_M, True, plain, matrices)
    applications = getattr(value_A, "applications", 0)
    solves += 0 if inverse is None else inverse.operator.applications
    if continuation is not None:
        continuation.keep_vectors(found.X)
    w, X, normalization, method = found.w, found.X, found.normalization, found.method
    if not vectors and hermitian and real and method != "LAPACK":
        w, X = in_order_of_values(plain, w, X)
    real_M, any_pencil = op_M is None or op_M.dtype.kind != "c", op_M is not None and normalization == "2"
    selection = Selection(
        ranking(hermitian, real, real_M, plain, any_pencil),
        int(plain["ncv"] or min(op_A.shape[0], max(2 * k + 1, 20))),  # SciPy's default
        applications if inverse is None else solves,
    )
    pencil = make_pencil(
        op_A,
        op_M,
        hermitian,
        normalization,
        inverse,
        options,
        continuation,
        found.beyond,
        scale,
        selection,
        plain["Minv"],
    )
    report = Report(
        "forward",
        method,
        0.0,
        np.zeros(w.size),
        applications=applications,
        solves=solves,
        ncv=selection.ncv if method == "ARPACK" else 0,
    )
    spoiled = not hermitian and method != "LAPACK" and next_to_one(w, value_A, plain)
    rtol = (spoiled_residual if spoiled else accepted_residual)(X.dtype, float(plain["tol"]))
    w, X = attach_verified(pencil, w, X, rtol, report)
    return w, X, normalization


def _by_scipy(
    solver: Any,
    A: Any,
    k: int,
    M: Any,
    vectors: bool,
    arguments: dict[str, Any],
    matrices: tuple[Array, Array | None] | None,
) -> Pairs:
    """By ARPACK, or of given ``matrices`` by LAPACK."""
    if matrices is None:
        try:
            with named_boxes():
                return Pairs(*call_scipy(solver, A, k, M, vectors, arguments), "ARPACK")
        except (spla.ArpackError, ValueError):
            matrices = matrices_for_lapack(solver is scipy_eigsh, A, k, M, arguments, failed=True)
            if matrices is None:
                raise
    found = dense_pairs(solver is scipy_eigsh, matrices[0], k, matrices[1], arguments)
    return Pairs(found.w, found.X, found.normalization, "LAPACK", found.beyond)


def _by_lanczos(
    A: ValueOperator,
    M: ValueOperator | None,
    k: int,
    arguments: dict[str, Any],
    inverse_at: Callable[[Any], Inverse | None],
    continuation: Continuation | None,
) -> tuple[SymmetricPairs | None, Inverse | None, int]:
    """The pairs where they are not ARPACK's to find, the inverse for them or for it, and solves with another one."""
    sigma, solves, start = arguments["sigma"], 0, None
    if not covered(A, M, k, arguments):
        return None, inverse_at(sigma), 0
    if continuation is not None:
        start = warm_start(A, M, k, arguments, continuation)
    if start is not None and start.shift != sigma:
        try:
            inverse = inverse_at(start.shift)
        except RuntimeError:  # an eigenvalue, exactly
            inverse = None
        if inverse is not None:
            own = symmetric_pairs(A, M, k, arguments, inverse, continuation, start)
            if own is not None:
                return own, inverse, 0
            solves = inverse.operator.applications
    inverse = inverse_at(sigma)
    return symmetric_pairs(A, M, k, arguments, inverse, continuation, start), inverse, solves


def _start(continuation: Continuation | None, A: Any, M: Any, arguments: dict[str, Any]) -> None:
    """The continuation's v0 in place of the caller's, where it has one."""
    if continuation is None:
        return
    dtype = np.result_type(*(operand.dtype for operand in (A, M) if operand is not None))
    arguments["v0"] = continuation.start_vector(A.shape[0], dtype, float(arguments["tol"]), arguments["v0"])
