"""`svds`: SciPy's function, differentiable.

Without a traced operator the call goes to SciPy as it came. With one SciPy runs on its plain values,
and the triplets it returns are attached as eigenpairs of [[0, A], [Aᴴ, 0]] (`forward/triplets.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ..forward.operands import check_numbers, floating, scipy_operand
from ..forward.scaling import Units
from ..forward.triplets import TripletRequest, resolve_triplets, scipy_triplets
from ..forward.verify import check_adjoint, forward_report
from ..options import Adjoint
from ..perturbation.problem import ValueOperator
from .attach import attach_verified
from .elementary import beside, xp
from .operators.base import LinearOperator
from .operators.matrices import aslinearoperator
from .pencil import augmented_pencil
from .trace import UNTRACED, guarded, is_box
from .values import as_value, check_options, plain_operand, restored, scaled

__all__ = ["svds"]


def svds(
    A: Any,
    k: int = 6,
    ncv: int | None = None,
    tol: float = 0,
    which: str = "LM",
    v0: Any = None,
    maxiter: int | None = None,
    return_singular_vectors: bool | str = True,
    solver: str = "arpack",
    rng: Any = None,
    options: dict[str, Any] | None = None,
    *,
    random_state: Any = None,
    adjoint: Adjoint | None = None,
) -> Any:
    """`scipy.sparse.linalg.svds`, differentiable.

    Parameters
    ----------
    A : dense array (traced or not), SciPy sparse, SciPy or krylov_adj LinearOperator
        Shape (m, n). May depend on traced values where its type can. A LinearOperator without
        ``rmatvec`` gets its adjoint from autograd.
    k, ncv, tol, which, v0, maxiter, return_singular_vectors, solver, rng, options, random_state
        As in SciPy; all three solvers.
    adjoint : Adjoint, optional
        How derivatives are computed. A preconditioner approximates the inverse of H − σ for
        H = [[0, A], [Aᴴ, 0]], of order m + n.

    Returns
    -------
    u : ndarray, shape (m, k)
        Left singular vectors; None for ``return_singular_vectors="vh"``.
    s : ndarray, shape (k,)
        Singular values, in SciPy's order. The only result for ``return_singular_vectors=False``.
    vh : ndarray, shape (k, n)
        Right singular vectors in rows, conjugated; None for ``return_singular_vectors="u"``.

    Raises
    ------
    EigenNoConvergence
        `scipy.sparse.linalg.ArpackNoConvergence`, with its partial results.
    ValueError
        Bad arguments, NaN or infinity from the operator, a wrong adjoint; triplets that are none,
        see Notes.
    AdjointNoConvergence
        From the backward pass.

    Warns
    -----
    GaugeWarning
        From the backward pass, where the loss depends on the common phase of u and v, on the basis of
        a degenerate singular space, or on how vectors of vanishing singular values go together.
    DegeneracyWarning
        From the backward pass, where the loss treats coinciding singular values differently, reads those of a cluster
        that k cuts, or one that is zero.

    Derivative
    ----------
    Of u, s and vh, in the gauge Im(uᴴdu + vᴴdv) = 0, with respect to everything that A depends on; to
    any order; forward and reverse. The triplets are treated as eigenpairs of H = [[0, A], [Aᴴ, 0]]: A is
    never squared, and the systems that are solved have the condition of A. A loss of the singular
    values alone needs no linear solve. The common sign of real u and v is arbitrary and cannot be
    detected. σ = 0 is no smooth function of A; and where A is rectangular, the vectors of the longer side
    that belong to σ → 0 have derivatives that grow like 1/σ.

    Not differentiable: v0, tol and how else the triplets are computed.

    Notes
    -----
    SciPy works with AᴴA (the solver "propack" does not), and loses small singular values: the
    residual ‖Aᴴu − σv‖ of its triplets is about ε‖A‖²/σ. Traced calls look at the residuals of A itself.
    Where one is above ``max(tol, 1e-10)·σ`` (1e-5 in single precision; ``Adjoint(rtol=...)``) and above
    rounding, Newton's method on A makes it smaller, and values and vectors returned are better than
    SciPy's; where that fails, because SciPy's vectors are mixtures of several, it is an error. Untraced
    calls return what SciPy returns.

    An integer ``rng`` is taken as given by keyword, wherever it stands.

    References
    ----------
    Eigenpairs of H: G. H. Golub & W. Kahan, SIAM J. Numer. Anal. 2 (1965) 205. docs/derivation.md.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> A = numpy.diag([3.0, 2.0, 1.0, 0.5])[:, :3] + 0.1
    >>> def spread(A):
    ...     u, s, vh = ka.svds(A, k=2, v0=numpy.ones(3))
    ...     return s[1] - s[0]
    >>> g = grad(spread)(A)  # u₁v₁ᵀ − u₀v₀ᵀ, of rank two
    >>> print(g.shape, round(float(np.sum(g * g)), 10))
    (4, 3) 2.0
    """
    chosen = check_options(adjoint)
    if isinstance(A, spla.LinearOperator):  # of other types of matrices SciPy says which it takes
        A = floating(A)
    elif isinstance(A, np.ndarray) or sp.issparse(A):
        check_numbers(A)
    problem = scaled(A, None, chosen, squared=True)
    scale, deepest, A = problem.units, problem.deepest, problem.A
    if solver == "lobpcg" and not scale.trivial:
        tol = min(tol, tol / scale.a)  # an absolute one: that of A or of A′, whichever asks for more
    request = TripletRequest(k, which, tol, ncv, plain_operand(v0), maxiter, solver, rng, random_state, options)
    wanted = return_singular_vectors
    if not (isinstance(A, LinearOperator) or is_box(A)):
        return _in_units(scale, scipy_triplets(request, A, wanted))
    operator = aslinearoperator(A).prepared()
    value = as_value(operator, False, "A", deepest)
    plain = scipy_operand(value, True)
    if deepest == UNTRACED:
        return _in_units(scale, scipy_triplets(request, plain, wanted))
    check_adjoint(value, False)
    # SciPy knows which values of ``return_singular_vectors`` are none.
    known = any(wanted is form or wanted == form for form in (True, False, "u", "vh"))
    triplets = scipy_triplets(request, plain, True if known else wanted)
    u, s, v = _attach(request, operator, deepest, value, triplets, problem.options, scale)
    if not wanted:
        return s
    return (None if wanted == "vh" else u), s, (None if wanted == "u" else xp.conj(v).T)


def _in_units(scale: Units, result: Any) -> Any:
    """Return SciPy's triplets of A′ as those of A."""
    if isinstance(result, tuple):
        return result[0], scale.values(result[1]), result[2]
    return scale.values(result)


def _attach(
    request: TripletRequest,
    operator: LinearOperator,
    deepest: int,
    value: ValueOperator,
    triplets: tuple[np.ndarray, np.ndarray, np.ndarray],
    options: Adjoint,
    scale: Units,
) -> tuple[Any, Any, Any]:
    """Return u, s, v as functions of whatever the operator is traced in."""
    m = operator.shape[0]
    found = resolve_triplets(request, value, triplets, options, scale)
    maps = guarded(operator._apply, deepest), guarded(operator._apply_adjoint, deepest)
    pencil, pairs = augmented_pencil(*maps, m, found.problem, options), found.pairs
    w, X = attach_verified(pencil, pairs.w, pairs.X, pairs.rtol, forward_report(pairs))
    root = pairs.X.dtype.type(np.sqrt(2))
    U, w, V = root * X[:m], restored(scale, w, None, "2")[0], root * X[m:]
    u, s, v = found.given
    if found.kept.size < s.size:
        U, V = (beside(part, given, found.kept, found.reason) for part, given in ((U, u), (V, v)))
        w = beside(w, scale.values(s), found.kept, found.reason)
    return U, w, V
