"""Differentiable eigenpairs from pairs that any solver computed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..forward.verify import (
    check_given,
    check_normalisation,
    check_normalised,
    forward_report,
    orthonormal,
    verify,
)
from ..krylov.precision import Precision
from ..krylov.space import WHOLE
from ..options import Adjoint
from ..perturbation.problem import Pairs
from ..report.report import Report
from .arguments import make_pencil, traced_inverse
from .elementary import xp
from .pencil import TracedNonlinear, TracedPencil
from .primitives import attach
from .trace import strip
from .values import check_operators, check_options, restored, scaled

__all__ = ["attach_eigenpairs"]


def attach_eigenpairs(
    A: Any,
    w: Any,
    X: Any,
    *,
    M: Any = None,
    hermitian: bool = False,
    sigma: complex | None = None,
    OPinv: Any = None,
    normalization: str | None = None,
    rtol: float | None = None,
    adjoint: Adjoint | None = None,
) -> tuple[Any, Any]:
    """Make eigenpairs A x = w M x, computed by any means, differentiable.

    Parameters
    ----------
    A, M : dense array, SciPy sparse, SciPy or krylov_adj LinearOperator
        Shape (n, n); any of them may depend on traced values where its type can. M defaults to
        the identity.
    w : array, shape (k,)
        Eigenvalues, all simple or complete clusters.
    X : array, shape (n, k)
        Right eigenvectors in columns, normalised.
    hermitian : bool, optional
        A and M are Hermitian for all parameters. Columns of X must then be orthogonal (in the inner product of
        M, or where ``normalization="A"`` in that of A).
    sigma : number, optional
        A shift near the eigenvalues. With explicit matrices, (A − σM) is factorised for the
        derivative's systems.
    OPinv : LinearOperator, optional
        (A − σM)⁻¹, to be used instead. Needs ``rmatvec`` where the problem is not Hermitian.
    normalization : {"2", "M", "A"}, optional
        xᴴx = 1, xᴴMx = 1 or xᴴAx = 1. Default "M" where M is given, else "2".
    rtol : float, optional
        Largest residual ‖A x − w M x‖ accepted, relative to (‖A‖ + ``|w|`` ‖M‖) ‖x‖. Default the
        square root of the machine epsilon. The derivative's error is proportional to it.
    adjoint : Adjoint, optional
        How derivatives are computed.

    Returns
    -------
    w : array, shape (k,)
    X : array, shape (n, k)
        The values that were given; traced where A or M are. Vectors of a Hermitian problem that are
        orthonormal only up to their residuals are replaced by the nearest orthonormal ones.

    Raises
    ------
    ValueError
        Wrong shapes, NaN or infinity, pairs that are not eigenpairs, vectors not normalised, an
        operator that is not Hermitian though it was said to be, a wrong adjoint.
    AdjointNoConvergence, DefectiveEigenvalueError
        From the backward pass.

    Warns
    -----
    GaugeWarning
        From the backward pass, where the loss depends on an arbitrary phase or basis.
    DegeneracyWarning
        From the backward pass, where the loss treats coinciding eigenvalues differently, or reads one that coincides
        with another one that was not given, or an eigenvalue is nearly defective.

    Derivative
    ----------
    Of w and X, in the gauge Im xᴴN dx = 0 (N the normalising matrix), with respect to everything
    that A and M depend on; to any order; forward and reverse. Only the given pairs are needed:
    all other eigenvectors enter through the solution of one linear system for each pair.

    A matrix that is Hermitian, A and M with ``hermitian=True`` and M with ``normalization="M"``, enters by its
    Hermitian part ½(A + Aᴴ): a change of entries acts by its Hermitian part, and gradients in the entries are
    Hermitian, to the bit. That holds for arrays, `csr_array` (with `coo_array`, `diags_array`, `assemble`), and
    operators made of matrices. An operator in which functions take part is taken at its word: it has to be
    Hermitian for all parameters.

    References
    ----------
    One-sided deflation of the adjoint equations: docs/derivation.md. Nelson, AIAA J. 14 (1976);
    van der Aa, ter Morsche & Mattheij, Electron. J. Linear Algebra 16 (2007).

    Examples
    --------
    >>> import autograd.numpy as np
    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> A0 = numpy.diag([1.0, 2.0, 4.0]) + 0.1
    >>> def f(p):
    ...     A = A0 + p * np.eye(3)
    ...     w, X = numpy.linalg.eigh(A0 + 0.5 * numpy.eye(3))  # any solver, on plain values
    ...     w, X = ka.attach_eigenpairs(A, w[:1], X[:, :1], hermitian=True)
    ...     return w[0]
    >>> print(round(float(grad(f)(0.5)), 12))
    1.0
    """
    options = check_options(adjoint)
    op_A, op_M = check_operators(A, M)
    w, X = np.asarray(strip(w)), np.asarray(strip(X))
    dtypes = [op_A.dtype, *(() if op_M is None else (op_M.dtype,))]
    w, X, imaginary = check_given(op_A.shape[0], w, X, dtypes, hermitian)
    normalization = check_normalisation(normalization, M is not None)
    problem = scaled(op_A, op_M, options, sigma)
    scale = problem.units
    w, X = scale.scaled(w, X, normalization)
    inverse = traced_inverse(problem, sigma, OPinv, hermitian)
    given = Pairs(w, X, normalization, "eigenpairs as given", inverse, units=scale.pair)
    pencil = make_pencil(problem, hermitian, given)
    rtol = Precision.of(X.dtype).half if rtol is None else rtol
    if imaginary > 0:
        norm_A, norm_B = pencil.problem.norms
        size = (norm_A / norm_B + float(np.max(np.abs(w)))) * scale.eigenvalue_factor
        if imaginary > Precision.of(w.dtype).half * size:
            raise ValueError(f"hermitian=True, but eigenvalues have imaginary parts up to {imaginary:.1e}")
    w, X = attach_verified(pencil, w, X, rtol, forward_report(given))
    return restored(scale, w, X, normalization)


def attach_verified(
    pencil: TracedPencil | TracedNonlinear, w: np.ndarray, X: np.ndarray, rtol: float, report: Report
) -> tuple[Any, Any]:
    """Attach pairs after checking their residuals and normalisation; completes ``report``."""
    problem, options = pencil.problem, pencil.options
    if problem.hermitian and problem.B is not None and problem.normalization == "2":
        return attach_units(pencil, w, X, rtol, report)
    if problem.hermitian:
        X = orthonormal(problem.space, X, strip(pencil.normaliser(X)), rtol, problem.normalization)
    X = np.asfortranarray(X)  # the solvers work on contiguous columns

    def checked(AX: np.ndarray, BX: np.ndarray, NX: np.ndarray) -> None:
        verify(problem, options, w, X, (AX, BX, NX), rtol, report)

    return attach(pencil, w, X, checked)


def attach_units(
    pencil: TracedPencil | TracedNonlinear, w: np.ndarray, X: np.ndarray, rtol: float, report: Report
) -> tuple[Any, Any]:
    """Attach pairs of a Hermitian pencil whose vectors, orthogonal in the inner product of B, have unit 2-norm.

    They are X̂/‖X̂‖ of those with X̂ᴴBX̂ = I, for which alone the derivative of a whole cluster needs no gap. Where B
    is no inner product of theirs there is no such X̂: then they are treated one by one.
    """
    problem = pencil.problem
    assert isinstance(pencil, TracedPencil)
    assert problem.B is not None
    check_normalised(WHOLE.dots(X, X), X.dtype, rtol, "2")
    lengths = np.real(WHOLE.dots(X, problem.B.apply(X)))
    if not np.all(lengths > 0):
        problem = replace(problem, hermitian=False)
        return attach_verified(
            replace(pencil, problem=problem, A_adjoint=pencil.A, B_adjoint=pencil.B), w, X, rtol, report
        )
    problem = replace(problem, normalization="M", unit=True)
    w, X = attach_verified(replace(pencil, problem=problem), w, X / np.sqrt(lengths), rtol, report)
    return w, X / xp.sqrt(xp.sum(xp.real(X) ** 2 + xp.imag(X) ** 2, axis=0))
