"""Cotangents of (λ, X) to the bordered systems of the adjoint, and the residuals' cotangents.

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

from typing import Any


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


def without_normal_part(xp: Any, X: Any, gX: Any, rows: int) -> Any:
    """gX without the part along changes that UᴴU = VᴴV = I forbids, for X = (U, V)/√2 with ``rows`` rows of U.

    Singular vectors keep both, which is more than XᴴX = I: of gU the part U S with S = ½(UᴴgU + gUᴴU) has
    Re tr(SᴴUᴴdU) = 0. Only what is left of it is divided by σᵢ + σⱼ. The map is its own adjoint, so that it
    serves tangents as well.
    """

    def half(Y: Any, G: Any) -> Any:
        K = xp.conj(Y).T @ G
        return G - Y @ (K + xp.conj(K).T)  # 2 YYᴴ is the projector onto the span

    return xp.concatenate([half(X[:rows], gX[:rows]), half(X[rows:], gX[rows:])])


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
