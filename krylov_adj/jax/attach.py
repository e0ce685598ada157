"""Differentiable eigenpairs for JAX from pairs that any solver computed, and left eigenvectors of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..forward.given import given_eigenpairs, recall_eigenpairs
from ..forward.verify import GRAM
from ..krylov.precision import Precision
from ..options import Adjoint
from ..perturbation.derivatives import Maps
from ..perturbation.problem import Pairs
from ..perturbation.refusals import refuse_cut
from ..perturbation.systems import left_vectors
from .arguments import check_options, plain_operator, read_pencil, scalar
from .derivatives import anchor_solution, attach, shape_of, units_of
from .host import Host, keep, shift
from .primitives import make_host_primitive, stopped
from .problems import Problem, at_point, point_shapes

__all__ = ["attach_eigenpairs", "left_eigenvectors"]

Array = np.ndarray


def _run_accept(host: Host, w: Array, X: Array, sigma: Array, rtol: float) -> list[Array]:
    problem = host.problem
    pairs, maps = given_eigenpairs(
        host.A, host.M, w, X, hermitian=problem.hermitian, sigma=shift(problem, sigma),
        OPinv=dict(problem.request).get("OPinv"), normalization="2" if problem.unit else problem.normalization,
        rtol=rtol, options=problem.options,
    )  # fmt: skip
    if maps.systems.problem.unit != problem.unit:
        raise ValueError(
            "vectors of unit 2-norm of a Hermitian pencil, and xᴴMx is not positive: M is no inner product for them. "
            "Pass hermitian=False, with complex w and X"
        )
    return [pairs.w, pairs.X, units_of(maps), keep(maps)]


def _recall(host: Host, w: Array, X: Array, sigma: Array) -> Maps:
    problem = host.problem
    given = Pairs(w, X, problem.normalization, "eigenpairs as given")
    OPinv, at = dict(problem.request).get("OPinv"), shift(problem, sigma)
    return recall_eigenpairs(given, host.A, host.M, problem.hermitian, problem.options, at, OPinv, problem.unit)


accept_p = make_host_primitive("krylov_adj_accept", _run_accept, lambda problem, *avals, rtol: point_shapes(problem))


def _accepted(
    A: Any, w: Any, X: Any, M: Any, hermitian: bool, sigma: Any, OPinv: Any, normalization: Any, rtol: Any, adjoint: Any
) -> tuple[Problem, list[Any], list[Any]]:
    """The problem, its operands, and the point with differentiable pairs."""
    options = check_options(adjoint)
    codes, counts, consts, dtype = read_pencil(A, M)
    w, X, n = jnp.asarray(w), jnp.asarray(X), codes[0].shape[0]
    if w.ndim != 1 or X.shape != (n, w.size):
        raise ValueError(f"expected w of shape (k,) and X of shape ({n}, k), got {w.shape} and {X.shape}")
    if w.size == 0:
        raise ValueError("no pairs were given: w has k = 0 entries")
    if normalization is None:
        normalization = "2" if M is None else "M"
    if normalization not in GRAM or (normalization == "M" and M is None):
        raise ValueError(f"normalization={normalization!r}: expected one of {tuple(GRAM)}, 'M' only where M is given")
    unit = hermitian and M is not None and normalization == "2"
    if hermitian and jnp.iscomplexobj(w):
        raise TypeError("hermitian=True, but w is complex: pass real eigenvalues")
    whole = (
        np.result_type(dtype, X.dtype, np.float32) if hermitian else np.result_type(dtype, X.dtype, w.dtype, np.float32)
    )
    complex_pairs = whole.kind == "c" and dtype.kind != "c" and not hermitian
    kind = dtype if complex_pairs else whole
    request = () if OPinv is None else (("OPinv", plain_operator(OPinv, "OPinv")),)
    problem = Problem(
        codes, counts, n, w.size, kind, hermitian, _recall, "M" if unit else normalization, "pencil", options, request,
        sigma is not None, complex_pairs, unit,
    )  # fmt: skip
    rtol = Precision.of(problem.X_dtype).half if rtol is None else float(rtol)
    aside = scalar(sigma, "sigma")
    given = [w.astype(problem.w_dtype), X.astype(problem.X_dtype), aside]
    w, X, units, token = accept_p.bind(*stopped([*consts, *given]), problem=problem, rtol=rtol)
    w, X = attach(problem, consts, (w, X, aside, units, token))
    return problem, consts, [w, X, aside, units, token]


def attach_eigenpairs(
    A: Any,
    w: Any,
    X: Any,
    *,
    M: Any = None,
    hermitian: bool = False,
    sigma: Any = None,
    OPinv: Any = None,
    normalization: str | None = None,
    rtol: float | None = None,
    adjoint: Adjoint | None = None,
) -> tuple[Any, Any]:
    """Make eigenpairs A x = w M x, computed by any means, differentiable.

    Parameters
    ----------
    A, M : dense array, `LinearOperator`, `csr_array`, BCOO, BCSR, SciPy sparse or lineax operator
        Shape (n, n); any of them may depend on traced values. M defaults to the identity.
    w : array, shape (k,)
        Eigenvalues, all simple or complete clusters, of NumPy or JAX; what they depend on is not looked at.
    X : array, shape (n, k)
        Right eigenvectors in columns, normalised.
    hermitian : bool, optional
        A and M are Hermitian for all parameters.
    sigma : number, optional
        A shift near the eigenvalues. With explicit matrices, (A − σM) is factorised for the derivative's systems.
    OPinv : SciPy operator, optional
        (A − σM)⁻¹.
    normalization : {"2", "M", "A"}, optional
        xᴴx = 1, xᴴMx = 1 or xᴴAx = 1; by default "M" where M is given.
    rtol : float, optional
        The largest residual that is accepted, relative to ‖A‖ + ``|w|`` ‖M‖; √ε by default.
    adjoint : Adjoint, optional
        How derivatives are computed.

    Returns
    -------
    w, X : arrays
        The pairs; vectors of a Hermitian problem orthonormal to rounding.

    Raises
    ------
    ValueError
        Wrong shapes, NaN or infinity, pairs that are not eigenpairs, vectors not normalised, an operator that is not
        Hermitian though it was said to be, a wrong adjoint; vectors of unit 2-norm of a Hermitian pencil whose M is no
        inner product for them.
    TypeError
        Complex w with ``hermitian=True``.
    AdjointNoConvergence, DefectiveEigenvalueError
        From a derivative.

    Derivative
    ----------
    As of `eigs` and `eigsh`: only the given pairs are needed.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> import numpy as np
    >>> import krylov_adj.jax as kj
    >>> A0 = np.diag([1.0, 2.0, 4.0]) + 0.1
    >>> w0, X0 = np.linalg.eigh(A0)  # any solver
    >>> def f(p):
    ...     w, X = kj.attach_eigenpairs(A0 + p * jnp.eye(3), w0[:1], X0[:, :1], hermitian=True)
    ...     return w[0]
    >>> print(round(float(jax.grad(f)(0.0)), 5))
    1.0
    """
    problem, _, point = _accepted(A, w, X, M, hermitian, sigma, OPinv, normalization, rtol, adjoint)
    w, X = point[:2]
    return (w, X / jnp.linalg.norm(X, axis=0)) if problem.unit else (w, X)


# ---- left eigenvectors -----------------------------------------------------------------------------


def _run_left(host: Host, *point: Array) -> list[Array]:
    systems = host.maps(point).systems
    refuse_cut(systems.pairs, systems.complete())
    return [left_vectors(systems)]


left_p = make_host_primitive(
    "krylov_adj_left", _run_left, lambda problem, *avals: [shape_of((problem.n, problem.k), problem.X_dtype)]
)


def left_eigenvectors(
    A: Any,
    w: Any,
    X: Any,
    *,
    M: Any = None,
    hermitian: bool = False,
    sigma: Any = None,
    OPinv: Any = None,
    rtol: float | None = None,
    adjoint: Adjoint | None = None,
) -> Any:
    """Left eigenvectors yᴴA = w yᴴM that belong to given right eigenpairs, with yᵢᴴM xⱼ = δᵢⱼ.

    Parameters
    ----------
    A, M, hermitian, sigma, OPinv, rtol, adjoint
        As for `attach_eigenpairs`.
    w, X : arrays, shapes (k,) and (n, k)
        Eigenpairs of `eigs`, `eigsh` or any solver; vectors normalised as `eigs` does.

    Returns
    -------
    Y : array, shape (n, k)

    Raises
    ------
    ValueError, TypeError, DefectiveEigenvalueError
        As for `attach_eigenpairs`.
    AdjointNoConvergence
        A system did not converge, or a cluster was cut; from the call itself or from a derivative.

    Derivative
    ----------
    With respect to every array that A and M read; to any order, forward and reverse. Phases of left eigenvectors follow
    those of right ones. Functions of a whole cluster, such as the spectral projector X YᴴM, are right at any gap.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import krylov_adj.jax as kj
    >>> A = jnp.diag(jnp.arange(1.0, 9.0)) + jnp.triu(jnp.ones((8, 8)), 1)
    >>> w, X = kj.eigs(A, k=2, which="LR")
    >>> Y = kj.left_eigenvectors(A, w, X)
    >>> print(bool(jnp.allclose(jnp.conj(Y).T @ X, jnp.eye(2), atol=1e-4)))
    True
    """
    problem, consts, point = _accepted(A, w, X, M, hermitian, sigma, OPinv, None, rtol, adjoint)
    own, n, k = point[1], problem.n, problem.k
    # The phases of X, and how they move; of plain values they do not.
    squares = jnp.sum(jnp.abs(own) ** 2, axis=0)
    phases = jnp.sum(jnp.conj(own) * jnp.asarray(X), axis=0) / squares if isinstance(X, jax.core.Tracer) else 1
    at = at_point(problem, consts, point)
    units = jax.lax.stop_gradient(point[3])
    if hermitian:
        Y = own / jnp.real(jnp.sum(jnp.conj(own) * (own if M is None else at.B(own) * at.m), axis=0))
        return Y / jnp.conj(phases)
    (Y,) = left_p.bind(*stopped([*consts, *point]), problem=problem)
    right = jnp.concatenate([jnp.zeros_like(Y), jnp.eye(k, dtype=Y.dtype)])
    solved = jnp.concatenate([Y, jnp.zeros((k, k), Y.dtype)])
    chosen = jnp.ones(k, squares.dtype)
    Y = anchor_solution(problem, "adjoint", consts, point, chosen, right, solved)[:n]
    return Y * (units[0] / units[2]) / jnp.conj(phases)
