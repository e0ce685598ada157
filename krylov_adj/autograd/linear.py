"""Differentiable solution of linear systems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from ..forward.operands import check_numbers
from ..krylov.linear_solvers import HERMITIAN
from ..krylov.linear_system import SOLVERS, LinearSystem, Operator, Stage
from ..krylov.space import WHOLE
from ..perturbation.problem import ValueOperator
from .elementary import deepest_level
from .equations import EVERY_LEVEL, NO_CHANNEL, Side, Solved, attach_solution
from .operators.base import LinearOperator
from .operators.matrices import aslinearoperator
from .trace import UNTRACED, is_box, seen_from, strip
from .values import as_value, check_operators

__all__ = ["NO_NORMS", "inverse", "preconditioner_value", "solve"]

#: Of residuals: no channel carries them.
NO_NORMS = np.zeros(0)


def solve(
    A: Any,
    b: Any,
    *,
    solver: str | None = None,
    preconditioner: Any = None,
    rtol: float = 1e-10,
    x0: Any = None,
) -> Any:
    """Solve A x = b, differentiably.

    Parameters
    ----------
    A : dense array, SciPy sparse, SciPy or krylov_adj LinearOperator
        Shape (n, n), nonsingular; may depend on traced values where its type can.
    b : array, shape (n,) or (n, m)
        One right-hand side, or m in columns; may be traced.
    solver : {"auto", "direct", "gmres", "minres", "cg", "bicgstab", "gcrot"}, optional
        * ``"direct"``: LU factorisation (SuperLU where A is sparse) of an explicit matrix: a dense
          or sparse A, or an operator made of such by algebra. Derivatives use the factors again.
        * ``"gmres"``: restarted GMRES for any A, all columns together; where it stagnates, with
          larger restarts.
        * ``"minres"``: MINRES for Hermitian A, all columns together.
        * ``"cg"``: conjugate gradients (SciPy) for Hermitian positive definite A.
        * ``"bicgstab"``: BiCGSTAB (SciPy); little memory, may break down.
        * ``"gcrot"``: GCROT(m, k) (SciPy), which hands its recycled space on from column to column.
        * ``"auto"``, the default: ``"direct"`` where A is explicit and no preconditioner is given,
          else ``"gmres"``.
    preconditioner : LinearOperator, matrix or callable, optional
        Approximates the inverse of A. Adjoint systems use its adjoint, through ``rmatvec``; a
        callable maps blocks (n, m) to blocks and stands for a Hermitian preconditioner. cg and
        minres need a positive definite one. Not for ``"direct"``.
    rtol : float, optional
        Largest accepted residual ‖b − A x‖ / ‖b‖ of every column, of the systems of derivatives
        too. Where rounding alone keeps it above (always in single precision with the default),
        10 ε (‖A‖ ‖x‖ / ‖b‖ + 1) is accepted in its place, if x is stable against rounding.
    x0 : array, shape of b, optional
        Initial guess; no derivative passes through it.

    Returns
    -------
    x : array, shape of b
        Of the common type of A and b; single precision stays single.

    Raises
    ------
    LinearNoConvergence
        The residuals, recomputed from A, are not small enough after max(10 n, 1000) iterations,
        or do not fall any more. Carries a `Report`.
    AdjointNoConvergence
        The same for a system of a derivative, from the backward (or forward-mode) pass.
    numpy.linalg.LinAlgError
        From ``"direct"``: A is singular to working precision.
    ValueError
        Wrong shapes, an unknown solver, NaN or infinity, an A that is not Hermitian with cg or
        minres, an ``rmatvec`` that is not the adjoint, an indefinite preconditioner with cg or minres.
    TypeError
        An operator that autograd cannot transpose, where something is traced.
    NotImplementedError
        From the backward pass: A or the preconditioner has no adjoint.

    Notes
    -----
    A singular A with b in its range has many solutions and no derivative in general. The iterative
    solvers find one of them; its gradients are meaningful if the loss does not depend on which, and
    where it does the backward pass raises. Matrices of condition numbers past about 1e13 (1e5 in
    single precision) count as singular; bad scaling of rows alone does not.
    Messages of progress go to ``logging.getLogger("krylov_adj")``.

    Derivative
    ----------
    Of x with respect to b and everything that A depends on, to any order, in forward and reverse
    mode: dx = A⁻¹ (db − dA x). One solve with Aᴴ for a gradient (x̄ ↦ b̄ = A⁻ᴴ x̄, and dA is paired with
    −b̄ xᴴ through one traced application of A), by the same solver; memory does not grow with the
    iterations.

    References
    ----------
    Saad & Schultz, SIAM J. Sci. Stat. Comput. 7 (1986), GMRES; Paige & Saunders, SIAM J. Numer.
    Anal. 12 (1975), MINRES; Hestenes & Stiefel, J. Res. NBS 49 (1952), CG; van der Vorst, SIAM J. Sci.
    Stat. Comput. 13 (1992), BiCGSTAB; Hicken & Zingg, SIAM J. Sci. Comput. 32 (2010), GCROT.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> def f(p):
    ...     A = ka.LinearOperator((3, 3), lambda v: p * v + np.roll(v, 1), dtype=float)
    ...     return np.sum(ka.solve(A, np.ones(3)))  # x = 1 / (p + 1)
    >>> print(round(float(grad(f)(1.0)), 9))
    -0.75
    """
    operator, _ = check_operators(A, None)
    n = operator.shape[0]
    b = _check_vectors(b, "b", n)
    if x0 is not None:
        x0 = _check_vectors(strip(x0), "x0", n)
        if x0.shape != b.shape:
            raise ValueError(f"x0 has shape {x0.shape}, b has {b.shape}")
    _check_rtol(rtol)
    name = _solver_name(solver, operator, preconditioner)
    traced = is_box(b) or deepest_level(operator) != UNTRACED
    adjoint = None
    if traced:
        operator, adjoint = _prepared(operator, name)
    values = _system(operator, strip(b), name, preconditioner, rtol, traced and name not in HERMITIAN)
    if x0 is not None and np.iscomplexobj(x0) and values.dtype.kind != "c" and not np.iscomplexobj(strip(b)):
        raise ValueError("x0 is complex, A and b are real")
    x = values.solve("forward", strip(b), x0)
    if adjoint is None:
        return x
    equation = LinearEquation(values, operator._apply, adjoint)
    return attach_solution(equation, "forward", Solved(x, NO_NORMS), b, EVERY_LEVEL)


def inverse(A: Any, *, solver: str | None = None, preconditioner: Any = None, rtol: float = 1e-10) -> LinearOperator:
    """A⁻¹ as an operator: every application solves a system.

    Parameters
    ----------
    A, solver, preconditioner, rtol
        As for `solve`. A is read, and factorised with ``"direct"``, once, here: what its functions read
        must not change afterwards.

    Returns
    -------
    LinearOperator
        Its adjoint solves with Aᴴ, by the same factors or the same solver. Linear up to ``rtol``.

    Raises
    ------
    numpy.linalg.LinAlgError
        From ``"direct"``: A is singular to working precision.
    LinearNoConvergence, AdjointNoConvergence
        From an application, of the inverse and of its adjoint.
    ValueError, TypeError, NotImplementedError
        As for `solve`.

    Notes
    -----
    It has no explicit matrix.

    Derivative
    ----------
    With respect to the vector and everything that A depends on, as of `solve`.

    Examples
    --------
    Shift and invert by hand; the eigenvalues of (K − σ)⁻¹ are 1/(λ − σ):

    >>> import autograd.numpy as np
    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> def lowest(stiffness):
    ...     K = ka.pde.laplacian(9) * -stiffness
    ...     return 1 / ka.eigsh(ka.inverse(K), k=1, v0=numpy.ones(9))[0][0]
    >>> print(numpy.isclose(grad(lowest)(2.0) * 2.0, lowest(2.0)))  # homogeneous of degree one
    True
    """
    operator, _ = check_operators(A, None)
    _check_rtol(rtol)
    return _Inverse(operator, {"solver": solver, "preconditioner": preconditioner, "rtol": rtol})


@dataclass(frozen=True, eq=False)
class LinearEquation:
    """A x = b as plain values, and A, Aᴴ as the user's operator applies them, Boxes included."""

    values: LinearSystem
    apply: Callable[[Any], Any]
    apply_adjoint: Callable[[Any], Any]
    channel: ClassVar[np.ndarray] = NO_CHANNEL

    def at(self, t: int) -> LinearEquation:
        return self

    def solve(self, side: Side, rhs: np.ndarray) -> Solved:
        return Solved(self.values.solve(side, rhs), NO_NORMS)

    def image(self, side: Side, z: Any, t: int) -> Any:
        return seen_from((self.apply_adjoint if side == "adjoint" else self.apply)(z), t)

    def measure_rounding(self, z: np.ndarray, left: np.ndarray, solved: Solved) -> np.ndarray:
        return self.channel

    def check_motion(self, motion: np.ndarray, solved: Solved) -> None:
        """Nothing is carried between levels."""


class _Inverse(LinearOperator):
    """A⁻¹ through the systems of `solve`, made once."""

    def __init__(self, operator: LinearOperator, options: dict[str, Any]):
        self._made_of = operator, options
        preconditioner = options["preconditioner"]
        solver = _solver_name(options["solver"], operator, preconditioner)
        spla.LinearOperator.__init__(self, np.result_type(operator.dtype, np.float32), operator.shape)
        traced = deepest_level(operator) != UNTRACED
        adjoint: Callable[[Any], Any] | None = None
        try:
            operator, adjoint = _prepared(operator, solver)
        except (NotImplementedError, TypeError):
            if traced:
                raise
            # Without an adjoint until one is asked for: then the operator says why.
        self._values = _system(
            operator,
            np.zeros(operator.shape[0], self.dtype),
            solver,
            preconditioner,
            options["rtol"],
            solver not in HERMITIAN,
        )
        if solver == "direct":
            _ = self._values.factors  # A that is singular is an error here, not in the first application
        self._traced = LinearEquation(self._values, operator._apply, adjoint) if traced and adjoint else None

    def __reduce__(self) -> Any:
        return _Inverse, self._made_of

    def _apply(self, X: Any) -> Any:
        return self._solution("forward", X)

    def _apply_adjoint(self, X: Any) -> Any:
        return self._solution("adjoint", X)

    def _solution(self, stage: Stage, X: Any) -> Any:
        x = self._values.solve(stage, strip(X))
        if self._traced is not None:
            return attach_solution(self._traced, stage, Solved(x, NO_NORMS), X, EVERY_LEVEL)
        if is_box(X):
            equation = LinearEquation(self._values, self._values.operator.apply, self._values.operator.adjoint)
            return attach_solution(equation, stage, Solved(x, NO_NORMS), X, UNTRACED)
        return x

    def prepared(self) -> LinearOperator:
        return self

    def plain(self) -> LinearOperator:
        twin = _Inverse.__new__(_Inverse)
        twin.__dict__.update(self.__dict__, _traced=None)
        return twin

    def applies_blocks(self) -> bool:
        return True


def _check_vectors(x: Any, name: str, n: int) -> Any:
    if sp.issparse(x):
        raise TypeError(f"{name} is sparse: pass a dense array, {name}.toarray()")
    if not is_box(x):
        x = np.asarray(x)
        check_numbers(x)
    shape, dtype = np.shape(strip(x)), np.asarray(strip(x)).dtype
    if len(shape) not in (1, 2) or shape[0] != n:
        raise ValueError(f"expected {name} of shape ({n},) or ({n}, m), got {shape}")
    if not np.issubdtype(dtype, np.number):
        raise TypeError(f"expected {name} of numbers, got dtype {dtype}")
    return x


def _check_rtol(rtol: float) -> None:
    if not 0 <= rtol < 1:
        raise ValueError(f"rtol={rtol!r}: expected a number in [0, 1)")


def _solver_name(solver: str | None, operator: LinearOperator, preconditioner: Any) -> str:
    if solver in (None, "auto"):
        return "gmres" if preconditioner is not None or not operator.has_matrix() else "direct"
    if solver not in SOLVERS:
        raise ValueError(f"solver={solver!r}: expected None or one of {('auto', *SOLVERS)}")
    if solver == "direct":
        if preconditioner is not None:
            raise ValueError("solver='direct' takes no preconditioner")
        if not operator.has_matrix():
            raise ValueError(
                "solver='direct' needs an explicit matrix (dense or sparse, or algebra of such), and A is given by "
                "functions: use solver='gmres', or another iterative one, or sparsity=, the places of its entries, of "
                "krylov_adj.LinearOperator"
            )
    assert solver is not None
    return solver


def _prepared(operator: LinearOperator, solver: str) -> tuple[LinearOperator, Callable[[Any], Any]]:
    """The operator and its adjoint, which is traced here, in the forward pass, where it has to be.

    Also for a Hermitian solver: A is Hermitian at these parameters, and its derivatives may not be.
    """
    try:
        prepared = operator.prepared()
        if solver in HERMITIAN:
            prepared._apply_adjoint(np.zeros(operator.shape[0], operator.dtype))
        return prepared, prepared._apply_adjoint
    except (NotImplementedError, TypeError):
        if solver in HERMITIAN:
            return operator, operator._apply
        raise


def _system(
    operator: LinearOperator, b: np.ndarray, solver: str, preconditioner: Any, rtol: float, adjoint: bool
) -> LinearSystem:
    """The system on plain arrays, in the precision of A and b; ``adjoint`` is whether Aᴴ is of use."""
    value = as_value(operator, not adjoint, "A")
    dtype = np.result_type(operator.dtype, b.real.dtype, np.float32)
    inverse, is_complex = None, False
    if preconditioner is not None:
        inverse, is_complex = preconditioner_value(preconditioner, operator.shape, adjoint)
    matrix = value.matrix if solver == "direct" else None
    return LinearSystem(value, matrix, b.shape[0], dtype, solver, rtol, WHOLE, inverse, is_complex)


def preconditioner_value(given: Any, shape: tuple[int, int], adjoint: bool) -> tuple[Operator, bool]:
    """A preconditioner on plain arrays, and whether it is complex."""
    if callable(given) and not hasattr(given, "matvec"):

        def apply(V: np.ndarray) -> np.ndarray:
            return strip(given(V))

        return ValueOperator(shape, np.float64, apply, apply, "The preconditioner"), False
    operator = aslinearoperator(given)
    if operator.shape != shape:
        raise ValueError(f"the preconditioner has shape {operator.shape}, A has {shape}")
    if adjoint:
        operator = operator.prepared()
    return as_value(operator, not adjoint, "The preconditioner"), operator.dtype.kind == "c"
