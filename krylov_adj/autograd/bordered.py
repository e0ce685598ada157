"""autograd: block-bordered systems as a differentiable equation, and left eigenvectors, which are a solution of one.

The eigenvalues enter as the matrix H = (P B X)⁻¹ P A X with a constant P, for which A X = B X H: a function of A, B and
X, by which a solution is a function of the space and the basis of X (perturbation/block.py), and knows nothing of gaps
between the eigenvalues.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import autograd.numpy as anp
import numpy as np

from ..perturbation.block import solve_block
from ..perturbation.gauge import check_motion
from ..perturbation.refusals import refuse_cut
from ..perturbation.rounding import rounding_of_block
from ..perturbation.systems import BorderedSystems, left_vectors
from .equations import EVERY_LEVEL, Side, Solved, attach_solution
from .pencil import TracedNonlinear, TracedPencil
from .rounding import channel_of
from .trace import seen_from, strip

__all__ = ["BlockBordered", "attach_left"]


def bordered_image(
    pencil: TracedPencil | TracedNonlinear, side: Side, z: Any, X: Any, apply: Callable[[Any], Any], t: int
) -> Any:
    """The image of z = [Z; M] under the block-bordered systems of X, as seen from level t; ``apply`` is theirs on Z."""
    X = seen_from(X, t)
    n = strip(X).shape[0]
    Z, M = z[:n], z[n:]
    BX = seen_from(pencil.slope(X), t)
    right, below = (X, BX) if side == "adjoint" else (BX, X)
    return anp.concatenate([apply(Z) + anp.dot(right, M), anp.dot(anp.conj(below).T, Z)])


@dataclass(frozen=True, eq=False)
class BlockBordered:
    """[Aᴴ Z − Bᴴ Z Hᴴ + X M; (B X)ᴴ Z] = [F; G] (adjoint), [A Z − B Z H + B X M; Xᴴ Z] = [F; G] (tangent).

    Solutions are stacked, [Z; M] of shape (n + k, k). ``channel`` is E of the pairs.
    """

    pencil: TracedPencil | TracedNonlinear
    systems: BorderedSystems
    X: Any
    channel: Any

    def at(self, t: int) -> BlockBordered:
        return replace(self, X=seen_from(self.X, t), channel=seen_from(self.channel, t))

    def solve(self, side: Side, rhs: np.ndarray) -> Solved:
        assert side != "forward"
        n = strip(self.X).shape[0]
        solution = solve_block(self.systems, side, rhs[:n], rhs[n:])
        return Solved(np.concatenate([solution.Z, solution.M]), solution.left, solution.error)

    def image(self, side: Side, z: Any, t: int) -> Any:
        assert side != "forward"
        P = self.systems.pairs.compressor
        return bordered_image(
            self.pencil, side, z, self.X, lambda Z: self.pencil.image(side, Z, seen_from(self.X, t), P, t), t
        )

    def measure_rounding(self, z: np.ndarray, left: np.ndarray, solved: Solved) -> np.ndarray:
        """The cotangent of E: what residuals and rounding leave in that of X."""
        cotangent = np.zeros_like(strip(self.channel))
        cotangent[1] = rounding_of_block(self.systems.accuracy, z, left, solved.value, solved.left)
        return cotangent

    def check_motion(self, motion: np.ndarray, solved: Solved) -> None:
        check_motion(self.systems.pairs, np.abs(motion[:2]), solved.error)


def attach_left(pencil: TracedPencil, systems: BorderedSystems, X: Any) -> Any:
    """Left eigenvectors Y (n, k) with (B X)ᴴ Y = I, as a function of what the pencil and X are traced in.

    Y is the solution for F = 0, G = I, and a function of the space and basis of X, Y(X T) = Y(X) T⁻ᴴ for every T: a
    function of X Yᴴ alone has cotangents that know nothing of single eigenvalues, however close.
    """
    refuse_cut(systems.pairs, systems.complete())
    Y = left_vectors(systems)
    n, k = Y.shape
    rhs = np.concatenate([np.zeros_like(Y), np.eye(k, dtype=Y.dtype)])
    solved = Solved(np.concatenate([Y, np.zeros((k, k), Y.dtype)]), np.zeros(k, Y.real.dtype))
    equation = BlockBordered(pencil, systems, X, channel_of(X))
    return attach_solution(equation, "adjoint", solved, rhs, EVERY_LEVEL)[:n]
