"""The texts of messages about linear systems, of `solve` and of derivatives: as in `messages.py`."""

from __future__ import annotations

from .report import Report


def linear_not_converged(report: Report) -> str:
    bad = ", ".join(f"{i}: {report.residuals[i]:.1e}" for i in report.failed)
    system = {"forward": "A x = b", "tangent": "A x = b of a derivative", "adjoint": "Aᴴ x = b of a derivative"}
    return (
        f"{report.method} did not solve {system[report.stage]} for {report.failed.size} of {report.residuals.size} "
        f"right-hand sides (real and imaginary parts count each): relative residuals {{{bad}}} with "
        f"{report.requested:.1e} requested, after {report.iterations} iterations. It may be that (a) A is singular, "
        "to working precision at least, and b is not in its range; (b) the solver does not suit A (cg needs a "
        "positive definite one; bicgstab can break down): try solver='gmres', or 'direct' with an explicit "
        "matrix; (c) A is ill-conditioned: pass preconditioner=...; (d) rtol is below what rounding inside of "
        "the operator admits: pass a larger rtol=...."
    )


def singular(change: float | None) -> str:
    seen = (
        "its LU factorisation has a zero pivot"
        if change is None
        else f"one step of refinement changes the solution of a system by {change:.1e} of its size"
    )
    return (
        f"A is singular to working precision: {seen}. It may be that (a) a constraint or boundary condition is "
        "missing, so that constants (rigid motions) are in the null space: fix a value, or solve with "
        "solver='minres' for a b in the range of a Hermitian A; (b) the parameters are at a resonance or a "
        "bifurcation point: x has no derivative here."
    )


def needs_hermitian(difference: float, solver: str) -> str:
    return (
        f"solver={solver!r} needs a Hermitian A, and ⟨v, A w⟩ − ⟨A v, w⟩ is {difference:.1e} of its terms. It may be "
        "that (a) A is not Hermitian: use solver='gmres', or 'direct' with an explicit matrix; (b) a boundary row was "
        "replaced without its column; (c) matvec is not linear: see krylov_adj.check_operator."
    )


def indefinite_preconditioner(energy: float, solver: str) -> str:
    return (
        f"solver={solver!r} needs a positive definite preconditioner P, and vᴴ P v is {energy:.1e} for a residual v. "
        "It may be that (a) P approximates A, not its inverse, with the wrong sign; (b) P is an incomplete "
        "factorisation of an indefinite A: use solver='gmres', which takes any."
    )


def preconditioner_without_adjoint() -> str:
    return (
        "The preconditioner has no adjoint, which the adjoint systems of a problem that is not Hermitian need. Try an "
        "rmatvec for its LinearOperator; or, where it is Hermitian, a function of blocks, preconditioner=P.matmat."
    )
