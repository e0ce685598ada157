"""Invariant subspaces of A x = w M x, differentiable where their eigenvalues meet."""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any

import numpy as np

from ..forward.continuation import Continuation
from ..forward.eigenpairs import eigenpairs
from ..forward.request import Request
from ..forward.solved_subspace import read_subspace, stated_subspace
from ..forward.subspace import InvariantSubspace, Subspace, basis_of, settle, verified_subspace
from ..forward.verify import check_adjoint, forward_report
from ..options import Adjoint
from ..perturbation.problem import Pairs
from ..perturbation.subspaces import SubspaceSystems
from ..report.report import logger
from .arguments import make_pencil, traced_inverse
from .pencil import TracedPencil
from .subspace_primitive import attach_space
from .trace import strip
from .values import Scaled, as_value, check_operators, check_options, plain_operand, scaled

__all__ = ["Subspace", "attach_subspace", "invariant_subspace"]


def invariant_subspace(
    A: Any,
    k: int = 6,
    M: Any = None,
    sigma: Any = None,
    which: str = "LM",
    v0: Any = None,
    ncv: int | None = None,
    maxiter: int | None = None,
    tol: float = 0,
    Minv: Any = None,
    OPinv: Any = None,
    rng: Any = None,
    *,
    hermitian: bool = False,
    adjoint: Adjoint | None = None,
    continuation: Continuation | None = None,
) -> Subspace:
    """The invariant subspace of k eigenvalues of A x = w M x: X and H with A X = M X H.

    Functions of it are differentiable where eigenvalues in it meet, coincide or are defective, to any order: nothing is
    divided by a gap between them. Single eigenvectors are not in it; X is an arbitrary basis.

    Parameters
    ----------
    A, M : dense array (traced or not), SciPy sparse, SciPy or krylov_adj LinearOperator
        Shape (n, n); as for `eigs`, or where ``hermitian`` as for `eigsh`. With respect to the entries of an M that
        normalises X the derivative is that of a function of its Hermitian part.
    k, sigma, which, v0, ncv, maxiter, tol, Minv, OPinv, rng
        As in SciPy's `eigs` or `eigsh`: they name the k eigenvalues.
    hermitian : bool, optional
        A and M are Hermitian for all parameters.
    adjoint : Adjoint, optional
        How derivatives are computed.
    continuation : Continuation, optional
        As for `eigsh`.

    Returns
    -------
    X : array, shape (n, k)
        XᴴMX = I where M is Hermitian positive definite, else XᴴX = I. Real of a real symmetric problem, and of a real
        problem of which k cuts no conjugate pair.
    H : array, shape (k, k)
        Hermitian of a Hermitian problem. Its eigenvalues are the k eigenvalues.

    Raises
    ------
    EigenNoConvergence, ValueError, TypeError
        As `eigs` and `eigsh`.
    DefectiveEigenvalueError
        From the backward pass, where k cuts a Jordan block: an eigenvalue outside has coalesced with one inside.
    AdjointNoConvergence
        From the backward pass: a system did not converge, or k cuts a cluster of which the loss reads X.

    Warns
    -----
    GaugeWarning
        From the backward pass, where the loss depends on the basis.
    DegeneracyWarning
        From the backward pass, where a loss of H alone reads a cluster that k cuts, or rounding and the residual of the
        subspace leave few digits of a derivative.

    Derivative
    ----------
    With respect to everything that A and M depend on, forward and reverse, to any order, of losses that do not depend
    on the basis: functions of X Xᴴ, of H's invariants, of X F(H) Xᴴ, or XᴴW X and H together in whatever unitary basis.
    The gauge is XᴴN dX = −½ dS (N = M or I). A Hermitian problem's loss of H alone needs no linear solve; others need k
    shifted systems, where eigenvalues are (nearly) defective as many stages as the largest Jordan block has columns.

    References
    ----------
    docs/derivation.md. G. W. Stewart & J.-G. Sun, Matrix Perturbation Theory, Academic Press 1990, chapter V.

    Examples
    --------
    A double eigenvalue: the sum of both is smooth, the single ones are not.

    >>> import autograd.numpy as np
    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> A0 = numpy.diag([1.0, 1.0, 3.0, 4.0, 5.0])
    >>> D = numpy.outer(numpy.arange(1.0, 6.0), numpy.arange(1.0, 6.0))
    >>> def f(p):
    ...     X, H = ka.invariant_subspace(A0 + p * D, k=2, which="SA", v0=numpy.ones(5), hermitian=True)
    ...     return np.trace(H)
    >>> print(round(float(grad(f)(0.0)), 10))  # tr(XᴴDX) = 1 + 4
    5.0
    """
    k = operator.index(k)
    request = Request(
        k, hermitian, which, plain_operand(sigma), plain_operand(v0), ncv, maxiter, plain_operand(tol),
        plain_operand(Minv), plain_operand(OPinv, hermitian=hermitian), rng,
    )  # fmt: skip
    options = check_options(adjoint)
    problem = scaled(*check_operators(A, M), options, request.sigma)
    request = request.in_units(problem.units)
    values = as_value(problem.A, True, "matvec"), None if problem.M is None else as_value(problem.M, True, "matvec")
    found = eigenpairs(request, *values, continuation, whole_clusters=hermitian)
    if not hermitian:  # which does not count the conjugate of a pair that k cuts
        found = replace(found, surplus=None)
    pencil = make_pencil(problem, hermitian, found, continuation, request.Minv)
    check_adjoint(pencil.problem.A, hermitian)
    before = pencil.problem.counts()
    space = settle(pencil.problem, basis_of(pencil.problem, found), pencil.options)
    applications, solves = (after - start for after, start in zip(pencil.problem.counts(), before, strict=True))
    found = replace(found, applications=found.applications + applications, solves=found.solves + solves)
    return _attached(problem, pencil, space, found)


def attach_subspace(
    A: Any,
    X: Any,
    H: Any = None,
    *,
    M: Any = None,
    hermitian: bool = False,
    sigma: complex | None = None,
    OPinv: Any = None,
    normalization: str | None = None,
    rtol: float | None = None,
    adjoint: Adjoint | None = None,
) -> Subspace:
    """Make an invariant subspace A X = M X H, computed by any means, differentiable.

    Parameters
    ----------
    A, M : dense array, SciPy sparse, SciPy or krylov_adj LinearOperator
        Shape (n, n), as for `attach_eigenpairs`; M defaults to the identity.
    X : array, shape (n, k)
        A basis, XᴴMX = I or XᴴX = I.
    H : array, shape (k, k), optional
        Default: the one that leaves the least residual.
    hermitian : bool, optional
        A and M are Hermitian for all parameters.
    sigma, OPinv
        A shift near the eigenvalues, or the inverse of A − σM, for the systems; as for `attach_eigenpairs`.
    normalization : {"2", "M"}, optional
        XᴴX = I or XᴴMX = I. Default "M" where M is given, else "2". Of a Hermitian problem with M only "M".
    rtol : float, optional
        Largest residual ‖A X − M X H‖ accepted, relative to ‖A‖ + ‖M‖‖H‖. Default the square root of the machine
        epsilon. The derivative's error is proportional to it.
    adjoint : Adjoint, optional
        How derivatives are computed.

    Returns
    -------
    X : array, shape (n, k)
    H : array, shape (k, k)
        The values that were given; traced where A or M are.

    Raises
    ------
    ValueError
        Wrong shapes, NaN or infinity, no invariant subspace, a basis that is not normalised, an operator that is not
        Hermitian though it was said to be, a wrong adjoint.
    AdjointNoConvergence, DefectiveEigenvalueError
        From the backward pass.

    Warns
    -----
    GaugeWarning, DegeneracyWarning
        From the backward pass, as for `invariant_subspace`.

    Derivative
    ----------
    As of `invariant_subspace`.

    References
    ----------
    docs/derivation.md.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> A0 = numpy.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]])  # a Jordan block
    >>> E = numpy.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    >>> def f(p):
    ...     X, H = ka.attach_subspace(A0 + p * E, numpy.eye(3)[:, :2])
    ...     return np.trace(np.dot(H, H))
    >>> print(round(float(grad(f)(0.0)), 10))  # w = 1 ± √p, the sum of squares is 2 + 2 p
    2.0
    """
    options = check_options(adjoint)
    op_A, op_M = check_operators(A, M)
    H = None if H is None else np.asarray(strip(H))
    given = read_subspace(op_A, op_M, np.asarray(strip(X)), H, normalization, hermitian, rtol)
    problem = scaled(op_A, op_M, options, sigma)
    scale = problem.units
    inverse = traced_inverse(problem, sigma, OPinv, hermitian)
    pairs = Pairs(np.zeros(given.X.shape[1]), given.X, given.normalization, "an invariant subspace as given", inverse,
                  units=scale.pair, rtol=given.rtol)  # fmt: skip
    pencil = make_pencil(problem, hermitian, pairs)
    check_adjoint(pencil.problem.A, hermitian)
    return _attached(problem, pencil, stated_subspace(pencil.problem, given, scale), pairs)


def _attached(problem: Scaled, pencil: TracedPencil, found: InvariantSubspace, pairs: Pairs) -> Subspace:
    """Return X and H, checked, in the caller's units, as functions of what the operators are traced in."""
    report = verified_subspace(pencil.problem, found, pairs.rtol, forward_report(pairs))
    logger.info("%s", report)
    if pencil.options.callback is not None:
        pencil.options.callback(report)
    systems = SubspaceSystems.of(pencil.problem, found.X, found.H, (found.AX, found.BX), pencil.options)
    X, H = attach_space(pencil, systems, found.X, found.H)
    factor = problem.units.eigenvalue_factor
    X = problem.units.vectors(X, pairs.normalization)
    return Subspace(X, H if factor == 1 else H * factor)
