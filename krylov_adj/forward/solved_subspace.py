"""Plain values in, maps out: invariant subspaces with their derivative maps, for front ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..krylov import small
from ..krylov.precision import Precision
from ..krylov.space import WHOLE
from ..options import Adjoint
from ..perturbation.problem import Eigenproblem, Pairs, ValueOperator
from ..perturbation.subspace_derivatives import SubspaceMaps
from ..perturbation.subspaces import SubspaceSystems
from ..report.messages import basis_not_normalised
from ..report.report import logger
from .continuation import Continuation
from .eigenpairs import eigenpairs
from .inverses import make_inverse, make_mass_inverse
from .operands import as_complex
from .request import Request
from .scaling import Units, times_number, units
from .subspace import InvariantSubspace, basis_of, settle, verified_subspace
from .verify import GRAM, check_adjoint, forward_report

__all__ = [
    "GivenSubspace",
    "check_basis",
    "check_basis_normalisation",
    "given_subspace",
    "read_subspace",
    "recall_subspace",
    "solve_subspace",
    "stated_subspace",
]

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class GivenSubspace:
    """An invariant subspace that any solver computed: a basis (n, k), how it is normalised, and H or None."""

    X: Array
    H: Array | None
    normalization: str
    rtol: float


def check_basis(n: int, X_shape: tuple[int, ...], H_shape: tuple[int, ...] | None) -> None:
    """Raise ValueError where X (n, k) and H (k, k) have other shapes."""
    if len(X_shape) != 2 or X_shape[0] != n or not 0 < X_shape[1] <= n:
        raise ValueError(f"expected X of shape ({n}, k) with k from 1 to {n}, got {X_shape}")
    k = X_shape[1]
    if H_shape is not None and H_shape != (k, k):
        raise ValueError(f"expected H of shape ({k}, {k}), got {H_shape}")


def check_basis_normalisation(normalization: str | None, mass: bool, hermitian: bool) -> str:
    """Return how a given basis is normalised, where there is a ``mass`` or not.

    Raises
    ------
    ValueError
    """
    if normalization is None:
        normalization = "M" if mass else "2"
    if normalization not in ("2", "M") or (normalization == "M" and not mass):
        raise ValueError(f"normalization={normalization!r}: expected '2', or 'M' where M is given")
    if hermitian and mass and normalization == "2":
        raise ValueError("normalization='2': the basis of a Hermitian problem with M must have XᴴMX = I")
    return normalization


def read_subspace(
    A: Any, M: Any, X: Array, H: Array | None, normalization: str | None, hermitian: bool, rtol: float | None
) -> GivenSubspace:
    """Return a given subspace in one precision, checked as far as no operator is applied.

    Raises
    ------
    ValueError
    """
    check_basis(A.shape[0], X.shape, None if H is None else H.shape)
    if not np.all(np.isfinite(X)) or (H is not None and not np.all(np.isfinite(H))):
        raise ValueError("X or H holds NaN or infinity")
    normalization = check_basis_normalisation(normalization, M is not None, hermitian)
    parts = (X, np.float32, A.dtype, *(() if M is None else (M.dtype,)), *(() if H is None else (H,)))
    X = np.asfortranarray(X, np.result_type(*parts))
    return GivenSubspace(X, H, normalization, Precision.of(X.dtype).half if rtol is None else rtol)


def stated_subspace(problem: Eigenproblem, given: GivenSubspace, scale: Units) -> InvariantSubspace:
    """Return a given subspace in the units of the problem, with H and the images.

    Raises
    ------
    ValueError
        Where the basis is not normalised, or H not Hermitian though the problem is.
    """
    X, H = np.asfortranarray(given.X / scale.eigenvector_factor(given.normalization)), given.H
    AX, BX = problem.A.apply(X), problem.apply_B(X)
    gram = WHOLE.gram(X, X if given.normalization == "2" else BX)
    deviation = float(np.max(np.abs(gram - np.eye(X.shape[1]))))
    if not deviation <= max(given.rtol, 1e3 * Precision.of(X.dtype).eps):
        raise ValueError(basis_not_normalised(deviation, GRAM[given.normalization]))
    if H is None:
        H = WHOLE.gram(X, AX) if problem.hermitian else WHOLE.lstsq(BX, AX)
    else:
        H = (H / scale.eigenvalue_factor).astype(X.dtype)
    if problem.hermitian:
        asymmetry = small.norm(H - H.conj().T)
        if asymmetry > given.rtol * max(small.norm(H), problem.norms[0] / problem.norms[1]):
            raise ValueError(f"hermitian=True, but H differs from its adjoint by {asymmetry:.1e}")
        H = 0.5 * (H + H.conj().T)
    return InvariantSubspace(X, H, AX, BX)


def solve_subspace(
    request: Request,
    A: ValueOperator,
    M: ValueOperator | None = None,
    options: Adjoint | None = None,
    continuation: Continuation | None = None,
    in_complex: bool = False,
) -> tuple[Array, Array, SubspaceMaps]:
    """Return X (n, k), H (k, k) of A X = M X H, checked, and their derivative maps; complex ones where it is asked for.

    In this call's units, as the caller has them.

    Raises
    ------
    EigenNoConvergence, ValueError, TypeError
        As `eigs` and `eigsh`; also where no basis of the eigenvectors is found.
    """
    options, hermitian = Adjoint() if options is None else options, request.hermitian
    A, M, scale = _in_units(A, M, request.sigma)
    request, options = request.in_units(scale), scale.options(options)
    pairs = eigenpairs(request, A, M, continuation, whole_clusters=hermitian)
    if not hermitian:  # which does not count the conjugate of a pair that k cuts
        pairs = replace(pairs, surplus=None)
    mass_inverse = None
    if M is not None and pairs.inverse is None:
        mass_inverse = make_mass_inverse(M, request.Minv, hermitian)
    problem = Eigenproblem.of(pairs, A, M, hermitian, continuation=continuation, mass_inverse=mass_inverse)
    _check_adjoints(problem)
    space = settle(problem, basis_of(problem, pairs), options)
    return _found(problem, _in_complex(space) if in_complex else space, pairs, scale, options)


def given_subspace(
    A: ValueOperator,
    M: ValueOperator | None,
    X: Array,
    H: Array | None = None,
    *,
    hermitian: bool,
    sigma: Any = None,
    OPinv: Any = None,
    normalization: str | None = None,
    rtol: float | None = None,
    options: Adjoint | None = None,
) -> tuple[Array, Array, SubspaceMaps]:
    """Return an invariant subspace that any solver computed, checked, and its maps; arguments of `attach_subspace`.

    Raises
    ------
    ValueError
        Wrong shapes, NaN or infinity, no invariant subspace, or a basis that is not normalised.
    """
    given = read_subspace(A, M, X, H, normalization, hermitian, rtol)
    problem, pairs, scale, options = _stated(A, M, given, hermitian, sigma, OPinv, options)
    _check_adjoints(problem)
    return _found(problem, stated_subspace(problem, given, scale), pairs, scale, options)


def recall_subspace(
    A: ValueOperator,
    M: ValueOperator | None,
    given: GivenSubspace,
    *,
    hermitian: bool,
    sigma: Any = None,
    OPinv: Any = None,
    options: Adjoint | None = None,
) -> SubspaceMaps:
    """Return the maps of a subspace that has been accepted or computed before, and is not checked again."""
    problem, _, scale, options = _stated(A, M, given, hermitian, sigma, OPinv, options)
    return _maps(problem, stated_subspace(problem, given, scale), scale, options)


def _in_units(
    A: ValueOperator, M: ValueOperator | None, sigma: Any
) -> tuple[ValueOperator, ValueOperator | None, Units]:
    if M is not None and M.dtype.kind == "c" and A.dtype.kind != "c":
        A = as_complex(A)
    scale = units(A, M, sigma)
    return times_number(A, 1 / scale.a), times_number(M, 1 / scale.m), scale


def _stated(
    A: ValueOperator,
    M: ValueOperator | None,
    given: GivenSubspace,
    hermitian: bool,
    sigma: Any,
    OPinv: Any,
    options: Adjoint | None,
) -> tuple[Eigenproblem, Pairs, Units, Adjoint]:
    """Return the problem of a given subspace, in units, and what stands for its pairs."""
    A, M, scale = _in_units(A, M, sigma)
    inverse = make_inverse(A, M, scale.shift(sigma), times_number(OPinv, scale.a), hermitian)
    pairs = Pairs(np.zeros(given.X.shape[1]), given.X, given.normalization, "an invariant subspace as given", inverse,
                  units=scale.pair, rtol=given.rtol)  # fmt: skip
    mass_inverse = None if M is None or inverse is not None else make_mass_inverse(M, None, hermitian)
    problem = Eigenproblem.of(pairs, A, M, hermitian, mass_inverse=mass_inverse)
    return problem, pairs, scale, scale.options(Adjoint() if options is None else options)


def _check_adjoints(problem: Eigenproblem) -> None:
    for operator in (problem.A, problem.B):
        if operator is not None:
            check_adjoint(operator, problem.hermitian)


def _in_complex(found: InvariantSubspace) -> InvariantSubspace:
    dtype = np.result_type(found.X, np.complex64)
    return InvariantSubspace(*(part.astype(dtype) for part in (found.X, found.H, found.AX, found.BX)))


def _found(
    problem: Eigenproblem, found: InvariantSubspace, pairs: Pairs, scale: Units, options: Adjoint
) -> tuple[Array, Array, SubspaceMaps]:
    """Return X and H in the caller's units, after a check of their residual, and the maps."""
    report = verified_subspace(problem, found, pairs.rtol, forward_report(pairs))
    logger.info("%s", report)
    if options.callback is not None:
        options.callback(report)
    X, H = scale.vectors(found.X, pairs.normalization), found.H
    H = H if scale.eigenvalue_factor == 1 else H * scale.eigenvalue_factor
    return X, H, _maps(problem, found, scale, options)


def _maps(problem: Eigenproblem, found: InvariantSubspace, scale: Units, options: Adjoint) -> SubspaceMaps:
    systems = SubspaceSystems.of(problem, found.X, found.H, (found.AX, found.BX), options)
    vectors = scale.eigenvector_factor(problem.normalization)
    return SubspaceMaps(systems, scale.eigenvalue_factor, vectors, scale.a * vectors)
