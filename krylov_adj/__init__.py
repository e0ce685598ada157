"""Gradients of eigenvalues and eigenvectors of large sparse and matrix-free operators."""

from . import pde
from ._version import __version__
from .attach import attach_eigenpairs
from .continuation import Continuation
from .diagnostics import canonical_phase, check_gradient, check_operator
from .eigen import eigs, eigsh
from .kronecker import kron, kronsum, shifted
from .left import condition_numbers, left_eigenvectors
from .linear import inverse, schur_complement, solve
from .nonlinear import attach_nonlinear
from .operators import LinearOperator, aslinearoperator
from .options import Adjoint
from .reports import (
    AdjointNoConvergence,
    DefectiveEigenvalueError,
    DegeneracyWarning,
    EigenNoConvergence,
    GaugeWarning,
    LinearNoConvergence,
    Report,
)
from .sparse import assemble, coo_array, csr_array, diags_array
from .svd import svds

__all__ = [
    "Adjoint",
    "Continuation",
    "AdjointNoConvergence",
    "DefectiveEigenvalueError",
    "DegeneracyWarning",
    "EigenNoConvergence",
    "GaugeWarning",
    "LinearNoConvergence",
    "LinearOperator",
    "Report",
    "__version__",
    "aslinearoperator",
    "assemble",
    "attach_eigenpairs",
    "attach_nonlinear",
    "canonical_phase",
    "check_gradient",
    "check_operator",
    "condition_numbers",
    "coo_array",
    "csr_array",
    "diags_array",
    "eigs",
    "eigsh",
    "inverse",
    "kron",
    "kronsum",
    "left_eigenvectors",
    "pde",
    "schur_complement",
    "shifted",
    "solve",
    "svds",
]
