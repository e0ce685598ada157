"""MINRES for several Hermitian systems at once (Paige & Saunders 1975), complex-safe.

The systems K_i u_i = b_i are told apart by their column; one call of ``apply`` advances all of
those that have not converged. K_i may be singular when b_i lies in its range.

Lanczos in the inner product of the preconditioner P ≈ K⁻¹ (positive definite), per column:
    β₁ v₁ = b,  β_{j+1} v_{j+1} = K z_j − α_j v_j − β_j v_{j−1},  z = P v,  α_j = Re zⱼᴴ K zⱼ;
the tridiagonal matrix is reduced to upper triangular form by Givens rotations as it grows, and
the solution moves along w_j = (z_j − ρ₃ w_{j−2} − ρ₂ w_{j−1}) / ρ₁.

Near the end the lengths of these moves are summed: they bound the solution's size, below whose rounding
no residual falls, and say how far the solution still moved while the residual fell to its target. In error it
is by as much of that as is left of the residual.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import get_blas_funcs

from .blocks import LATE
from .precision import Precision
from .space import Space

Array = np.ndarray


def minres(
    space: Space,
    apply: Callable[[Array, Array], Array],
    rhs: Array,
    rtol: Array,
    maxiter: int,
    precondition: Callable[[Array], Array] | None = None,
    shifts: Array | None = None,
) -> tuple[Array, int, Array]:
    """Solve K_i u_i = b_i for all columns i.

    Parameters
    ----------
    space : Space
    apply : callable
        ``apply(V, columns)`` is K_i v_i for the given column numbers, shape (n, len(columns)).
    rhs : ndarray, shape (n, m)
        No zero columns.
    rtol : ndarray, shape (m,)
        A column stops when its recurred residual norm has fallen below ``rtol`` times the first, or to
        the rounding of K u.
    maxiter : int
    precondition : callable, optional
        Hermitian positive definite, applied to blocks.
    shifts : ndarray, shape (m,), optional
        Real numbers sᵢ: the systems are K_i + sᵢ, without a preconditioner. Lanczos' vectors are those
        of K_i; a shift is added to the diagonal of its tridiagonal matrix.

    Returns
    -------
    U : ndarray, shape (n, m)
    iterations : int
        Steps taken; the caller recomputes the residuals.
    errors : ndarray, shape (m,)
        Estimates of ‖δu_i‖: how far u_i moved (at most) while its residual fell from `LATE` times the target to where
        it is, times how much of it is left.
    """
    U = space.zeros(rhs.shape, rhs.dtype, "F")
    moved, began, left = np.zeros((3, rhs.shape[1]), np.finfo(rhs.dtype).dtype)
    real, precision = np.finfo(rhs.dtype).dtype, Precision.of(rhs.dtype)
    m = rhs.shape[1]
    columns = np.arange(m)
    v = np.array(rhs, order="F")
    z = v if precondition is None else precondition(v)
    beta = _energy(space, v, z)
    v_old, w, w_old, x = (np.zeros_like(v) for _ in range(4))
    c_old, c = np.ones(m, real), np.ones(m, real)
    s_old, s = np.zeros(m, real), np.zeros(m, real)
    eta, target = beta.copy(), rtol * beta
    beta_old, largest = np.zeros(m, real), np.zeros(m, real)
    length = np.zeros(m, real)  # of u, from above; known near the end
    for iteration in range(1, maxiter + 1):
        _scale(1 / beta, v)
        z = v if precondition is None else z / beta
        q = np.asfortranarray(apply(z, columns))
        alpha = np.real(space.dots(z, q))
        _add(-alpha, v, q)
        _add(-beta_old, v_old, q)
        alpha = alpha if shifts is None else alpha + shifts[columns]
        v_old, v = v, q
        # z belongs to v_old; the direction's update below needs it before the next one is made.
        z_next = q if precondition is None else precondition(q)
        beta_next = _energy(space, q, z_next)
        delta = c * alpha - c_old * s * beta_old
        rho1 = np.hypot(delta, beta_next)
        rho2 = s * alpha + c_old * c * beta_old
        rho3 = s_old * beta_old
        # ‖K r‖/‖r‖ of the residual so far (Paige & Saunders' root): where it is tiny against ‖K‖, K is
        # singular to working precision and r is what of b lies outside of its range. The column
        # stops as it is, before steps along the null vector blow it up.
        largest = np.maximum(largest, rho1)
        dead = np.hypot(delta, c * beta_next) <= precision.singular * largest
        safe = np.where(dead, 1, rho1)
        c_old, c = c, np.where(dead, 0, delta / safe)
        s_old, s = s, np.where(dead, 0, beta_next / safe)
        _scale(-rho3, w_old)  # w_old becomes the next direction (z − ρ₃ w_old − ρ₂ w) / ρ₁
        _add(-rho2, w, w_old)
        _add(np.ones_like(rho1), z, w_old)
        _scale(1 / safe, w_old)
        w_old, w = w, w_old
        step = np.where(dead, 0, c * eta)
        near = np.abs(eta) <= LATE**2 * target
        if near.any():
            length = np.where(near & (length == 0), space.safe_norms(x), length)
            distance = np.abs(step) * space.safe_norms(w)
            length += np.where(near, distance, 0)
            late = np.abs(eta) <= LATE * target
            moved[columns] += np.where(late, distance, 0)
            began[columns] = np.where(late & (began[columns] == 0), np.abs(eta), began[columns])
        _add(step, w, x)
        eta = -s * eta
        left[columns] = np.abs(eta)
        z, beta_old, beta = z_next, beta_next, beta_next
        rounding = precision.eps * largest
        done = (np.abs(eta) <= np.maximum(target, rounding * length)) | (beta <= rounding) | dead
        if done.any():
            U[:, columns[done]] = x[:, done]
            keep = ~done
            if not keep.any():
                return U, iteration, moved * left / np.where(began > 0, began, 1)
            columns = columns[keep]
            z = z if precondition is None else z[:, keep]
            v, v_old, w, w_old, x = (_compressed(a, keep) for a in (v, v_old, w, w_old, x))
            z = v if precondition is None else z
            beta, beta_old, c, c_old, s, s_old, eta, target, largest, length = (
                a[keep] for a in (beta, beta_old, c, c_old, s, s_old, eta, target, largest, length)
            )
    U[:, columns] = x
    return U, maxiter, moved * left / np.where(began > 0, began, 1)


# The updates of vectors, in place. BLAS on contiguous columns: at n = 40,000 this takes a quarter
# of the time of NumPy's broadcasting, which makes temporaries.


def _add(factors: Array, V: Array, W: Array) -> None:
    """wⱼ += factorⱼ vⱼ."""
    axpy = get_blas_funcs("axpy", (W,))
    for j, factor in enumerate(factors if V.size else ()):  # BLAS takes no empty vectors
        axpy(V[:, j], W[:, j], a=factor)


def _scale(factors: Array, V: Array) -> None:
    """vⱼ *= factorⱼ."""
    scal = get_blas_funcs("scal", (V,))
    for j, factor in enumerate(factors if V.size else ()):
        scal(factor, V[:, j])


def _compressed(V: Array, keep: Array) -> Array:
    """The columns to keep, moved to the front of V's own memory."""
    kept = np.flatnonzero(keep)
    for target, source in enumerate(kept):
        if target != source:
            V[:, target] = V[:, source]
    return V[:, : kept.size]


def _energy(space: Space, v: Array, z: Array) -> Array:
    """(vᴴ z)^½ per column, the norm of v in the preconditioner's inner product."""
    square = np.real(space.dots(v, z))
    if z is v:
        return np.sqrt(square)
    scale = np.sqrt(np.real(space.dots(v, v)) * np.real(space.dots(z, z)))
    if np.any(square < -Precision.of(square.dtype).floor * scale):
        raise ValueError(
            "The preconditioner given to MINRES is not positive definite: vᴴPv = "
            f"{square.min():.1e}. Give a positive definite one, or use Adjoint(method='gmres')."
        )
    return np.sqrt(np.maximum(square, 0))
