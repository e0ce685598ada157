"""Linear operators that autograd differentiates through."""

from . import algebra  # gives `LinearOperator` its arithmetic

__all__ = ["algebra"]
