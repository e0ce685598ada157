"""What the derivative of singular values and vectors costs, relative to SciPy's forward solve.

    python benchmarks/singular_values.py

For each matrix: a loss of all k triplets, both sides' vectors, ARPACK at tol = 0, adjoint residual 1e-10. Counts are
applications of A or of its adjoint to one vector. "plain" is MINRES on [[0, A], [Aᴴ, 0]] as it comes, through a
preconditioner that does nothing; "adjoint" is the default. Every row checks its derivative in one direction against
the differences of solving again, and fails past 1e-6.
"""

from __future__ import annotations

import autograd.numpy as anp
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from autograd import grad

import krylov_adj as ka


class Counted(spla.LinearOperator):
    """A matrix that counts what it is applied to."""

    def __init__(self, matrix: sp.csr_array):
        super().__init__(matrix.dtype, matrix.shape)
        self.matrix, self.adjoint_matrix, self.count = matrix, matrix.conj().T.tocsr(), 0

    def _apply(self, matrix: sp.csr_array, X: np.ndarray) -> np.ndarray:
        self.count += 1 if X.ndim == 1 else X.shape[1]
        return matrix @ X

    def _matvec(self, x):
        return self._apply(self.matrix, x)

    def _rmatvec(self, x):
        return self._apply(self.adjoint_matrix, x)

    _matmat, _rmatmat = _matvec, _rmatvec


def decaying(m: int, n: int, rng: np.random.Generator) -> sp.csr_array:
    """Random entries, columns of decreasing size."""
    A = sp.csr_array(sp.random(m, n, density=10 / n, random_state=rng))
    return sp.csr_array(A @ sp.diags(np.arange(1.0, n + 1) ** -0.4))


def gradient(side: int, rng: np.random.Generator) -> sp.csr_array:
    """Weighted differences along the edges of a square grid."""
    D, eye = sp.diags([-1.0, 1.0], [0, 1], shape=(side, side)), sp.identity(side)
    G = sp.vstack([sp.kron(D, eye), sp.kron(eye, D)])
    return sp.csr_array(sp.diags(1 + 0.5 * rng.random(G.shape[0])) @ G)


def low_rank(m: int, n: int, rng: np.random.Generator) -> sp.csr_array:
    """Twenty strong components and noise."""
    signal = (rng.standard_normal((m, 20)) * np.linspace(0.6, 0.1, 20)) @ rng.standard_normal((20, n))
    return sp.csr_array(signal + 0.3 * rng.standard_normal((m, n)))


def row(name: str, A: sp.csr_array, k: int) -> None:
    m, n = A.shape
    rng = np.random.default_rng(1)
    v0, left, right = rng.standard_normal(min(m, n)), rng.standard_normal(m), rng.standard_normal(n)
    change, weights = np.cos(np.arange(A.nnz)), np.arange(1.0, k + 1)

    def f(p, **options):
        operator = ka.csr_array((A.data * (1 + p * change), A.indices, A.indptr), A.shape)
        u, s, vh = ka.svds(operator, k=k, v0=v0, adjoint=ka.Adjoint(**options))
        return anp.sum(s) + anp.sum(weights * (anp.dot(left, u**2) + anp.dot(vh**2, right)))

    counted = Counted(A)
    spla.svds(counted, k=k, v0=v0)
    counts, slopes = [], []
    for extra in ({}, {"method": "minres", "preconditioner": lambda V: V}):
        reports: list[ka.Report] = []
        slopes.append(grad(f)(0.0, callback=reports.append, **extra))
        counts.append(reports[-1].applications)
    h = 1e-5
    fine, coarse = ((f(step) - f(-step)) / (2 * step) for step in (h, 2 * h))
    expected = fine + (fine - coarse) / 3
    error = max(abs(slope / expected - 1) for slope in slopes)
    assert error < 1e-6, (name, error)
    adjoint, plain = counts
    ratio = adjoint / counted.count
    print(f"{name:24} {m:6} x {n:<6} {k:2} {counted.count:8} {adjoint:8} {plain:8} {ratio:9.2f} {error:9.0e}")


def main() -> None:
    rng = np.random.default_rng(0)
    print("matrix                     shape         k  forward  adjoint    plain   adj/fwd     error")
    row("decaying columns", decaying(20000, 12000, rng), 6)
    row("the same, transposed", sp.csr_array(decaying(20000, 12000, rng).T), 6)
    row("differences on a grid", gradient(60, rng), 6)
    row("low rank plus noise", low_rank(1500, 1000, rng), 10)


if __name__ == "__main__":
    main()
