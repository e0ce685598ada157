"""PyTorch: eigenpairs of nonlinear eigenproblems, differentiable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from ..forward.solve import solve_nonlinear
from ..options import Adjoint
from ..perturbation.structures import PENCIL, Pencil
from .attached import attach, check_options, plain_argument
from .layers import refuse_transforms
from .namespace import TORCH_TYPES, to_numpy, to_tensor, xp
from .operands import Operand, read
from .operators import LinearOperator, csr_array
from .pencil import found_by
from .pullback import directional
from .session import Found, Session

__all__ = ["attach_nonlinear"]


@torch.compiler.disable
def attach_nonlinear(T: Callable[[Any], Any], lam: Any, x: Any, *, adjoint: Adjoint | None = None) -> tuple[Any, Any]:
    """Make eigenpairs of a nonlinear eigenproblem T(λ) x = 0, computed by any means, differentiable.

    Parameters
    ----------
    T : callable
        ``T(lam)`` is the operator at a scalar λ, a tensor: dense tensor, csr_array, or LinearOperator, of shape (n, n);
        analytic in λ. Everything else that it reads may carry derivatives.
    lam : scalar, array or tensor, shape (k,)
        Simple eigenvalues.
    x : array or tensor, shape (n,) or (n, k)
        Eigenvectors of unit norm.
    adjoint : Adjoint, optional
        How derivatives are computed.

    Returns
    -------
    lam, x : tensors
        The values that were given.

    Raises
    ------
    ValueError
        Wrong shapes, NaN or infinity, pairs that do not satisfy T(λ) x = 0, vectors not normalised, a T that does not
        depend on λ.
    TypeError, NotImplementedError
        As `eigs`.
    AdjointNoConvergence
        From the backward pass.

    Warns
    -----
    GaugeWarning
        From the backward pass, where the loss depends on the phase of an eigenvector.

    Derivative
    ----------
    Of λ and x, in the gauge Im xᴴdx = 0, with respect to everything that T depends on besides λ; to any order; forward
    and reverse. Each pair is treated by itself.

    Examples
    --------
    A damped oscillator λ² + c λ + 4 = 0, dλ/dc = −λ / (2λ + c):

    >>> import torch
    >>> import krylov_adj.torch as kt
    >>> c = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    >>> def T(lam):
    ...     return (lam**2 + c * lam + 4.0).reshape(1, 1)
    >>> lam, x = kt.attach_nonlinear(T, -0.5 + 1j * 3.75**0.5, [1.0])
    >>> lam.real.backward()
    >>> print(round(float(c.grad), 12))
    -0.5
    """
    refuse_transforms("attach_nonlinear")
    options = check_options(adjoint)
    lam, x = np.asarray(plain_argument(lam, "lam")), np.asarray(plain_argument(x, "x"))
    if lam.ndim == 1:
        if x.ndim != 2 or x.shape[1] != lam.size or not lam.size:
            raise ValueError(f"expected lam of shape (k,) and x of shape (n, k), got {lam.shape} and {x.shape}")
        pairs = [attach_nonlinear(T, lam[i], x[:, i], adjoint=adjoint) for i in range(lam.size)]
        return torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs], 1)
    if lam.ndim != 0 or x.ndim != 1:
        raise ValueError(f"expected a scalar lam and x of shape (n,), got {lam.shape} and {x.shape}")
    if not (np.isfinite(lam) and np.all(np.isfinite(x))):
        raise ValueError("lam or x holds NaN or infinity")
    problem = _read(T, lam, x, options)
    w, X = attach(problem, problem.operand.device).restored()
    return w[0], X[:, 0]


def _read(T: Callable[[Any], Any], lam: Any, x: Any, options: Adjoint) -> NonlinearPencil:
    """Return T with λ as one of the tensors that it reads."""
    dtype = np.result_type(lam, x, np.float32)
    for _ in range(2):  # in the type of T(λ), which that of λ may change
        at_lam = torch.tensor(lam[()], dtype=TORCH_TYPES[np.dtype(dtype)])
        first = read(T(at_lam), "T(lam)")
        dtype = np.result_type(dtype, first.numpy_dtype)
    if first.shape != (x.size, x.size):
        raise ValueError(f"T(lam) has shape {first.shape}, x has {x.size} entries")
    at_lam = torch.tensor(lam[()], dtype=TORCH_TYPES[np.dtype(dtype)], device=first.device)

    given = T(at_lam)
    back = not isinstance(given, LinearOperator) or given.rmatvec is not None
    operator = LinearOperator(
        first.shape,
        lambda v: _product(T(at_lam), v, False),
        (lambda v: _product(T(at_lam), v, True)) if back else None,
        dtype=TORCH_TYPES[np.dtype(dtype)],
        device=first.device,
    )
    operand = read(operator, "T(lam)", at_lam)
    places = [i for i, t in enumerate(operand.tensors) if t is at_lam]
    if not places:
        raise ValueError("T(lam) x does not depend on lam at the eigenpair: lam is no simple eigenvalue")
    return NonlinearPencil(operand, places[0], np.asarray(lam, dtype), np.asarray(x, dtype), options)


def _product(A: Any, v: Any, adjoint: bool) -> Any:
    """Return A v or Aᴴ v of what T has returned."""
    if not isinstance(A, (LinearOperator, csr_array, torch.Tensor)):
        A = to_tensor(A.toarray() if hasattr(A, "toarray") else A)
    dtype = v.dtype if A.dtype is None else A.dtype
    if v.is_complex() and not dtype.is_complex:
        return _product(A, v.real, adjoint) + 1j * _product(A, xp.imag(v), adjoint)
    v = v.to(dtype)
    if isinstance(A, LinearOperator):
        return A.rmatvec(v) if adjoint and A.rmatvec is not None else A.matvec(v)
    if isinstance(A, csr_array):
        return A.adjoint_product(A.data, v) if adjoint else A.product(A.data, v)
    return (xp.conj(A).mT if adjoint else A) @ v


@dataclass(frozen=True, eq=False)
class NonlinearPencil:
    """T(λ) x = 0 at one pair, as A = T(λ) at its eigenvalue 0 with −T′(λ) x for B x; see `StandardPencil`.

    ``place`` is that of λ among the tensors of the operand; the caller's ``tensors`` are the others.
    """

    operand: Operand
    place: int
    lam: Any
    x: Any
    options: Adjoint

    nonlinear: ClassVar[bool] = True
    hermitian: ClassVar[bool] = False
    structure: ClassVar[Pencil] = PENCIL

    @property
    def tensors(self) -> list[Any]:
        return [t for i, t in enumerate(self.operand.tensors) if i != self.place]

    def check_versions(self) -> None:
        self.operand.check_versions()

    def for_derivatives(self, session: Session) -> NonlinearPencil:
        return self

    def solve(self, tensors: Sequence[Any]) -> Found:
        """Return the pair that was given, checked."""
        lam = torch.from_numpy(self.lam.reshape(1)).to(self.operand.device)
        value = self.operand.value(self._with(lam, tensors), False, "T(lam)")
        with torch.enable_grad():
            slope = -to_numpy(self._derivative(tensors, lam, to_tensor(self.x[:, None], self.operand.device)))
        if not slope.any():
            raise ValueError("T(lam) x does not depend on lam at the eigenpair: lam is no simple eigenvalue")
        found = found_by(solve_nonlinear(value, self.lam, self.x, slope, self.options))
        # The eigenvalue of A is 0, wherever λ is.
        return Found(self.lam.reshape(1), found.X, found.systems)

    def _with(self, w: Any, tensors: Sequence[Any]) -> list[Any]:
        every = list(tensors)
        every.insert(self.place, w[0])
        return every

    def _derivative(self, tensors: Sequence[Any], w: Any, X: Any) -> Any:
        """Return T′(λ) X."""

        def image(w: Any) -> tuple[Any]:
            return (self.operand.apply(self._with(w, tensors), X),)

        return directional(image, [w], [torch.ones_like(w)])[0]

    def slope(self, tensors: Sequence[Any], units: Any, w: Any, X: Any) -> Any:
        """Return −T′(λ) x."""
        return -self._derivative(tensors, w, X)

    def normaliser(self, session: Session, tensors: Sequence[Any], units: Any, w: Any, X: Any) -> Any:
        return X

    def residual(self, session: Session, tensors: Sequence[Any], units: Any, w: Any, X: Any, H: Any) -> tuple[Any, ...]:
        return (self.operand.apply(self._with(w, tensors), X),)

    def compressed(self, tensors: Sequence[Any], units: Any, w: Any, X: Any, P: Any, mask: Any) -> Any:
        return torch.zeros_like(w)[None]

    def block_image(
        self, side: str, tensors: Sequence[Any], units: Any, w: Any, X: Any, Z: Any, P: Any, mask: Any
    ) -> Any:
        """Return T(λ) Z, or T(λ)ᴴ Z."""
        return self.operand.apply(self._with(w, tensors), Z, side == "adjoint")
