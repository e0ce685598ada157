"""Linear systems A x = b and Aᴴ x = b on plain arrays, every residual recomputed from the operator.

What a solver says of itself is not used. It runs, r = b − A x is computed, and as long as ‖r‖ falls
the solver runs again on A d = r.

Acceptance. ρ = ‖r‖ / ‖b‖ must not exceed rtol, or else what rounding leaves,

    floor = 10 ε (‖A‖ ‖x‖ / ‖b‖ + 1),  ‖A‖ estimated from below,

once ‖r‖ falls no more. A large x makes a large floor, and x is large where A is singular and b has a
part outside of its range. So a floor far above ε is believed only if x is stable against rounding:
with s = r + 10 ε ‖A‖ ‖x‖ (x̂ + v), v pseudo-random, A d = s can be solved to a few digits and ‖d‖ ≪ ‖x‖. (x̂ is close
to the null vectors of a singular Hermitian A, which are not in its range.) LU factors are tested once instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np

from ..options import most_iterations
from ..report.errors import AdjointNoConvergence, LinearNoConvergence
from ..report.linear_messages import indefinite_preconditioner, linear_not_converged, needs_hermitian, singular
from ..report.messages import operator_adjoint_wrong
from ..report.report import Report, logger
from .linear_solvers import HERMITIAN, ITERATIVE, Apply, Breakdown, Engine, iterative_engines, lu_factors
from .precision import Precision
from .space import Space

Array = np.ndarray
#: Which system: A x = b of the forward pass or of a derivative, or Aᴴ x = b.
Stage = Literal["forward", "tangent", "adjoint"]

SOLVERS = ("direct", *ITERATIVE)

#: Floors up to this many machine epsilons are believed, and none above LARGEST_FLOOR; in between, a
#: solution must change by no more than STABLE where rounding perturbs it.
SAFE_FLOOR, LARGEST_FLOOR, STABLE = 1e3, 0.1, 0.05

#: Of the vectors that an operator is tried with.
SEED = 7


class Operator(Protocol):
    """A linear map on blocks of columns, with its adjoint and a count of applications."""

    @property
    def applications(self) -> int: ...
    def apply(self, V: Array) -> Array: ...
    def adjoint(self, V: Array) -> Array: ...


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """A x = b and Aᴴ x = b for one A and any right-hand sides.

    Attributes
    ----------
    operator : Operator
    matrix : ndarray, SciPy sparse or None
        The operator's matrix, which ``"direct"`` factorises when it is first needed.
    n : int
    dtype : dtype
        Of the solution for a real right-hand side.
    solver : str
        One of `SOLVERS`.
    rtol : float
    space : Space
    preconditioner : Operator or None
        Approximates the inverse of A.
    complex_preconditioner : bool
    maxiter : int or None
        Most iterations for a system; None for `most_iterations`.
    callback : callable or None
        Called with the `Report` of every solve.
    """

    operator: Operator
    matrix: Any
    n: int
    dtype: np.dtype
    solver: str
    rtol: float
    space: Space
    preconditioner: Operator | None = None
    complex_preconditioner: bool = False
    maxiter: int | None = None
    callback: Callable[[Report], None] | None = None

    # ---- solving -----------------------------------------------------------------------------

    def solve(self, stage: Stage, b: Array, x0: Array | None = None) -> Array:
        """x with A x = b, or Aᴴ x = b for the adjoint stage; b and x of shape (n,) or (n, m)."""
        B = b[:, None] if b.ndim == 1 else b
        X0 = None if x0 is None else x0[:, None] if x0.ndim == 1 else x0
        for name, block in (("right-hand side", B), ("initial guess", X0)):
            if block is not None and not self.space.finite(block):
                raise ValueError(f"The {name} of the {stage} system holds NaN or infinity.")
        if np.iscomplexobj(B) and self.arithmetic.kind != "c":
            # Two real systems instead of one in complex arithmetic.
            m = B.shape[1]
            parts = None if X0 is None else np.concatenate([X0.real, X0.imag], axis=1)
            S = self._scaled(stage, np.concatenate([B.real, B.imag], axis=1), parts)
            return (S[:, :m] + 1j * S[:, m:]).reshape(b.shape)
        return self._scaled(stage, B, X0).reshape(b.shape)

    def _scaled(self, stage: Stage, B: Array, X0: Array | None) -> Array:
        """Columns scaled by powers of two, so that no size of b meets underflow; zeros left out."""
        dtype = np.result_type(self.dtype, np.complex64) if np.iscomplexobj(B) else self.dtype
        X = np.zeros(B.shape, dtype, order="F")
        sizes = self.space.largest_of_columns(np.abs(B))
        columns = np.flatnonzero(sizes)
        if columns.size:
            units = np.exp2(np.floor(np.log2(sizes[columns]))).astype(sizes.dtype)
            start = None if X0 is None else np.asarray(X0[:, columns] / units, dtype)
            X[:, columns] = self._iterated(stage, np.asarray(B[:, columns] / units, dtype, order="F"), start) * units
        return X

    def _iterated(self, stage: Stage, B: Array, X0: Array | None) -> Array:
        """The solution, accepted by the residuals that are recomputed here."""
        before = self.operator.applications
        goal, budget = max(self.rtol, self._precision.floor), self.maxiter or most_iterations(self.n)
        X, R, iterations = self._reduced(stage, B, X0, goal, budget, True)
        residuals, floors = self.space.safe_norms(R) / self.space.safe_norms(B), self._floors(X, B, R)
        limited = np.flatnonzero(
            (residuals > goal) & (residuals <= floors) & (floors > SAFE_FLOOR * self._precision.eps)
        )
        if limited.size and self.solver != "direct":
            stable, steps = self._stable(stage, X[:, limited], B[:, limited], R[:, limited], budget)
            floors[limited[~stable]] = 0
            iterations += steps
        applications = self.operator.applications - before
        report = Report(
            stage, self.solver, self.rtol, residuals, floors, iterations=iterations, applications=applications
        )
        logger.info("%s", report)
        if self.callback is not None:
            self.callback(report)
        if not report.converged:
            error = LinearNoConvergence if stage == "forward" else AdjointNoConvergence
            raise error(linear_not_converged(report), report)
        return X

    def _reduced(
        self, stage: Stage, B: Array, X0: Array | None, goal: float, budget: int, floored: bool
    ) -> tuple[Array, Array, int]:
        """X and R = B − A X, ‖r‖ ≤ goal ‖b‖ or (``floored``: within its floor, else anywhere) falling no more."""
        norms = self.space.safe_norms(B)
        X = np.zeros_like(B) if X0 is None else np.array(X0, order="F")
        R = B.copy(order="F") if X0 is None else B - self._image(stage, X)
        residuals, floors = self.space.safe_norms(R) / norms, np.zeros(norms.shape)
        columns = np.flatnonzero(~(residuals <= goal))
        engines, iterations = self._engines(stage), 0
        while columns.size and iterations < budget:
            left, limited = residuals[columns], residuals[columns] <= floors[columns]
            target = np.where(limited, 0.1, np.minimum(0.5 * goal / left, 0.5))
            D, steps = self._update(engines[0], stage, R[:, columns], target, budget - iterations)
            iterations += steps
            D += X[:, columns]
            try:
                rest = B[:, columns] - self._image(stage, D)
            except Breakdown:
                rest = R[:, columns]
            now = self.space.safe_norms(rest) / norms[columns]
            better = now < left
            taken = columns[better]
            X[:, taken], R[:, taken], residuals[taken] = D[:, better], rest[:, better], now[better]
            if floored:
                floors[columns] = self._floors(X[:, columns], B[:, columns], R[:, columns])
            falling = now <= np.where(limited, 0.5, 0.9) * left
            open_ = (residuals[columns] > goal) & ~(limited & ~falling)
            columns, left, now, falling = columns[open_], left[open_], now[open_], falling[open_]
            if len(engines) > 1 and np.all(now > 0.1 * left):
                engines = engines[1:]
            elif not falling.any():
                break
        return X, R, iterations

    def _stable(self, stage: Stage, X: Array, B: Array, R: Array, budget: int) -> tuple[Array, int]:
        """Whether rounding changes the solutions by little, per column; and iterations."""
        norms, part = self.space.safe_norms(X), self._precision.few_digits
        S = R + self._precision.floor * self._sizes(X, B, R) * (X / norms + self._probes()[0])
        D, rest, steps = self._reduced(stage, np.asarray(S, B.dtype, order="F"), None, part, budget, False)
        return (self.space.safe_norms(rest) <= part * self.space.safe_norms(S)) & (
            self.space.safe_norms(D) <= STABLE * norms
        ), steps

    def _update(self, engine: Engine, stage: Stage, R: Array, target: Array, maxiter: int) -> tuple[Array, int]:
        """D with A D ≈ R, zero where the solver broke down; real where the solution is."""
        rhs = np.asarray(R, np.result_type(self.arithmetic, R), order="F")
        apply, precondition, unit = self._scaled_operators(stage)
        try:
            D, steps = engine(apply, precondition, rhs, target, maxiter)
        except Breakdown:
            return np.zeros_like(R), 1
        if unit != 1:
            D = D / unit
        if np.iscomplexobj(D) and not np.iscomplexobj(R):
            D = D.real
        return np.where(self.space.finite_columns(D), D, 0).astype(R.dtype, order="F"), steps

    def _sizes(self, X: Array, B: Array, R: Array) -> Array:
        """‖A‖ ‖x‖ per column, estimated from below."""
        return np.maximum(self.norm * self.space.safe_norms(X), self.space.safe_norms(np.asfortranarray(B - R)))

    def _floors(self, X: Array, B: Array, R: Array) -> Array:
        """10 ε (‖A‖ ‖x‖ / ‖b‖ + 1) per column; no more than 10 ε where that is no small number."""
        floors = self._precision.floor * (self._sizes(X, B, R) / self.space.safe_norms(B) + 1)
        return np.where(floors < LARGEST_FLOOR, floors, self._precision.floor)

    def _engines(self, stage: Stage) -> list[Engine]:
        if self.solver == "direct":
            return [lambda A, P, R, target, maxiter: (self.factors(R, stage == "adjoint"), 1)]
        hermitian = self.solver in HERMITIAN
        if (hermitian or stage == "adjoint") and not self._adjoint_error <= self._precision.half:
            if hermitian:
                raise ValueError(needs_hermitian(self._adjoint_error, self.solver))
            raise ValueError(operator_adjoint_wrong("A", self._adjoint_error))
        return iterative_engines(self.space, self.solver, self.n)

    # ---- the operators -----------------------------------------------------------------------

    @property
    def arithmetic(self) -> np.dtype:
        """The type that solvers calculate in for a real right-hand side."""
        return np.result_type(self.dtype, np.complex64) if self.complex_preconditioner else self.dtype

    @property
    def _precision(self) -> Precision:
        return Precision.of(self.dtype)

    def _image(self, stage: Stage, V: Array) -> Array:
        """A V or Aᴴ V."""
        if stage == "adjoint" and self.solver not in HERMITIAN:
            return _checked(self.space, "A", lambda V: _adjoint("A", self.operator, V), V)
        return _checked(self.space, "A", self.operator.apply, V)

    def _scaled_operators(self, stage: Stage) -> tuple[Apply, Apply | None, float]:
        """A / s, P s and s: a power of two where A is so large or small that squares would overflow, else 1."""
        precondition, unit, eps = self._precondition(stage), 1.0, self._precision.eps
        if self.solver == "direct" or eps**2 < self.norm < eps**-2 or self.norm == 0:
            return (lambda V: self._image(stage, V)), precondition, unit
        unit = float(np.exp2(np.floor(np.log2(self.norm))))
        scaled = None if precondition is None else (lambda V: precondition(V) * unit)
        return (lambda V: self._image(stage, V) / unit), scaled, unit

    def _precondition(self, stage: Stage) -> Apply | None:
        """The preconditioner, or its adjoint, on blocks."""
        name, given = "The preconditioner", self.preconditioner
        if given is None:
            return None
        if self.solver not in HERMITIAN:
            function = (lambda V: _adjoint(name, given, V)) if stage == "adjoint" else given.apply
            return lambda V: _checked(self.space, name, function, V)

        def definite(V: Array) -> Array:
            Z = _checked(self.space, name, given.apply, V)
            energy = np.real(self.space.dots(V, Z))
            if np.any(energy < -self._precision.floor * self.space.safe_norms(V) * self.space.safe_norms(Z)):
                raise ValueError(indefinite_preconditioner(float(np.min(energy)), self.solver))
            return Z

        return definite

    def probe(self) -> Array:
        """Return a fixed pseudo-random unit vector, shape (n, 1)."""
        return self._probes()[0]

    def _probes(self) -> tuple[Array, Array]:
        """Two fixed pseudo-random unit vectors."""
        V = self.space.random(self.n, self.dtype, SEED, 2)
        V = np.asfortranarray(V / self.space.norms(V))
        return V[:, :1], V[:, 1:]

    @cached_property
    def norm(self) -> float:
        """‖A‖ from below: the growth of a pseudo-random vector in two applications."""
        v, growth = self._probes()[0], 0.0
        for _ in range(2):
            image = self._image("forward", v)
            size = float(self.space.safe_norms(image)[0])
            if size == 0:
                break
            v, growth = image / size, max(growth, size)
        return growth

    @cached_property
    def _adjoint_error(self) -> float:
        """⟨v, A w⟩ − ⟨Aᴴ v, w⟩ relative to its terms; with A for Aᴴ where the solver takes it so."""
        v, w = self._probes()
        image, adjoint = self._image("forward", w), self._image("adjoint", v)
        scale = max(float(self.space.safe_norms(image)[0]), float(self.space.safe_norms(adjoint)[0])) or 1.0
        return float(abs(self.space.dot(v, image / scale) - self.space.dot(adjoint / scale, w)))

    @cached_property
    def factors(self) -> Callable[[Array, bool], Array]:
        """V ↦ A⁻¹ V or A⁻ᴴ V by LU factors, of a matrix that is not singular to working precision."""
        solve = lu_factors(self.matrix, self.dtype)
        # A step of refinement moves the solution by its own error, whatever the rows' scales.
        v = self._probes()[0]
        y = solve(v, False)
        with np.errstate(all="ignore"):
            correction = solve(np.asarray(v - self.matrix @ y, self.dtype), False)
            change = float(self.space.safe_norms(correction)[0] / self.space.safe_norms(y)[0])
        if not change <= self._precision.few_digits:
            raise np.linalg.LinAlgError(singular(change))
        return solve


def _checked(space: Space, name: str, function: Callable[[Array], Array], V: Array) -> Array:
    """function(V), of V's shape and type; a `Breakdown` where V has overflowed."""
    if not space.finite(V):
        raise Breakdown
    try:
        result = np.asarray(function(V))
    except ValueError:
        if space.largest(np.abs(V)) > Precision.of(V.dtype).eps ** -2:  # diverged: no fault of the operator
            raise Breakdown from None
        raise
    if result.shape != V.shape:
        raise ValueError(f"{name} returned shape {result.shape} for a block of shape {V.shape}.")
    if np.iscomplexobj(result) and not np.iscomplexobj(V):
        raise TypeError(f"{name} returned complex values for real vectors: declare it with dtype=complex.")
    return np.asarray(result, V.dtype, order="F")


def _adjoint(name: str, operator: Operator, V: Array) -> Array:
    try:
        return operator.adjoint(V)
    except (NotImplementedError, TypeError) as error:
        # SciPy's operators without rmatvec raise the first for a vector, for a block they call None.
        if isinstance(error, TypeError) and "NoneType" not in str(error):
            raise
        raise NotImplementedError(
            f"{name} has no adjoint, which gradients need: give it rmatvec, or use forward mode"
        ) from error
