"""Left eigenvectors and eigenvalue condition numbers, from right eigenpairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..forward.verify import check_eigenvalues
from ..krylov.precision import Precision
from ..krylov.space import WHOLE
from ..options import Adjoint
from ..perturbation.examine import examine
from ..perturbation.problem import Pairs, power_of_two
from ..perturbation.systems import BorderedSystems
from ..report.messages import not_eigenpairs, pairs_less_traced
from .arguments import make_pencil, traced_inverse
from .attach import attach_eigenpairs
from .bordered import attach_left
from .elementary import xp
from .operators.base import LinearOperator
from .trace import levels, strip
from .values import check_operators, check_options, scaled

__all__ = ["condition_numbers", "left_eigenvectors"]


def left_eigenvectors(
    A: Any,
    w: Any,
    X: Any,
    *,
    M: Any = None,
    hermitian: bool = False,
    sigma: complex | None = None,
    OPinv: Any = None,
    rtol: float | None = None,
    adjoint: Adjoint | None = None,
) -> Any:
    """Left eigenvectors yᴴA = w yᴴM that belong to given right eigenpairs, with yᵢᴴM xⱼ = δᵢⱼ.

    They come from one linear system for each pair, (A − wM)ᴴ y = 0 with the computed right vectors
    deflated: no second eigenvalue solve, and no matching of two sets of eigenvalues.

    Parameters
    ----------
    A, M : dense array, SciPy sparse, SciPy or krylov_adj LinearOperator
        Shape (n, n), as for `attach_eigenpairs`; M defaults to the identity.
    w : array, shape (k,)
    X : array, shape (n, k)
        Right eigenpairs of A, from `eigs`, `attach_eigenpairs` or any solver. Pairs that are not traced
        while A or M is are attached first (then normalised ones are needed); otherwise any scaling
        serves. Clusters must be complete.
    hermitian : bool, optional
        A and M are Hermitian for all parameters: Y is X, scaled, and nothing is solved.
    sigma, OPinv
        A shift near the eigenvalues, or the inverse of A − σM, for the systems; as for
        `attach_eigenpairs`.
    rtol : float, optional
        Largest residual of the right pairs that is accepted, as for `attach_eigenpairs`.
    adjoint : Adjoint, optional
        How the systems are solved.

    Returns
    -------
    Y : array, shape (n, k)
        Complex wherever w or X is. Scaled by YᴴMX = I, within clusters of semisimple eigenvalues too.

    Raises
    ------
    ValueError
        As `attach_eigenpairs`; traced pairs that do not depend on all that A and M depend on.
    DefectiveEigenvalueError
        Where left and right vectors are orthogonal to working precision.
    AdjointNoConvergence
        A system did not converge, or a cluster was cut; from the call itself or from the backward pass.

    Warns
    -----
    GaugeWarning, DegeneracyWarning
        From the backward pass, as for `attach_eigenpairs`.

    Derivative
    ----------
    With respect to everything that A, M, w and X depend on; any order; forward and reverse; with
    ``hermitian=True`` of the Hermitian parts of A and M, otherwise of any A and M. The phases of Y follow those
    of X. Functions of a whole cluster, such as the spectral projector X YᴴM, are right at any gap, zero included;
    the basis of a degenerate eigenspace must not be read.

    References
    ----------
    docs/derivation.md. G. W. Stewart & J.-G. Sun, Matrix Perturbation Theory, Academic Press 1990,
    chapters V and VI.

    Examples
    --------
    >>> import numpy
    >>> import krylov_adj as ka
    >>> A = numpy.diag(numpy.arange(1.0, 9.0)) + numpy.triu(numpy.ones((8, 8)), 1)
    >>> w, X = ka.eigs(A, k=2, which="LR", v0=numpy.ones(8))
    >>> Y = ka.left_eigenvectors(A, w, X)
    >>> print(numpy.allclose(Y.conj().T @ A, w[:, None] * Y.conj().T), numpy.allclose(Y.conj().T @ X, numpy.eye(2)))
    True True
    """
    Y, _, m, x = _left(A, w, X, M, hermitian, sigma, OPinv, rtol, adjoint)
    return Y if m == x == 1 else Y / m / x


def condition_numbers(
    A: Any,
    w: Any,
    X: Any,
    *,
    M: Any = None,
    hermitian: bool = False,
    sigma: complex | None = None,
    OPinv: Any = None,
    rtol: float | None = None,
    adjoint: Adjoint | None = None,
) -> Any:
    """Condition numbers of the eigenvalues of A x = w M x: ‖y‖‖x‖ / ``|yᴴM x|``.

    How far eigenvalues move, to first order and at the worst: ``|dw|`` ≤ κ (‖dA‖ + ``|w|`` ‖dM‖) in the spectral
    norm, with equality for some dA and dM. Without M κ ≥ 1, and κ = 1 for normal matrices.

    Parameters
    ----------
    A, w, X, M, hermitian, sigma, OPinv, rtol, adjoint
        As for `left_eigenvectors`.

    Returns
    -------
    kappa : array, shape (k,)
        Real. The distance to the next matrix with a multiple eigenvalue is about ‖A‖/κ, and derivatives of w
        lose a part κ²ε of their accuracy.

    Raises
    ------
    ValueError, DefectiveEigenvalueError, AdjointNoConvergence
        As for `left_eigenvectors`.

    Warns
    -----
    GaugeWarning, DegeneracyWarning
        From the backward pass. Members of a degenerate eigenvalue have no condition number of their own.

    Derivative
    ----------
    As for `left_eigenvectors`: to any order, forward and reverse.

    References
    ----------
    Wilkinson, The Algebraic Eigenvalue Problem, Oxford 1965, section 2.8 (there 1/``|s|``). For pencils,
    Higham & Higham, SIAM J. Matrix Anal. Appl. 20 (1998) 493, and Tisseur, Linear Algebra
    Appl. 309 (2000) 339, with weights one, as an absolute condition number.

    Examples
    --------
    >>> import numpy
    >>> import krylov_adj as ka
    >>> A = numpy.diag([1.0, 2.0, 3.0, 4.0, 5.0])
    >>> A[3, 4] = 10.0
    >>> w, X = ka.eigs(A, k=2, which="LR", v0=numpy.ones(5))
    >>> print(numpy.round(ka.condition_numbers(A, w, X), 6))
    [10.049876 10.049876]
    """
    Y, X, m, _ = _left(A, w, X, M, hermitian, sigma, OPinv, rtol, adjoint)
    if hermitian and M is None:  # exactly one, and traced where X is
        return 1 + 0 * _squares(X)
    return xp.sqrt(_squares(X) * _squares(Y)) / m


def _squares(X: Any) -> Any:
    """‖x‖² of every column."""
    return xp.sum(xp.real(X) ** 2 + xp.imag(X) ** 2, axis=0)


def _left(
    A: Any, w: Any, X: Any, M: Any, hermitian: bool, sigma: Any, OPinv: Any, rtol: float | None, adjoint: Any
) -> tuple[Any, Any, float, float]:
    """Y′, X′, and powers of two m, x with X = x X′ and Y = Y′/(m x); see `units`."""
    options = check_options(adjoint)
    op_A, op_M = check_operators(A, M)
    traced, untraced_pairs = _levels_of(op_A, op_M), not levels(w, X)
    if traced and untraced_pairs:
        w, X = attach_eigenpairs(
            A, w, X, M=M, hermitian=hermitian, sigma=sigma, OPinv=OPinv, rtol=rtol, adjoint=adjoint
        )
    elif not set(traced) <= set(levels(X)):
        raise ValueError(pairs_less_traced())
    else:
        w, X = _checked(op_A, op_M, w, X)
    given, x = scaled(op_A, op_M, options, sigma), power_of_two(WHOLE, strip(X))
    scale = given.units
    if not scale.trivial or not 2.0**-40 < x < 2.0**40:
        w, X = w / scale.eigenvalue_factor, X / x
    else:
        x = 1.0
    values_w, values_X = np.asarray(strip(w)), np.asarray(strip(X))
    inverse = None if hermitian else traced_inverse(given, sigma, OPinv, False)
    right = Pairs(values_w, values_X, "2", "eigenpairs as given", inverse, units=scale.pair)
    pencil = make_pencil(given, hermitian, right)
    problem = pencil.problem
    pairs = examine(problem, values_w, values_X, problem.A.apply(values_X), problem.apply_B(values_X))
    rtol = Precision.of(values_X.dtype).half if rtol is None else rtol
    if not np.all(pairs.residuals <= rtol):
        raise ValueError(not_eigenpairs(pairs.residuals, rtol, pairs.scales * scale.a))
    if not (traced and untraced_pairs):  # else `attach_eigenpairs` has looked
        check_eigenvalues(problem, pencil.options, values_w, pairs, rtol)
    if hermitian:
        return X / xp.real(xp.sum(xp.conj(X) * pencil.slope(X), axis=0)), X, scale.m, x
    systems = BorderedSystems.of(problem, values_w, values_X, pencil.options, pairs.residuals * pairs.scales)
    return attach_left(pencil, systems, X), X, scale.m, x


def _levels_of(A: LinearOperator, M: LinearOperator | None) -> list[int]:
    """The levels at which the operators are traced; one application each."""
    x = np.ones(A.shape[1], A.dtype)
    return levels(A._apply(x), None if M is None else M._apply(x))


def _checked(A: LinearOperator, M: LinearOperator | None, w: Any, X: Any) -> tuple[Any, Any]:
    """The pairs in one precision, at least the operators', real or complex as a whole."""
    shape_w, shape_X = np.shape(strip(w)), np.shape(strip(X))
    n = A.shape[0]
    if len(shape_w) != 1 or shape_X != (n, *shape_w) or not shape_w[0]:
        raise ValueError(f"expected w of shape (k,) and X of shape ({n}, k), got {shape_w} and {shape_X}")
    dtype = np.result_type(strip(X), np.float32, A.dtype, *(() if M is None else (M.dtype,)))
    if not (np.all(np.isfinite(strip(w))) and np.all(np.isfinite(strip(X)))):
        raise ValueError("w or X holds NaN or infinity")
    real_w = not np.iscomplexobj(strip(w))
    one = dtype.type(1)
    return (w if real_w else w * one), X * one
