"""Subspaces of singular vectors, differentiable where their singular values meet.

With X = (U, V)/√2 the equations A V = U S, Aᴴ U = V Sᴴ of a Hermitian S are J X = X S for the Hermitian matrix
J = [[0, A], [Aᴴ, 0]]: an invariant subspace (`subspace.py`). J (U, −V)ᵀ = −(U, −V)ᵀ S, too, and where S is positive
definite no eigenvalue is in both, so that the two subspaces are orthogonal, UᴴU = VᴴV, and XᴴX = I makes both the
identity, for all parameters. What is free is one unitary basis for both sides: (U Q, Qᴴ S Q, V Q).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse.linalg as spla

from ..forward.operands import floating, scipy_operand
from ..forward.refinement import vanishing
from ..forward.subspace import settle, verified_subspace
from ..forward.triplets import TripletRequest, resolve_triplets, scipy_triplets
from ..forward.verify import check_adjoint, forward_report
from ..options import Adjoint
from ..perturbation.structures import PENCIL
from ..perturbation.subspaces import SubspaceSystems
from ..report.messages import zero_in_subspace
from ..report.report import logger
from .operators.matrices import aslinearoperator
from .pencil import augmented_pencil
from .subspace_primitive import attach_space
from .trace import guarded
from .values import as_value, check_options, plain_operand, scaled

__all__ = ["SingularSubspace", "singular_subspace"]


class SingularSubspace(NamedTuple):
    """Subspaces of singular vectors: A right = left S and Aᴴ left = right S.

    Attributes
    ----------
    left : array, shape (m, k)
    S : array, shape (k, k)
    right : array, shape (n, k)
    """

    left: Any
    S: Any
    right: Any


def singular_subspace(
    A: Any,
    k: int = 6,
    ncv: int | None = None,
    tol: float = 0,
    which: str = "LM",
    v0: Any = None,
    maxiter: int | None = None,
    solver: str = "arpack",
    rng: Any = None,
    options: dict[str, Any] | None = None,
    *,
    adjoint: Adjoint | None = None,
) -> SingularSubspace:
    """The subspaces of k singular values: left, S and right with A right = left S, Aᴴ left = right S.

    Functions of them are differentiable where singular values among them meet or coincide, to any order: nothing is
    divided by a gap between them. Single singular vectors are not in them; the common basis of both sides is arbitrary.

    Parameters
    ----------
    A : dense array (traced or not), SciPy sparse, SciPy or krylov_adj LinearOperator
        Shape (m, n), as for `svds`.
    k, ncv, tol, which, v0, maxiter, solver, rng, options
        As in SciPy's `svds`: they name the k singular values.
    adjoint : Adjoint, optional
        How derivatives are computed.

    Returns
    -------
    left : array, shape (m, k)
        Orthonormal columns; real where A is.
    S : array, shape (k, k)
        Hermitian and positive definite; its eigenvalues are the k singular values. left S rightᴴ is the best
        approximation of A of rank k, where they are the largest.
    right : array, shape (n, k)
        Orthonormal columns.

    Raises
    ------
    EigenNoConvergence, ValueError, TypeError
        As `svds`. A singular value that is zero to rounding: no function of A tells its vectors.
    AdjointNoConvergence
        From the backward pass: a system did not converge, or k cuts a cluster of which the loss reads the vectors.

    Warns
    -----
    GaugeWarning
        From the backward pass, where the loss depends on the common basis.
    DegeneracyWarning
        From the backward pass, where k cuts a cluster of which the loss reads S alone, or few digits are left.

    Derivative
    ----------
    With respect to everything that A depends on, forward and reverse, to any order, of losses that do not depend on the
    common basis: functions of left leftᴴ, right rightᴴ, left rightᴴ, left F(S) rightᴴ, S's invariants. It is that of
    the invariant subspace (left, right)/√2 of [[0, A], [Aᴴ, 0]]. A loss of S alone needs no linear solve. Next to
    singular values of zero derivatives of left and right by themselves grow like the inverse of the smallest one.

    References
    ----------
    docs/derivation.md. Eigenpairs of [[0, A], [Aᴴ, 0]]: G. H. Golub & W. Kahan, SIAM J. Numer. Anal. 2 (1965) 205.

    Examples
    --------
    The nuclear norm of the leading part, at a double singular value:

    >>> import autograd.numpy as np
    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> A0, D = numpy.eye(6, 5) * numpy.array([2.0, 2.0, 1.0, 0.5, 0.2]), numpy.ones((6, 5))
    >>> def f(p):
    ...     left, S, right = ka.singular_subspace(A0 + p * D, k=2, v0=numpy.arange(1.0, 6.0))
    ...     return np.trace(S)
    >>> print(round(float(grad(f)(0.0)), 10))  # tr(leftᵀ D right) = 1 + 1
    2.0
    """
    chosen = check_options(adjoint)
    if isinstance(A, spla.LinearOperator):
        A = floating(A)
    problem = scaled(A, None, chosen, squared=True)
    scale = problem.units
    if solver == "lobpcg" and not scale.trivial:
        tol = min(tol, tol / scale.a)
    request = TripletRequest(k, which, tol, ncv, plain_operand(v0), maxiter, solver, rng, None, options)
    operator = aslinearoperator(problem.A).prepared()
    value = as_value(operator, False, "A", problem.deepest)
    check_adjoint(value, False)
    triplets = scipy_triplets(request, scipy_operand(value, True))
    found = resolve_triplets(request, value, triplets, problem.options, scale)
    s, pairs, J = triplets[1], found.pairs, found.problem.A
    zero = np.setdiff1d(np.arange(s.size), found.kept[pairs.w > vanishing(J, pairs.w)])
    if zero.size:
        raise ValueError(zero_in_subspace(scale.values(s[zero])))
    # An invariant subspace like any other one: what is special of triplets serves vectors one by one.
    augmented = replace(found.problem, A=J.counted_anew(), structure=PENCIL, selection=None)
    m, deepest = operator.shape[0], problem.deepest
    maps = guarded(operator._apply, deepest), guarded(operator._apply_adjoint, deepest)
    pencil = augmented_pencil(*maps, m, augmented, problem.options)
    space = settle(augmented, pairs.X, problem.options)
    report = verified_subspace(augmented, space, pairs.rtol, forward_report(pairs))
    logger.info("%s", report)
    if problem.options.callback is not None:
        problem.options.callback(report)
    systems = SubspaceSystems.of(augmented, space.X, space.H, (space.AX, space.BX), problem.options)
    X, S = attach_space(pencil, systems, space.X, space.H)
    root, factor = space.X.dtype.type(np.sqrt(2)), scale.eigenvalue_factor
    return SingularSubspace(root * X[:m], S if factor == 1 else S * factor, root * X[m:])
