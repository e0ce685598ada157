"""Invariant subspaces of A x = w M x for JAX, differentiable where their eigenvalues meet."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from ..forward.request import Request
from ..forward.solved_subspace import (
    GivenSubspace,
    check_basis,
    check_basis_normalisation,
    given_subspace,
    recall_subspace,
    solve_subspace,
)
from ..forward.subspace import Subspace
from ..krylov.precision import Precision
from ..options import Adjoint
from ..perturbation.subspace_derivatives import SubspaceMaps
from .arguments import check_options, number_of_pairs, plain_operator, read_pencil, scalar, start_vector
from .derivatives import attach, units_of
from .host import Host, keep, shift
from .primitives import make_host_primitive, stopped
from .problems import Problem, point_shapes

__all__ = ["attach_subspace", "invariant_subspace"]

Array = np.ndarray


def _run_solve(host: Host, sigma: Array, v0: Array) -> list[Array]:
    problem = host.problem
    request = Request(**{**dict(problem.request), "sigma": shift(problem, sigma), "v0": v0})
    in_complex = not problem.hermitian
    X, H, maps = solve_subspace(request, host.A, host.M, problem.options, in_complex=in_complex)
    if X.shape[1] != problem.k:
        raise ValueError(f"a subspace of {X.shape[1]} eigenvalues was found, one of {problem.k} is expected")
    return [H, X, units_of(maps), keep(maps)]


def _run_accept(host: Host, H: Array, X: Array, sigma: Array, rtol: float) -> list[Array]:
    problem = host.problem
    X, H, maps = given_subspace(
        host.A, host.M, X, H if H.size else None, hermitian=problem.hermitian, sigma=shift(problem, sigma),
        OPinv=dict(problem.request).get("OPinv"), normalization=problem.normalization, rtol=rtol,
        options=problem.options,
    )  # fmt: skip
    return [H, X, units_of(maps), keep(maps)]


def _recall(host: Host, H: Array, X: Array, sigma: Array) -> SubspaceMaps:
    problem = host.problem
    given = GivenSubspace(X, H, problem.normalization, Precision.of(X.dtype).half)
    OPinv, at = dict(problem.request).get("OPinv"), shift(problem, sigma)
    return recall_subspace(
        host.A, host.M, given, hermitian=problem.hermitian, sigma=at, OPinv=OPinv, options=problem.options
    )


solve_p = make_host_primitive("krylov_adj_subspace", _run_solve, lambda problem, *avals: point_shapes(problem))
accept_p = make_host_primitive(
    "krylov_adj_accept_subspace", _run_accept, lambda problem, *avals, rtol: point_shapes(problem)
)


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
) -> Subspace:
    """The invariant subspace of k eigenvalues of A x = w M x: X and H with A X = M X H.

    Functions of it are differentiable where eigenvalues in it meet, coincide or are defective, to any order: nothing is
    divided by a gap between them. Single eigenvectors are not in it; X is an arbitrary basis.

    Parameters
    ----------
    A, M : dense array, `LinearOperator`, `csr_array`, BCOO, BCSR, SciPy sparse or lineax operator
        Shape (n, n). Any may depend on traced values. M is Hermitian positive definite.
    k, which, ncv, maxiter, tol
        As in SciPy's `eigs` or `eigsh`, and not traced: they name the k eigenvalues.
    sigma, v0
        As in SciPy; may be traced. The start vector is a fixed one unless it is given.
    Minv, OPinv
        As in SciPy: matrices and operators of NumPy and SciPy, constants.
    rng : seed or numpy.random.Generator, optional
        From which v0 is drawn, once, when the call is built.
    hermitian : bool, optional
        A and M are Hermitian for all parameters.
    adjoint : Adjoint, optional
        How derivatives are computed. A preconditioner runs on the host, with NumPy.

    Returns
    -------
    X : array, shape (n, min(k, n))
        XᴴMX = I where M is given, else XᴴX = I. Complex unless ``hermitian`` and A and M are real: types are known
        before anything runs.
    H : array, shape (min(k, n), min(k, n))
        Of the type of X; Hermitian of a Hermitian problem. Its eigenvalues are the k eigenvalues.

    Raises
    ------
    EigenNoConvergence, ValueError, TypeError
        As `eigs` and `eigsh`; out of a compiled program as `jax.errors.JaxRuntimeError`, see `errors`.
    DefectiveEigenvalueError
        From a derivative, where k cuts a Jordan block: an eigenvalue outside has coalesced with one inside.
    AdjointNoConvergence
        From a derivative: a system did not converge, or k cuts a cluster of which the loss reads X.

    Warns
    -----
    GaugeWarning
        From a derivative, where the loss depends on the basis.
    DegeneracyWarning
        From a derivative, where a loss of H alone reads a cluster that k cuts, or rounding and the residual of the
        subspace leave few digits of a derivative.

    Derivative
    ----------
    Of losses that do not depend on the basis (functions of X Xᴴ, of H's invariants, of X F(H) Xᴴ), with respect to
    every array that A and M read; to any order, forward and reverse. The gauge is XᴴN dX = −½ dS (N = M or I). A
    Hermitian problem's loss of H alone needs no linear solve. Not differentiable: sigma and v0.

    Notes
    -----
    Functions of H's eigenvalues: `jnp.trace`, `jnp.linalg.det` and `jax.scipy.linalg.expm` do not see the basis.
    `jnp.linalg.eigh(H)` does not either, but its derivative divides by gaps: `spectral_function` and `spectral_sum` do
    not.

    References
    ----------
    docs/derivation.md. G. W. Stewart & J.-G. Sun, Matrix Perturbation Theory, Academic Press 1990, chapter V.

    Examples
    --------
    A double eigenvalue: the sum of both is smooth, the single ones are not.

    >>> import jax, jax.numpy as jnp
    >>> import krylov_adj.jax as kj
    >>> A0, d = jnp.diag(jnp.array([1.0, 1.0, 3.0, 4.0, 5.0])), jnp.arange(1.0, 6.0)
    >>> def f(p):
    ...     X, H = kj.invariant_subspace(A0 + p * jnp.outer(d, d), k=2, which="SA", hermitian=True)
    ...     return jnp.trace(H)
    >>> print(round(float(jax.jit(jax.grad(f))(0.0)), 4))  # tr(XᴴDX) = 1 + 4
    5.0
    """
    options, k = check_options(adjoint), number_of_pairs(k)
    codes, counts, consts, dtype = read_pencil(A, M)
    n, normalization = codes[0].shape[0], "2" if M is None else "M"
    if k < 1:
        raise ValueError(f"k={k} must be greater than 0")
    request = {
        "k": k, "hermitian": hermitian, "which": which, "normalization": normalization, "ncv": ncv, "maxiter": maxiter,
        "tol": tol, "Minv": plain_operator(Minv, "Minv"), "OPinv": plain_operator(OPinv, "OPinv"),
    }  # fmt: skip
    problem = Problem(
        codes, counts, n, min(k, n), dtype, hermitian, _recall, normalization, "subspace", options,
        tuple(request.items()), sigma is not None, not hermitian,
    )  # fmt: skip
    aside, start = scalar(sigma, "sigma"), start_vector(v0, rng, n, dtype)
    H, X, units, token = solve_p.bind(*stopped([*consts, aside, start]), problem=problem)
    H, X = attach(problem, consts, (H, X, aside, units, token))
    return Subspace(X, H)


def attach_subspace(
    A: Any,
    X: Any,
    H: Any = None,
    *,
    M: Any = None,
    hermitian: bool = False,
    sigma: Any = None,
    OPinv: Any = None,
    normalization: str | None = None,
    rtol: float | None = None,
    adjoint: Adjoint | None = None,
) -> Subspace:
    """Make an invariant subspace A X = M X H, computed by any means, differentiable.

    Parameters
    ----------
    A, M : dense array, `LinearOperator`, `csr_array`, BCOO, BCSR, SciPy sparse or lineax operator
        Shape (n, n); any of them may depend on traced values. M defaults to the identity.
    X : array, shape (n, k)
        A basis, XᴴMX = I or XᴴX = I; what it depends on is not looked at.
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
        The values that were given; complex unless ``hermitian`` and all is real.

    Raises
    ------
    ValueError
        Wrong shapes, NaN or infinity, no invariant subspace, a basis that is not normalised, an operator that is not
        Hermitian though it was said to be, a wrong adjoint.
    AdjointNoConvergence, DefectiveEigenvalueError
        From a derivative.

    Warns
    -----
    GaugeWarning, DegeneracyWarning
        From a derivative, as for `invariant_subspace`.

    Derivative
    ----------
    As of `invariant_subspace`.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> import numpy as np
    >>> import krylov_adj.jax as kj
    >>> A0 = jnp.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]])  # a Jordan block
    >>> E = jnp.zeros((3, 3)).at[1, 0].set(1.0)
    >>> def f(p):
    ...     X, H = kj.attach_subspace(A0 + p * E, np.eye(3)[:, :2])
    ...     return jnp.real(jnp.trace(H @ H))
    >>> print(round(float(jax.grad(f)(0.0)), 4))  # w = 1 ± √p, the sum of squares is 2 + 2 p
    2.0
    """
    options = check_options(adjoint)
    codes, counts, consts, dtype = read_pencil(A, M)
    X, n = jnp.asarray(X), codes[0].shape[0]
    H = jnp.zeros((0, 0)) if H is None else jnp.asarray(H)
    check_basis(n, X.shape, H.shape if H.size else None)
    normalization = check_basis_normalisation(normalization, M is not None, hermitian)
    whole = np.result_type(dtype, X.dtype, np.float32, *([H.dtype] if H.size else []))
    in_complex = whole.kind == "c" and dtype.kind != "c" and not hermitian
    in_complex |= whole.kind != "c" and not hermitian
    request = () if OPinv is None else (("OPinv", plain_operator(OPinv, "OPinv")),)
    problem = Problem(
        codes, counts, n, X.shape[1], dtype if in_complex else whole, hermitian, _recall, normalization, "subspace",
        options, request, sigma is not None, in_complex,
    )  # fmt: skip
    rtol = Precision.of(problem.X_dtype).half if rtol is None else float(rtol)
    aside = scalar(sigma, "sigma")
    given = [H.astype(problem.X_dtype), X.astype(problem.X_dtype), aside]
    H, X, units, token = accept_p.bind(*stopped([*consts, *given]), problem=problem, rtol=rtol)
    H, X = attach(problem, consts, (H, X, aside, units, token))
    return Subspace(X, H)
