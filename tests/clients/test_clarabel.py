"""Clarabel: an interior-point solver of others, for the generalised gradient of smallest norm."""

import autograd.numpy as np
import numpy as onp
import pytest
import scipy.sparse as sp

import krylov_adj as ka

clarabel = pytest.importorskip("clarabel")

PARAMETERS = 14


def least_norm(rows, m, r):
    """The least ‖Σ Y_ab rows_ab‖ over 0 ⪯ Y ⪯ I, tr Y = r.

    Clarabel has Y's upper triangle by columns, times √2 off the diagonal.
    """
    places = [(a, b) for b in range(m) for a in range(b + 1)]
    R = onp.array([rows[a, b] * (1 if a == b else 2**0.5) for a, b in places])
    q = len(places)
    trace, identity = onp.array([[float(a == b) for a, b in places]]), sp.identity(q)
    A = sp.vstack([sp.csc_matrix(trace), -identity, identity], format="csc")
    b = onp.r_[float(r), onp.zeros(q), trace[0]]
    cones = [clarabel.ZeroConeT(1), clarabel.PSDTriangleConeT(m), clarabel.PSDTriangleConeT(m)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-13
    P = sp.triu(sp.csc_matrix(R @ R.T), format="csc")
    solution = clarabel.DefaultSolver(P, onp.zeros(q), A, b, cones, settings).solve()
    return onp.linalg.norm(R.T @ onp.array(solution.x))


@pytest.mark.parametrize(("m", "r"), [(2, 1), (3, 1), (3, 2), (4, 1), (4, 2)])
def test_the_smallest_element_of_the_generalised_gradient(m, r):
    for seed in range(6):
        rng = onp.random.default_rng(seed)
        S = rng.standard_normal((PARAMETERS, m, m))
        S = 0.5 * (S + S.transpose(0, 2, 1)) + (0.3 * onp.eye(m) if seed % 2 else 0)

        def H(p, S=S):
            return np.eye(m) + np.tensordot(p, S, 1)

        found = ka.cluster_gradient(H, onp.zeros(PARAMETERS)).minimal_norm(r)
        rows = S.transpose(1, 2, 0)
        theirs = least_norm(rows, m, r)
        assert found.norm <= (1 + 1e-8) * theirs
        assert found.norm == pytest.approx(theirs, rel=1e-7)  # what Clarabel leaves where Y is singular
