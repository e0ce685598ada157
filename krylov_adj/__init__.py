"""Gradients of eigenvalues and eigenvectors of large sparse and matrix-free operators.

Public names are loaded at first use, so that one front end can be imported without the frameworks of the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .autograd.attach import attach_eigenpairs
    from .autograd.crossings import cluster_gradient
    from .autograd.diagnostics import canonical_phase, check_gradient, check_operator
    from .autograd.eigen import eigs, eigsh
    from .autograd.exceptional import find_exceptional_point
    from .autograd.gauge_check import check_gauge
    from .autograd.left import condition_numbers, left_eigenvectors
    from .autograd.linear import inverse, solve
    from .autograd.nonlinear import attach_nonlinear
    from .autograd.operators import pde
    from .autograd.operators.base import LinearOperator
    from .autograd.operators.blocks import block_array, block_diag
    from .autograd.operators.csr import csr_array
    from .autograd.operators.kronecker import kron, kronsum
    from .autograd.operators.matrices import aslinearoperator
    from .autograd.operators.sparse import assemble, coo_array, diags_array, eye_array
    from .autograd.roots import attach_root
    from .autograd.singular_subspace import singular_subspace
    from .autograd.spectral import softmax_eigenvalue, spectral_function, spectral_sum
    from .autograd.subspace import attach_subspace, invariant_subspace
    from .autograd.svd import svds
    from .autograd.tracking import track
    from .forward.continuation import Continuation
    from .options import Adjoint
    from .report.errors import (
        AdjointNoConvergence,
        DefectiveEigenvalueError,
        DegeneracyWarning,
        EigenNoConvergence,
        ExceptionalPointNotFound,
        GaugeWarning,
        LinearNoConvergence,
        TrackingWarning,
    )
    from .report.report import Report

#: The modules that have the public names.
_MODULES = {
    "Adjoint": ".options",
    "Continuation": ".forward.continuation",
    "AdjointNoConvergence": ".report.errors",
    "DefectiveEigenvalueError": ".report.errors",
    "DegeneracyWarning": ".report.errors",
    "EigenNoConvergence": ".report.errors",
    "ExceptionalPointNotFound": ".report.errors",
    "GaugeWarning": ".report.errors",
    "LinearNoConvergence": ".report.errors",
    "LinearOperator": ".autograd.operators.base",
    "Report": ".report.report",
    "TrackingWarning": ".report.errors",
    "aslinearoperator": ".autograd.operators.matrices",
    "assemble": ".autograd.operators.sparse",
    "attach_eigenpairs": ".autograd.attach",
    "attach_nonlinear": ".autograd.nonlinear",
    "attach_root": ".autograd.roots",
    "attach_subspace": ".autograd.subspace",
    "block_array": ".autograd.operators.blocks",
    "block_diag": ".autograd.operators.blocks",
    "canonical_phase": ".autograd.diagnostics",
    "check_gauge": ".autograd.gauge_check",
    "check_gradient": ".autograd.diagnostics",
    "check_operator": ".autograd.diagnostics",
    "cluster_gradient": ".autograd.crossings",
    "condition_numbers": ".autograd.left",
    "coo_array": ".autograd.operators.sparse",
    "csr_array": ".autograd.operators.csr",
    "diags_array": ".autograd.operators.sparse",
    "eigs": ".autograd.eigen",
    "eigsh": ".autograd.eigen",
    "eye_array": ".autograd.operators.sparse",
    "find_exceptional_point": ".autograd.exceptional",
    "invariant_subspace": ".autograd.subspace",
    "inverse": ".autograd.linear",
    "kron": ".autograd.operators.kronecker",
    "kronsum": ".autograd.operators.kronecker",
    "left_eigenvectors": ".autograd.left",
    "pde": ".autograd.operators",
    "singular_subspace": ".autograd.singular_subspace",
    "softmax_eigenvalue": ".autograd.spectral",
    "solve": ".autograd.linear",
    "spectral_function": ".autograd.spectral",
    "spectral_sum": ".autograd.spectral",
    "svds": ".autograd.svd",
    "track": ".autograd.tracking",
}

__all__ = [
    "Adjoint",
    "Continuation",
    "AdjointNoConvergence",
    "DefectiveEigenvalueError",
    "DegeneracyWarning",
    "EigenNoConvergence",
    "ExceptionalPointNotFound",
    "GaugeWarning",
    "LinearNoConvergence",
    "LinearOperator",
    "Report",
    "TrackingWarning",
    "__version__",
    "aslinearoperator",
    "assemble",
    "attach_eigenpairs",
    "attach_nonlinear",
    "attach_root",
    "attach_subspace",
    "block_array",
    "block_diag",
    "canonical_phase",
    "check_gauge",
    "check_gradient",
    "check_operator",
    "cluster_gradient",
    "condition_numbers",
    "coo_array",
    "csr_array",
    "diags_array",
    "eigs",
    "eigsh",
    "eye_array",
    "find_exceptional_point",
    "invariant_subspace",
    "inverse",
    "kron",
    "kronsum",
    "left_eigenvectors",
    "pde",
    "singular_subspace",
    "softmax_eigenvalue",
    "solve",
    "spectral_function",
    "spectral_sum",
    "svds",
    "track",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name], __name__), name)
    globals()[name] = value  # no second time
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
