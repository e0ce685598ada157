"""`eigs` and `eigsh` for JAX: SciPy's functions, differentiable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..forward.given import recall_eigenpairs
from ..forward.request import Request
from ..forward.solve import solve_eigenproblem
from ..options import Adjoint
from ..perturbation.derivatives import Maps
from ..perturbation.problem import Pairs
from ..perturbation.selection import Selection
from .arguments import check_options, number_of_pairs, plain_operator, read_pencil, scalar, start_vector
from .derivatives import attach, units_of
from .host import Host, keep, shift
from .primitives import make_host_primitive, stopped
from .problems import Problem, point_shapes

__all__ = ["eigs", "eigsh"]

Array = np.ndarray


def _run_eigen(host: Host, sigma: Array, v0: Array) -> list[Array]:
    problem = host.problem
    request = replace(_request(problem, sigma), v0=v0)
    pairs, maps = solve_eigenproblem(request, host.A, host.M, problem.options)
    if pairs.w.size != problem.k:
        raise ValueError(f"{pairs.w.size} eigenpairs were found, {problem.k} are expected")
    return [pairs.w, pairs.X, units_of(maps), keep(maps)]


def _request(problem: Problem, sigma: Array) -> Request:
    """The request for eigenpairs, but for v0."""
    return replace(Request(**dict(problem.request)), sigma=shift(problem, sigma))


def _recall(host: Host, w: Array, X: Array, sigma: Array) -> Maps:
    problem, request = host.problem, _request(host.problem, sigma)
    real_A, real_M = (operator is None or operator.dtype.kind != "c" for operator in (host.A, host.M))
    ranking = request.ranking(real_A, real_M, host.M is not None and problem.normalization == "2")
    selection = Selection(ranking, int(request.basis_size(problem.n)), 0)
    given = Pairs(w, X, problem.normalization, "eigenpairs as given", selection=selection)
    return recall_eigenpairs(given, host.A, host.M, problem.hermitian, problem.options, request.sigma, request.OPinv)


eigen_p = make_host_primitive("krylov_adj_eigen", _run_eigen, lambda problem, *avals: point_shapes(problem))


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
    solver: str = "auto",
) -> Any:
    """`scipy.sparse.linalg.eigs` for JAX, differentiable.

    Parameters
    ----------
    A, M : dense array, `LinearOperator`, `csr_array`, BCOO, BCSR, SciPy sparse or lineax operator
        Shape (n, n). Any may depend on traced values. M is Hermitian positive definite.
    k, ncv, maxiter, tol, return_eigenvectors, which, OPpart
        As in SciPy, and not traced.
    sigma, v0
        As in SciPy; may be traced. The start vector is a fixed one unless it is given.
    Minv, OPinv
        As in SciPy: matrices and operators of NumPy and SciPy, constants.
    rng : seed or numpy.random.Generator, optional
        From which v0 is drawn, once, when the call is built.
    adjoint : Adjoint, optional
        How derivatives are computed. A preconditioner runs on the host, with NumPy.
    solver : {"auto", "arpack"}, optional

    Returns
    -------
    w : array, shape (min(k, n),)
        Complex eigenvalues, the most wanted first.
    X : array, shape (n, min(k, n))
        Complex eigenvectors; xᴴx = 1, or xᴴMx = 1 where M is given. Only if ``return_eigenvectors``.

    Raises
    ------
    EigenNoConvergence, ValueError, TypeError
        As `krylov_adj.eigs`; out of a compiled program as `jax.errors.JaxRuntimeError`, see `errors`. An M that is not
        an inner product is a ValueError: the vectors' normalisation is known before anything runs.
    AdjointNoConvergence, DefectiveEigenvalueError
        From a derivative.

    Warns
    -----
    GaugeWarning, DegeneracyWarning
        From a derivative, as `krylov_adj.eigs`.

    Derivative
    ----------
    Of w and X, in the gauge Im xᴴN dx = 0, with respect to every array that A and M read; to any order, forward and
    reverse. With respect to the entries of an M it is that of a function of its Hermitian part. JAX's gradients with
    respect to complex arrays are conjugates of the direction of steepest ascent. Not differentiable: sigma and v0.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> import krylov_adj.jax as kj
    >>> A = jnp.diag(jnp.arange(1.0, 9.0)) + jnp.triu(jnp.ones((8, 8)), 1)
    >>> g = jax.grad(lambda A: jnp.sum(jnp.real(kj.eigs(A, k=2, which="LR")[0])))(A)
    >>> print(round(float(jnp.trace(g)), 4))  # A + cI moves both eigenvalues by c
    2.0
    """
    request = {
        "which": which, "ncv": ncv, "maxiter": maxiter, "tol": tol, "vectors": return_eigenvectors, "OPpart": OPpart,
        "solver": solver, "Minv": plain_operator(Minv, "Minv"), "OPinv": plain_operator(OPinv, "OPinv"),
    }  # fmt: skip
    return _solve(A, k, M, sigma, v0, rng, adjoint, False, request)


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
    solver: str = "auto",
) -> Any:
    """`scipy.sparse.linalg.eigsh` for JAX, differentiable.

    Parameters
    ----------
    A, M : dense array, `LinearOperator`, `csr_array`, BCOO, BCSR, SciPy sparse or lineax operator
        Shape (n, n), Hermitian for all parameters; M positive definite. Any may depend on traced values.
    k, ncv, maxiter, tol, return_eigenvectors, which, mode
        As in SciPy, and not traced.
    sigma, v0
        As in SciPy; may be traced. The start vector is a fixed one unless it is given.
    Minv, OPinv
        As in SciPy: matrices and operators of NumPy and SciPy, constants.
    rng : seed or numpy.random.Generator, optional
        From which v0 is drawn, once, when the call is built.
    adjoint : Adjoint, optional
        How derivatives are computed. A preconditioner runs on the host, with NumPy.
    solver : {"auto", "arpack"}, optional

    Returns
    -------
    w : array, shape (min(k, n),)
        Real eigenvalues, in the order of `krylov_adj.eigsh`.
    X : array, shape (n, min(k, n))
        Eigenvectors; xᴴx = 1, xᴴMx = 1 where M is given, xᴴAx = 1 in buckling mode. Only if ``return_eigenvectors``.

    Raises
    ------
    EigenNoConvergence, ValueError, TypeError
        As `krylov_adj.eigsh`; out of a compiled program as `jax.errors.JaxRuntimeError`, see `errors`.
    AdjointNoConvergence
        From a derivative.

    Warns
    -----
    GaugeWarning, DegeneracyWarning
        From a derivative, as `krylov_adj.eigsh`.

    Derivative
    ----------
    Of w and X with respect to every array that A and M read; to any order, forward and reverse. With respect to the
    entries of matrices it is that of a function of their Hermitian parts. A loss of the eigenvalues alone needs no
    linear solve. Not differentiable: sigma and v0. The sign of a real eigenvector is arbitrary: use `canonical_phase`
    where it matters.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> import krylov_adj.jax as kj
    >>> def ground_state(V):
    ...     H = kj.LinearOperator((9, 9), lambda x: 2 * x - jnp.roll(x, 1) - jnp.roll(x, -1) + V * x)
    ...     return kj.eigsh(H, k=1, which="SA")[0][0]
    >>> g = jax.jit(jax.grad(ground_state))(jnp.arange(9.0))  # Hellmann-Feynman: the density of the state
    >>> print(round(float(jnp.sum(g)), 5), int(jnp.argmax(g)))
    1.0 0
    """
    request = {
        "which": which, "ncv": ncv, "maxiter": maxiter, "tol": tol, "vectors": return_eigenvectors, "mode": mode,
        "solver": solver, "Minv": plain_operator(Minv, "Minv"), "OPinv": plain_operator(OPinv, "OPinv"),
    }  # fmt: skip
    return _solve(A, k, M, sigma, v0, rng, adjoint, True, request)


def _solve(
    A: Any, k: Any, M: Any, sigma: Any, v0: Any, rng: Any, adjoint: Any, hermitian: bool, request: dict[str, Any]
) -> Any:
    """Return w, and X where vectors are asked for."""
    options, k = check_options(adjoint), number_of_pairs(k)
    codes, counts, consts, dtype = read_pencil(A, M)
    n = codes[0].shape[0]
    buckling = hermitian and request["mode"] == "buckling" and sigma is not None
    normalization = "A" if buckling else "2" if M is None else "M"
    if k < 1:
        raise ValueError(f"k={k} must be greater than 0")
    fixed = {"k": k, "hermitian": hermitian, "normalization": normalization, **request}
    problem = Problem(
        codes, counts, n, min(k, n), dtype, hermitian, _recall, normalization, "pencil", options, tuple(fixed.items()),
        sigma is not None, not hermitian,
    )  # fmt: skip
    aside = scalar(sigma, "sigma")
    start = start_vector(v0, rng, n, dtype)
    w, X, units, token = eigen_p.bind(*stopped([*consts, aside, start]), problem=problem)
    w, X = attach(problem, consts, (w, X, aside, units, token))
    return (w, X) if request["vectors"] else w
