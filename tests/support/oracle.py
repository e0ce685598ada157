"""Dense reference for derivatives of eigenpairs: what every other test is compared against.

Nothing here imports the package. Everything is computed from *all* eigenvectors of a dense
pencil (n up to about 200), in double precision whatever the precision of the input.

Notation, for ``A x = w M x`` (M absent: the identity), with N the matrix that normalises,
``x^H N x = 1``:

    V              all right eigenvectors, A V = M V diag(w)
    L = (M V)^-1   all left eigenvectors in rows: L M V = I, L A V = diag(w)

Differentiate ``A x_i = w_i M x_i`` and write F_i = (dA - w_i dM) x_i:

    (A - w_i M) dx_i = -F_i + dw_i M x_i.

Multiply by row j of L and write dx_i = sum_j v_j c_ji, so that c_ji = L_j M dx_i:

    (w_j - w_i) c_ji = -L_j F_i + dw_i delta_ji
    dw_i = L_i F_i,     c_ji = L_j F_i / (w_i - w_j)   for j != i.

The remaining c_ii follows from x_i^H N x_i = 1, that is 2 Re x_i^H N dx_i = -x_i^H dN x_i, and
from the gauge Im x_i^H N dx_i = 0:

    c_ii = -(1/2) x_i^H dN x_i - sum_{j != i} (x_i^H N v_j) c_ji.

The transpose: put dx_i into Re sum_i (conj(gw_i) dw_i + gX_i^H dx_i), with
h_i = gX_i - N x_i (x_i^H gX_i) and s_i = Re x_i^H gX_i. It is

    Re sum_i [ W_i^H (dA - w_i dM) x_i - (1/2) s_i x_i^H dN x_i ],
    W_i = L^H t_i,   t_ii = gw_i,   t_ji = v_j^H h_i / conj(w_i - w_j)   for j != i.

Eigenvalues are assumed simple. Clusters have tests of their own, with losses that are
functions of the eigenspace.
"""

import numpy as np
import scipy.linalg

NORMALIZATIONS = ("2", "M", "A")


# ---------------------------------------------------------------------------------------------
# Full decompositions


def _double(a):
    """Return `a` as a float64 or complex128 array (None stays None)."""
    if a is None:
        return None
    a = np.asarray(a)
    return a.astype(np.complex128 if np.iscomplexobj(a) else np.float64)


def metric(A, M, normalization):
    """
    Return the matrix N of ``x^H N x = 1``.

    Parameters
    ----------
    A, M : (n, n) array_like
        The pencil; `M` may be None.
    normalization : {"2", "M", "A"}
        Unit 2-norm; normalised with `M`; normalised with `A` (buckling mode).

    Returns
    -------
    N : (n, n) ndarray
    """
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"normalization={normalization!r} is not one of {NORMALIZATIONS}")
    if normalization == "2":
        return np.eye(len(A))
    if M is None:
        raise ValueError(f"normalization={normalization!r} needs M")
    return _double(M if normalization == "M" else A)


def inner_products(X, N, Y):
    """Return the k numbers ``x_i^H N y_i`` for columns of `X` and `Y`, both (n, k)."""
    return np.einsum("ni,ni->i", np.conj(X), N @ Y)


def dense_pairs(A, M=None, *, hermitian, normalization):
    """
    All eigenpairs of a dense pencil.

    Parameters
    ----------
    A, M : (n, n) array_like
        The pencil ``A x = w M x``; `M` may be None. Hermitian problems need `M` Hermitian
        positive definite, or, with ``normalization="A"``, `A` Hermitian positive definite and `M`
        Hermitian.
    hermitian : bool
        Use the Hermitian solvers (ascending real eigenvalues) or the general ones.
    normalization : {"2", "M", "A"}
        See `metric`.

    Returns
    -------
    w : (n,) ndarray
    V : (n, n) ndarray
        Right eigenvectors in columns, ``v^H N v = 1``, real where the solver returns real ones.

    Raises
    ------
    ValueError
        If an eigenvalue is infinite (singular `M`) or N is not positive on an eigenvector.
    """
    A, M = _double(A), _double(M)
    N = metric(A, M, normalization)
    if not hermitian:
        w, V = scipy.linalg.eig(A, M)
    elif normalization == "A":
        # M x = (1/w) A x: the definite matrix of the pencil is A.
        inverse, V = scipy.linalg.eigh(M, A)
        if np.abs(inverse).min() <= 1e-14 * np.abs(inverse).max():
            raise ValueError("M is singular: the pencil has an infinite eigenvalue")
        order = np.argsort(1 / inverse)
        w, V = 1 / inverse[order], V[:, order]
    else:
        w, V = scipy.linalg.eigh(A, M)
    if not np.isfinite(w).all():
        raise ValueError("M is singular: the pencil has an infinite eigenvalue")
    square = inner_products(V, N, V).real
    if not (square > 0).all():
        raise ValueError(f"x^H N x = {square.min():.3g} on an eigenvector: N does not normalise")
    return w, V / np.sqrt(square)


def rotate(X, Xref, N=None):
    """
    Rotate the phase of every column of `X` onto the reference.

    Parameters
    ----------
    X, Xref : (n, k) array_like
        Vectors, matched column by column. Real ones get a sign, complex ones a phase.
    N : (n, n) array_like, optional
        Metric of the inner product. Difference quotients of rotated vectors are in the gauge
        ``Im x^H N dx = 0`` only when the phase is measured with the same N.

    Returns
    -------
    X : (n, k) ndarray
        With ``x_ref^H N x`` real and positive in every column.
    """
    X, Xref = np.asarray(X), np.asarray(Xref)
    overlap = np.einsum("ni,ni->i", np.conj(Xref), X if N is None else N @ X)
    if (overlap == 0).any():
        raise ValueError("a vector is orthogonal to its reference: they are not the same eigenvector")
    return X * np.conj(overlap / np.abs(overlap))


def _matched(A, M, w, X, *, hermitian, normalization, tol=0.05):
    """
    Match given pairs with a full decomposition; phases (and only phases) come from `X`.

    Returns
    -------
    w_all : (n,) ndarray
    V : (n, n) ndarray
        Matched columns are rotated onto `X`, the others are as the solver left them.
    index : (k,) ndarray of int
        ``w_all[index]``, ``V[:, index]`` are the matched pairs.
    """
    w, X = np.atleast_1d(np.asarray(w)), np.asarray(X)
    if X.shape != (len(A), len(w)):
        raise ValueError(f"X has shape {X.shape}, expected {(len(A), len(w))}")
    N = metric(A, M, normalization)
    w_all, V = dense_pairs(A, M, hermitian=hermitian, normalization=normalization)
    unit = V / np.linalg.norm(V, axis=0)
    overlap = np.abs(np.conj(X / np.linalg.norm(X, axis=0)).T @ unit)  # (k, n)
    distance = np.abs(w[:, None] - w_all[None, :]) / np.abs(w_all).max() + 1 - overlap
    index = distance.argmin(axis=1)
    worst = distance[np.arange(len(w)), index].max(initial=0.0)
    if not worst <= tol:
        raise ValueError(f"a given pair is not an eigenpair: distance {worst:.3g} to the nearest")
    if len(set(index)) < len(index):
        raise ValueError(f"two given pairs match the same eigenpair: indices {index.tolist()}")
    rotated = rotate(V[:, index], X, N)
    V = V.astype(np.result_type(V, rotated))
    V[:, index] = rotated
    return w_all, V, index


def reference_pairs(A, M, w, X, *, hermitian, normalization, tol=0.05):
    """
    The pairs of a full decomposition that match given ones, in double precision.

    Matching is by eigenvalue and overlap together, never by position.

    Parameters
    ----------
    A, M : (n, n) array_like
        The pencil; `M` may be None.
    w : (k,) array_like
    X : (n, k) array_like
        Pairs to match: exact ones, single-precision ones, or those of a nearby pencil.
    hermitian, normalization
        As in `dense_pairs`.
    tol : float
        Largest accepted ``|w - w_ref| / max|w_ref| + 1 - |<x, x_ref>|`` (unit 2-norms).

    Returns
    -------
    w_ref : (k,) ndarray
    X_ref : (n, k) ndarray
        Phases as in `X`: ``x^H N x_ref > 0``.
    index : (k,) ndarray of int
        Their place in `dense_pairs`.

    Raises
    ------
    ValueError
        If a given pair matches nothing, or two match the same.
    """
    w_all, V, index = _matched(A, M, w, X, hermitian=hermitian, normalization=normalization, tol=tol)
    return w_all[index], V[:, index], index


# ---------------------------------------------------------------------------------------------
# Derivatives


def tangent(A, M, w, X, dA, dM, *, hermitian, normalization):
    """
    Tangent (dw, dX) of given eigenpairs in a direction (dA, dM).

    Parameters
    ----------
    A, M : (n, n) array_like
        The pencil; `M` may be None.
    w, X : (k,), (n, k) array_like
        Pairs whose phases fix the frame; recomputed in double precision (`reference_pairs`).
    dA, dM : (n, n) array_like or None
        The direction; None is zero.
    hermitian, normalization
        As in `dense_pairs`.

    Returns
    -------
    dw : (k,) ndarray
    dX : (n, k) ndarray
        In the gauge ``Im x_i^H N dx_i = 0``.
    """
    w_all, V, index = _matched(A, M, w, X, hermitian=hermitian, normalization=normalization)
    n, N = len(V), metric(A, M, normalization)
    left = np.linalg.inv(V if M is None else _double(M) @ V)  # rows: left eigenvectors
    dA = np.zeros((n, n)) if dA is None else _double(dA)
    dM = np.zeros((n, n)) if dM is None else _double(dM)
    dN = {"2": np.zeros((n, n)), "M": dM, "A": dA}[normalization]

    dw, dX = [], []
    for i in index:
        x = V[:, i]
        coefficients = left @ ((dA - w_all[i] * dM) @ x)
        dw.append(coefficients[i])
        others = np.arange(n) != i
        outside = V[:, others] @ (coefficients[others] / (w_all[i] - w_all[others]))
        along = -0.5 * np.vdot(x, dN @ x).real - np.vdot(x, N @ outside)
        dX.append(outside + along * x)
    dw = np.array(dw).reshape(len(index))
    return (dw.real if hermitian else dw), np.array(dX).reshape(len(index), n).T


def structured(G, like, *, hermitian):
    """
    The part of a matrix cotangent that structured directions can see.

    ``Re tr(G^H dA)`` for every real (Hermitian) dA determines only the real (Hermitian) part of
    G. Compare gradients after projecting both.

    Parameters
    ----------
    G : (n, n) array_like
        Cotangent.
    like : (n, n) array_like
        The matrix it belongs to; if real, the real part is taken.
    hermitian : bool
        Whether `like` is confined to Hermitian matrices.

    Returns
    -------
    G : (n, n) ndarray
    """
    G = np.asarray(G)
    if hermitian:
        G = 0.5 * (G + G.conj().T)
    return G.real if np.isrealobj(like) else G


def pairing(G, D):
    """Return ``Re tr(G^H D)``, the real inner product of cotangents and tangents."""
    return float(np.real(np.vdot(G, D)))


def cotangent(A, M, w, X, gw, gX, *, hermitian, normalization):
    """
    Cotangents of the pencil from cotangents of eigenpairs.

    Parameters
    ----------
    A, M : (n, n) array_like
        The pencil; `M` may be None.
    w, X : (k,), (n, k) array_like
        Pairs whose phases fix the frame of `gX`; recomputed in double precision.
    gw, gX : (k,), (n, k) array_like or None
        With ``df = Re sum_i (conj(gw_i) dw_i + gX_i^H dx_i)``; None is zero.
    hermitian, normalization
        As in `dense_pairs`.

    Returns
    -------
    Abar, Mbar : (n, n) ndarray
        With ``df = Re tr(Abar^H dA) + Re tr(Mbar^H dM)``, projected on what structured
        directions can see (see `structured`); `Mbar` is None where `M` is.
    """
    w_all, V, index = _matched(A, M, w, X, hermitian=hermitian, normalization=normalization)
    n, k, N = len(V), len(index), metric(A, M, normalization)
    w, X = w_all[index], V[:, index]
    gw = np.zeros(k) if gw is None else _double(gw)
    gX = np.zeros((n, k)) if gX is None else _double(gX)
    if hermitian:
        gw = gw.real

    along = inner_products(X, np.eye(n), gX)  # (k,): x_i^H gX_i
    h = gX - (N @ X) * along
    gaps = np.conj(w[None, :] - w_all[:, None])  # (n, k)
    gaps[index, np.arange(k)] = 1.0
    t = V.conj().T @ h / gaps
    t = t.astype(np.result_type(t, gw))
    t[index, np.arange(k)] = gw
    MV = V if M is None else _double(M) @ V
    W = np.linalg.solve(MV.conj().T, t)  # (n, k): (M V)^-H t

    Abar = W @ X.conj().T
    Mbar = None if M is None else -(W * np.conj(w)) @ X.conj().T
    Nbar = -0.5 * (X * along.real) @ X.conj().T
    if normalization == "A":
        Abar = Abar + Nbar
    elif normalization == "M":
        Mbar = Mbar + Nbar
    Abar = structured(Abar, A, hermitian=hermitian)
    if M is not None:
        Mbar = structured(Mbar, M, hermitian=hermitian or normalization == "M")
    return Abar, Mbar


# ---------------------------------------------------------------------------------------------
# Differences


def difference(f, p, dp, h=0.02, levels=6):
    """
    Directional derivative by Richardson-extrapolated central differences.

    Steps h, h/2, h/4, ... fill Ridders' tableau; the entry with the smallest estimated error is
    returned, so that one call serves any precision: rounding of `f` shows as the error.

    Parameters
    ----------
    f : callable
        Real or complex, scalar or array, function of an array.
    p, dp : array_like
        Point and direction; `f` is called with arrays of the dtype of `p` (integers become float64).
    h : float
        Largest step; `f` is evaluated at ``p +- h dp``.
    levels : int
        Number of steps; `f` is called ``2 * levels`` times.

    Returns
    -------
    value : ndarray or scalar
    error : float
        Estimate of the largest entry of the error.

    References
    ----------
    C. J. F. Ridders, Adv. Eng. Software 4 (1982) 75-76.
    """
    p = np.asarray(p)
    p = p if np.issubdtype(p.dtype, np.inexact) else p.astype(float)
    dp = np.asarray(dp).astype(p.dtype)
    best, error, previous = None, np.inf, []
    for level in range(levels):
        step = h / 2**level
        row = [(np.asarray(f(p + step * dp)) - np.asarray(f(p - step * dp))) / (2 * step)]
        for order, coarse in enumerate(previous, start=1):
            row.append(row[-1] + (row[-1] - coarse) / (4**order - 1))
            estimate = max(np.abs(row[-1] - row[-2]).max(), np.abs(row[-1] - coarse).max())
            if estimate < error:
                best, error = row[-1], float(estimate)
        previous = row
    return best[()], error
