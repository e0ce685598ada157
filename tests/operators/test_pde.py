"""Discretised differential operators: against dense matrices written out point by point, against
spectra in closed form, and gradients in both modes to second order."""

import itertools
import tracemalloc

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.linalg
import scipy.optimize
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad, make_jvp

import krylov_adj as ka
from krylov_adj.autograd.operators import pde
from krylov_adj.forms import stencils

GRIDS = [(7,), (4, 5), (3, 4, 2), (1, 3), (2,), (1,)]
THETA = 0.7
CONDITIONS = ["dirichlet", "neumann", "periodic", THETA]
MIXED = ["periodic", "dirichlet", -0.4]


def fields(grid, seed=0, dtype=float):
    """A positive coefficient and a velocity of both signs."""
    rng = onp.random.default_rng(seed)
    c, v = rng.uniform(0.5, 2.0, grid), rng.normal(size=(len(grid), *grid))
    if onp.dtype(dtype).kind == "c":
        c, v = c + 1j * rng.normal(size=grid), v + 1j * rng.normal(size=v.shape)
    return c.astype(dtype), v.astype(dtype)


# ---- the matrices, point by point ------------------------------------------------------------


def neighbour(index, axis, step, grid, condition):
    """(index of the neighbour, factor), or a factor of zero for a neighbour that is held at zero."""
    at = list(index)
    at[axis] += step
    if 0 <= at[axis] < grid[axis]:
        return tuple(at), 1.0
    if condition == "dirichlet":
        return index, 0.0
    if condition == "neumann":
        return index, 1.0
    at[axis] %= grid[axis]
    return tuple(at), 1.0 if condition == "periodic" else onp.exp(1j * condition * step)


def written_out(grid, boundary, weight):
    """Σ weight(index, axis, step, neighbour) (u_neighbour − u) as a dense matrix, by plain loops."""
    n = int(onp.prod(grid))
    A = onp.zeros((n, n), complex)
    boundary = boundary if isinstance(boundary, list) else [boundary] * len(grid)
    flat = onp.arange(n).reshape(grid)
    for index in onp.ndindex(*grid):
        for axis, step in itertools.product(range(len(grid)), (-1, 1)):
            other, factor = neighbour(index, axis, step, grid, boundary[axis])
            w = weight(index, axis, step, None if factor == 0 else other)
            A[flat[index], flat[other]] += w * factor
            A[flat[index], flat[index]] -= w
    return A


def diffusion_weight(c, h):
    def weight(index, axis, step, other):
        face = c[index] if other is None else 2 / (1 / c[index] + 1 / c[other])
        return -face / h[axis] ** 2

    return weight


def advection_weight(v, h, scheme):
    def weight(index, axis, step, other):
        component = v[(axis, *index)]
        if scheme == "central":
            return step * component / (2 * h[axis])
        return step * component / h[axis] if step * component < 0 else 0.0

    return weight


def build(kind, grid, boundary, spacing=1.0, dtype=float):
    """The operator and its dense matrix."""
    c, v = fields(grid, dtype=dtype)
    h = onp.broadcast_to(spacing, len(grid))
    if kind == "laplacian":
        weight = diffusion_weight(onp.ones(grid), h)
        return pde.laplacian(grid, spacing, boundary, dtype), -written_out(grid, boundary, weight)
    if kind == "diffusion":
        return pde.diffusion(c, spacing, boundary), written_out(grid, boundary, diffusion_weight(c, h))
    return pde.advection(v, spacing, boundary, kind), written_out(grid, boundary, advection_weight(v, h, kind))


KINDS = ["laplacian", "diffusion", "upwind", "central"]
CASES = [
    (kind, grid, boundary)
    for kind, grid in itertools.product(KINDS, GRIDS)
    for boundary in [*CONDITIONS, MIXED[: len(grid)]]
]


@pytest.mark.parametrize(("kind", "grid", "boundary"), CASES)
def test_matrix_free_product_adjoint_and_value(kind, grid, boundary):
    spacing = [0.5, 0.3, 0.9][: len(grid)]
    A, D = build(kind, grid, boundary, spacing)
    bloch = onp.iscomplexobj(A.value())
    assert bloch == (boundary in (THETA, MIXED))
    assert A.dtype == A.value().dtype == (complex if bloch else float)
    D = D if bloch else D.real
    tolerance = {"rtol": 1e-12, "atol": 1e-12}
    onp.testing.assert_allclose(A.value().toarray(), D, **tolerance)
    rng = onp.random.default_rng(1)
    n = D.shape[0]
    for shape, unit in itertools.product([(n,), (n, 1), (n, 3), (n, 0)], [0, 1j]):
        X = rng.normal(size=shape) + unit * rng.normal(size=shape)
        for actual, expected in ((A @ X, D @ X), (A.H @ X, D.conj().T @ X), (A.T @ X, D.T @ X)):
            assert actual.dtype == expected.dtype
            onp.testing.assert_allclose(actual, expected, **tolerance)
    ka.check_operator(A, hermitian=kind in ("laplacian", "diffusion"))


def test_blocks_of_the_grid_do_not_change_the_result(monkeypatch):
    c, _ = fields((9, 4))
    for boundary in CONDITIONS:
        expected = build("diffusion", (9, 4), boundary)[1]

        def f(p, boundary=boundary):
            A = pde.diffusion(c * p[0], p[1], boundary) - pde.laplacian((9, 4), p[1], boundary)
            return np.sum(np.abs(A @ onp.arange(36.0)) ** 2)

        gradient = grad(f)(onp.array([1.0, 0.7]))
        for size in (1, 4, 7, 8, 12, 36):
            monkeypatch.setattr(stencils, "BLOCK", size)
            A = build("diffusion", (9, 4), boundary)[0]
            onp.testing.assert_allclose(A @ onp.eye(36), expected, atol=1e-14)
            onp.testing.assert_allclose(A.H @ onp.eye(36), expected.conj().T, atol=1e-14)
            onp.testing.assert_allclose(A.value().toarray(), expected, atol=1e-14)
            onp.testing.assert_allclose(grad(f)(onp.array([1.0, 0.7])), gradient, rtol=1e-12)
        monkeypatch.undo()


@pytest.mark.parametrize("dtype", ["float32", "complex64", "complex128"])
@pytest.mark.parametrize("boundary", ["dirichlet", THETA])
def test_dtypes(dtype, boundary):
    single = dtype != "complex128"
    for kind in ("diffusion", "central"):
        A, D = build(kind, (4, 3), boundary, dtype=dtype)
        assert A.dtype == onp.result_type(dtype, onp.complex64 if boundary == THETA else dtype)
        assert (A @ onp.ones(12, dtype)).dtype == A.dtype
        onp.testing.assert_allclose(A.value().toarray(), D, rtol=1e-5 if single else 1e-12, atol=1e-6)
        assert "adjoint" in ka.check_operator(A)
    L = pde.laplacian((4, 3), boundary=boundary, dtype=onp.float32)
    assert L.dtype == (onp.complex64 if boundary == THETA else onp.float32)


@pytest.mark.skipif(not hasattr(spla, "LaplacianNd"), reason="SciPy has LaplacianNd since 1.12")
@pytest.mark.parametrize("boundary", CONDITIONS[:3])
@pytest.mark.parametrize("grid", [(7,), (2,), (4, 5), (3, 4, 2)])
def test_laplacian_is_scipys(grid, boundary):
    reference = spla.LaplacianNd(grid, boundary_conditions=boundary)
    L = pde.laplacian(grid, boundary=boundary)
    onp.testing.assert_array_equal(L.value().toarray(), reference.toarray())
    minus = pde.diffusion(onp.ones(grid), boundary=boundary)
    onp.testing.assert_array_equal(minus.value().toarray(), -reference.toarray())
    w = scipy.linalg.eigvalsh(L.value().toarray())
    onp.testing.assert_allclose(w, onp.sort(reference.eigenvalues().ravel()), atol=1e-13)


def test_algebra_with_other_operators():
    L, D = build("laplacian", (4, 3), THETA)
    V = onp.linspace(0, 1, 12)
    potential = ka.csr_array((V, onp.arange(12), onp.arange(13)), (12, 12))
    H = -0.5 * L + potential + sp.identity(12)
    expected = -0.5 * D + onp.diag(V) + onp.eye(12)
    onp.testing.assert_allclose(H @ onp.eye(12), expected, atol=1e-14)
    onp.testing.assert_allclose(H.explicit().toarray(), expected, atol=1e-14)
    onp.testing.assert_allclose((L.H @ L) @ V, D.conj().T @ D @ V, atol=1e-13)


# ---- spectra in closed form ------------------------------------------------------------------


def wave_numbers(N, condition):
    """κ h of the modes along one axis."""
    j = onp.arange(N)
    return {
        "dirichlet": onp.pi * (j + 1) / (N + 1),
        "neumann": onp.pi * j / N,
        "periodic": 2 * onp.pi * j / N,
    }.get(condition, (2 * onp.pi * j + (condition if isinstance(condition, float) else 0)) / N)


def spectrum(symbols):
    """All sums of one number of every axis."""
    total = onp.zeros(1)
    for symbol in symbols:
        total = onp.add.outer(total, symbol).ravel()
    return total


BOUNDARIES = [
    *itertools.product(CONDITIONS),
    *itertools.product(CONDITIONS, repeat=2),
    *[(condition,) * 3 for condition in CONDITIONS],
    ("dirichlet", "periodic", THETA),
    ("neumann", THETA, "periodic"),
]
SIZES, SPACINGS = (5, 4, 3), (0.5, 0.3, 0.9)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_exact_spectra_of_laplacian_and_diffusion(boundary):
    d = len(boundary)
    grid, h = SIZES[:d], SPACINGS[:d]
    expected = spectrum(
        -((2 * onp.sin(wave_numbers(N, condition) / 2) / step) ** 2)
        for N, condition, step in zip(grid, boundary, h, strict=True)
    )
    w = scipy.linalg.eigvalsh(pde.laplacian(grid, h, boundary).value().toarray())
    onp.testing.assert_allclose(w, onp.sort(expected), atol=1e-12)
    w = scipy.linalg.eigvalsh(pde.diffusion(onp.full(grid, 2.5), h, boundary).value().toarray())
    onp.testing.assert_allclose(w, onp.sort(-2.5 * expected), atol=1e-12)


@pytest.mark.parametrize("boundary", [b for b in BOUNDARIES if "neumann" not in b])
@pytest.mark.parametrize("scheme", ["upwind", "central"])
def test_exact_spectra_of_advection(scheme, boundary):
    """Dirichlet only with central differences: the upwind operator is then defective."""
    d = len(boundary)
    if scheme == "upwind":
        boundary = tuple(0.2 if condition == "dirichlet" else condition for condition in boundary)
    grid, h, speeds = SIZES[:d], SPACINGS[:d], (1.5, -0.7, 0.4)[:d]

    def symbol(kappa, v, step, condition):
        if condition == "dirichlet":
            return 1j * v * onp.cos(kappa) / step
        if scheme == "central":
            return 1j * v * onp.sin(kappa) / step
        return abs(v) * (1 - onp.exp(-1j * onp.sign(v) * kappa)) / step

    expected = spectrum(
        symbol(wave_numbers(N, condition), v, step, condition)
        for N, condition, v, step in zip(grid, boundary, speeds, h, strict=True)
    )
    velocity = [onp.full(grid, v) for v in speeds]
    w = scipy.linalg.eigvals(pde.advection(velocity, h, boundary, scheme).value().toarray())
    distance = onp.abs(w[:, None] - expected[None, :])
    rows, cols = scipy.optimize.linear_sum_assignment(distance)
    assert distance[rows, cols].max() < 1e-10


@pytest.mark.parametrize("d", [1, 2, 3])
def test_upwind_takes_the_side_the_flow_comes_from(d):
    """A linear function is differentiated exactly; a step only spreads downstream."""
    grid = (4,) * d
    x = onp.indices(grid).sum(axis=0).astype(float)
    for sign in (1, -1):
        A = pde.advection(onp.full((d, *grid), float(sign)), boundary="neumann")
        inner = (slice(1, -1),) * d
        onp.testing.assert_allclose((A @ x.ravel()).reshape(grid)[inner], sign * d)
        delta = onp.zeros(grid)
        delta[(2,) * d] = 1.0
        touched = onp.argwhere((A @ delta.ravel()).reshape(grid))
        assert onp.all((touched - 2) * sign >= 0)


def test_diffusion_conserves_and_is_exact_across_layers():
    c, _ = fields((6, 5))
    for boundary in ("neumann", "periodic"):
        A = pde.diffusion(c, 0.3, boundary)
        onp.testing.assert_allclose(A @ onp.ones(30), 0, atol=1e-12)  # constants in the null space
        onp.testing.assert_allclose(onp.ones(30) @ A, 0, atol=1e-12)  # nothing is created
        assert scipy.linalg.eigvalsh(A.value().toarray())[0] > -1e-12
    assert scipy.linalg.eigvalsh(pde.diffusion(c, 0.3).value().toarray())[0] > 0
    # One dimension, piecewise constant c: constant flux q means u' = q/c in each layer.
    c = onp.array([1.0, 1.0, 1.0, 10.0, 10.0, 10.0, 10.0])
    u = onp.concatenate([[0], onp.cumsum(0.5 / c[:-1] + 0.5 / c[1:])])
    onp.testing.assert_allclose((pde.diffusion(c) @ u)[1:-1], 0, atol=1e-14)


# ---- derivatives -----------------------------------------------------------------------------


def rolled(u, axis, step, condition):
    """u at the neighbour, by autograd's own functions."""
    inside = np.roll(u, -step, axis)
    edge = onp.zeros(u.shape)
    edge[(slice(None),) * axis + ((slice(-1, None) if step > 0 else slice(0, 1)),)] = 1.0
    if isinstance(condition, str) and condition == "periodic":
        return inside
    if isinstance(condition, str):
        return inside * (1 - edge) + (u * edge if condition == "neumann" else 0)
    return inside * (1 - edge + edge * np.exp(1j * condition * step))


def by_autograd(kind, coefficient, u, spacing, boundary):
    """The operators applied to one grid function, written with np.roll."""
    total = 0.0
    d = np.ndim(u)
    for axis in range(d):
        condition, h = boundary[axis], spacing[axis]
        for step in (-1, 1):
            difference = rolled(u, axis, step, condition) - u
            if kind == "diffusion":
                outside = "neumann" if isinstance(condition, str) and condition != "periodic" else "periodic"
                other = rolled(coefficient, axis, step, outside)
                weight = -2 * coefficient * other / (coefficient + other) / h**2
            elif kind == "laplacian":
                weight = 1 / h**2
            elif kind == "central":
                weight = step * coefficient[axis] / (2 * h)
            else:
                weight = step * coefficient[axis] * (step * coefficient[axis] < 0) / h
            total = total + weight * difference
    return total


def random_like(x, rng):
    return rng.normal(size=onp.shape(x)) + (1j * rng.normal(size=onp.shape(x)) if onp.iscomplexobj(x) else 0)


class Case:
    """A loss of everything that an operator depends on: coefficient, vectors, spacing, phase."""

    def __init__(self, kind, grid, boundary, dtype=float):
        self.kind, self.grid, self.boundary = kind, grid, boundary
        c, v = fields(grid, dtype=dtype)
        rng = onp.random.default_rng(2)
        self.values = {
            "coefficient": c if kind == "diffusion" else v,
            "u": rng.normal(size=(*grid, 2)) + 1j * rng.normal(size=(*grid, 2)),
            "spacing": rng.uniform(0.5, 1.0, len(grid)),
            "phase": 0.3,
        }
        self.tangents = {name: 0.3 * random_like(x, rng) for name, x in self.values.items()}
        self.weight = rng.normal(size=(*grid, 2)) + 1j * rng.normal(size=(*grid, 2))

    def conditions(self, phase):
        return [phase if condition == "bloch" else condition for condition in self.boundary]

    def loss(self, Au):
        return np.sum(np.real(Au * self.weight)) ** 2 + np.sum(np.abs(Au) ** 4)

    def stencil(self, t):
        """The loss along the line values + t tangents, t one number for each value."""
        coefficient, u, spacing, phase = self.at(t)
        boundary = self.conditions(phase)
        if self.kind == "laplacian":
            A = pde.laplacian(self.grid, spacing, boundary)
        elif self.kind == "diffusion":
            A = pde.diffusion(coefficient, spacing, boundary)
        else:
            A = pde.advection(coefficient, spacing, boundary, self.kind)
        Au = A @ np.reshape(u, (-1, 2))
        return self.loss(np.reshape(Au, (*self.grid, 2)))

    def reference(self, t):
        coefficient, u, spacing, phase = self.at(t)
        boundary = self.conditions(phase)
        columns = [by_autograd(self.kind, coefficient, u[..., j], spacing, boundary) for j in range(2)]
        return self.loss(np.stack(columns, axis=-1))

    def at(self, t):
        return [self.values[name] + t[i] * self.tangents[name] for i, name in enumerate(self.values)]


DERIVATIVES = [
    ("laplacian", (5,), ["bloch"]),
    ("laplacian", (3, 4), ["neumann", "dirichlet"]),
    ("diffusion", (5,), ["dirichlet"]),
    ("diffusion", (3, 4), ["periodic", "bloch"]),
    ("diffusion", (3, 2, 3), ["neumann", "periodic", "dirichlet"]),
    ("upwind", (6,), ["bloch"]),
    ("upwind", (3, 4), ["dirichlet", "neumann"]),
    ("central", (3, 2, 3), ["neumann", "bloch", "periodic"]),
]


@pytest.mark.parametrize(
    ("kind", "grid", "boundary", "dtype"),
    # There is no upwind side of a complex velocity.
    [(*case, dtype) for case in DERIVATIVES for dtype in (float, complex) if case[0] != "upwind" or dtype is float],
)
def test_derivatives_in_everything(kind, grid, boundary, dtype):
    """Value, gradient, Hessian (three ways) in coefficient, vector, spacing and phase together."""
    case = Case(kind, grid, boundary, dtype)
    t, s = onp.array([0.1, -0.2, 0.15, 0.3]), onp.array([1.0, -0.4, 0.7, 0.2])
    f, reference = case.stencil, case.reference

    def along(f):
        return lambda t: np.sum(grad(f)(t) * s)

    onp.testing.assert_allclose(f(t), reference(t), rtol=1e-12)
    first, second = grad(reference)(t), grad(along(reference))(t)
    onp.testing.assert_allclose(grad(f)(t), first, rtol=1e-10, atol=1e-10 * onp.abs(first).max())
    onp.testing.assert_allclose(make_jvp(f)(t)(s)[1], first @ s, rtol=1e-10)
    scale = onp.abs(second).max()
    onp.testing.assert_allclose(grad(along(f))(t), second, rtol=1e-9, atol=1e-10 * scale)
    onp.testing.assert_allclose(make_jvp(grad(f))(t)(s)[1], second, rtol=1e-9, atol=1e-10 * scale)
    onp.testing.assert_allclose(grad(lambda t: make_jvp(f)(t)(s)[1])(t), second, rtol=1e-9, atol=1e-10 * scale)


@pytest.mark.parametrize("boundary", ["dirichlet", THETA])
@pytest.mark.parametrize("dtype", [onp.float32, onp.float64])
def test_real_coefficients_have_real_gradients_in_their_precision(dtype, boundary):
    c, v = fields((4, 3), dtype=dtype)
    u = onp.ones(12, onp.result_type(dtype, onp.complex64)) * (1 + 0.5j)
    for make, coefficient in ((pde.diffusion, c), (pde.advection, v)):
        g = grad(lambda p, make=make: np.sum(np.abs(make(p, 0.5, boundary) @ u) ** 2))(coefficient)
        assert g.dtype == dtype


def test_upwind_gradient_at_rest_is_the_mean():
    u = onp.array([1.0, 4.0, 9.0])
    g = grad(lambda v: (pde.advection([v], boundary="periodic") @ u)[1])(onp.zeros(3))
    onp.testing.assert_allclose(g, [0, 4.0, 0])  # of 3 and 5


# ---- eigenvalue problems ---------------------------------------------------------------------


def differences(f, p, direction, h=1e-3):
    def central(h):
        return (f(p + h * direction) - f(p - h * direction)) / (2 * h)

    return (4 * central(h / 2) - central(h)) / 3


@pytest.mark.parametrize("arguments", [{"sigma": -0.1}, {"which": "SA"}])
@pytest.mark.parametrize("boundary", ["dirichlet", ["neumann", 0.4]])
def test_eigen_gradient_of_diffusion(boundary, arguments):
    grid = (6, 5)
    c, _ = fields(grid)
    profile = onp.cos(onp.arange(30))
    direction = onp.random.default_rng(5).normal(size=grid)

    def f(c):
        A = pde.diffusion(c, 0.7, boundary)
        w, X = ka.eigsh(A, k=2, v0=onp.ones(30, A.dtype), **arguments)
        low = 0 if w[0] < w[1] else 1  # SciPy's order of complex problems is another one
        return w[low] ** 2 + np.sum(profile * np.abs(X[:, low]) ** 2)

    def reference(c):
        weight = diffusion_weight(c, (0.7, 0.7))
        conditions = boundary if isinstance(boundary, list) else [boundary] * 2
        w, X = scipy.linalg.eigh(written_out(grid, conditions, weight))
        return w[0] ** 2 + onp.sum(profile * onp.abs(X[:, 0]) ** 2)

    onp.testing.assert_allclose(f(c), reference(c), rtol=1e-10)
    g = grad(f)(c)
    assert g.dtype == float
    onp.testing.assert_allclose(onp.sum(g * direction), differences(reference, c, direction), rtol=1e-7)
    ka.check_gradient(f, c, order=2)


def test_eigen_gradient_of_advection_and_diffusion():
    grid = (6, 5)
    c, v = fields(grid)
    profile = onp.cos(onp.arange(30))
    direction = onp.random.default_rng(5).normal(size=v.shape)

    def loss(w, x):
        return np.real(w) ** 2 + np.sum(profile * np.abs(x) ** 2)

    def f(v):
        A = pde.diffusion(c) + pde.advection(v, boundary="dirichlet")
        w, X = ka.eigs(A, k=1, sigma=0.0, v0=onp.ones(30))
        return loss(w[0], X[:, 0])

    def reference(v):
        A = written_out(grid, "dirichlet", diffusion_weight(c, (1, 1)))
        w, X = scipy.linalg.eig(A + written_out(grid, "dirichlet", advection_weight(v, (1, 1), "upwind")))
        first = onp.argmin(onp.abs(w))
        return loss(w[first], X[:, first] / onp.linalg.norm(X[:, first]))

    onp.testing.assert_allclose(onp.sum(grad(f)(v) * direction), differences(reference, v, direction), rtol=1e-7)


@pytest.mark.parametrize("sigma", [None, -0.5])
def test_group_velocity_and_effective_mass_of_a_band(sigma):
    """Derivatives with respect to the Bloch phase, in closed form, to second order."""
    N, h = 12, 0.5

    def energy(theta):
        H = -pde.laplacian(N, h, theta)
        arguments = {"which": "SA"} if sigma is None else {"sigma": sigma}
        return ka.eigsh(H, k=1, v0=onp.ones(N, complex), **arguments)[0][0]

    theta = 0.8
    onp.testing.assert_allclose(energy(theta), 4 / h**2 * onp.sin(theta / (2 * N)) ** 2, rtol=1e-10)
    onp.testing.assert_allclose(grad(energy)(theta), 2 / (h**2 * N) * onp.sin(theta / N), rtol=1e-9)
    onp.testing.assert_allclose(grad(grad(energy))(theta), 2 / (h * N) ** 2 * onp.cos(theta / N), rtol=1e-7)


def test_phases_and_spacings_as_one_traced_array():
    def f(p):
        return np.sum(np.abs(pde.laplacian((3, 4), p[:2], p[2:]) @ onp.arange(12.0)) ** 2)

    ka.check_gradient(f, onp.array([0.5, 0.7, 0.3, -0.2]), order=2)


# ---- cost ------------------------------------------------------------------------------------


def test_memory_of_application_and_gradient():
    """A few vectors; the sparse matrix (in double precision) would be 10 for three dimensions."""
    grid = (40, 40, 40)
    c, _ = fields(grid)
    u = onp.random.default_rng(0).normal(size=c.size)

    def peak(function):
        tracemalloc.start()
        function()
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size / u.nbytes

    L, A = pde.laplacian(grid), pde.diffusion(c)
    assert peak(lambda: L @ u) < 2.5
    assert peak(lambda: A @ u) < 2.5
    assert peak(lambda: pde.laplacian(grid)) < 1
    assert peak(lambda: grad(lambda c: np.sum((pde.diffusion(c) @ u) ** 2))(c)) < 40


def test_value_is_a_matrix_of_its_own():
    A = pde.diffusion(onp.ones((3, 3)))
    A.value().data[:] = 0
    assert A.value().toarray()[0, 0] == 4


# ---- bad input -------------------------------------------------------------------------------

C = onp.ones((3, 4))
BAD = {
    "shape": ("positive integers", lambda: pde.laplacian((3, 0))),
    "float shape": ("positive integers", lambda: pde.laplacian(3.5)),
    "no shape": ("positive integers", lambda: pde.laplacian(())),
    "integer dtype": ("real floating-point", lambda: pde.laplacian(3, dtype=int)),
    "condition": ("'dirichlet', 'neumann', 'periodic'.* not 'robin'", lambda: pde.laplacian(3, boundary="robin")),
    "complex phase": ("Bloch phase", lambda: pde.laplacian(3, boundary=1j)),
    "nan phase": ("Bloch phase", lambda: pde.laplacian(3, boundary=onp.nan)),
    "flag": ("Bloch phase", lambda: pde.laplacian(3, boundary=True)),
    "too many conditions": ("each of 2 axes, not 3", lambda: pde.laplacian((3, 4), boundary=["periodic"] * 3)),
    "spacing": ("positive number", lambda: pde.laplacian(3, spacing=0.0)),
    "too many spacings": ("spacing: expected one value", lambda: pde.laplacian((3, 4), spacing=[1.0])),
    "zero c": ("positive real part.* 0.0", lambda: pde.diffusion(C * 0)),
    "nan c": ("NaN", lambda: pde.diffusion(C * onp.nan)),
    "scalar c": ("grid's shape", lambda: pde.diffusion(1.0)),
    "text": ("array of numbers", lambda: pde.diffusion(onp.array(["a"]))),
    "scheme": ("upwind", lambda: pde.advection([onp.ones(3)], scheme="downwind")),
    "velocity without components": ("grid's shape", lambda: pde.advection(onp.ones(3))),
    "missing component": ("for each axis", lambda: pde.advection(C[None])),
    "components of two shapes": ("for each axis", lambda: pde.advection([C, C.T])),
    "no velocity": ("for each axis", lambda: pde.advection([])),
    "complex upwind": ("scheme='central'", lambda: pde.advection([1j * onp.ones(3)])),
    "vector": ("dimension mismatch", lambda: pde.laplacian((3, 4)) @ onp.ones(4)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    message, call = BAD[name]
    with pytest.raises(ValueError, match=message):
        call()
