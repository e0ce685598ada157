"""Gradients of eigenvalues and eigenvectors of large sparse and matrix-free operators."""

from ._version import __version__
from .autograd.attach import attach_eigenpairs
from .autograd.diagnostics import canonical_phase, check_gradient, check_operator
from .autograd.eigen import eigs, eigsh
from .autograd.left import condition_numbers, left_eigenvectors
from .autograd.linear import inverse, schur_complement, solve
from .autograd.nonlinear import attach_nonlinear
from .autograd.operators import pde
from .autograd.operators.base import LinearOperator
from .autograd.operators.kronecker import kron, kronsum, shifted
from .autograd.operators.matrices import aslinearoperator
from .autograd.operators.sparse import assemble, coo_array, csr_array, diags_array
from .autograd.svd import svds
from .forward.continuation import Continuation
from .options import Adjoint
from .report.errors import (
    AdjointNoConvergence,
    DefectiveEigenvalueError,
    DegeneracyWarning,
    EigenNoConvergence,
    GaugeWarning,
    LinearNoConvergence,
)
from .report.report import Report

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
