"""PyTorch: the phase convention of eigenvectors."""

from __future__ import annotations

from typing import Any

import torch

from .contraction import one_by_one
from .namespace import xp

__all__ = ["canonical_phase"]


def canonical_phase(X: Any, index: int | None = None) -> Any:
    """Eigenvectors with their arbitrary phase (sign, where real) fixed.

    Parameters
    ----------
    X : tensor, shape (n, k) or (n,)
        Eigenvectors in columns.
    index : int, optional
        The row that is made real and positive in every column. Default the entry of largest modulus of each column.

    Returns
    -------
    tensor, shape of X

    Raises
    ------
    ValueError
        Where the entry that is to be made positive is zero.

    Derivative
    ----------
    Differentiable to any order. Which entry is the largest is taken as constant.

    Examples
    --------
    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> print(kt.canonical_phase(torch.tensor([[0.6, -0.6], [-0.8, 0.8]])))
    tensor([[-0.6000, -0.6000],
            [ 0.8000,  0.8000]])
    """
    if X.ndim == 1:
        return canonical_phase(X[:, None], index)[:, 0]
    pivot = X.gather(0, PivotRows.apply(X.detach(), index))  # (1, k)
    return X * (xp.conj(pivot) / torch.abs(pivot) if X.is_complex() else torch.sign(pivot.detach()))


class PivotRows(torch.autograd.Function):
    """The rows (1, k) that are made positive, by values."""

    @staticmethod
    def forward(X: Any, index: int | None) -> Any:
        rows = torch.argmax(torch.abs(X), 0, keepdim=True)
        rows = rows if index is None else torch.full_like(rows, index % X.shape[0])
        zero = torch.nonzero(X.gather(0, rows)[0] == 0)[:, 0].tolist()
        if zero:
            entries = rows[0, zero].tolist()
            raise ValueError(f"entries {entries} of columns {zero} are zero and have no phase")
        return rows

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(PivotRows, info, in_dims, arguments)
