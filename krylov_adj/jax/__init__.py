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
from .crossings import cluster_gradient
from .eigen import eigs, eigsh
from .gauge_check import check_gauge
from .linear import solve
from .nonlinear import attach_nonlinear
from .operators import LinearOperator, csr_array
from .phases import canonical_phase
from .spectral import softmax_eigenvalue, spectral_function, spectral_sum
from .staging import errors
from .subspace import attach_subspace, invariant_subspace
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
    "attach_subspace",
    "canonical_phase",
    "check_gauge",
    "cluster_gradient",
    "csr_array",
    "eigs",
    "eigsh",
    "errors",
    "invariant_subspace",
    "left_eigenvectors",
    "softmax_eigenvalue",
    "solve",
    "spectral_function",
    "spectral_sum",
    "svds",
]
