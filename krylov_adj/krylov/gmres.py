"""Restarted GMRES (Saad & Schultz 1986) for several systems that advance together.

Every system K_i u_i = b_i has a Krylov space of its own; one call of ``apply`` advances all of
those that have not converged. The preconditioner acts from the right, K P s = b, u = P s, so
that the residual that is minimised is the true one. Arnoldi orthogonalises twice; the Hessenberg
matrices are reduced by Givens rotations
    [ c  s ; −s̄  c ],  c real,  of the last two rows of every new column.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import small
from .blocks import LATE
from .precision import Precision
from .space import Space

Array = np.ndarray


def gmres(
    space: Space,
    apply: Callable[[Array, Array], Array],
    rhs: Array,
    rtol: Array,
    maxiter: int,
    restart: int,
    precondition: Callable[[Array], Array] | None = None,
) -> tuple[Array, int, Array]:
    """Solve K_i u_i = b_i for all columns i.

    Parameters
    ----------
    space : Space
    apply : callable
        ``apply(V, columns)`` is K_i v_i for the given column numbers, shape (n, len(columns)).
    rhs : ndarray, shape (n, m)
    rtol : ndarray, shape (m,)
        A column stops when its residual norm has fallen below ``rtol`` times that of ``rhs``.
    maxiter, restart : int
        Most steps in all, and between restarts.
    precondition : callable, optional
        Linear, applied to blocks.

    Returns
    -------
    U : ndarray, shape (n, m)
    iterations : int
        Steps taken; the caller recomputes the residuals.
    errors : ndarray, shape (m,)
        Estimates of ‖δu_i‖: how far u_i moved while its residual fell from `LATE` times the target to where it is,
        times how much of it is left.
    """
    U = space.zeros(rhs.shape, rhs.dtype, "F")
    residual = rhs
    columns = np.arange(rhs.shape[1])
    target = rtol * space.norms(rhs)
    moved, began, left = np.zeros((3, target.size), target.dtype)
    steps = 0
    while True:
        size = min(restart, maxiter - steps, space.size(rhs.shape[0]))
        S, late, fallen, taken = _cycle(space, apply, residual, target[columns], columns, size, precondition)
        steps += taken
        update = S if precondition is None else precondition(S)
        moved[columns] += space.safe_norms(late if precondition is None else precondition(late))
        began[columns], left[columns] = np.maximum(began[columns], fallen[0]), fallen[1]
        U[:, columns] += update
        errors = moved * left / np.where(began > 0, began, 1)
        if steps >= maxiter:
            return U, steps, errors
        residual = residual - apply(update, columns)
        norms = space.norms(residual)
        keep = norms > target[columns]
        if not keep.any():
            return U, steps, errors
        columns, residual = columns[keep], residual[:, keep]


def _cycle(
    space: Space,
    apply: Callable[[Array, Array], Array],
    residual: Array,
    target: Array,
    columns: Array,
    size: int,
    precondition: Callable[[Array], Array] | None,
) -> tuple[Array, Array, Array, int]:
    """One Arnoldi cycle of at most ``size`` steps.

    Solutions before preconditioning, what was added to them since the residual was at `LATE` times its
    target, that residual and the last one (2, m), and steps.
    """
    n, m = residual.shape
    dtype = residual.dtype
    S, late = space.zeros((n, m), dtype, "F"), space.zeros((n, m), dtype, "F")
    beta = space.norms(residual)
    fallen = np.zeros((2, m), beta.dtype)
    V = space.zeros((m, size + 1, n), dtype)  # the Krylov basis of every system, in rows
    H = np.zeros((m, size + 1, size), dtype)  # becomes upper triangular
    rotations: list[tuple[Array, Array]] = []
    g = np.zeros((m, size + 1), dtype)
    remaining = np.zeros((size, m), beta.dtype)  # residual norms after every step
    V[:, 0] = (residual / beta).T
    g[:, 0] = beta
    active = np.arange(m)
    for j in range(size):
        Z = V[active, j].T
        W = apply(Z if precondition is None else precondition(Z), columns[active]).T
        basis = V[active, : j + 1] if active.size < m else V[:, : j + 1]
        h = np.zeros((active.size, j + 2), dtype)
        before = space.row_norms(W)
        for _ in range(2):
            projection = space.stacked_overlaps(basis, W)
            W = W - (projection[:, None, :] @ basis)[:, 0]
            h[:, : j + 1] += projection
        norm = space.row_norms(W)
        invariant = norm <= Precision.of(dtype).eps * before
        norm[invariant] = 0
        h[:, j + 1] = norm
        V[active, j + 1] = W / np.where(invariant, 1, norm)[:, None]
        for row, (c, s) in enumerate(rotations):
            c, s = c[active], s[active]
            upper, lower = h[:, row], h[:, row + 1]
            h[:, row], h[:, row + 1] = c * upper + s * lower, c * lower - s.conj() * upper
        c, s = np.ones(m, beta.dtype), np.zeros(m, dtype)
        length = np.hypot(np.abs(h[:, j]), norm)
        diagonal = np.abs(h[:, j])
        phase = np.where(diagonal > 0, h[:, j] / np.where(diagonal > 0, diagonal, 1), 1)
        safe = np.where(length > 0, length, 1)
        c[active], s[active] = diagonal / safe, phase * norm / safe
        rotations.append((c, s))
        h[:, j], h[:, j + 1] = phase * length, 0
        H[active, : j + 2, j] = h
        g[active, j + 1] = -s[active].conj() * g[active, j]
        g[active, j] *= c[active]
        remaining[j, active] = np.abs(g[active, j + 1])
        done = (remaining[j, active] <= target[active]) | invariant
        last = j + 1 == size
        for i in (active if last else active[done]).tolist():
            y = _coefficients(space, H[i], g[i], j + 1)
            S[:, i] = y @ V[i, : y.size]
            if abs(g[i, j + 1]) <= LATE * target[i]:
                history = np.r_[beta[i], remaining[: j + 1, i]]
                start = np.flatnonzero(history <= LATE * target[i])[0]
                fallen[:, i] = history[[start, -1]]
                move = np.zeros(j + 1, dtype)
                move[: y.size] = y
                early = _coefficients(space, H[i], g[i], int(start))
                move[: early.size] -= early
                late[:, i] = move @ V[i, : j + 1]
        active = active[~done]
        if active.size == 0:
            return S, late, fallen, j + 1
    return S, late, fallen, size


def _coefficients(space: Space, H: Array, g: Array, j: int) -> Array:
    """y with H y = g in the first j basis vectors; a last pivot of zero (K singular there) drops its own."""
    diagonal = np.abs(np.diagonal(H)[:j])
    while j > 0 and diagonal[j - 1] <= Precision.of(H.dtype).floor * diagonal.max():
        j -= 1
    return small.solve_triangular(space, H[:j, :j], g[:j]) if j else np.zeros(0, H.dtype)
