"""Differentiable eigenpairs of nonlinear eigenproblems."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..forward.verify import check_adjoint
from ..krylov.precision import Precision
from ..krylov.space import WHOLE
from ..options import Adjoint
from ..perturbation.problem import Eigenproblem, power_of_two
from ..perturbation.structures import Nonlinear
from ..report.report import Report
from .attach import attach_verified
from .elementary import deepest_level, xp
from .operators.matrices import aslinearoperator
from .pencil import TracedNonlinear
from .trace import derivative, guarded, strip
from .values import as_value, check_options, measured, units

__all__ = ["attach_nonlinear"]


def attach_nonlinear(T: Callable[[Any], Any], lam: Any, x: Any, *, adjoint: Adjoint | None = None) -> tuple[Any, Any]:
    """Make eigenpairs of a nonlinear eigenproblem T(λ) x = 0, computed by any means, differentiable.

    Parameters
    ----------
    T : callable
        ``T(lam)`` is the operator at a scalar λ: dense array, SciPy sparse, or LinearOperator, of
        shape (n, n); analytic in λ, written with `autograd.numpy` and the operators of this
        package. Everything else that it reads may be traced.
    lam : scalar or array, shape (k,)
        Simple eigenvalues.
    x : array, shape (n,) or (n, k)
        Right eigenvectors of unit 2-norm, in columns.
    adjoint : Adjoint, optional
        How derivatives are computed. With explicit T(λ), by default sparse LU.

    Returns
    -------
    lam, x
        The values that were given; traced where T is.

    Raises
    ------
    ValueError
        Wrong shapes, NaN or infinity, pairs that do not satisfy T(λ) x = 0, vectors not normalised, a
        T that does not depend on λ.
    NotImplementedError
        From autograd, where T uses a function that has no forward-mode derivative.
    AdjointNoConvergence
        From the backward pass.

    Warns
    -----
    GaugeWarning
        From the backward pass, where the loss depends on the phase of an eigenvector.

    Derivative
    ----------
    Of λ and x, in the gauge Im xᴴdx = 0, with respect to everything that T depends on besides λ; to
    any order; forward and reverse. From T dx + T′x dλ = −dT x; dT/dλ is autograd's. Each pair is
    treated by itself.

    References
    ----------
    Andrew, Chu & Lancaster, SIAM J. Matrix Anal. Appl. 14 (1993) 903 (derivatives
    of eigenpairs of matrices that depend nonlinearly on λ). docs/derivation.md.

    Examples
    --------
    A damped oscillator λ² + c λ + 4 = 0, dλ/dc = −λ / (2λ + c):

    >>> import autograd.numpy as np
    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> def decay(c):
    ...     def T(lam):
    ...         return np.reshape(lam**2 + c * lam + 4.0, (1, 1))
    ...     root = -0.5 + 1j * numpy.sqrt(3.75)  # at c = 1
    ...     lam, x = ka.attach_nonlinear(T, root, numpy.ones(1))
    ...     return np.real(lam)
    >>> print(round(float(grad(decay)(1.0)), 12))
    -0.5
    """
    options = check_options(adjoint)
    lam, x = np.asarray(strip(lam)), np.asarray(strip(x))
    if lam.ndim == 1:
        if x.ndim != 2 or x.shape[1] != lam.size:
            raise ValueError(f"expected lam of shape (k,) and x of shape (n, k), got {lam.shape} and {x.shape}")
        pairs = [attach_nonlinear(T, lam[i], x[:, i], adjoint=adjoint) for i in range(lam.size)]
        return xp.stack([pair[0] for pair in pairs]), xp.stack([pair[1] for pair in pairs], axis=1)
    if lam.ndim != 0 or x.ndim != 1:
        raise ValueError(f"expected a scalar lam and x of shape (n,), got {lam.shape} and {x.shape}")
    if not (np.isfinite(lam) and np.all(np.isfinite(x))):
        raise ValueError("lam or x holds NaN or infinity")
    operator = aslinearoperator(T(lam[()]))

    def slope_of(lam: Any, X: np.ndarray) -> np.ndarray:
        return -np.asarray(strip(derivative(lambda lam: aslinearoperator(T(lam))._apply(X), lam)))

    # T(λ) x = 0 in other units of T and λ, where they are far from one.
    (scale, _), unit = units(operator, None), power_of_two(WHOLE, lam)
    if unit <= 2.0**-40:
        # An eigenvalue of zero, but for rounding, is no unit: not below what moves T by ε of itself.
        with np.errstate(all="ignore"):
            moves = np.max(np.abs(slope_of(lam[()], x)))
            unit = power_of_two(
                WHOLE, max(abs(lam), Precision.of(lam.dtype).eps * 2.0 ** measured(operator)[0][1] / moves)
            )
    if not scale.trivial or not 2.0**-40 < unit < 2.0**40:

        def scaled(of_unit: Any) -> Any:
            return aslinearoperator(T(of_unit * unit)) / scale.a

        lam, x = attach_nonlinear(scaled, lam / unit, x, adjoint=scale.options(options))
        return lam * unit, x
    dtype = np.result_type(lam, x, operator.dtype, np.float32)
    w, X = lam.astype(dtype).reshape(1), x.astype(dtype).reshape(-1, 1)
    if operator.shape != (x.size, x.size):
        raise ValueError(f"T(lam) has shape {operator.shape}, x has {x.size} entries")

    def functions(lam: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        at_lam = aslinearoperator(T(lam)).prepared()
        deepest = deepest_level(at_lam)
        return guarded(at_lam._apply, deepest), guarded(at_lam._apply_adjoint, deepest)

    slope = slope_of(w[0], X)
    if not slope.any():
        raise ValueError("T(lam) x does not depend on lam at the eigenpair: lam is no simple eigenvalue")
    value = as_value(operator.prepared(), False, "T(lam)", deepest_level(operator))
    check_adjoint(value, False)
    problem = Eigenproblem(value, None, False, "2", structure=Nonlinear(slope))
    rtol = Precision.of(dtype).half
    report = Report("forward", "eigenpairs as given", rtol, np.zeros(1))
    w, X = attach_verified(TracedNonlinear(problem, options, functions), w, X, rtol, report)
    return w[0], X[:, 0]
