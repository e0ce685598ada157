"""Differentiable eigenpairs from pairs that any solver computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..forward.continuation import Continuation
from ..forward.scaling import ONE, Units, times_number, units
from ..krylov.blocks import column_dots, times
from ..krylov.factors import factorise
from ..options import Adjoint
from ..perturbation.examine import Examination, examine
from ..perturbation.gauge import say
from ..perturbation.problem import Beyond, Eigenproblem, Inverse, ValueOperator
from ..perturbation.selection import Selection
from ..report.errors import DegeneracyWarning
from ..report.messages import (
    boxes_in_scipy,
    dependent_vectors,
    few_digits,
    not_eigenpairs,
    not_normalised,
    not_the_eigenvalue,
    operator_adjoint_wrong,
    operator_not_hermitian,
)
from ..report.report import Report, logger
from .operators.algebra import assembled_once
from .operators.base import LinearOperator, random_vector
from .operators.hermitian import hermitian_part
from .operators.matrices import aslinearoperator, floating, without_boxes
from .pencil import TracedNonlinear, TracedPencil
from .primitives import attach, deepest_level, xp
from .trace import UNTRACED, guarded, strip

__all__ = ["attach_eigenpairs"]

#: The normalisations and the names of the matrices that are the identity.
GRAM = {"2": "XᴴX", "M": "XᴴMX", "A": "XᴴAX"}


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
    n = op_A.shape[0]
    if w.ndim != 1 or X.shape != (n, w.size):
        raise ValueError(f"expected w of shape (k,) and X of shape ({n}, k), got {w.shape} and {X.shape}")
    if w.size == 0:
        raise ValueError("no pairs were given: w has k = 0 entries")
    if not (np.all(np.isfinite(w)) and np.all(np.isfinite(X))):
        raise ValueError("w or X holds NaN or infinity")
    imaginary = float(np.max(np.abs(w.imag))) if hermitian else 0.0
    w = w.real if hermitian else w
    # In one precision, at least the operators', real or complex as a whole.
    dtype = np.result_type(X, np.float32, op_A.dtype, *(() if op_M is None else (op_M.dtype,)))
    X = X.astype(dtype)
    w = w.astype(X.real.dtype if hermitian else np.result_type(w, X.real.dtype))
    if not X.any(axis=0).all():
        raise ValueError(f"columns {np.flatnonzero(~X.any(axis=0))} of X are zero: not normalised, and no eigenvectors")
    if normalization is None:
        normalization = "2" if M is None else "M"
    if normalization not in GRAM or (normalization == "M" and M is None):
        raise ValueError(f"normalization={normalization!r}: expected one of {tuple(GRAM)}, 'M' only where M is given")
    scale = units(op_A, op_M, sigma)
    op_A, op_M = scale.operators(op_A, op_M)
    inverse = make_inverse(op_A, op_M, scale.shift(sigma), times_number(OPinv, scale.a), hermitian)
    pencil = make_pencil(op_A, op_M, hermitian, normalization, inverse, scale.options(options), scale=scale)
    rtol = float(np.sqrt(np.finfo(X.dtype).eps)) if rtol is None else rtol
    w, X = w / scale.of_values, X / scale.of_vectors(normalization)
    if imaginary > 0:
        norm_A, norm_B = pencil.problem.norms
        size = (norm_A / norm_B + float(np.max(np.abs(w)))) * scale.of_values
        if imaginary > np.sqrt(np.finfo(w.dtype).eps) * size:
            raise ValueError(f"hermitian=True, but eigenvalues have imaginary parts up to {imaginary:.1e}")
    w, X = attach_verified(pencil, w, X, rtol, Report("forward", "eigenpairs as given", rtol, np.zeros(w.size)))
    return scale.values(w), scale.vectors(X, normalization)


def attach_verified(
    pencil: TracedPencil | TracedNonlinear, w: np.ndarray, X: np.ndarray, rtol: float, report: Report
) -> tuple[Any, Any]:
    """Attach pairs after checking their residuals and normalisation; completes ``report``."""
    problem, options = pencil.problem, pencil.options
    if problem.hermitian and problem.B is not None and problem.normalization == "2":
        return attach_units(pencil, w, X, rtol, report)
    if problem.hermitian:
        X = orthonormal(pencil, X, rtol)
    X = np.asfortranarray(X)  # the solvers work on contiguous columns
    shifts = w if problem.slope is None else np.zeros_like(w)

    def verify(AX: np.ndarray, BX: np.ndarray, NX: np.ndarray) -> None:
        pairs = examine(problem, shifts, X, AX, BX)
        complete = replace(report, requested=rtol, residuals=pairs.residuals)
        logger.info("%s", complete)
        if options.callback is not None:
            options.callback(complete)
        if not complete.converged:
            raise ValueError(not_eigenpairs(pairs.residuals, rtol, pairs.scales * problem.units[0]))
        if problem.slope is None:
            check_eigenvalues(problem, options, w, pairs, rtol)
        check_normalised(column_dots(X, NX), X.dtype, rtol, problem.normalization)

    return attach(pencil, w, X, verify)


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
    check_normalised(column_dots(X, X), X.dtype, rtol, "2")
    lengths = np.real(column_dots(X, problem.B.apply(X)))
    if not np.all(lengths > 0):
        problem = replace(problem, hermitian=False)
        return attach_verified(
            replace(pencil, problem=problem, A_adjoint=pencil.A, B_adjoint=pencil.B), w, X, rtol, report
        )
    problem = replace(problem, normalization="M", unit=True)
    w, X = attach_verified(replace(pencil, problem=problem), w, X / np.sqrt(lengths), rtol, report)
    return w, X / xp.sqrt(xp.sum(xp.real(X) ** 2 + xp.imag(X) ** 2, axis=0))


def check_normalised(squares: np.ndarray, dtype: Any, rtol: float, normalization: str) -> None:
    """Raise where xᴴNx of the columns deviate from one."""
    deviation = float(np.max(np.abs(squares - 1)))
    if not deviation <= max(rtol, 1e3 * float(np.finfo(dtype).eps)):
        raise ValueError(not_normalised(deviation, GRAM[normalization]))


def check_eigenvalues(problem: Eigenproblem, options: Adjoint, w: np.ndarray, pairs: Examination, rtol: float) -> None:
    """Raise where an eigenvalue is not that of its vector; say where rounding leaves few digits of it."""
    accepted = pairs.accepted(w, rtol)
    if np.any(pairs.deviations > accepted):
        raise ValueError(not_the_eigenvalue(*(x * problem.units[1] for x in (w, pairs.deviations, accepted))))
    few = pairs.of_few_digits(w)
    if few and options.on_gauge != "ignore":
        say(DegeneracyWarning, few_digits(few, w * problem.units[1], pairs.seen), options)


def orthonormal(pencil: TracedPencil | TracedNonlinear, X: np.ndarray, rtol: float) -> np.ndarray:
    """X (XᴴNX)^−½, the nearest vectors with XᴴNX = I, of a Hermitian problem.

    Vectors of close eigenvalues are orthogonal up to residual over gap, and what they lack is
    divided by the gap once more in a derivative; of a degenerate eigenvalue of a complex matrix SciPy
    returns any basis.
    """
    problem = pencil.problem
    gram = X.conj().T @ strip(pencil.normaliser(X))
    gram = 0.5 * (gram + gram.conj().T)
    norms = np.real(np.diagonal(gram))
    check_normalised(norms, X.dtype, rtol, problem.normalization)
    if np.max(np.abs(gram - np.eye(norms.size))) <= 100 * np.finfo(X.dtype).eps:
        return X
    s, U = np.linalg.eigh(gram)
    if s[0] <= np.sqrt(np.finfo(s.dtype).eps) * s[-1]:
        raise ValueError(dependent_vectors(float(s[0]), float(s[-1])))
    return X @ (U * s**-0.5) @ U.conj().T


# --------------------------------------------------------------------------------------------
# From the user's arguments to the core's.
# --------------------------------------------------------------------------------------------


def check_options(adjoint: Any) -> Adjoint:
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
    """A and M as operators whose matrices are assembled at most once in the solve that follows."""
    op_A = assembled_once(aslinearoperator(A))
    if op_A.shape[0] != op_A.shape[1]:
        raise ValueError(f"expected square matrix (shape={op_A.shape})")
    if M is None:
        return op_A, None
    op_M = assembled_once(aslinearoperator(floating(M, op_A.dtype)))
    if op_M.shape != op_A.shape:
        raise ValueError(f"wrong M dimensions {op_M.shape}, should be {op_A.shape}")
    return op_A, op_M


def make_pencil(
    A: LinearOperator,
    M: LinearOperator | None,
    hermitian: bool,
    normalization: str,
    inverse: Inverse | None,
    options: Adjoint,
    continuation: Continuation | None = None,
    beyond: Beyond | None = None,
    scale: Units = ONE,
    selection: Selection | None = None,
    Minv: Any = None,
) -> TracedPencil:
    """The pencil's operators, traced and as values; adjoints are traced here, in the forward pass.

    ``Minv`` is M⁻¹ where the forward pass was given one.
    """
    deepest = deepest_level(A, M)
    traced = deepest != UNTRACED
    if not hermitian and traced:
        A, M = A.prepared(), None if M is None else M.prepared()
    values = [None if op is None else as_value(op, hermitian, name, deepest) for op, name in ((A, "A"), (M, "M"))]
    assert values[0] is not None
    for value in values:
        if value is not None and traced:
            check_adjoint(value, hermitian)
    if hermitian and traced:
        A = hermitian_part(A)
    if M is not None and traced and (hermitian or (normalization == "M" and is_hermitian(values[1]))):
        M = hermitian_part(M)
    mass_inverse = None if M is None or inverse is not None else make_mass_inverse(M, Minv, hermitian)
    problem = Eigenproblem(
        values[0],
        values[1],
        hermitian,
        normalization,
        inverse,
        None,
        continuation,
        None,
        beyond,
        scale.pair,
        selection=selection,
        mass_inverse=mass_inverse,
    )
    return TracedPencil(
        problem,
        options,
        guarded(A._apply, deepest),
        guarded(A._apply_adjoint, deepest),
        None if M is None else guarded(M._apply, deepest),
        None if M is None else guarded(M._apply_adjoint, deepest),
    )


def as_value(operator: LinearOperator, hermitian: bool, name: str, deepest: int = UNTRACED) -> ValueOperator:
    """An operator on plain arrays, whose closure may hold Boxes up to level ``deepest``."""
    dtype = np.result_type(operator.dtype, np.float32)
    explicit = operator.explicit if operator.has_matrix() else None
    if operator.applied_by_matrix():
        matrix = operator.explicit()
        transposed = matrix if hermitian else matrix.conj().T if matrix.dtype.kind == "c" else matrix.T
        return ValueOperator(
            operator.shape, dtype, lambda V: times(matrix, V), lambda V: times(transposed, V), name, lambda: matrix
        )

    operator = operator.plain()

    def columnwise(function: Callable[[Any], Any], rows: int) -> Callable[[np.ndarray], np.ndarray]:
        """Boxes are stripped from every column at once: no trace of a whole block is built."""

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


def check_adjoint(operator: ValueOperator, hermitian: bool) -> None:
    """⟨y, A x⟩ = ⟨Aᴴ y, x⟩ for two pseudo-random vectors: two applications.

    A wrong adjoint (or an operator that is not Hermitian though it was promised to be) solves the
    wrong systems without a trace in any residual.
    """
    x, y = (random_vector(size, operator.dtype, seed) for size, seed in zip(operator.shape[::-1], (5, 6), strict=True))
    Ax, AHy = operator.apply(x), operator.adjoint(y)
    left, right = np.vdot(y, Ax), np.vdot(AHy, x)
    error = abs(left - right) / max(float(np.linalg.norm(Ax)), float(np.linalg.norm(AHy)), np.finfo(float).tiny)
    if not error <= np.sqrt(np.finfo(operator.dtype).eps):
        raise ValueError((operator_not_hermitian if hermitian else operator_adjoint_wrong)(operator.name, float(error)))


def is_hermitian(operator: ValueOperator | None) -> bool:
    """M x = Mᴴ x for a pseudo-random vector: two applications."""
    if operator is None:
        return True
    x = random_vector(operator.shape[0], operator.dtype, 5)
    image = operator.apply(x)
    return bool(
        np.linalg.norm(image - operator.adjoint(x)) <= np.sqrt(np.finfo(image.dtype).eps) * np.linalg.norm(image)
    )


def make_inverse(
    A: LinearOperator, M: LinearOperator | None, sigma: Any, OPinv: Any, hermitian: bool
) -> Inverse | None:
    """(A − σM)⁻¹ from OPinv or from a factorisation of explicit matrices; None without either."""
    if sigma is None:
        if OPinv is not None:
            raise ValueError("OPinv should not be specified with sigma = None.")
        return None
    symmetric = hermitian and np.imag(sigma) == 0
    if OPinv is not None:
        operator = aslinearoperator(OPinv)
        if operator.shape != A.shape:
            raise ValueError(f"wrong OPinv dimensions {operator.shape}, should be {A.shape}")
        if not symmetric and not _has_adjoint(operator):
            return None
        return Inverse(sigma, as_value(operator.prepared() if not symmetric else operator, symmetric, "OPinv"))
    if not (A.has_matrix() and (M is None or M.has_matrix())):
        return None
    apply, apply_adjoint, dtype = factorise(A.explicit(), None if M is None else M.explicit(), sigma, symmetric)
    return Inverse(sigma, ValueOperator(A.shape, dtype, apply, apply_adjoint, "the inverse of A − σM"))


def make_mass_inverse(
    M: LinearOperator, Minv: Any, hermitian: bool
) -> Callable[[], Callable[[np.ndarray], np.ndarray]] | None:
    """What makes v ↦ M⁻¹v when it is needed, from Minv or by a factorisation; None without either."""
    if Minv is not None:
        return lambda: as_value(aslinearoperator(Minv), hermitian, "Minv").apply
    if not M.has_matrix():
        return None
    return lambda: factorise(M.explicit(), None, 0.0, hermitian)[0]


def _has_adjoint(operator: LinearOperator) -> bool:
    """Whether the operator's adjoint can be applied; SciPy's answer is an exception."""
    try:
        operator.prepared()._apply_adjoint(np.zeros(operator.shape[0], operator.dtype))
    except (NotImplementedError, TypeError) as error:
        if str(error) == boxes_in_scipy():
            raise
        return False
    return True
