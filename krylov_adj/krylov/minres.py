"""MINRES for several Hermitian systems at once (Paige & Saunders 1975), complex-safe.

The systems K_i u_i = b_i are told apart by their column; one call of ``apply`` advances all of
those that have not converged. K_i may be singular when b_i lies in its range.

Lanczos in the inner product of the preconditioner P ≈ K⁻¹ (positive definite), per column:
    β₁ v₁ = b,  β_{j+1} v_{j+1} = K z_j − α_j v_j − β_j v_{j−1},  z = P v,  α_j = Re zⱼᴴ K zⱼ;
the tridiagonal matrix is reduced to upper triangular form by Givens rotations as it grows, and
the solution moves along w_j = (z_j − ρ₃ w_{j−2} − ρ₂ w_{j−1}) / ρ₁.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray


def minres(
    apply: Callable[[Array, Array], Array],
    rhs: Array,
    rtol: Array,
    maxiter: int,
    precondition: Callable[[Array], Array] | None = None,
) -> tuple[Array, int]:
    """Solve K_i u_i = b_i for all columns i.

    Parameters
    ----------
    apply : callable
        ``apply(V, columns)`` is K_i v_i for the given column numbers, shape (n, len(columns)).
    rhs : ndarray, shape (n, m)
        No zero columns.
    rtol : ndarray, shape (m,)
        A column stops when its recurred residual norm has fallen below ``rtol`` times the first.
    maxiter : int
    precondition : callable, optional
        Hermitian positive definite, applied to blocks.

    Returns
    -------
    U : ndarray, shape (n, m)
    iterations : int
        Steps taken; the caller recomputes the residuals.
    """
    n, m = rhs.shape
    U = np.zeros((n, m), rhs.dtype, order="F")
    real = np.finfo(rhs.dtype).dtype
    columns = np.arange(m)
    v = np.array(rhs, order="F")
    z = v if precondition is None else precondition(v)
    beta = _energy(v, z)
    v_old = np.zeros_like(v)
    w, w_old, x = np.zeros_like(v), np.zeros_like(v), np.zeros_like(v)
    c_old, c = np.ones(m, real), np.ones(m, real)
    s_old, s = np.zeros(m, real), np.zeros(m, real)
    eta, target = beta.copy(), rtol * beta
    breakdown = np.finfo(real).eps * beta
    first = True
    for iteration in range(1, maxiter + 1):
        v = v / beta
        z = v if precondition is None else z / beta
        q = apply(z, columns)
        alpha = np.real(_dots(z, q))
        q = q - alpha * v
        if not first:
            q -= beta * v_old
        first = False
        v_old = v
        z_next = q if precondition is None else precondition(q)
        beta_next = _energy(q, z_next)
        delta = c * alpha - c_old * s * beta
        rho1 = np.hypot(delta, beta_next)
        rho2 = s * alpha + c_old * c * beta
        rho3 = s_old * beta
        # rho1 = 0: the Krylov space is exhausted without a solution; the column stops as it is.
        dead = rho1 == 0
        safe = np.where(dead, 1, rho1)
        c_old, c = c, np.where(dead, 0, delta / safe)
        s_old, s = s, np.where(dead, 0, beta_next / safe)
        w_old, w = w, (z - rho3 * w_old - rho2 * w) / safe
        x += (c * eta) * w
        eta = -s * eta
        v, z, beta = q, z_next, beta_next
        done = (np.abs(eta) <= target) | (beta <= breakdown) | dead
        if done.any():
            U[:, columns[done]] = x[:, done]
            keep = ~done
            if not keep.any():
                return U, iteration
            columns = columns[keep]
            v, z, v_old, w, w_old, x = (np.asfortranarray(a[:, keep]) for a in (v, z, v_old, w, w_old, x))
            beta, c, c_old, s, s_old, eta, target, breakdown = (
                a[keep] for a in (beta, c, c_old, s, s_old, eta, target, breakdown)
            )
    U[:, columns] = x
    return U, maxiter


def _dots(V: Array, W: Array) -> Array:
    return np.einsum("ij,ij->j", V.conj(), W)


def _energy(v: Array, z: Array) -> Array:
    """(vᴴ z)^½ per column, the norm of v in the preconditioner's inner product."""
    square = np.real(_dots(v, z))
    scale = np.linalg.norm(v, axis=0) * np.linalg.norm(z, axis=0)
    if np.any(square < -10 * np.finfo(square.dtype).eps * scale):
        raise ValueError(
            "The preconditioner given to MINRES is not positive definite: vᴴPv = "
            f"{square.min():.1e}. Give a positive definite one, or use Adjoint(method='gmres')."
        )
    return np.sqrt(np.maximum(square, 0))
