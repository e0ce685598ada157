"""Discretised differential operators on rectangular grids, in 1, 2, 3 (or more) dimensions.

Every operator here is a sum of weighted differences to the neighbours along each axis::

    (A u)_i = Σ_axes  l_i (u_{i−1} − u_i) + r_i (u_{i+1} − u_i),

and the boundary condition of an axis with N points says what the neighbours outside are::

    "dirichlet"      u_{−1} = u_N = 0: the value zero is held one spacing outside,
    "neumann"        u_{−1} = u_0 and u_N = u_{N−1}: no flux through the boundary,
    "periodic"       u_{−1} = u_{N−1} and u_N = u_0,
    a number θ       u_{−1} = e^{−iθ} u_{N−1} and u_N = e^{iθ} u_0: a Bloch wave with u(x + L) = e^{iθ} u(x),
                     L = N h, so θ = k L for the wave number k. Makes the operator complex.

Vectors are flattened (C order) grid functions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...forms.stencils import Coupling
from ...perturbation.problem import inexact
from ..elementary import xp
from ..trace import is_box, strip
from .stencils import Stencil

__all__ = ["advection", "diffusion", "laplacian"]

CONDITIONS = ("dirichlet", "neumann", "periodic")
SCHEMES = ("upwind", "central")


def laplacian(
    shape: int | tuple[int, ...], spacing: Any = 1.0, boundary: Any = "dirichlet", dtype: Any = np.float64
) -> Stencil:
    """∇², by central differences of second order: (u_{i−1} − 2 u_i + u_{i+1}) / h² along every axis.

    The sign is that of the differential operator: eigenvalues are zero or negative, and −∇² is
    ``-laplacian(...)``. With unit spacing it is `scipy.sparse.linalg.LaplacianNd`.

    Parameters
    ----------
    shape : int or tuple of int
        Grid points along each axis.
    spacing : number or one per axis, optional
        h > 0; may be traced.
    boundary : {"dirichlet", "neumann", "periodic"} or a Bloch phase, or one per axis, optional
        See the module's docstring. Phases (radians) may be traced.
    dtype : {numpy.float64, numpy.float32}, optional
        Precision of the coefficients; a traced spacing or phase of higher precision prevails.

    Returns
    -------
    Stencil
        A `krylov_adj.LinearOperator` of shape (n, n); complex where there is a Bloch phase. Symmetric, or
        Hermitian. Applied matrix-free; ``value()`` is the SciPy sparse matrix.

    Raises
    ------
    ValueError
        Bad shapes, spacings or boundary conditions.

    Derivative
    ----------
    With respect to the vector, the spacing and the Bloch phases, to any order, forward and reverse.

    References
    ----------
    LeVeque, Finite Difference Methods for Ordinary and Partial Differential Equations,
    SIAM 2007, chapters 2 and 3.

    Examples
    --------
    The group velocity dE/dk of a free particle, E = k²/2 up to the discretisation:

    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> def energy(k):
    ...     H = -0.5 * ka.pde.laplacian(200, spacing=0.01, boundary=k * 2.0)
    ...     return ka.eigsh(H, k=1, sigma=-0.1, v0=numpy.ones(200) + 0j)[0][0]
    >>> print(round(float(grad(energy)(0.3)), 4))
    0.3
    """
    grid = _grid(shape)
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise ValueError(f"laplacian: dtype must be a real floating-point type, not {dtype}")
    axes = []
    for h in _spacings(spacing, len(grid)):
        weight = _scalar(1 / h**2, len(grid), dtype)
        axes.append(_Weights(weight, weight, weight, weight))
    return _difference_operator(grid, axes, boundary)


def diffusion(c: Any, spacing: Any = 1.0, boundary: Any = "dirichlet") -> Stencil:
    """−∇·(c ∇u) for a coefficient c given in every cell; symmetric and positive semidefinite.

    Conservative finite volumes: the flux between two cells is c_f (u_{i+1} − u_i) / h with
    c_f = 2 c_i c_{i+1} / (c_i + c_{i+1}), the harmonic mean, which is exact for piecewise constant c
    in one dimension. At a Dirichlet boundary c_f is c of the cell there. For c = 1 it is
    ``-laplacian``.

    Parameters
    ----------
    c : array, shape of the grid
        Coefficient of every cell, of positive real part; may be traced. Complex c (absorption) make
        a complex symmetric operator.
    spacing : number or one per axis, optional
        h > 0; may be traced.
    boundary : {"dirichlet", "neumann", "periodic"} or a Bloch phase, or one per axis, optional
        See the module's docstring. Phases (radians) may be traced.

    Returns
    -------
    Stencil
        A `krylov_adj.LinearOperator` of shape (n, n), complex where c is or where there is a Bloch phase.
        Hermitian for real c. Applied matrix-free; ``value()`` is the SciPy sparse matrix.

    Raises
    ------
    ValueError
        c that is not positive or not finite, bad spacings or boundary conditions.

    Derivative
    ----------
    With respect to the vector, c, the spacing and the Bloch phases, to any order, forward and
    reverse.

    References
    ----------
    Eymard, Gallouët & Herbin, Finite Volume Methods, Handbook of Numerical Analysis VII,
    North-Holland 2000.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> def slowest(c):
    ...     return ka.eigsh(ka.pde.diffusion(c), k=1, sigma=0.0, v0=numpy.ones(c.size))[0][0]
    >>> c = numpy.ones((5, 4))
    >>> g = grad(slowest)(c)  # the eigenvalue is homogeneous of degree one in c
    >>> print(g.shape, numpy.isclose(numpy.sum(g * c), slowest(c)))
    (5, 4) True
    """
    c = _field(c, "diffusion: c")
    values = strip(c)
    if not np.all(values.real > 0):
        raise ValueError(
            f"diffusion: c must have a positive real part in every cell; the smallest is {values.real.min()}"
        )
    grid = c.shape
    conditions = _conditions(boundary, len(grid))
    axes = []
    for axis, h in enumerate(_spacings(spacing, len(grid))):
        below, above = c[_cut(axis, None, -1)], c[_cut(axis, 1, None)]
        lowest, highest = c[_cut(axis, None, 1)], c[_cut(axis, -1, None)]
        inside = -_harmonic(below, above) / h**2  # one for every face between cells
        if conditions[axis].kind == "dirichlet":
            first, last = -lowest / h**2, -highest / h**2
        else:
            first = last = -_harmonic(highest, lowest) / h**2
        axes.append(_Weights(first, inside, inside, last))
    return _difference_operator(grid, axes, boundary)


def advection(velocity: Any, spacing: Any = 1.0, boundary: Any = "periodic", scheme: str = "upwind") -> Stencil:
    """v·∇u for a velocity given in every cell (the advective form, not ∇·(v u)).

    Parameters
    ----------
    velocity : array of shape (d,) + grid, or sequence of d arrays of the grid's shape
        Components along each axis, in every cell; may be traced.
    spacing : number or one per axis, optional
        h > 0; may be traced.
    boundary : {"dirichlet", "neumann", "periodic"} or a Bloch phase, or one per axis, optional
        See the module's docstring. Phases (radians) may be traced.
    scheme : {"upwind", "central"}, optional
        "upwind": first order, from the side the flow comes from, (u_i − u_{i−1}) / h where v > 0 and
        (u_{i+1} − u_i) / h where v < 0. "central": second order, (u_{i+1} − u_{i−1}) / 2h; complex
        velocities are admitted.

    Returns
    -------
    Stencil
        A `krylov_adj.LinearOperator` of shape (n, n), complex where the velocity is or where there is a Bloch
        phase; not symmetric. Applied matrix-free; ``value()`` is the SciPy sparse matrix.

    Raises
    ------
    ValueError
        Bad shapes, spacings, boundary conditions or schemes; a velocity that is not finite, or is
        complex with "upwind".

    Derivative
    ----------
    With respect to the vector, the velocity, the spacing and the Bloch phases, to any order,
    forward and reverse. "upwind" has a kink where a component of the velocity is zero; the mean of
    both one-sided derivatives is taken there.

    References
    ----------
    LeVeque, Finite Volume Methods for Hyperbolic Problems, Cambridge 2002, chapter 4.

    Examples
    --------
    Decay of the slowest mode under advection and diffusion, and how it responds to the flow:

    >>> import autograd.numpy as np
    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> def decay(v):
    ...     A = ka.pde.diffusion(numpy.ones(8)) + ka.pde.advection([v], boundary="dirichlet")
    ...     return np.real(ka.eigs(A, k=1, sigma=0.0, v0=numpy.ones(8))[0][0])
    >>> print(grad(decay)(0.1 * numpy.ones(8)).sum() > 0)  # flow sweeps the mode out
    True
    """
    if scheme not in SCHEMES:
        raise ValueError(f"advection: scheme must be one of {SCHEMES}, not {scheme!r}")
    components = [_field(velocity[axis], f"advection: velocity[{axis}]") for axis in range(len(velocity))]
    grid = components[0].shape if components else ()
    if not components or len(grid) != len(components) or any(v.shape != grid for v in components):
        raise ValueError(
            "advection: expected one velocity component of the grid's shape for each axis, got components of shapes "
            f"{[v.shape for v in components]}"
        )
    axes = []
    for axis, h in enumerate(_spacings(spacing, len(grid))):
        v = components[axis]
        if scheme == "central":
            lower, upper = -v / (2 * h), v / (2 * h)
        elif np.iscomplexobj(strip(v)):
            raise ValueError(f"advection: velocity[{axis}] is complex, which has no upwind side: use scheme='central'")
        else:
            lower, upper = -xp.maximum(v, 0) / h, xp.minimum(v, 0) / h
        axes.append(
            _Weights(
                lower[_cut(axis, None, 1)],
                lower[_cut(axis, 1, None)],
                upper[_cut(axis, None, -1)],
                upper[_cut(axis, -1, None)],
            )
        )
    return _difference_operator(grid, axes, boundary)


# --------------------------------------------------------------------------------------------
# From weights of differences to stencils.
# --------------------------------------------------------------------------------------------


class _Weights(NamedTuple):
    """The weights of the differences along one axis.

    Of extent N − 1 along the axis (lower, upper) and 1 (first, last), or broadcast (all ones).
    """

    first: Any  # lower neighbour of point 0, across the boundary
    lower: Any  # lower neighbours of the points 1 … N − 1
    upper: Any  # upper neighbours of the points 0 … N − 2
    last: Any  # upper neighbour of point N − 1, across the boundary


def _difference_operator(grid: tuple[int, ...], axes: list[_Weights], boundary: Any) -> Stencil:
    coefficients: list[Any] = []
    couplings: list[Coupling] = []
    diagonal: Any = 0

    def corner(axis: int, at: int) -> tuple[int, ...]:
        return tuple(at if a == axis else 0 for a in range(len(grid)))

    def couple(weights: Any, axis: int, target: int, source: int, extent: int) -> None:
        if extent == 0:
            return
        if not (coefficients and coefficients[-1] is weights):  # symmetric operators have them in common
            coefficients.append(weights)
        size = tuple(extent if a == axis else N for a, N in enumerate(grid))
        couplings.append(Coupling(len(coefficients) - 1, corner(axis, target), corner(axis, source), size))

    for axis, condition in enumerate(_conditions(boundary, len(grid))):
        first, lower, upper, last = axes[axis]
        N = grid[axis]
        if condition.kind == "neumann":
            first, last = 0 * first, 0 * last
        diagonal = diagonal - _joined(first, lower, axis, N, True) - _joined(last, upper, axis, N, False)
        couple(lower, axis, 1, 0, N - 1)
        couple(upper, axis, 0, 1, N - 1)
        if condition.kind == "bloch":
            first, last = first * _bloch_factor(-condition.phase), last * _bloch_factor(condition.phase)
        if condition.kind in ("periodic", "bloch"):
            couple(first, axis, 0, N - 1, 1)
            couple(last, axis, N - 1, 0, 1)

    coefficients.append(diagonal)
    couplings.append(Coupling(len(coefficients) - 1, corner(0, 0), corner(0, 0), grid))
    if any(np.iscomplexobj(strip(a)) for a in coefficients):
        # autograd's concatenate would hand real arrays complex cotangents.
        coefficients = [a if np.iscomplexobj(strip(a)) else a + 0j for a in coefficients]
    return Stencil(grid, coefficients, couplings)


def _joined(edge: Any, inner: Any, axis: int, N: int, edge_first: bool) -> Any:
    """The weights of all points along the axis, still broadcast where they are all the same."""
    if edge is inner:
        return inner
    extent = tuple(N - 1 if a == axis else size for a, size in enumerate(inner.shape))
    inner = inner + np.zeros(extent, inner.dtype)
    return xp.concatenate([edge, inner] if edge_first else [inner, edge], axis=axis)


def _harmonic(a: Any, b: Any) -> Any:
    return 2 * a * b / (a + b)


def _cut(axis: int, start: int | None, stop: int | None) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, slice(start, stop))


# --------------------------------------------------------------------------------------------
# Arguments.
# --------------------------------------------------------------------------------------------


def _grid(shape: Any) -> tuple[int, ...]:
    sizes = tuple(np.atleast_1d(shape).tolist())
    if not sizes or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(f"shape must be positive integers, the grid points along each axis, not {shape!r}")
    return sizes


def _spacings(spacing: Any, d: int) -> list[Any]:
    values = _per_axis(spacing, d, "spacing")
    for h in values:
        plain = strip(h)
        if np.ndim(plain) or np.asarray(plain).dtype.kind not in "iuf" or not 0 < plain < np.inf:
            raise ValueError(f"spacing must be a positive number, or one for each axis, not {plain!r}")
    return [h if is_box(h) else float(h) for h in values]


class _Condition(NamedTuple):
    kind: str
    phase: Any = 0.0


def _conditions(boundary: Any, d: int) -> list[_Condition]:
    conditions = []
    for value in _per_axis(boundary, d, "boundary"):
        plain = strip(value)
        if isinstance(plain, str) and plain in CONDITIONS:
            conditions.append(_Condition(plain))
        elif np.ndim(plain) == 0 and np.asarray(plain).dtype.kind in "iuf" and np.isfinite(plain):
            conditions.append(_Condition("bloch", value))
        else:
            raise ValueError(f"boundary must be one of {CONDITIONS} or a Bloch phase in radians, not {plain!r}")
    return conditions


def _per_axis(values: Any, d: int, name: str) -> list[Any]:
    if not isinstance(values, (list, tuple)) and np.ndim(strip(values)) == 0:
        return [values] * d
    if len(values) != d:
        raise ValueError(f"{name}: expected one value, or one for each of {d} axes, not {len(values)}")
    return [values[axis] for axis in range(d)]


def _field(values: Any, what: str) -> Any:
    plain = np.asarray(strip(values))
    if plain.dtype.kind not in "iufc" or plain.ndim == 0 or plain.size == 0:
        raise ValueError(f"{what} must be an array of numbers of the grid's shape, not {plain.dtype} {plain.shape}")
    if not np.all(np.isfinite(plain)):
        raise ValueError(f"{what} holds NaN or infinity")
    return values if is_box(values) else plain.astype(np.result_type(inexact(plain.dtype), np.float32), copy=False)


def _scalar(value: Any, d: int, dtype: np.dtype) -> Any:
    """A number as an array that broadcasts over a grid of d dimensions."""
    return xp.reshape(value, (1,) * d) if is_box(value) else np.full((1,) * d, value, dtype)


def _bloch_factor(phase: Any) -> Any:
    """e^{iθ}; a Python number where it is not traced, which leaves single precision as it is."""
    return xp.exp(1j * phase) if is_box(phase) else complex(np.exp(1j * phase))
