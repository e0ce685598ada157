"""Invariant subspaces on plain values: a basis X of the eigenvectors that a solver returns, and H with A X = B X H.

Eigenvectors of a matrix that is not normal may nearly coincide, and their span is then known to few digits. Up to some
order LAPACK's Schur form gives a basis instead. Newton's method on A X − B X H = 0 takes either to rounding: with the
solution V of the tangent equations (`perturbation/subspaces.py`), X ← X + V, and X is made orthonormal again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg as la

from ..krylov import small
from ..krylov.precision import Precision
from ..krylov.space import Space
from ..options import DENSE_ORDER, Adjoint
from ..perturbation.problem import Eigenproblem, Pairs
from ..perturbation.selection import Ranking
from ..perturbation.subspaces import SubspaceSystems
from ..report.errors import AdjointNoConvergence, DefectiveEigenvalueError
from ..report.messages import dependent_basis, not_a_subspace
from ..report.report import Report, logger

__all__ = ["InvariantSubspace", "Subspace", "basis_of", "settle", "verified_subspace"]

Array = np.ndarray

#: Newton steps: eigenvectors of a Jordan block of order three give a third of the digits, and each step doubles them.
STEPS = 6

#: Of the systems in a step: its error is squared anyhow.
LOOSE = 1e-6


class Subspace(NamedTuple):
    """An invariant subspace, A X = M X H.

    Attributes
    ----------
    X : array, shape (n, k)
    H : array, shape (k, k)
    """

    X: Any
    H: Any


@dataclass(frozen=True, eq=False)
class InvariantSubspace:
    """X (n, k) with XᴴNX = I, H (k, k), A X and B X."""

    X: Array
    H: Array
    AX: Array
    BX: Array

    @property
    def R(self) -> Array:
        """A X − B X H, (n, k)."""
        return np.asarray(self.AX - self.BX @ self.H)


def basis_of(problem: Eigenproblem, pairs: Pairs) -> Array:
    """Return a basis (n, k) of the eigenvectors' span, real where the problem is and k cuts no conjugate pair.

    Raises
    ------
    ValueError
        Where the eigenvectors coincide to working precision, and there are too many unknowns for LAPACK.
    """
    w, X, space = pairs.w, pairs.X, problem.space
    if problem.hermitian:
        return np.asarray(X)
    if problem.n <= DENSE_ORDER and space.whole and pairs.selection is not None:
        basis = schur_basis(problem, pairs.selection.ranking, w.size)
        if basis is not None:
            return basis
    if problem.real and _closed(w):
        parts = np.concatenate([X.real, X.imag], axis=1)
        parts = parts[:, space.norms(parts) > 0]
    else:
        parts = X
    Q, R = space.qr(np.asfortranarray(parts), pivoting=True)
    sizes = np.abs(np.diagonal(R))[: w.size]
    if sizes.size < w.size or not sizes[-1] > Precision.of(X.dtype).noise * sizes[0]:
        rank = int(np.count_nonzero(sizes > Precision.of(X.dtype).noise * sizes[0]))
        raise ValueError(dependent_basis(rank, w.size))
    return np.asarray(Q[:, : w.size])


def _closed(w: Array) -> bool:
    """Whether eigenvalues of a real matrix come with their conjugates, which a solver returns next to each other."""
    return bool(np.sum(w.imag > 0) == np.sum(w.imag < 0))


def schur_basis(problem: Eigenproblem, ranking: Ranking, k: int) -> Array | None:
    """Return an orthonormal basis (n, k) by LAPACK's ordered Schur form; None where rounding leaves no such order."""
    A, B = problem.dense
    if problem.B is None:
        w = la.eigvals(A)
    else:
        alpha, beta = la.eigvals(A, B, homogeneous_eigvals=True)
        size = Precision.of(A.dtype).floor * np.linalg.norm(B) * np.abs(alpha)
        finite = np.abs(beta) * np.linalg.norm(A) > size
        w = alpha[finite] / beta[finite]
    order = ranking.most_wanted_first(w)
    inside, outside = w[order[:k]], w[order[k:]]
    real = problem.real and _closed(inside)

    def chosen(z: Array) -> Array:
        near = np.min(np.abs(z[:, None] - inside), axis=1)
        return near <= np.min(np.abs(z[:, None] - outside), axis=1, initial=np.inf)

    try:
        if problem.B is None:
            A = A if real else A.astype(np.result_type(A, np.complex64))
            _, Q, kept = la.schur(
                A, output="real" if real else "complex", sort=lambda x, y=0.0: bool(chosen(np.array([x + 1j * y]))[0])
            )
            return np.asarray(Q[:, :k]) if kept == k else None

        def first(alpha: Any, beta: Any) -> Any:
            with np.errstate(divide="ignore", invalid="ignore"):
                z = np.asarray(alpha, complex) / np.asarray(beta)
            return chosen(np.where(np.isfinite(z), z, np.inf)) & np.isfinite(z)

        *_, alpha, beta, _, Z = la.ordqz(A, B, sort=first, output="real" if real else "complex")
        return np.asarray(Z[:, :k]) if np.count_nonzero(first(alpha, beta)[:k]) == k else None
    except np.linalg.LinAlgError as error:  # eigenvalues that rounding does not let be put in order
        logger.info("no ordered Schur form, the eigenvectors' span is taken: %s", error)
        return None


def settle(problem: Eigenproblem, X: Array, options: Adjoint) -> InvariantSubspace:
    """Return the invariant subspace next to the span of X, by Newton's method as far as rounding lets it."""
    space, precision = problem.space, Precision.of(X.dtype)
    found = _with_basis(problem, X)
    scale = _scale(problem, found)
    loose = replace(options, rtol=max(LOOSE, precision.floor), on_gauge="ignore", callback=None, on_failure="raise")
    for _ in range(STEPS):
        before = space.norm(found.R)
        if before <= precision.floor * scale:
            break
        try:
            systems = SubspaceSystems.of(problem, found.X, found.H, (found.AX, found.BX), loose)
            V = systems.solve("tangent", -found.R, np.zeros_like(found.H)).Z
        except (AdjointNoConvergence, DefectiveEigenvalueError) as error:
            logger.info("no Newton step for the invariant subspace: %s", error)
            break
        better = _with_basis(problem, found.X + V.astype(found.X.dtype))
        if not space.norm(better.R) <= 0.5 * before:
            break
        found = better
    return found


def verified_subspace(problem: Eigenproblem, found: InvariantSubspace, rtol: float, report: Report) -> Report:
    """Return the forward report with the residuals ‖A X − B X H‖ of the columns, and raise where they are too large.

    Raises
    ------
    ValueError
    """
    residuals = problem.space.norms(found.R) / _scale(problem, found)
    complete = replace(report, requested=rtol, residuals=residuals)
    if not complete.converged:
        raise ValueError(not_a_subspace(float(np.max(residuals)), rtol))
    return complete


def _scale(problem: Eigenproblem, found: InvariantSubspace) -> float:
    """Return ‖A‖‖X‖ + ‖B X‖‖H‖, of columns, from below."""
    norm_A, norm_B = problem.norms
    norms = problem.space.norms
    size_X, size_A, size_B = (float(np.max(norms(V))) for V in (found.X, found.AX, found.BX))
    scale = max(norm_A * size_X, size_A) + max(norm_B * size_X, size_B) * small.norm(found.H)
    return scale if scale > 0 else 1.0  # A = 0 has no size


def _with_basis(problem: Eigenproblem, X: Array) -> InvariantSubspace:
    """Return X with XᴴNX = I, and the H that leaves the least residual."""
    space = problem.space
    X = orthonormalised(space, X, X)
    if problem.normalization == "M":
        for _ in range(2):
            X = orthonormalised(space, X, problem.apply_B(X))
    X = np.asfortranarray(X)
    AX, BX = problem.A.apply(X), problem.apply_B(X)
    if problem.hermitian:
        H = space.gram(X, AX)
        H = 0.5 * (H + H.conj().T)
    else:
        H = space.lstsq(BX, AX)
    return InvariantSubspace(X, H, AX, BX)


def orthonormalised(space: Space, X: Array, NX: Array) -> Array:
    """Return X T with XᴴNX = I and T upper triangular."""
    if NX is X:
        return space.qr(X)[0]
    gram = space.gram(X, NX)
    s, U = small.eigh(space, 0.5 * (gram + gram.conj().T))
    return np.asarray(X @ (U * s**-0.5) @ U.conj().T)
