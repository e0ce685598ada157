"""First gradient: how the levels of an electron in a double well change with the potential."""

# %% An electron in GaAs: ħ²/m = 568.7 meV nm² for its effective mass m = 0.067 mₑ
import autograd.numpy as np
from autograd import grad
from matplotlib.figure import Figure

import krylov_adj as ka

n, h = 500, 0.1  # points, spacing in nm
x = h * (np.arange(n) - (n - 1) / 2)
V0 = 25 * ((x / 12) ** 2 - 1) ** 2 + 0.3 * x  # meV


def level(V, i):
    H = ka.diags_array(V) - 0.5 * 568.7 * ka.pde.laplacian(n, h)
    return ka.eigsh(H, k=4, sigma=0, v0=np.ones(n))[0][i]


# %% Its gradient, checked, and a picture
print(ka.check_gradient(lambda V: level(V, 1), V0))
axes = Figure(figsize=(7, 4.8), layout="constrained").subplots()
axes.plot(x, V0, color="0.3")
for i, color in enumerate(("#0072B2", "#E69F00", "#009E73", "#CC79A7")):
    E, g = level(V0, i), grad(level)(V0, i) / h
    axes.fill_between(x, E, E + 100 * g, color=color, alpha=0.6)
    axes.text(24.5, E + 1, f"$dE_{i + 1}/dV$", ha="right", color=color)
axes.set(title="Where the potential moves a level: |ψ|²", xlabel="x (nm)", ylabel="E, V (meV)", ylim=(-5, 60))
axes.figure.savefig("first_gradient.png", dpi=90)
