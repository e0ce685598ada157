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
from .eigen import eigs, eigsh
from .operators import LinearOperator, csr_array
from .staging import errors

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
    "csr_array",
    "eigs",
    "eigsh",
    "errors",
]
