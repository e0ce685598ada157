"""One Krylov space for several systems that differ by their shifts.

The systems are (T − θ_i) s_i = −γ_i b_i. Put c_i = b_i ω/‖b_i‖, C = (c_1 … c_k), and run Arnoldi on

    M̂ = [ T  C ; 0  J ],   J = diag θ,   from (0, …, 0; 1, …, 1)/√k:    M̂ V = V⁺ H̲.

The bottom rows V₂ of the basis tell the right-hand sides apart: for V₂ y = e_i the vector
v = V₁ y has M̂ V y − θ_i V y = ((T − θ_i) v + c_i ; 0), whose norm ‖(H̲ − θ_i I̲) y‖ is the true residual
of system i relative to ‖c_i‖ = ω. So each system takes the y of least residual subject to V₂ y = e_i, and
s_i = V₁ y γ_i ‖b_i‖/ω. This is KrylovKit.jl's Sylvester equation as an eigenproblem, with the
eigenvalues, which are known here, put in instead of extracted.

Two forms (`krylov.spectral_forms`) of the systems (A − λ_i B) u_i = b_i (the adjoint ones: with Aᴴ, Bᴴ, conj λ_i):

* `ShiftInvert`: T = B S, S = (A − σB)⁻¹, θ_i = γ_i = 1/(λ_i − σ): (A − λ_i B) S = I − T/θ_i, so that
  u_i = S s_i, from the stored Z = S V₁; for B = I from S V₁ = V₁⁺H̲ − C V₂.
* `Filtered`, B = I without an inverse: T = A, θ_i = λ_i, γ_i = −1, u_i = s_i. In the place of M̂ acts
  q(M̂) with a polynomial q, q(θ_i) in the place of θ_i, whose Krylov space is a part of M̂'s and has as
  many times fewer vectors to store and to orthogonalise as q has degrees. ‖(H̲ − q(θ_i) I̲) y‖ is then
  the norm of r_i(T) times the true residual, r_i(z) = (q(z) − q(θ_i))/(z − θ_i): it ends the process only
  after the true residual has been computed.

A real T keeps the whole space real: a complex θ = α + iβ is the block [α β; −β α] of J, with the
columns Re c, Im c, and the selector (1, i) for e_i. Systems with equal θ get spaces of their own.

A space of ``dimension`` vectors is restarted by Krylov-Schur (Stewart 2001): H = Q S Qᴴ with the Ritz
values closest to the shifts first, of which half the dimension stays. That they are Ritz values of
M̂, and not those that ARPACK would select, is all that remains of the eigenproblem; so ties do no harm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as la

from . import small
from .blocks import LATE, combine, steps_to_go
from .orthogonal import orthogonalise
from .precision import Precision
from .space import Space, times
from .spectral_forms import Form

Array = np.ndarray

#: Shifts closer than this, relative to ω, do not share a space: V₂ would not tell them apart.
DISTINCT = 1e-6

#: A space is given up whose residual so many restarts have not reduced by a tenth, or, where it is below
#: √ε and may be all that rounding leaves, so many vectors.
PATIENCE = 4
FLOOR_VECTORS = 20

#: Goes at a residual that is true, where the one of the small problem is not.
CONFIRMATIONS = 5


@dataclass(frozen=True)
class _System:
    """(T − θ) s = −γ b, entering column ``index`` of the result times ``factor``."""

    index: int
    factor: complex
    theta: complex
    b: Array


def shared_krylov(
    space: Space,
    form: Form,
    deflated: Array,
    theta: Array,
    rhs: Array,
    rtol: Array,
    dimension: int,
    maxiter: int,
    real: bool,
) -> tuple[Array, int, Array]:
    """The solutions of all systems.

    Parameters
    ----------
    space : Space
    form : ShiftInvert or Filtered
    deflated : ndarray, shape (n, d)
        An orthonormal basis of what the space is kept orthogonal to.
    theta : ndarray, shape (m,)
    rhs : ndarray, shape (n, m)
        No zero columns; orthogonal to ``deflated``.
    rtol : ndarray, shape (m,)
    dimension : int
        Largest dimension of a space.
    maxiter : int
        Most applications of the operator.
    real : bool
        T and ``deflated`` are real.

    Returns
    -------
    U : ndarray, shape (n, m)
    steps : int
        Applications; the caller recomputes the residuals and starts again on what is left.
    errors : ndarray, shape (m,)
        Estimates of ‖δu_i‖: how far u_i moved at last, times how much of its residual is left from before.
    """
    systems = []
    for i in range(theta.size):
        if real and theta[i].imag == 0 and np.iscomplexobj(rhs):
            # A part below the residual asked for (rounding, mostly) needs no system of its own.
            negligible = 0.1 * rtol[i] * space.norm(rhs[:, i])
            parts = [(1.0, rhs[:, i].real), (1j, rhs[:, i].imag)]
            systems += [_System(i, factor, theta[i].real, b) for factor, b in parts if space.norm(b) > negligible]
        else:
            systems.append(_System(i, 1.0, theta[i], rhs[:, i]))
    U = space.zeros(rhs.shape, rhs.dtype, "F")
    errors = np.zeros(theta.size)
    steps = 0
    for group in _groups(systems, DISTINCT * form.scale(theta), real):
        target = rtol[[system.index for system in group]]
        solutions, taken, estimates = _solve_group(
            space, form, deflated, group, target, dimension, max(maxiter - steps, 1), real
        )
        steps += taken
        for system, u, error in zip(group, solutions.T, estimates, strict=True):
            U[:, system.index] += u if system.factor == 1.0 else system.factor * u
            errors[system.index] = np.hypot(errors[system.index], error)
    return U, steps, errors


def _groups(systems: list[_System], tol: float, real: bool) -> list[list[_System]]:
    """Greedy colouring: shifts in a group are distinct (from their conjugates too, where real)."""
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
    space: Space,
    form: Form,
    deflated: Array,
    group: list[_System],
    target: Array,
    dimension: int,
    maxiter: int,
    real: bool,
) -> tuple[Array, int, Array]:
    theta = np.array([system.theta for system in group])
    size = np.array([space.norm(system.b) for system in group])
    omega = form.scale(theta)
    C, E = _bottom(group, omega / size, real)
    shift, back = form.shift(theta), form.factor(theta) * size / omega
    # q(J) is not what the recurrence makes of J, whose rounding q′ would make large: the small problem
    # needs the q(θ) that it is told.
    J, image_J = (_blocks(theta, values, C.dtype, real) for values in (theta, shift))
    n, p = C.shape
    d = deflated.shape[1]
    most = min(max(dimension, 2 * p + 2), space.size(n) - d + p)
    basis = space.empty((d + most + 1, n + p), C.dtype)  # in rows (top, bottom), behind what is deflated
    basis[:d, :n], basis[:d, n:] = deflated.T, 0
    V = basis[d:]
    Z = V[:, :n]  # what u is made of
    H = np.zeros((most + 1, most), C.dtype)
    V[0, :n], V[0, n:] = 0, p**-0.5
    precision = Precision.of(C.dtype)
    accept = target * form.reference(omega)
    m, steps, vectors, check, confirmed = 0, -1, 0, p + 1, 0  # the first vector has no top to apply A to
    histories: list[list[tuple[int, float]]] = [[] for _ in group]  # vectors, residual over what is accepted
    progress: list[float] = []
    earlier, fallen_from = np.zeros((most, len(group)), E.dtype), np.full(len(group), np.inf)

    everything, slowest = list(range(len(group))), 0

    def extract(part: list[int]) -> tuple[Array, Array]:
        return _extract(space, H[: m + 1, :m], V[:m, n:], shift[part], E[:, part])

    def solution() -> tuple[Array, Array]:
        move = small.column_norms(Y - earlier[:m]) * np.abs(back)
        known = np.isfinite(fallen_from)
        ratio = np.where(known, residuals, 0) / np.where(known, fallen_from, 1)
        S = Y * back
        U = times(V[: m + 1, :n].T, H[: m + 1, :m] @ S) - times(C, E * back) if form.of_image else times(Z[:m].T, S)
        return U, move * np.minimum(ratio, 1)

    while True:
        z, top = form.product(V[m, :n], V[m, n:], C, J)
        steps, vectors = steps + form.degree, vectors + 1
        if z is not None:
            if vectors == 1:
                Z = space.empty((most, n), C.dtype)
            Z[m] = z
        w = np.concatenate([top, image_J @ V[m, n:]])
        before = space.bordered_norm(w, p)
        norm = orthogonalise(space, w, before, basis[: d + m + 1], H[: m + 1, m], p)
        H[m + 1, m] = norm
        m += 1
        V[m] = w / norm if norm > 0 else 0
        last = norm <= precision.eps * before or steps >= maxiter
        if vectors >= check or m == most or last:
            # Where nobody asks for moves the systems wait for the one that was the slowest.
            one = form.exact and bool(histories[0]) and m < most and not last
            part = [slowest] if one else everything
            Y, residuals = extract(part)
            if one and residuals[0] <= accept[slowest]:
                part = everything
                Y, residuals = extract(part)
            ratios = residuals / accept[part]
            for i, ratio in zip(part, ratios, strict=True):
                histories[i].append((vectors, float(ratio)))
            slowest = part[int(np.argmax(ratios))]
            worst = histories[slowest][-1][1]
            if part is everything:
                late = (residuals > LATE * accept) & np.isfinite(residuals)
                earlier[:m, late], earlier[m:, late], fallen_from[late] = Y[:, late], 0, residuals[late]
            if float(np.max(residuals)) <= precision.half * form.reference(omega):
                last = last or any(r <= 1.1 * worst for v, r in histories[slowest] if v <= vectors - FLOOR_VECTORS)
                if last and part is not everything:
                    Y, residuals = extract(everything)
            if m == most:
                progress.append(worst)
                last = last or (len(progress) > PATIENCE and not worst < 0.9 * progress[-1 - PATIENCE])
                last = last or most == n - d + p
            if worst <= 1 or last:
                U, errors = solution()
                left = None if last else _true_residuals(space, form, U, group)
                confirmed += 1
                if left is None:
                    return U, steps, errors
                steps += theta.size
                excess = float(np.max(left / (size * target)))
                if excess <= 1 or confirmed == CONFIRMATIONS:
                    return U, steps, errors
                accept *= min(0.5, 0.7 / excess)
                histories = [[(vectors, float(ratio))] for ratio in residuals / accept]
                slowest = int(np.argmax(residuals / accept))
            check = vectors + steps_to_go(histories[slowest])
        if m == most:
            try:
                Q = _restart(space, H, shift, real, max(most // 2, 2 * p))
            except np.linalg.LinAlgError:  # the Schur form could not be put in order
                U, errors = solution()
                return U, steps, errors
            m = Q.shape[1]
            earlier[:m], earlier[m:] = Q.conj().T @ earlier, 0
            for stored in (V,) if z is None else (V, Z):
                combine(stored[:most], Q)
            V[m] = V[most]


def _true_residuals(space: Space, form: Form, U: Array, group: list[_System]) -> Array | None:
    """Their norms, one after the other, which takes less memory; None where the small problem's are the true ones."""
    norms = []
    for u, system in zip(U.T, group, strict=True):
        left = form.residual(u, system.theta, system.b)
        if left is None:
            return None
        norms.append(space.norm(left))
    return np.array(norms)


def _restart(space: Space, H: Array, shift: Array, real: bool, keep: int) -> Array:
    """Krylov-Schur: the first columns of Q in H = Q S Qᴴ with the Ritz values next to the shifts first.

    H (in place) becomes that of the basis V Q.
    """
    m = H.shape[1]
    targets = np.concatenate([shift, np.conj(shift)]) if real else shift

    def distance(z: Array) -> Array:
        return np.min(np.abs(np.asarray(z)[..., None] - targets), axis=-1)

    near = np.sort(distance(small.eigvals(space, H[:m])))
    while keep < m - 1 and near[keep] - near[keep - 1] <= 1e-8 * near[keep]:  # no pair is cut
        keep += 1
    limit = 0.5 * (near[keep - 1] + near[keep])
    S, Q, kept = small.schur(space, H[:m], lambda z: bool(distance(np.asarray(z)) < limit))
    Q = Q[:, :kept]
    border = H[m] @ Q
    H[:] = 0
    H[:kept, :kept], H[kept, :kept] = S[:kept, :kept], border
    return Q


def _bottom(group: list[_System], scale: Array, real: bool) -> tuple[Array, Array]:
    """C (n, p) and the selectors e_i as columns of E (p, k)."""
    if not real:
        C = np.stack([system.b * s for system, s in zip(group, scale, strict=True)], axis=1)
        return C, np.eye(len(group), dtype=C.dtype)
    columns: list[Array] = []
    selectors = np.zeros((2 * len(group), len(group)), complex)
    for i, (system, s) in enumerate(zip(group, scale, strict=True)):
        row = len(columns)
        selectors[row, i] = 1
        columns.append(system.b.real * s)
        if np.imag(system.theta) != 0:
            columns.append(system.b.imag * s)
            selectors[row + 1, i] = 1j
    C = np.stack(columns, axis=1)
    E = selectors[: C.shape[1]]
    E = E if np.any(E.imag) else E.real
    return C, E.astype(np.result_type(C.dtype, np.complex64) if np.iscomplexobj(E) else C.dtype)


def _blocks(theta: Array, values: Array, dtype: np.dtype, real: bool) -> Array:
    """The p × p matrix of values at the θ, in real arithmetic with a 2 × 2 block for a complex θ."""
    if not real:
        return np.diag(values).astype(dtype)
    blocks = [
        [[value.real]] if np.imag(t) == 0 else [[value.real, value.imag], [-value.imag, value.real]]
        for t, value in zip(theta, values, strict=True)
    ]
    return la.block_diag(*blocks).astype(dtype)


def _extract(space: Space, H: Array, bottom: Array, theta: Array, E: Array) -> tuple[Array, Array]:
    """The y_i of least ‖(H − θ_i I̲) y‖ subject to V₂ y = e_i, and those norms.

    ``bottom`` (m, p) is V₂ᵀ. With V₂ᴴ = Q₁ R: y = Q₁ R⁻ᴴ e_i + Q₂ z, z from least squares.
    """
    m, p = bottom.shape
    k = theta.size
    Y = np.zeros((m, k), np.result_type(H, E))
    if m < p:
        return Y, np.full(k, np.inf)
    Q, R = small.full_qr(space, bottom.conj())
    diagonal = np.abs(np.diagonal(R))
    if diagonal.min() <= Precision.of(H.dtype).eps * diagonal.max():
        return Y, np.full(k, np.inf)
    particular = small.solve_triangular(space, R[:p], E, transposed=True)  # Q₁ coefficients of every y
    HQ = (H @ Q).astype(Y.dtype)
    residuals = np.empty(k)
    for i in range(k):
        KQ = HQ.copy(order="F")
        KQ[:m] -= theta[i] * Q
        left = KQ[:, :p] @ particular[:, i]
        coefficients = particular[:, i]
        if m > p:
            z = small.lstsq(space, KQ[:, p:], -left)
            left = left + KQ[:, p:] @ z
            coefficients = np.concatenate([coefficients, z])
        residuals[i] = small.norm(left)
        Y[:, i] = Q[:, : coefficients.size] @ coefficients
    return Y, residuals
