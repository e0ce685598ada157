"""The one options object of the package, for derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .report.report import Report

METHODS = ("auto", "shared", "augmented", "minres", "gmres", "direct", "dense")
ON_GAUGE = ("warn", "raise", "ignore")
ON_FAILURE = ("raise", "warn")

#: Up to this order the systems are solved by dense factorisation when ``method="auto"``.
DENSE_ORDER = 200


def most_iterations(n: int) -> int:
    """Return the most iterations that a linear system of order n may take, unless told."""
    return max(10 * n, 1000)


@dataclass(frozen=True)
class Adjoint:
    """Options for the derivative of an eigenproblem.

    Parameters
    ----------
    method : {"auto", "shared", "augmented", "minres", "gmres", "direct", "dense"}, optional
        Solver of the perturbation systems.

        * ``"shared"``: one Krylov space for all systems, from the inverse of the forward pass
          (``sigma`` with explicit matrices, or ``OPinv``).
        * ``"augmented"``: one Krylov space for all systems, from A itself; without ``M``. Where A is
          Hermitian and the pairs lie at the ends of its spectrum, the space is that of a polynomial of A
          and has far fewer vectors.
        * ``"minres"``: deflated MINRES, all systems advancing together; Hermitian problems only.
        * ``"gmres"``: deflated, restarted GMRES, all systems advancing together, preconditioned by
          the inverse of the forward pass where there is one.
        * ``"direct"``: sparse LU of the bordered matrix, one for every system; explicit matrices
          only.
        * ``"dense"``: dense LU of the same; needs O(n²) memory.
        * ``"auto"``: dense for n ≤ 200; with a preconditioner GMRES; with an inverse the shared
          space, then GMRES. Without one: for two or more systems without ``M`` the augmented form; then
          MINRES where Hermitian; then GMRES. Where these fail and the matrices are explicit,
          sparse LU. The report says what ran, and why it was taken first.
    rtol : float, optional
        Largest accepted residual of a system, relative to its right-hand side. Default 1e-10 in
        double and 1e-5 in single precision. Where rounding alone keeps a system above ``rtol``,
        the attainable floor is accepted in its place and reported.
    maxiter : int, optional
        Most iterations (MINRES steps, GMRES steps including restarts) spent on a system. Default
        10 n, at least 1000.
    restart : int, optional
        Krylov dimension between restarts. Default 60 for GMRES, 100 for the shared space, 40 for the
        augmented form, 16 where it uses a polynomial filter.
    preconditioner : LinearOperator or callable, optional
        Approximates the inverse of A − λM (of its adjoint for the adjoint systems of a problem that
        is not Hermitian; the adjoint of a LinearOperator is taken through its ``rmatvec``). A
        callable maps blocks (n, m) to blocks and stands for a Hermitian preconditioner. MINRES needs
        a positive definite one.
    cluster_tol : float, optional
        Eigenvalues closer than ``cluster_tol * max|w|`` count as one. Default: closer than ten
        times the sum of their residuals, or 100 machine epsilons of the size of A and λM.
    on_gauge : {"warn", "raise", "ignore"}, optional
        What happens when the loss depends on the arbitrary phase of an eigenvector, or on the
        arbitrary basis of a degenerate eigenspace, or reads what `DegeneracyWarning` is about. With "ignore" nothing
        is looked for besides the computed eigenvalues.
    on_failure : {"raise", "warn"}, optional
        What happens when a system does not converge.
    callback : callable, optional
        Called with the `Report` of every forward, adjoint and tangent solve.

    Raises
    ------
    TypeError
        For an unknown field.
    ValueError
        For a value outside of the ranges above.

    Derivative
    ----------
    None: options are constants. A preconditioner's parameters change how many steps a solve takes,
    not its result.

    Examples
    --------
    >>> import krylov_adj as ka
    >>> ka.Adjoint(method="gmres", rtol=1e-8).restart is None
    True
    """

    method: str = "auto"
    rtol: float | None = None
    maxiter: int | None = None
    restart: int | None = None
    preconditioner: Any = None
    cluster_tol: float | None = None
    on_gauge: str = "warn"
    on_failure: str = "raise"
    callback: Callable[[Report], None] | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("method", METHODS), ("on_gauge", ON_GAUGE), ("on_failure", ON_FAILURE)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"Adjoint({name}={getattr(self, name)!r}): expected one of {allowed}")
        for name in ("rtol", "cluster_tol"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Real) and 0 <= float(value) < 1):
                raise ValueError(f"Adjoint({name}={value!r}): expected a number in [0, 1)")
        for name in ("maxiter", "restart"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Integral) and int(value) >= 1):
                raise ValueError(f"Adjoint({name}={value!r}): expected a positive integer")
        for name in ("preconditioner", "callback"):
            value = getattr(self, name)
            if value is not None and not (callable(value) or hasattr(value, "matvec")):
                raise ValueError(f"Adjoint({name}={value!r}): expected a callable")

    def tolerance(self, dtype: Any) -> float:
        """The relative residual asked for in arithmetic of the given precision."""
        if self.rtol is not None:
            return self.rtol
        return 1e-10 if np.finfo(dtype).eps < 1e-10 else 1e-5
