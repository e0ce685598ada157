"""Does an installed krylov_adj work? Run away from the checkout, whose path is the argument."""

import sys
from importlib.metadata import files, metadata, requires, version
from pathlib import Path

import autograd.numpy as np
from autograd import grad

import krylov_adj as ka

assert Path(sys.argv[1]) not in Path(ka.__file__).parents, "the checkout was imported, not what is installed"
assert version("krylov_adj") == ka.__version__
assert metadata("krylov_adj")["License-Expression"] == "MIT"
assert {"LICENSE", "py.typed"} <= {file.name for file in files("krylov_adj")}
extras = {requirement for requirement in requires("krylov_adj") if "extra ==" in requirement}
assert {requirement.split(">")[0] for requirement in set(requires("krylov_adj")) - extras} == {
    "numpy",
    "scipy",
    "autograd",
}
for name in ka.__all__:
    getattr(ka, name)

N = 30
LAPLACIAN = -ka.pde.laplacian(N)


def lowest(V):
    potential = ka.csr_array((V, np.arange(N), np.arange(N + 1)), (N, N))
    w, X = ka.eigsh(LAPLACIAN + potential, k=2, sigma=-1.0, v0=np.ones(N))
    return w[0] + np.sum(X[:, 0] ** 4)


V = np.linspace(0.0, 1.0, N)
assert ka.check_gradient(lowest, V).error < 1e-6
assert abs(np.sum(grad(lambda V: ka.eigsh(LAPLACIAN + np.diag(V), k=1, which="SA")[0][0])(V)) - 1) < 1e-9
