"""Eigenproblems whose operators may be traced, as the primitives see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import autograd.numpy as anp
import numpy as np

from ..options import Adjoint
from ..perturbation.problem import Eigenproblem, Side
from ._trace import derivative, strip

Verify = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class TracedPencil:
    """A x = λ B x, traced and (``problem``) as plain values.

    ``A``, ``A_adjoint``, ``B``, ``B_adjoint`` map blocks of vectors and return what the user's
    operators return, Boxes included; B is None for the standard problem.
    """

    problem: Eigenproblem
    options: Adjoint
    A: Callable[[Any], Any]
    A_adjoint: Callable[[Any], Any]
    B: Callable[[Any], Any] | None
    B_adjoint: Callable[[Any], Any] | None

    def at(self, w: Any, X: Any) -> TracedPencil:
        """The pencil for pairs of a given level."""
        return self

    def residual(self, w: Any, X: Any, verify: Verify | None = None) -> Any:
        """R = A X − B X Λ, stacked on S = Xᴴ N X − I where N is an operator: (n, k) or (n + k, k)."""
        AX = self.A(X)
        BX = self.slope(X)
        NX = {"2": X, "M": BX, "A": AX}[self.problem.normalization]
        if verify is not None:
            verify(strip(AX), strip(BX), strip(NX))
        R = AX - BX * w
        if self.problem.normalization == "2":
            return R
        return anp.concatenate([R, anp.conj(X).T @ NX - np.eye(X.shape[1], dtype=R.dtype)])

    def slope(self, X: Any) -> Any:
        """−∂R/∂λᵢ: B xᵢ."""
        return X if self.B is None else self.B(X)

    def normaliser(self, X: Any) -> Any:
        """N X."""
        return {"2": lambda X: X, "M": self.slope, "A": self.A}[self.problem.normalization](X)

    def shifted(self, side: Side, w: Any, V: Any) -> Any:
        """(A − wᵢB) vᵢ, or its adjoint, for every column."""
        if side == "tangent" or self.problem.hermitian:
            return self.A(V) - self.slope(V) * w
        BV = V if self.B_adjoint is None else self.B_adjoint(V)
        return self.A_adjoint(V) - BV * anp.conj(w)


@dataclass(frozen=True)
class TracedNonlinear:
    """T(λ) x = 0 at one pair, with the interface of `TracedPencil`.

    ``T(λ)`` gives the functions that apply T(λ) and its adjoint to blocks. Both, and −T′(λ)x, are
    made in the forward pass for the pair of every level (`at`), so that no trace is opened in a
    backward pass. As an eigenproblem it is A = T(λ) at its eigenvalue 0, with −T′(λ)x for B x.
    """

    problem: Eigenproblem
    options: Adjoint
    T: Callable[[Any], tuple[Callable[[Any], Any], Callable[[Any], Any]]]
    A: Callable[[Any], Any] | None = None
    A_adjoint: Callable[[Any], Any] | None = None
    minus_derivative: Any = None

    def at(self, w: Any, X: Any) -> TracedNonlinear:
        A, A_adjoint = self.T(w[0])
        minus_derivative = -derivative(lambda lam: self.T(lam)[0](X), w[0])
        return replace(self, A=A, A_adjoint=A_adjoint, minus_derivative=minus_derivative)

    def residual(self, w: Any, X: Any, verify: Verify | None = None) -> Any:
        assert self.A is not None
        R = self.A(X)
        if verify is not None:
            verify(strip(R), strip(self.minus_derivative), strip(X))
        return R

    def slope(self, X: Any) -> Any:
        return self.minus_derivative

    def normaliser(self, X: Any) -> Any:
        return X

    def shifted(self, side: Side, w: Any, V: Any) -> Any:
        assert self.A is not None
        assert self.A_adjoint is not None
        return self.A(V) if side == "tangent" else self.A_adjoint(V)
