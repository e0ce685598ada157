"""The operators that the benchmarks run on, assembled with SciPy."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def _second_difference(n: int) -> sp.csr_array:
    h = 1 / (n + 1)
    return (sp.diags([2 * np.ones(n), -np.ones(n - 1), -np.ones(n - 1)], offsets=[0, 1, -1]) / h**2).tocsr()


def _first_difference(n: int) -> sp.csr_array:
    h = 1 / (n + 1)
    return (sp.diags([np.ones(n - 1), -np.ones(n - 1)], offsets=[1, -1]) / (2 * h)).tocsr()


def _grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(0, 1, n + 2)[1:-1]
    return np.meshgrid(x, x, indexing="ij")


def _on_square(D: sp.csr_array) -> tuple[sp.csr_array, sp.csr_array]:
    eye = sp.eye(D.shape[0], format="csr")
    return sp.kron(D, eye, format="csr"), sp.kron(eye, D, format="csr")


def potential(n: int, seed: int = 0) -> np.ndarray:
    """A smooth random potential on the unit square, shape (n²,)."""
    rng = np.random.default_rng(seed)
    x, y = _grid(n)
    V = np.zeros_like(x)
    for a, b, s, height in zip(*rng.random((2, 30)), rng.uniform(0.05, 0.15, 30), rng.random(30), strict=True):
        V += height * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * s**2))
    return 2e3 * V.ravel() / V.max()


def schroedinger(n: int) -> sp.csr_array:
    """−∇² + V on n × n points of the unit square, zero on the boundary."""
    return (sum(_on_square(_second_difference(n))) + sp.diags(potential(n))).tocsr()


def advection_diffusion(n: int, peclet: float) -> sp.csr_array:
    """−∇² + v·∇ with a recirculating flow, central differences."""
    x, y = _grid(n)
    vx = peclet * (np.sin(np.pi * x) * np.cos(np.pi * y) + 0.3)
    vy = peclet * (-np.cos(np.pi * x) * np.sin(np.pi * y) + 0.2)
    Gx, Gy = _on_square(_first_difference(n))
    flow = sp.diags(vx.ravel()) @ Gx + sp.diags(vy.ravel()) @ Gy
    return (sum(_on_square(_second_difference(n))) + flow).tocsr()


def hofstadter(n: int, flux: float = 0.263, disorder: float = 0.3) -> sp.csr_array:
    """Tight binding on n × n sites in a magnetic field: complex Hermitian."""
    hop = sp.diags([np.ones(n - 1)], offsets=[1], shape=(n, n), format="csr")
    phase = sp.diags(np.exp(2j * np.pi * flux * np.arange(n)))
    H = -sp.kron(hop, phase) - sp.kron(sp.eye(n), hop)
    on_site = disorder * (np.random.default_rng(0).random(n * n) - 0.5)
    return (H + H.conj().T + sp.diags(on_site)).tocsr()


def elements(nx: int, ny: int) -> tuple[np.ndarray, ...]:
    """Bilinear rectangles: smooth random densities, degrees of freedom, stiffness and mass matrix of one."""
    rng = np.random.default_rng(0)
    hx, hy = 1 / nx, 0.6 / ny
    k1, m1 = np.array([[1, -1], [-1, 1]]), np.array([[2, 1], [1, 2]]) / 6
    Ke = np.kron(k1 / hx, m1 * hy) + np.kron(m1 * hx, k1 / hy)
    Me = np.kron(m1 * hx, m1 * hy)
    rho = rng.uniform(0.2, 1, (nx, ny))
    for _ in range(6):
        rho = (rho + sum(np.roll(rho, s, axis) for s in (1, -1) for axis in (0, 1))) / 5
    node = np.arange((nx + 1) * (ny + 1)).reshape(nx + 1, ny + 1)
    dofs = np.stack([node[:-1, :-1], node[:-1, 1:], node[1:, :-1], node[1:, 1:]], axis=-1).reshape(-1, 4)
    return rho.ravel(), dofs, Ke, Me


def finite_elements(nx: int, ny: int) -> tuple[sp.csr_array, sp.csr_array]:
    """K and M of heat conduction with densities ρ, conductivities ρ³."""
    rho, dofs, Ke, Me = elements(nx, ny)
    n, rho = (nx + 1) * (ny + 1), rho[:, None, None]
    dofs = dofs.astype(np.intc)  # which SuperLU takes in every version of SciPy
    rows, columns = np.repeat(dofs, 4, axis=1).ravel(), np.tile(dofs, (1, 4)).ravel()
    K, M = (
        sp.coo_array(((w * E).ravel(), (rows, columns)), shape=(n, n)).tocsr() for w, E in ((rho**3, Ke), (rho, Me))
    )
    return K, M


def random_pencil(n: int) -> tuple[sp.csr_array, sp.csr_array]:
    """A not symmetric with complex pairs, M symmetric positive definite."""
    rng = np.random.default_rng(3)
    A = sp.random(n, n, density=5 / n, random_state=rng, data_rvs=rng.standard_normal) / 5**0.5
    S = sp.random(n, n, density=3 / n, random_state=rng)
    return (A + sp.diags(np.linspace(-1, 3, n))).tocsr(), (3 * sp.eye(n) + 0.2 * (S + S.T)).tocsr()
