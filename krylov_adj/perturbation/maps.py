"""Adjoint and tangent maps of eigenpairs: from cotangents of (λ, X) to right-hand sides, and back from solutions.

The eigenpairs are functions of the residuals of their equations,

    R = A X − B X Λ,    S = Xᴴ N X − I   (where N ≠ I depends on parameters),

with (λ, X) inside of them held fixed, and for a real f with df = Re Σ ( conj(gλᵢ) dλᵢ + gxᵢᴴ dxᵢ )

    df = Re Σᵢ wᵢᴴ dRᵢ − ½ Re tr(σᴴ dS).

Derivation. From (A − λᵢB) dxᵢ − dλᵢ B xᵢ = −dRᵢ and Re xᵢᴴN dxᵢ = −½ dSᵢᵢ, in the gauge
Im xᵢᴴN dxᵢ = 0: dxᵢ = vᵢ − xᵢ (xᵢᴴN vᵢ + ½ dSᵢᵢ) for any solution vᵢ. Transposed, the part of gxᵢ along
xᵢ goes into σ, and hᵢ = gxᵢ − N xᵢ (xᵢᴴgxᵢ), which is orthogonal to xᵢ, is the right-hand side of

    (A − λᵢB)ᴴ wᵢ = −hᵢ,   (B xᵢ)ᴴ wᵢ = gλᵢ,      σ = diag Re xᵢᴴgxᵢ.

A Hermitian problem keeps *all* of Xᴴ N X = I, so the Hermitian part of K = XᴴgX belongs to S off the
diagonal too, σ = ½(K + Kᴴ), and is taken out of gX first: G = gX − N X σ. What XᴴG keeps is the
anti-Hermitian part of K, and only that is divided by a gap. At simple eigenvalues both forms agree;
in a cluster only this one is right.

The functions take the array namespace ``xp`` (numpy, or an AD framework's), because at higher orders
they are differentiated themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..krylov import small
from ..krylov.precision import NOISE
from ..krylov.space import Space
from .couplings import Quotients
from .pairs import DeflatedPairs

Array = np.ndarray


@dataclass(frozen=True)
class RightHandSide:
    """That of the adjoint systems, in the framework's arrays.

    Attributes
    ----------
    F : array, shape (n, k)
    N : array, shape (k, k)
        XᴴF, the numerators of the couplings.
    gw : array, shape (k,)
    sigma : array, shape (k, k)
        Minus twice the cotangent of S.
    """

    F: Any
    N: Any
    gw: Any
    sigma: Any


@dataclass(frozen=True)
class Reading:
    """The parts of the pairs that the loss reads, by the values of its cotangents.

    Attributes
    ----------
    weights : ndarray, shape (k,)
        The cotangents of the eigenvalues as they came.
    scale : ndarray, shape (k,)
        The size of the data that F was computed from, relative to which it has rounding noise.
    gauge : ndarray, shape (k,) or (0,)
        How much the loss depends on phases.
    reads : ndarray of bool, shape (k,)
        Which pairs the loss reads at all.
    carried : ndarray, shape (2, k)
        Sizes of terms that have cancelled in the cotangents of vectors, and what solvers have left in these.
    """

    weights: Array
    scale: Array
    gauge: Array
    reads: Array
    carried: Array


def pair_conjugates(xp: Any, pairs: DeflatedPairs, gw: Any, gX: Any) -> tuple[Any, Any]:
    """Return cotangents with those of a conjugate pair's members together, where the first stands; real where w is."""
    pairing = pairs.conjugate_pairing
    if pairing is not None:
        gX = None if gX is None else gX @ pairing[0] + xp.conj(gX) @ pairing[1]
        return gw @ pairing[0] + xp.conj(gw) @ pairing[1], gX
    return (gw if pairs.X.dtype.kind == "c" else xp.real(gw)), gX


def begin_adjoint(xp: Any, pairs: DeflatedPairs, X: Any, NX: Any, gw: Any, gX: Any) -> RightHandSide:
    """Return the right-hand side of the adjoint systems for paired cotangents (gw, gX) in the core's convention.

    Where the loss reads eigenvalues only, ``gX`` and ``NX`` are None.
    """
    problem = pairs.problem
    if gX is None:
        zero = np.zeros((pairs.w.size,) * 2, pairs.X.dtype)
        return RightHandSide(np.zeros_like(pairs.X), zero, gw, zero)
    gX = problem.structure.without_forbidden(xp, X, gX)
    if problem.unit and pairs.X.dtype.kind == "c":
        gX = without_phase(xp, X, gX)
    F, sigma = adjoint_right_hand_side(xp, X, NX, gX, problem.hermitian)
    return RightHandSide(F, xp.dot(xp.conj(X).T, F), gw, sigma)


def read_cotangents(
    pairs: DeflatedPairs, weights: Array, NX: Array | None, gw: Array, gX: Array | None, carried: Array
) -> Reading:
    """Return what the loss reads, by plain values; ``weights`` are the cotangents of w before they were paired."""
    X, space, k = pairs.X, pairs.space, pairs.w.size
    if gX is None or NX is None:
        return Reading(weights, np.zeros(k), np.zeros(k if X.dtype.kind == "c" else 0), gw != 0, carried)
    gauge = phase_dependence(space, X, gX, NOISE * (pairs.eps * carried[0] + carried[1]))
    # F is a difference: its rounding is that of its terms.
    norm_NX, K = space.norms(NX).max(), space.gram(X, gX)
    scale = space.norms(gX) + norm_NX * small.column_norms(K) + carried[0]
    return Reading(weights, scale, gauge, (gw != 0) | space.any_of_columns(gX), carried)


def finish_tangent(xp: Any, pairs: DeflatedPairs, X: Any, NX: Any, V: Any, dS: Any) -> Any:
    """Return dX in its gauge, from the solution V of the tangent systems and their couplings."""
    problem = pairs.problem
    dX = tangent_from_bordered(xp, X, NX, V, dS, problem.hermitian)
    dX = problem.structure.without_forbidden(xp, X, dX)
    return without_phase(xp, X, dX) if problem.unit and pairs.X.dtype.kind == "c" else dX


def quotients_of(values: Any, couplings: Quotients, xp: Any = np) -> tuple[Any, Array]:
    """Return what of the ``values`` (k, k) of numerators is noise, and one where a coupling has a gap, else zero.

    ``xp`` is the namespace of the values, where these are known later.
    """
    noise = xp.where(couplings.noise, values, 0)
    return noise, (~(couplings.equal | np.eye(len(values), dtype=bool))).astype(values.real.dtype)


def divide_by_gaps(numerators: Any, noise: Any, gaps: Any, kept: Any) -> Any:
    """Return the couplings numerators / gaps (k, k), traced; ``noise`` and ``kept`` are those of `quotients_of`.

    A numerator that is noise is zero, its derivative need not be.
    """
    return (numerators - noise) * kept / (gaps * kept + (1 - kept))


def adjoint_right_hand_side(xp: Any, X: Any, NX: Any, gX: Any, hermitian: bool) -> tuple[Any, Any]:
    """−h (n, k) and σ (k, k) for cotangents gX (n, k) of eigenvectors X with Xᴴ N X = I."""
    if hermitian:
        K = xp.conj(X).T @ gX
        sigma = 0.5 * (K + xp.conj(K).T)
        G = gX - NX @ sigma
        if NX is not X:  # XᴴNX = I to the rounding of N X only, past that of K: XᴴG is K − σ
            G = G - NX @ (xp.conj(X).T @ G - (K - sigma))
        return NX * column_dots(xp, X, G) - G, sigma
    c = column_dots(xp, X, gX)
    return NX * c - gX, xp.diag(xp.real(c))


def without_phase(xp: Any, X: Any, Y: Any) -> Any:
    """Y − i x Im(xᴴy)/‖x‖² of every column: cotangents and tangents of vectors that get unit 2-norm, in its gauge.

    The map is its own adjoint.
    """
    squares = xp.sum(xp.real(X) ** 2 + xp.imag(X) ** 2, axis=0)
    return Y - 1j * X * (xp.imag(column_dots(xp, X, Y)) / squares)


def tangent_from_bordered(xp: Any, X: Any, NX: Any, V: Any, dS: Any, hermitian: bool) -> Any:
    """dX from the solution V of the tangent systems with right-hand side −dR.

    Term by term the adjoint of `adjoint_right_hand_side`; dS (k, k) is None where N is fixed.
    """
    V = V - X * column_dots(xp, NX, V)
    if hermitian:
        K = xp.conj(NX).T @ V
        V = V - X @ (0.5 * (K + xp.conj(K).T))
        return V if dS is None else V - 0.5 * (X @ dS)
    return V if dS is None else V - 0.5 * X * xp.real(xp.diag(dS))


def column_dots(xp: Any, V: Any, W: Any) -> Any:
    """vᵢᴴ wᵢ of every column, shape (k,)."""
    return xp.sum(xp.conj(V) * W, axis=0)


def phase_dependence(space: Space, X: Array, gX: Array, noise: Array) -> Array:
    """|Im xᴴg| / ‖x‖‖g‖ of every vector, (k,); empty for real ones. Zero where it is no more than ``noise`` (k,).

    dx = i x dφ changes f by Re(gxᴴ i x) dφ = Im(xᴴg) dφ, so it is zero for a loss that is a function of the
    eigenvector as such. A real vector's sign is as arbitrary and leaves no trace in g.
    """
    if not np.iscomplexobj(X):
        return np.zeros(0)
    if not space.any(gX):
        return np.zeros(X.shape[1])
    c = space.total(np.einsum("ij,ij->j", X.conj(), gX))
    scale = space.norms(X) * space.norms(gX)
    return np.where(np.abs(c.imag) > noise, np.abs(c.imag) / np.where(scale > 0, scale, 1), 0)
