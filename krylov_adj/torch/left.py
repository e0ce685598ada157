"""PyTorch: left eigenvectors from right eigenpairs, differentiable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..forward.given import given_eigenpairs, left_of_eigenpairs
from ..options import Adjoint
from ..report.messages import pairs_less_traced
from .attached import attach, check_options, plain_argument, plain_operator, read_pair
from .channel import ChannelOf
from .contraction import one_by_one
from .layers import is_active, refuse_transforms
from .namespace import TORCH_TYPES, to_numpy, to_tensor, xp
from .operands import Operand
from .pencil import StandardPencil, found_by, scale, values_of
from .primitives import BlockBordered
from .session import Found, Session

__all__ = ["left_eigenvectors"]


@torch.compiler.disable
def left_eigenvectors(
    A: Any,
    w: Any,
    X: Any,
    *,
    M: Any = None,
    hermitian: bool = False,
    sigma: complex | None = None,
    OPinv: Any = None,
    rtol: float | None = None,
    adjoint: Adjoint | None = None,
) -> Any:
    """Left eigenvectors yᴴA = w yᴴM that belong to given right eigenpairs, with yᵢᴴM xⱼ = δᵢⱼ.

    Parameters
    ----------
    A, M : tensor, csr_array, LinearOperator, array or SciPy sparse matrix
        Shape (n, n); M defaults to the identity.
    w : array or tensor, shape (k,)
    X : array or tensor, shape (n, k)
        Right eigenpairs of A. Pairs without derivatives, of operators with some, are attached first, and have to be
        normalised then.
    hermitian, sigma, OPinv, rtol
        As in `krylov_adj.left_eigenvectors`.
    adjoint : Adjoint, optional
        How the systems are solved.

    Returns
    -------
    Y : tensor, shape (n, k)

    Raises
    ------
    ValueError, DefectiveEigenvalueError, AdjointNoConvergence
        As `krylov_adj.left_eigenvectors`.
    TypeError, NotImplementedError
        As `eigs`.

    Warns
    -----
    GaugeWarning, DegeneracyWarning
        From the backward pass.

    Derivative
    ----------
    As of `krylov_adj.left_eigenvectors`: with respect to everything that A, M and X depend on; any order; forward and
    reverse.

    Examples
    --------
    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> A = torch.diag(torch.arange(1.0, 9.0, dtype=torch.float64)) + torch.triu(torch.ones(8, 8), 1)
    >>> w, X = kt.eigs(A, k=2, which="LR")
    >>> Y = kt.left_eigenvectors(A, w, X)
    >>> print(torch.allclose(Y.mH @ X, torch.eye(2, dtype=X.dtype)))
    True
    """
    refuse_transforms("left_eigenvectors")
    options = check_options(adjoint)
    of_A, of_M = read_pair(A, M)
    moving = of_A.active or (of_M is not None and of_M.active)
    traced = isinstance(X, torch.Tensor) and is_active(X)
    if moving and not traced:
        if isinstance(w, torch.Tensor) and is_active(w):
            raise ValueError(pairs_less_traced())
        w, X = _attached(of_A, of_M, w, X, hermitian, sigma, OPinv, rtol, options)
    w, X = (t if isinstance(t, torch.Tensor) else to_tensor(t) for t in (w, X))
    dtype = np.result_type(of_A.numpy_dtype, *(() if of_M is None else (of_M.numpy_dtype,)))
    X = X.to(torch.promote_types(X.dtype, TORCH_TYPES[dtype]))
    of_inverse = plain_operator(OPinv, "OPinv", hermitian)
    given = LeftProblem(of_A, of_M, hermitian, plain_argument(sigma, "sigma"), of_inverse, rtol, options)
    pencil = StandardPencil(of_A, of_M, hermitian, given.solve)
    session = Session(given)
    plain = [t.detach() for t in pencil.tensors]
    y, P, units, ticket = LeftVectors.apply(given, session, w.detach(), X.detach(), *plain)
    traced_pencil = pencil.for_derivatives(session)
    units_ = None if session.trivial else units
    X = scale(X, units_, 3)
    if hermitian:
        Y = X / torch.sum(xp.conj(X) * traced_pencil.slope(pencil.tensors, units_, w, X), 0).real
    else:
        n, k = X.shape
        mask = torch.ones_like(X[0].real if X.is_complex() else X[0])
        rhs = torch.cat([torch.zeros_like(X), torch.eye(k, dtype=X.dtype, device=X.device)])
        z = torch.cat([y, torch.zeros_like(rhs[n:])])
        Y = BlockBordered.apply(
            traced_pencil, session, "adjoint", z, torch.zeros_like(mask), P, mask, units, ticket, X.detach(), rhs, w,
            X, ChannelOf.apply(X), *pencil.tensors,
        )[:n]  # fmt: skip
    return scale(scale(Y, units_, 1), units_, 3)


def _attached(
    A: Operand,
    M: Operand | None,
    w: Any,
    X: Any,
    hermitian: bool,
    sigma: Any,
    OPinv: Any,
    rtol: float | None,
    options: Adjoint,
) -> tuple[Any, Any]:
    """Return pairs without derivatives as functions of what the operators read."""
    plain = [np.asarray(plain_argument(t, name)) for t, name in ((w, "w"), (X, "X"))]
    shift, inverse = plain_argument(sigma, "sigma"), plain_operator(OPinv, "OPinv", hermitian)

    def solver(tensors: Sequence[Any]) -> Found:
        values = values_of(A, M, tensors, hermitian)
        return found_by(
            given_eigenpairs(
                *values, *plain, hermitian=hermitian, sigma=shift, OPinv=inverse, rtol=rtol, options=options
            )[1]
        )

    return attach(StandardPencil(A, M, hermitian, solver), A.device).restored()


@dataclass(frozen=True, eq=False)
class LeftProblem:
    """The arguments that left eigenvectors are solved for; see `left_of_eigenpairs`."""

    A: Operand
    M: Operand | None
    hermitian: bool
    sigma: Any
    OPinv: Any
    rtol: float | None
    options: Adjoint

    def check_versions(self) -> None:
        for operand in (self.A, self.M):
            if operand is not None:
                operand.check_versions()

    def solve(self, tensors: Any) -> Found:
        raise NotImplementedError

    def solve_left(self, w: Any, X: Any, tensors: Any) -> tuple[Any, Found]:
        """Return Y of plain pairs, and what was found."""
        A, M = values_of(self.A, self.M, tensors, self.hermitian)
        Y, systems, units, x = left_of_eigenpairs(
            A,
            M,
            w,
            X,
            hermitian=self.hermitian,
            sigma=self.sigma,
            OPinv=self.OPinv,
            rtol=self.rtol,
            options=self.options,
        )
        pairs = systems.pairs
        return Y, Found(pairs.w, pairs.X, systems, units.a, units.m, units.eigenvalue_factor, 1 / x)


class LeftVectors(torch.autograd.Function):
    """Left eigenvectors of plain values, the compressor, the units, and the number of the solve in the session."""

    @staticmethod
    def forward(given: LeftProblem, session: Session, w: Any, X: Any, *tensors: Any) -> Any:
        Y, found = given.solve_left(to_numpy(w), np.asfortranarray(to_numpy(X)), tensors)
        ticket = session.add(found)
        P = found.systems.pairs.compressor
        parts = (np.zeros(0, found.X.dtype) if Y is None else Y.astype(found.X.dtype), P, found.units, np.int64(ticket))
        return tuple(to_tensor(np.asarray(part), X.device) for part in parts)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(*output)

    @staticmethod
    def backward(ctx: Any, *g: Any) -> Any:
        raise AssertionError("left eigenvectors of plain values have no derivative")

    @staticmethod
    def vmap(info: Any, in_dims: Any, *arguments: Any) -> Any:
        return one_by_one(LeftVectors, info, in_dims, arguments)
