"""The block-bordered systems behind every derivative of eigenpairs.

For eigenpairs A X = B X Λ and R_i = (A − λ_i B)ᴴ the two families are

    adjoint:  Aᴴ Z − Bᴴ Z Λᴴ + X M = F,  (B X)ᴴ Z = G,
    tangent:  A Z − B Z Λ + B X M = F,   Xᴴ Z = G,

with F (n, k) and G, M (k, k), each the conjugate transpose of the other. The border is the whole of X: no gap
between computed eigenvalues is divided by. Couplings of eigenpairs, which do have a gap in them, are quotients
that enter through G, or are made of M.

* Adjoint. From the left with x_j, gaps δ_ji = conj(λ_j − λ_i): δ_ji g_ji + x_jᴴ X m_i = x_jᴴ f_i gives M;
  z_i = Φ c_i + u_i with (B X)ᴴ Φ c_i = g_i and R_i u_i = f_i − X m_i − R_i Φ c_i on the complement. Φ = X for a
  Hermitian pencil, where R_i X = B X (Λ − λ_i) needs no application, else an orthonormal basis of B X.
* Tangent. z_i = X c_i + u_i with Xᴴ X c_i = g_i and P R_iᴴ u_i = P f_i; (B X)⁺ from the left gives
  m_i = (B X)⁺ (f_i − R_iᴴ u_i) − (Λ − λ_i) c_i.

Members that complete the deflation (conjugates of cut pairs, mirror images of triplets) are in no border. Their
couplings have a gap, which is that of eigenvalues apart from each other by nature, 2 |Im λ| or σ_i + σ_j.

With the pencil, a basis X T of the same space and T⁻¹ Λ T for Λ, the solution is Z T⁻ᴴ (adjoint) and Z T (tangent): a
function of the span alone has derivatives that know nothing of single eigenvalues, however close.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..krylov import small
from ..krylov.precision import NOISE
from ..krylov.space import Space
from .couplings import Quotients
from .gauge import check_gauge, check_second_derivative
from .maps import Reading
from .problem import SideName, power_of_two
from .refusals import tell
from .solutions import Complement, PairSolution, Solution
from .systems import BorderedSystems, left_vectors

Array = np.ndarray


def solve_block(systems: BorderedSystems, side: SideName, F: Array, G: Array) -> Solution:
    """Solve for right-hand sides F (n, k) and G (k, k).

    Raises
    ------
    AdjointNoConvergence, DefectiveEigenvalueError, ValueError
    """
    space = systems.problem.space
    _check_finite(space, side, F, G)
    if not space.any(F) and not G.any():
        return Solution(np.zeros_like(F), np.zeros_like(G), np.zeros(len(G)))
    with systems.lock:
        systems.check_not_defective()
        unit = power_of_two(space, F, G)
        F, G = F / unit, G / unit
        solve = _solve_adjoint if side == "adjoint" else _solve_tangent
        Z, M, solved, _ = solve(systems, F, G, space.norms(F), None, True)
        error = systems.accuracy_of(solved).block(Z)
        tell(replace(solved.report, error=error), systems.options)
        return Solution(Z * unit, M * unit, solved.residuals * unit, error)


def adjoint_of_pairs(
    systems: BorderedSystems, F: Array, N: Array, g: Array, scale: Array, gauge: Array, again: bool = False
) -> PairSolution:
    """Solve the adjoint systems of eigenpairs: G has g (k,) on its diagonal, and the couplings N/δ off it.

    F (n, k) and N = XᴴF (k, k) come from data of size ``scale`` (k,), relative to which they have rounding noise.
    ``gauge`` goes into the report. ``again``: the solution is differentiated again.

    Raises
    ------
    AdjointNoConvergence, DefectiveEigenvalueError, ValueError
    """
    space = systems.problem.space
    _check_finite(space, "adjoint", F, g)
    with systems.lock:
        k = g.size
        # Exactly scaled, so that no size of the loss meets underflow in a norm.
        unit = power_of_two(space, F, g)
        F, N, g = F / unit, N / unit, g / unit
        scale = np.maximum(scale / unit, space.norms(F))
        gaps = np.conj(systems.pairs.deflation[0][:, None] - systems.pairs.w)
        couplings = systems.pairs.divide(N, gaps[:k], np.outer(systems.accuracy.lengths[:k], scale))
        alone, zero = not space.any(F), np.zeros((k, k), np.result_type(F, g))
        if alone and not g.any():
            return PairSolution(np.zeros_like(F), zero, np.zeros(k), couplings=couplings)
        systems.check_not_defective()
        if alone and not systems.problem.hermitian:
            Z = systems.left_vectors(g != 0, gauge, g, again) * g
            error, eaten = systems.left_errors(Z, g)
            return PairSolution(Z * unit, zero, np.zeros(k), error, couplings=couplings, eaten=eaten)
        Z, M, solved, others = _solve_adjoint(systems, F, couplings.values + np.diag(g), scale, gauge, again)
        every = couplings if others is None else couplings.above(others)
        error, eaten = systems.accuracy_of(solved).adjoint(Z, g, every, scale)
        tell(replace(solved.report, error=error), systems.options)
        return PairSolution(
            Z * unit,
            M * unit,
            solved.residuals * unit,
            error,
            couplings=replace(couplings, values=couplings.values * unit),
            dropped=every.dropped,
            eaten=eaten,
        )


def tangent_of_pairs(systems: BorderedSystems, F: Array, again: bool = False) -> PairSolution:
    """Solve the tangent systems of eigenpairs, F = −dR (n, k) and G = 0, with the couplings M/δ.

    ``again``: the solution is differentiated again.

    Raises
    ------
    AdjointNoConvergence, DefectiveEigenvalueError, ValueError
    """
    space = systems.problem.space
    _check_finite(space, "tangent", F)
    with systems.lock:
        k, unit = systems.pairs.w.size, power_of_two(space, F)
        F = F / unit
        scale, zero = space.norms(F), np.zeros((k, k), F.dtype)
        gaps, size = (
            systems.pairs.deflation[0][:, None] - systems.pairs.w,
            np.outer(1 / space.norms(systems.pairs.BX[:, :k]), scale),
        )
        if not space.any(F):
            return PairSolution(F, zero, scale, couplings=systems.pairs.divide(zero, gaps[:k], size))
        systems.check_not_defective()
        Z, M, solved, others = _solve_tangent(systems, F, zero, scale, None, again)
        couplings = systems.pairs.divide(M, gaps[:k], size)
        every = couplings if others is None else couplings.above(others)
        error, eaten = systems.accuracy_of(solved).tangent(np.diagonal(M), every, scale)
        tell(replace(solved.report, error=error), systems.options)
        return PairSolution(
            Z * unit,
            M * unit,
            solved.residuals * unit,
            error,
            couplings=replace(couplings, values=couplings.values * unit),
            dropped=every.dropped,
            eaten=eaten,
        )


def solve_adjoint(
    systems: BorderedSystems, F: Array, N: Array, gw: Array, reading: Reading, again: bool
) -> PairSolution:
    """The solution for a right-hand side of `begin_adjoint`, after saying what of the loss is arbitrary.

    ``again``: it is differentiated again.
    """
    carried, scale = reading.carried, reading.scale
    solution = adjoint_of_pairs(systems, F, N, gw, scale, reading.gauge, again)
    told = tuple(c for c in solution.dropped if c.size * scale[c.i] > NOISE * carried[1][c.i])
    complete, kept = systems.complete_for(reading.reads), replace(solution, dropped=told)
    check_gauge(systems.accuracy, complete, reading.weights, reading.gauge, kept, reading.reads)
    if carried[0].any():
        check_second_derivative(systems.pairs, solution.error)
    return solution


def solve_tangent(systems: BorderedSystems, F: Array, again: bool) -> PairSolution:
    """The solution for F = −dR (n, k), after saying what of the pairs is arbitrary: all of it may be read."""
    solution = tangent_of_pairs(systems, F, again)
    reads = systems.pairs.space.any_of_columns(F)
    check_gauge(systems.accuracy, systems.complete_for(reads), np.zeros(reads.size), np.zeros(0), solution, reads)
    return solution


def _check_finite(space: Space, side: SideName, *right: Array) -> None:
    if not all(space.finite(part) for part in right):
        raise ValueError(
            f"The right-hand side of the {side} systems holds NaN or infinity: the loss, or its "
            "derivative with respect to the eigenpairs, is not finite here."
        )


def _solve_adjoint(
    systems: BorderedSystems, F: Array, G: Array, scale: Array, gauge: Array | None, again: bool
) -> tuple[Array, Array, Complement, Quotients | None]:
    """Z, M, the solution on the complement, and couplings to what completes the deflation; F is overwritten.

    ``scale`` (k,) is the size of the data that F was computed from.
    """
    space, X, w, k = systems.problem.space, systems.pairs.X, systems.pairs.w, systems.pairs.w.size
    wd, Xd = systems.pairs.deflation
    F = F.astype(np.result_type(F, G, X, w), copy=False)
    gaps = np.conj(wd[:, None] - w)  # (d, k)
    T, others = np.zeros((wd.size, k), F.dtype), None
    T[:k] = G
    M = small.solve_definite(space, space.gram(X, X), space.gram(X, F) - gaps[:k] * G)
    if M.any():
        F -= X @ M
    if wd.size > k:
        size = np.outer(systems.accuracy.lengths[k:], scale)
        others = systems.pairs.divide(space.gram(Xd[:, k:], F), gaps[k:], size, k)
        T[k:] = others.values
    Z, solved = systems.solve_in_span(systems.adjoint_side, T, F, scale, gauge, again)
    return Z, M, solved, others


def _solve_tangent(
    systems: BorderedSystems, F: Array, G: Array, scale: Array, gauge: Array | None, again: bool
) -> tuple[Array, Array, Complement, Quotients | None]:
    """Z, M, the solution on the complement, and couplings to what completes the deflation; see `_solve_adjoint`."""
    space, X, w, k = systems.problem.space, systems.pairs.X, systems.pairs.w, systems.pairs.w.size
    wd, Xd = systems.pairs.deflation
    gaps = wd[:, None] - w  # (d, k)
    solved = systems.deflated(systems.tangent_side, F, scale, gauge, again)
    U = solved.U
    d = space.lstsq(systems.pairs.BX, F - systems.problem.pencil(U, w) if space.any(U) else F)  # (d, k)
    C, others = np.zeros((wd.size, k), np.result_type(d, G)), None
    if wd.size > k:
        others = systems.pairs.divide(d[k:], gaps[k:], np.outer(1 / space.norms(systems.pairs.BX[:, k:]), scale), k)
        C[k:] = others.values
    overlap = space.gram(X, Xd)
    C[:k] = small.solve_definite(space, overlap[:, :k], G - overlap[:, k:] @ C[k:])
    Z = Xd @ C + U
    left = systems.found.left
    if left is not None and left.known.all():
        # From the left with Y, whose errors are those that Y has passed on to others: so they cancel.
        Y = left_vectors(systems)
        return Z, space.gram(Y, F) - gaps[:k] * space.gram(Y, systems.problem.apply_B(Z)), solved, others
    return Z, d[:k] - gaps[:k] * C[:k], solved, others
