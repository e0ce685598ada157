"""Stiff pencils by finite differences, and their eigenpairs in extended precision."""

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

LONG = {"f": np.longdouble, "c": np.clongdouble}


def differences(n, twist=0.0):
    """First and second differences of n inner points of (0, 1), clamped: (n + 1, n), (n + 2, n); the walls by halves.

    ``twist`` is the phase from point to point of a complex Hermitian pencil.
    """
    phase = np.exp(1j * twist) if twist else 1.0
    first = sp.diags_array([np.ones(n), np.full(n, -phase)], offsets=[0, -1], shape=(n + 1, n)) * (n + 1)
    ones = np.ones(n)
    second = sp.diags_array(
        [ones * np.conj(phase), -2 * ones, ones * phase], offsets=[0, -1, -2], shape=(n + 2, n)
    ).tolil()
    second[0, 0], second[n + 1, n - 1] = 2 * np.conj(phase), 2 * phase  # half a cell each: their energy counts half
    return first.tocsr(), (second * (n + 1) ** 2).tocsr()


def beam(n, stiffness=None, load=None, twist=0.0):
    """K = δ² c δ² and M = δ p δ: the clamped beam's buckling loads λ, 4π² for c = p = 1."""
    first, second = differences(n, twist)
    stiffness = np.ones(n + 2) if stiffness is None else stiffness
    stiffness = np.r_[0.5, np.ones(n), 0.5] * stiffness
    load = np.ones(n + 1) if load is None else load
    K = second.conj().T @ sp.diags_array([stiffness], offsets=[0]) @ second
    return hermitian(K), hermitian(first.conj().T @ sp.diags_array([load], offsets=[0]) @ first)


def orr_sommerfeld(n, Re=5772.22, alpha=1.02056):
    """Re ↦ A and the constant B of plane Poiseuille flow: A v = c B v, with B = δ² − α²; and dA/d(1/Re)."""
    h = 2 / (n + 1)
    y = -1 + h * np.arange(1, n + 1)
    ones = np.ones(n)
    eye = sp.identity(n, format="csr")
    second = sp.diags_array([ones[1:], -2 * ones, ones[1:]], offsets=[-1, 0, 1]).tocsr() / h**2
    fourth = sp.diags_array([ones[2:], -4 * ones[1:], 6 * ones, -4 * ones[1:], ones[2:]], offsets=[-2, -1, 0, 1, 2])
    fourth = fourth.tolil()
    fourth[0, 0] = fourth[n - 1, n - 1] = 7
    B = (second - alpha**2 * eye).astype(complex)
    viscous = (fourth.tocsr() / h**4 - 2 * alpha**2 * second + alpha**4 * eye) / (1j * alpha)
    return (sp.diags_array([1 - y**2], offsets=[0]) @ B + 2 * eye + viscous / Re).tocsr(), B.tocsr(), viscous.tocsr()


def hermitian(A):
    return (0.5 * (A + A.conj().T)).tocsr()


def in_long_double(A):
    """x ↦ A x of a banded matrix, entries as they are, products and sums in extended precision."""
    A = sp.dia_array(A)
    bands = [(int(offset), data.astype(LONG[A.dtype.kind])) for offset, data in zip(A.offsets, A.data, strict=True)]
    n = A.shape[0]

    def apply(x):
        result = np.zeros(n, np.result_type(x, *(data for _, data in bands)))
        for offset, data in bands:
            low, high = max(0, offset), n + min(0, offset)
            result[low - offset : high - offset] += data[low:high] * x[low:high]
        return result

    return apply


def refined(A, B, w, x, steps=10):
    """The pair of A x = w B x next to the given one, by Newton's method with residuals in extended precision."""
    long = LONG["c" if any(np.iscomplexobj(v) for v in (A, B, w, x)) else "f"]
    plain = np.dtype(complex if long is np.clongdouble else float)
    apply_A, apply_B = in_long_double(A), in_long_double(B)
    lu = spla.splu((A - plain.type(w * (1 + 1e-7)) * B).astype(plain).tocsc())
    c = (x / np.linalg.norm(x)).astype(plain)  # cᴴ x = 1
    x, w = c.astype(long), long(w)
    for _ in range(steps):
        # (A − wB) d − δ B x = −r with cᴴ d = 0, δ the change of w; A − wB but for 1e-7 of w.
        Bx = apply_B(x)
        r = apply_A(x) - w * Bx
        d, e = (lu.solve(np.asarray(v, plain)) for v in (r, Bx))
        change = np.vdot(c, d) / np.vdot(c, e)
        x, w = x + (change * e - d), w + change
    rounding = np.finfo(long).eps * abs(A).max() * np.linalg.norm(c) / np.linalg.norm(np.asarray(Bx, plain))
    assert abs(change) < 10 * rounding
    return w, x


def hellmann_feynman(A, B, dA, w, x):
    """dw for dA, by the pair and its left eigenvector in extended precision."""
    w, x = refined(A, B, w, x)
    _, y = refined(A.conj().T.tocsr(), B.conj().T.tocsr(), np.conj(w), x if _same(A) else _left_start(A, B, w, x))
    return complex(np.vdot(y, in_long_double(dA)(x)) / np.vdot(y, in_long_double(B)(x))), complex(w)


def _same(A):
    return abs(A - A.conj().T).max() == 0


def _left_start(A, B, w, x):
    """A left eigenvector to a few digits, by inverse iteration."""
    lu = spla.splu((A - complex(w) * (1 + 1e-7) * B).tocsc())
    y = np.ones(len(x), complex)
    for _ in range(3):
        y = lu.solve(B.conj().T @ y, "H")
        y = y / np.linalg.norm(y)
    return y


def by_slopes(n, direction, site):
    """λ, dλ and d Σ site x² of the lowest mode of `beam(n)` for stiffness 1 + t · direction, xᴴMx = 1.

    In the slopes y = G x, Σ y = 0, of M = GᵀG: a second-order problem, whose condition is the root of the beam's.
    """
    h, m = 1 / (n + 1), n + 1
    inner = sp.diags_array([np.ones(n), -np.ones(n)], offsets=[1, 0], shape=(n, m))
    walls = [sp.csr_array(([2.0], ([0], [j])), shape=(1, m)) for j in (0, n)]
    curvature = (sp.vstack([walls[0], inner, walls[1]]) / h).tocsr()
    weight = np.r_[0.5, np.ones(n), 0.5]
    T = curvature.T @ sp.diags_array([weight], offsets=[0]) @ curvature
    one = np.ones((m, 1))
    solve = spla.splu(sp.block_array([[T, one], [one.T, None]], format="csc")).solve
    Y = np.random.default_rng(0).standard_normal((m, 4))
    for _ in range(40):
        Y = np.linalg.qr(solve(np.concatenate([Y, np.zeros((1, 4))]))[:m])[0]
    small = (curvature @ Y).T @ (weight[:, None] * (curvature @ Y))
    values, V = np.linalg.eigh(small)
    w, y = values[0], Y @ V[:, 0]
    dw = np.sum(weight * direction * (curvature @ y) ** 2)
    rhs = dw * y - curvature.T @ (weight * direction * (curvature @ y))
    eye = sp.identity(m)
    border = sp.csc_array(np.stack([one[:, 0], y], axis=1))
    dy = spla.splu(sp.block_array([[T - w * eye, border], [border.T, None]], format="csc")).solve(np.r_[rhs, 0, 0])[:m]
    x, dx = h * np.cumsum(y)[:-1], h * np.cumsum(dy)[:-1]
    return w, dw, 2 * np.sum(site * x * dx)
