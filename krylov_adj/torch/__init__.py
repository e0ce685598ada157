"""Gradients of eigenvalues and eigenvectors of large sparse and matrix-free operators, for PyTorch.

SciPy's functions on tensors: `eigs`, `eigsh`, and pairs that any solver computed. It needs PyTorch; `krylov_adj` does
not import this module.
"""

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
from .crossings import cluster_gradient
from .eigen import attach_eigenpairs, eigs, eigsh
from .gauge_check import check_gauge
from .left import left_eigenvectors
from .linear import solve
from .nonlinear import attach_nonlinear
from .operators import LinearOperator, csr_array
from .phases import canonical_phase
from .spectral import softmax_eigenvalue, spectral_function, spectral_sum
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
    "invariant_subspace",
    "left_eigenvectors",
    "softmax_eigenvalue",
    "solve",
    "spectral_function",
    "spectral_sum",
    "svds",
]
