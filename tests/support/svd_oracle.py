"""Dense reference for derivatives of singular triplets, from *all* singular vectors.

Nothing here imports the package. With A = U S Vᴴ complete (U (m, m), V (n, n)), differentiate
A v = σ u and Aᴴ u = σ v:

    A dv − σ du = dσ u − dA v,      Aᴴ du − σ dv = dσ v − dAᴴ u.

Write du = Σ u_j a_j, dv = Σ v_j b_j and multiply by u_jᴴ and v_jᴴ, with p_j = u_jᴴ dA v, q_j = v_jᴴ dAᴴ u:

    j ≠ i, j < min(m, n):   [ −σ   σ_j ] [ a_j ]   [ −p_j ]
                            [ σ_j  −σ  ] [ b_j ] = [ −q_j ],
    j beyond:               a_j = p_j / σ   (m > n),    b_j = q_j / σ   (n > m),
    j = i:                  dσ = Re p,  a − b = i Im p / σ;  in the gauge Im(uᴴdu + vᴴdv) = 0, and with both of
                            unit norm, a = −b = i Im p / 2σ.
"""

import numpy as np


def full_svd(A):
    """U (m, m), s (min(m, n),), V (n, n), in double precision."""
    A = np.asarray(A)
    U, s, Vh = np.linalg.svd(A.astype(np.complex128 if np.iscomplexobj(A) else np.float64))
    return U, s, Vh.conj().T


def matched(A, u, s, v):
    """The complete decomposition with the given triplets' phases, and their places in it."""
    U, S, V = full_svd(A)
    rank = S.size
    overlap = np.abs(U[:, :rank].conj().T @ u) + np.abs(V[:, :rank].conj().T @ v)
    index = np.argmax(overlap - np.abs(S[:, None] - s) / S.max(), axis=0)
    assert len(set(index)) == len(index)
    assert np.all(overlap[index, np.arange(s.size)] > 1.9)
    for place, i in enumerate(index):
        inner = np.vdot(U[:, i], u[:, place]) + np.vdot(V[:, i], v[:, place])
        U[:, i] = U[:, i] * (inner / abs(inner))
        V[:, i] = V[:, i] * (inner / abs(inner))
    return U, S, V, index


def tangent(A, u, s, v, dA):
    """(du, ds, dv) of given triplets in the direction dA."""
    U, S, V, index = matched(A, u, s, v)
    m, n = np.shape(A)
    common = min(m, n)
    du, ds, dv = [], [], []
    for i in index:
        sigma = S[i]
        p, q = U.conj().T @ (dA @ V[:, i]), V.conj().T @ (dA.conj().T @ U[:, i])
        a, b = np.zeros(m, complex), np.zeros(n, complex)
        for j in range(common):
            if j != i:
                a[j], b[j] = np.linalg.solve([[-sigma, S[j]], [S[j], -sigma]], [-p[j], -q[j]])
        a[common:], b[common:] = p[common:] / sigma, q[common:] / sigma
        a[i] = 1j * p[i].imag / (2 * sigma)
        b[i] = -a[i]
        ds.append(p[i].real)
        du.append(U @ a)
        dv.append(V @ b)
    parts = np.array(du).T, np.array(ds), np.array(dv).T
    return parts if np.iscomplexobj(A) or np.iscomplexobj(dA) else tuple(x.real for x in parts)
