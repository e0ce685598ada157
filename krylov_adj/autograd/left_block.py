"""autograd: left eigenvectors, differentiable to any order.

Y is the solution of the block-bordered systems for F = 0, G = I, and a function of the space and basis of X,
Y(X T) = Y(X) T⁻ᴴ for every T: a function of X Yᴴ alone has cotangents that know nothing of single eigenvalues,
however close.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..perturbation.bordered import BorderedSystems
from ..perturbation.left import left_vectors
from ..perturbation.refusals import refuse_cut
from .equations import Block, anchor
from .pencil import TracedPencil
from .rounding import channel_of

__all__ = ["attach_left"]


def attach_left(pencil: TracedPencil, systems: BorderedSystems, X: Any) -> Any:
    """Y (n, k) with (B X)ᴴ Y = I, as a function of what the pencil and X are traced in."""
    refuse_cut(systems)
    Y = left_vectors(systems)
    n, k = Y.shape
    rhs = np.concatenate([np.zeros_like(Y), np.eye(k, dtype=Y.dtype)])
    block = Block(pencil, systems, "adjoint", X, channel_of(X))
    # In the forward pass all Boxes are alive.
    return anchor(block, np.concatenate([Y, np.zeros((k, k), Y.dtype)]), np.zeros(k, Y.real.dtype), rhs, sys.maxsize)[
        :n
    ]
