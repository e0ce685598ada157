"""The phase convention of eigenvectors, for JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["canonical_phase"]


def canonical_phase(X: Any, index: int | None = None) -> Any:
    """Eigenvectors with their arbitrary phase (sign, where real) fixed.

    Parameters
    ----------
    X : array, shape (n, k) or (n,)
        Eigenvectors in columns; may be traced.
    index : int, optional
        The row that is made real and positive in every column. Default the entry of largest modulus of each column.

    Returns
    -------
    array, shape of X

    Raises
    ------
    ValueError
        Where X has other than one or two dimensions. An entry that is zero and to be made positive gives NaN: values
        are not known when a program is built.

    Derivative
    ----------
    Differentiable to any order. Which entry is the largest is taken as constant: where two are equally large, the
    convention jumps.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import krylov_adj.jax as kj
    >>> print(kj.canonical_phase(jnp.array([[0.6, -0.6], [-0.8, 0.8]])))
    [[-0.6 -0.6]
     [ 0.8  0.8]]
    """
    X = jnp.asarray(X)
    if X.ndim == 1:
        return canonical_phase(X[:, None], index)[:, 0]
    if X.ndim != 2:
        raise ValueError(f"expected X of shape (n, k) or (n,), got {X.shape}")
    columns = jnp.arange(X.shape[1])
    sizes = jnp.abs(jax.lax.stop_gradient(X))
    rows = jnp.argmax(sizes, axis=0) if index is None else jnp.full(columns.shape, index)
    pivot = X[rows, columns]
    if not jnp.iscomplexobj(X):
        pivot = jax.lax.stop_gradient(pivot)
    return X * (jnp.conj(pivot) / jnp.abs(pivot))
