"""PyTorch: `eigs`, `eigsh` and pairs that any solver computed, differentiable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..forward.given import given_eigenpairs
from ..forward.request import Request
from ..forward.solve import solve_eigenproblem
from ..options import Adjoint
from .attached import attach, check_options, plain_argument, plain_operator, read_pair, start_vector
from .layers import refuse_transforms
from .pencil import StandardPencil, found_by, values_of
from .session import Found

__all__ = ["attach_eigenpairs", "eigs", "eigsh"]


@torch.compiler.disable
def eigs(
    A: Any,
    k: int = 6,
    M: Any = None,
    sigma: Any = None,
    which: str = "LM",
    v0: Any = None,
    ncv: int | None = None,
    maxiter: int | None = None,
    tol: float = 0,
    return_eigenvectors: bool = True,
    Minv: Any = None,
    OPinv: Any = None,
    OPpart: Any = None,
    rng: Any = None,
    *,
    adjoint: Adjoint | None = None,
    solver: str = "auto",
) -> Any:
    """`scipy.sparse.linalg.eigs`, differentiable, of PyTorch's tensors and operators.

    Parameters
    ----------
    A, M : tensor, csr_array, LinearOperator, array or SciPy sparse matrix
        Shape (n, n). Tensors and what operators read may carry derivatives. M as in `krylov_adj.eigs`.
    k, sigma, which, v0, ncv, maxiter, tol, return_eigenvectors, Minv, OPinv, OPpart, rng
        As in SciPy; numbers, arrays or tensors, whose derivatives are not taken. Without ``v0`` and ``rng`` the start
        vector is a fixed one.
    adjoint : Adjoint, optional
        How derivatives are computed. A preconditioner works on NumPy arrays.
    solver : {"auto", "arpack"}, optional
        What suits the problem, or SciPy's ARPACK alone.

    Returns
    -------
    w : tensor, shape (min(k, n),)
        Complex eigenvalues, the most wanted first; conjugate pairs of a real problem stand together.
    X : tensor, shape (n, k)
        Eigenvectors; xᴴx = 1, or xᴴMx = 1 where M is given. Only if ``return_eigenvectors``.

    Raises
    ------
    EigenNoConvergence, TypeError, ValueError
        As `krylov_adj.eigs`; also for types that are not computed in, and for what PyTorch does not show of A or M.
    NotImplementedError
        Forward mode inside of forward mode, `make_fx`, `torch.export`, second derivatives through `torch.sparse`.
    AdjointNoConvergence, DefectiveEigenvalueError, RuntimeError
        From the backward pass; RuntimeError where something that was read has been changed in place.

    Warns
    -----
    GaugeWarning, DegeneracyWarning
        From the backward pass, as `krylov_adj.eigs`.

    Derivative
    ----------
    Of w and X, in the gauge Im xᴴN dx = 0 (N the normalising matrix), with respect to every tensor that A and M
    depend on; to any order; forward and reverse, in `torch.func`'s transforms too. Complex gradients are PyTorch's:
    the direction of steepest ascent. Under vmap one example is solved after the other.

    Notes
    -----
    Solvers run on the host: a matvec on another device gets vectors from there, and gives its result back.

    Examples
    --------
    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> A = torch.diag(torch.arange(1.0, 9.0, dtype=torch.float64)) + torch.triu(torch.ones(8, 8), 1)
    >>> A.requires_grad_()  # doctest: +ELLIPSIS
    tensor(...
    >>> w, X = kt.eigs(A, k=2, which="LR", v0=torch.ones(8))
    >>> w.real.sum().backward()
    >>> print(round(float(A.grad.trace()), 10))  # A + cI moves both eigenvalues by c
    2.0
    """
    return _solve(
        "eigs", A, M, k, sigma, which, v0, ncv, maxiter, tol, return_eigenvectors, Minv, OPinv, rng, adjoint, solver,
        OPpart=OPpart,
    )  # fmt: skip


@torch.compiler.disable
def eigsh(
    A: Any,
    k: int = 6,
    M: Any = None,
    sigma: Any = None,
    which: str = "LM",
    v0: Any = None,
    ncv: int | None = None,
    maxiter: int | None = None,
    tol: float = 0,
    return_eigenvectors: bool = True,
    Minv: Any = None,
    OPinv: Any = None,
    mode: str = "normal",
    rng: Any = None,
    *,
    adjoint: Adjoint | None = None,
    solver: str = "auto",
) -> Any:
    """`scipy.sparse.linalg.eigsh`, differentiable, of PyTorch's tensors and operators.

    Parameters
    ----------
    A, M : tensor, csr_array, LinearOperator, array or SciPy sparse matrix
        Shape (n, n), Hermitian for all parameters; M positive definite. Tensors and what operators read may carry
        derivatives.
    k, sigma, which, v0, ncv, maxiter, tol, return_eigenvectors, Minv, OPinv, mode, rng
        As in SciPy; numbers, arrays or tensors, whose derivatives are not taken. Without ``v0`` and ``rng`` the start
        vector is a fixed one.
    adjoint : Adjoint, optional
        How derivatives are computed. A preconditioner works on NumPy arrays.
    solver : {"auto", "arpack"}, optional
        What suits the problem, or SciPy's ARPACK alone.

    Returns
    -------
    w : tensor, shape (min(k, n),)
        Real eigenvalues, in the order of `krylov_adj.eigsh`.
    X : tensor, shape (n, k)
        Eigenvectors, orthonormal to rounding; xᴴx = 1, xᴴMx = 1 where M is given, xᴴAx = 1 in buckling mode. Only if
        ``return_eigenvectors``.

    Raises
    ------
    EigenNoConvergence, TypeError, ValueError
        As `krylov_adj.eigsh`; also for types that are not computed in, and for what PyTorch does not show of A or M.
    NotImplementedError
        Forward mode inside of forward mode, `make_fx`, `torch.export`, second derivatives through `torch.sparse`.
    AdjointNoConvergence, RuntimeError
        From the backward pass; RuntimeError where something that was read has been changed in place.

    Warns
    -----
    GaugeWarning, DegeneracyWarning
        From the backward pass, as `krylov_adj.eigsh`.

    Derivative
    ----------
    As of `eigs`. With respect to the entries of a matrix, dense or sparse, it is that of a function of its Hermitian
    part. A loss of the eigenvalues alone needs no linear solve.

    Examples
    --------
    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> V = torch.zeros(9, dtype=torch.float64, requires_grad=True)
    >>> def matvec(x):
    ...     padded = torch.nn.functional.pad(x, (1, 1))
    ...     return 2 * x - padded[:-2] - padded[2:] + V * x
    >>> H = kt.LinearOperator((9, 9), matvec, dtype=torch.float64)
    >>> w, X = kt.eigsh(H, k=1, which="SA")
    >>> w[0].backward()  # Hellmann-Feynman: the density of the state
    >>> print(round(float(V.grad.sum()), 10), int(V.grad.argmax()))
    1.0 4
    """
    return _solve(
        "eigsh", A, M, k, sigma, which, v0, ncv, maxiter, tol, return_eigenvectors, Minv, OPinv, rng, adjoint, solver,
        mode=mode,
    )  # fmt: skip


def _solve(
    name: str,
    A: Any,
    M: Any,
    k: int,
    sigma: Any,
    which: str,
    v0: Any,
    ncv: int | None,
    maxiter: int | None,
    tol: float,
    vectors: bool,
    Minv: Any,
    OPinv: Any,
    rng: Any,
    adjoint: Adjoint | None,
    solver: str,
    *,
    mode: str = "normal",
    OPpart: Any = None,
) -> Any:
    refuse_transforms(name)
    hermitian, options = name == "eigsh", check_options(adjoint)
    of_A, of_M = read_pair(A, M)
    sigma = plain_argument(sigma, "sigma")
    dtype = np.result_type(of_A.numpy_dtype, *([] if of_M is None else [of_M.numpy_dtype]))
    request = Request(
        k, hermitian, which, sigma, start_vector(v0, rng, of_A.shape[0], dtype), ncv, maxiter,
        plain_argument(tol, "tol"), plain_operator(Minv, "Minv", True), plain_operator(OPinv, "OPinv", hermitian),
        None, mode=mode, OPpart=OPpart, vectors=vectors, solver=solver,
    )  # fmt: skip

    def pairs_of(tensors: Sequence[Any]) -> Found:
        return found_by(solve_eigenproblem(request, *values_of(of_A, of_M, tensors, hermitian), options)[1])

    w, X = attach(StandardPencil(of_A, of_M, hermitian, pairs_of), of_A.device).restored()
    return (w, X) if vectors else w


@torch.compiler.disable
def attach_eigenpairs(
    A: Any,
    w: Any,
    X: Any,
    *,
    M: Any = None,
    hermitian: bool = False,
    sigma: complex | None = None,
    OPinv: Any = None,
    normalization: str | None = None,
    rtol: float | None = None,
    adjoint: Adjoint | None = None,
) -> tuple[Any, Any]:
    """Make eigenpairs A x = w M x, computed by any means, differentiable.

    Parameters
    ----------
    A, M : tensor, csr_array, LinearOperator, array or SciPy sparse matrix
        Shape (n, n); tensors and what operators read may carry derivatives. M defaults to the identity.
    w : array or tensor, shape (k,)
        Eigenvalues, all simple or complete clusters.
    X : array or tensor, shape (n, k)
        Right eigenvectors in columns, normalised.
    hermitian, sigma, OPinv, rtol
        As in `krylov_adj.attach_eigenpairs`.
    normalization : {"2", "M", "A"}, optional
        The same.
    adjoint : Adjoint, optional
        How derivatives are computed.

    Returns
    -------
    w, X : tensors
        The values that were given, made orthonormal where ``hermitian``.

    Raises
    ------
    ValueError
        Wrong shapes, NaN or infinity, pairs that are none, or are not normalised.
    TypeError
        For operands that are none, and batches of vmap in w or X.
    AdjointNoConvergence, DefectiveEigenvalueError
        From the backward pass.

    Warns
    -----
    GaugeWarning, DegeneracyWarning
        From the backward pass.

    Derivative
    ----------
    As of `eigs`.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> p = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    >>> A = torch.diag(torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)) + 0.1 + p * torch.eye(3)
    >>> w, X = np.linalg.eigh(A.detach().numpy())  # any solver, on plain values
    >>> w, X = kt.attach_eigenpairs(A, w[:1], X[:, :1], hermitian=True)
    >>> w[0].backward()
    >>> print(round(float(p.grad), 12))
    1.0
    """
    refuse_transforms("attach_eigenpairs")
    of_A, of_M = read_pair(A, M)
    options, shift = check_options(adjoint), plain_argument(sigma, "sigma")
    of_w, of_X = np.asarray(plain_argument(w, "w")), np.asarray(plain_argument(X, "X"))
    inverse = plain_operator(OPinv, "OPinv", hermitian)

    def solver(tensors: Sequence[Any]) -> Found:
        values = values_of(of_A, of_M, tensors, hermitian)
        given = given_eigenpairs(
            *values,
            of_w,
            of_X,
            hermitian=hermitian,
            sigma=shift,
            OPinv=inverse,
            normalization=normalization,
            rtol=rtol,
            options=options,
        )
        return found_by(given[1])

    return attach(StandardPencil(of_A, of_M, hermitian, solver), of_A.device).restored()
