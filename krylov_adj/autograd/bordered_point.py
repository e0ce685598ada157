"""Newton's method for exceptional points on a bordered matrix: no eigensolver, one factorisation for each step.

With T(λ, p) = A(p) − λM(p), vectors b and c, and

    [T   b] [x]   [0]        [Tᴴ  c] [y]   [0]
    [cᴴ  0] [g] = [1],       [bᴴ  0] [ḡ] = [1],

g(λ, p) = det T over the determinant of the bordered matrix is zero at eigenvalues, and has a double zero where two of
them coalesce in one eigenvector: g = g_λ = 0. The bordered matrix is regular there; x and y become the eigenvectors.
Differentiating both systems,

    g_λ = yᴴMx,   g_p = −yᴴT_p x,   g_λλ = 2 yᴴM x_λ,
    g_λp = −(vᴴT_p x + yᴴT_p x_λ − yᴴM_p x),

where [x_λ; ·] and [v; ·] solve the two systems with the right-hand sides [Mx; 0] and [Mᴴy; 0]. Next to the point
g ≈ ½ g_λλ (λ − λ₁)(λ − λ₂), which gives what the search by subspaces has, whatever b and c are:

    (λ₁ − λ₂)² ≈ 4 (g_λ² − 2 g g_λλ)/g_λλ²,   ½(λ₁ + λ₂) ≈ λ − g_λ/g_λλ,   ‖H̃‖ ≈ 2 ‖x‖‖y‖/|g_λλ|.

Newton's step: g_λ + g_λλ δλ + g_λp δp = 0 gives δλ, and leaves one complex equation for the real numbers δp,

    (g_p − g_λ g_λp/g_λλ) δp = −(g − g_λ²/g_λλ).

Spence & Poulton, J. Comput. Phys. 204 (2005) 65 (photonic bands); Akinola, Freitag & Spence, IMA J. Numer. Anal. 34
(2014) 955 (Jordan blocks of parameter-dependent matrices).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import autograd.numpy as anp
import numpy as np
import scipy.sparse as sp
from autograd import make_vjp

from ..krylov.factors import Factors, SingularMatrix, factors_of
from ..krylov.precision import Precision
from ..krylov.space import WHOLE
from ..options import DENSE_ORDER
from ..perturbation.problem import Eigenproblem
from ..report.messages import bordered_needs_matrices
from .operators.base import LinearOperator
from .values import as_value, check_operators

__all__ = ["check_matrices", "search"]

Operators = Callable[[np.ndarray], Any]

#: Steps in λ alone that come before one in p, where λ is further from the mean than this part of ``|λ₁ − λ₂|``.
CENTRED, BESIDE = 3, 0.2

#: Halvings of one step.
HALVINGS = 12

#: Of the first vectors b and c, which the next ones replace.
SEED = 29


@dataclass(frozen=True, eq=False)
class Bordered:
    """g and its derivatives in λ at one (λ, q), with the vectors that those in q need."""

    q: np.ndarray
    lam: complex
    g: complex
    g_lam: complex
    g_lamlam: complex
    x: np.ndarray
    y: np.ndarray
    x_lam: np.ndarray
    v: np.ndarray

    @property
    def D(self) -> complex:
        """(λ₁ − λ₂)²."""
        return 4 * (self.g_lam**2 - 2 * self.g * self.g_lamlam) / self.g_lamlam**2

    @property
    def offset(self) -> complex:
        """λ less the mean of the two."""
        return self.g_lam / self.g_lamlam

    @property
    def defect(self) -> float:
        """‖H̃‖."""
        return 2 * WHOLE.norm(self.x) * WHOLE.norm(self.y) / abs(self.g_lamlam)

    @property
    def merit(self) -> float:
        """Zero where g = g_λ = 0, in squares of eigenvalues."""
        return abs(self.D) + 4 * abs(self.offset) ** 2

    def step(self, operators: Operators) -> tuple[np.ndarray, complex]:
        """Return Newton's step in q, the least where it does not decide, and in λ."""
        left = np.conj(self.y), np.conj(self.v)

        def slopes(q: Any) -> Any:
            A, M = check_operators(*_pair(operators(q)))
            Mx, Mx_lam = (V if M is None else M._apply(V) for V in (self.x, self.x_lam))
            Tx, Tx_lam = A._apply(self.x) - self.lam * Mx, A._apply(self.x_lam) - self.lam * Mx_lam
            g = anp.dot(left[0], Tx)
            g_lam = anp.dot(left[1], Tx) + anp.dot(left[0], Tx_lam) - anp.dot(left[0], Mx)
            values = anp.stack([g, g_lam]) + 0j
            return anp.concatenate([anp.real(values), anp.imag(values)])

        vjp, _ = make_vjp(slopes)(self.q)
        rows = -np.array([vjp(e) for e in np.eye(4)])
        g_p, g_lamp = rows[0] + 1j * rows[2], rows[1] + 1j * rows[3]
        a = g_p - self.offset * g_lamp
        r = -(self.g - self.g_lam * self.offset)
        system, right = np.stack([a.real, a.imag]), np.array([r.real, r.imag])
        dq = np.linalg.lstsq(system, right, rcond=Precision.of(np.float64).half)[0]
        return dq, -(self.g_lam + complex(g_lamp @ dq)) / self.g_lamlam


def search(
    operators: Operators, q: np.ndarray, lam: complex, size: float, tol: float, maxiter: int
) -> tuple[Bordered | None, bool, list[tuple[float, float]]]:
    """Return the last point of Newton's method from (q, λ), whether it is one, and (``|D|``, ‖H̃‖) at every step.

    ``|D|`` is accepted at ``tol`` ‖H̃‖(``size`` + ``|λ|``). A step is halved until the merit falls.
    """
    history: list[tuple[float, float]] = []
    last, now = None, _centred(operators, bordered(operators, q, lam))
    while now is not None:
        last = now
        history.append((abs(now.D), now.defect))
        if now.merit <= tol * now.defect * (size + abs(now.lam)):
            return last, True, history
        if len(history) > maxiter:
            break
        dq, change = now.step(operators)
        now = _moved(operators, now, dq, change)
    return last, False, history


def check_matrices(operators: Operators, q: np.ndarray) -> None:
    """Raise where A or M has no matrix, and is too large for one to be made."""
    A, M = check_operators(*_pair(operators(q)))
    explicit = all(operator is None or operator.applied_by_matrix() or operator.has_matrix() for operator in (A, M))
    if not explicit and A.shape[0] > DENSE_ORDER:
        raise ValueError(bordered_needs_matrices(A.shape[0]))


def _centred(operators: Operators, now: Bordered | None) -> Bordered | None:
    """Return g next to the mean of the two eigenvalues, where it tells most of both."""
    for _ in range(CENTRED):
        if now is None or abs(now.offset) <= BESIDE * abs(now.D) ** 0.5:
            break
        then = bordered(operators, now.q, now.lam - now.offset, (now.y, now.x))
        if then is None or then.merit >= now.merit:
            break
        now = then
    return now


def _moved(operators: Operators, now: Bordered, dq: np.ndarray, change: complex) -> Bordered | None:
    """Return g at the end of the first of the halved steps whose merit falls; None where none does."""
    for halvings in range(HALVINGS):
        t = 0.5**halvings
        then = _centred(operators, bordered(operators, now.q + t * dq, now.lam + t * change, (now.y, now.x)))
        if then is not None and then.merit <= (1 - 0.1 * t) * now.merit:
            return then
    return None


def bordered(
    operators: Operators, q: np.ndarray, lam: complex, border: tuple[np.ndarray, np.ndarray] | None = None
) -> Bordered | None:
    """Return g at (λ, q); None where the bordered matrix is singular. ``border`` is the y and x of another point."""
    A, M = check_operators(*_pair(operators(q)))
    T, apply_M, apply_MH = _matrix(A, M, lam)
    n = T.shape[0]
    if border is None:
        start = WHOLE.random(n, np.complex128, SEED), WHOLE.random(n, np.complex128, SEED + 1)
        found = _at(q, lam, T, apply_M, apply_MH, start)
        if found is None:
            return None
        border = found.y, found.x
    return _at(q, lam, T, apply_M, apply_MH, border)


def _at(
    q: np.ndarray,
    lam: complex,
    T: Any,
    apply_M: Callable[[np.ndarray], np.ndarray],
    apply_MH: Callable[[np.ndarray], np.ndarray],
    border: tuple[np.ndarray, np.ndarray],
) -> Bordered | None:
    b, c = (v / WHOLE.norm(v) for v in border)
    try:
        solve = _factors(T, b, c)
    except SingularMatrix:
        return None
    n = T.shape[0]
    last = np.zeros(n + 1, complex)
    last[n] = 1
    right, left = solve(last, False), solve(last, True)
    x, g, y = right[:n], right[n], left[:n]
    Mx, MHy = apply_M(x), apply_MH(y)
    right, left = solve(np.r_[Mx, 0], False), solve(np.r_[MHy, 0], True)
    x_lam, v = right[:n], left[:n]
    g_lam, g_lamlam = WHOLE.dot(y, Mx), 2 * WHOLE.dot(y, apply_M(x_lam))
    if not (np.isfinite(g_lamlam) and g_lamlam != 0 and np.isfinite(g) and np.isfinite(g_lam)):
        return None
    return Bordered(q, lam, complex(g), complex(g_lam), complex(g_lamlam), x, y, x_lam, v)


def _factors(T: Any, b: np.ndarray, c: np.ndarray) -> Factors:
    if sp.issparse(T):
        return factors_of(sp.bmat([[T, b[:, None]], [c.conj()[None, :], None]], format="csc"))
    return factors_of(np.block([[T, b[:, None]], [c.conj()[None, :], np.zeros((1, 1))]]))


def _matrix(A: LinearOperator, M: LinearOperator | None, lam: complex) -> tuple[Any, Any, Any]:
    """Return A − λM as a complex matrix, and what applies M and its adjoint."""
    value_A = as_value(A, False, "A")
    value_M = None if M is None else as_value(M, False, "M")
    explicit = value_A.explicit and (value_M is None or value_M.explicit)
    if explicit and sp.issparse(value_A.matrix) and (value_M is None or sp.issparse(value_M.matrix)):
        B = sp.identity(A.shape[0], format="csc") if value_M is None else value_M.matrix
        T = (value_A.matrix - lam * B).tocsc().astype(complex)
    else:
        dense_A, dense_B = Eigenproblem(value_A, value_M, False, "2").dense
        T = (dense_A - lam * dense_B).astype(complex)
    if value_M is None:
        return T, lambda V: V, lambda V: V
    return T, value_M.apply, value_M.adjoint


def _pair(given: Any) -> tuple[Any, Any]:
    return given if isinstance(given, tuple) else (given, None)
