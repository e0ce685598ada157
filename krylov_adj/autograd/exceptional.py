"""Exceptional points: parameters at which two eigenvalues, and their eigenvectors, coalesce.

The two eigenvalues move like a square root there. Functions of the invariant subspace of both, k = 2, are smooth: their
mean ½ tr H, and with H̃ = H − ½ tr H the discriminant

    D = 2 tr H̃² = (λ₁ − λ₂)².

Newton's method on D(p) = 0, with the least step where it does not decide, finds the point. Where H̃ itself vanishes,
at a semisimple double eigenvalue, D has a double zero: there it is the Gauss–Newton method on H̃ = 0. A pair of a
normal matrix has |D| = 2‖H̃‖², one in a Jordan block |D| ≪ ‖H̃‖²: that tells which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import autograd.numpy as anp
import numpy as np
from autograd import grad, make_vjp

from ..krylov import small
from ..krylov.precision import Precision
from ..options import Adjoint
from ..perturbation.problem import Eigenproblem
from ..report.errors import AdjointNoConvergence, DefectiveEigenvalueError, ExceptionalPointNotFound
from ..report.messages import no_exceptional_point
from .bordered_point import check_matrices, search
from .subspace import invariant_subspace
from .trace import strip
from .values import as_value, check_operators, check_options

__all__ = ["ExceptionalPoint", "find_exceptional_point"]

#: Newton's method, on a function of the pair's subspace or on a bordered matrix.
METHODS = ("block", "bordered")

#: Newton steps, unless told.
STEPS = 40

#: Of the way along which a pair is followed.
SHORTEST = 2.0**-6

#: Halvings of one step.
HALVINGS = 12

#: Times that the two eigenvalues closest to the mean of the last two are looked for, at first.
RECENTRED = 5

#: ``|D|``/2‖H̃‖² past which the pair is taken for one of a nearly normal matrix: 1 for those, 0 in a Jordan block.
NORMAL = 0.5

#: What a step to H̃ = 0 has to leave of ``|D|``: the other one leaves a quarter where D has a double zero.
FAST = 0.1

#: A shift beside the pair's mean, of what the eigenvalues are apart, and of their size: at the mean itself A − σM is
#: singular where they coalesce.
BESIDE = 0.03
AWAY = 1e-4


@dataclass(frozen=True, eq=False)
class ExceptionalPoint:
    """Parameters at which two eigenvalues coincide.

    Attributes
    ----------
    p : ndarray of float, shape (q,), or complex
        As it was given.
    w : complex
        The double eigenvalue.
    X : ndarray, shape (n, 2)
    H : ndarray, shape (2, 2)
        Its invariant subspace.
    kind : {"exceptional", "semisimple"}
        One eigenvector, or two.
    history : list of (float, float)
        ``|D|`` and ‖H̃‖ before every step, and at the point; of ``method="bordered"`` what g says of them.
    """

    p: Any
    w: complex
    X: np.ndarray
    H: np.ndarray
    kind: Literal["exceptional", "semisimple"]
    history: list[tuple[float, float]]
    _invariants: Callable[[Any], tuple[Any, Any]]

    def puiseux(self, direction: Any) -> tuple[complex, complex, complex]:
        """The coefficients of λ± = w ± c₁ s^½ + c₂ s ± c₃ s^(3/2) + O(s²) at p + s ``direction``.

        Parameters
        ----------
        direction : array_like, shape (q,), or number
            Like p.

        Returns
        -------
        c1, c2, c3 : complex
            ½ √D′, ½ (tr H)′ and D″/(8 √D′), derivatives in s. The sign of the root is arbitrary.

        Raises
        ------
        ValueError
            The discriminant does not change in this direction to first order: there is no such series.
        """
        d = _as_reals(direction)[0]
        if d.shape != (_as_reals(self.p)[0]).shape:
            raise ValueError(f"expected a direction like p, got {direction!r}")
        q, size = _as_reals(self.p)[0], small.norm(d)
        if not (np.isfinite(size) and size > 0):
            raise ValueError(f"expected a finite direction that is not zero, got {direction!r}")

        def part(i: int, of: Callable[[Any], Any]) -> Callable[[Any], Any]:
            return lambda s: of(self._invariants(q + s * d)[i])

        # Reverse mode throughout: functions of autograd's without forward mode may be in A_of_p.
        slopes = {(i, of): grad(part(i, of)) for i in (0, 1) for of in (anp.real, anp.imag)}
        first = [complex(slopes[i, anp.real](0.0), slopes[i, anp.imag](0.0)) for i in (0, 1)]
        second = complex(*(grad(slopes[0, of])(0.0) for of in (anp.real, anp.imag)))
        half = Precision.of(np.float64).half
        if not abs(first[0]) > half * max(small.norm(self.H) ** 2, abs(second)):
            raise ValueError(
                f"(λ₁ − λ₂)² changes by {abs(first[0]):.1e} in this direction, not to first order: the eigenvalues are "
                "no square roots along it"
            )
        root = complex(np.sqrt(first[0]))
        return 0.5 * root, first[1], second / (8 * root)


def find_exceptional_point(
    A_of_p: Callable[[Any], Any],
    p0: Any,
    near: complex,
    *,
    method: Literal["block", "bordered"] = "block",
    tol: float | None = None,
    maxiter: int = STEPS,
    adjoint: Adjoint | None = None,
) -> ExceptionalPoint:
    """Find parameters at which the two eigenvalues closest to ``near`` coalesce.

    Parameters
    ----------
    A_of_p : callable
        ``A_of_p(p)`` is A, or (A, M), of A x = λ M x: what `invariant_subspace` takes. It is differentiated with
        respect to p.
    p0 : array_like of float, shape (q,), or complex
        Where to start: real numbers, or one complex one. Two real numbers decide in general; one does where the pair is
        real or closed under conjugation (of a real matrix) along it; of more the point next to p0 is found.
    near : complex
        The eigenvalue, roughly: the two closest ones are followed.
    method : {"block", "bordered"}, optional
        ``"block"``: Newton's method on (λ₁ − λ₂)² of the invariant subspace of both, for every operator.
        ``"bordered"``: on g = dg/dλ = 0 of a bordered matrix, g(λ, p) ∝ det(A − λM). Where A and M have matrices, or
        the order is at most 200, its steps cost less; from far away it fails more often.
    tol : float, optional
        ``|λ₁ − λ₂|²`` that is accepted, of ‖H̃‖(‖A‖/‖M‖ + ‖H‖), H̃ = H − ½ tr H. Default 30 machine epsilons, what
        rounding leaves.
    maxiter : int, optional
        The most steps.
    adjoint : Adjoint, optional
        How derivatives are computed.

    Returns
    -------
    ExceptionalPoint

    Raises
    ------
    ExceptionalPointNotFound
        No convergence; with the history.
    DefectiveEigenvalueError
        A third eigenvalue has coalesced with the two.
    ValueError, TypeError, EigenNoConvergence, AdjointNoConvergence
        As `invariant_subspace`; with ``method="bordered"`` of a large operator that has no matrix, too.

    Notes
    -----
    A step costs the invariant subspace, and one block of two systems for its derivatives; with ``method="bordered"``
    the factorisation of a nearly singular complex matrix with one row and column more, and two or three of them where λ
    has to be centred between the two. It is halved until the discriminant falls. The subspace is computed first and
    last in either, and takes over from the bordered matrix next to semisimple eigenvalues, where that is singular.

    Derivative
    ----------
    None of the point itself. Functions of the subspace are differentiable at it: see `invariant_subspace`.

    References
    ----------
    docs/derivation.md. Kato, Perturbation Theory for Linear Operators, Springer 1966, chapter II. Mailybaev, Numer.
    Linear Algebra Appl. 13 (2006) 419. Akinola, Freitag & Spence, IMA J. Numer. Anal. 34 (2014) 955.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> import krylov_adj as ka
    >>> S = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    >>> gain = np.diag([1.0, -1.0, 0.0])
    >>> def two_sites(p):  # ±√(1 − p²): they meet at p = 1
    ...     return S + 1j * p[0] * gain + np.diag([0.0, 0.0, 5.0])
    >>> point = ka.find_exceptional_point(two_sites, [0.7], near=0.0)
    >>> print(np.round(point.p, 10), point.kind, np.round(point.puiseux([1.0])[0] ** 2, 10))
    [1.] exceptional (-2+0j)
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}: expected one of {METHODS}")
    q, complex_p = _as_reals(p0)
    options = check_options(adjoint)
    tol = Precision.of(np.float64).noise if tol is None else tol
    pair = _Pair(A_of_p, complex_p, options)
    history: list[tuple[float, float]] = []
    if method == "bordered":
        check_matrices(pair.operators, q)
    now = pair.settled(q, complex(near))
    if method == "bordered":
        found, converged, history = search(pair.operators, q, now.mean, pair.size(q), tol, maxiter)
        if found is not None:
            start, q0, q, now = now, q, found.q, pair.at(found.q, found.lam, abs(found.D) ** 0.5)
            if not _same(pair.followed(q0, start, q), now, 10 * Precision.of(np.float64).half * pair.size(q)):
                raise ExceptionalPointNotFound(no_exceptional_point(history, np.array(q)), history)
        # The subspace has the last word, also where the bordered matrix is singular: next to a semisimple pair.
        history = history or [(abs(now.D), now.defect)]
        if not converged and abs(now.D) <= NORMAL * 2 * now.defect**2:
            raise ExceptionalPointNotFound(no_exceptional_point(history, np.array(q)), history)
        del history[-1:]
    for _ in range(maxiter + 1):
        history.append((abs(now.D), now.defect))
        size = small.norm(now.H) + pair.size(q)
        if now.defect <= tol * size or abs(now.D) <= tol * now.defect * size:
            kind: Literal["exceptional", "semisimple"] = "semisimple" if now.defect <= tol * size else "exceptional"
            p = q[0] + 1j * q[1] if complex_p else q
            return ExceptionalPoint(p, now.mean, now.X, now.H, kind, history, pair.invariants(now.sigma))
        moved = None
        if abs(now.D) > NORMAL * 2 * now.defect**2:
            moved = _moved(pair, q, now, pair.step(q, now, normal=True), 1, FAST)
        if moved is None:
            moved = _moved(pair, q, now, pair.step(q, now, normal=False), HALVINGS, None)
        if moved is None:
            break
        q, now = moved
    raise ExceptionalPointNotFound(no_exceptional_point(history, np.array(q)), history)


@dataclass(frozen=True, eq=False)
class _State:
    """The pair at one point; ``defect`` is ‖H̃‖."""

    X: np.ndarray
    H: np.ndarray
    D: complex
    mean: complex
    defect: float
    sigma: complex


class _Pair:
    """The invariant subspace of the two eigenvalues next to σ, as a function of real parameters."""

    def __init__(self, A_of_p: Callable[[Any], Any], complex_p: bool, options: Adjoint):
        self.A_of_p, self.complex_p, self.options = A_of_p, complex_p, options

    def operators(self, q: Any) -> Any:
        """Return A, or (A, M), at real parameters."""
        return self.A_of_p(q[0] + 1j * q[1] if self.complex_p else q)

    def subspace(self, q: Any, sigma: complex, options: Adjoint) -> tuple[Any, Any]:
        A = self.operators(q)
        A, M = A if isinstance(A, tuple) else (A, None)
        sigma = sigma.real if sigma.imag == 0 else sigma
        return invariant_subspace(A, 2, M, sigma=sigma, v0=None, rng=0, adjoint=options)

    def at(self, q: np.ndarray, mean: complex, apart: float) -> _State:
        """Return the pair next to ``mean`` whose eigenvalues are about so far ``apart``."""
        sigma = mean + BESIDE * apart + AWAY * max(abs(mean), apart)
        X, H = (np.asarray(strip(part)) for part in self.subspace(q, sigma, self.options))
        D, mean = (complex(part) for part in invariants(H))
        return _State(X, H, D, mean, small.norm(H - mean * np.eye(2)), sigma)

    def invariants(self, sigma: complex) -> Callable[[Any], tuple[Any, Any]]:
        """Return q ↦ (D, mean) next to σ."""
        return lambda q: invariants(self.subspace(q, sigma, self.options)[1])

    def size(self, q: np.ndarray) -> float:
        """Return ‖A‖/‖M‖ from below, which rounding of H is relative to."""
        A = self.operators(q)
        operators = check_operators(*(A if isinstance(A, tuple) else (A, None)))
        A, M = (None if operator is None else as_value(operator, True, "A") for operator in operators)
        assert A is not None
        norm_A, norm_B = Eigenproblem(A, M, False, "2").norms
        return norm_A / norm_B

    def settled(self, q: np.ndarray, near: complex) -> _State:
        """Return the two eigenvalues closest to ``near``, or to their mean where other ones are closer to that."""
        now = self.at(q, near, 0.0)
        for _ in range(RECENTRED):
            then = self.at(q, now.mean, abs(now.D) ** 0.5)
            if abs(then.mean - now.mean) <= Precision.of(np.float64).half * abs(now.D) ** 0.5:
                break
            now = then
        return now

    def followed(self, q: np.ndarray, now: _State, end: np.ndarray) -> _State:
        """Return what becomes of the pair on a straight line to ``end``, in steps that move it less than it is wide."""
        s, length = 0.0, 1.0
        while s < 1:
            length = min(length, 1 - s)
            apart = abs(now.D) ** 0.5
            then = self.at(q + (s + length) * (end - q), now.mean, apart)
            if abs(then.mean - now.mean) > apart and length > SHORTEST:
                length *= 0.5
            else:
                s, now, length = s + length, then, 2 * length
        return now

    def step(self, q: np.ndarray, now: _State, normal: bool) -> tuple[np.ndarray, complex]:
        """Return the least step to D = 0, or to H̃ = 0 for ``normal``, by first derivatives, and the mean's change."""
        options = replace(self.options, on_gauge="ignore") if normal else self.options

        def f(q: Any) -> Any:
            H = self.subspace(q, now.sigma, options)[1]
            D, mean = invariants(H)
            values = anp.reshape(H - mean * np.eye(2), (4,)) if normal else anp.reshape(D, (1,))
            return anp.concatenate([anp.real(values), anp.imag(values), anp.stack([anp.real(mean), anp.imag(mean)])])

        vjp, values = make_vjp(f)(q)
        rows = np.array([vjp(e) for e in np.eye(values.size)])
        step = -np.linalg.lstsq(rows[:-2], values[:-2], rcond=Precision.of(np.float64).half)[0]
        return step, complex((rows[-2] + 1j * rows[-1]) @ step)


def _same(a: _State, b: _State, limit: float) -> bool:
    """Return whether two pairs at one point are the same one."""
    return abs(a.mean - b.mean) <= limit and abs(abs(a.D) ** 0.5 - abs(b.D) ** 0.5) <= limit


def invariants(H: Any) -> tuple[Any, Any]:
    """(λ₁ − λ₂)² and ½(λ₁ + λ₂) of a 2 × 2 matrix."""
    mean = anp.trace(H) / 2
    G = H - mean * np.eye(2)
    return 2 * anp.trace(anp.dot(G, G)), mean


def _moved(
    pair: _Pair, q: np.ndarray, now: _State, step: tuple[np.ndarray, complex], trials: int, enough: float | None
) -> tuple[np.ndarray, _State] | None:
    """Return the first of the halved steps that makes ``|D|`` fall, and the pair there; None where none does.

    ``enough`` is the part of ``|D|`` that may be left, by default hardly less than all of it. A mean that is not where
    its derivative has foretold it, as far off as the two are apart, is that of another pair.
    """
    t, apart = 1.0, abs(now.D) ** 0.5
    for _ in range(trials):
        foretold = now.mean + t * step[1]
        try:
            then = pair.at(q + t * step[0], foretold, apart)
        except (AdjointNoConvergence, DefectiveEigenvalueError):
            then = None
        if then is not None and abs(then.mean - foretold) > apart:
            then = None
        if then is not None and abs(then.D) <= (1 - 0.1 * t if enough is None else enough) * abs(now.D):
            return q + t * step[0], then
        t *= 0.5
    return None


def _as_reals(p: Any) -> tuple[np.ndarray, bool]:
    """Return p as real numbers, and whether it was one complex one."""
    given = np.asarray(strip(p))
    if not np.issubdtype(given.dtype, np.number) or not np.all(np.isfinite(given)) or given.size == 0:
        raise ValueError(f"expected real numbers or one complex number, finite, got {p!r}")
    if np.iscomplexobj(given):
        if given.ndim:
            raise ValueError(
                f"expected real numbers, shape (q,), or one complex number, got shape {given.shape}, complex"
            )
        return np.array([given.real, given.imag]), True
    if given.ndim > 1:
        raise ValueError(f"expected p of shape (q,), got {given.shape}")
    return np.atleast_1d(given).astype(float), False
