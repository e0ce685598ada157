"""One Krylov space for several systems that differ by their shifts.

With T = B S, S = (A − σB)⁻¹ and θ_i = 1/(λ_i − σ) (the adjoint systems: with Sᴴ, Bᴴ, conj λ_i),
(A − λ_i B) S = I − T/θ_i, so that u_i = S s_i solves (A − λ_i B) u_i = b_i where

    (T − θ_i) s_i = −θ_i b_i.

Put c_i = b_i ω/‖b_i‖, ω = max|θ|, C = (c_1 … c_k), and run Arnoldi on

    M̂ = [ T  C ; 0  J ],   J = diag θ,   from (0, …, 0; 1, …, 1)/√k:    M̂ V = V⁺ H̲.

The bottom rows V₂ of the basis tell the right-hand sides apart: for V₂ y = e_i the vector
v = V₁ y has M̂ V y − θ_i V y = ((T − θ_i) v + c_i ; 0), whose norm ‖(H̲ − θ_i I̲) y‖ is the true residual
of system i relative to ‖c_i‖ = ω. So each system takes the y of least residual subject to V₂ y = e_i, and
u_i = S V₁ y θ_i ‖b_i‖/ω from the stored Z = S V₁. This is KrylovKit.jl's Sylvester equation as an
eigenproblem, with the eigenvalues, which are known here, put in instead of extracted.

A real T keeps the whole space real: a complex θ = α + iβ is the block [α β; −β α] of J, with the
columns Re c, Im c, and the selector (1, i) for e_i. Systems with equal θ get spaces of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg as la

Array = np.ndarray

#: Shifts closer than this, relative to the largest, do not share a space: V₂ would not tell them apart.
DISTINCT = 1e-6


@dataclass(frozen=True)
class _System:
    """(T − θ) s = −θ b, entering column ``index`` of the result times ``factor``."""

    index: int
    factor: complex
    theta: complex
    b: Array


def shared_krylov(
    solve: Callable[[Array], Array],
    image: Callable[[Array], Array],
    project: Callable[[Array], Array],
    theta: Array,
    rhs: Array,
    rtol: Array,
    dimension: int,
    real: bool,
) -> tuple[Array, int]:
    """u_i with (I − T/θ_i) S⁻¹ u_i = b_i for all columns i.

    Parameters
    ----------
    solve, image : callable
        ``solve(v)`` is S v and ``image(z)`` is B z, for single vectors.
    project : callable
        Onto the space of the right-hand sides.
    theta : ndarray, shape (m,)
    rhs : ndarray, shape (n, m)
        No zero columns.
    rtol : ndarray, shape (m,)
    dimension : int
        Largest dimension of a space.
    real : bool
        T is real.

    Returns
    -------
    U : ndarray, shape (n, m)
    steps : int
        Solves; the caller recomputes the residuals and starts again on what is left.
    """
    systems = []
    for i in range(theta.size):
        if real and theta[i].imag == 0 and np.iscomplexobj(rhs):
            # A part below the residual asked for (rounding, mostly) needs no system of its own.
            negligible = 0.1 * rtol[i] * np.linalg.norm(rhs[:, i])
            parts = [(1.0, rhs[:, i].real), (1j, rhs[:, i].imag)]
            systems += [_System(i, factor, theta[i].real, b) for factor, b in parts if np.linalg.norm(b) > negligible]
        else:
            systems.append(_System(i, 1.0, theta[i], rhs[:, i]))
    U = np.zeros(rhs.shape, rhs.dtype, order="F")
    steps = 0
    for group in _groups(systems, real):
        solutions, taken = _solve_group(solve, image, project, group, rtol, dimension, real)
        steps += taken
        for system, u in zip(group, solutions.T, strict=True):
            U[:, system.index] += u if system.factor == 1.0 else system.factor * u
    return U, steps


def _groups(systems: list[_System], real: bool) -> list[list[_System]]:
    """Greedy colouring: shifts in a group are distinct (from their conjugates too, where real)."""
    tol = DISTINCT * max(abs(system.theta) for system in systems)
    groups: list[list[_System]] = []
    for system in systems:
        taken = (system.theta, np.conj(system.theta)) if real else (system.theta,)
        for group in groups:
            if all(abs(other.theta - theta) > tol for other in group for theta in taken):
                group.append(system)
                break
        else:
            groups.append([system])
    return groups


def _solve_group(
    solve: Callable[[Array], Array],
    image: Callable[[Array], Array],
    project: Callable[[Array], Array],
    group: list[_System],
    rtol: Array,
    dimension: int,
    real: bool,
) -> tuple[Array, int]:
    theta = np.array([system.theta for system in group])
    size = np.array([np.linalg.norm(system.b) for system in group])
    target = rtol[[system.index for system in group]]
    omega = float(np.max(np.abs(theta)))
    J, C, E = _bottom(group, omega / size, real)
    n, p = C.shape
    most = min(dimension, n + p)
    V = np.empty((most + 1, n + p), C.dtype)  # the basis, in rows (top, bottom)
    Z = np.empty((most, n), C.dtype)
    H = np.zeros((most + 1, most), C.dtype)
    V[0, :n], V[0, n:] = 0, p**-0.5
    eps = float(np.finfo(C.dtype).eps)
    m, check, history = 0, p + 1, []
    while True:
        top, bottom = V[m, :n], V[m, n:]
        Z[m] = solve(top) if m else 0  # the first vector has no top
        w = np.empty(n + p, C.dtype)
        w[:n] = project(image(Z[m]) + C @ bottom if m else C @ bottom)
        w[n:] = J @ bottom
        norm = _orthogonalise(w, V[: m + 1], H[: m + 1, m])
        H[m + 1, m] = norm
        m += 1
        full = m == most or norm <= eps * omega
        if m >= check or full:
            Y, residuals = _extract(H[: m + 1, :m], V[:m, n:], theta, E)
            worst = float(np.max(residuals / (omega * target)))
            if worst <= 1 or full:
                return (Z[:m].T @ Y) * (theta * size / omega), m - 1
            history.append((m, worst))
            check = m + _steps_to_go(history)
        V[m] = w / norm


def _bottom(group: list[_System], scale: Array, real: bool) -> tuple[Array, Array, Array]:
    """J (p, p), C (n, p) and the selectors e_i as columns of E (p, k)."""
    if not real:
        C = np.stack([system.b * s for system, s in zip(group, scale, strict=True)], axis=1)
        theta = np.array([system.theta for system in group])
        return np.diag(theta.astype(C.dtype)), C, np.eye(len(group), dtype=C.dtype)
    blocks: list[Array] = []
    columns: list[Array] = []
    selectors = np.zeros((2 * len(group), len(group)), complex)
    for i, (system, s) in enumerate(zip(group, scale, strict=True)):
        row = len(columns)
        selectors[row, i] = 1
        if np.imag(system.theta) == 0:
            blocks.append(np.array([[np.real(system.theta)]]))
            columns.append(system.b.real * s)
        else:
            a, b = system.theta.real, system.theta.imag
            blocks.append(np.array([[a, b], [-b, a]]))
            columns += [system.b.real * s, system.b.imag * s]
            selectors[row + 1, i] = 1j
    C = np.stack(columns, axis=1)
    E = selectors[: C.shape[1]]
    E = E if np.any(E.imag) else E.real
    complex_or_real = np.result_type(C.dtype, np.complex64) if np.iscomplexobj(E) else C.dtype
    return la.block_diag(*blocks).astype(C.dtype), C, E.astype(complex_or_real)


def _orthogonalise(w: Array, V: Array, h: Array) -> float:
    """Subtract from w (in place) its part in the rows of V, which goes to h; the norm left."""
    norm = float(np.linalg.norm(w))
    for _ in range(3):
        before = norm
        projection = (V @ w.conj()).conj()
        w -= projection @ V
        h += projection
        norm = float(np.linalg.norm(w))
        # Daniel, Gragg, Kaufman & Stewart: repeat where cancellation has made the result unsafe.
        if norm > 0.7 * before:
            break
    return norm


def _extract(H: Array, bottom: Array, theta: Array, E: Array) -> tuple[Array, Array]:
    """The y_i of least ‖(H − θ_i I̲) y‖ subject to V₂ y = e_i, and those norms.

    ``bottom`` (m, p) is V₂ᵀ. With V₂ᴴ = Q₁ R: y = Q₁ R⁻ᴴ e_i + Q₂ z, z from least squares.
    """
    m, p = bottom.shape
    k = theta.size
    Q, R = la.qr(bottom.conj())
    diagonal = np.abs(np.diagonal(R))
    Y = np.zeros((m, k), np.result_type(H, E))
    if m < p or diagonal.min() <= np.finfo(H.dtype).eps * diagonal.max():
        return Y, np.full(k, np.inf)
    particular = la.solve_triangular(R[:p], E, trans="C")  # Q₁ coefficients of every y
    HQ = H @ Q
    residuals = np.empty(k)
    for i in range(k):
        KQ = HQ.astype(Y.dtype)
        KQ[:m] -= theta[i] * Q
        start = KQ[:, :p] @ particular[:, i]
        coefficients = particular[:, i]
        if m > p:
            z = la.lstsq(KQ[:, p:], -start, lapack_driver="gelsy")[0]
            start = start + KQ[:, p:] @ z
            coefficients = np.concatenate([coefficients, z])
        residuals[i] = np.linalg.norm(start)
        Y[:, i] = Q[:, : coefficients.size] @ coefficients
    return Y, residuals


def _steps_to_go(history: list[tuple[int, float]]) -> int:
    """How many steps until the next extraction, by the rate of convergence so far."""
    if len(history) < 2:
        return 2
    (m0, r0), (m1, r1) = history[-2:]
    if not r1 < r0 < np.inf:
        return 4
    left = np.log(r1) * (m1 - m0) / np.log(r0 / r1)
    return int(min(max(0.7 * left, 1), 6))
