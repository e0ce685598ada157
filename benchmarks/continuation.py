"""What `krylov_adj.Continuation` saves in an optimisation of 20 steps.

    python benchmarks/continuation.py [--small]

Each row runs the same calls twice, cold and warm: 20 steps of L-BFGS-B to levels that are 5 % or 50 %
away, 20 of Adam on the way to the former, or a sweep, 20 gradients along a line of potentials, 0.5 % of
their size apart. Printed:
applications of the operator (with ``sigma``: of the inverse), forward and adjoint, the part that
was saved, and the relative difference of what came out, parameters or last gradient.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import autograd.numpy as anp
import models
import numpy as np
from autograd import value_and_grad
from autograd.misc.optimizers import adam
from autograd.tracer import getval
from scipy.optimize import minimize

import krylov_adj as ka

STEPS = 20

#: Of Adam: the levels are reached in the end, with steps of a tenth of the way.
STEP_SIZE = 5e-3


def row(name: str, operator: Callable, loss: Callable, size: int, way: str, solver, **arguments) -> None:
    counts, finals, inverse = [], [], "sigma" in arguments
    for continuation in (None, ka.Continuation()):
        reports: list[ka.Report] = []
        options = ka.Adjoint(callback=reports.append)
        rng = np.random.default_rng(1)

        def f(p, continuation=continuation, options=options, rng=rng):
            A = operator(p)
            v0 = rng.standard_normal(A.shape[0])
            w, X = solver(A, v0=v0, adjoint=options, continuation=continuation, **arguments)
            return loss(w, X)

        function = value_and_grad(f)
        if way == "sweep":
            line = np.random.default_rng(2).standard_normal(size) / size**0.5
            finals.append([function(step * line)[1] for step in np.linspace(0.9, 1, STEPS)][-1])
        elif way.startswith("Adam"):
            step = partial(_gradient, function)
            finals.append(adam(step, np.zeros(size), num_iters=STEPS, step_size=STEP_SIZE))
        else:
            finals.append(minimize(function, np.zeros(size), jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x)
        stages = ("forward", "adjoint")
        counts.append(
            [sum(r.solves if inverse else r.applications for r in reports if r.stage == stage) for stage in stages]
        )
    cold, warm = (np.array([*c, sum(c)]) for c in counts)
    saved = [f"{100 * (1 - b / a):4.0f} %" if a else "   -  " for a, b in zip(cold, warm, strict=True)]
    difference = np.linalg.norm(finals[0] - finals[1]) / np.linalg.norm(finals[0])
    assert difference < 0.1, (name, difference)
    print(
        f"{name:58s}  "
        + "  ".join(f"{a:6d} {b:6d} {s}" for a, b, s in zip(cold, warm, saved, strict=True))
        + f"  {difference:.0e}",
        flush=True,
    )


def _gradient(function: Callable, p: np.ndarray, step: int) -> np.ndarray:
    return function(p)[1]


def waves(n: int, m: int) -> np.ndarray:
    """m² standing waves on n × n points, long ones favoured, shape (n², m²)."""
    x = np.linspace(0, 1, n + 2)[1:-1]
    sines = np.sin(np.pi * np.outer(x, np.arange(1, m + 1)))
    favour = 1 / (1 + (np.arange(1, m + 1)[:, None] ** 2 + np.arange(1, m + 1) ** 2) / 8) ** 0.5
    return np.einsum("ia,jb,ab->ijab", sines, sines, favour).reshape(n * n, m * m)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="small sizes, for a quick look")
    small = parser.parse_args().small
    n, m = (20, 4) if small else (30, 4)
    H, W = models.schroedinger(n), waves(n, m)
    F = models.advection_diffusion(n, 20)
    x, y = (c.ravel() for c in models._grid(n))
    spot = (x - 0.6) ** 2 + (y - 0.35) ** 2
    diagonal = np.arange(n * n)

    def free(A):
        return lambda p: ka.LinearOperator(
            A.shape, lambda v: ka.aslinearoperator(A) @ v + 500 * anp.dot(W, p) * v, dtype=float
        )

    def explicit(A):
        def operator(p):
            V = ka.coo_array((500 * anp.dot(W, p), (diagonal, diagonal)), shape=A.shape)
            return ka.aslinearoperator(A) + V

        return operator

    def losses(A, solver, factor: float, arguments) -> dict[str, Callable]:
        """Levels at factor times some pattern away from where they start; a state's place; all states' shapes."""
        start = np.sort(np.real(solver(A, v0=np.ones(n * n), **arguments)[0]))
        targets = start * (1 + factor * np.array([0.5, -0.3, 0.4, -0.2]))

        def levels(w, X):
            return anp.sum((anp.sort(anp.real(w)) / targets - 1) ** 2) / factor**2

        def state(w, X):
            lowest = int(np.argmin(np.real(getval(w))))
            return levels(w, X) + anp.sum(spot * anp.abs(X[:, lowest]) ** 2)

        def states(w, X):
            return state(w, X) + 0.1 * n * n * anp.sum(anp.abs(X) ** 4)

        return {"eigenvalues": levels, "and one vector": state, "and all vectors": states}

    print(f"{'':58s}  {'forward':21s} {'adjoint':21s}  {'both':21s}  result")
    print(f"{'problem, loss of':58s}  " + "  ".join(["  cold   warm  saved"] * 3) + "  differs")
    shift, free_, slow = {"k": 4, "sigma": 0.0}, {"k": 4, "which": "SA", "maxiter": 10**5}, {"k": 4, "which": "SR"}
    for way, factor in (("sweep", 0.05), ("Adam", 0.05), ("5 % away", 0.05), ("50 % away", 0.5)):
        for name, A, operator, solver, arguments in (
            ("Schrödinger, matrix-free", H, free, ka.eigsh, free_),
            ("the same, tol 1e-8", H, free, ka.eigsh, {**free_, "tol": 1e-8}),
            ("Schrödinger, sigma", H, explicit, ka.eigsh, shift),
            ("advection-diffusion, sigma", F, explicit, ka.eigs, shift),
            ("advection-diffusion", F, explicit, ka.eigs, {**slow, "maxiter": 10**5}),
        ):
            for kind, loss in losses(A, solver, factor, arguments).items():
                row(f"{way}, {name}: {kind}", operator(A), loss, m * m, way, solver, **arguments)


if __name__ == "__main__":
    main()
