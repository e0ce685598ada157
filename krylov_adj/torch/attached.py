"""PyTorch: from the arguments of a call to differentiable pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
import torch

from ..forward.operands import as_scipy
from ..options import Adjoint
from .channel import empty_channel
from .contraction import applied
from .layers import plain_number
from .operands import Operand, read
from .operators import LinearOperator, csr_array
from .pencil import scale
from .primitives import Attached
from .pullback import without_autocast
from .session import Session
from .values import Eigenpairs

__all__ = ["Pairs", "attach", "check_options", "plain_argument", "plain_operator", "read_pair", "start_vector"]

#: Of the start vector where none is given: the same in every run of one program.
SEED = 11


@dataclass(frozen=True, eq=False)
class Pairs:
    """Differentiable eigenpairs in the units of their solve, and what Functions on them are given.

    ``units`` are None where all of them are one.
    """

    problem: Any
    session: Session
    tensors: list[Any]
    w: Any
    X: Any
    E: Any
    units: Any
    ticket: Any

    def restored(self) -> tuple[Any, Any]:
        """Return w and X in the units of the caller."""
        w, X = scale(self.w, self.units, 2), self.X
        if self.session.unit:  # of X̂ with X̂ᴴBX̂ = I in any units, handed on with unit 2-norm
            return w, X / torch.sqrt(torch.sum(torch.abs(X) ** 2, 0))
        return w, scale(X, self.units, 3)


def attach(problem: Any, device: Any) -> Pairs:
    """Solve on plain values, and return the pairs as functions of the problem's tensors."""
    session = Session(problem)
    with without_autocast(device):
        w, X, pairing, units, ticket = Eigenpairs.apply(
            problem, session, device, *[t.detach() for t in problem.tensors]
        )
        traced = problem.for_derivatives(session)
        E = empty_channel(X)
        w, X, E = applied(Attached, traced, session, w, X, E, pairing, units, ticket, *problem.tensors)
    given = None if session.trivial else units
    return Pairs(traced, session, problem.tensors, w, X, E, given, ticket)


def read_pair(A: Any, M: Any, square: bool = True) -> tuple[Operand, Operand | None]:
    """Return A and M as operands.

    Raises
    ------
    TypeError, ValueError
        Where they are none, or of shapes or on devices that do not fit.
    """
    of_A = read(A, "A")
    if square and of_A.shape[0] != of_A.shape[1]:
        raise ValueError(f"expected square matrix (shape={of_A.shape})")
    if M is None:
        return of_A, None
    of_M = read(M, "M")
    if of_M.shape != of_A.shape:
        raise ValueError(f"wrong M dimensions {of_M.shape}, should be {of_A.shape}")
    if of_M.device != of_A.device and not (isinstance(M, np.ndarray) or sp.issparse(M)):
        raise ValueError(f"A is on the device {of_A.device}, M on {of_M.device}")
    return of_A, of_M


def check_options(adjoint: Any) -> Adjoint:
    """Return the options."""
    if adjoint is None:
        return Adjoint()
    if not isinstance(adjoint, Adjoint):
        raise TypeError(f"adjoint must be krylov_adj.torch.Adjoint(...), not {type(adjoint).__name__}")
    return adjoint


def plain_argument(x: Any, name: str) -> Any:
    """Return an argument of the solver without a tensor in it."""
    return plain_number(x, name)


def plain_operator(given: Any, name: str, hermitian: bool) -> Any:
    """Return OPinv or Minv for SciPy: constant, with the values that it has now.

    Raises
    ------
    TypeError
        Where it is no operator.
    """
    if given is None or isinstance(given, (np.ndarray, spla.LinearOperator)) or sp.issparse(given):
        return given
    if isinstance(given, (LinearOperator, csr_array, torch.Tensor)):
        operand = read(given, name)
        return as_scipy(operand.value([plain_tensor(t, name) for t in operand.tensors], hermitian, name))
    return spla.aslinearoperator(given)


def plain_tensor(t: Any, name: str) -> Any:
    """Return a tensor without derivatives and wrappers."""
    return torch.as_tensor(plain_number(t, name))


def start_vector(v0: Any, rng: Any, n: int, dtype: np.dtype) -> Any:
    """Return v0, a random one if an ``rng`` is given, else a fixed one.

    A forward pass that runs again, as under `torch.utils.checkpoint`, must find the same signs and phases.
    """
    if v0 is not None:
        v0 = np.asarray(plain_number(v0, "v0"))
        return v0.astype(np.result_type(v0, dtype)) if v0.dtype.kind in "fciub" else v0
    generator = np.random.default_rng(SEED if rng is None else rng)
    v = generator.standard_normal(n)
    return (v + 1j * generator.standard_normal(n) if dtype.kind == "c" else v).astype(dtype)
