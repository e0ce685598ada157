"""The same problems for packages that differentiate dense eigendecompositions; those that are installed.

Each is asked as a user would: decompose A(p), pick the wanted pairs, evaluate the loss. What a package
has no function for (a mass matrix, an operator, a limit on iterations) is not counted for it.
"""

import importlib
from functools import partial

import autograd.numpy as anp
import numpy as np
from asking import matched
from autograd import grad
from closed_forms import AUTOGRAD


def matrix(system, p):
    return system.A + sum(p[q] * D for q, D in enumerate(system.dA))


class Autograd:
    """autograd.numpy.linalg.eigh and eig."""

    def able(self, system, wanted, loss):
        return system.M is None

    def gradient(self, system, wanted, loss):
        decompose = anp.linalg.eigh if system.hermitian else anp.linalg.eig

        def f(p):
            w, X = decompose(matrix(system, p))
            order = matched(w, system.w[wanted])
            return loss(AUTOGRAD, w[order], X[:, order])

        return grad(f)(np.zeros(len(system.dA)))


class Jax:
    """jax.numpy.linalg.eigh; jax.lax.linalg.eig with ``enable_eigvec_derivs``, without which it refuses."""

    def __init__(self):
        self.jax = importlib.import_module("jax")
        self.jax.config.update("jax_enable_x64", True)
        self.jnp = self.jax.numpy
        self.sum, self.abs, self.real, self.conj = self.jnp.sum, self.jnp.abs, self.jnp.real, self.jnp.conj
        self.inv, self.asarray = self.jnp.linalg.inv, self.jnp.asarray

    def able(self, system, wanted, loss):
        return system.M is None

    def gradient(self, system, wanted, loss):
        if system.hermitian:
            decompose = partial(self.jnp.linalg.eigh, symmetrize_input=False)
        else:
            options = {"compute_left_eigenvectors": False, "enable_eigvec_derivs": True}
            decompose = partial(self.jax.lax.linalg.eig, **options)
        values = np.asarray(decompose(self.asarray(system.A))[0])
        order = matched(values, system.w[wanted])

        def f(p):
            w, X = decompose(matrix(system, p))
            return loss(self, w[order], X[:, order])

        return np.asarray(self.jax.grad(f)(self.jnp.zeros(len(system.dA))))


class Torch:
    """torch.linalg.eigh and eig, in complex arithmetic throughout (its products want one dtype)."""

    def __init__(self):
        self.torch = importlib.import_module("torch")
        self.real, self.conj, self.inv = self.torch.real, self.torch.conj, self.torch.linalg.inv

    def asarray(self, W):
        return self.torch.as_tensor(np.asarray(W, complex))

    def sum(self, x, axis=None):
        return self.torch.sum(x) if axis is None else self.torch.sum(x, dim=axis)

    def abs(self, x):
        return self.torch.abs(x)

    def able(self, system, wanted, loss):
        return system.M is None

    def gradient(self, system, wanted, loss):
        p = self.torch.zeros(len(system.dA), dtype=self.torch.float64, requires_grad=True)
        A = self.asarray(system.A) + sum(p[q] * self.asarray(D) for q, D in enumerate(system.dA))
        w, X = self.torch.linalg.eigh(A) if system.hermitian else self.torch.linalg.eig(A)
        order = self.torch.as_tensor(matched(w.detach().numpy(), system.w[wanted]))
        loss(self, w[order].to(self.torch.complex128), X[:, order]).real.backward()
        return p.grad.numpy()


class Xitorch(Torch):
    """xitorch.linalg.symeig, of as many of the upper eigenpairs as hold the wanted ones; a mass matrix too."""

    def __init__(self):
        super().__init__()
        self.xitorch = importlib.import_module("xitorch")
        self.symeig = importlib.import_module("xitorch.linalg").symeig

    def able(self, system, wanted, loss):
        return system.hermitian and np.all(np.isfinite(system.w))

    def gradient(self, system, wanted, loss):
        p = self.torch.zeros(len(system.dA), dtype=self.torch.float64, requires_grad=True)
        real = not any(np.iscomplexobj(array) for array in (system.A, system.M, *system.dA, *system.dM))
        convert = self.torch.as_tensor if real else self.asarray

        def operator(base, directions):
            total = convert(base) + sum(p[q] * convert(D) for q, D in enumerate(directions))
            return self.xitorch.LinearOperator.m(0.5 * (total + total.mH), is_hermitian=True)

        M = None if system.M is None else operator(system.M, system.dM)
        count = int(np.sum(system.w >= np.min(system.w[wanted])))
        w, X = self.symeig(operator(system.A, system.dA), neig=count, mode="uppest", M=M, method="exacteig")
        order = self.torch.as_tensor(matched(w.detach().numpy(), system.w[wanted]))
        complex_ = self.torch.complex128
        loss(self, w[order].to(complex_), X[:, order].to(complex_)).real.backward()
        return p.grad.numpy()


def _installed():
    peers = {"autograd's numpy.linalg": Autograd()}
    for title, name, peer in (("jax", "jax", Jax), ("torch", "torch", Torch), ("xitorch", "xitorch", Xitorch)):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        peers[title] = peer()
    return peers


PEERS = _installed()
