"""autograd: functions of small Hermitian matrices, right at any gap between eigenvalues, to any order.

`spectral_map` is the primitive: D_m(H; E₁ … E_m) of `perturbation/functions.py`, whose derivatives in both modes are
maps D of the next order, of F or of its derivatives by its scalar arguments. autograd differentiates F by forward mode,
inside of the primitive, on plain numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd.extend import defjvp_argnum, defvjp_argnum, primitive

from ..krylov.precision import Precision
from ..krylov.small import eigh, norm
from ..krylov.space import WHOLE
from ..perturbation.functions import divided_differences, multilinear_map
from ..report.spectral_messages import (
    function_is_not_elementwise,
    function_is_not_finite,
    function_is_traced,
    not_hermitian,
)
from .trace import UNTRACED, derivative, is_box, levels, strip

__all__ = ["hermitian_part", "softmax_eigenvalue", "spectral_function", "spectral_sum"]

#: F(x, *args), elementwise.
Function = Callable[..., Any]


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
    N. J. Higham, Functions of Matrices, SIAM 2008, chapter 3. docs/derivation.md has the divided differences.

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
    Y. Nesterov, Smoothing technique and its applications in semidefinite optimization, Math. Program. 110 (2007) 245.

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
    top = float(_eigh(strip(H))[0][-1])  # of no influence on the value or any derivative, but for overflow
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
    if values.ndim != 2 or values.shape[0] != values.shape[1] or not values.size:
        raise ValueError(f"H must be a square matrix, not of shape {values.shape}")
    if not np.all(np.isfinite(values)):
        raise ValueError("H holds NaN or infinity")
    size, difference = norm(values), norm(values - values.conj().T)
    if difference > Precision.of(np.result_type(values, np.float32)).half * size:
        raise ValueError(not_hermitian(difference / size))
    H = H if is_box(H) else values
    return 0.5 * (H + anp.conj(anp.transpose(H)))


def _check(F: Function, H: Any, args: tuple[Any, ...], name: str) -> tuple[Any, tuple[Any, ...]]:
    """Return the Hermitian part of H and the scalars, where F is elementwise."""
    if not callable(F):
        raise TypeError(f"F must be a function, F(x, *args), not {type(F).__name__}")
    H, scalars = hermitian_part(H), _check_scalars(args)
    plain = [strip(a) for a in scalars]
    w = _eigh(strip(H))[0]
    with np.errstate(all="ignore"):
        y = F(w, *plain)
        if is_box(y):
            raise TypeError(function_is_traced(name))
        values = _values(y, w)
        alone = [_values(F(w[i : i + 1], *plain), w[i : i + 1])[0] for i in (0, -1 % w.size)]
    bad = ~np.isfinite(values)
    if bad.any():
        raise ValueError(function_is_not_finite(0, w[bad]))
    difference = np.max(np.abs(np.array(alone) - values[[0, -1]]))
    if not difference <= Precision.of(np.float64).half * np.max(np.abs(values)):
        raise ValueError(function_is_not_elementwise(f"F(x)[i] and F(x[i]) differ by {difference:.1e}"))
    return H, scalars


def _check_scalars(args: tuple[Any, ...]) -> tuple[Any, ...]:
    for i, a in enumerate(args):
        if not isinstance(strip(a), int | float | complex | np.number | np.ndarray) or np.ndim(strip(a)):
            kind = f"shape {np.shape(a)}" if np.ndim(strip(a)) else type(strip(a)).__name__
            raise TypeError(f"args must be scalars, and number {i} is not: {kind}. Pass the entries one by one")
    arrays = [a if is_box(a) else np.asarray(a) for a in args]
    return tuple(a if is_box(a) else a.astype(np.result_type(a.dtype, np.float32))[()] for a in arrays)


def _values(y: Any, x: np.ndarray) -> np.ndarray:
    """Return what F returns at x, broadcast: constants serve."""
    if np.shape(y) not in ((), np.shape(x)):
        raise ValueError(function_is_not_elementwise(f"it returns the shape {np.shape(y)} for {np.shape(x)}"))
    return np.asarray(np.broadcast_to(y, np.shape(x)))


def _eigh(H: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues, rising, and eigenvectors in double precision."""
    return eigh(WHOLE, H.astype(np.result_type(H, np.float64)))


# --------------------------------------------------------------------------------------------
# Derivatives of F.
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Form:
    """Which map: of F(x, a₁ … a_q), with m matrices E."""

    F: Function
    order: int
    scalars: int

    def split(self, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return (E₁ … E_m) and (a₁ … a_q) of what follows H."""
        return args[: self.order], args[self.order : self.order + self.scalars]

    def derivatives(self, scalars: tuple[Any, ...]) -> Callable[[int, np.ndarray], np.ndarray]:
        """Return (m, x) ↦ F⁽ᵐ⁾(x)."""

        def evaluate(m: int, x: np.ndarray) -> np.ndarray:
            function = partial(_with_scalars, self.F, scalars)
            for _ in range(m):
                function = partial(_slope, function)
            with np.errstate(all="ignore"):
                return _values(function(x), x)

        return evaluate

    def by_argument(self, j: int) -> Form:
        """Return the map of ∂F/∂aⱼ."""
        return Form(partial(_slope_of_argument, self.F, j), self.order, self.scalars)

    def by_x(self) -> Form:
        """Return the map of F′."""
        return Form(partial(_slope_of_x, self.F), self.order, self.scalars)

    def next_order(self) -> Form:
        """Return the map with one matrix more."""
        return Form(self.F, self.order + 1, self.scalars)


def _with_scalars(F: Function, scalars: tuple[Any, ...], x: Any) -> Any:
    return F(x, *scalars)


def _slope(function: Callable[[Any], Any], x: Any) -> Any:
    return derivative(function, x, max(levels(x), default=UNTRACED))


def _slope_of_x(F: Function, x: Any, *scalars: Any) -> Any:
    return derivative(lambda y: F(y, *scalars), x, max(levels(x, *scalars), default=UNTRACED))


def _slope_of_argument(F: Function, j: int, x: Any, *scalars: Any) -> Any:
    def function(a: Any) -> Any:
        return F(x, *scalars[:j], a, *scalars[j + 1 :])

    return derivative(function, scalars[j], max(levels(x, *scalars), default=UNTRACED))


# --------------------------------------------------------------------------------------------
# The primitives.
# --------------------------------------------------------------------------------------------


@primitive
def spectral_map(H: Any, *rest: Any) -> Any:
    """D_m(H; E₁ … E_m), ``rest`` being E₁ … E_m, a₁ … a_q and the `Form`."""
    form: Form = rest[-1]
    blocks, scalars = form.split(rest)
    w, Q = _eigh(H)
    with np.errstate(all="ignore"):
        table = divided_differences(form.derivatives(scalars), w, form.order)
    bad = ~np.isfinite(table)
    if bad.any():
        raise ValueError(function_is_not_finite(form.order, w[np.unique(np.argwhere(bad))]))
    result = multilinear_map(table, Q, list(blocks))
    dtype = np.result_type(H, *blocks)
    return result.astype(np.result_type(dtype, np.complex64) if np.iscomplexobj(result) else dtype)


def _like(x: Any, g: Any) -> Any:
    return g if np.iscomplexobj(strip(x)) else anp.real(g)


def _map_vjp(argnum: int, ans: Any, args: tuple[Any, ...], kwargs: Any) -> Callable[[Any], Any]:
    """df = Re Σ g dD = Re tr(gᵀ dD): the trace identity."""
    H, form = args[0], args[-1]
    E, a = form.split(args[1:])
    p = argnum - 1

    def by_matrix(g: Any) -> Any:
        G, longer = anp.transpose(g), form.next_order()
        terms = [spectral_map(H, *E[i:], G, *E[:i], *a, longer) for i in range(form.order + 1)]
        return _like(H, anp.transpose(sum(terms[1:], terms[0])))

    def by_block(g: Any) -> Any:
        return _like(E[p], anp.transpose(spectral_map(H, *E[p + 1 :], anp.transpose(g), *E[:p], *a, form)))

    def by_scalar(g: Any) -> Any:
        j = p - form.order
        return _like(a[j], anp.sum(g * spectral_map(H, *E, *a, form.by_argument(j))))

    return by_matrix if argnum == 0 else by_block if p < form.order else by_scalar


def _map_jvp(argnum: int, g: Any, ans: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
    H, form = args[0], args[-1]
    E, a = form.split(args[1:])
    p = argnum - 1
    if argnum == 0:
        terms = [spectral_map(H, *E[:i], g, *E[i:], *a, form.next_order()) for i in range(form.order + 1)]
        return sum(terms[1:], terms[0])
    if p < form.order:
        return spectral_map(H, *E[:p], g, *E[p + 1 :], *a, form)
    return g * spectral_map(H, *E, *a, form.by_argument(p - form.order))


@primitive
def spectral_trace(H: Any, *rest: Any) -> Any:
    """Σ F(wᵢ), ``rest`` being a₁ … a_q and the `Form`. To sum them makes fewer roundings than the trace of F(H)."""
    form: Form = rest[-1]
    w, _ = _eigh(H)
    values = form.derivatives(form.split(rest)[1])(0, w)
    if not np.all(np.isfinite(values)):
        raise ValueError(function_is_not_finite(0, w[~np.isfinite(values)]))
    total, real = np.sum(values), np.real(np.zeros(0, H.dtype)).dtype
    return total.astype(np.result_type(real, np.complex64) if np.iscomplexobj(total) else real)


def _trace_vjp(argnum: int, ans: Any, args: tuple[Any, ...], kwargs: Any) -> Callable[[Any], Any]:
    H, form = args[0], args[-1]
    a = form.split(args[1:])[1]
    if argnum == 0:
        return lambda g: _like(H, g * anp.transpose(spectral_map(H, *a, form.by_x())))
    return lambda g: _like(a[argnum - 1], g * spectral_trace(H, *a, form.by_argument(argnum - 1)))


def _trace_jvp(argnum: int, g: Any, ans: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
    H, form = args[0], args[-1]
    a = form.split(args[1:])[1]
    if argnum == 0:
        return _like(ans, anp.sum(anp.transpose(spectral_map(H, *a, form.by_x())) * g))
    return g * spectral_trace(H, *a, form.by_argument(argnum - 1))


defvjp_argnum(spectral_map, _map_vjp)
defjvp_argnum(spectral_map, _map_jvp)
defvjp_argnum(spectral_trace, _trace_vjp)
defjvp_argnum(spectral_trace, _trace_jvp)
