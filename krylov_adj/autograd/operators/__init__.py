"""Linear operators that autograd differentiates through."""

from . import algebra, pde  # the first gives `LinearOperator` its arithmetic

__all__ = ["algebra", "pde"]
