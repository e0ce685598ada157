"""`eigs` and `eigsh`: SciPy's functions, differentiable.

Without traced operators the call goes to SciPy as it came. With them ARPACK runs on their plain
values, and what it returns is attached (`attach.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .arpack import (
    accepted_residual,
    admits,
    as_scipy,
    call_scipy,
    falls_back_to_dense,
    in_order_of_values,
    next_to_one,
    plain_operand,
    scipy_eigs,
    scipy_eigsh,
    spoiled_residual,
)
from .attach import as_value, attach_verified, check_operators, check_options, make_inverse, make_pencil
from .bindings._trace import UNTRACED, is_box
from .continuation import Continuation
from .hermitian import hermitian_part
from .operators import LinearOperator
from .options import Adjoint
from .perturbation.problem import Inverse, ValueOperator
from .reports import EigenNoConvergence, Report
from .symmetric import SymmetricPairs, covered, symmetric_pairs
from .units import Units, units
from .warm_start import warm_arnoldi, warm_start

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

    Returns
    -------
    w : ndarray, shape (k,)
        Complex eigenvalues, in SciPy's order.
    X : ndarray, shape (n, k)
        Eigenvectors; xᴴx = 1, or xᴴMx = 1 where M is given. Only if ``return_eigenvectors``.

    Raises
    ------
    EigenNoConvergence
        `scipy.sparse.linalg.ArpackNoConvergence`, with its partial results.
    ValueError
        Bad arguments, NaN or infinity from an operator, an M that is not positive definite, or
        results that do not satisfy A x = w M x.
    AdjointNoConvergence, DefectiveEigenvalueError
        From the backward pass.

    Warns
    -----
    GaugeWarning
        From the backward pass, where the loss depends on an arbitrary phase or basis.
    DegeneracyWarning
        From the backward pass, where the loss treats coinciding eigenvalues differently, or an
        eigenvalue is nearly defective.

    Derivative
    ----------
    As for `attach_eigenpairs`; with respect to the entries of an M that normalises the vectors it is that of a
    function of its Hermitian part. With ``sigma`` and explicit matrices the forward factorisation is
    used again, transposed. It is made in another order than SciPy's where the sparse A − σM has a
    symmetric pattern (half the fill); pass ``OPinv`` for one of your own. Not differentiable: v0,
    Minv, OPinv, sigma.

    With ``return_eigenvectors=False`` and a real A, SciPy's order (and, where k cuts a complex pair,
    its selection) is another one than with vectors; a traced call then solves twice to give the
    same values as an untraced one. Asking for the vectors is cheaper.

    Notes
    -----
    A real matrix's complex pairs may be cut by k, as in SciPy; each member is differentiable.

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
    arguments = {
        "sigma": sigma, "which": which, "v0": v0, "ncv": ncv, "maxiter": maxiter, "tol": tol,
        "Minv": Minv, "OPinv": OPinv, "OPpart": OPpart, "rng": rng,
    }  # fmt: skip
    return _solve(scipy_eigs, A, k, M, return_eigenvectors, arguments, adjoint, continuation)


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

    Returns
    -------
    w : ndarray, shape (k,)
        Real eigenvalues, in SciPy's order, which for ``return_eigenvectors=False`` is another one.
    X : ndarray, shape (n, k)
        Eigenvectors; xᴴx = 1, xᴴMx = 1 where M is given, xᴴAx = 1 in buckling mode. Only if
        ``return_eigenvectors``. Traced calls make them orthonormal to rounding, which SciPy's of close
        eigenvalues of a complex matrix are not.

    Raises
    ------
    EigenNoConvergence
        `scipy.sparse.linalg.ArpackNoConvergence`, with its partial results.
    ValueError
        Bad arguments, NaN or infinity from an operator, an M that is not positive definite, or
        results that do not satisfy A x = w M x (an A that is not Hermitian).
    AdjointNoConvergence
        From the backward pass.

    Warns
    -----
    GaugeWarning
        From the backward pass, where the loss depends on an arbitrary phase or basis.
    DegeneracyWarning
        From the backward pass, where the loss treats coinciding eigenvalues differently, or an
        eigenvalue is nearly defective.

    Derivative
    ----------
    As for `attach_eigenpairs`: with respect to the entries of a dense or sparse A or M it is that of a function of
    their Hermitian parts, so a gradient step leaves them Hermitian. A loss of the eigenvalues alone needs no linear
    solve. The sign of a real eigenvector is arbitrary and cannot be detected: use `canonical_phase` where it matters.

    Notes
    -----
    Traced calls of real symmetric problems of order above 200, with ``sigma`` or with ``which="SA"``, ``"LA"`` or
    ``"LM"`` and no M, run Lanczos: with the inverse, or with a polynomial filter in place of ARPACK's restarts.
    They prove that no eigenvalue was missed, whatever the start vector, or find it. The sign of a vector is that of
    its product with ``v0`` (with a fixed vector by default), not ARPACK's. ``ncv`` is the basis, and ``maxiter`` limits
    restarts, as in SciPy; what does not converge so is left to ARPACK.

    With ``sigma`` and sparse matrices, traced calls factorise A − σM in an order for symmetric
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
    arguments = {
        "sigma": sigma, "which": which, "v0": v0, "ncv": ncv, "maxiter": maxiter, "tol": tol,
        "Minv": Minv, "OPinv": OPinv, "mode": mode, "rng": rng,
    }  # fmt: skip
    return _solve(scipy_eigsh, A, k, M, return_eigenvectors, arguments, adjoint, continuation)


def _solve(
    solver: Any,
    A: Any,
    k: int,
    M: Any,
    vectors: bool,
    arguments: dict[str, Any],
    adjoint: Adjoint | None,
    continuation: Continuation | None,
) -> Any:
    options = check_options(adjoint)
    if not isinstance(continuation, Continuation | None):
        raise TypeError(f"continuation must be krylov_adj.Continuation(), not {type(continuation).__name__}")
    plain = {name: plain_operand(value) for name, value in arguments.items()}
    own = any(isinstance(operand, LinearOperator) or is_box(operand) for operand in (A, M))
    if own:
        A, M = check_operators(A, M)
    scale = units(A, M, plain["sigma"])
    if not scale.trivial:
        (A, M), plain, options = scale.operators(A, M), scale.arguments(plain), scale.options(options)
    run = partial(_attached, options=options, scale=scale) if own else _untraced
    try:
        w, X, normalization = run(solver, A, k, M, vectors, plain, continuation)
    except EigenNoConvergence as error:
        usual = "A" if plain.get("mode") == "buckling" else "2" if M is None else "M"
        error.eigenvalues = scale.values(error.eigenvalues)
        error.eigenvectors = scale.vectors(error.eigenvectors, getattr(error, "normalization", usual))
        raise
    w = scale.values(w)
    return (w, scale.vectors(X, normalization)) if vectors else w


def _attached(
    solver: Any,
    op_A: LinearOperator,
    k: int,
    op_M: LinearOperator | None,
    vectors: bool,
    plain: dict[str, Any],
    continuation: Continuation | None,
    *,
    options: Adjoint,
    scale: Units,
) -> tuple[Any, Any, str]:
    """w, X (of no meaning where only values were asked for) and their normalisation."""
    # SciPy factorises A with sigma, and M without; near k = n it has to have both.
    value_A = plain_operand(op_A, plain["sigma"] is not None or falls_back_to_dense(solver, op_A, k))
    value_M = plain_operand(op_M, True)
    if scale.deepest == UNTRACED:
        return _untraced(solver, value_A, k, value_M, vectors, plain, continuation)

    hermitian = solver is scipy_eigsh
    dense = falls_back_to_dense(solver, value_A, k)
    if plain["sigma"] is None and not dense and not isinstance(value_A, as_scipy):
        value_A = as_scipy(as_value(op_A, True, "matvec"))  # which counts

    def inverse_at(shift: Any) -> Inverse | None:
        return None if dense else make_inverse(op_A, op_M, shift, plain["OPinv"], hermitian)

    own, solves = None, 0
    if hermitian and not dense and admits(value_M, plain):
        counted = value_A.operator if plain["sigma"] is None else as_value(op_A, True, "matvec")
        M_operator = None if op_M is None else as_value(op_M, True, "M")
        own, inverse, solves = _by_lanczos(counted, M_operator, k, plain, inverse_at, continuation)
    else:
        inverse = inverse_at(plain["sigma"])
    warm, starting = None, continuation
    if continuation is not None and inverse is not None and not hermitian and vectors and op_M is None:
        # Where it does not do, it leaves the v0 that there is.
        warm, starting = warm_arnoldi(op_A.dtype, inverse, k, plain, continuation)
    if own is not None:
        w, X, method, beyond = own.w, own.X, own.method, own.beyond
        normalization = "2" if op_M is None else "M"
    elif warm is not None:
        (w, X), normalization, method, beyond = warm, "2", "Arnoldi", None
    else:
        if inverse is not None and plain["OPinv"] is None:
            plain["OPinv"] = as_scipy(inverse.operator)
        _start(starting, value_A, value_M, plain)
        w, X, normalization = call_scipy(solver, value_A, k, value_M, True, plain)
        method, beyond = "LAPACK" if dense else "ARPACK", None
    applications = getattr(value_A, "applications", 0)
    solves += 0 if inverse is None else inverse.operator.applications
    if continuation is not None:
        continuation.keep_vectors(X)
    if not vectors:
        w, X = in_order_of_values(solver, value_A, k, value_M, plain, w, X)
    if hermitian and normalization == "2" and op_M is not None:
        # XᴴX is then no multiple of the identity: treat the pairs one by one
        op_A, op_M, hermitian = hermitian_part(op_A), hermitian_part(op_M), False
    pencil = make_pencil(op_A, op_M, hermitian, normalization, inverse, options, continuation, beyond, scale)
    report = Report(
        "forward",
        method,
        0.0,
        np.zeros(w.size),
        applications=applications,
        solves=solves,
        # SciPy's default
        ncv=(plain["ncv"] or min(op_A.shape[0], max(2 * k + 1, 20))) if method == "ARPACK" else 0,
    )
    spoiled = solver is scipy_eigs and not dense and next_to_one(w, value_A, plain)
    rtol = (spoiled_residual if spoiled else accepted_residual)(X.dtype, float(plain["tol"]))
    w, X = attach_verified(pencil, w, X, rtol, report)
    return w, X, normalization


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


def _untraced(
    solver: Any,
    A: Any,
    k: int,
    M: Any,
    vectors: bool,
    arguments: dict[str, Any],
    continuation: Continuation | None,
) -> tuple[Any, Any, str]:
    """As `_attached`."""
    _start(continuation, A, M, arguments)
    w, X, normalization = call_scipy(solver, A, k, M, vectors, arguments)
    if continuation is not None and vectors:
        continuation.keep_vectors(X)
    return w, X, normalization


def _start(continuation: Continuation | None, A: Any, M: Any, arguments: dict[str, Any]) -> None:
    """The continuation's v0 in place of the caller's, where it has one."""
    if continuation is None:
        return
    dtype = np.result_type(*(operand.dtype for operand in (A, M) if operand is not None))
    arguments["v0"] = continuation.start_vector(A.shape[0], dtype, float(arguments["tol"]), arguments["v0"])
