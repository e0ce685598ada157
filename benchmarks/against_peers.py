"""Value and gradient against the same work done otherwise.

    python benchmarks/against_peers.py [--table scipy] [--points 200]

First table: sparse problems of 10,000 unknowns, against SciPy written by hand (`by_hand.py`:
Hellmann-Feynman, left eigenvectors, bordered LU, MINRES, preconditioned GMRES, as an expert would).
Times are of value and gradient together, medians of alternating runs in this process (processor
time), divided by that of SciPy's plain forward call on the same matrices. Below 1 in the last
column: the other way is faster than ours.

Second table: hundreds of unknowns, as dense matrices where a package knows no others, against
packages that differentiate eigenvalue problems: autograd, and those of torch, JAX, xitorch and
matfree that are installed. What a package has no function for, or raises, is printed.

Every row prints the error of its gradient relative to a reference that shares no code with the
package: a sum over all eigenvectors of a dense solve (second table); bordered LUs with
iterative refinement (first table), which is checked against that sum at a small size. Ours is
asserted to be below 1e-7.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import autograd.numpy as anp
import by_hand
import models
import numpy as np
import scipy.linalg as la
from adjoint_cost import median_times
from autograd import value_and_grad
from autograd.tracer import getval
from by_hand import Pencil
from package_peers import PEERS

import krylov_adj as ka

Array = np.ndarray
ACCURACY = 1e-7


@dataclass(frozen=True)
class Problem:
    """A(p) = A + diag(p) at p = 0, real p, and a loss of pairs that treats each differently.

    With ``cells`` (densities, dofs, element matrices Ke, Me) the parameters are the densities ρ of
    finite elements instead, A = Σ ρ³ Ke and M = Σ ρ Me.
    """

    name: str
    pencil: Pencil
    vectors: bool
    cells: tuple | None = None

    @property
    def p0(self) -> Array:
        return np.zeros(self.pencil.n) if self.cells is None else self.cells[0]

    @property
    def weights(self) -> Array:
        return 1.0 + np.arange(self.pencil.k) * np.where(np.arange(self.pencil.k) % 2, -0.3, 0.2)

    def loss(self, xp, w, X, scale):
        """Σ aᵢ Re λᵢ, or Σᵢ aᵢ Σ |xᵢ|⁴ times a scale: no phase or sign matters."""
        weights = xp.asarray(self.weights)
        if self.vectors:
            return scale * xp.sum(weights * xp.sum(xp.abs(X) ** 4, 0))
        return xp.sum(weights * xp.real(w))

    def cotangents(self, w: Array, X: Array, scale: float) -> tuple[Array, Array]:
        if self.vectors:
            return np.zeros(w.size), scale * 4 * self.weights * np.abs(X) ** 2 * X
        return self.weights, np.zeros_like(X)

    @property
    def scale(self) -> float:
        """Of the loss of vectors: its gradient is of the size of that of eigenvalues."""
        return float(self.pencil.n) * (1.0 if self.pencil.M is None else 1.0 / self.pencil.n**2)

    def contracted(self, w: Array, X: Array, W: Array, gX: Array) -> Array:
        """df/dp from the W of `by_hand`."""
        if self.cells is None:
            return np.sum(W.conj() * X, axis=1).real
        rho, dofs, Ke, Me = self.cells
        left, right = W[dofs].conj(), X[dofs]  # (elements, 4, k)
        K = np.einsum("eik,ij,ejk->ek", left, Ke, right)
        M = np.einsum("eik,ij,ejk->ek", left, Me, right)
        norms = np.einsum("eik,ij,ejk->ek", X[dofs].conj(), Me, right) * np.sum(X.conj() * gX, axis=0).real
        return np.sum(3 * rho[:, None] ** 2 * K - w * M - 0.5 * norms, axis=1).real

    # ---- ours ------------------------------------------------------------------------------------

    def ours(self) -> Array:
        pencil = self.pencil
        solver = ka.eigsh if pencil.hermitian else ka.eigs
        points = np.arange(pencil.n)
        fixed = ka.aslinearoperator(pencil.A)

        def f(p):
            arguments = pencil.arguments
            if pencil.sigma is None:  # matrix-free: nothing but a product with vectors is known of it
                A = ka.LinearOperator(
                    fixed.shape,
                    lambda u: fixed @ u + p * u,
                    matmat=lambda U: fixed @ U + anp.reshape(p, (-1, 1)) * U,
                    dtype=pencil.A.dtype,
                )
            elif self.cells is None:
                A = fixed + ka.coo_array((p, (points, points)), shape=fixed.shape)
            else:
                _, dofs, Ke, Me = self.cells
                A = ka.assemble((p**3)[:, None, None] * Ke, dofs, fixed.shape)
                arguments["M"] = ka.assemble(p[:, None, None] * Me, dofs, fixed.shape)
            w, X = solver(A, **arguments)
            order = pencil.nearest(np.asarray(getval(w)))  # complex eigsh does not sort; weights go by the order
            return self.loss(Numpy, w[order], X[:, order], self.scale)

        return value_and_grad(f)(self.p0)[1]

    # ---- by hand, and references -------------------------------------------------------------------

    def hand(self, way: Callable) -> Array:
        pairs = by_hand.forward(self.pencil)
        gw, gX = self.cotangents(pairs.w, pairs.X, self.scale)
        return self.contracted(pairs.w, pairs.X, way(self.pencil, pairs, gw, gX), gX)

    def reference(self) -> Array:
        """Bordered LUs, refined, of SciPy's own pairs."""
        pairs = by_hand.sorted_pairs(self.pencil, *self.pencil.plain())
        w, X = pairs.w, pairs.X
        gw, gX = self.cotangents(w, X, self.scale)
        return self.contracted(w, X, by_hand.bordered_lu(self.pencil, pairs, gw, gX, refine=2), gX)

    def dense_reference(self) -> Array:
        """W as a sum over all eigenvectors of a dense solve."""
        pencil = self.pencil
        A, M = pencil.A.toarray(), None if pencil.M is None else pencil.M.toarray()
        if pencil.hermitian:
            w, V = la.eigh(A, M)
            L = V.conj().T
        else:
            w, V = la.eig(A, M)
            L = la.inv(V if M is None else M @ V)
        order = pencil.nearest(w)
        X, w_all, w = V[:, order], w, w[order]
        gw, gX = self.cotangents(w, X, self.scale)
        rhs = by_hand.right_hand_sides(pencil, X, gX)
        W = np.zeros(X.shape, np.result_type(X, w))
        for i, own in enumerate(order):
            gaps = np.conj(w_all - w[i])
            coefficients = np.divide(
                V.conj().T @ rhs[:, i], gaps, out=np.zeros(w_all.size, W.dtype), where=np.arange(w_all.size) != own
            )
            coefficients[own] = gw[i]
            W[:, i] = L.conj().T @ coefficients
            if not pencil.hermitian and pencil.M is None and self.vectors:  # (M xᵢ)ᴴ wᵢ = 0
                y = L[own].conj()
                W[:, i] -= y * (X[:, i].conj() @ W[:, i] - gw[i]) / (X[:, i].conj() @ y)
        return self.contracted(w, X, W, gX)


class Numpy:
    """The array functions of the losses, for autograd and NumPy."""

    sum, abs, real = anp.sum, anp.abs, anp.real

    @staticmethod
    def asarray(x):
        return np.asarray(x)


def error(gradient: Array, reference: Array) -> float:
    return float(np.linalg.norm(np.asarray(gradient) - reference) / np.linalg.norm(reference))


# ---- the problems --------------------------------------------------------------------------------


def problems(n: int, sparse: bool) -> list[Problem]:
    """On grids of n × n points; ``sparse``: with the classes that only the first table has."""
    well = Pencil(models.schroedinger(n), None, 6, True, 0.0)
    flow = Pencil(models.advection_diffusion(n, 20), None, 6, False, 0.0)
    heat = Pencil(*models.finite_elements(n, 6 * n // 10), 6, True, -0.1)
    lattice = Pencil(models.hofstadter(n), None, 6, True, 0.37)
    found = []
    for vectors in (False, True):
        found += [
            Problem("Schrödinger, sigma", well, vectors),
            Problem("Schrödinger, matrix-free", replace(well, sigma=None), vectors),
            Problem("advection-diffusion Pe 20, sigma", flow, vectors),
            Problem("Hofstadter interior, complex, sigma", lattice, vectors),
        ]
        cells = models.elements(n, 6 * n // 10) if sparse else None
        found.append(Problem(f"finite elements{', densities' if sparse else ''}, sigma", heat, vectors, cells))
    return found


def ways(problem: Problem) -> dict[str, Callable]:
    """The ways by hand that fit a problem."""
    pencil = problem.pencil
    if not problem.vectors:
        if pencil.hermitian:
            return {"Hellmann-Feynman": by_hand.hellmann_feynman}
        return {"left eigenvectors by a second ARPACK": by_hand.left_eigenvectors}
    if pencil.sigma is None:
        return {"MINRES for every vector": by_hand.minres}
    return {"bordered LU for every vector": by_hand.bordered_lu, "GMRES with ARPACK's factors": by_hand.gmres}


def against_scipy(n: int, repeat: int) -> None:
    print("| loss of | problem | n | way | gradient's error | time over SciPy's eigs(h) | over ours |")
    print("|---|---|---|---|---|---|---|")
    for problem in problems(n, sparse=True):
        small = next(p for p in problems(12, sparse=True) if (p.name, p.vectors) == (problem.name, problem.vectors))
        assert error(small.reference(), small.dense_reference()) < ACCURACY, problem.name
        reference = problem.reference()
        named = {"krylov_adj": problem.ours}
        named |= {name: partial(problem.hand, way) for name, way in ways(problem).items()}
        errors = [error(function(), reference) for function in named.values()]
        assert errors[0] < ACCURACY, (problem.name, errors)
        plain, *times = median_times([problem.pencil.plain, *named.values()], repeat)
        for name, wrong, seconds in zip(named, errors, times, strict=True):
            print(
                f"| {'eigenvectors' if problem.vectors else 'eigenvalues'} | {problem.name} | {problem.pencil.n} "
                f"| {name} | {wrong:.0e} | {seconds / plain:.2f} | {seconds / times[0]:.2f} |",
                flush=True,
            )


def against_packages(n: int, repeat: int) -> None:
    refusals: dict[tuple[str, str], list[str]] = {}
    print("\n| loss of | problem | n | package | gradient's error | time over SciPy's eigs(h) | over ours |")
    print("|---|---|---|---|---|---|---|")
    for problem in problems(n, sparse=False):
        if problem.name == "Schrödinger, sigma":
            continue  # for a package without shifts the same as the next
        reference = problem.dense_reference()
        ours = error(problem.ours(), reference)
        assert ours < ACCURACY, (problem.name, ours)
        rows, named = [("krylov_adj", f"{ours:.0e}")], [problem.ours]
        for title, peer in PEERS.items():
            try:
                function = peer(problem)
                wrong = error(function(), reference)
            except Exception as failure:
                text = " ".join(str(failure).split())
                refusals.setdefault((title, f"{type(failure).__name__}: {text[:150]}"), []).append(problem.name)
                continue
            rows.append((title, f"{wrong:.0e}"))
            named.append(function)
        plain, *times = median_times([problem.pencil.plain, *named], repeat)
        start = f"| {'eigenvectors' if problem.vectors else 'eigenvalues'} | {problem.name} | {problem.pencil.n} |"
        for (title, wrong), seconds in zip(rows, times, strict=True):
            print(f"{start} {title} | {wrong} | {seconds / plain:.2f} | {seconds / times[0]:.2f} |", flush=True)
    print("\nNot there:\n")
    for (title, said), names in refusals.items():
        print(f"- {title}, {'; '.join(dict.fromkeys(names))}: {said}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small sizes, for a quick look")
    parser.add_argument("--points", type=int, default=100, help="of the first table's grids along an axis")
    parser.add_argument("--table", choices=("scipy", "packages"), help="only this one")
    options = parser.parse_args(arguments)
    if options.table != "packages":
        against_scipy(16 if options.small else options.points, 1 if options.small else 3)
    if options.table != "scipy":
        against_packages(9 if options.small else 20, 1 if options.small else 3)


if __name__ == "__main__":
    main()
