"""Solutions u of F(u) = 0, differentiable in whatever F reads.

F(u, p) = 0 gives du = −J⁻¹ dF with J = ∂F/∂u, where dF is the change with p at fixed u. u is computed on plain values.
Then, for every level t that F(u) carries, lowest first, F is evaluated with p as seen from t at the u of the levels
below, and

    u ← root_primitive(−F(u), u),    du = J(u)⁻¹ d(residual) + the du that u brings along.

So the derivative is that of one step of Newton's method at a root, u ← u − J⁻¹F(u), where dJ is multiplied by F = 0.
It is exact to first order only while J is a constant: J⁻¹ itself depends on u and p when it is differentiated again.
There the Jacobian stands in a linear equation, J(u) z = r, of the u that the primitive was given, with the Boxes that
it has by then; its image J(u) z is traced through F (forward mode), that of Jᴴ too (reverse mode), and `equations.py`
makes the solution differentiable to any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import autograd.numpy as anp
import numpy as np
import scipy.sparse as sp
from autograd.extend import defjvp, defvjp, primitive

from ..krylov.linear_solvers import HERMITIAN
from ..krylov.linear_system import LinearSystem
from ..krylov.precision import Precision
from ..krylov.space import WHOLE
from ..options import DENSE_ORDER, Adjoint
from ..perturbation.problem import ValueOperator
from ..report.errors import AdjointNoConvergence, LinearNoConvergence
from ..report.root_messages import (
    at_a_fold,
    jacobian_is_zero,
    jacobian_not_solved,
    jacobian_singular,
    not_a_root,
    wrong_jacobian,
)
from .equations import NO_CHANNEL, Side, Solved, attach_solution
from .linear import NO_NORMS, preconditioner_value
from .operators.base import LinearOperator
from .operators.matrices import aslinearoperator
from .residuals import SEED, Residual, make_residual
from .trace import UNTRACED, hide, level, levels, seen_from, strip
from .values import as_value, with_adjoint

__all__ = ["attach_root"]


def attach_root(F: Callable[[Any], Any], u: Any, *, J: Any = None, adjoint: Adjoint | None = None) -> Any:
    """Make a solution u of F(u) = 0, computed by any means on plain values, differentiable.

    Parameters
    ----------
    F : callable
        ``F(u)`` is an array of as many numbers as u, or a tuple of arrays where u is one; written with
        `autograd.numpy` and the operators of this package. Everything else that it reads may be traced.
    u : array, or tuple of arrays
        The root. Arrays of any shapes, real or complex.
    J : matrix, operator or callable, optional
        The Jacobian dF/du at u, of shape (n, n) for n unknowns in C order, array after array; or a function of u that
        returns it. A dense or sparse matrix is factorised; an operator without a matrix is applied in place of F's
        derivatives: it is believed to 1e-8, to which it is compared with F. A matrix serves to solve the systems, whose
        residuals are F's. By default J is known by its products, J v by forward mode and Jᴴ v by reverse mode of F; up
        to order 200 they make a matrix of it, which is factorised.
    adjoint : Adjoint, optional
        How systems with J are solved: ``method`` ("auto", "direct" with a matrix, "dense", "gmres", or "minres" where J
        is Hermitian), ``rtol``, ``maxiter``, ``preconditioner`` (approximates J⁻¹) and ``callback``. The options of
        eigenproblems have no effect; ``restart`` and ``on_failure="warn"`` are refused.

    Returns
    -------
    array or tuple of arrays, as u
        The values that were given, in floating-point numbers; traced where F is.

    Raises
    ------
    ValueError
        u is not a root: a step of Newton's method would move it by more than √ε of its size. A wrong Jacobian J. Wrong
        shapes, another number of equations than of unknowns, NaN or infinity, bad options.
    TypeError
        F does not return what u is, or u or F(u) are not made of numbers.
    numpy.linalg.LinAlgError
        J is singular: at a fold or a bifurcation point, or where F does not fix u.
    LinearNoConvergence, AdjointNoConvergence
        A system with J was not solved, in the check of u and in a derivative.

    Notes
    -----
    Where nothing is traced u is returned, unchecked. Where something is, the check of u takes two or three systems with
    J, solved to a few digits.

    Complex u: F that is holomorphic in u has a complex Jacobian. Any other F (\\|u\\|² u, real parts, conjugates), and
    u with real and complex arrays, is treated as a function of real and imaginary parts; n counts both, and J is real,
    its rows and columns in the order: real parts of an array, its imaginary parts, the next array. Which it is, is
    measured at u and beside it.

    Where a phase, a translation or an additive constant is free, J is singular: F must have an equation that fixes it.
    A minimum is a root of the gradient: ``F = grad(energy)``.

    Derivative
    ----------
    With respect to everything that F depends on besides u, to any order, in forward and reverse mode: du = −J⁻¹ dF. One
    system with Jᴴ for a gradient, whatever took place to find u. Its error is in proportion to that of u.

    References
    ----------
    The implicit function theorem; Christianson, Optim. Methods Softw. 3 (1994) 311 (reverse accumulation at fixed
    points). docs/derivation.md.

    Examples
    --------
    u³ + u = p has u = 1 at p = 2, with du/dp = 1/(3u² + 1) and d²u/dp² = −6u/(3u² + 1)³:

    >>> import autograd.numpy as np
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> def root(p):
    ...     return ka.attach_root(lambda u: u**3 + u - p, 1.0)
    >>> print(grad(root)(2.0), round(float(grad(grad(root))(2.0)), 9))
    0.25 -0.09375
    """
    options = _check_options(adjoint)
    residual, z, value = make_residual(F, u)
    if residual.deepest == UNTRACED:
        return residual.layout.arrays(z)
    system = _system(residual, z, J, options)
    _check_root(residual, system, z, strip(value))
    root = Root(residual, system)
    attached: Any = z
    found = levels(value)
    for t in found:
        attached = root_primitive(hide(-seen_from(value, t)), attached, root)
        if t != found[-1]:  # u has become traced at level t
            value = residual(attached)
    return residual.layout.arrays(attached)


# --------------------------------------------------------------------------------------------
# The primitive.
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Root:
    """F, and systems with its Jacobian at the root, on plain values."""

    residual: Residual
    system: LinearSystem


@dataclass(frozen=True, eq=False)
class Linearised:
    """J(u) z = r, with the Boxes of u and of what F reads."""

    root: Root
    u: Any
    channel: ClassVar[np.ndarray] = NO_CHANNEL

    def at(self, t: int) -> Linearised:
        return Linearised(self.root, seen_from(self.u, t))

    def solve(self, side: Side, rhs: np.ndarray) -> Solved:
        return Solved(_solve(self.root.system, side, rhs), NO_NORMS)

    def image(self, side: Side, z: Any, t: int) -> Any:
        residual = self.root.residual
        return seen_from(residual.pull(self.u)(z) if side == "adjoint" else residual.push(self.u, z), t)

    def measure_rounding(self, z: np.ndarray, left: np.ndarray, solved: Solved) -> np.ndarray:
        return self.channel

    def check_motion(self, motion: np.ndarray, solved: Solved) -> None:
        """Nothing is carried between levels."""


@primitive
def root_primitive(residual: Any, u: Any, root: Root) -> Any:
    """The root, as it is; its dependence on the data is that on the residual −F(u)."""
    return u


def _solution(side: Side, rhs: Any, u: Any, residual: Any, root: Root) -> Any:
    """J(u)⁻¹ rhs or J(u)⁻ᴴ rhs, as u is seen below the level that is differentiated."""
    t = max(level(residual), level(u))
    equation = Linearised(root, u)
    return attach_solution(equation, side, equation.solve(side, strip(rhs)), rhs, t)


defvjp(
    root_primitive,
    lambda ans, residual, u, root: lambda g: anp.conj(_solution("adjoint", anp.conj(g), u, residual, root)),
    lambda ans, residual, u, root: lambda g: g,
)
defjvp(
    root_primitive,
    lambda g, ans, residual, u, root: _solution("tangent", g, u, residual, root),
    lambda g, ans, residual, u, root: g,
)


# --------------------------------------------------------------------------------------------
# Systems with J on plain values.
# --------------------------------------------------------------------------------------------


def _solve(system: LinearSystem, side: Side, rhs: np.ndarray) -> np.ndarray:
    try:
        return system.solve(side, rhs)
    except (LinearNoConvergence, AdjointNoConvergence) as error:
        raise type(error)(jacobian_not_solved(error.report), error.report) from error
    except np.linalg.LinAlgError as error:
        raise np.linalg.LinAlgError(jacobian_singular()) from error


def _check_options(adjoint: Any) -> Adjoint:
    if adjoint is None:
        return Adjoint()
    if not isinstance(adjoint, Adjoint):
        raise TypeError(f"adjoint must be krylov_adj.Adjoint(...), not {type(adjoint).__name__}")
    if adjoint.method in ("shared", "augmented"):
        raise ValueError(
            f"attach_root: method={adjoint.method!r} is for eigenproblems; expected 'auto', 'direct', 'dense', 'gmres' "
            "or 'minres'"
        )
    if adjoint.restart is not None or adjoint.on_failure != "raise":
        raise ValueError("attach_root takes no restart=, and on_failure='raise' only")
    return adjoint


def _system(residual: Residual, z: np.ndarray, J: Any, options: Adjoint) -> LinearSystem:
    """Systems with J at z: its products by F, unless J is an operator without a matrix; its matrix by J."""
    n, plain = residual.n, residual.on_values()
    back: list[Callable[[Any], Any]] = []

    def apply_adjoint(v: Any) -> Any:
        if not back:
            back.append(plain.pull(z))
        return back[0](v)

    products = LinearOperator((n, n), lambda v: plain.push(z, v), apply_adjoint, dtype=residual.dtype)
    value = as_value(products, False, "dF/du", residual.deepest)
    matrix: Any = None
    given = None if J is None else _given(J, residual, z)
    if given is not None:
        matrix = given.explicit()
        own = as_value(with_adjoint(given), False, "J")
        _check_jacobian(residual, value, own)
        value = own if matrix is None else value
    solver, preconditioner = options.method, options.preconditioner
    if solver == "direct" and matrix is None:
        raise ValueError("attach_root: method='direct' needs J=, a dense or sparse matrix; or use method='dense'")
    if solver == "auto":
        # A residual in one norm says little of equations and unknowns of other sizes; factors do not mind.
        small = J is None and n <= DENSE_ORDER
        iterate = preconditioner is not None or (matrix is None and not small)
        solver = "gmres" if iterate else "direct" if matrix is not None else "dense"
    if solver == "dense":
        matrix = value.apply(np.eye(n, dtype=residual.dtype)) if matrix is None else matrix
        matrix, solver = np.asarray(matrix.toarray() if sp.issparse(matrix) else matrix), "direct"
    if solver == "direct" and preconditioner is not None:
        raise ValueError(f"attach_root: method={options.method!r} takes no preconditioner")
    inverse, is_complex = None, False
    if preconditioner is not None:
        inverse, is_complex = preconditioner_value(preconditioner, (n, n), solver not in HERMITIAN)
    return LinearSystem(
        value, matrix if solver == "direct" else None, n, residual.dtype, solver, options.tolerance(residual.dtype),
        WHOLE, inverse, is_complex, options.maxiter, options.callback,
    )  # fmt: skip


def _given(J: Any, residual: Residual, z: np.ndarray) -> LinearOperator:
    """J as an operator of F's vectors."""
    if callable(J) and not hasattr(J, "shape"):
        J = J(residual.layout.arrays(z))
    operator = aslinearoperator(strip(J))
    n = residual.n
    alone = residual.layout.split and len(residual.layout.shapes) == 1
    if alone and operator.has_matrix() and operator.shape == (n // 2, n // 2) and operator.dtype.kind == "c":
        # F is complex-linear for all that the caller knows: the comparison with F tells.
        matrix = sp.csr_array(operator.explicit())
        parts = [[matrix.real, -matrix.imag], [matrix.imag, matrix.real]]
        operator = aslinearoperator(sp.csr_array(sp.bmat(parts, format="csr")))
    if operator.shape != (n, n):
        split = " (real and imaginary parts counted)" if residual.layout.split else ""
        raise ValueError(f"J has shape {operator.shape}, expected {(n, n)} for {n} unknowns{split}")
    if operator.dtype.kind == "c" and residual.dtype.kind != "c":
        raise TypeError("J is complex, and F is a function of real numbers: of real u, or of real and imaginary parts")
    return operator


def _check_jacobian(residual: Residual, products: ValueOperator, given: ValueOperator) -> None:
    v, limit = WHOLE.random(residual.n, residual.dtype, SEED), Precision.of(residual.dtype).half
    ours, theirs = products.apply(v), given.apply(v)
    size = max(WHOLE.norm(ours), WHOLE.norm(theirs))
    difference = WHOLE.norm(ours - theirs) / size if size > 0 else 0.0
    if not difference <= limit:
        raise ValueError(wrong_jacobian(difference, limit, not residual.layout.split))


def _check_root(residual: Residual, system: LinearSystem, z: np.ndarray, value: np.ndarray) -> None:
    """Raise where a step of Newton's method would move u, or where rounding of u would change the derivative.

    With δ = J⁻¹F(u) the first is ‖δ‖/‖u‖ of every array, unless rounding leaves no less. For the second let η be a
    rounding of F, 10 ε ‖J‖‖u‖ in a random direction: δ = J⁻¹(F(u) + η) is how far u may be from the root, and
    J⁻¹(J(u − δ) − J(u)) δ/‖δ‖ what that changes of J⁻¹dF, relative to it (Deuflhard, Newton Methods for Nonlinear
    Problems, Springer 2004, section 2.1: it does not depend on the scales of F and u). Next to a fold, where J is
    nearly singular, it is not small. All to a few digits.
    """
    precision, sizes = Precision.of(z.dtype), residual.layout.norms(z)
    if not WHOLE.norm(system.operator.apply(WHOLE.random(residual.n, residual.dtype, SEED))):
        raise np.linalg.LinAlgError(jacobian_is_zero())
    rough, size = replace(system, rtol=max(precision.few_digits, system.rtol)), WHOLE.norm(z)
    noise = rough.probe()[:, 0] * (precision.floor * rough.norm * size)
    steps = _solve(rough, "forward", np.stack([value, noise], axis=1))
    step, rounding = (residual.layout.norms(steps[:, column]) for column in (0, 1))
    if np.any(~(step <= np.maximum(precision.half * sizes, np.minimum(rounding, precision.said * size)))):
        raise ValueError(not_a_root(step, sizes, precision.half))
    step = steps.sum(axis=1)
    length = WHOLE.norm(step)
    if not length > 0:
        return
    direction, plain = step / length, residual.on_values()
    moved, here = (np.asarray(strip(plain.push(at, direction))) for at in (z - step, z))
    change = WHOLE.norm(_solve(rough, "forward", moved - here))
    if not change <= precision.few_digits:
        raise np.linalg.LinAlgError(at_a_fold(change))
