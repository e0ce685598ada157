"""PyTorch: invariant subspaces of A x = w M x, differentiable where their eigenvalues meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..forward.request import Request
from ..forward.solved_subspace import given_subspace, solve_subspace
from ..forward.subspace import Subspace
from ..options import Adjoint
from ..perturbation.subspace_derivatives import SubspaceMaps
from .attached import check_options, plain_argument, plain_operator, read_pair, start_vector
from .contraction import applied
from .layers import refuse_transforms
from .operands import Operand
from .pencil import StandardPencil, scale, values_of
from .pullback import without_autocast
from .session import FoundSubspace, Session
from .subspace_primitives import AttachedSpace
from .values import Eigenpairs

__all__ = ["attach_subspace", "invariant_subspace"]


@torch.compiler.disable
def invariant_subspace(
    A: Any,
    k: int = 6,
    M: Any = None,
    sigma: Any = None,
    which: str = "LM",
    v0: Any = None,
    ncv: int | None = None,
    maxiter: int | None = None,
    tol: float = 0,
    Minv: Any = None,
    OPinv: Any = None,
    rng: Any = None,
    *,
    hermitian: bool = False,
    adjoint: Adjoint | None = None,
) -> Subspace:
    """The invariant subspace of k eigenvalues of A x = w M x: X and H with A X = M X H.

    Functions of it are differentiable where eigenvalues in it meet, coincide or are defective, to any order: nothing is
    divided by a gap between them. Single eigenvectors are not in it; X is an arbitrary basis.

    Parameters
    ----------
    A, M : tensor, csr_array, LinearOperator, array or SciPy sparse matrix
        Shape (n, n); as for `eigs`, or where ``hermitian`` as for `eigsh`.
    k, sigma, which, v0, ncv, maxiter, tol, Minv, OPinv, rng
        As in SciPy's `eigs` or `eigsh`: they name the k eigenvalues. Their derivatives are not taken.
    hermitian : bool, optional
        A and M are Hermitian for all parameters.
    adjoint : Adjoint, optional
        How derivatives are computed.

    Returns
    -------
    X : tensor, shape (n, k)
        XᴴMX = I where M is Hermitian positive definite, else XᴴX = I. Real of a real symmetric problem, and of a real
        problem of which k cuts no conjugate pair.
    H : tensor, shape (k, k)
        Hermitian of a Hermitian problem. Its eigenvalues are the k eigenvalues.

    Raises
    ------
    EigenNoConvergence, TypeError, ValueError, NotImplementedError
        As `eigs` and `eigsh`; ValueError also under vmap, where X is real for some examples and complex for others.
    DefectiveEigenvalueError
        From the backward pass, where k cuts a Jordan block: an eigenvalue outside has coalesced with one inside.
    AdjointNoConvergence, RuntimeError
        From the backward pass: a system did not converge, or k cuts a cluster of which the loss reads X; RuntimeError
        where something that was read has been changed in place.

    Warns
    -----
    GaugeWarning
        From the backward pass, where the loss depends on the basis.
    DegeneracyWarning
        From the backward pass, where a loss of H alone reads a cluster that k cuts, or rounding and the residual of the
        subspace leave few digits of a derivative.

    Derivative
    ----------
    Of losses that do not depend on the basis (functions of X Xᴴ, of H's invariants, of X F(H) Xᴴ), with respect to
    every tensor that A and M depend on; to any order, forward and reverse, in `torch.func`'s transforms too. The gauge
    is XᴴN dX = −½ dS (N = M or I). A Hermitian problem's loss of H alone needs no linear solve. Under vmap one example
    is solved after the other.

    Notes
    -----
    `torch.linalg.det`, `trace` and `matrix_exp` of H do not see its basis. `torch.linalg.eigh(H)` does not either, but
    its own derivative divides by gaps: `spectral_function` and `spectral_sum` do not.

    References
    ----------
    docs/derivation.md. G. W. Stewart & J.-G. Sun, Matrix Perturbation Theory, Academic Press 1990, chapter V.

    Examples
    --------
    A double eigenvalue: the sum of both is smooth, the single ones are not.

    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> p = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    >>> d = torch.arange(1.0, 6.0, dtype=torch.float64)
    >>> A = torch.diag(torch.tensor([1.0, 1.0, 3.0, 4.0, 5.0], dtype=torch.float64)) + p * torch.outer(d, d)
    >>> X, H = kt.invariant_subspace(A, k=2, which="SA", hermitian=True)
    >>> torch.trace(H).backward()
    >>> print(round(float(p.grad), 10))  # tr(XᴴDX) = 1 + 4
    5.0
    """
    refuse_transforms("invariant_subspace")
    of_A, of_M = read_pair(A, M)
    options, dtype = check_options(adjoint), np.result_type(*(op.numpy_dtype for op in (of_A, of_M) if op is not None))
    request = Request(
        k, hermitian, which, plain_argument(sigma, "sigma"), start_vector(v0, rng, of_A.shape[0], dtype), ncv, maxiter,
        plain_argument(tol, "tol"), plain_operator(Minv, "Minv", True), plain_operator(OPinv, "OPinv", hermitian), None,
    )  # fmt: skip

    def found(tensors: Sequence[Any]) -> FoundSubspace:
        return _found_by(solve_subspace(request, *values_of(of_A, of_M, tensors, hermitian), options)[2])

    return _attach(of_A, of_M, hermitian, found)


@torch.compiler.disable
def attach_subspace(
    A: Any,
    X: Any,
    H: Any = None,
    *,
    M: Any = None,
    hermitian: bool = False,
    sigma: complex | None = None,
    OPinv: Any = None,
    normalization: str | None = None,
    rtol: float | None = None,
    adjoint: Adjoint | None = None,
) -> Subspace:
    """Make an invariant subspace A X = M X H, computed by any means, differentiable.

    Parameters
    ----------
    A, M : tensor, csr_array, LinearOperator, array or SciPy sparse matrix
        Shape (n, n); tensors and what operators read may carry derivatives. M defaults to the identity.
    X : array or tensor, shape (n, k)
        A basis, XᴴMX = I or XᴴX = I; what it depends on is not looked at.
    H : array or tensor, shape (k, k), optional
        Default: the one that leaves the least residual.
    hermitian : bool, optional
        A and M are Hermitian for all parameters.
    sigma, OPinv
        A shift near the eigenvalues, or the inverse of A − σM, for the systems; as for `attach_eigenpairs`.
    normalization : {"2", "M"}, optional
        XᴴX = I or XᴴMX = I. Default "M" where M is given, else "2". Of a Hermitian problem with M only "M".
    rtol : float, optional
        Largest residual ‖A X − M X H‖ accepted, relative to ‖A‖ + ‖M‖‖H‖. Default the square root of the machine
        epsilon. The derivative's error is proportional to it.
    adjoint : Adjoint, optional
        How derivatives are computed.

    Returns
    -------
    X : tensor, shape (n, k)
    H : tensor, shape (k, k)
        The values that were given.

    Raises
    ------
    ValueError
        Wrong shapes, NaN or infinity, no invariant subspace, a basis that is not normalised, an operator that is not
        Hermitian though it was said to be, a wrong adjoint.
    TypeError
        For operands that are none, and batches of vmap in X or H.
    AdjointNoConvergence, DefectiveEigenvalueError
        From the backward pass.

    Warns
    -----
    GaugeWarning, DegeneracyWarning
        From the backward pass, as for `invariant_subspace`.

    Derivative
    ----------
    As of `invariant_subspace`.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> p = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    >>> A0 = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]], dtype=torch.float64)  # a Jordan block
    >>> E = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    >>> X, H = kt.attach_subspace(A0 + p * E, np.eye(3)[:, :2])
    >>> torch.trace(H @ H).backward()  # w = 1 ± √p, the sum of squares is 2 + 2 p
    >>> print(round(float(p.grad), 10))
    2.0
    """
    refuse_transforms("attach_subspace")
    of_A, of_M = read_pair(A, M)
    options, shift = check_options(adjoint), plain_argument(sigma, "sigma")
    basis, small = np.asarray(plain_argument(X, "X")), None if H is None else np.asarray(plain_argument(H, "H"))
    inverse = plain_operator(OPinv, "OPinv", hermitian)

    def found(tensors: Sequence[Any]) -> FoundSubspace:
        values = values_of(of_A, of_M, tensors, hermitian)
        return _found_by(
            given_subspace(
                *values, basis, small, hermitian=hermitian, sigma=shift, OPinv=inverse, normalization=normalization,
                rtol=rtol, options=options,
            )[2]
        )  # fmt: skip

    return _attach(of_A, of_M, hermitian, found)


def _found_by(maps: SubspaceMaps) -> FoundSubspace:
    return FoundSubspace(maps.systems, maps.values, maps.vectors, maps.residuals)


def _attach(A: Operand, M: Operand | None, hermitian: bool, found: Any) -> Subspace:
    """Solve on plain values, and return X and H as functions of the operands' tensors."""
    problem = StandardPencil(A, M, hermitian, found)
    session = Session(problem)
    with without_autocast(A.device):
        H, X, units, ticket = Eigenpairs.apply(problem, session, A.device, *[t.detach() for t in problem.tensors])
        traced = problem.for_derivatives(session)
        H, X = applied(AttachedSpace, traced, session, H, X, units, ticket, *problem.tensors)
    given = None if session.trivial else units
    return Subspace(scale(X, given, 3), scale(H, given, 2))
