"""Differentiable solution of linear systems, for JAX."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import ad

from ..forward.operands import value_operator
from ..krylov.linear_solvers import HERMITIAN
from ..krylov.linear_system import SOLVERS, LinearSystem, Stage
from ..krylov.space import WHOLE
from .arguments import plain_operator, read_pencil
from .codes import apply
from .derivatives import shape_of
from .host import Host, keep
from .primitives import is_active, make_host_primitive, stopped
from .problems import Problem

__all__ = ["solve"]

Array = np.ndarray


def _system(host: Host, solver: str, rtol: float) -> LinearSystem:
    problem, given = host.problem, dict(host.problem.request).get("preconditioner")
    inverse, complex_ = None, False
    if given is not None:
        inverse = _preconditioner(given)
        complex_ = np.dtype(given.dtype).kind == "c"
    matrix = host.A.matrix if solver == "direct" else None
    return LinearSystem(host.A, matrix, problem.n, problem.dtype, solver, rtol, WHOLE, inverse, complex_)


def _no_pairs(host: Host, *point: Array) -> None:
    """A linear system has none to recall."""


def _preconditioner(given: Any) -> Any:
    return value_operator(given, False, "The preconditioner")


def _run_prepare(host: Host, solver: str, rtol: float) -> list[Array]:
    return [keep(_system(host, solver, rtol))]


prepare_p = make_host_primitive(
    "krylov_adj_prepare", _run_prepare, lambda problem, *avals, solver, rtol: [shape_of((2,), np.uint32)]
)


def _run_solve(host: Host, token: Array, x0: Array, b: Array, stage: Stage, solver: str, rtol: float) -> list[Array]:
    system: LinearSystem = host.find(token, lambda: _system(host, solver, rtol))
    return [system.solve(stage, np.asfortranarray(b), x0 if x0.size and stage == "forward" else None)]


solve_p = make_host_primitive(
    "krylov_adj_solve",
    _run_solve,
    lambda problem, token, x0, b, stage, solver, rtol: [shape_of(b.shape, b.dtype)],
)


def _solve_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, problem: Problem, stage: Stage, solver: str, rtol: float
) -> Any:
    cut = problem.operands
    call = partial(solve_p.bind, problem=problem, solver=solver, rtol=rtol)
    (x,) = call(*primals, stage=stage)
    d = ad.instantiate_zeros(tangents[-1])
    active = tuple(i for i, t in enumerate(tangents[:cut]) if is_active(t))
    if active:
        changes = tuple(tangents[i] for i in active)
        d = d - _image_tangent(problem, stage, active, tuple(primals[:cut]), changes, x)
    return [x], call(*primals[:-1], d, stage="tangent" if stage == "forward" else stage)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _image_tangent(
    problem: Problem, stage: Stage, active: tuple[int, ...], consts: Sequence[Any], changes: Sequence[Any], x: Any
) -> Any:
    """The tangent of A x, or of Aᴴ x, at fixed x."""

    def image(*changed: Any) -> Any:
        moved = list(consts)
        for number, value in zip(active, changed, strict=True):
            moved[number] = value
        return apply(problem.codes[0], moved, x, stage == "adjoint")

    return jax.jvp(image, tuple(consts[i] for i in active), tuple(changes))[1]


def _solve_transpose(
    cotangents: Sequence[Any], *operands: Any, problem: Problem, stage: Stage, solver: str, rtol: float
) -> list[Any]:
    other = "tangent" if stage == "adjoint" else "adjoint"
    b = jnp.conj(ad.instantiate_zeros(cotangents[0]))
    (x,) = solve_p.bind(*operands[:-1], b, problem=problem, stage=other, solver=solver, rtol=rtol)
    return [None] * (len(operands) - 1) + [jnp.conj(x)]


ad.primitive_jvps[solve_p] = _solve_jvp
ad.primitive_transposes[solve_p] = _solve_transpose


def solve(
    A: Any, b: Any, *, solver: str | None = None, preconditioner: Any = None, rtol: float = 1e-10, x0: Any = None
) -> Any:
    """Solve A x = b, differentiably.

    Parameters
    ----------
    A : dense array, `LinearOperator`, `csr_array`, BCOO, BCSR, SciPy sparse or lineax operator
        Shape (n, n), nonsingular; may depend on traced values.
    b : array, shape (n,) or (n, m)
        One right-hand side, or m in columns; may be traced.
    solver : {"auto", "direct", "gmres", "minres", "cg", "bicgstab", "gcrot"}, optional
        As of `krylov_adj.solve`: ``"direct"`` where A is a matrix and no preconditioner is given, else ``"gmres"``.
    preconditioner : SciPy operator or matrix, optional
        Approximates the inverse of A, on the host.
    rtol : float, optional
        Largest accepted residual ‖b − A x‖ / ‖b‖ of every column, of the systems of derivatives too.
    x0 : array, shape of b, optional
        Initial guess; no derivative passes through it.

    Returns
    -------
    x : array, shape of b
        Of the common type of A and b.

    Raises
    ------
    LinearNoConvergence
        The residuals, recomputed from A, are not small enough.
    AdjointNoConvergence
        The same for a system of a derivative.
    numpy.linalg.LinAlgError
        From ``"direct"``: A is singular to working precision.
    ValueError, TypeError
        Wrong shapes, an unknown solver, NaN or infinity, an A that is not Hermitian with cg or minres.

    Derivative
    ----------
    Of x with respect to b and every array that A reads, to any order, forward and reverse: dx = A⁻¹ (db − dA x), by the
    same solver, and with the same factors.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> import krylov_adj.jax as kj
    >>> def f(p):
    ...     A = kj.LinearOperator((3, 3), lambda v: p * v + jnp.roll(v, 1))
    ...     return jnp.sum(kj.solve(A, jnp.ones(3)))  # x = 1 / (p + 1)
    >>> print(round(float(jax.grad(f)(1.0)), 5))
    -0.75
    """
    codes, counts, consts, dtype = read_pencil(A, None)
    n, b = codes[0].shape[0], jnp.asarray(b)
    if b.ndim not in (1, 2) or b.shape[0] != n:
        raise ValueError(f"expected b of shape ({n},) or ({n}, m), got {b.shape}")
    if not 0 <= rtol < 1:
        raise ValueError(f"rtol={rtol!r}: expected a number in [0, 1)")
    name = solver
    if name in (None, "auto"):
        name = "direct" if codes[0].explicit and preconditioner is None else "gmres"
    if name not in SOLVERS:
        raise ValueError(f"solver={solver!r}: expected None or one of {('auto', *SOLVERS)}")
    if name == "direct" and not codes[0].explicit:
        raise ValueError("solver='direct' needs a matrix, and A is given by functions: use solver='gmres'")
    if name == "direct" and preconditioner is not None:
        raise ValueError("solver='direct' takes no preconditioner")
    given = plain_operator(preconditioner, "preconditioner")
    request = () if given is None else (("preconditioner", given),)
    # Of a Hermitian A only A is applied; a wrong promise is an error of the solver.
    problem = Problem(codes, counts, n, 1, dtype, name in HERMITIAN, _no_pairs, request=request)
    b = b.astype(np.result_type(dtype, b.dtype, np.float32))
    start = jnp.zeros(0, b.dtype)
    if x0 is not None:
        start = jnp.asarray(x0)
        if start.shape != b.shape:
            raise ValueError(f"x0 has shape {start.shape}, b has {b.shape}")
        if jnp.iscomplexobj(start) and not jnp.iscomplexobj(b):
            raise ValueError("x0 is complex, A and b are real")
    (token,) = prepare_p.bind(*stopped(consts), problem=problem, solver=name, rtol=rtol)
    columns = b[:, None] if b.ndim == 1 else b
    start = start[:, None] if start.ndim == 1 and start.size else start
    (x,) = solve_p.bind(
        *consts, token, *stopped([start]), columns, problem=problem, stage="forward", solver=name, rtol=rtol
    )
    return x.reshape(b.shape)
