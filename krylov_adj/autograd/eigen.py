"""`eigs` and `eigsh`: SciPy's functions, differentiable.

A call on plain arrays, or on SciPy's matrices and operators, goes to SciPy as it came. With operators that are traced,
or ours, a solver runs on their plain values, and what it returns is attached (`forward/eigenpairs.py`, `attach.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..forward.continuation import Continuation
from ..forward.eigenpairs import eigenpairs, scipy_pairs
from ..forward.operands import floating
from ..forward.request import Request
from ..forward.verify import forward_report
from ..options import Adjoint
from ..report.container_messages import complex_start
from .arguments import make_pencil
from .attach import attach_verified
from .operators.base import LinearOperator
from .trace import UNTRACED, is_box
from .values import as_value, check_operators, check_options, plain_operand, restored, scaled

__all__ = ["eigs", "eigsh"]


def eigs(
    A: Any,
    k: int = 6,
    M: Any = None,
    sigma: Any = None,
    which: str = "LM",
    v0: Any = None,
    ncv: int | None = None,
    maxiter: int | None = None,
    tol: float = 0,
    return_eigenvectors: bool = True,
    Minv: Any = None,
    OPinv: Any = None,
    OPpart: Any = None,
    rng: Any = None,
    *,
    adjoint: Adjoint | None = None,
    continuation: Continuation | None = None,
    solver: str = "auto",
) -> Any:
    """`scipy.sparse.linalg.eigs`, differentiable.

    Parameters
    ----------
    A, M : dense array (traced or not), SciPy sparse, SciPy or krylov_adj LinearOperator
        Shape (n, n). Any may depend on traced values where its type can. M is Hermitian positive
        (semi)definite. Where it is not and sigma is given, the eigenvalues of (A − σM)⁻¹M are
        computed instead and the vectors have unit 2-norm; without sigma that is an error (SciPy
        would return wrong numbers).
    k, sigma, which, v0, ncv, maxiter, tol, return_eigenvectors, Minv, OPinv, OPpart, rng
        As in SciPy.
    adjoint : Adjoint, optional
        How derivatives are computed.
    continuation : Continuation, optional
        Start from what the last call that was given this object has left, and leave it for the next.
    solver : {"auto", "arpack"}, optional
        ``"auto"``: on operators and matrices of this package what suits the problem, the same whether anything is
        traced or not. ``"arpack"``: SciPy's ARPACK in both. Plain arrays, and SciPy's matrices and operators, are
        SciPy's where nothing is traced.

    Returns
    -------
    w : ndarray, shape (min(k, n),)
        Complex eigenvalues, the most wanted first; ties by larger real, then larger imaginary part. Conjugate pairs of
        a real problem stand together, Im w > 0 first; where k cuts a pair, that member alone.
    X : ndarray, shape (n, k)
        Eigenvectors; xᴴx = 1, or xᴴMx = 1 where M is given. Only if ``return_eigenvectors``.

    Raises
    ------
    EigenNoConvergence
        `scipy.sparse.linalg.ArpackNoConvergence`, with its partial results.
    ValueError
        Bad arguments, NaN or infinity from an operator, an M that is not positive definite, fewer finite eigenvalues
        than k (of a singular M), or results that do not satisfy A x = w M x. A complex v0 of a real problem.
    TypeError
        An operator or sparse matrix of order above 200 with k ≥ n − 1.
    AdjointNoConvergence, DefectiveEigenvalueError
        From the backward pass.

    Warns
    -----
    RuntimeWarning
        SciPy's, where k > n: all n pairs are returned.
    GaugeWarning
        From the backward pass, where the loss depends on an arbitrary phase or basis.
    DegeneracyWarning
        From the backward pass, where the loss treats coinciding eigenvalues differently, or reads those of a cluster
        that k cuts, or a pair in whose place the solver missed another one; or an eigenvalue is nearly defective.

    Derivative
    ----------
    As for `attach_eigenpairs`; with respect to the entries of an M that normalises the vectors it is that of a
    function of its Hermitian part. With ``sigma`` and explicit matrices the forward factorisation is
    used again, transposed. It is made in another order than SciPy's where the sparse A − σM has a
    symmetric pattern (half the fill); pass ``OPinv`` for one of your own. Not differentiable: v0,
    Minv, OPinv, sigma.

    Notes
    -----
    A real matrix's complex pairs may be cut by k, as in SciPy; each member is differentiable. With ``sigma``, ``which``
    ranks 1/(w − σ), as in SciPy. Of real A and M with a complex sigma it ranks by the real part of (A − σM)⁻¹, or its
    imaginary one (``OPpart``), as in SciPy: the eigenvalue nearest to sigma need not be among the results. For that
    make A complex, ``A + 0j`` or ``A * (1 + 0j)``. For k ≥ n − 1, and where a singular M leaves ARPACK no room, LAPACK
    computes all pairs and those that ``which`` names are returned; operators and sparse matrices are made dense for it,
    up to order 200.

    References
    ----------
    Lehoucq, Sorensen & Yang, ARPACK Users' Guide, SIAM 1998. docs/derivation.md.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> A = numpy.diag(numpy.arange(1.0, 9.0)) + numpy.triu(numpy.ones((8, 8)), 1)
    >>> def f(A):
    ...     w, X = ka.eigs(A, k=2, which="LR", v0=numpy.ones(8))
    ...     return np.sum(np.real(w))
    >>> print(round(float(np.trace(grad(f)(A))), 10))  # A + cI moves both eigenvalues by c
    2.0
    """
    request = Request(
        k, False, which, plain_operand(sigma), plain_operand(v0), ncv, maxiter, plain_operand(tol),
        plain_operand(Minv), plain_operand(OPinv, hermitian=False), rng, OPpart=OPpart, vectors=return_eigenvectors,
        solver=solver,
    )  # fmt: skip
    return _solve(request, A, M, adjoint, continuation)


def eigsh(
    A: Any,
    k: int = 6,
    M: Any = None,
    sigma: Any = None,
    which: str = "LM",
    v0: Any = None,
    ncv: int | None = None,
    maxiter: int | None = None,
    tol: float = 0,
    return_eigenvectors: bool = True,
    Minv: Any = None,
    OPinv: Any = None,
    mode: str = "normal",
    rng: Any = None,
    *,
    adjoint: Adjoint | None = None,
    continuation: Continuation | None = None,
    solver: str = "auto",
) -> Any:
    """`scipy.sparse.linalg.eigsh`, differentiable.

    Parameters
    ----------
    A, M : dense array (traced or not), SciPy sparse, SciPy or krylov_adj LinearOperator
        Shape (n, n), Hermitian for all parameters; M positive (semi)definite, or indefinite in
        buckling mode, where A is positive semidefinite.
    k, sigma, which, v0, ncv, maxiter, tol, return_eigenvectors, Minv, OPinv, mode, rng
        As in SciPy.
    adjoint : Adjoint, optional
        How derivatives are computed.
    continuation : Continuation, optional
        Start from what the last call that was given this object has left, and leave it for the next.
    solver : {"auto", "arpack"}, optional
        ``"auto"``: on operators and matrices of this package what suits the problem, the same whether anything is
        traced or not. ``"arpack"``: SciPy's ARPACK in both. Plain arrays, and SciPy's matrices and operators, are
        SciPy's where nothing is traced.

    Returns
    -------
    w : ndarray, shape (min(k, n),)
        Real eigenvalues, ascending; of real matrices, for k < n, in SciPy's order, which for
        ``return_eigenvectors=False`` is another one.
    X : ndarray, shape (n, k)
        Eigenvectors; xᴴx = 1, xᴴMx = 1 where M is given, xᴴAx = 1 in buckling mode. Only if
        ``return_eigenvectors``. Calls that are traced, or on operators of this package, make them orthonormal to
        rounding, which SciPy's of close eigenvalues of a complex matrix are not.

    Raises
    ------
    EigenNoConvergence
        `scipy.sparse.linalg.ArpackNoConvergence`, with its partial results.
    ValueError
        Bad arguments, NaN or infinity from an operator, an M that is not positive definite, fewer finite eigenvalues
        than k (of a singular M), or results that do not satisfy A x = w M x (an A that is not Hermitian).
    TypeError
        An operator or sparse matrix of order above 200 with k ≥ n (complex: k ≥ n − 1).
    AdjointNoConvergence
        From the backward pass.

    Warns
    -----
    RuntimeWarning
        SciPy's, where k > n: all n pairs are returned.
    GaugeWarning
        From the backward pass, where the loss depends on an arbitrary phase or basis.
    DegeneracyWarning
        From the backward pass, where the loss treats coinciding eigenvalues differently, or reads those of a cluster
        that k cuts, or a pair in whose place the solver missed another one; or an eigenvalue is nearly defective.

    Derivative
    ----------
    As for `attach_eigenpairs`: with respect to the entries of a dense or sparse A or M it is that of a function of
    their Hermitian parts, so a gradient step leaves them Hermitian. A loss of the eigenvalues alone needs no linear
    solve. The sign of a real eigenvector is arbitrary and cannot be detected: use `canonical_phase` where it matters.

    Notes
    -----
    Calls that are traced, or on operators of this package, of order above 200, with ``sigma`` or with ``which="SA"``,
    ``"LA"`` or ``"LM"`` and no M, run Lanczos, real or complex: with the inverse, or with a polynomial filter in place
    of ARPACK's restarts. So does ``which="SM"`` where all eigenvalues have one sign. They prove that no eigenvalue was
    missed, whatever the start vector, or find it. The product of ``v0`` (by default a fixed vector) with every
    eigenvector is positive: their signs and phases are not ARPACK's. ``ncv``
    is the basis, and ``maxiter`` limits restarts, as in SciPy; what does not converge so is left to ARPACK.

    For k ≥ n (complex: k ≥ n − 1), and where a singular M leaves ARPACK no room, LAPACK computes all pairs and those
    that ``which`` names are returned; operators and sparse matrices are made dense for it, up to order 200.

    With ``sigma`` and sparse matrices, the same calls factorise A − σM in an order for symmetric
    patterns, without pivoting where that is accurate: half of SciPy's fill, and the factors serve
    the derivative too. The pairs are SciPy's to rounding. Pass ``OPinv`` for an inverse of your own.

    References
    ----------
    Lehoucq, Sorensen & Yang, ARPACK Users' Guide, SIAM 1998. Wu & Simon, SIAM J. Matrix Anal. Appl. 22 (2000)
    602. docs/derivation.md.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> def ground_state(V):
    ...     def matvec(x):
    ...         return 2 * x - np.concatenate([x[1:], [0.0]]) - np.concatenate([[0.0], x[:-1]]) + V * x
    ...     H = ka.LinearOperator((9, 9), matvec, dtype=float)
    ...     w, X = ka.eigsh(H, k=1, which="SA", v0=numpy.ones(9))
    ...     return w[0]
    >>> g = grad(ground_state)(numpy.zeros(9))  # Hellmann-Feynman: the density of the state
    >>> print(round(float(np.sum(g)), 10), int(np.argmax(g)))
    1.0 4
    """
    request = Request(
        k, True, which, plain_operand(sigma), plain_operand(v0), ncv, maxiter, plain_operand(tol),
        plain_operand(Minv), plain_operand(OPinv), rng, mode=mode, vectors=return_eigenvectors, solver=solver,
    )  # fmt: skip
    return _solve(request, A, M, adjoint, continuation)


def _solve(request: Request, A: Any, M: Any, adjoint: Adjoint | None, continuation: Continuation | None) -> Any:
    """Return w, and X where vectors are asked for."""
    options = check_options(adjoint)
    if not isinstance(continuation, Continuation | None):
        raise TypeError(f"continuation must be krylov_adj.Continuation(), not {type(continuation).__name__}")
    own = any(isinstance(operand, LinearOperator) or is_box(operand) for operand in (A, M))
    if own:
        A, M = check_operators(A, M)
    else:
        A = floating(A)
        M = floating(M, A.dtype)
    if M is not None and np.dtype(M.dtype).kind == "c" and np.dtype(A.dtype).kind != "c":
        # Every solver takes its type from A.
        dtype = np.result_type(A.dtype, np.complex64)
        A = A * dtype.type(1) if own else A.astype(dtype) if hasattr(A, "astype") else A
    if A.dtype.kind != "c" and request.v0 is not None and np.any(np.imag(request.v0)):
        raise ValueError(complex_start())
    problem = scaled(A, M, options, request.sigma)
    A, M, request = problem.A, problem.M, request.in_units(problem.units)
    if own and (request.solver == "auto" or problem.deepest != UNTRACED):
        # What runs, and so every value, does not depend on whether anything is traced.
        values = as_value(A, True, "matvec"), None if M is None else as_value(M, True, "matvec")
        found = eigenpairs(request, *values, continuation)
        pencil = make_pencil(problem, request.hermitian, found, continuation, request.Minv)
        w, X = attach_verified(pencil, found.w, found.X, found.rtol, forward_report(found))
    else:
        plain = plain_operand(A, request.needs_matrix(A)), plain_operand(M, True)
        found = scipy_pairs(request, *plain, continuation)
        w, X = found.w, found.X
    w, X = restored(problem.units, w, X, found.normalization)
    return (w, X) if request.vectors else w
