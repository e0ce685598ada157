"""Differentiable eigenpairs of nonlinear eigenproblems, for JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..forward.solve import solve_nonlinear
from ..options import Adjoint
from ..perturbation.derivatives import Maps
from .arguments import check_options
from .codes import apply
from .derivatives import attach, units_of
from .host import Host, keep
from .primitives import make_host_primitive, stopped
from .problems import At, Problem, point_shapes
from .reading import closure_code, read, read_function

__all__ = ["attach_nonlinear"]

Array = np.ndarray


def _run_nonlinear(host: Host, w: Array, X: Array, slope: Array) -> list[Array]:
    if not (np.all(np.isfinite(w)) and np.all(np.isfinite(X))):
        raise ValueError("lam or x holds NaN or infinity")
    if not slope.any():
        raise ValueError("T(lam) x does not depend on lam at the eigenpair: lam is no simple eigenvalue")
    maps = solve_nonlinear(host.A, w[0], X[:, 0], slope[:, 0], host.problem.options)
    return [w, X, units_of(maps), keep(maps)]


def _recall(host: Host, w: Array, X: Array, slope: Array) -> Maps:
    return solve_nonlinear(host.A, w[0], X[:, 0], slope[:, 0], host.problem.options)


nonlinear_p = make_host_primitive("krylov_adj_nonlinear", _run_nonlinear, lambda problem, *avals: point_shapes(problem))


def attach_nonlinear(T: Callable[[Any], Any], lam: Any, x: Any, *, adjoint: Adjoint | None = None) -> tuple[Any, Any]:
    """Make eigenpairs of a nonlinear eigenproblem T(λ) x = 0, computed by any means, differentiable.

    Parameters
    ----------
    T : callable
        ``T(lam)`` is the operator at a scalar λ: a dense array or anything that `eigs` takes, of shape (n, n); analytic
        in λ, written with `jax.numpy`. Everything else that it reads may be traced.
    lam : scalar or array, shape (k,)
        Simple eigenvalues.
    x : array, shape (n,) or (n, k)
        Right eigenvectors of unit 2-norm, in columns.
    adjoint : Adjoint, optional
        How derivatives are computed; T(λ) has no matrix on the host.

    Returns
    -------
    lam, x
        The values that were given, as functions of what T reads.

    Raises
    ------
    ValueError
        Wrong shapes, NaN or infinity, pairs that do not satisfy T(λ) x = 0, vectors not normalised, a T that does not
        depend on λ.
    AdjointNoConvergence
        From a derivative.

    Warns
    -----
    GaugeWarning
        From a derivative, where the loss depends on the phase of an eigenvector.

    Derivative
    ----------
    Of λ and x, in the gauge Im xᴴdx = 0, with respect to everything that T reads besides λ; to any order, forward and
    reverse. From T dx + T′x dλ = −dT x; dT/dλ is JAX's. Each pair is treated by itself.

    Examples
    --------
    A damped oscillator λ² + c λ + 4 = 0, dλ/dc = −λ / (2λ + c):

    >>> import jax, jax.numpy as jnp
    >>> import numpy as np
    >>> import krylov_adj.jax as kj
    >>> root = -0.5 + 1j * np.sqrt(3.75)  # at c = 1
    >>> def decay(c):
    ...     lam, x = kj.attach_nonlinear(lambda lam: jnp.reshape(lam**2 + c * lam + 4.0, (1, 1)), root, np.ones(1))
    ...     return jnp.real(lam)
    >>> print(round(float(jax.grad(decay)(1.0)), 5))
    -0.5
    """
    options = check_options(adjoint)
    lam, x = (jax.lax.stop_gradient(jnp.asarray(value)) for value in (lam, x))
    several = lam.ndim == 1
    if lam.ndim > 1 or x.ndim != 1 + lam.ndim or x.shape[1:] != lam.shape:
        wanted = "lam of shape (k,) and x of shape (n, k)" if several else "a scalar lam and x of shape (n,)"
        raise ValueError(f"expected {wanted}, got {lam.shape} and {x.shape}")
    if several:
        pairs = [attach_nonlinear(T, lam[i], x[:, i], adjoint=adjoint) for i in range(lam.size)]
        return jnp.stack([pair[0] for pair in pairs]), jnp.stack([pair[1] for pair in pairs], axis=1)
    n = x.shape[0]

    def image(lam: Any, v: Any) -> Any:
        code, operands = read(T(lam), "T(lam)")
        if code.shape != (n, n):
            raise ValueError(f"T(lam) has shape {code.shape}, x has {n} entries")
        return apply(code, operands, v[:, None])[:, 0]

    dtype = np.result_type(lam.dtype, x.dtype, np.float32)
    for _ in range(2):  # T(lam) of real numbers may be complex
        avals = jax.ShapeDtypeStruct((), dtype), jax.ShapeDtypeStruct((n,), dtype)
        closed = read_function(image, avals)
        dtype = np.result_type(dtype, closed.out_avals[0].dtype)
    code, consts = closure_code(closed, None, (n, n), dtype, 1)
    problem = Problem((code,), (len(consts),), n, 1, dtype, False, _recall, "2", "nonlinear", options)
    w, X = lam.astype(dtype).reshape(1), x.astype(dtype).reshape(n, 1)
    one = jnp.ones((), X.real.dtype)
    slope = At(problem, stopped(consts), w, X, one, one).slope(X)
    w, X, units, token = nonlinear_p.bind(*stopped([*consts, w, X, slope]), problem=problem)
    w, X = attach(problem, consts, (w, X, stopped([slope])[0], units, token))
    return w[0], X[:, 0]
