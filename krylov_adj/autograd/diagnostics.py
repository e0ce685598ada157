"""Checks a user runs on an operator or on a gradient, and the phase convention of eigenvectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg as la

from ..krylov.precision import Precision
from ..options import Adjoint
from ..report.messages import differences_uncertain, gradient_disagrees
from ..report.report import listening
from .differences import Difference, best_known, differences
from .elementary import gradient, xp
from .operators.matrices import aslinearoperator
from .trace import strip
from .values import scaled

__all__ = ["canonical_phase", "check_gradient", "check_operator"]

#: A derivative of so many times what rounding of the function makes of differences is zero, for all that they tell.
ZERO = 100.0

#: Differences that are not known to so much of their size say nothing: of a dozen that are noise two may be as close.
USELESS = 1e-3


def canonical_phase(X: Any, index: int | None = None) -> Any:
    """Eigenvectors with their arbitrary phase (sign, where real) fixed.

    Parameters
    ----------
    X : array, shape (n, k) or (n,)
        Eigenvectors in columns; may be traced.
    index : int, optional
        The row that is made real and positive in every column. Default the entry of largest
        modulus of each column.

    Returns
    -------
    array, shape of X

    Raises
    ------
    ValueError
        Where the entry that is to be made positive is zero.

    Derivative
    ----------
    Differentiable to any order. A loss of ``canonical_phase(X)`` is a function of the eigenvectors
    as such, so its gradient is the one that differences show. Which entry is the largest is taken
    as constant: where two are equally large, the convention jumps. Inside of a degenerate
    eigenspace the basis stays arbitrary.

    Examples
    --------
    >>> import numpy as np
    >>> import krylov_adj as ka
    >>> print(ka.canonical_phase(np.array([[0.6j, -0.6], [0.8j, 0.8]])).real)
    [[ 0.6 -0.6]
     [ 0.8  0.8]]
    """
    values = np.asarray(strip(X))
    if values.ndim == 1:
        return canonical_phase(xp.reshape(X, (-1, 1)), index)[:, 0]
    columns = np.arange(values.shape[1])
    rows = np.argmax(np.abs(values), axis=0) if index is None else np.full(columns.shape, index)
    pivots = values[rows, columns]
    if np.any(pivots == 0):
        raise ValueError(f"entries {rows[pivots == 0]} of columns {columns[pivots == 0]} are zero and have no phase")
    if not np.iscomplexobj(values):
        return X * np.sign(pivots)
    pivot = X[rows, columns]
    return X * (xp.conj(pivot) / xp.abs(pivot))


def check_operator(A: Any, hermitian: bool = False, rtol: float | None = None, rng: Any = 0) -> str:
    """Check that an operator is linear, has the adjoint it claims, and is what it is declared to be.

    Parameters
    ----------
    A : anything `aslinearoperator` takes
    hermitian : bool, optional
        Also check that Aᴴ = A, as `eigsh` requires.
    rtol : float, optional
        Largest accepted deviation relative to the size of the terms compared. Default 1000
        machine epsilons times the square root of the largest dimension.
    rng : seed or numpy.random.Generator, optional

    Returns
    -------
    str
        A sentence with the numbers.

    Raises
    ------
    ValueError
        With the numbers, at the first property that does not hold.
    TypeError
        Complex results of an operator declared real; an adjoint that cannot be had.

    Derivative
    ----------
    None: an operator that is traced is checked at its plain value.

    Examples
    --------
    >>> import numpy as np
    >>> import krylov_adj as ka
    >>> wrong = ka.LinearOperator((4, 4), lambda v: 2j * v, rmatvec=lambda v: 2j * v, dtype=complex)
    >>> ka.check_operator(wrong)
    Traceback (most recent call last):
        ...
    ValueError: the adjoint is wrong: ⟨y, A x⟩ and ⟨Aᴴ y, x⟩ differ by ...
    """
    operator = aslinearoperator(A)
    operator = scaled(operator, None, Adjoint()).A  # whose squares are in range
    rng = np.random.default_rng(rng)
    dtype = np.result_type(operator.dtype, np.float32)
    rows, columns = operator.shape
    if rtol is None:
        rtol = Precision.of(dtype).agreeing(max(rows, columns))

    def draw(n: int) -> np.ndarray:
        v = rng.standard_normal(n) + (1j * rng.standard_normal(n) if dtype.kind == "c" else 0)
        return v.astype(dtype)

    def apply(v: np.ndarray) -> np.ndarray:
        result = np.asarray(strip(operator._apply(v)))
        if not np.all(np.isfinite(result)):
            raise ValueError("the operator returned NaN or infinity for a random vector")
        return result

    def compare(what: str, left: Any, right: Any, scale: float, remedy: str) -> float:
        error = float(np.linalg.norm(left - right)) / (scale if scale > 0 else 1.0)
        if not error <= rtol:
            raise ValueError(f"{what} differ by {error:.1e} of their size (accepted: {rtol:.1e}). {remedy}")
        return error

    x, z, y = draw(columns), draw(columns), draw(rows)
    a = 0.7 - (0.4j if dtype.kind == "c" else 0)
    Ax, Az = apply(x), apply(z)
    size = float(np.linalg.norm(Ax) + np.linalg.norm(Az))
    linear = compare(
        "the operator is not linear: A (a x + z) and a A x + A z", apply((a * x + z).astype(dtype)), a * Ax + Az, size,
        "Parameters may enter it in any way, the vector only linearly; a constant must not be added.",
    )  # fmt: skip
    block = compare(
        "blocks are wrong: A [x z] and [A x, A z]", apply(np.stack([x, z], axis=1)), np.stack([Ax, Az], axis=1), size,
        "matmat must act on each column as matvec does.",
    )  # fmt: skip
    AHy = np.asarray(strip(operator.prepared()._apply_adjoint(y)))
    size = 2 * float(np.linalg.norm(AHy))
    compare(
        "blocks of the adjoint are wrong: Aᴴ [y 2y] and [Aᴴ y, 2 Aᴴ y]",
        np.asarray(strip(operator.prepared()._apply_adjoint(np.stack([y, (2 * y).astype(dtype)], axis=1)))),
        np.stack([AHy, 2 * AHy], axis=1),
        size,
        "rmatmat must act on each column as rmatvec does.",
    )
    size = float(np.linalg.norm(y) * np.linalg.norm(Ax) + np.linalg.norm(AHy) * np.linalg.norm(x))
    adjoint = compare(
        "the adjoint is wrong: ⟨y, A x⟩ and ⟨Aᴴ y, x⟩", np.vdot(y, Ax), np.vdot(AHy, x), size / 2 / rows**0.5,
        "rmatvec is the conjugate transpose; leave it out to have it from autograd.",
    )  # fmt: skip
    report = f"linear to {linear:.1e}, blocks to {block:.1e}, adjoint to {adjoint:.1e}"
    if hermitian:
        if rows != columns:
            raise ValueError(f"a Hermitian operator is square, not of shape {operator.shape}")
        Ay = apply(y)
        skew = compare(
            "the operator is not Hermitian: A y and Aᴴ y", Ay, AHy, float(np.linalg.norm(Ay)),
            "Use eigs, or check signs, conjugates and boundary terms.",
        )  # fmt: skip
        report += f", Hermitian to {skew:.1e}"
    return f"operator of shape {operator.shape}, {operator.dtype}: {report} (accepted: {rtol:.1e})"


@dataclass(frozen=True)
class GradientCheck:
    """A directional derivative by autograd and by differences; prints as a sentence.

    Attributes
    ----------
    derivative, difference : float
    uncertainty : float
        Estimated error of the difference.
    step : float
        The shortest step that the difference was taken from.
    error : float
        Their difference, relative to the gradient's size in that direction.
    estimate : float
        The largest relative error that the reports of the gradient's solves estimate (their ``error``); zero without
        any. It is of the derivatives of eigenpairs: what the differences and the rest of ``f`` add is not in it.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> import krylov_adj as ka
    >>> check = ka.check_gradient(lambda p: np.sum(p**3), np.ones(2))
    >>> abs(check.derivative - check.difference) < 1e-8, str(check).startswith("derivative ")
    (True, True)
    """

    derivative: float
    difference: float
    uncertainty: float
    step: float
    error: float
    estimate: float = 0.0

    def __str__(self) -> str:
        estimated = f", of which solves estimate {self.estimate:.0e}" if self.estimate else ""
        return (
            f"derivative {self.derivative:.12e}, differences {self.difference:.12e} ± {self.uncertainty:.0e}, "
            f"relative error {self.error:.1e}{estimated} (step {self.step:.1e})"
        )


def check_gradient(
    f: Callable[[Any], Any],
    x: Any,
    order: int = 1,
    *,
    rtol: float = 1e-6,
    step: float | None = None,
    rng: Any = 20261,
) -> GradientCheck:
    """Compare the gradient of ``f`` at ``x`` with differences in a random direction.

    Parameters
    ----------
    f : callable
        A real scalar function of one array, written with `autograd.numpy`.
    x : array or scalar
        Real or complex.
    order : {1, 2}, optional
        2: compare the second derivative, against differences of the gradient.
    rtol : float, optional
        Largest accepted relative error, above the estimated error of the differences.
    step : float, optional
        First step of the differences, the longest. Default a power of the machine epsilon times the size of x.
    rng : seed or numpy.random.Generator, optional

    Returns
    -------
    GradientCheck
        The numbers; ``print`` it.

    Raises
    ------
    AssertionError
        With the numbers, likely causes and what to try, where they do not agree.
    ValueError
        Where the value or gradient is not finite, or ``order`` is not 1 or 2.

    Derivative
    ----------
    None: call it outside of differentiated functions. It takes autograd's reverse mode of ``f``, for
    ``order=2`` twice, in autograd's convention for complex x, df = Re Σ g dx.

    Notes
    -----
    Central differences at the steps h, h/4, …, combined (Ridders); their disagreement is the estimated error. They
    end where the difference is known to ``rtol`` and agrees: four calls of ``f`` (for ``order=2`` of its gradient)
    for most functions. Otherwise, as where an eigenvalue meets another within the first step, steps go down to a
    thousand times the rounding of x, in at most 30 calls from the default step, and the difference counts that is
    best known, relative to itself. The direction has the size of the gradient's typical entry in every
    component, so no component hides.

    References
    ----------
    Ridders, Adv. Eng. Software 4 (1982) 75.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> import krylov_adj as ka
    >>> ka.check_gradient(lambda p: np.sum(np.sin(p) ** 2), np.array([0.3, 1.2])).error < 1e-8
    True
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, not {order!r}")
    x = np.asarray(x, np.result_type(np.asarray(x).dtype, np.float32))
    rng = np.random.default_rng(rng)
    direction = rng.standard_normal(x.shape) + (1j * rng.standard_normal(x.shape) if np.iscomplexobj(x) else 0)
    direction = (direction / np.linalg.norm(direction)).astype(x.dtype)

    def along(g: Any) -> Any:  # autograd's convention: df = Re Σ g dx
        return xp.sum(xp.real(g * direction))

    function = f if order == 1 else (lambda p: along(gradient(f)(p)))
    with listening() as reports:
        g = gradient(function)(x if x.ndim else x[()])
    derivative = float(along(g))
    if not np.all(np.isfinite(g)):
        raise ValueError("the gradient holds NaN or infinity")
    size = float(la.norm(np.ravel(x))) or max(1.0, x.size**0.5)
    eps = Precision.of(x.dtype).eps
    h = eps**0.2 * 0.1 * size if step is None else step

    def moved(t: float) -> float:
        return float(np.real(strip(function(x + t * direction))))

    # In a random direction the derivative may happen to be small: relative to the typical size.
    typical = max(abs(derivative), float(la.norm(np.ravel(g))) / max(1, x.size) ** 0.5)
    tried, best, shortest = list[Difference](), None, h

    def size_of(found: Difference) -> float:
        """The size that errors are relative to; of a derivative of zero, what differences can tell at all."""
        zero, size = ZERO * min(other.rounding for other in tried), max(typical, abs(found.value))
        return zero / max(rtol, eps) if size <= zero else size

    for found in differences(moved, h, eps * size, eps):
        tried.append(found)
        shortest, accepted = found.step, rtol * size_of(found)
        # Where a longer step knows more, a shorter one is no reason to agree.
        known = found.uncertainty <= min(accepted, *(other.uncertainty for other in tried))
        if known and abs(derivative - found.value) <= accepted + found.uncertainty:
            best = found
            break
    if not tried:
        raise ValueError(f"values of the function are not finite at the steps {h:.1e} and below")
    best = best_known(tried) if best is None else best
    scale = size_of(best)
    error = abs(derivative - best.value) / scale if scale > 0 else 0.0
    estimate = max((report.error for report in reports), default=0.0)
    check = GradientCheck(derivative, best.value, best.uncertainty, best.step, error, estimate)
    if best.uncertainty > USELESS * scale:
        raise AssertionError(differences_uncertain(str(check), h, shortest))
    if not abs(derivative - best.value) <= rtol * scale + best.uncertainty:
        raise AssertionError(gradient_disagrees(str(check), h, shortest))
    return check
