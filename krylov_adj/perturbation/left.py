"""Left eigenvectors Y with Yᴴ B X = I, from right ones: the block-bordered systems for F = 0, G = I (`block.py`)."""

from __future__ import annotations

import numpy as np

from .bordered import BorderedSystems

Array = np.ndarray


def left_vectors(systems: BorderedSystems) -> Array:
    """Y (n, k) with (B X)ᴴ Y = I; of a complex pair of a real pencil one system serves both.

    Raises
    ------
    AdjointNoConvergence, DefectiveEigenvalueError
    """
    systems.check_not_defective()
    w, X, k = systems.w, systems.X, systems.w.size
    partner = np.arange(k)
    if systems.real_pencil:
        for j in range(k):
            for i in range(j):
                if w[i] == w[j].conj() and np.array_equal(X[:, i], X[:, j].conj()):
                    partner[j] = i
    own = partner == np.arange(k)
    with systems.lock:
        Y = systems.left_vectors(own, again=True).copy()
    Y[:, ~own] = Y[:, partner[~own]].conj()
    return Y
