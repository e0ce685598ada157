"""Functions of small Hermitian matrices for JAX, right at any gap between eigenvalues, to any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..perturbation.spectral_values import Form, check_hermitian, check_values
from ..report.spectral_messages import function_is_not_elementwise, function_is_traced
from .spectral_maps import Elementwise, look, map_p, trace_p

__all__ = ["softmax_eigenvalue", "spectral_function", "spectral_sum"]

#: F(x, *args), elementwise.
Function = Callable[..., Any]


def spectral_function(F: Function, H: Any, *args: Any) -> Any:
    """F(H) = Q diag F(w) Qᴴ of a small Hermitian matrix H = Q diag(w) Qᴴ, differentiable wherever F is.

    Parameters
    ----------
    F : callable
        F(x, ``*args``), elementwise in the array x of H's eigenvalues (float64 with JAX's x64, else float32), written
        with `jax.numpy`. Real or complex. It must be differentiable, as often as it is asked for, at the eigenvalues
        of H; in between it may be anything. What it depends on must be passed in ``args``.
    H : array, shape (k, k)
        Real symmetric or complex Hermitian. May be traced. All of its eigenvectors are computed: k is to be small.
    *args : scalars
        Real or complex.

    Returns
    -------
    array, shape (k, k)
        In H's precision; complex where H or F is. All is computed in double precision, where JAX has it.

    Raises
    ------
    ValueError
        H is not square, not Hermitian (half of the digits have to agree), or not finite; F is not finite at an
        eigenvalue, or not elementwise. Out of a compiled program as `jax.errors.JaxRuntimeError`, see `errors`.
    TypeError
        F reads a traced array from its closure; ``args`` are not scalars.

    Derivative
    ----------
    With respect to H (its Hermitian part) and ``args``, of any order, forward and reverse: Daleckii and Krein's formula
    with divided differences F[wᵢ, wⱼ] that keep their digits at any gap between eigenvalues, zero included. Nothing is
    divided by a gap where that would lose digits, and no eigenvalues count as equal by a tolerance. Second derivatives
    need F″, and so on; where such a derivative is not finite, results are NaN. With a complex argument, F must be
    holomorphic in it. Under vmap one example after the other.

    Functions of H that is not Hermitian are not supported.

    References
    ----------
    Higham, Functions of Matrices, SIAM 2008, chapter 3. docs/derivation.md has the divided differences.

    Examples
    --------
    The occupation of levels at the temperature T, with the derivative by T, at a double eigenvalue:

    >>> import jax, jax.numpy as jnp
    >>> import krylov_adj.jax as kj
    >>> def occupation(x, T):
    ...     return 0.5 * (1 - jnp.tanh(x / (2 * T)))
    >>> H = jnp.array([[1.0, 0.0, 0.2], [0.0, 1.0, 0.0], [0.2, 0.0, -1.0]])
    >>> f = lambda T: kj.spectral_function(occupation, H, T)[0, 0]
    >>> print(round(float(f(0.5)), 4), round(float(jax.jit(jax.grad(f))(0.5)), 4))
    0.1226 0.4074
    """
    form, H, scalars = _read(F, H, args, "spectral_function")
    return map_p.bind(H, *scalars, form=form)[0]


def spectral_sum(F: Function, H: Any, *args: Any) -> Any:
    """tr F(H) = Σ F(wᵢ) of a small Hermitian matrix, differentiable wherever F is.

    Parameters
    ----------
    F : callable
        F(x, ``*args``), elementwise, as for `spectral_function`.
    H : array, shape (k, k)
        Real symmetric or complex Hermitian.
    *args : scalars
        Real or complex.

    Returns
    -------
    scalar
        Real where F is.

    Raises
    ------
    ValueError, TypeError
        As `spectral_function`.

    Derivative
    ----------
    With respect to H (its Hermitian part) and ``args``, of any order, forward and reverse, at any gap between
    eigenvalues. The first needs no divided difference: dΣ = tr F′(H) dH.

    References
    ----------
    As for `spectral_function`.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> import krylov_adj.jax as kj
    >>> H = jnp.array([[2.0, 1.0], [1.0, 2.0]])
    >>> g = jax.grad(lambda H: kj.spectral_sum(jnp.log, H))(H)
    >>> print(bool(jnp.allclose(g, jnp.linalg.inv(H), atol=1e-5)))
    True
    """
    form, H, scalars = _read(F, H, args, "spectral_sum")
    return trace_p.bind(H, *scalars, form=form)[0]


def softmax_eigenvalue(H: Any, beta: Any, which: str = "largest") -> Any:
    """A smooth largest (or smallest) eigenvalue of a small Hermitian matrix: log tr exp(βH) / β.

    Parameters
    ----------
    H : array, shape (k, k)
        Real symmetric or complex Hermitian.
    beta : scalar
        Positive, in units of one over H. The larger, the closer to the eigenvalue, and the larger the second
        derivatives, up to β times the square of the first.
    which : {"largest", "smallest"}
        For the smallest, −log tr exp(−βH) / β.

    Returns
    -------
    scalar
        Between λmax and λmax + log(k)/β, or between λmin − log(k)/β and λmin. It does not overflow.

    Raises
    ------
    ValueError
        H is not square, not Hermitian, or not finite; β is not positive; another ``which``.
    TypeError
        β is not a scalar.

    Derivative
    ----------
    With respect to H (its Hermitian part) and β, of any order, forward and reverse, at any gap between eigenvalues. The
    gradient by H is the mean of the eigenprojectors with the weights exp(βw), a density matrix.

    References
    ----------
    Nesterov, Math. Program. 110 (2007) 245.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> import krylov_adj.jax as kj
    >>> H = jnp.diag(jnp.array([1.0, 3.0, 3.0]))
    >>> print(jax.grad(kj.softmax_eigenvalue)(H, 20.0).diagonal().round(5))
    [0.  0.5 0.5]
    """
    if which not in ("largest", "smallest"):
        raise ValueError(f"which must be 'largest' or 'smallest', not {which!r}")
    if which == "smallest":
        return -softmax_eigenvalue(-jnp.asarray(H), beta)
    H, (beta,) = _hermitian_part(H), _check_scalars((beta,))
    beta = look(_check_beta, beta, beta)
    top = _eigenvalues(H)[-1]  # of no influence on the value or any derivative, but for overflow
    avals = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (top[None], beta, top)]
    total = trace_p.bind(H, beta, top, form=Form(Elementwise(_exponential, tuple(avals)), 0, 2))[0]
    return top.astype(total.dtype) + jnp.log(total) / beta


def _exponential(x: Any, beta: Any, top: Any) -> Any:
    return jnp.exp(beta * (x - top))


# ---- what is asked for -----------------------------------------------------------------------------


def _check_beta(beta: np.ndarray) -> None:
    if not (np.isrealobj(beta) and 0 < beta < np.inf):
        raise ValueError(f"beta must be positive and finite, not {beta}")


def _check_function(w: np.ndarray, values: np.ndarray, alone: np.ndarray) -> None:
    check_values(np.asarray(w), np.asarray(values), np.asarray(alone))


def _eigenvalues(H: Any) -> Any:
    """Return those of H, rising, as constants."""
    H = jax.lax.stop_gradient(H)
    return jnp.linalg.eigvalsh(H.astype(jax.dtypes.canonicalize_dtype(np.result_type(H.dtype, np.float64))))


def _hermitian_part(H: Any) -> Any:
    H = jnp.asarray(H)
    H = H if jnp.issubdtype(H.dtype, jnp.inexact) else H.astype(jnp.result_type(float))
    if H.ndim != 2 or H.shape[0] != H.shape[1] or not H.size:
        raise ValueError(f"H must be a square matrix, not of shape {H.shape}")
    H = look(check_hermitian, H, H)
    return 0.5 * (H + jnp.conj(H).T)


def _read(F: Function, H: Any, args: tuple[Any, ...], name: str) -> tuple[Form, Any, tuple[Any, ...]]:
    """Return the form, the Hermitian part of H, and the scalars, after a look at all of them."""
    if not callable(F):
        raise TypeError(f"F must be a function, F(x, *args), not {type(F).__name__}")
    H, scalars = _hermitian_part(H), _check_scalars(args)
    w, plain = _eigenvalues(H), [jax.lax.stop_gradient(a) for a in scalars]
    function = Elementwise(F, tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (w, *plain)))
    if function.traced:
        raise TypeError(function_is_traced(name))
    if len(function.results) != 1 or function.results[0][0] not in ((), w.shape):
        seen = [shape for shape, _ in function.results]
        raise ValueError(function_is_not_elementwise(f"it returns the shape {seen[0]} for {w.shape}"))
    alone = jnp.stack([function(w[i : i + 1], *plain)[0] for i in (0, w.size - 1)])
    return Form(function, 0, len(scalars)), look(_check_function, H, w, function(w, *plain), alone), scalars


def _check_scalars(args: tuple[Any, ...]) -> tuple[Any, ...]:
    found = []
    for i, a in enumerate(args):
        if not isinstance(a, int | float | complex | np.number | np.ndarray | jax.Array) or np.ndim(a):
            kind = f"shape {np.shape(a)}" if np.ndim(a) else type(a).__name__
            raise TypeError(f"args must be scalars, and number {i} is not: {kind}. Pass the entries one by one")
        x = jnp.asarray(a)
        found.append(x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.result_type(float)))
    return tuple(found)
