"""A cotangent becomes a gradient on the way down: hardly any function calls one of a higher row of the import order.

A climb is a pair of functions of the package, one of which calls the other, which stands in a higher row. The user's
operators are not counted, nor what applies them.
"""

import sys
from collections.abc import Callable

import autograd.numpy as np
import numpy as onp
import pytest
from autograd import make_vjp
from structure import RANKS

import krylov_adj as ka

#: Modules whose functions apply the user's operators.
OPERATORS = ("autograd.values", "forward.operands", "autograd.operators")


def row(frame) -> int | None:
    parts = frame.f_globals.get("__name__", "").split(".")
    return RANKS[parts[1] if len(parts) > 1 else "__init__"] if parts[0] == "krylov_adj" else None


def climbs(function: Callable[[], object]) -> set[tuple[str, str]]:
    """Pairs of calling and called functions, by their names."""
    found = set()

    def name(frame):
        return f"{frame.f_globals['__name__'].removeprefix('krylov_adj.')}.{frame.f_code.co_name}"

    def watch(frame, event, argument):
        if event != "call" or (called := row(frame)) is None:
            return
        caller = frame.f_back
        while caller is not None and row(caller) is None:
            caller = caller.f_back
        if caller is not None and called > row(caller) and not name(frame).startswith(OPERATORS):
            found.add((name(caller), name(frame)))

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        function()
    finally:
        sys.setprofile(before)
    return found


def matrices(n):
    rng = onp.random.default_rng(n)
    A, B = rng.standard_normal((2, n, n))
    return A + A.T + onp.diag(onp.arange(n)), B + B.T, rng.standard_normal(n)


@pytest.mark.parametrize("n", [60, 260])
@pytest.mark.parametrize(("kind", "most"), [("closure", 2), ("sigma", 1), ("svds", 4)])
def test_a_cotangent_climbs_at_most(kind, most, n):
    A, B, W = matrices(n)

    def operator(t):
        return ka.LinearOperator(
            (n, n),
            lambda v: np.dot(A, v) + t * np.dot(B, v),
            lambda v: np.dot(A, v) + t * np.dot(B, v),
            dtype=float,
        )

    def loss(t):
        if kind == "svds":
            X = ka.svds(operator(t), k=2, v0=onp.ones(n))[0]
        elif kind == "sigma":
            X = ka.eigsh(A + t * B, k=2, sigma=0.5, v0=onp.ones(n))[1]
        else:
            X = ka.eigsh(operator(t), k=2, which="SA", v0=onp.ones(n))[1]
        return np.sum(W * X[:, 0] ** 2)

    vjp, _ = make_vjp(loss)(0.1)
    found = climbs(lambda: vjp(1.0))
    assert len(found) <= most, found


def test_a_climb_is_seen():
    """Of a callback: the engine calls a function that was made above it."""
    n = 260
    A, B, _ = matrices(n)
    vjp, _ = make_vjp(lambda t: np.sum(ka.eigsh(A + t * B, k=1, which="SA", v0=onp.ones(n))[1] ** 4))(0.1)
    assert ("krylov.minres.minres", "perturbation.engines.apply") in climbs(lambda: vjp(1.0))
