"""Fit a Hamiltonian to the levels that it should have: an nn.Module, Adam, and gradients of eigenpairs.

The potential of a quantum particle on a line is a small neural network of the position. Its lowest levels, and where
its ground state sits, are those of a well that the network does not know. The operator is never assembled. Needs
PyTorch.

    python examples/frameworks/fit_a_hamiltonian_torch.py [--points 160] [--steps 100]
"""

import argparse
import time

import torch

import krylov_adj.torch as kt

DOUBLE = torch.float64


class Hamiltonian(torch.nn.Module):
    """−½ d²/dx² + V(x) on a grid, zero at both ends; V is a network of one hidden layer above a harmonic well."""

    def __init__(self, points: int, hidden: int = 12) -> None:
        super().__init__()
        x = torch.linspace(-5, 5, points, dtype=DOUBLE)
        self.register_buffer("x", x)
        self.h = float(x[1] - x[0])
        self.network = torch.nn.Sequential(
            torch.nn.Linear(1, hidden, dtype=DOUBLE), torch.nn.Tanh(), torch.nn.Linear(hidden, 1, dtype=DOUBLE)
        )

    def potential(self) -> torch.Tensor:
        return 0.5 * self.x**2 + self.network(self.x[:, None])[:, 0]

    def states(self, k: int, V: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """The lowest k levels and states."""
        V = self.potential() if V is None else V

        def matvec(psi: torch.Tensor) -> torch.Tensor:
            u = torch.nn.functional.pad(psi, (1, 1))
            return -0.5 * (u[2:] - 2 * psi + u[:-2]) / self.h**2 + V * psi

        n = self.x.shape[0]
        return kt.eigsh(kt.LinearOperator((n, n), matvec, dtype=DOUBLE), k=k, which="SA")


def loss_of(model: Hamiltonian, levels: torch.Tensor, density: torch.Tensor) -> torch.Tensor:
    w, X = model.states(levels.shape[0])
    return ((w - levels) ** 2).sum() + ((X[:, 0] ** 2 - density) ** 2).sum() / model.h


def check_gradient(model: Hamiltonian, levels: torch.Tensor, density: torch.Tensor) -> float:
    """The relative error of the derivative along a direction, against differences of fourth order."""
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(loss_of(model, levels, density), parameters)
    generator = torch.Generator().manual_seed(1)
    direction = [torch.randn(p.shape, dtype=DOUBLE, generator=generator) for p in parameters]
    found = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
    step, values = 1e-3, []
    with torch.no_grad():
        for shift in (2, 1, -1, -2):
            for p, d in zip(parameters, direction, strict=True):
                p += shift * step * d
            values.append(float(loss_of(model, levels, density)))
            for p, d in zip(parameters, direction, strict=True):
                p -= shift * step * d
    expected = (8 * (values[1] - values[2]) - (values[0] - values[3])) / (12 * step)
    return abs(found - expected) / abs(expected)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=160, help="grid points")
    parser.add_argument("--steps", type=int, default=100, help="steps of Adam")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = Hamiltonian(arguments.points)
    with torch.no_grad():  # what is to be found: a double well
        hidden = 0.5 * model.x**2 + 2.5 * torch.exp(-(model.x**2)) + 0.3 * model.x
        levels, states = model.states(4, hidden)
        density = states[:, 0] ** 2
    print(f"{arguments.points} grid points, {sum(p.numel() for p in model.parameters())} parameters")
    print(f"gradient: relative error {check_gradient(model, levels, density):.1e} against differences")
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    started, first = time.perf_counter(), loss_of(model, levels, density).item()
    for _ in range(arguments.steps):
        optimiser.zero_grad()
        loss = loss_of(model, levels, density)
        loss.backward()
        optimiser.step()
    last = loss_of(model, levels, density).item()
    took = time.perf_counter() - started
    print(f"loss {first:.3e} at first, {last:.3e} after {arguments.steps} steps in {took:.1f} s")
    w = model.states(4)[0].detach()
    for wanted, found in zip(levels.tolist(), w.tolist(), strict=True):
        print(f"level {found:9.5f}, wanted {wanted:9.5f}")


if __name__ == "__main__":
    main()
