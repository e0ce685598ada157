"""The texts of messages about roots F(u) = 0 of `attach_root`: as in `messages.py`."""

from __future__ import annotations

import numpy as np

from .report import Report


def not_a_root(steps: np.ndarray, sizes: np.ndarray, limit: float) -> str:
    moved = ", ".join(f"{step:.1e}, with ‖u‖ = {size:.1e}" for step, size in zip(steps, sizes, strict=True))
    each = " (array by array)" if steps.size > 1 else ""
    return (
        f"u is not a root of F: a step of Newton's method would move it by {moved}{each}; accepted is {limit:.1e} ‖u‖. "
        "The derivative's error is in proportion. It may be that (a) the solver stopped early: ask it for more, or "
        "take one more step of Newton's method on plain values; (b) F is not the function whose root u is: another "
        "sign, scale or parameter; (c) the root is zero, and u is zero but for rounding: u has no size then, so take v "
        "= u + c with a constant c as the unknown."
    )


def at_a_fold(change: float) -> str:
    return (
        f"J = dF/du is singular to working precision at u: where rounding moves u, J⁻¹ dF changes by {change:.1e} of "
        "its size. It may be that (a) the parameters are at a fold or a bifurcation point, where branches of solutions "
        "meet and u has no derivative: move them away from it, or continue in the arc length; (b) F does not fix u: a "
        "phase, a translation or an additive constant is free (of a pressure, of a potential): add an equation for it."
    )


def jacobian_not_solved(report: Report) -> str:
    transposed = "Jᴴ" if report.stage == "adjoint" else "J"
    return (
        f"A system with {transposed} was not solved, where J = dF/du is the Jacobian of F at u: {report.method} "
        f"reached a relative residual of {float(np.max(report.residuals)):.1e} in {report.iterations} iterations "
        f"({report.requested:.1e} requested). It may be that (a) J is singular: the parameters are at a fold or a "
        "bifurcation point, where u has no derivative, or F does not fix u (a phase, a translation, an additive "
        "constant is free): add an equation for it; (b) J is ill-conditioned: pass the Jacobian, attach_root(F, u, "
        "J=...), as a sparse matrix, which is factorised, or a preconditioner, "
        "adjoint=krylov_adj.Adjoint(preconditioner=...); (c) J v is known to fewer digits, because F solves or "
        "iterates inside: ask for fewer, adjoint=krylov_adj.Adjoint(rtol=...)."
    )


def jacobian_singular() -> str:
    return (
        "The Jacobian J = dF/du is singular at u. It may be that (a) the parameters are at a fold or a bifurcation "
        "point, where u has no derivative: move them away from it; (b) F does not fix u: a phase, a translation, or an "
        "additive constant is free: add an equation for it."
    )


def jacobian_is_zero() -> str:
    return (
        "J v = 0 for a random v, where J = dF/du. It may be that (a) F reads u from its closure, not its argument; (b) "
        "F uses numpy where it should use autograd.numpy; (c) the parameters are at a fold of every equation, where u "
        "has no derivative."
    )


def wrong_jacobian(difference: float, limit: float, complex_linear: bool) -> str:
    conjugate = (
        ""
        if complex_linear
        else " (d) F is not complex-linear in u (it takes moduli, real parts or conjugates): then J is real and of "
        "order 2n, from real and imaginary parts to real and imaginary parts."
    )
    return (
        f"J is not the Jacobian of F: for a random v, J v and the derivative of F along v differ by {difference:.1e} "
        f"of their size (accepted: {limit:.1e}). It may be that (a) a term is missing in J, or a sign is wrong; (b) J "
        "is that of an earlier step, or of other parameters; (c) J is an approximation: pass its inverse as a "
        f"preconditioner, adjoint=krylov_adj.Adjoint(preconditioner=...).{conjugate}"
    )


def sizes_differ(equations: int, unknowns: int, split: bool) -> str:
    counted = (
        " (real and imaginary parts counted, because F is not complex-linear in u or some of its arrays are real)"
        if split
        else ""
    )
    return f"F has {equations} equations and u {unknowns} unknowns{counted}: they must be as many"
