"""PyTorch: `svds`, differentiable: triplets as eigenpairs of [[0, A], [Aᴴ, 0]]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..forward.solve import solve_triplets
from ..forward.triplets import TripletRequest
from ..options import Adjoint
from ..perturbation.structures import Triplets
from .attached import SEED, attach, check_options, plain_argument, read_pair, start_vector
from .layers import refuse_transforms
from .namespace import xp
from .operands import Operand
from .pencil import StandardPencil, found_by
from .session import Found

__all__ = ["svds"]


@torch.compiler.disable
def svds(
    A: Any,
    k: int = 6,
    ncv: int | None = None,
    tol: float = 0,
    which: str = "LM",
    v0: Any = None,
    maxiter: int | None = None,
    return_singular_vectors: bool | str = True,
    solver: str = "arpack",
    rng: Any = None,
    options: dict[str, Any] | None = None,
    *,
    random_state: Any = None,
    adjoint: Adjoint | None = None,
) -> Any:
    """`scipy.sparse.linalg.svds`, differentiable, of PyTorch's tensors and operators.

    Parameters
    ----------
    A : tensor, csr_array, LinearOperator, array or SciPy sparse matrix
        Shape (m, n). Without ``rmatvec`` PyTorch transposes ``matvec``.
    k, ncv, tol, which, v0, maxiter, return_singular_vectors, solver, rng, options, random_state
        As in SciPy. Without ``v0`` and ``rng`` the start vector is a fixed one.
    adjoint : Adjoint, optional
        How derivatives are computed.

    Returns
    -------
    u : tensor, shape (m, k)
        None for ``return_singular_vectors="vh"``.
    s : tensor, shape (k,)
        The only result for ``return_singular_vectors=False``.
    vh : tensor, shape (k, n)
        None for ``return_singular_vectors="u"``.

    Raises
    ------
    EigenNoConvergence, TypeError, NotImplementedError
        As `eigs`.
    ValueError
        As `krylov_adj.svds`; also triplets of σ = 0, whose vectors are none of A's.
    AdjointNoConvergence
        From the backward pass.

    Warns
    -----
    GaugeWarning, DegeneracyWarning
        From the backward pass, as `krylov_adj.svds`.

    Derivative
    ----------
    As of `krylov_adj.svds`, to any order; forward and reverse, in `torch.func`'s transforms too.

    Examples
    --------
    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> A = torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.5], dtype=torch.float64))[:, :3] + 0.1
    >>> A.requires_grad_()  # doctest: +ELLIPSIS
    tensor(...
    >>> u, s, vh = kt.svds(A, k=2)
    >>> (s[1] - s[0]).backward()  # u₁v₁ᵀ − u₀v₀ᵀ, of rank two
    >>> print(tuple(A.grad.shape), round(float((A.grad**2).sum()), 10))
    (4, 3) 2.0
    """
    refuse_transforms("svds")
    wanted = return_singular_vectors
    if not any(wanted is form or wanted == form for form in (True, False, "u", "vh")):
        raise ValueError(f"return_singular_vectors={wanted!r}: expected True, False, 'u' or 'vh'")
    operand, chosen = read_pair(A, None, square=False)[0], check_options(adjoint)
    rows, shorter = operand.shape[0], min(operand.shape)
    if solver == "arpack":
        v0 = start_vector(v0, rng if random_state is None else random_state, shorter, operand.numpy_dtype)
        rng = random_state = None
    else:
        v0 = plain_argument(v0, "v0")
        rng = SEED if rng is None and random_state is None else rng
    request = TripletRequest(k, which, plain_argument(tol, "tol"), ncv, v0, maxiter, solver, rng, random_state, options)

    def triplets(tensors: Sequence[Any]) -> Found:
        return found_by(solve_triplets(request, operand.value(tensors, False, "A"), chosen)[1])

    pencil = StandardPencil(augmented(operand), None, True, triplets, Triplets(rows))
    w, X = attach(pencil, operand.device).restored()
    root = 2**0.5
    if not wanted:
        return w
    return (None if wanted == "vh" else root * X[:rows]), w, (None if wanted == "u" else xp.conj(root * X[rows:]).T)


def augmented(A: Operand) -> Operand:
    """Return [[0, A], [Aᴴ, 0]] for derivatives."""
    rows, columns = A.shape

    def product(tensors: Sequence[Any], V: Any) -> Any:
        return torch.cat([A.apply(tensors, V[rows:]), A.apply(tensors, V[:rows], True)])

    order = rows + columns
    return Operand((order, order), A.dtype, A.device, A.tensors, product, product, watched=A.watched)
