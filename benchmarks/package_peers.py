"""Other packages' gradients for the problems of `against_peers.py`; those that are installed.

``PEERS[title](problem)`` is a function that returns the gradient with respect to p of A + diag(p),
after whatever the package compiles. Each is asked as its users would: the matrix is dense where the
package knows no other, and all eigenpairs are computed where it cannot do with fewer.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial

import autograd.numpy as anp
import numpy as np
from autograd import value_and_grad


class NotThere(Exception):
    """The package has no function for this."""


def _no_mass(problem) -> None:
    if problem.pencil.M is not None:
        raise NotThere("no generalised eigenproblem")


def autograd_dense(problem) -> Callable:
    _no_mass(problem)
    A = problem.pencil.A.toarray()
    decompose = anp.linalg.eigh if problem.pencil.hermitian else anp.linalg.eig
    order = problem.pencil.nearest(decompose(A)[0])

    class Functions:
        sum, abs, real, asarray = anp.sum, anp.abs, anp.real, staticmethod(np.asarray)

    def f(p):
        w, X = decompose(A + anp.diag(p))
        return problem.loss(Functions, w[order], X[:, order], problem.scale)

    return lambda: value_and_grad(f)(problem.p0)[1]


def jax_dense(problem) -> Callable:
    import jax

    _no_mass(problem)
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    A = jnp.asarray(problem.pencil.A.toarray())
    if problem.pencil.hermitian:
        decompose = jnp.linalg.eigh
    else:  # JAX refuses derivatives of eigenvectors without this option, and points to it
        decompose = partial(jax.lax.linalg.eig, compute_left_eigenvectors=False, enable_eigvec_derivs=True)
    order = problem.pencil.nearest(np.asarray(decompose(A)[0]))

    def f(p):
        w, X = decompose(A + jnp.diag(p))
        return problem.loss(jnp, w[order], X[:, order], problem.scale)

    compiled = jax.jit(jax.value_and_grad(f))
    compiled(problem.p0)
    return lambda: np.asarray(compiled(problem.p0)[1].block_until_ready())


class _TorchFunctions:
    """The losses' array functions."""

    def __init__(self, torch):
        self.sum, self.abs, self.asarray = torch.sum, torch.abs, torch.as_tensor
        self.real = lambda x: torch.real(x) if torch.is_complex(x) else x


def torch_dense(problem) -> Callable:
    import torch

    _no_mass(problem)
    A = torch.as_tensor(problem.pencil.A.toarray())
    decompose = torch.linalg.eigh if problem.pencil.hermitian else torch.linalg.eig
    order = torch.as_tensor(problem.pencil.nearest(decompose(A)[0].numpy()))

    def gradient():
        p = torch.as_tensor(problem.p0).clone().requires_grad_()
        w, X = decompose(A + torch.diag(p))
        problem.loss(_TorchFunctions(torch), w[order], X[:, order], problem.scale).backward()
        return p.grad.numpy()

    return gradient


def torch_lobpcg(problem) -> Callable:
    import torch

    pencil = problem.pencil
    if pencil.sigma is not None and pencil.A.dtype.kind == "c":
        raise NotThere("no interior eigenvalues")
    if not pencil.hermitian:
        raise NotThere("symmetric matrices only")
    M = None if pencil.M is None else torch.as_tensor(pencil.M.toarray())
    A = torch.as_tensor(pencil.A.toarray())

    def gradient():
        torch.manual_seed(0)
        p = torch.as_tensor(problem.p0).clone().requires_grad_()
        w, X = torch.lobpcg(A + torch.diag(p), B=M, k=pencil.k, largest=False, niter=2000, tol=1e-11)
        problem.loss(_TorchFunctions(torch), w, X, problem.scale).backward()
        return p.grad.numpy()

    return gradient


def xitorch_symeig(problem, method: str, **options) -> Callable:
    import torch
    import xitorch
    from xitorch.linalg import symeig

    pencil = problem.pencil
    if not pencil.hermitian:
        raise NotThere("Hermitian operators only")
    if pencil.sigma is not None and pencil.A.dtype.kind == "c" and method != "exacteig":
        raise NotThere("no interior eigenvalues")
    A = torch.as_tensor(pencil.A.toarray())
    M = None if pencil.M is None else xitorch.LinearOperator.m(torch.as_tensor(pencil.M.toarray()), is_hermitian=True)
    count = pencil.k
    if pencil.sigma is not None and pencil.A.dtype.kind == "c":
        count = pencil.n  # interior ones: all of them

    def gradient():
        torch.manual_seed(0)
        p = torch.as_tensor(problem.p0).clone().requires_grad_()
        operator = xitorch.LinearOperator.m(A + torch.diag(p).to(A.dtype), is_hermitian=True)
        w, X = symeig(operator, neig=count, mode="lowest", M=M, method=method, **options)
        order = torch.as_tensor(pencil.nearest(w.detach().numpy()))
        problem.loss(_TorchFunctions(torch), w[order], X[:, order], problem.scale).backward()
        return p.grad.numpy()

    return gradient


def matfree_lanczos(problem) -> Callable:
    """Lanczos as deep as half of the matrix is large: it has no restart."""
    import jax
    from jax.experimental import sparse
    from matfree import decomp, eig

    _no_mass(problem)
    pencil = problem.pencil
    if pencil.A.dtype.kind == "c":
        raise NotThere("no complex adjoint, no interior eigenvalues")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    A = sparse.BCOO.from_scipy_sparse(pencil.A.tocoo())
    if pencil.hermitian:
        partial_pairs = eig.eigh_partial(decomp.tridiag_sym(pencil.n // 2, reortho="full"))
    else:
        partial_pairs = eig.eig_partial(decomp.hessenberg(pencil.n // 2, reortho="full"))
    v0 = jnp.asarray(pencil.arguments["v0"])

    def f(p):
        w, rows = partial_pairs(lambda v, p: A @ v + p * v, v0, p)
        order = jnp.argsort(w.real if pencil.sigma is None else jnp.abs(w - pencil.sigma))[: pencil.k]
        return problem.loss(jnp, w[order], rows[order].T, problem.scale)

    compiled = jax.jit(jax.value_and_grad(f))
    compiled(problem.p0)
    return lambda: np.asarray(compiled(problem.p0)[1].block_until_ready())


CANDIDATES = {
    "autograd, dense": ("autograd", autograd_dense),
    "jax, dense": ("jax", jax_dense),
    "torch, dense": ("torch", torch_dense),
    "torch.lobpcg": ("torch", torch_lobpcg),
    "xitorch, exacteig": ("xitorch", lambda problem: xitorch_symeig(problem, "exacteig")),
    "xitorch, davidson": ("xitorch", lambda problem: xitorch_symeig(problem, "davidson", max_niter=2000, min_eps=1e-9)),
    "matfree, Lanczos": ("matfree", matfree_lanczos),
}


def _installed() -> dict[str, Callable]:
    found = {}
    for title, (module, peer) in CANDIDATES.items():
        try:
            importlib.import_module(module)
        except ImportError:
            continue
        found[title] = peer
    return found


PEERS = _installed()
