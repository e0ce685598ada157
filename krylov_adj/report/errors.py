"""The exceptions and warnings of the package; `messages.py` has their texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scipy.sparse.linalg import ArpackNoConvergence as EigenNoConvergence

if TYPE_CHECKING:
    from .report import Report

__all__ = [
    "AdjointNoConvergence",
    "DefectiveEigenvalueError",
    "DegeneracyWarning",
    "EigenNoConvergence",
    "ExceptionalPointNotFound",
    "GaugeWarning",
    "LinearNoConvergence",
    "TrackingWarning",
]


class AdjointNoConvergence(RuntimeError):
    """The perturbation systems of a derivative did not converge.

    Attributes
    ----------
    report : Report
        What the solver did, with the residual of every system.

    Examples
    --------
    One of two eigenvalues that coincide, so that its eigenvector is not unique:

    >>> import autograd.numpy as np
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> def f(p):
    ...     w, X = ka.eigsh(p * np.diag([1.0, 1.0, 2.0, 3.0]), k=1, which="SA", v0=np.ones(4))
    ...     return X[0, 0] ** 2
    >>> try:
    ...     grad(f)(1.0)
    ... except ka.AdjointNoConvergence as error:
    ...     print(error.report.stage, error.report.failed)
    adjoint [0]
    """

    def __init__(self, message: str, report: Report):
        super().__init__(message)
        self.report = report


class LinearNoConvergence(RuntimeError):
    """A linear system A x = b of `krylov_adj.solve` did not converge.

    Attributes
    ----------
    report : Report
        What the solver did, with the residual of every right-hand side.

    Examples
    --------
    >>> import numpy as np
    >>> import krylov_adj as ka
    >>> singular = np.diag([0.0, 1.0, 2.0])
    >>> try:
    ...     ka.solve(singular, np.ones(3), solver="gmres")
    ... except ka.LinearNoConvergence as error:
    ...     print(error.report.method, error.report.converged)
    gmres False
    """

    def __init__(self, message: str, report: Report):
        super().__init__(message)
        self.report = report


class DefectiveEigenvalueError(ArithmeticError):
    """An eigenvalue has no derivative because its left and right eigenvectors are orthogonal.

    Examples
    --------
    A Jordan block; its eigenvalues move like the square root of p:

    >>> import autograd.numpy as np
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> def f(p):
    ...     A = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 5.0]]) + p * np.eye(3, k=-1)
    ...     return np.real(ka.eigs(A, k=1, sigma=0.5, v0=np.ones(3))[0][0])
    >>> try:
    ...     grad(f)(0.0)
    ... except ka.DefectiveEigenvalueError as error:
    ...     print("is defective" in str(error))
    True
    """


class ExceptionalPointNotFound(RuntimeError):
    """The search of `find_exceptional_point` did not converge.

    Attributes
    ----------
    history : list of (float, float)
        ``|λ₁ − λ₂|²`` and ‖H − ½ tr H‖ before every step.

    Examples
    --------
    Levels of a real symmetric matrix avoid each other along one parameter:

    >>> import autograd.numpy as np
    >>> import krylov_adj as ka
    >>> def avoided(p):
    ...     return np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 9.0]]) + p[0] * np.diag([1.0, -1.0, 0.0])
    >>> try:
    ...     ka.find_exceptional_point(avoided, [0.3], near=0.0, maxiter=2)
    ... except ka.ExceptionalPointNotFound as error:
    ...     print(len(error.history) > 1)
    True
    """

    def __init__(self, message: str, history: list[tuple[float, float]]):
        super().__init__(message)
        self.history = history


class GaugeWarning(UserWarning):
    """The loss depends on the arbitrary phase of an eigenvector or basis of an eigenspace.

    The gradient is returned all the same, in the gauge Im xᴴN dx = 0. `Adjoint` (``on_gauge``) makes
    an error of it, or silences it; `canonical_phase` makes the loss legal.

    Examples
    --------
    >>> import warnings
    >>> import autograd.numpy as np
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> H = np.diag([1.0, 2.0, 4.0]) + 0.5j * (np.eye(3, k=1) - np.eye(3, k=-1))
    >>> def f(p):
    ...     w, X = ka.eigsh(H + p * np.diag([1.0, 0.0, 0.0]), k=1, which="SA", v0=np.ones(3) + 0j)
    ...     return np.real(X[1, 0])
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     g = grad(f)(0.1)
    >>> print(caught[0].category.__name__)
    GaugeWarning
    """


class DegeneracyWarning(UserWarning):
    """A derivative was taken where eigenvalues coincide, or nearly lack eigenvectors, or digits.

    The loss treats coinciding eigenvalues differently, or reads those of a cluster that k cuts, and what is returned
    is a generalised gradient; or it reads a pair in whose place another one should be, which the solver has missed; or
    an eigenvalue is nearly defective, or M is stiff, and rounding changes its derivative visibly.
    `Adjoint` (``on_gauge``) makes an error of it, or silences it.

    Examples
    --------
    >>> import warnings
    >>> import autograd.numpy as np
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> def f(p):
    ...     w, X = ka.eigsh(np.diag([1.0, 1.0, 2.0, 3.0]) + p * np.eye(4), k=2, which="SA", v0=np.arange(1.0, 5.0))
    ...     return w[0] + 3 * w[1]
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     g = grad(f)(0.0)
    >>> print(caught[0].category.__name__)
    DegeneracyWarning
    """


class TrackingWarning(UserWarning):
    """An eigenpair that `track` follows could not be told from another one, and may be that one beyond.

    The result has the numbers in ``unsure``.

    Examples
    --------
    Eigenvalues ±√p, one at the exceptional point p = 0:

    >>> import warnings
    >>> import numpy as np
    >>> import krylov_adj as ka
    >>> def A(p):
    ...     return np.array([[0.0, 1.0, 0.0], [p, 0.0, 0.0], [0.0, 0.0, 5.0]]) + 0j
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     found = ka.track(A, [-0.3, 1.0], k=2, hermitian=False, sigma=0.1)
    >>> print(caught[0].category.__name__, found.events[0].kind)
    TrackingWarning exceptional
    """
