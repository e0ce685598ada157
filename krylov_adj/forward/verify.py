"""Checks of operators and of eigenpairs: a wrong adjoint, pairs that are none, or vectors that are not normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..krylov import small
from ..krylov.precision import Precision
from ..krylov.space import Space
from ..options import Adjoint
from ..perturbation.examine import Examination, examine
from ..perturbation.gauge import say
from ..perturbation.problem import Eigenproblem, Pairs, ValueOperator
from ..report.errors import DegeneracyWarning
from ..report.messages import (
    dependent_vectors,
    few_digits,
    not_eigenpairs,
    not_normalised,
    not_the_eigenvalue,
    operator_adjoint_wrong,
    operator_not_hermitian,
)
from ..report.report import Report, logger
from .operands import random_vector

__all__ = [
    "GRAM",
    "check_adjoint",
    "check_eigenvalues",
    "check_given",
    "check_normalisation",
    "check_normalised",
    "forward_report",
    "is_hermitian",
    "orthonormal",
    "verified",
    "verify",
]

Array = np.ndarray

#: The normalisations and the names of the matrices that are the identity.
GRAM = {"2": "XᴴX", "M": "XᴴMX", "A": "XᴴAX"}


def check_adjoint(operator: ValueOperator, hermitian: bool) -> None:
    """Raise where ⟨y, A x⟩ and ⟨Aᴴ y, x⟩ differ for two pseudo-random vectors: two applications.

    A wrong adjoint (or an operator that is not Hermitian though it was promised to be) solves the
    wrong systems without a trace in any residual.
    """
    space, sizes = operator.space, operator.shape[::-1]
    x, y = (random_vector(n, operator.dtype, seed, space) for n, seed in zip(sizes, (5, 6), strict=True))
    Ax, AHy = operator.apply(x), operator.adjoint(y)
    left, right = space.dot(y, Ax), space.dot(AHy, x)
    error = abs(left - right) / max(space.norm(Ax), space.norm(AHy), Precision.of(operator.dtype).tiny)
    if not error <= Precision.of(operator.dtype).half:
        raise ValueError((operator_not_hermitian if hermitian else operator_adjoint_wrong)(operator.name, float(error)))


def is_hermitian(operator: ValueOperator | None) -> bool:
    """Return whether M x = Mᴴ x for a pseudo-random vector: two applications."""
    if operator is None:
        return True
    space = operator.space
    x = random_vector(operator.shape[0], operator.dtype, 5, space)
    image = operator.apply(x)
    return space.norm(image - operator.adjoint(x)) <= Precision.of(image.dtype).half * space.norm(image)


def forward_report(pairs: Pairs) -> Report:
    """Return the report of a forward pass, without residuals, which `verify` adds."""
    return Report(
        "forward",
        pairs.method,
        0.0,
        np.zeros(pairs.w.size),
        applications=pairs.applications,
        solves=pairs.solves,
        ncv=pairs.ncv,
    )


def verified(problem: Eigenproblem, pairs: Pairs, options: Adjoint) -> tuple[Pairs, Array]:
    """Return the pairs, checked, and A X − B X Λ; of a Hermitian problem with vectors that are orthonormal to rounding.

    A and B are applied to the vectors, once more where these had to be made orthonormal in another inner product.

    Raises
    ------
    ValueError
        Where they are no eigenpairs, or not normalised.
    """
    w, X = pairs.w, pairs.X
    if problem.hermitian:
        NX = {"2": lambda X: X, "M": problem.apply_B, "A": problem.A.apply}[problem.normalization](X)
        X = orthonormal(problem.space, X, NX, pairs.rtol, problem.normalization)
    X = np.asfortranarray(X)  # the solvers work on contiguous columns
    AX, BX = problem.A.apply(X), problem.structure.images(problem.apply_B, X)
    NX = {"2": X, "M": BX, "A": AX}[problem.normalization]
    verify(problem, options, w, X, (AX, BX, NX), pairs.rtol, forward_report(pairs))
    return replace(pairs, X=X), AX - BX * problem.structure.eigenvalues(w)


def verify(
    problem: Eigenproblem,
    options: Adjoint,
    w: Array,
    X: Array,
    images: tuple[Array, Array, Array],
    rtol: float,
    report: Report,
) -> None:
    """Check residuals, eigenvalues and normalisation by the ``images`` A X, B X and N X; complete and log ``report``.

    Raises
    ------
    ValueError
        Where the pairs are no eigenpairs, or not normalised.
    """
    AX, BX, NX = images
    examined = examine(problem, problem.structure.eigenvalues(w), X, AX, BX)
    complete = replace(report, requested=rtol, residuals=examined.residuals)
    logger.info("%s", complete)
    if options.callback is not None:
        options.callback(complete)
    if not complete.converged:
        raise ValueError(not_eigenpairs(examined.residuals, rtol, examined.scales * problem.units[0]))
    if not problem.structure.nonlinear:
        check_eigenvalues(problem, options, w, examined, rtol)
    check_normalised(problem.space.dots(X, NX), X.dtype, rtol, problem.normalization)


def check_given(n: int, w: Array, X: Array, dtypes: Sequence[Any], hermitian: bool) -> tuple[Array, Array, float]:
    """Return pairs that were given, in one precision, and the largest imaginary part that w has lost where Hermitian.

    ``dtypes`` are those of the operators, of order n.

    Raises
    ------
    ValueError
        Wrong shapes, NaN or infinity, vectors of zeros.
    """
    if w.ndim != 1 or X.shape != (n, w.size):
        raise ValueError(f"expected w of shape (k,) and X of shape ({n}, k), got {w.shape} and {X.shape}")
    if w.size == 0:
        raise ValueError("no pairs were given: w has k = 0 entries")
    if not (np.all(np.isfinite(w)) and np.all(np.isfinite(X))):
        raise ValueError("w or X holds NaN or infinity")
    imaginary = float(np.max(np.abs(w.imag))) if hermitian else 0.0
    w = w.real if hermitian else w
    # In one precision, at least the operators', real or complex as a whole.
    X = X.astype(np.result_type(X, np.float32, *dtypes))
    w = w.astype(X.real.dtype if hermitian else np.result_type(w, X.real.dtype))
    if not X.any(axis=0).all():
        raise ValueError(f"columns {np.flatnonzero(~X.any(axis=0))} of X are zero: not normalised, and no eigenvectors")
    return w, X, imaginary


def check_normalisation(given: str | None, with_M: bool) -> str:
    """Return the name of a normalisation, by default the usual one."""
    if given is None:
        return "M" if with_M else "2"
    if given not in GRAM or (given == "M" and not with_M):
        raise ValueError(f"normalization={given!r}: expected one of {tuple(GRAM)}, 'M' only where M is given")
    return given


def check_normalised(squares: Array, dtype: np.dtype, rtol: float, normalization: str) -> None:
    """Raise where xᴴNx of the columns deviate from one."""
    deviation = float(np.max(np.abs(squares - 1)))
    if not deviation <= max(rtol, 1e3 * Precision.of(dtype).eps):
        raise ValueError(not_normalised(deviation, GRAM[normalization]))


def check_eigenvalues(problem: Eigenproblem, options: Adjoint, w: Array, examined: Examination, rtol: float) -> None:
    """Raise where an eigenvalue is not that of its vector; say where rounding leaves few digits of it."""
    accepted = examined.accepted(w, rtol)
    if np.any(examined.deviations > accepted):
        raise ValueError(not_the_eigenvalue(*(x * problem.units[1] for x in (w, examined.deviations, accepted))))
    few = examined.of_few_digits(w)
    if few and options.on_gauge != "ignore":
        say(DegeneracyWarning, few_digits(few, w * problem.units[1], examined.seen), options)


def orthonormal(space: Space, X: Array, NX: Array, rtol: float, normalization: str) -> Array:
    """Return X (XᴴNX)^−½, the nearest vectors with XᴴNX = I, of a Hermitian problem; X itself where it is that.

    Vectors of close eigenvalues are orthogonal up to residual over gap, and what they lack is
    divided by the gap once more in a derivative; of a degenerate eigenvalue of a complex matrix SciPy
    returns any basis.
    """
    gram = space.gram(X, NX)
    gram = 0.5 * (gram + gram.conj().T)
    norms, precision = np.real(np.diagonal(gram)), Precision.of(X.dtype)
    check_normalised(norms, X.dtype, rtol, normalization)
    if np.max(np.abs(gram - np.eye(norms.size))) <= precision.orthonormal:
        return X
    s, U = small.eigh(space, gram)
    if s[0] <= precision.half * s[-1]:
        raise ValueError(dependent_vectors(float(s[0]), float(s[-1])))
    return X @ (U * s**-0.5) @ U.conj().T
