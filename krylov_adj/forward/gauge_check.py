"""Does a loss depend on what an invariant subspace leaves arbitrary? By evaluating it in other bases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..krylov import small
from ..krylov.precision import Precision
from ..krylov.space import WHOLE

__all__ = ["GaugeDependence", "gauge_dependence"]

Array = np.ndarray


class GaugeDependence(NamedTuple):
    """The changes of a loss, relative to its size.

    Attributes
    ----------
    phase : float
        With the phases of the eigenvectors in the subspace; signs where X is real.
    cluster : float
        With a rotation of eigenvectors whose eigenvalues coincide. Zero where none do.
    basis : float
        With a unitary change of basis, X Q and QᴴH Q; also of an H with a part added that is a tenth as large.
    """

    phase: float
    cluster: float
    basis: float


def gauge_dependence(loss: Callable[[Array, Array], Any], X: Array, H: Array, rng: Any = None) -> GaugeDependence:
    """Measure how much a loss of plain X (n, k) and H (k, k) depends on the basis; see `krylov_adj.check_gauge`.

    Raises
    ------
    ValueError
        Shapes that do not fit, or a loss that is not one real number.
    """
    if X.ndim != 2 or H.shape != (X.shape[1],) * 2:
        raise ValueError(f"expected X of shape (n, k) and H of shape (k, k), got {X.shape} and {H.shape}")
    rng, k = np.random.default_rng(0 if rng is None else rng), X.shape[1]
    is_complex = np.iscomplexobj(X) or np.iscomplexobj(H)
    f = _value(loss, X, H)

    def change(Q: np.ndarray, H: np.ndarray, f: float) -> float:
        changed = _value(loss, X @ Q, Q.conj().T @ H @ Q)
        size = max(abs(f), abs(changed))
        return abs(changed - f) / size if size > 0 else 0.0

    V, groups = _eigenbasis(H)
    phases = np.exp(2j * np.pi * rng.random(k)) if is_complex else np.where(np.arange(k) % 2, 1.0, -1.0)
    inside = np.eye(k, dtype=complex if is_complex else float)
    for group in groups:
        inside[np.ix_(group, group)] = _unitary(rng, len(group), is_complex)
    Q, E = _unitary(rng, k, is_complex), _unitary(rng, k, is_complex)
    other = H + 0.1 * max(small.norm(H), 1e-3 * small.norm(X)) * (E + E.conj().T)
    basis = max(change(Q, H, f), change(Q, other, _value(loss, X, other)))
    return GaugeDependence(change((V * phases) @ V.conj().T, H, f), change(V @ inside @ V.conj().T, H, f), basis)


def _value(loss: Callable[[Any, Any], Any], X: np.ndarray, H: np.ndarray) -> float:
    value = np.asarray(loss(X, H))
    if value.size != 1 or np.iscomplexobj(value) or not np.all(np.isfinite(value)):
        raise ValueError(f"expected one finite real number from the loss, got shape {value.shape}, {value.dtype}")
    return float(value.reshape(()))


def _unitary(rng: np.random.Generator, k: int, is_complex: bool) -> np.ndarray:
    Z = rng.standard_normal((k, k)) + (1j * rng.standard_normal((k, k)) if is_complex else 0)
    return WHOLE.qr(Z)[0]


def _eigenbasis(H: np.ndarray) -> tuple[np.ndarray, list[list[int]]]:
    """Return the eigenvectors of H and groups of coinciding eigenvalues; one group of none unless H is Hermitian."""
    k, precision = len(H), Precision.of(np.result_type(H, np.float32))
    if small.norm(H - H.conj().T) > precision.half * small.norm(H):
        return np.eye(k), []  # vectors that are not orthogonal have no unitary phases of their own
    w, V = small.eigh(WHOLE, 0.5 * (H + H.conj().T))
    starts = np.flatnonzero(np.r_[True, np.diff(w) > precision.tied * np.max(np.abs(w))])
    groups = [list(range(a, b)) for a, b in zip(starts, np.r_[starts[1:], k], strict=True)]
    return V, [group for group in groups if len(group) > 1]
