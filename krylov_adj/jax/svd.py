"""`svds` for JAX: SciPy's function, differentiable. Triplets are eigenpairs of [[0, A], [Aᴴ, 0]]."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..forward.solve import recall_triplets, solve_triplets
from ..forward.triplets import TripletRequest
from ..options import Adjoint
from ..perturbation.derivatives import Maps
from .arguments import check_options, number_of_pairs, start_vector
from .derivatives import attach, units_of
from .host import Host, keep
from .primitives import make_host_primitive, stopped
from .problems import Problem, point_shapes
from .reading import read

__all__ = ["svds"]

Array = np.ndarray

#: Of what solvers draw besides v0.
SEED = 0


def _run_triplets(host: Host, v0: Array) -> list[Array]:
    problem = host.problem
    (U, s, V), maps = solve_triplets(_request(problem, v0), host.A, problem.options)
    X = np.concatenate([U, V]) / U.dtype.type(np.sqrt(2))
    return [s, X, units_of(maps), keep(maps)]


def _request(problem: Problem, v0: Array | None) -> TripletRequest:
    return replace(TripletRequest(**dict(problem.request)), v0=v0)


def _recall(host: Host, s: Array, X: Array, aside: Array) -> Maps:
    return recall_triplets(_request(host.problem, None), host.A, s, X, host.problem.options)


triplets_p = make_host_primitive("krylov_adj_triplets", _run_triplets, lambda problem, *avals: point_shapes(problem))


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
    *,
    adjoint: Adjoint | None = None,
) -> Any:
    """`scipy.sparse.linalg.svds` for JAX, differentiable.

    Parameters
    ----------
    A : dense array, `LinearOperator`, `csr_array`, BCOO, BCSR, SciPy sparse or lineax operator
        Shape (m, n). May depend on traced values. Without ``rmatvec`` JAX transposes ``matvec``.
    k, ncv, tol, which, maxiter, return_singular_vectors, solver
        As in SciPy, and not traced.
    v0 : array, shape (min(m, n),), optional
        The start vector, a fixed one by default; may be traced.
    rng : seed or numpy.random.Generator, optional
        From which v0 is drawn, once, when the call is built.
    adjoint : Adjoint, optional
        How derivatives are computed.

    Returns
    -------
    u : array, shape (m, k)
        Left singular vectors; None for ``return_singular_vectors="vh"``.
    s : array, shape (k,)
        Singular values, in SciPy's order. The only result for ``return_singular_vectors=False``.
    vh : array, shape (k, n)
        Right singular vectors in rows, conjugated; None for ``return_singular_vectors="u"``.

    Raises
    ------
    EigenNoConvergence, ValueError
        As `krylov_adj.svds`; also where a singular value is zero to rounding, whose triplet has no derivative.
    AdjointNoConvergence
        From a derivative.

    Warns
    -----
    GaugeWarning, DegeneracyWarning
        From a derivative, as `krylov_adj.svds`.

    Derivative
    ----------
    Of u, s and vh, in the gauge Im(uᴴdu + vᴴdv) = 0, with respect to every array that A reads; to any order, forward
    and reverse. A is never squared. The common sign of real u and v is arbitrary and cannot be detected.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> import krylov_adj.jax as kj
    >>> A = jnp.diag(jnp.array([3.0, 2.0, 1.0, 0.5]))[:, :3] + 0.1
    >>> g = jax.grad(lambda A: jnp.sum(kj.svds(A, k=2)[1]))(A)  # u₀v₀ᵀ + u₁v₁ᵀ, of rank two
    >>> print(g.shape, round(float(jnp.sum(g * g)), 4))
    (4, 3) 2.0
    """
    wanted = return_singular_vectors
    if not any(wanted is form or wanted == form for form in (True, False, "u", "vh")):
        raise ValueError(f"return_singular_vectors={wanted!r}: expected True, False, 'u' or 'vh'")
    options, k = check_options(adjoint), number_of_pairs(k)
    code, consts = read(A)
    m, n = code.shape
    if not 1 <= k <= min(m, n):
        raise ValueError(f"k={k} must be between 1 and min(A.shape) = {min(m, n)}")
    request = {"k": k, "which": which, "tol": tol, "ncv": ncv, "maxiter": maxiter, "solver": solver, "rng": SEED}
    problem = Problem(
        (code,), (len(consts),), m + n, k, code.dtype, True, _recall, "2", "triplets", options, tuple(request.items())
    )
    start = start_vector(v0, rng, min(m, n), code.dtype)
    s, X, units, token = triplets_p.bind(*stopped([*consts, start]), problem=problem)
    s, X = attach(problem, consts, (s, X, jnp.zeros(0), units, token))
    if not wanted:
        return s
    root = float(np.sqrt(2))
    u, vh = root * X[:m], root * jnp.conj(X[m:]).T
    return (None if wanted == "vh" else u), s, (None if wanted == "u" else vh)
