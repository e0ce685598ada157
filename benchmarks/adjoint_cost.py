"""What an adjoint costs, relative to the forward solve it belongs to.

    python benchmarks/adjoint_cost.py [--small]

For each problem: random cotangents on all k eigenvectors (and, last columns, on the innermost
one only), tol = 0, adjoint residual 1e-10. Counts are applications of the inverse (with
sigma) or of the operator (without): those of the traced forward call, and the adjoint's, over those of
SciPy's plain call. Times are medians of three alternating runs in this process, in seconds of the processor.
Every row asserts its own residual and its derivative in a random direction, to 1e-7 against bordered LUs
that share no code with the package (`by_hand.py`), and against the tangent map. A second table has the
time of value and gradient with respect to a parameter for every point (or element) over that of SciPy's
plain call. The last part is the first example: the gradient of an eigenvalue loss against SciPy's plain
call without autograd.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import autograd.numpy as anp
import by_hand
import models
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad, jacobian, make_jvp, make_vjp, value_and_grad
from by_hand import Pencil

import krylov_adj as ka

RTOL = 1e-10


def median_times(functions: list[Callable[[], object]], repeat: int = 3) -> list[float]:
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeat):
        for function, record in zip(functions, times, strict=True):
            start = time.process_time()
            function()
            record.append(time.process_time() - start)
    return [float(np.median(record)) for record in times]


def plain_count(pencil: Pencil, arguments: dict) -> int:
    """Applications of the operator, or with sigma of the inverse, in SciPy's plain call."""
    calls, A = [0], pencil.A
    apply = pencil.A.dot if pencil.sigma is None else by_hand.factors(pencil).solve

    def counted(v):
        calls[0] += 1
        return apply(v)

    operator = spla.LinearOperator(A.shape, counted, dtype=A.dtype)
    if pencil.sigma is None:
        pencil.solver(operator, pencil.k, pencil.M, **arguments)
    else:
        pencil.solver(A, pencil.k, pencil.M, OPinv=operator, **arguments)
    return calls[0]


def row(
    name: str, A, M, k: int, hermitian: bool, sigma: float | None = None, restart: int | None = None, **arguments
) -> None:
    n = A.shape[0]
    rng = np.random.default_rng(0)
    reports: list[ka.Report] = []
    options = ka.Adjoint(rtol=RTOL, restart=restart, callback=reports.append)
    v0 = rng.standard_normal(n).astype(A.dtype)
    solver = ka.eigsh if hermitian else ka.eigs
    # A diagonal parameter is what every model has; with an inverse A(p) must stay explicit.
    change = rng.standard_normal(n)
    D = ka.aslinearoperator(A.__class__((change, 2 * (np.arange(n, dtype=np.intc),)), shape=(n, n)))
    scale = float(abs(A).max())

    def pairs(p):
        explicit = ka.aslinearoperator(A)
        free = ka.LinearOperator(A.shape, explicit.matvec, matmat=explicit.matmat, dtype=A.dtype)
        operator = (free if sigma is None else explicit) + D * p
        return solver(operator, k=k, M=M, sigma=sigma, v0=v0, adjoint=options, **arguments)

    forward_w, forward_X = pairs(0.0)
    pencil = Pencil(A, M, k, hermitian, sigma)
    plain = {"sigma": sigma, "v0": v0, **arguments}
    forward_count = plain_count(pencil, plain)
    weights = [rng.standard_normal((n, k)) for _ in range(2)]

    def loss(active):
        def f(p):
            X = pairs(p)[1]
            size = n * abs(forward_w).max() / scale  # every vector counts, whatever its units
            return size * anp.sum(weights[0] * active * anp.abs(X) ** 2) + size * anp.sum(
                weights[1] * active * anp.abs(X) ** 4
            )

        return f

    closest = np.argmin(abs(forward_w - (0 if sigma is None else sigma)))
    printed, methods = [], []
    for active in (np.ones(k), (np.arange(k) == closest) * 1.0):
        f = loss(active)
        reports.clear()
        vjp, _ = make_vjp(f)(0.0)
        gradient = vjp(1.0)
        adjoint = reports[-1]
        assert adjoint.converged, adjoint
        methods.append(adjoint.method)
        assert max(adjoint.residuals) <= max(RTOL, max(adjoint.floors))
        tangent = make_jvp(f)(0.0)(1.0)[1]
        error = abs(tangent - gradient) / abs(gradient)
        assert error < 1e-5, (name, gradient, tangent)
        size = n * abs(forward_w).max() / scale
        gX = size * active * (2 * weights[0] + 4 * weights[1] * np.abs(forward_X) ** 2) * forward_X
        W = by_hand.bordered_lu(pencil, by_hand.Forward(forward_w, forward_X, None), np.zeros(k), gX, refine=1)
        reference = float(np.sum(np.real(W.conj() * change[:, None] * forward_X)))
        assert abs(reference - gradient) < 1e-7 * abs(reference), (name, gradient, reference)
        own, count = (r.solves if sigma is not None else r.applications for r in (reports[0], adjoint))
        t_plain, t_both = median_times([partial(pencil.solver, A, k, M, **plain), partial(grad(f), 0.0)])
        printed += [f"{count / forward_count:.2f} ({count} / {forward_count})", f"{t_both / t_plain:.2f}"]
    printed = [f"{own / forward_count:.2f} ({own} / {forward_count})", methods[0], *printed]
    print(f"| {name} | {n} | {k} | {reports[0].method} | " + " | ".join(printed) + " |", flush=True)


Problem = tuple[int, Any, Callable[[Any], Any], Callable[[], object]]


def potential_problem(A: Any, hermitian: bool, free: bool, **arguments) -> Problem:
    """n, the parameter (a potential on every point), the pairs as its function, and SciPy's plain call."""
    n = A.shape[0]
    arguments["v0"] = np.random.default_rng(0).standard_normal(n)
    explicit, rows = ka.aslinearoperator(A), np.arange(n + 1)
    plain = getattr(spla, "eigsh" if hermitian else "eigs")
    solver = ka.eigsh if hermitian else ka.eigs

    def operator(V):
        if not free:
            return explicit + ka.csr_array((V, rows[:-1], rows), shape=(n, n))
        return ka.LinearOperator(
            (n, n),
            lambda x: explicit.matvec(x) + V * x,
            matmat=lambda X: explicit.matmat(X) + anp.reshape(V, (-1, 1)) * X,
            dtype=float,
        )

    value = spla.LinearOperator((n, n), lambda x: A @ x, dtype=float) if free else A
    return n, np.zeros(n), lambda V: solver(operator(V), k=6, **arguments), lambda: plain(value, k=6, **arguments)


def density_problem(nx: int, ny: int) -> Problem:
    """K x = w M x with a density for every element: K from its cube, M from itself."""
    rho, dofs, Ke, Me = models.elements(nx, ny)
    n = (nx + 1) * (ny + 1)
    arguments = {"k": 6, "sigma": -0.1, "v0": np.random.default_rng(0).standard_normal(n)}

    def pencil(rho):
        rho = anp.reshape(rho, (-1, 1, 1))
        return ka.assemble(rho**3 * Ke, dofs, (n, n)), ka.assemble(rho * Me, dofs, (n, n))

    def pairs(rho):
        K, M = pencil(rho)
        return ka.eigsh(K, M=M, **arguments)

    K, M = models.finite_elements(nx, ny)
    return n, rho, pairs, lambda: spla.eigsh(K, M=M, **arguments)


def wall_time(name: str, problem: Problem, repeat: int) -> None:
    n, p, pairs, plain = problem
    weights = np.random.default_rng(1).standard_normal((n, 6)) * np.arange(1, 7)

    def of_vectors(p):
        w, X = pairs(p)
        return anp.sum(anp.real(w) * np.arange(1, 7)) + anp.sum(weights * anp.abs(X) ** 2)

    def of_values(p):
        return anp.sum(anp.real(pairs(p)[0]) * np.arange(1, 7))

    direction = np.random.default_rng(2).standard_normal(n if p.size == n else p.size)
    for f in (of_vectors, of_values):
        expected = make_jvp(f)(p)(direction)[1]
        gradient = grad(f)(p)
        error = abs(gradient @ direction - expected) / (np.linalg.norm(gradient) * np.linalg.norm(direction))
        assert error < 1e-8, (name, error)
    functions = [plain, partial(value_and_grad(of_vectors), p), partial(value_and_grad(of_values), p)]
    times = median_times(functions, repeat)
    print(f"| {name} | {n} | {times[1] / times[0]:.2f} | {times[2] / times[0]:.2f} |", flush=True)


def wall_times(small: bool) -> None:
    print("\n| value and gradient over SciPy, time | n | vectors | eigenvalues only |\n" + 4 * "|---" + "|")
    repeat, often = (3, 3) if small else (7, 31)  # often where a call takes a tenth of a second
    for n in (30, 40) if small else (100, 200):
        A = models.schroedinger(n)
        wall_time("Schrödinger, sigma", potential_problem(A, True, False, sigma=0.0), often)
        wall_time("Schrödinger, no inverse", potential_problem(A, True, True, which="SA", maxiter=10**5), repeat)
    n = 30 if small else 100
    A = models.advection_diffusion(n, 20)
    wall_time("advection-diffusion Pe 20, sigma", potential_problem(A, False, False, sigma=0.0), often)
    n = 30 if small else 130
    wall_time("finite elements K x = w M x, sigma", density_problem(n, 6 * n // 10), often)


def jacobian_of_eigenvalues(n: int, k: int) -> None:
    """k rows, but two goes at the systems: the first row's, and all others' together."""
    A, reports = models.advection_diffusion(n, 20), []
    D = ka.aslinearoperator(sp.diags(np.linspace(0, 100, n * n)).tocsr())

    def levels(p):
        options = ka.Adjoint(rtol=RTOL, callback=reports.append)
        operator = ka.aslinearoperator(A) + D * p[0]
        return anp.real(ka.eigs(operator, k=k, sigma=0.0, v0=np.ones(n * n), adjoint=options)[0])

    J = jacobian(levels)(np.zeros(1))[:, 0]
    solves = [report.solves for report in reports if report.stage == "adjoint"]
    alone, h = [], 1e-3
    for i in range(k):
        reports.clear()
        grad(lambda p, i=i: levels(p)[i])(np.zeros(1))
        alone.append(reports[-1].solves)
    difference = (levels(np.array([h])) - levels(np.array([-h]))) / (2 * h)
    assert np.linalg.norm(J - difference) < 1e-6 * np.linalg.norm(J)
    print(
        f"\nJacobian of {k} eigenvalues, advection-diffusion Pe 20, sigma, n = {n * n}: {' + '.join(map(str, solves))} "
        f"adjoint solves, one row after the other in calls of their own {' + '.join(map(str, alone))}"
    )


def example(n: int) -> None:
    """The first example's operator: gradient of an eigenvalue loss against SciPy without autograd."""
    h = 8.0 / (n + 1)
    axis = h * np.arange(1, n + 1) - 4.0
    V0 = 0.4 * axis[:, None] ** 2 + 0.65 * axis**2
    v0, calls = np.random.default_rng(0).standard_normal(n * n), [0]
    arguments = {"k": 4, "which": "SA", "v0": v0, "ncv": 30, "tol": 1e-8}

    def hamiltonian(V, xp):
        def matvec(psi):
            calls[0] += 1
            psi = xp.reshape(psi, (n, n))
            u = xp.pad(psi, 1, mode="constant")
            laplacian = (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * psi) / h**2
            return xp.ravel(-0.5 * laplacian + V * psi)

        return matvec

    def plain():
        return spla.eigsh(spla.LinearOperator((n * n, n * n), hamiltonian(V0, np), dtype=float), **arguments)

    def energy(V):
        return anp.sum(ka.eigsh(ka.LinearOperator((n * n, n * n), hamiltonian(V, anp), dtype=float), **arguments)[0])

    X = plain()[1]
    g = grad(energy)(V0)
    error = np.linalg.norm(g.ravel() - np.sum(X**2, axis=1)) / np.linalg.norm(g)
    assert error < 1e-6, error
    counts = []
    for function in (plain, partial(grad(energy), V0)):
        calls[0] = 0
        function()
        counts.append(calls[0])
    t_plain, t_gradient = median_times([plain, partial(grad(energy), V0)], repeat=9)
    print(
        f"\nEigenvalue loss, matrix-free quantum well, n = {n * n}, k = 4: value and gradient over SciPy's eigsh "
        f"without autograd: time {t_gradient / t_plain:.2f}, applications {counts[1]}/{counts[0]} = "
        f"{counts[1] / counts[0]:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="small sizes, for a quick look")
    small = parser.parse_args().small
    print(
        "| problem | n | k | forward by | forward / SciPy | adjoint by | all k vectors: adjoint / SciPy "
        "| gradient / SciPy, time | innermost vector: adjoint / SciPy | gradient / SciPy, time |\n" + 10 * "|---" + "|"
    )
    for n in (30, 40) if small else (100, 200):
        row("Schrödinger, sigma", models.schroedinger(n), None, 6, True, 0.0)
    for n in (30,) if small else (60, 100):
        for peclet in (20, 200, 1000):
            row(f"advection-diffusion Pe {peclet}, sigma", models.advection_diffusion(n, peclet), None, 6, False, 0.0)
    for n in (30,) if small else (100, 140):
        row("finite elements K x = w M x, sigma, k = 6", *models.finite_elements(n, 6 * n // 10), 6, True, -0.1)
        row("finite elements K x = w M x, sigma, k = 10", *models.finite_elements(n, 6 * n // 10), 10, True, -0.1)
        row("Hofstadter interior, complex, sigma", models.hofstadter(n), None, 6, True, 0.37)
    for n in (400,) if small else (1500, 3000):
        row("random pencil, not Hermitian, sigma", *models.random_pencil(n), 5, False, 0.7)
    for n in (30,) if small else (60, 100):
        row("Schrödinger, no inverse", models.schroedinger(n), None, 6, True, which="SA", maxiter=10**5)
        # The same number of vectors on both sides.
        both = {"ncv": 40, "restart": 40, "maxiter": 10**5}
        row("Schrödinger, no inverse, 40 vectors", models.schroedinger(n), None, 6, True, which="SA", **both)
        name = "advection-diffusion Pe 20, no inverse, 40"
        row(name, models.advection_diffusion(n, 20), None, 6, False, which="SR", **both)
    wall_times(small)
    jacobian_of_eigenvalues(30 if small else 60, 6)
    example(30 if small else 200)


if __name__ == "__main__":
    main()
