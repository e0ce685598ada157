"""autograd: functions of small Hermitian matrices, right at any gap between eigenvalues, to any order."""

from __future__ import annotations

from typing import Any

import autograd.numpy as anp
import numpy as np

from ..perturbation.spectral_values import check_elementwise, check_hermitian, eigh_in_double
from ..report.spectral_messages import function_is_traced
from .spectral_maps import Form, Function, spectral_map, spectral_trace
from .trace import is_box, strip

__all__ = ["hermitian_part", "softmax_eigenvalue", "spectral_function", "spectral_sum"]


def spectral_function(F: Function, H: Any, *args: Any) -> Any:
    """F(H) = Q diag F(w) Qᴴ of a small Hermitian matrix H = Q diag(w) Qᴴ, differentiable wherever F is.

    Parameters
    ----------
    F : callable
        F(x, ``*args``), elementwise in the array x of H's eigenvalues (float64), written with `autograd.numpy`. Real or
        complex. It must be differentiable, as often as it is asked for, at the eigenvalues of H; in between it may be
        anything. What it depends on must be passed in ``args``.
    H : array, shape (k, k)
        Real symmetric or complex Hermitian; may be traced. All of its eigenvectors are computed: k is to be small.
    *args : scalars
        Real or complex; may be traced.

    Returns
    -------
    array, shape (k, k)
        In H's precision; complex where H or F is. All is computed in double precision.

    Raises
    ------
    ValueError
        H is not square, not Hermitian (half of the digits have to agree), or not finite; F, or a derivative of F that
        is needed, is not finite at an eigenvalue; F is not elementwise.
    TypeError
        F reads a traced parameter from its closure; ``args`` are not scalars.

    Derivative
    ----------
    With respect to H (its Hermitian part) and ``args``, of any order, forward and reverse: Daleckii and Krein's formula
    with divided differences F[wᵢ, wⱼ] that keep their digits at any gap between eigenvalues, zero included. Nothing is
    divided by a gap where that would lose digits, and no eigenvalues count as equal by a tolerance. Second derivatives
    need F″, and so on. With a complex argument, F must be holomorphic in it.

    Functions of H that is not Hermitian are not supported.

    References
    ----------
    Higham, Functions of Matrices, SIAM 2008, chapter 3. docs/derivation.md has the divided differences.

    Examples
    --------
    The occupation of levels at the temperature T, with the derivative by T, at a double eigenvalue:

    >>> import autograd.numpy as np
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> def occupation(x, T):
    ...     return 0.5 * (1 - np.tanh(x / (2 * T)))
    >>> H = np.array([[1.0, 0.0, 0.2], [0.0, 1.0, 0.0], [0.2, 0.0, -1.0]])
    >>> f = lambda T: ka.spectral_function(occupation, H, T)[0, 0]
    >>> print(round(f(0.5), 6), round(grad(f)(0.5), 6))
    0.122581 0.407429
    """
    H, scalars = _check(F, H, args, "spectral_function")
    return spectral_map(H, *scalars, Form(F, 0, len(scalars)))


def spectral_sum(F: Function, H: Any, *args: Any) -> Any:
    """tr F(H) = Σ F(wᵢ) of a small Hermitian matrix, differentiable wherever F is.

    Parameters
    ----------
    F : callable
        F(x, ``*args``), elementwise, as for `spectral_function`.
    H : array, shape (k, k)
        Real symmetric or complex Hermitian; may be traced.
    *args : scalars
        Real or complex; may be traced.

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
    >>> import autograd.numpy as np
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> H = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> print(round(ka.spectral_sum(np.log, H), 12) == round(np.log(3.0), 12))
    True
    >>> print(np.allclose(grad(lambda H: ka.spectral_sum(np.log, H))(H), np.linalg.inv(H)))
    True
    """
    H, scalars = _check(F, H, args, "spectral_sum")
    return spectral_trace(H, *scalars, Form(F, 0, len(scalars)))


def softmax_eigenvalue(H: Any, beta: Any, which: str = "largest") -> Any:
    """A smooth largest (or smallest) eigenvalue of a small Hermitian matrix: log tr exp(βH) / β.

    Parameters
    ----------
    H : array, shape (k, k)
        Real symmetric or complex Hermitian; may be traced.
    beta : float
        Positive, in units of one over H; may be traced. The larger, the closer to the eigenvalue, and the larger the
        second derivatives, up to β times the square of the first.
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
    >>> import autograd.numpy as np
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> H = np.diag([1.0, 3.0, 3.0])
    >>> print(ka.softmax_eigenvalue(H, 1e6) - 3.0 < 1e-6)
    True
    >>> print(grad(ka.softmax_eigenvalue)(H, 20.0).round(6))
    [[0.  0.  0. ]
     [0.  0.5 0. ]
     [0.  0.  0.5]]
    """
    if which not in ("largest", "smallest"):
        raise ValueError(f"which must be 'largest' or 'smallest', not {which!r}")
    if which == "smallest":
        return -softmax_eigenvalue(-H, beta)
    H = hermitian_part(H)
    (beta,) = _check_scalars((beta,))
    if not (np.isrealobj(strip(beta)) and 0 < strip(beta) < np.inf):
        raise ValueError(f"beta must be positive and finite, not {strip(beta)!r}")
    top = float(eigh_in_double(strip(H))[0][-1])  # of no influence on the value or any derivative, but for overflow
    return top + anp.log(spectral_trace(H, beta, Form(lambda x, b: anp.exp(b * (x - top)), 0, 1))) / beta


# --------------------------------------------------------------------------------------------
# What is asked for.
# --------------------------------------------------------------------------------------------


def hermitian_part(H: Any) -> Any:
    """Return ½(H + Hᴴ), traced where H is.

    Raises
    ------
    ValueError
        H is not square, not finite, or differs from its Hermitian part by more than rounding.
    """
    values = np.asarray(strip(H))
    check_hermitian(values)
    H = H if is_box(H) else values
    return 0.5 * (H + anp.conj(anp.transpose(H)))


def _check(F: Function, H: Any, args: tuple[Any, ...], name: str) -> tuple[Any, tuple[Any, ...]]:
    """Return the Hermitian part of H and the scalars, where F is elementwise."""
    if not callable(F):
        raise TypeError(f"F must be a function, F(x, *args), not {type(F).__name__}")
    H, scalars = hermitian_part(H), _check_scalars(args)
    plain = [strip(a) for a in scalars]
    w = eigh_in_double(strip(H))[0]
    with np.errstate(all="ignore"):
        if is_box(F(w, *plain)):
            raise TypeError(function_is_traced(name))
    check_elementwise(lambda x: F(x, *plain), w)
    return H, scalars


def _check_scalars(args: tuple[Any, ...]) -> tuple[Any, ...]:
    for i, a in enumerate(args):
        if not isinstance(strip(a), int | float | complex | np.number | np.ndarray) or np.ndim(strip(a)):
            kind = f"shape {np.shape(a)}" if np.ndim(strip(a)) else type(strip(a)).__name__
            raise TypeError(f"args must be scalars, and number {i} is not: {kind}. Pass the entries one by one")
    arrays = [a if is_box(a) else np.asarray(a) for a in args]
    return tuple(a if is_box(a) else a.astype(np.result_type(a.dtype, np.float32))[()] for a in arrays)
