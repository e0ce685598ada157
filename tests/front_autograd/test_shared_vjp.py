"""One vjp (jvp) shared by threads, as where the rows of a Jacobian are computed in a pool.

What the systems of one call keep between solves must not be torn: rows are those of a serial loop, with counts.
"""

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from types import ModuleType, SimpleNamespace

import autograd.numpy as np
import numpy as onp
import pytest
from autograd import make_vjp

import krylov_adj as ka
from krylov_adj.perturbation.cache import Cache

REPEATS, THREADS, K = 10, 4, 4
RNG = onp.random.default_rng(5)
N = 60
G, D = RNG.standard_normal((2, N, N)) / N**0.5
C = G + 1j * RNG.standard_normal((N, N)) / N**0.5
H = C + C.conj().T
F = RNG.standard_normal((N, N)) + 1j * RNG.standard_normal((N, N))
MASS = onp.eye(N) + 0.05 * F @ F.conj().T / N
V0, SITE = onp.ones(N), onp.linspace(0.5, 1.5, N)
TOP = onp.diag(onp.r_[9.0, 8.0, 7.0, 6.0, onp.linspace(-1, 1, N - 4)])


def values(w, X):
    return np.real(w)


def vectors(w, X):
    """Densities, one of each vector."""
    return np.dot(SITE, np.real(X) ** 2 + np.imag(X) ** 2) ** 2 + np.dot(SITE, np.abs(X) ** 4)


def both(w, X):
    return np.real(w) + vectors(w, X)


def of_eigs(p, options):
    return ka.eigs(TOP + G + p[0] * D + p[1] * G, k=K, which="LR", v0=V0, adjoint=options)


def of_closure(p, options):
    A = TOP + G + p[0] * D + p[1] * G
    op = ka.LinearOperator((N, N), lambda v: np.dot(A, v), dtype=float)
    return ka.eigs(op, k=K, which="LR", v0=V0, adjoint=replace(options, method="gmres"))


def of_complex_eigs(p, options):
    return ka.eigs(TOP + C + p[0] * D + p[1] * G, k=K, which="LR", v0=V0, adjoint=options)


def of_pencil_with_sigma(p, options):
    return ka.eigs(TOP + C + p[0] * D, k=K, M=MASS * (1 + p[1] * TOP), sigma=8.1 + 0.3j, v0=V0, adjoint=options)


def of_hermitian(p, options):
    return ka.eigsh(TOP + H + p[0] * (D + D.T), k=K, M=MASS + p[1] * (G @ G.T), which="LA", v0=V0, adjoint=options)


def of_hermitian_with_sigma(p, options):
    A = TOP + H + p[0] * (D + D.T)
    return ka.eigsh(A, k=K, M=MASS + p[1] * (G @ G.T), sigma=8.3, v0=V0, adjoint=options)


def of_svds(p, options):
    u, s, vh = ka.svds((TOP + C + p[0] * D + p[1] * G)[:, :-5], k=K, v0=V0[:-5], adjoint=options)
    return s, np.concatenate([u[:-5], np.conj(vh).T])[:N]


def of_left_vectors(p, options):
    A = TOP + C + p[0] * D + p[1] * G
    w, X = ka.eigs(A, k=K, which="LR", v0=V0, adjoint=options)
    Y = ka.left_eigenvectors(A, w, X, adjoint=options)
    return w, np.abs(Y) * np.abs(X)


PROBLEMS = [
    (of_eigs, values),
    (of_closure, both),
    (of_complex_eigs, both),
    (of_pencil_with_sigma, both),
    (of_hermitian, both),
    (of_hermitian_with_sigma, vectors),
    (of_svds, both),
    (of_left_vectors, both),
]


@pytest.mark.parametrize(("problem", "loss"), PROBLEMS, ids=lambda function: function.__name__)
def test_rows_of_a_jacobian_in_a_pool(problem, loss):
    p = onp.array([0.1, 0.05])

    def rows(pool, reports):
        vjp, _ = make_vjp(lambda p: loss(*problem(p, ka.Adjoint(callback=reports.append))))(p)
        del reports[:]  # the forward pass's
        return onp.array(list(pool(vjp, onp.eye(K))))

    alone = []
    expected = rows(map, alone)
    assert onp.linalg.norm(expected) > 0.1
    for _ in range(REPEATS):
        together = []
        with ThreadPoolExecutor(THREADS) as pool:
            onp.testing.assert_allclose(rows(pool.map, together), expected, rtol=1e-7, atol=1e-9)
        assert len(together) == len(alone)
        assert all(report.converged for report in together)
        # The systems are those of the serial loop, in another order; GMRES's steps depend a little on it.
        counts = [sum(report.applications + report.solves for report in reports) for reports in (together, alone)]
        assert counts[0] == counts[1] or (problem is of_closure and abs(counts[0] - counts[1]) < 0.2 * counts[1])


def state_of(root):
    """Everything that an object holds, by the path to it, but for caches and counts of applications."""
    found, seen, queue = {}, set(), [("", root)]
    while queue:
        path, value = queue.pop()
        if isinstance(value, onp.ndarray):
            found[path] = (value.shape, value.dtype, hash(value.tobytes()))
        elif value is None or isinstance(value, bool | int | float | complex | str | onp.generic):
            found[path] = value
        if id(value) in seen or isinstance(value, Cache):
            continue
        seen.add(id(value))
        children = []
        if isinstance(value, dict):
            children += value.items()
        elif isinstance(value, list | tuple | set):
            children += enumerate(value)
        for cell in getattr(value, "__closure__", None) or ():
            children.append(("cell", cell.cell_contents))
        children += [("self", getattr(value, "__self__", None))]
        if isinstance(value, partial):
            children += [("function", value.func), ("arguments", value.args), ("keywords", value.keywords)]
        elif not isinstance(value, type | ModuleType):
            children += [item for item in getattr(value, "__dict__", {}).items() if item[0] != "_applications"]
            children += [(name, getattr(value, name, None)) for name in getattr(type(value), "__slots__", ())]
        queue += [(f"{path}.{name}", child) for name, child in children]
    return found


@pytest.mark.parametrize(("problem", "loss"), PROBLEMS, ids=lambda function: function.__name__)
def test_a_call_changes_nothing_but_caches(problem, loss):
    vjp, _ = make_vjp(lambda p: loss(*problem(p, ka.Adjoint())))(onp.array([0.1, 0.05]))
    before = state_of(vjp)
    assert any(".pairs" in path for path in before)
    for row in onp.eye(K):
        vjp(row)
    after = state_of(vjp)
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} == set()


def test_state_of_sees_what_changes():
    held = SimpleNamespace(numbers=[1.0], vectors={"x": onp.zeros(2)}, cache=Cache(), _applications={})

    def function():
        return held

    for change, seen in [
        (lambda: held.numbers.append(2.0), True),
        (lambda: held.vectors["x"].fill(1.0), True),
        (lambda: setattr(held, "more", 1), True),
        (lambda: held.cache.value("x", lambda: 1), False),
        (lambda: held._applications.update({1: 1}), False),
    ]:
        before = state_of(function)
        change()
        assert (state_of(function) != before) == seen


@pytest.mark.parametrize("solver", ["gmres", "direct"])
def test_solutions_in_a_pool(solver, caplog):
    """The reports of `solve` count their own applications."""
    A = TOP + 2 * np.eye(N) + C

    def rows(pool):
        caplog.clear()
        vjp, _ = make_vjp(lambda p: np.abs(ka.solve(A + p * D, V0, solver=solver, rtol=1e-12)[:8]))(0.1)
        found = onp.array(list(pool(vjp, onp.eye(8))))
        return found, sorted(int(count) for count in re.findall(r"(\d+) applications", caplog.text))

    with caplog.at_level(logging.INFO, logger="krylov_adj"):
        expected, counted = rows(map)
        assert len(counted) == 9
        for _ in range(REPEATS):
            with ThreadPoolExecutor(THREADS) as pool:
                together, counts = rows(pool.map)
            onp.testing.assert_allclose(together, expected, rtol=1e-9)
            # Where arrays are in memory decides last bits, and these a step next to the floor of rounding.
            assert len(counts) == len(counted)
            assert onp.max(onp.abs(onp.subtract(counts, counted))) <= 2
