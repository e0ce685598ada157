"""From a user's operators, shift and inverses to a traced pencil and the core's problem."""

from __future__ import annotations

from typing import Any

from ..forward.continuation import Continuation
from ..forward.inverses import make_inverse, make_mass_inverse
from ..forward.verify import check_adjoint, is_hermitian
from ..perturbation.problem import Eigenproblem, Inverse, Pairs
from .elementary import deepest_level
from .operators.hermitian import hermitian_part
from .pencil import TracedPencil
from .trace import UNTRACED, guarded
from .values import Scaled, as_value, value_of_inverse

__all__ = ["make_pencil", "traced_inverse"]


def traced_inverse(problem: Scaled, sigma: Any, OPinv: Any, hermitian: bool) -> Inverse | None:
    """Return (A′ − σ′M′)⁻¹ from σ and (A − σM)⁻¹; None without OPinv and without explicit matrices."""
    scale, M = problem.units, problem.M
    values = as_value(problem.A, True, "A"), None if M is None else as_value(M, True, "M")
    return make_inverse(*values, scale.shift(sigma), value_of_inverse(OPinv, scale, sigma, hermitian), hermitian)


def make_pencil(
    given: Scaled, hermitian: bool, pairs: Pairs, continuation: Continuation | None = None, Minv: Any = None
) -> TracedPencil:
    """Return the pencil's operators, traced and as values; adjoints are traced here, in the forward pass.

    ``Minv`` is M⁻¹ where the forward pass was given one.
    """
    A, M = given.A, given.M
    deepest = deepest_level(A, M)
    traced = deepest != UNTRACED
    if not hermitian and traced:
        A, M = A.prepared(), None if M is None else M.prepared()
    values = (
        as_value(A, hermitian, "A", deepest),
        None if M is None else as_value(M, hermitian, "M", deepest),
    )
    for value in values:
        if value is not None and traced:
            check_adjoint(value, hermitian)
    if hermitian and traced:
        A = hermitian_part(A)
    if M is not None and traced and (hermitian or (pairs.normalization == "M" and is_hermitian(values[1]))):
        M = hermitian_part(M)
    mass_inverse = (
        None if values[1] is None or pairs.inverse is not None else make_mass_inverse(values[1], Minv, hermitian)
    )
    problem = Eigenproblem.of(pairs, *values, hermitian, continuation=continuation, mass_inverse=mass_inverse)
    return TracedPencil(
        problem,
        given.options,
        guarded(A._apply, deepest),
        guarded(A._apply_adjoint, deepest),
        None if M is None else guarded(M._apply, deepest),
        None if M is None else guarded(M._apply_adjoint, deepest),
    )
