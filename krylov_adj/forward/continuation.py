"""Start vectors and guesses that one solve leaves for the next one, in loops over parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg as la
from scipy.optimize import linear_sum_assignment

from ..krylov.precision import Precision
from ..krylov.space import Space

__all__ = ["Continuation"]

Array = np.ndarray

#: How many calls' eigenvectors and solutions are kept.
DEPTH = 3

#: The start vector's random part, over the least that lets an eigenvector that is new grow in time.
SAFETY = 10.0

#: Eigenvectors are expected to move up to so many times as far as last time.
FASTEST = 2.0

#: A random part past this, relative to the vectors, and there is nothing in them to start from.
FAR = 0.1


class Continuation:
    """Warm starts for the calls of an optimisation or a parameter sweep.

    Passed as ``eigs(..., continuation=c)`` or ``eigsh(..., continuation=c)``, the same object in every
    call. It keeps plain arrays: the last eigenvectors, and the last solutions of the derivatives'
    systems. Results agree with those of a cold start to the tolerances asked for (``tol``,
    ``Adjoint(rtol=...)``), because nothing is skipped: the solver starts from a better vector, and the
    systems of a derivative are solved for what the kept solutions leave of the right-hand side.

    Attributes
    ----------
    calls : int
        How many calls have had a start vector from here.

    Notes
    -----
    *Where eigenvectors are expected.* From three calls on, as far along their last move as the move before it tells.

    *Hermitian problems.* `eigsh` calls that are traced, or on operators of this package, start without ``sigma``
    from the expected eigenvectors, and put a polynomial filter where it was; with ``sigma`` they start from the best
    approximations that the last three calls' eigenvectors can be combined to (Rayleigh and Ritz: up to 3 k
    applications of A). There, with explicit matrices and no OPinv, they factorise A − σ′M at a shift σ′ among the
    wanted eigenvalues, where those lie on one side of ``sigma``: about half of the solves, forward and backward. The
    eigenvalues are still the k closest to ``sigma``. That these calls prove their results complete makes all of this
    safe.

    *Others with an inverse.* `eigs` calls of the same kinds, with ``sigma`` and without M, run Arnoldi without restarts
    and stop at the step it has converged in, where ARPACK would go on to the end of its cycle: a third of the solves.
    Their results come in the last call's order (the largest overlaps of eigenvectors), not most wanted first, so that
    an eigenvalue keeps its place where it passes another one. With an ``ncv`` or ``maxiter`` of the caller's they are
    ARPACK's.

    All others start from the sum of the expected eigenvectors and a random vector of
    relative size max(δ, 10 (τ √n)^½), δ the sine of the angle by which the eigenvectors may be
    elsewhere, τ ARPACK's tolerance. Without it an eigenvalue could cross into the window unseen,
    its eigenvector of another symmetry than the last ones: with it, that vector has grown to order
    one when the residuals of the others have fallen by the square root of what they have to. Where
    the size is past 0.1 (a loose ``tol``, large steps) the start is cold: the caller's ``v0``, or SciPy's.

    *Solutions.* The guess for R u = b is the combination of the last solutions that leaves the least
    residual; a column that it does not help starts from zero. One application of the operator for
    each vector kept.

    It starts cold, and forgets what it has, where the order or the type of the problem changes. Memory:
    up to 6 k vectors of length n (9 k where forward mode is used, too). One object belongs to one family of
    problems. Threads may share one without harm (what is stored last stays), each is better off
    with its own.

    Derivative
    ----------
    None passes through it: start vectors and guesses are constants.

    References
    ----------
    Fischer, Comput. Methods Appl. Mech. Eng. 163 (1998) 193: guesses from earlier solutions.
    Measured by benchmarks/continuation.py.

    Examples
    --------
    >>> import numpy
    >>> from autograd import grad
    >>> import krylov_adj as ka
    >>> warm = ka.Continuation()
    >>> def ground_state(V):
    ...     H = ka.aslinearoperator(numpy.diag(numpy.full(8, -1.0), 1) + numpy.diag(numpy.full(8, -1.0), -1))
    ...     H = H + ka.coo_array((V, (range(9), range(9))), shape=(9, 9))
    ...     return ka.eigsh(H, k=1, which="SA", continuation=warm)[0][0]
    >>> V = numpy.linspace(0, 1, 9)
    >>> for _ in range(3):
    ...     V = V - 0.1 * grad(ground_state)(V)
    >>> warm.calls
    2
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.calls = 0
        #: k and end of the spectrum, filter, norm, and applications of the call that placed it, see `lanczos`.
        self.placed: tuple[tuple[int, int], Any, float, int] | None = None
        #: k, sigma, and how far the next eigenvalue was from the last call's, see `warm_start`.
        self.gap: tuple[int, float, float] | None = None
        self._vectors: list[Array] = []
        self._solutions: dict[str, Array] = {}

    # ---- eigenvectors ------------------------------------------------------------------------

    def start_vector(self, n: int, dtype: Any, tol: float, otherwise: Any) -> Any:
        """Return v0 for ARPACK, shape (n,), or ``otherwise`` where there is nothing to start from."""
        dtype = np.result_type(dtype, np.float32)
        vectors = self._vectors  # once: another thread may put others in their place
        if not vectors or not _alike(vectors[0], n, dtype):
            return otherwise
        X, moved = expected(vectors)
        eps = max(float(tol), Precision.of(dtype).eps)
        size = max(moved, SAFETY * (eps * n**0.5) ** 0.5)
        if size > FAR:
            return otherwise
        self.calls += 1
        # Both parts of a complex vector of a real problem, of a pair's two members too.
        v = X @ np.exp(1j * np.arange(X.shape[1])) if np.iscomplexobj(X) else X.sum(axis=1)
        v = v if dtype.kind == "c" else v.real
        r = np.random.default_rng(self.calls).standard_normal(n)
        return (v / np.linalg.norm(v) + size * r / np.linalg.norm(r)).astype(dtype)

    def recent(self, n: int, dtype: np.dtype) -> list[Array]:
        """Return the last calls' eigenvectors (n, k), the last call's first; none where they are of another problem."""
        vectors = self._vectors  # once: another thread may put others in their place
        if not vectors or vectors[0].dtype != dtype or vectors[0].shape[0] != n:
            return []
        self.calls += 1
        return vectors

    def in_last_order(self, X: Array, certain: Array, k: int) -> Array | None:
        """Return k columns of X, the ``certain`` ones among them, in the last call's order, by the largest overlaps.

        None after a call of another kind.
        """
        vectors = self._vectors  # once: another thread may put others in their place
        if not vectors or vectors[0].shape != (X.shape[0], k) or X.shape[1] < k:
            return None
        overlaps = np.abs(vectors[0].conj().T @ X) + 2 * k * certain
        return linear_sum_assignment(-overlaps)[1]

    def keep_vectors(self, X: Array) -> None:
        """Keep the eigenvectors (n, k) of a call."""
        alike = [last for last in self._vectors if last.shape == X.shape and last.dtype == X.dtype]
        self._vectors = [X, *alike[: DEPTH - 1]]

    # ---- the derivatives' systems ------------------------------------------------------------

    def initial_guess(
        self,
        space: Space,
        side: str,
        b: Array,
        real: bool,
        project: Callable[[Array], Array],
        images: Callable[[Array], Callable[[int], Array]],
    ) -> tuple[Array, Array]:
        """Return U (n, m) and what it leaves of b (n, m): b_i − R_i u_i.

        ``real``: all R_i are real up to their shifts. ``project`` is onto the space of the solutions;
        ``images(Q)`` gives i ↦ R_i Q.
        """
        U = np.zeros_like(b)
        H = self._solutions.get(side)
        if H is None or H.shape[0] != b.shape[0] or H.dtype != b.dtype:
            self._solutions.pop(side, None)
            return U, b
        H = project(np.concatenate([H.real, H.imag], axis=1) if real and np.iscomplexobj(H) else H)
        Q, R = space.qr(H, pivoting=True)
        size = np.abs(np.diagonal(R))
        Q = Q[:, size > Precision.of(b.dtype).half * size.max(initial=0)]
        if Q.shape[1] == 0:
            return U, b
        image, left = images(Q), b.copy()
        for i in range(b.shape[1]):
            G = image(i)
            c = space.lstsq(G, b[:, i], revealing=True)
            r = b[:, i] - G @ c
            if 0 < space.norm(r) < space.norm(b[:, i]):  # engines take no right-hand side of zero
                U[:, i], left[:, i] = Q @ c, r
        return U, left

    def keep_solutions(self, space: Space, side: str, U: Array) -> None:
        """Keep solutions (n, m)."""
        most = DEPTH * U.shape[1]
        norms = space.norms(U)
        U = U[:, norms > 0] / norms[norms > 0]
        last = self._solutions.get(side)
        if last is not None and last.shape[0] == U.shape[0] and last.dtype == U.dtype:
            U = np.concatenate([U, last], axis=1)
        self._solutions[side] = U[:, :most]


def expected(vectors: list[Array]) -> tuple[Array, float]:
    """Return where eigenvectors are expected after the last calls' (newest first), and how far from there they may be.

    A distance is the sine of the largest angle. X has moved by D, orthogonal to the span of those before, by which its
    last basis does not matter. What moved before that, in the same basis, would best have been taken α times to
    give D; it is D that is taken α times now, and expected to be wrong by the same part of itself.
    """
    X = vectors[0]
    if len(vectors) == 1:
        return X, 0.0
    basis = _coefficients(vectors[1], X)
    D = X - vectors[1] @ basis
    Q, P = (la.qr(V, mode="economic")[0] for V in (vectors[1], X))
    moved = float(np.linalg.norm(P - Q @ (Q.conj().T @ P), 2))
    if len(vectors) == 2:
        return X, moved
    before = (vectors[1] - vectors[2] @ _coefficients(vectors[2], vectors[1])) @ basis
    size, wanted = np.linalg.norm(before), np.linalg.norm(D)
    if not (size > 0 and wanted > 0):
        return X, moved
    alpha = min(max(float(np.real(np.vdot(before, D))) / float(size) ** 2, 0.0), FASTEST)
    wrong = float(np.linalg.norm(D - alpha * before) / wanted)
    return X + X.dtype.type(alpha) * D, moved * min(wrong, 1.0)


def _coefficients(V: Array, X: Array) -> Array:
    """Return C with V C closest to X."""
    return la.lstsq(V, X, lapack_driver="gelsy")[0]


def _alike(X: Array, n: int, dtype: np.dtype) -> bool:
    return X.shape[0] == n and np.finfo(X.dtype).dtype == np.finfo(dtype).dtype
