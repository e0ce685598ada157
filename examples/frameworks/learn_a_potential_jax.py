"""Learn a potential from spectra: a neural network in Equinox, trained through eigenvalues in a compiled program.

A particle in one dimension, H = −½ d²/dx² + V(x), on a grid. The lowest levels of a double well are measured, bare and
in a field that tilts it, and the network V_θ(x) is fitted to them. The whole step, eigenvalues included, is one
`jit` function.

    python examples/frameworks/learn_a_potential_jax.py
"""

import argparse

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import krylov_adj.jax as kj

jax.config.update("jax_enable_x64", True)

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--grid", type=int, default=120, help="points of the grid")
parser.add_argument("--steps", type=int, default=150, help="steps of Adam")
parser.add_argument("--levels", type=int, default=6, help="levels that are measured")
arguments = parser.parse_args()

n, levels = arguments.grid, arguments.levels
x = np.linspace(-4, 4, n)
h = x[1] - x[0]
fields = jnp.array([0.0, 0.5, 1.0])  # tilts of the well

# The pattern of a tridiagonal matrix; its entries come with the potential.
indptr = np.concatenate([[0], np.cumsum(np.r_[2, np.full(n - 2, 3), 2])])
rows = np.repeat(np.arange(n), np.diff(indptr))
columns = np.concatenate([[0, 1], (np.arange(1, n - 1)[:, None] + [-1, 0, 1]).ravel(), [n - 2, n - 1]])
kinetic = np.where(rows == columns, 1.0, -0.5) / h**2
diagonal = np.flatnonzero(rows == columns)


def spectrum(V):
    """The lowest levels in the potential V (n,)."""
    H = kj.csr_array((jnp.asarray(kinetic).at[diagonal].add(V), columns, indptr), (n, n))
    return kj.eigsh(H, k=levels, sigma=-5.0)[0]


def spectra(V):
    """The levels in every field, one after the other."""
    return jnp.stack([spectrum(V + field * x) for field in fields])


truth = 0.25 * (x**2 - 2) ** 2 - 0.3 * x
measured = spectra(jnp.asarray(truth))


class Potential(eqx.Module):
    """V_θ(x): an even part that confines, and a network."""

    network: eqx.nn.MLP

    def __init__(self, key):
        self.network = eqx.nn.MLP(1, "scalar", 16, 2, activation=jnp.tanh, key=key)

    def __call__(self, x):
        return 0.5 * x**2 + self.network(x[None])


def loss(model):
    return jnp.mean((spectra(jax.vmap(model)(jnp.asarray(x))) - measured) ** 2)


value_and_grad = eqx.filter_jit(eqx.filter_value_and_grad(loss))
model = Potential(jax.random.key(0))
parameters, static = eqx.partition(model, eqx.is_array)
flat, unflatten = ravel_pytree(parameters)


def as_model(flat):
    return eqx.combine(unflatten(flat), static)


# ---- the gradient, against differences ----------------------------------------------------------

direction = np.random.default_rng(0).standard_normal(flat.size)
step = 1e-5
value, g = value_and_grad(model)
derivative = float(ravel_pytree(eqx.filter(g, eqx.is_array))[0] @ direction)
above, below = (float(value_and_grad(as_model(flat + s * step * direction))[0]) for s in (1, -1))
differences = (above - below) / (2 * step)
print(f"{flat.size} parameters, {n} unknowns, {levels} levels in {fields.size} fields")
print(
    f"gradient {derivative:.8g}, differences {differences:.8g}, relative error {abs(derivative / differences - 1):.1e}"
)

# ---- Adam ----------------------------------------------------------------------------------------

first, second = jnp.zeros_like(flat), jnp.zeros_like(flat)
print(f"Loss {value:.3g}", end="")
for i in range(1, arguments.steps + 1):
    value, g = value_and_grad(as_model(flat))
    g = ravel_pytree(eqx.filter(g, eqx.is_array))[0]
    first, second = 0.9 * first + 0.1 * g, 0.99 * second + 0.01 * g**2
    flat = flat - 0.02 * (first / (1 - 0.9**i)) / (jnp.sqrt(second / (1 - 0.99**i)) + 1e-8)
print(f", after {arguments.steps} steps {value:.3g}.")

learned = jax.vmap(as_model(flat))(jnp.asarray(x))
inside = truth < 4  # where the states live
shift = np.mean((learned - truth)[inside])
print(
    f"Potential off by {np.sqrt(np.mean((learned - truth - shift)[inside] ** 2)):.2f} on average, where it is below 4."
)
