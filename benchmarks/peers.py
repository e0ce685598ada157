"""The same problems for packages that differentiate dense eigendecompositions; those that are installed.

Each is asked as a user would: decompose A(p), pick the wanted pairs, evaluate the loss. None takes a
mass matrix, an operator, or a limit on iterations: such problems are not counted for it.
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
    """jax.numpy.linalg.eigh, and eig where JAX can differentiate it."""

    def __init__(self):
        self.jax = importlib.import_module("jax")
        self.jax.config.update("jax_enable_x64", True)
        self.jnp = self.jax.numpy
        self.sum, self.abs, self.real, self.conj = self.jnp.sum, self.jnp.abs, self.jnp.real, self.jnp.conj
        self.inv, self.asarray = self.jnp.linalg.inv, self.jnp.asarray

    def able(self, system, wanted, loss):
        return system.M is None

    def gradient(self, system, wanted, loss):
        decompose = partial(self.jnp.linalg.eigh, symmetrize_input=False) if system.hermitian else self.jnp.linalg.eig
        values = np.linalg.eigh(system.A)[0] if system.hermitian else np.asarray(decompose(system.A)[0])
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


def _installed():
    peers = {"autograd's numpy.linalg": Autograd()}
    for title, name, peer in (("jax", "jax", Jax), ("torch", "torch", Torch)):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        peers[title] = peer()
    return peers


PEERS = _installed()
