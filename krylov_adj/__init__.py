"""Gradients of eigenvalues and eigenvectors of large sparse and matrix-free operators."""

from ._version import __version__
from .attach import attach_eigenpairs, attach_nonlinear
from .diagnostics import canonical_phase, check_gradient, check_operator
from .eigen import eigs, eigsh
from .operators import LinearOperator, aslinearoperator
from .options import Adjoint
from .reports import (
    AdjointNoConvergence,
    DefectiveEigenvalueError,
    DegeneracyWarning,
    EigenNoConvergence,
    GaugeWarning,
    Report,
)

__all__ = [
    "Adjoint",
    "AdjointNoConvergence",
    "DefectiveEigenvalueError",
    "DegeneracyWarning",
    "EigenNoConvergence",
    "GaugeWarning",
    "LinearOperator",
    "Report",
    "__version__",
    "aslinearoperator",
    "attach_eigenpairs",
    "attach_nonlinear",
    "canonical_phase",
    "check_gradient",
    "check_operator",
    "eigs",
    "eigsh",
]
