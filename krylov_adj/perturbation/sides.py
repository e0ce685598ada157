"""R_i on the complement of what is deflated, from both sides.

Adjoint side: R_i = (A − λ_i B)ᴴ maps (B X)^⊥ into X^⊥; tangent side: R_i = A − λ_i B maps X^⊥ into
(B X)^⊥. Both see only eigenvalues that were not computed. The projectors act at every step, so
that rounding does not bring the deflated directions back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..krylov.space import Space
from ..report.linear_messages import preconditioner_without_adjoint
from .pairs import DeflatedPairs
from .problem import SideName

Array = np.ndarray
Apply = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two families of systems R_i u_i = b_i of given pairs. Made by `adjoint_side` and `tangent_side`.

    Attributes
    ----------
    pairs : DeflatedPairs
    name : {"adjoint", "tangent"}
        For reports, and for what is kept of solutions.
    Q_in, Q_out : ndarray, shape (n, d)
        Orthonormal bases of what solutions and right-hand sides are orthogonal to.
    pencil : callable
        ``pencil(V, w)`` is (A − wᵢB) vᵢ or its conjugate transpose, for every column.
    A : callable
        A or Aᴴ.
    B : callable or None
        B or Bᴴ; None for the identity.
    inverse : callable or None
        (A − σB)⁻¹ of the forward pass, or its conjugate transpose.
    shifts : ndarray, shape (k,)
        λ_i or conj λ_i: R_i is A − λ_i B of these operators.
    sigma : complex
        Likewise of the inverse; zero without one.
    adjoint : bool
        R_i is a conjugate transpose of A − λ_i B.
    consistent : bool
        Right-hand sides are in the range of R_i, also of a singular one: any solution will do.
    """

    pairs: DeflatedPairs
    name: SideName
    Q_in: Array
    Q_out: Array
    pencil: Callable[[Array, Array], Array]
    A: Apply
    B: Apply | None
    inverse: Apply | None
    shifts: Array
    sigma: complex
    adjoint: bool
    consistent: bool = False

    def project_in(self, V: Array) -> Array:
        """V without its part that solutions do not have."""
        return self.pairs.space.project_out(self.Q_in, V)

    def project_out(self, V: Array) -> Array:
        """V without its part that right-hand sides do not have."""
        return self.pairs.space.project_out(self.Q_out, V)

    def apply(self, V: Array, columns: Array) -> Array:
        """R_i v_i for the given column numbers."""
        return self.pencil(V, self.pairs.w[columns])

    def images(self, V: Array, columns: Array) -> Callable[[int], Array]:
        """i ↦ P_out R V for the i-th of the columns, from one application of A and B."""
        AV = self.A(V)
        BV = V if self.B is None else self.B(V)
        shifts = self.shifts[columns]
        return lambda i: self.project_out(AV - BV * shifts[i])

    def matrix(self, A: Any, B: Any, i: int) -> Any:
        """R_i of explicit matrices A and B of the pencil."""
        R = A - self.pairs.w[i] * B
        return R.conj().T if self.adjoint else R

    def precondition(self) -> Apply | None:
        """The user's preconditioner, or the inverse of the forward pass, or None; for blocks."""
        given = self.pairs.options.preconditioner
        if given is None:
            return self.inverse
        return _block_function(self.pairs.space, given, self.adjoint and not self.pairs.problem.hermitian)

    def rounding(self, U: Array, columns: Array | slice = slice(None)) -> Array:
        """The rounding in R_i u_i: 10 ε ‖R‖ ‖u‖, ‖R‖ from below."""
        norm_A, norm_B = self.pairs.problem.norms
        norm_R = norm_A + np.abs(self.pairs.w[columns]) * norm_B
        return self.pairs.precision.floor * norm_R * self.pairs.space.norms(U)

    def distance(self, i: int, v: Array) -> float:
        """‖R_i v‖/‖B v‖ on the complement: how far from w_i the eigenvalue is whose eigenvector v may be."""
        v = self.project_in(v.reshape(-1, 1))
        norm = self.pairs.space.norm(v)
        if norm == 0 or not np.isfinite(norm):
            return float("inf")
        v = v / norm
        image = self.project_out(self.apply(v, np.array([i])))
        return self.pairs.space.norm(image) / self.pairs.space.norm(self.pairs.problem.apply_B(v))


def adjoint_side(pairs: DeflatedPairs, consistent: bool = False) -> Side:
    """R_i = (A − λ_i B)ᴴ; where right-hand sides are ``consistent``, any solution of a singular system will do."""
    problem, inverse = pairs.problem, pairs.problem.inverse
    A, B = (
        None if operator is None else operator.apply if problem.hermitian else operator.adjoint
        for operator in (problem.A, problem.B)
    )
    assert A is not None
    return Side(
        pairs,
        name="adjoint",
        adjoint=True,
        Q_in=pairs.Q_BX,
        Q_out=pairs.Q_X,
        pencil=problem.pencil_adjoint,
        A=A,
        B=B,
        shifts=np.conj(pairs.w),
        inverse=None if inverse is None else inverse.operator.adjoint,
        sigma=0 if inverse is None else inverse.sigma.conjugate(),
        consistent=consistent,
    )


def tangent_side(pairs: DeflatedPairs) -> Side:
    """R_i = A − λ_i B."""
    problem, inverse = pairs.problem, pairs.problem.inverse
    return Side(
        pairs,
        name="tangent",
        adjoint=False,
        Q_in=pairs.Q_X,
        Q_out=pairs.Q_BX,
        pencil=problem.pencil,
        A=problem.A.apply,
        B=None if problem.B is None else problem.B.apply,
        shifts=pairs.w,
        inverse=None if inverse is None else inverse.operator.apply,
        sigma=0 if inverse is None else inverse.sigma,
    )


def _block_function(space: Space, given: Any, adjoint: bool) -> Callable[[Array], Array]:
    """A preconditioner, or its adjoint, as a function of blocks."""
    is_operator = hasattr(given, "matvec")
    function = given if not is_operator else given.rmatmat if adjoint else given.matmat
    real = is_operator and np.dtype(getattr(given, "dtype", None)).kind != "c"

    def apply(V: Array) -> Array:
        try:
            # Functions of a real operator may drop imaginary parts.
            split = real and np.iscomplexobj(V)
            result = function(V.real) + 1j * function(V.imag) if split else np.asarray(function(V))
        except (NotImplementedError, TypeError) as error:
            # SciPy's operators without rmatvec raise the first for a vector, for a block they call None.
            if not adjoint or (isinstance(error, TypeError) and "NoneType" not in str(error)):
                raise
            raise NotImplementedError(preconditioner_without_adjoint()) from error
        if result.shape != V.shape or not space.finite(result):
            raise ValueError(
                f"The preconditioner returned shape {result.shape} for a block of shape {V.shape}, or NaN or "
                "infinity. It must map blocks of columns to blocks of the same shape."
            )
        return result

    return apply
