"""Eigenpairs that any solver has computed, and their derivative maps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..options import Adjoint
from ..perturbation.derivatives import Maps, derivative_maps
from ..perturbation.problem import Eigenproblem, Pairs, ValueOperator
from .inverses import make_inverse, make_mass_inverse
from .operands import as_complex
from .scaling import Units, times_number, units
from .verify import check_adjoint, verified

__all__ = ["accept_eigenpairs", "recall_eigenpairs"]


def accept_eigenpairs(
    given: Pairs,
    A: ValueOperator,
    M: ValueOperator | None,
    hermitian: bool,
    options: Adjoint,
    sigma: Any = None,
    OPinv: Any = None,
) -> tuple[Pairs, Maps]:
    """Return given pairs A x = w M x, checked, and their derivative maps; both in the caller's units.

    Raises
    ------
    ValueError
        Where they are no eigenpairs or not normalised; an operator that is not Hermitian though it should be, or a
        wrong adjoint.
    """
    scale, problem, pairs, options = _stated(given, A, M, hermitian, options, sigma, OPinv)
    for operator in (problem.A, problem.B):
        if operator is not None:
            check_adjoint(operator, hermitian)
    pairs, R = verified(problem, pairs, options)
    maps = _in_units(scale, derivative_maps(problem, pairs, R, options), pairs.normalization)
    return replace(pairs, w=scale.values(pairs.w), X=scale.vectors(pairs.X, pairs.normalization)), maps


def recall_eigenpairs(
    given: Pairs,
    A: ValueOperator,
    M: ValueOperator | None,
    hermitian: bool,
    options: Adjoint,
    sigma: Any = None,
    OPinv: Any = None,
) -> Maps:
    """Return the maps of pairs that have been accepted or computed before, and are not checked again."""
    scale, problem, pairs, options = _stated(given, A, M, hermitian, options, sigma, OPinv)
    R = problem.pencil(pairs.X, pairs.w)
    return _in_units(scale, derivative_maps(problem, pairs, R, options), pairs.normalization)


def _stated(
    given: Pairs,
    A: ValueOperator,
    M: ValueOperator | None,
    hermitian: bool,
    options: Adjoint,
    sigma: Any,
    OPinv: Any,
) -> tuple[Units, Eigenproblem, Pairs, Adjoint]:
    """Return the problem, the pairs and the options in the units of the first."""
    if M is not None and M.dtype.kind == "c" and A.dtype.kind != "c":
        A = as_complex(A)
    scale = units(A, M, sigma)
    A, M = times_number(A, 1 / scale.a), times_number(M, 1 / scale.m)
    inverse = make_inverse(A, M, scale.shift(sigma), times_number(OPinv, scale.a), hermitian)
    w, X = scale.scaled(given.w, given.X, given.normalization)
    pairs = replace(given, w=w, X=X, inverse=inverse, units=scale.pair)
    mass_inverse = None if M is None or inverse is not None else make_mass_inverse(M, None, hermitian)
    return scale, Eigenproblem.of(pairs, A, M, hermitian, mass_inverse=mass_inverse), pairs, scale.options(options)


def _in_units(scale: Units, maps: Maps, normalization: str) -> Maps:
    vectors = scale.eigenvector_factor(normalization)
    return replace(maps, values=scale.eigenvalue_factor, vectors=vectors, residuals=scale.a * vectors)
