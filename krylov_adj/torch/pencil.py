"""PyTorch: eigenproblems as functions of the tensors that their operators read, and of plain values.

All products are in the units of the solve: A and M times ``units[0]`` and ``units[1]`` (`Found.units`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from ..perturbation.derivatives import Maps
from ..perturbation.problem import ValueOperator
from ..perturbation.structures import PENCIL, Pencil
from .namespace import xp
from .operands import Operand
from .session import Found, FoundSubspace, Session

__all__ = ["StandardPencil", "compression", "found_by", "in_common_type", "scale", "values_of"]

Array = np.ndarray


def scale(V: Any, units: Any, number: int) -> Any:
    """Return V times one of the units, which are None where all of them are one."""
    return V if units is None else V * units[number].to(V.real.dtype if V.is_complex() else V.dtype)


def in_common_type(*tensors: Any) -> list[Any]:
    """Return tensors in one type: PyTorch multiplies no real matrix with a complex one."""
    dtype = tensors[0].dtype
    for t in tensors[1:]:
        dtype = torch.promote_types(dtype, t.dtype)
    return [t if t.dtype == dtype else t.to(dtype) for t in tensors]


def compression(P: Any, mask: Any, AX: Any, BX: Any) -> Any:
    """Return H (k, k) with A X = B X H: (P B X)⁻¹ P A X, of the pairs in the ``mask`` (k,), and zero for others."""
    P, AX, BX = in_common_type(P, AX, BX)
    outside = torch.diag(1 - mask).to(P.dtype)
    return torch.linalg.solve(P @ BX + outside, P @ AX)


def found_by(maps: Maps) -> Found:
    """Return what a solve of the core has found."""
    pairs, a = maps.systems.pairs, maps.residuals / maps.vectors
    return Found(pairs.w, pairs.X, maps.systems, a, a / maps.values, maps.values, maps.vectors)


def values_of(
    A: Operand, M: Operand | None, tensors: Sequence[Any], hermitian: bool
) -> tuple[ValueOperator, ValueOperator | None]:
    """Return A and M on plain arrays, for plain tensors in the place of theirs."""
    in_A = len(A.tensors)
    of_M = None if M is None else M.value(tensors[in_A:], hermitian, "M")
    return A.value(tensors[:in_A], hermitian, "A"), of_M


@dataclass(frozen=True, eq=False)
class StandardPencil:
    """A x = λ M x.

    Attributes
    ----------
    A : Operand
    M : Operand or None
    hermitian : bool
    solver : callable
        Solves for plain tensors.
    structure : Pencil
        What the pairs are besides.
    """

    A: Operand
    M: Operand | None
    hermitian: bool
    solver: Callable[[Sequence[Any]], Found | FoundSubspace]
    structure: Pencil = PENCIL
    nonlinear: ClassVar[bool] = False

    @property
    def tensors(self) -> list[Any]:
        return [*self.A.tensors, *([] if self.M is None else self.M.tensors)]

    def check_versions(self) -> None:
        for operand in (self.A, self.M):
            if operand is not None:
                operand.check_versions()

    def for_derivatives(self, session: Session) -> StandardPencil:
        """Return the pencil that is differentiated: matrices that have to be Hermitian enter by that part."""
        A = self.A.hermitian_part() if self.hermitian else self.A
        M = self.M
        if M is not None and (self.hermitian or session.normalization == "M"):
            M = M.hermitian_part()
        return replace(self, A=A, M=M)

    def solve(self, tensors: Sequence[Any]) -> Found | FoundSubspace:
        """Return the pairs for plain tensors."""
        return self.solver(tensors)

    # ---- functions of tensors ----------------------------------------------------------------

    def image(self, tensors: Sequence[Any], units: Any, w: Any, V: Any, adjoint: bool = False) -> Any:
        """Return A V, or Aᴴ V."""
        return scale(self.A.apply(tensors[: len(self.A.tensors)], V, adjoint and not self.hermitian), units, 0)

    def slope(self, tensors: Sequence[Any], units: Any, w: Any, V: Any, adjoint: bool = False) -> Any:
        """Return −∂R/∂λᵢ, B vᵢ, or Bᴴ vᵢ."""
        if self.M is None:
            return V
        return scale(self.M.apply(tensors[len(self.A.tensors) :], V, adjoint and not self.hermitian), units, 1)

    def normaliser(self, session: Session, tensors: Sequence[Any], units: Any, w: Any, X: Any) -> Any:
        """Return N X; of a matrix that is not Hermitian xᴴNx = 1 knows the Hermitian part only, in its real part."""
        if session.normalization == "2":
            return X
        apply: Callable[..., Any] = self.image if session.normalization == "A" else self.slope
        NX = apply(tensors, units, w, X)
        return NX if self.hermitian else 0.5 * (NX + apply(tensors, units, w, X, True))

    def residual(self, session: Session, tensors: Sequence[Any], units: Any, w: Any, X: Any, H: Any) -> tuple[Any, ...]:
        """Return R = A X − B X Λ, with H in the place of Λ unless it is None, and XᴴNX − I where N is no identity."""
        AX, BX = self.image(tensors, units, w, X), self.slope(tensors, units, w, X)
        if H is None:
            R = AX - BX * w
        else:
            BX, H = in_common_type(BX, H)
            R = AX - BX @ H
        if session.normalization == "2":
            return (R,)
        NX = AX if session.normalization == "A" else BX
        left, right = in_common_type(xp.conj(X).T, NX)
        return R, left @ right - torch.eye(X.shape[1], dtype=right.dtype, device=X.device)

    def compressed(self, tensors: Sequence[Any], units: Any, w: Any, X: Any, P: Any, mask: Any) -> Any:
        """Return H with A X = B X H, which is Λ, as a function of the basis."""
        return compression(P, mask, self.image(tensors, units, w, X), self.slope(tensors, units, w, X))

    def block_image(
        self, side: str, tensors: Sequence[Any], units: Any, w: Any, X: Any, Z: Any, P: Any, mask: Any
    ) -> Any:
        """Return A Z − B Z H, or Aᴴ Z − Bᴴ Z Hᴴ, see perturbation/block.py."""
        back = side == "adjoint"
        H = self.compressed(tensors, units, w, X, P, mask)
        BZ, H = in_common_type(self.slope(tensors, units, w, Z, back), xp.conj(H).T if back else H)
        return self.image(tensors, units, w, Z, back) - BZ @ H
