"""PyTorch: functions of small Hermitian matrices, right at any gap between eigenvalues, to any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..perturbation.spectral_values import Form, eigh_in_double
from ..report.spectral_messages import function_is_traced
from .layers import is_active, is_batched, plain_values, refuse_transforms
from .namespace import NUMPY_TYPES, to_tensor
from .operators import check_dtype
from .spectral_maps import HermitianPart, SpectralMap, SpectralTrace, Top

__all__ = ["softmax_eigenvalue", "spectral_function", "spectral_sum"]

#: F(x, *args), elementwise.
Function = Callable[..., Any]


@torch.compiler.disable
def spectral_function(F: Function, H: Any, *args: Any) -> Any:
    """F(H) = Q diag F(w) Qᴴ of a small Hermitian matrix H = Q diag(w) Qᴴ, differentiable wherever F is.

    Parameters
    ----------
    F : callable
        F(x, ``*args``), elementwise in the tensor x of H's eigenvalues (float64), written with `torch`. Real or
        complex. It must be differentiable, as often as it is asked for, at the eigenvalues of H; in between it may be
        anything. What it depends on must be passed in ``args``.
    H : tensor, shape (k, k)
        Real symmetric or complex Hermitian. All of its eigenvectors are computed, on the host: k is to be small.
    *args : numbers, or tensors without dimensions
        Real or complex.

    Returns
    -------
    tensor, shape (k, k)
        In H's precision; complex where H or F is. All is computed in double precision.

    Raises
    ------
    ValueError
        H is not square, not Hermitian (half of the digits have to agree), or not finite; F, or a derivative of F that
        is needed, is not finite at an eigenvalue; F is not elementwise.
    TypeError
        F reads a tensor with derivatives from its closure; ``args`` are not scalars.
    NotImplementedError
        As `eigsh`: forward mode inside of forward mode, `make_fx`, `torch.export`.

    Derivative
    ----------
    With respect to H (its Hermitian part) and ``args``, of any order, forward and reverse: Daleckii and Krein's formula
    with divided differences F[wᵢ, wⱼ] that keep their digits at any gap between eigenvalues, zero included. Nothing is
    divided by a gap where that would lose digits, and no eigenvalues count as equal by a tolerance. Second derivatives
    need F″, and so on. With a complex argument, F must be holomorphic in it. Under vmap one example after the other.

    Functions of H that is not Hermitian are not supported.

    References
    ----------
    Higham, Functions of Matrices, SIAM 2008, chapter 3. docs/derivation.md has the divided differences.

    Examples
    --------
    The occupation of levels at the temperature T, with the derivative by T, at a double eigenvalue:

    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> def occupation(x, T):
    ...     return 0.5 * (1 - torch.tanh(x / (2 * T)))
    >>> H = torch.tensor([[1.0, 0.0, 0.2], [0.0, 1.0, 0.0], [0.2, 0.0, -1.0]], dtype=torch.float64)
    >>> T = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    >>> f = kt.spectral_function(occupation, H, T)[0, 0]
    >>> f.backward()
    >>> print(round(f.item(), 6), round(T.grad.item(), 6))
    0.122581 0.407429
    """
    form, H, scalars = _read(F, H, args, "spectral_function")
    return SpectralMap.apply(form, H, *scalars)


@torch.compiler.disable
def spectral_sum(F: Function, H: Any, *args: Any) -> Any:
    """tr F(H) = Σ F(wᵢ) of a small Hermitian matrix, differentiable wherever F is.

    Parameters
    ----------
    F : callable
        F(x, ``*args``), elementwise, as for `spectral_function`.
    H : tensor, shape (k, k)
        Real symmetric or complex Hermitian.
    *args : numbers, or tensors without dimensions
        Real or complex.

    Returns
    -------
    tensor without dimensions
        Real where F is.

    Raises
    ------
    ValueError, TypeError, NotImplementedError
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
    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> H = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    >>> kt.spectral_sum(torch.log, H).backward()
    >>> print(torch.allclose(H.grad, torch.linalg.inv(H)))
    True
    """
    form, H, scalars = _read(F, H, args, "spectral_sum")
    return SpectralTrace.apply(form, H, *scalars)


@torch.compiler.disable
def softmax_eigenvalue(H: Any, beta: Any, which: str = "largest") -> Any:
    """A smooth largest (or smallest) eigenvalue of a small Hermitian matrix: log tr exp(βH) / β.

    Parameters
    ----------
    H : tensor, shape (k, k)
        Real symmetric or complex Hermitian.
    beta : number, or tensor without dimensions
        Positive, in units of one over H. The larger, the closer to the eigenvalue, and the larger the second
        derivatives, up to β times the square of the first.
    which : {"largest", "smallest"}
        For the smallest, −log tr exp(−βH) / β.

    Returns
    -------
    tensor without dimensions
        Between λmax and λmax + log(k)/β, or between λmin − log(k)/β and λmin. It does not overflow.

    Raises
    ------
    ValueError
        H is not square, not Hermitian, or not finite; β is not positive; another ``which``.
    TypeError
        β is not a scalar.
    NotImplementedError
        As `spectral_function`.

    Derivative
    ----------
    With respect to H (its Hermitian part) and β, of any order, forward and reverse, at any gap between eigenvalues. The
    gradient by H is the mean of the eigenprojectors with the weights exp(βw), a density matrix.

    References
    ----------
    Nesterov, Math. Program. 110 (2007) 245.

    Examples
    --------
    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> H = torch.diag(torch.tensor([1.0, 3.0, 3.0], dtype=torch.float64)).requires_grad_()
    >>> kt.softmax_eigenvalue(H, 20.0).backward()
    >>> print(H.grad.diagonal().round(decimals=6))
    tensor([0.0000, 0.5000, 0.5000], dtype=torch.float64)
    """
    refuse_transforms("softmax_eigenvalue")
    if which not in ("largest", "smallest"):
        raise ValueError(f"which must be 'largest' or 'smallest', not {which!r}")
    if which == "smallest":
        return -softmax_eigenvalue(-_matrix(H), beta)
    H, (beta,) = HermitianPart.apply(None, _matrix(H)), _check_scalars((beta,))
    top = Top.apply(H, beta)  # of no influence on the value or any derivative, but for overflow
    total = SpectralTrace.apply(Form(_exponential, 0, 2), H, beta, top)
    return top.to(total.dtype) + torch.log(total) / beta


def _exponential(x: Any, beta: Any, top: Any) -> Any:
    return torch.exp(beta * (x - top))


# ---- what is asked for -----------------------------------------------------------------------------


def _matrix(H: Any) -> Any:
    if isinstance(H, torch.Tensor):
        return H.to(check_dtype(H.dtype, "H"))
    H = np.asarray(H)
    return to_tensor(H.astype(np.result_type(H, np.float32)))


def _read(F: Function, H: Any, args: tuple[Any, ...], name: str) -> tuple[Form, Any, tuple[Any, ...]]:
    """Return the form, the Hermitian part of H, and the scalars, after a look at all of them."""
    refuse_transforms(name)
    if not callable(F):
        raise TypeError(f"F must be a function, F(x, *args), not {type(F).__name__}")
    H, scalars = _matrix(H), _check_scalars(args)
    form = Form(F, 0, len(scalars))
    part = HermitianPart.apply(form, H, *[a.detach() for a in scalars])
    x = torch.from_numpy(np.zeros(2) if is_batched(H) else eigh_in_double(plain_values(part))[0])
    plain = [torch.ones((), dtype=a.dtype) if is_batched(a) else torch.from_numpy(plain_values(a)) for a in scalars]
    if is_active(torch.as_tensor(F(x, *plain))):
        raise TypeError(function_is_traced(name))
    return form, part, scalars


def _check_scalars(args: tuple[Any, ...]) -> tuple[Any, ...]:
    found = []
    for i, a in enumerate(args):
        if not isinstance(a, int | float | complex | np.number | np.ndarray | torch.Tensor) or np.ndim(a):
            kind = f"shape {tuple(np.shape(a))}" if np.ndim(a) else type(a).__name__
            raise TypeError(f"args must be scalars, and number {i} is not: {kind}. Pass the entries one by one")
        t = a if isinstance(a, torch.Tensor) else to_tensor(np.asarray(a))
        found.append(t if t.dtype in NUMPY_TYPES else t.to(torch.float64))
    return tuple(found)
