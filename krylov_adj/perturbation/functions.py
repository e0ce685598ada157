"""F(H) of a small Hermitian H and its derivatives of any order, at any gap between its eigenvalues.

In the eigenbasis of H = Q diag(w) Qᴴ the derivatives are made of the multilinear maps

    D_m(H; E₁ … E_m)_ij = Σ F[w_i, w_a, …, w_j] (E₁)_ia … (E_m)_bj,      D₀ = F(H),

with the divided differences F[w₀ … w_m]. They are closed under differentiation, and under transposition by the trace:

    dD_m = Σ_p D_{m+1}(E₁ … E_p, dH, E_{p+1} … E_m) + Σ_p D_m(… dE_p …),
    tr(G D_m(E₁ … E_m)) = tr(E_p D_m(E_{p+1} … E_m, G, E₁ … E_{p−1})).

A divided difference is had in two ways. The quotient of two of lower order loses digits where points are close, and how
many is known: the noise of F over the distance, order by order. The integral over the B-spline M of the points

    F[x₀ … x_m] = ∫ M(t) F⁽ᵐ⁾(t) dt / m!,      M ≥ 0,   ∫ M = 1                         (Peano's kernel)

loses none, but Gauss's rule may miss a narrow F⁽ᵐ⁾: two rules can miss it both, and agree on nothing. So the integral
counts only where its two rules differ by less than the quotient's error *and* it lies within that error of the
quotient, which then limits the error in any case. No threshold decides which points are close.

F comes as `derivatives`: (m, x) ↦ F⁽ᵐ⁾(x), elementwise, plain. Arrays of any namespace `xp` serve; what depends on
values is chosen by `where`, so that shapes do not.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement
from math import factorial
from string import ascii_letters
from typing import Any

import numpy as np

from ..krylov.precision import NOISE, Precision

__all__ = ["Derivatives", "divided_differences", "multilinear_map"]

Array = Any

#: (m, x) ↦ F⁽ᵐ⁾(x), elementwise.
Derivatives = Callable[[int, Array], Array]

#: Gauss's rules on (−1, 1): of the integral, and a coarse one that tells its error. With twelve nodes an interval as
#: long as F's next singularity is far away is integrated to fourteen digits; where it is longer, quotients are as good.
FINE, COARSE = (np.polynomial.legendre.leggauss(count) for count in (20, 12))

#: Neighbours of x, in ε |x|, by which F's own rounding is measured.
NEIGHBOURS = np.array([-4.0, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0])


def divided_differences(derivatives: Derivatives, w: Array, order: int, xp: Any = np) -> Array:
    """Return F[w_i … w_j] for all indices, shape (k,) · (order + 1), of real w in rising order.

    In the precision of w, which front ends take as double where they can. An entry is not finite where F or the
    derivative that it needs is not.
    """
    k = w.shape[0]
    eps = Precision.of(w.dtype).eps
    table = derivatives(0, w)  # (k,)
    error = eps * xp.abs(table) + (measure_noise(derivatives, w, xp) if order else 0.0)
    for m in range(1, order + 1):
        rows = np.array(list(combinations_with_replacement(range(k), m + 1)))  # (R, m + 1), rising
        values, errors = _next_order(derivatives, w[rows], (table, error), rows, xp)
        # An entry of the symmetric array is that of the row with its indices sorted; rows are in lexical order.
        shape = (k,) * (m + 1)
        entries = np.sort(np.indices(shape).reshape(m + 1, -1), axis=0)
        number = np.searchsorted(
            np.ravel_multi_index(tuple(rows.T), shape), np.ravel_multi_index(tuple(entries), shape)
        )
        table, error = (xp.reshape(a[number], shape) for a in (values, errors))
    return table


def measure_noise(derivatives: Derivatives, w: Array, xp: Any = np) -> Array:
    """Return the rounding of F's values at each w, (k,).

    That of its argument, |x F′(x)| ε, is there even where F vanishes: x³ − x at −1 is a difference of ones. What a
    formula adds (a polynomial that cancels) shows in how far values at neighbours of x are from the tangent.
    """
    eps = Precision.of(w.dtype).eps
    value, slope = derivatives(0, w), _finite(derivatives(1, w), xp)  # (k,)
    near = w + eps * xp.abs(w) * NEIGHBOURS[:, None]  # (neighbours, k)
    off = xp.reshape(derivatives(0, xp.reshape(near, (-1,))), near.shape) - value - slope * (near - w)
    return eps * xp.max(xp.abs(w * slope)) + xp.max(xp.abs(_finite(off, xp)), axis=0)


def _finite(a: Array, xp: Any) -> Array:
    return xp.where(xp.isfinite(a), a, 0.0)


def _next_order(
    derivatives: Derivatives, X: Array, lower: tuple[Array, Array], rows: np.ndarray, xp: Any
) -> tuple[Array, Array]:
    """Return F[x₀ … x_m] of sorted points X (R, m + 1), and their errors, from the table of order m − 1 and its own."""
    eps = Precision.of(X.dtype).eps
    (low, low_error), (high, high_error) = (
        (lower[0][tuple(part.T)], lower[1][tuple(part.T)]) for part in (rows[:, :-1], rows[:, 1:])
    )
    spread = X[:, -1] - X[:, 0]
    apart = spread > 0
    safe = xp.where(apart, spread, 1.0)
    quotient = (high - low) / safe
    bound = (low_error + high_error + eps * (xp.abs(low) + xp.abs(high))) / safe
    bound = xp.where(apart & xp.isfinite(bound), bound, np.inf)
    integral, doubt = _integral(derivatives, X, safe, xp)
    doubt = xp.where(xp.isfinite(doubt), doubt, np.inf)
    # Bounds count each operation as half a digit's rounding; functions do with a few.
    confirmed = xp.where(xp.isfinite(bound), xp.abs(integral - quotient) <= NOISE * bound, True)
    chosen = (doubt < bound) & confirmed
    values = xp.where(chosen, integral, xp.where(apart, quotient, np.nan))
    return values, xp.where(chosen, doubt, bound)


def _integral(derivatives: Derivatives, X: Array, spread: Array, xp: Any) -> tuple[Array, Array]:
    """Return ∫ M F⁽ᵐ⁾ / m! for sorted points X (R, m + 1), and how far two rules and rounding let it be off."""
    m, eps = X.shape[1] - 1, Precision.of(X.dtype).eps
    knots = (X - X[:, :1]) / spread[:, None]  # (R, m + 1), from 0 to 1, or all 0
    results = []
    for nodes, weights in (FINE, COARSE):
        s, weights = 0.5 * (nodes + 1), 0.5 * weights
        kernel, points = [], []
        for j in range(m):
            length = knots[:, j + 1] - knots[:, j]  # (R,)
            kernel.append(_spline(knots, j, length, s, xp) * weights)
            points.append(X[:, :1] + spread[:, None] * (knots[:, j, None] + length[:, None] * s))
        M, x = (xp.concatenate(parts, axis=1) for parts in (kernel, points))  # (R, m nodes)
        values = xp.reshape(derivatives(m, xp.reshape(x, (-1,))), x.shape)
        # Nodes are rounded, by which F⁽ᵐ⁾ changes with its slope.
        shift = eps * xp.max(xp.abs(X), axis=1) * (xp.max(xp.abs(values - values[:, :1]), axis=1) / spread)
        results.append((xp.sum(M * values, axis=1), eps * xp.sum(M * xp.abs(values), axis=1) + shift))
    (fine, rounding), (coarse, _) = results
    value, same = derivatives(m, X[:, 0]), X[:, -1] == X[:, 0]
    doubt = xp.where(same, eps * xp.abs(value), xp.abs(fine - coarse) + rounding)
    return xp.where(same, value, fine) / factorial(m), doubt / factorial(m)


def _spline(knots: Array, panel: int, length: Array, s: np.ndarray, xp: Any) -> Array:
    """Return M(t) times the panel's length at the parts s of a panel between two knots, (R, nodes).

    By Cox and de Boor's recursion, whose terms are not negative. Only one spline of order one is not zero on the panel;
    with the length in it, coinciding knots are divided by nowhere.
    """
    m = knots.shape[1] - 1
    splines: dict[int, Array] = {panel: xp.ones_like(length[:, None] * s)}
    for order in range(2, m + 1):
        longer: dict[int, Array] = {}
        for i in range(max(0, panel - order + 1), min(panel, m - order) + 1):
            support = knots[:, i + order] - knots[:, i]  # (R,)
            behind = (knots[:, panel] - knots[:, i])[:, None] + length[:, None] * s  # t − u_i
            ahead = (knots[:, i + order] - knots[:, panel + 1])[:, None] + length[:, None] * (1 - s)
            whole = behind * splines.get(i, 0.0) + ahead * splines.get(i + 1, 0.0)
            safe = xp.where(support > 0, support, 1.0)[:, None]
            longer[i] = order / (order - 1) * xp.where(support[:, None] > 0, whole / safe, 0.0)
        splines = longer
    return splines[0]


def multilinear_map(table: Array, Q: Array, blocks: list[Array], xp: Any = np) -> Array:
    """Return D_m(H; E₁ … E_m), (k, k), from the divided differences of order m and the eigenvectors of H."""
    QH = xp.conj(Q).T
    if not blocks:
        return (Q * table) @ QH
    m = len(blocks)
    letters = ascii_letters[: m + 1]
    script = ",".join([letters, *(letters[p : p + 2] for p in range(m))]) + "->" + letters[0] + letters[-1]
    return Q @ xp.einsum(script, table, *(QH @ E @ Q for E in blocks)) @ QH
