"""Left eigenvectors Y with Yᴴ B X = I, from right ones: bordered systems with the whole of X as border.

    adjoint:  [ R_i     X ] [ z ]   [ f ]        tangent:  [ R_iᴴ  B X ] [ z ]   [ f ]
              [ (B X)ᴴ  0 ] [ μ ] = [ g ],                 [ Xᴴ     0  ] [ μ ] = [ g ],

R_i = (A − λ_i B)ᴴ, g and μ of length k; each is the conjugate transpose of the other. y_i is the solution
of the adjoint one for f = 0, g = e_i (and μ = 0).

Their solutions divide by no gap between computed eigenvalues, as those of `bordered.py` with a border
of one column do: what couples y_i to y_j follows from (B X)ᴴY = I and the dX that goes with it. So the
cotangents of X and of what Y passes on to X meet before anything is divided by a gap, and functions
such as a projector X Yᴴ are right in clusters, of whatever width.

Adjoint. From the left with x_j, gaps δ_ji = conj(λ_j − λ_i): δ_ji g_ji + x_jᴴ X μ = x_jᴴ f gives μ;
z = Φ c + u with (B X)ᴴΦ c = g and R_i u = f − X μ − R_i Φ c on the complement. Tangent: z = X c + u with
Xᴴ X c = g and P R_iᴴ u = P f; from the left with y_j, μ_j = y_jᴴ f − (λ_j − λ_i) y_jᴴ B z, which has the
rounding errors of y_j, and so cancels what it should. Where the conjugate pairs of a real pencil complete
the deflation, theirs is the equation with a gap, 2 |Im λ|, that is not small.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg as la

from .bordered import BorderedSystems
from .problem import Side

Array = np.ndarray


def solve_block(systems: BorderedSystems, side: Side, F: Array, G: Array) -> tuple[Array, Array]:
    """Z (n, k) and μ (k, k) of the k systems with right-hand sides F (n, k), G (k, k).

    Raises
    ------
    AdjointNoConvergence, DefectiveEigenvalueError
    """
    if not F.any() and not G.any():
        return np.zeros_like(F), np.zeros_like(G)
    with systems.lock:
        systems.check_not_defective()
        return (_solve_adjoint if side == "adjoint" else _solve_tangent)(systems, F, G)


def left_vectors(systems: BorderedSystems) -> Array:
    """Y (n, k) with (B X)ᴴ Y = I; of a complex pair of a real pencil one system serves both.

    Raises
    ------
    AdjointNoConvergence, DefectiveEigenvalueError
    """
    systems.check_not_defective()
    w, X, k = systems.w, systems.X, systems.w.size
    partner = np.arange(k)
    if systems.real_pencil:
        for j in range(k):
            for i in range(j):
                if w[i] == w[j].conj() and np.array_equal(X[:, i], X[:, j].conj()):
                    partner[j] = i
    own = partner == np.arange(k)
    with systems.lock:
        Y = systems.left_vectors(own).copy()
    Y[:, ~own] = Y[:, partner[~own]].conj()
    return Y


def _solve_adjoint(systems: BorderedSystems, F: Array, G: Array) -> tuple[Array, Array]:
    X, w, k = systems.X, systems.w, systems.w.size
    wd, Xd = systems.deflation
    gaps = np.conj(wd[:, None] - w)
    mu = la.solve(X.conj().T @ X, X.conj().T @ F - gaps[:k] * G, assume_a="pos")
    f = F - X @ mu
    T = np.concatenate([G, (Xd[:, k:].conj().T @ f) / gaps[k:]])
    C = la.solve(systems.gram, T)
    AP, BP = systems.images
    span = AP @ C - (BP @ C) * np.conj(w)  # R_i Φ c_i
    scale = np.linalg.norm(F, axis=0) + np.linalg.norm(span, axis=0)
    solved = systems.deflated("adjoint", f - span, scale)
    systems.tell(solved.report)
    U = solved.U
    return systems.phi @ C + U, mu


def _solve_tangent(systems: BorderedSystems, F: Array, G: Array) -> tuple[Array, Array]:
    X, w, k = systems.X, systems.w, systems.w.size
    wd, Xd = systems.deflation
    gaps = wd[:, None] - w
    U = np.zeros_like(F)
    if F.any():
        solved = systems.deflated("tangent", F, np.linalg.norm(F, axis=0))
        systems.tell(solved.report)
        U = solved.U
    overlap = X.conj().T @ Xd
    completed = np.zeros((wd.size - k, k), U.dtype)
    if completed.size:
        completed = la.lstsq(systems.BX, F - systems.problem.pencil(U, w))[0][k:] / gaps[k:]
    C = la.solve(overlap[:, :k], G - overlap[:, k:] @ completed, assume_a="pos")
    Z = Xd @ np.concatenate([C, completed]) + U
    YH = left_vectors(systems).conj().T
    return Z, YH @ F - gaps[:k] * (YH @ systems.problem.apply_B(Z))
