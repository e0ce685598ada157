"""Problems as JAX sees them: codes and what else is static, and the maps of operands that derivatives are made of.

Operands of every primitive begin with those of A and of M. The *point* that follows them is where a derivative is
taken: w, X, the shift, the units of the host's systems (λ/λ′, x/x′, R/R′: powers of two), and a token by which the host
finds these systems again. Functions of this module compute in those units, marked by a prime in the core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..options import Adjoint
from ..perturbation.problem import SideName
from ..perturbation.structures import PENCIL, Nonlinear, Pencil, Triplets
from .codes import Code, apply

__all__ = ["POINT", "Problem", "at_point", "point_shapes", "residual_tangent"]

#: The number of arrays of a point.
POINT = 5


@dataclass(frozen=True)
class Problem:
    """The static part of a call; equal ones share compiled programs.

    Attributes
    ----------
    codes : tuple of Code
        A's, or T(λ)'s of a nonlinear problem, and M's.
    counts : tuple of int
        The numbers of their operands.
    n, k : int
        Entries of X.
    dtype : dtype
        Of the pencil.
    hermitian : bool
        The eigenvalues are real.
    recall : callable
        ``recall(host, w, X, aside)`` makes the derivative maps of pairs that were computed before.
    normalization : {"2", "M", "A"}
    structure : {"pencil", "triplets", "nonlinear", "subspace"}
        Of a subspace H, (k, k), stands in the place of w.
    options : Adjoint
    request : tuple
        The forward solve: fields of the core's request; empty for pairs that are given.
    shifted : bool
        There is a shift.
    complex_pairs : bool
        Eigenpairs are complex, though the problem may be real.
    unit : bool
        Vectors X̂ with X̂ᴴMX̂ = I are handed on with unit 2-norm.
    """

    codes: tuple[Code, ...]
    counts: tuple[int, ...]
    n: int
    k: int
    dtype: np.dtype
    hermitian: bool
    recall: Callable[[Any, Any, Any, Any], Any]
    normalization: str = "2"
    structure: str = "pencil"
    options: Adjoint = field(default_factory=Adjoint)
    request: tuple[tuple[str, Any], ...] = ()
    shifted: bool = False
    complex_pairs: bool = False
    unit: bool = False

    @property
    def operands(self) -> int:
        """The number of the operators' operands."""
        return sum(self.counts)

    @property
    def w_shape(self) -> tuple[int, ...]:
        return (self.k, self.k) if self.structure == "subspace" else (self.k,)

    @property
    def w_dtype(self) -> np.dtype:
        real = self.hermitian and self.structure != "subspace"
        return np.zeros(0, self.dtype).real.dtype if real else self.X_dtype

    @property
    def X_dtype(self) -> np.dtype:
        return np.result_type(self.dtype, np.complex64) if self.complex_pairs else self.dtype

    @property
    def mass(self) -> Code | None:
        return self.codes[1] if len(self.codes) > 1 else None

    @property
    def real_pencil(self) -> bool:
        """Eigenvectors of a real problem that are complex, so that conjugate pairs belong together."""
        return self.dtype.kind != "c" and self.X_dtype.kind == "c"

    @property
    def core_structure(self) -> Pencil:
        """The structure that the core knows; the slope of a nonlinear problem is not known here."""
        if self.structure == "triplets":
            return Triplets(self.codes[0].shape[0])
        return Nonlinear(np.zeros((0, 1))) if self.structure == "nonlinear" else PENCIL

    def parts(self, consts: Sequence[Any]) -> list[list[Any]]:
        """The operands of every code."""
        ends = np.cumsum(self.counts)
        return [list(consts[end - count : end]) for end, count in zip(ends, self.counts, strict=True)]

    def applied_parts(self, consts: Sequence[Any], arrays: Sequence[Any]) -> list[list[Any]]:
        """The same with λ, the first of the arrays' entries, behind those of T(λ)."""
        parts = self.parts(consts)
        if self.structure == "nonlinear":
            parts[0].append(arrays[0][0])
        return parts


def point_shapes(problem: Problem) -> list[jax.ShapeDtypeStruct]:
    """Return the shapes of w, X, the units and the token."""
    real = np.zeros(0, problem.X_dtype).real.dtype
    shapes = problem.w_shape, (problem.n, problem.k), (3,), (2,)
    types = problem.w_dtype, problem.X_dtype, real, np.dtype(np.uint32)
    return [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in zip(shapes, types, strict=True)]


@dataclass(frozen=True)
class At:
    """A problem at the pairs of a point, in the units of the host's systems; traced."""

    problem: Problem
    consts: Sequence[Any]
    w: Any
    X: Any
    a: Any
    m: Any

    def _apply(self, which: int, Z: Any, adjoint: bool) -> Any:
        problem = self.problem
        code, operands = problem.codes[which], problem.parts(self.consts)[which]
        if problem.structure == "triplets":
            rows = code.shape[0]
            return jnp.concatenate([apply(code, operands, Z[rows:]), apply(code, operands, Z[:rows], True)])
        if problem.structure == "nonlinear":
            operands = [*operands, self.w[0]]
        hermitian = problem.hermitian or (which == 1 and problem.normalization == "M")
        if hermitian and code.explicit:  # derivatives in the entries are those of the Hermitian part
            return 0.5 * (apply(code, operands, Z) + apply(code, operands, Z, True))
        return apply(code, operands, Z, adjoint and not hermitian)

    def A(self, Z: Any, adjoint: bool = False) -> Any:
        """A′ Z or A′ᴴ Z."""
        return self._apply(0, Z, adjoint) / self.a

    def B(self, Z: Any, adjoint: bool = False) -> Any:
        """B′ Z or B′ᴴ Z."""
        return Z if self.problem.mass is None else self._apply(1, Z, adjoint) / self.m

    def slope(self, X: Any) -> Any:
        """−∂R/∂λᵢ: B xᵢ, or −T′(λ) x."""
        if self.problem.structure != "nonlinear":
            return self.B(X)

        def image(w: Any) -> Any:
            return replace(self, w=w).A(X)

        return -jax.jvp(image, (self.w,), (jnp.ones_like(self.w),))[1]

    def normaliser(self) -> Any:
        """N X."""
        name = self.problem.normalization
        if name == "2":
            return self.X
        operator = self.B if name == "M" else self.A
        if self.problem.hermitian:
            return operator(self.X)
        return 0.5 * (operator(self.X) + operator(self.X, adjoint=True))

    def compression(self, AX: Any, BX: Any, chosen: Any) -> Any:
        """H (k, k) with A X = B X H: (P B X)⁻¹ P A X of the ``chosen`` pairs, with a constant P; zero of others.

        Λ is H in value. In derivatives it would be read one by one; H is a function of the basis.
        """
        Q, R = jnp.linalg.qr(jax.lax.stop_gradient(BX))
        P = jax.scipy.linalg.solve_triangular(R, jnp.conj(Q).T)
        both = chosen[:, None] * chosen
        E = (P @ BX) * both + jnp.diag(1 - chosen)
        return jnp.linalg.inv(E) @ ((P @ AX) * both)

    def in_basis(self, side: SideName, Z: Any, chosen: Any) -> Any:
        """A Z − B Z H, or Aᴴ Z − Bᴴ Z Hᴴ."""
        adjoint = side == "adjoint"
        AZ = self.A(Z, adjoint)
        if self.problem.structure == "nonlinear":  # the eigenvalue of A = T(λ) is 0, wherever λ is
            return AZ
        if self.problem.structure == "subspace":
            H = self.w
        else:
            H = self.compression(self.A(self.X), self.B(self.X), chosen)
        return AZ - self.B(Z, adjoint) @ (jnp.conj(H).T if adjoint else H)


def at_point(problem: Problem, consts: Sequence[Any], point: Sequence[Any]) -> At:
    """Return the problem at a point, in the units of the host's systems."""
    w, X, _, units, _ = point
    values, vectors, residuals = (jax.lax.stop_gradient(units[i]) for i in range(3))
    a = residuals / vectors
    return At(problem, consts, w / values, X / vectors, a, a / values)


@partial(jax.jit, static_argnums=(0, 1))
def residual_tangent(
    problem: Problem, active: tuple[int, ...], consts: Sequence[Any], tangents: Sequence[Any], w: Any, X: Any
) -> list[Any]:
    """Return tangents of R = A X − B X Λ and, unless vectors have unit 2-norm, of S = XᴴNX − I, at fixed (w, X).

    These are in the caller's units; ``tangents`` are those of the operands whose numbers are ``active``.
    """
    one = jnp.ones((), X.real.dtype)
    at = At(problem, consts, w, X, one, one)
    H = w if problem.structure == "subspace" else None
    if problem.mass is not None and H is None:
        H = at.compression(at.A(X), at.B(X), jnp.ones(problem.k, X.real.dtype))

    def residual(*changed: Any) -> list[Any]:
        moved = list(consts)
        for number, value in zip(active, changed, strict=True):
            moved[number] = value
        there = replace(at, consts=moved)
        AX = there.A(X)
        BX: Any = None if problem.mass is None else there.B(X)  # of a constant B X Λ has no tangent
        R = AX if BX is None else AX - BX @ H
        if problem.normalization == "2":
            return [R]
        return [R, jnp.conj(X).T @ (BX if problem.normalization == "M" else AX)]

    return jax.jvp(residual, tuple(consts[number] for number in active), tuple(tangents))[1]
