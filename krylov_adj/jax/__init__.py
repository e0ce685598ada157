"""krylov_adj for JAX: the same functions on JAX's arrays, under its transformations."""

from ..options import Adjoint
from ..report.errors import (
    AdjointNoConvergence,
    DefectiveEigenvalueError,
    DegeneracyWarning,
    EigenNoConvergence,
    GaugeWarning,
    LinearNoConvergence,
)
from ..report.report import Report
from .attach import attach_eigenpairs, left_eigenvectors
from .eigen import eigs, eigsh
from .linear import solve
from .nonlinear import attach_nonlinear
from .operators import LinearOperator, csr_array
from .phases import canonical_phase
from .staging import errors
from .svd import svds

__all__ = [
    "Adjoint",
    "AdjointNoConvergence",
    "DefectiveEigenvalueError",
    "DegeneracyWarning",
    "EigenNoConvergence",
    "GaugeWarning",
    "LinearNoConvergence",
    "LinearOperator",
    "Report",
    "attach_eigenpairs",
    "attach_nonlinear",
    "canonical_phase",
    "csr_array",
    "eigs",
    "eigsh",
    "errors",
    "left_eigenvectors",
    "solve",
    "svds",
]
