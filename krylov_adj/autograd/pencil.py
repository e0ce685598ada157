"""Eigenproblems whose operators may be traced, as the primitives see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd.extend import defjvp, defvjp, primitive

from ..options import Adjoint
from ..perturbation.problem import Eigenproblem, SideName
from .trace import derivative, seen_from, strip

Verify = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


@primitive
def inverse(E: Any) -> Any:
    """E⁻¹ of a small matrix; autograd's own has no forward mode."""
    return np.linalg.inv(E)


defvjp(inverse, lambda ans, E: lambda g: -anp.dot(anp.dot(ans.T, g), ans.T))
defjvp(inverse, lambda g, ans, E: -anp.dot(anp.dot(ans, g), ans))


def compression(P: np.ndarray, AX: Any, BX: Any) -> Any:
    """H (k, k) with A X = B X H: (P B X)⁻¹ P A X, for any P (k, n)."""
    return anp.dot(inverse(anp.dot(P, BX)), anp.dot(P, AX))


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

    def residual(self, w: Any, X: Any, verify: Verify) -> Any:
        """R = A X − B X Λ, stacked on S = Xᴴ N X − I where N is an operator: (n, k) or (n + k, k)."""
        AX, BX = self.A(X), self.slope(X)
        NX = {"2": X, "M": BX, "A": AX}[self.problem.normalization]
        verify(strip(AX), strip(BX), strip(NX))
        return self._stacked(AX - BX * w, X, NX)

    def traced_residual(self, w: Any, X: Any, P: np.ndarray, below: int) -> Any:
        """The same for pairs that are traced up to the level ``below``, with H in place of Λ.

        Λ is H in value. In derivatives of lower levels it would be read one by one; H is a function of the basis.
        """
        AX, BX = self.A(X), self.slope(X)
        NX = {"2": X, "M": BX, "A": AX}[self.problem.normalization]
        H = compression(P, seen_from(AX, below), seen_from(BX, below))
        values = strip(w) if np.iscomplexobj(strip(X)) else np.real(strip(w))
        H = H + (np.diag(values) - strip(H))
        return self._stacked(AX - anp.dot(BX, H), X, NX)

    def _stacked(self, R: Any, X: Any, NX: Any) -> Any:
        if self.problem.normalization == "2":
            return R
        return anp.concatenate([R, anp.conj(X).T @ NX - np.eye(X.shape[1], dtype=R.dtype)])

    def slope(self, X: Any) -> Any:
        """−∂R/∂λᵢ: B xᵢ."""
        return X if self.B is None else self.B(X)

    def normaliser(self, X: Any) -> Any:
        """N X; of a matrix that is not Hermitian xᴴNx = 1 knows the Hermitian part only, in its real part."""
        name = self.problem.normalization
        NX = {"2": lambda X: X, "M": self.slope, "A": self.A}[name](X)
        adjoint = {"2": None, "M": self.B_adjoint, "A": self.A_adjoint}[name]
        return NX if adjoint is None or self.problem.hermitian else 0.5 * (NX + adjoint(X))

    def image(self, side: SideName, Z: Any, X: Any, P: np.ndarray, t: int) -> Any:
        """A Z − B Z H, or Aᴴ Z − Bᴴ Z Hᴴ, with H = (P B X)⁻¹ P A X, as seen from level t."""
        return self.image_with(side, Z, compression(P, seen_from(self.A(X), t), seen_from(self.slope(X), t)), t)

    def image_with(self, side: SideName, Z: Any, H: Any, t: int) -> Any:
        """A Z − B Z H, or Aᴴ Z − Bᴴ Z Hᴴ, as seen from level t."""
        H = H if side == "tangent" else anp.conj(H).T
        if side == "tangent" or self.problem.hermitian:
            return seen_from(self.A(Z), t) - anp.dot(seen_from(self.slope(Z), t), H)
        BZ = Z if self.B_adjoint is None else seen_from(self.B_adjoint(Z), t)
        return seen_from(self.A_adjoint(Z), t) - anp.dot(BZ, H)


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

    def residual(self, w: Any, X: Any, verify: Verify) -> Any:
        assert self.A is not None
        R = self.A(X)
        verify(strip(R), strip(self.minus_derivative), strip(X))
        return R

    def traced_residual(self, w: Any, X: Any, P: np.ndarray, below: int) -> Any:
        assert self.A is not None
        return self.A(X)

    def slope(self, X: Any) -> Any:
        return self.minus_derivative

    def normaliser(self, X: Any) -> Any:
        return X

    def image(self, side: SideName, Z: Any, X: Any, P: np.ndarray, t: int) -> Any:
        """T(λ) Z, or T(λ)ᴴ Z, as seen from level t: the eigenvalue of A is 0, wherever λ is."""
        assert self.A is not None
        assert self.A_adjoint is not None
        return seen_from(self.A(Z) if side == "tangent" else self.A_adjoint(Z), t)


def augmented_pencil(
    apply: Callable[[Any], Any], apply_adjoint: Callable[[Any], Any], rows: int, problem: Eigenproblem, options: Adjoint
) -> TracedPencil:
    """Return [[0, A], [Aᴴ, 0]] of a traced A with so many rows; ``problem`` has it on plain values."""

    def augmented(X: Any) -> Any:
        return anp.concatenate([apply(X[rows:]), apply_adjoint(X[:rows])])

    return TracedPencil(problem, options, augmented, augmented, None, None)
