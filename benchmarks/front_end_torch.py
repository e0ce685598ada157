"""The overhead of the front end for PyTorch: value and gradient over those of autograd, the same problem in both.

    python benchmarks/front_end_torch.py [--points 50] [--repeat 7]

−∇² + V on points × points grid points, four pairs, a loss of values and of a vector. Processor time, best of
alternating runs; eager. Gradients of both are asserted to agree. Needs PyTorch.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import autograd
import autograd.numpy as anp
import numpy as np
import torch
from models import potential, schroedinger

import krylov_adj as ka
import krylov_adj.torch as kt

Array = np.ndarray
AGREE = 1e-9


def matrix_free(n: int) -> tuple[Callable[[Array], float], Callable[[torch.Tensor], torch.Tensor]]:
    """The stencil by shifts of arrays, in the words of each framework."""
    unit, v0 = (n + 1.0) ** 2, np.ones(n * n)

    def with_autograd(V: Array) -> float:
        def matvec(x: Array) -> Array:
            u = anp.pad(anp.reshape(x, (n, n)), 1, mode="constant")
            sums = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
            return (4 * unit + V) * x - unit * anp.reshape(sums, (n * n,))

        w, X = ka.eigsh(ka.LinearOperator((n * n, n * n), matvec, dtype=float), k=4, which="SA", v0=v0)
        return anp.sum(w) + anp.sum(X[:, 0] ** 4)

    def with_torch(V: torch.Tensor) -> torch.Tensor:
        def matvec(x: torch.Tensor) -> torch.Tensor:
            u = torch.nn.functional.pad(x.reshape(n, n), (1, 1, 1, 1))
            sums = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
            return (4 * unit + V) * x - unit * sums.reshape(-1)

        w, X = kt.eigsh(kt.LinearOperator((n * n, n * n), matvec, dtype=torch.float64), k=4, which="SA", v0=v0)
        return w.sum() + (X[:, 0] ** 4).sum()

    return with_autograd, with_torch


def sparse(n: int) -> tuple[Callable[[Array], float], Callable[[torch.Tensor], torch.Tensor]]:
    """A csr_array whose diagonal has the parameters, and sigma."""
    S, v0, order = schroedinger(n), np.ones(n * n), n * n
    data = S.data.copy()
    rows = np.repeat(np.arange(order), np.diff(S.indptr))
    diagonal = np.flatnonzero(rows == S.indices)
    data[diagonal] -= potential(n)
    of_data, at = torch.from_numpy(data), torch.from_numpy(diagonal)

    def with_autograd(V: Array) -> float:
        A = ka.csr_array((data, S.indices, S.indptr), S.shape) + ka.diags_array(V)
        w, X = ka.eigsh(A, k=4, sigma=0.0, v0=v0)
        return anp.sum(w) + anp.sum(X[:, 0] ** 4)

    def with_torch(V: torch.Tensor) -> torch.Tensor:
        A = kt.csr_array((of_data.index_add(0, at, V), S.indices, S.indptr), S.shape)
        w, X = kt.eigsh(A, k=4, sigma=0.0, v0=v0)
        return w.sum() + (X[:, 0] ** 4).sum()

    return with_autograd, with_torch


def measure(name: str, n: int, repeat: int) -> None:
    f, g = {"matrix-free": matrix_free, "sparse, sigma": sparse}[name](n)
    V = potential(n)

    def gradient_of_torch() -> Array:
        v = torch.from_numpy(V).clone().requires_grad_()
        g(v).backward()
        return v.grad.numpy()

    runs = {"autograd": lambda: autograd.grad(f)(V), "torch": gradient_of_torch}
    best, found = dict.fromkeys(runs, np.inf), {}
    for _ in range(repeat):
        for framework, run in runs.items():
            started = time.process_time()
            found[framework] = run()
            best[framework] = min(best[framework], time.process_time() - started)
    error = np.linalg.norm(found["torch"] - found["autograd"]) / np.linalg.norm(found["autograd"])
    assert error <= AGREE, error
    ratio = best["torch"] / best["autograd"]
    times = " | ".join(f"{1e3 * t:.1f}" for t in best.values())
    print(f"| {name} | {n * n} | {times} | {ratio:.2f} | {error:.0e} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--repeat", type=int, default=7)
    arguments = parser.parse_args()
    print("| problem | unknowns | autograd, ms | PyTorch, ms | ratio | difference |\n|---|---|---|---|---|---|")
    for name in ("matrix-free", "sparse, sigma"):
        measure(name, arguments.points, arguments.repeat)


if __name__ == "__main__":
    main()
