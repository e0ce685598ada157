"""PyTorch: differentiable solution of linear systems."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import torch

from ..krylov.linear_solvers import HERMITIAN
from ..krylov.linear_system import SOLVERS, LinearSystem
from ..krylov.space import WHOLE
from .attached import plain_argument, read_pair
from .contraction import applied, one_by_one
from .layers import check_batches, refuse_transforms
from .namespace import TORCH_TYPES, to_numpy, to_tensor
from .operands import Operand
from .pullback import directional, in_full_precision, pullback, without_autocast

__all__ = ["solve"]


@torch.compiler.disable
def solve(A: Any, b: Any, *, solver: str | None = None, rtol: float = 1e-10, x0: Any = None) -> Any:
    """Solve A x = b, differentiably.

    Parameters
    ----------
    A : tensor, csr_array, LinearOperator, array or SciPy sparse matrix
        Shape (n, n), nonsingular.
    b : tensor or array, shape (n,) or (n, m)
    solver : {"auto", "direct", "gmres", "minres", "cg", "bicgstab", "gcrot"}, optional
        As in `krylov_adj.solve`; by default ``"direct"`` where A is a matrix, else ``"gmres"``.
    rtol : float, optional
        Largest accepted residual, relative to b, of the systems of derivatives too.
    x0 : array or tensor, shape of b, optional
        Initial guess; no derivative passes through it.

    Returns
    -------
    x : tensor, shape of b

    Raises
    ------
    LinearNoConvergence, AdjointNoConvergence, numpy.linalg.LinAlgError, ValueError
        As `krylov_adj.solve`.
    TypeError, NotImplementedError
        As `eigs`.

    Derivative
    ----------
    With respect to b and everything that A depends on, to any order, in forward and reverse mode.

    Examples
    --------
    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> p = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    >>> A = kt.LinearOperator((3, 3), lambda v: p * v + v.roll(1), dtype=torch.float64)
    >>> kt.solve(A, torch.ones(3)).sum().backward()  # x = 1 / (p + 1)
    >>> print(round(float(p.grad), 9))
    -0.75
    """
    refuse_transforms("solve")
    operand, _ = read_pair(A, None)
    n, b = operand.shape[0], b if isinstance(b, torch.Tensor) else to_tensor(b)
    if b.ndim not in (1, 2) or b.shape[0] != n:
        raise ValueError(f"expected b of shape ({n},) or ({n}, m), got {tuple(b.shape)}")
    if not 0 <= rtol < 1:
        raise ValueError(f"rtol={rtol!r}: expected a number in [0, 1)")
    if solver in (None, "auto"):
        solver = "gmres" if operand.explicit is None else "direct"
    if solver not in SOLVERS:
        raise ValueError(f"solver={solver!r}: expected None or one of {('auto', *SOLVERS)}")
    if solver == "direct" and operand.explicit is None:
        raise ValueError("solver='direct' needs a matrix, and A is given by functions: use solver='gmres'")
    dtype = torch.promote_types(operand.dtype, b.dtype)
    b = b if b.dtype == dtype else b.to(dtype)
    guess = None if x0 is None else np.asarray(plain_argument(x0, "x0"))
    if guess is not None and guess.shape != tuple(b.shape):
        raise ValueError(f"x0 has shape {guess.shape}, b has {tuple(b.shape)}")
    with without_autocast(operand.device):
        equation = Equation(operand, str(solver), rtol, guess, Systems())
        ticket = Prepared.apply(equation, *[t.detach() for t in operand.tensors])
        return applied(LinearSolution, equation, "forward", ticket, b, *operand.tensors)


class Systems:
    """The systems of one call: of one, or of each example of vmap, by their numbers."""

    def __init__(self) -> None:
        self.made, self.lock = list[LinearSystem](), Lock()

    def add(self, system: LinearSystem) -> int:
        """Keep a system, and return its number."""
        with self.lock:
            self.made.append(system)
            return len(self.made) - 1


@dataclass(frozen=True, eq=False)
class Equation:
    """A x = b, and how it is solved."""

    operand: Operand
    solver: str
    rtol: float
    x0: Any
    systems: Systems

    def image(self, stage: str, x: Any, *tensors: Any) -> tuple[Any]:
        """Return A x or Aᴴ x."""
        return (self.operand.apply(tensors, x, stage == "adjoint"),)


class Prepared(torch.autograd.Function):
    """The number of the system for plain tensors, which solves for all right-hand sides."""

    @staticmethod
    def forward(equation: Equation, *tensors: Any) -> Any:
        operand, solver = equation.operand, equation.solver
        A = operand.value(tensors, solver in HERMITIAN, "A")
        matrix = A.matrix if solver == "direct" else None
        dtype = np.result_type(A.dtype, np.float32)
        system = LinearSystem(A, matrix, A.shape[0], dtype, solver, equation.rtol, WHOLE)
        return torch.tensor(equation.systems.add(system))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, *g: Any) -> Any:
        raise AssertionError("the number of a system has no derivative")

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(Prepared, info, in_dims, arguments)


class LinearSolution(torch.autograd.Function):
    """x = A⁻¹ b, or A⁻ᴴ b on the adjoint stage."""

    @staticmethod
    def forward(equation: Equation, stage: Any, ticket: Any, b: Any, *tensors: Any) -> Any:
        equation.operand.check_versions()
        system = equation.systems.made[int(ticket)]
        x = system.solve(stage, to_numpy(b), equation.x0 if stage == "forward" else None)
        return to_tensor(x, b.device).to(torch.promote_types(b.dtype, TORCH_TYPES[x.dtype]))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.equation, ctx.stage, ctx.device = inputs[0], inputs[1], output.device
        ctx.save_for_backward(output, inputs[2], *inputs[4:])
        ctx.save_for_forward(output, inputs[2], *inputs[4:])

    @staticmethod
    @in_full_precision
    def backward(ctx: Any, g: Any) -> Any:
        check_batches(g)
        x, ticket, *tensors = ctx.saved_tensors
        other = "tangent" if ctx.stage == "adjoint" else "adjoint"
        y = LinearSolution.apply(ctx.equation, other, ticket, g, *tensors)
        image = partial(ctx.equation.image, ctx.stage, x)
        found = pullback(image, tensors, ctx.needs_input_grad[4:], [-y])
        return None, None, None, y, *found

    @staticmethod
    @in_full_precision
    def jvp(ctx: Any, *tangents: Any) -> Any:
        x, ticket, *tensors = ctx.saved_tensors
        db, *dtensors = tangents[3:]
        d = torch.zeros_like(x) if db is None else db.to(x.dtype)
        if any(t is not None for t in dtensors):
            d = d - directional(partial(ctx.equation.image, ctx.stage, x), tensors, dtensors)[0]
        stage = "tangent" if ctx.stage == "forward" else ctx.stage
        return LinearSolution.apply(ctx.equation, stage, ticket, d, *tensors)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(LinearSolution, info, in_dims, arguments)
