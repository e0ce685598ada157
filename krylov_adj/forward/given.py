"""Eigenpairs that any solver has computed: checked, with their derivative maps, and their left eigenvectors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..krylov.precision import Precision
from ..options import Adjoint
from ..perturbation.derivatives import Maps, derivative_maps
from ..perturbation.examine import examine
from ..perturbation.problem import Eigenproblem, Pairs, ValueOperator, power_of_two
from ..perturbation.refusals import refuse_cut
from ..perturbation.systems import BorderedSystems, left_vectors
from ..report.messages import not_eigenpairs
from .inverses import make_inverse, make_mass_inverse
from .operands import as_complex
from .scaling import Units, times_number, units
from .verify import (
    check_adjoint,
    check_eigenvalues,
    check_given,
    check_normalisation,
    check_normalised,
    verified,
)

__all__ = ["given_eigenpairs", "left_of_eigenpairs", "recall_eigenpairs"]

Array = np.ndarray


def given_eigenpairs(
    A: ValueOperator,
    M: ValueOperator | None,
    w: Array,
    X: Array,
    *,
    hermitian: bool,
    sigma: Any = None,
    OPinv: Any = None,
    normalization: str | None = None,
    rtol: float | None = None,
    options: Adjoint | None = None,
) -> tuple[Pairs, Maps]:
    """Return eigenpairs that any solver computed, checked, and their derivative maps; arguments of `attach_eigenpairs`.

    Vectors of a Hermitian pencil that have unit 2-norm come back with X̂ᴴMX̂ = I, and the maps are those of X̂; their
    problem is ``unit`` then, and the front end divides by ‖x̂‖ (`autograd/attach.py`, `attach_units`, says why).

    Raises
    ------
    ValueError
        Wrong shapes, NaN or infinity, no eigenpairs, or not normalised.
    """
    options, dtypes = Adjoint() if options is None else options, [A.dtype, *(() if M is None else (M.dtype,))]
    w, X, imaginary = check_given(A.shape[0], w, X, dtypes, hermitian)
    normalization = check_normalisation(normalization, M is not None)
    rtol = Precision.of(X.dtype).half if rtol is None else rtol
    unit = hermitian and M is not None and normalization == "2"
    if unit and M is not None:
        check_normalised(M.space.dots(X, X), X.dtype, rtol, "2")
        lengths = np.real(M.space.dots(X, M.apply(X)))
        unit = bool(np.all(lengths > 0))
        if unit:
            X, normalization = X / np.sqrt(lengths), "M"
        hermitian = unit  # without such an inner product they are treated one by one
    given = Pairs(w, X, normalization, "eigenpairs as given", rtol=rtol)
    scale, problem, pairs, options = _stated(given, A, M, hermitian, options, sigma, OPinv, unit)
    _check_adjoints(problem)
    if imaginary > 0:
        norm_A, norm_B = problem.norms
        size = (norm_A / norm_B + float(np.max(np.abs(pairs.w)))) * scale.eigenvalue_factor
        if imaginary > Precision.of(w.dtype).half * size:
            raise ValueError(f"hermitian=True, but eigenvalues have imaginary parts up to {imaginary:.1e}")
    pairs, R = verified(problem, pairs, options)
    maps = _in_units(scale, derivative_maps(problem, pairs, R, options), normalization)
    return replace(pairs, w=scale.values(pairs.w), X=scale.vectors(pairs.X, normalization)), maps


def left_of_eigenpairs(
    A: ValueOperator,
    M: ValueOperator | None,
    w: Array,
    X: Array,
    *,
    hermitian: bool,
    sigma: Any = None,
    OPinv: Any = None,
    rtol: float | None = None,
    options: Adjoint | None = None,
) -> tuple[Array | None, BorderedSystems, Units, float]:
    """Return left eigenvectors Y′ (n, k) of given right ones in any scaling, their systems, units, and a power of two.

    With X = x X′ and M = m M′ it is Y = Y′/(m x). None in the place of Y′ where ``hermitian``: they are those of X.

    Raises
    ------
    ValueError
        Wrong shapes, NaN or infinity, or no eigenpairs.
    AdjointNoConvergence, DefectiveEigenvalueError
    """
    options, n = Adjoint() if options is None else options, A.shape[0]
    if w.ndim != 1 or X.shape != (n, *w.shape) or not w.size:
        raise ValueError(f"expected w of shape (k,) and X of shape ({n}, k), got {w.shape} and {X.shape}")
    if not (np.all(np.isfinite(w)) and np.all(np.isfinite(X))):
        raise ValueError("w or X holds NaN or infinity")
    scale, x = units(A, M, sigma), power_of_two(A.space, X)
    A, M, options = times_number(A, 1 / scale.a), times_number(M, 1 / scale.m), scale.options(options)
    x = 1.0 if scale.trivial and 2.0**-40 < x < 2.0**40 else x
    w, X = w / scale.eigenvalue_factor, X / x
    pairs = Pairs(w, X, "2", "eigenpairs as given")
    problem = _problem(
        pairs, A, M, hermitian, None if hermitian else scale.shift(sigma), None if hermitian else OPinv, scale
    )
    _check_adjoints(problem)
    examined = examine(problem, w, X, A.apply(X), problem.apply_B(X))
    rtol = Precision.of(X.dtype).half if rtol is None else rtol
    if not np.all(examined.residuals <= rtol):
        raise ValueError(not_eigenpairs(examined.residuals, rtol, examined.scales * scale.a))
    check_eigenvalues(problem, options, w, examined, rtol)
    systems = BorderedSystems.of(problem, w, X, options, examined.residuals * examined.scales)
    if hermitian:
        return None, systems, scale, x
    refuse_cut(systems.pairs, systems.complete())
    return left_vectors(systems), systems, scale, x


def recall_eigenpairs(
    given: Pairs,
    A: ValueOperator,
    M: ValueOperator | None,
    hermitian: bool,
    options: Adjoint,
    sigma: Any = None,
    OPinv: Any = None,
    unit: bool = False,
) -> Maps:
    """Return the maps of pairs that have been checked or computed before; ``unit`` as that of `Eigenproblem`."""
    scale, problem, pairs, options = _stated(given, A, M, hermitian, options, sigma, OPinv, unit)
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
    unit: bool,
) -> tuple[Units, Eigenproblem, Pairs, Adjoint]:
    """Return the problem, the pairs and the options in the units of the first."""
    if M is not None and M.dtype.kind == "c" and A.dtype.kind != "c":
        A = as_complex(A)
    scale = units(A, M, sigma)
    w, X = scale.scaled(given.w, given.X, given.normalization)
    A, M = times_number(A, 1 / scale.a), times_number(M, 1 / scale.m)
    problem = _problem(replace(given, w=w, X=X), A, M, hermitian, scale.shift(sigma), OPinv, scale)
    return scale, replace(problem, unit=unit), replace(given, w=w, X=X), scale.options(options)


def _problem(
    pairs: Pairs, A: ValueOperator, M: ValueOperator | None, hermitian: bool, shift: Any, OPinv: Any, scale: Units
) -> Eigenproblem:
    """Return the problem of pairs, all of it in units but for OPinv, (A − σM)⁻¹ of the caller."""
    inverse = make_inverse(A, M, shift, times_number(OPinv, scale.a), hermitian)
    mass_inverse = None if M is None or inverse is not None else make_mass_inverse(M, None, hermitian)
    pairs = replace(pairs, inverse=inverse, units=scale.pair)
    return Eigenproblem.of(pairs, A, M, hermitian, mass_inverse=mass_inverse)


def _check_adjoints(problem: Eigenproblem) -> None:
    for operator in (problem.A, problem.B):
        if operator is not None:
            check_adjoint(operator, problem.hermitian)


def _in_units(scale: Units, maps: Maps, normalization: str) -> Maps:
    vectors = scale.eigenvector_factor(normalization)
    return replace(maps, values=scale.eigenvalue_factor, vectors=vectors, residuals=scale.a * vectors)
