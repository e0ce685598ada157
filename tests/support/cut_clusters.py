"""Problems of every class in which k cuts a cluster, or takes the whole of it: for any n, from a seed."""

from dataclasses import dataclass
from typing import Any

import autograd.numpy as np
import numpy as onp
import scipy.linalg as la

import krylov_adj as ka

CLASSES = (
    "eigsh", "eigsh sigma", "eigsh M", "eigsh M sigma", "eigsh SM", "eigsh BE", "eigsh buckling", "eigsh cayley",
    "eigs", "eigs sigma", "eigs M", "eigs M sigma", "eigs complex sigma", "attach", "attach sigma", "svds",
)  # fmt: skip
FORMS = ("dense", "algebra", "closure")

#: The value of the cluster, and of a simple eigenvalue that is more wanted.
CLUSTER, SIMPLE = 3.0, 4.0


class Missed(Exception):
    """ARPACK returned other eigenvalues, having missed a copy: from another start vector it may not."""


@dataclass(frozen=True)
class Cut:
    """``before`` simple eigenvalues and ``taken`` of the ``size`` of a cluster are computed."""

    name: str
    n: int
    seed: int
    is_complex: bool
    form: str
    before: int
    size: int
    taken: int

    @classmethod
    def draw(cls, name: str, n: int, seed: int, complete: bool = False) -> "Cut":
        rng = onp.random.default_rng([CLASSES.index(name), n, seed])
        real = any(word in name for word in ("BE", "buckling", "cayley", "complex sigma"))
        form = FORMS[seed % 3]
        # What is factorised has to be explicit.
        if form == "closure" and (" M" in name or "sigma" in name or "buckling" in name or "cayley" in name):
            form = "algebra"
        before, size = int(rng.integers(0, 2)), int(rng.integers(2, 4)) if n > 4 else 2
        taken = size if complete else int(rng.integers(1, size))
        return cls(name, n, seed, bool(seed % 2) and not real, form, before, size, taken)

    @property
    def k(self) -> int:
        return self.before + self.taken

    @property
    def wanted(self) -> onp.ndarray:
        return onp.r_[SIMPLE * onp.ones(self.before), CLUSTER * onp.ones(self.size)]

    def rng(self, *more: int) -> onp.random.Generator:
        return onp.random.default_rng([CLASSES.index(self.name), self.n, self.seed, *more])

    def gaussian(self, rng: onp.random.Generator, *shape: int) -> onp.ndarray:
        return rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if self.is_complex else 0)

    def operator(self, A: onp.ndarray, B: onp.ndarray, t: Any) -> Any:
        """A + t B."""
        if self.form == "dense":
            return A + t * B
        if self.form == "algebra":
            return ka.aslinearoperator(A) + t * ka.aslinearoperator(B)
        AH, BH = A.conj().T, B.conj().T
        return ka.LinearOperator(
            A.shape,
            lambda v: np.dot(A, v) + t * np.dot(B, v),
            lambda v: np.dot(AH, v) + t * np.dot(BH, v),
            dtype=A.dtype,
        )

    def value(self, t: Any, start: int, options: ka.Adjoint) -> Any:
        """The mean of the computed members of the cluster, from the ``start``-th start vector."""
        rng = self.rng(1)
        if self.name == "svds":
            return self._singular_value(t, rng, start, options)
        hermitian = not self.name.startswith("eigs ") and self.name != "eigs"
        A, M, arguments, target = self._hermitian(rng) if hermitian else self._general(rng)
        B = self.gaussian(rng, self.n, self.n)
        B = B + B.conj().T if hermitian else B
        v0 = self.gaussian(onp.random.default_rng(start), self.n)
        A = self.operator(A, B, t)
        if self.name.startswith("attach"):
            w, X = self.pairs(self.rng(1), start)
            w, _ = ka.attach_eigenpairs(A, w, X, hermitian=True, sigma=arguments.get("sigma"), adjoint=options)
        else:
            count = self.k + arguments.pop("low", 0)
            solver = ka.eigsh if hermitian else ka.eigs
            w, _ = solver(A, k=count, M=M, v0=v0, rng=start, adjoint=options, **arguments)
        return np.real(np.mean(w[self.members(w, target)]))

    def members(self, w: Any, target: complex) -> onp.ndarray:
        """The numbers of the computed members of the cluster."""
        while hasattr(w, "_value"):
            w = w._value
        near = onp.flatnonzero(onp.abs(w - target) < 1e-4)
        if near.size != self.taken:
            raise Missed(w)
        return near

    def _spectrum(self, rng: onp.random.Generator) -> onp.ndarray:
        return onp.r_[self.wanted, rng.uniform(-1.0, 2.5, self.n - self.wanted.size)]

    def _hermitian(self, rng: onp.random.Generator) -> tuple[onp.ndarray, Any, dict[str, Any], float]:
        n, name, spectrum = self.n, self.name, self._spectrum(rng)
        arguments: dict[str, Any] = {"which": "LA"}
        target = CLUSTER
        if name.endswith("sigma"):
            arguments = {"sigma": 4.6}
        elif name.endswith("cayley"):
            arguments = {"sigma": 4.6, "mode": "cayley"}
        elif name.endswith("buckling"):
            arguments, target = {"sigma": 0.2, "mode": "buckling"}, 1 / CLUSTER
        elif name.endswith("SM"):
            signs = onp.where(rng.random(n - self.wanted.size) < 0.5, -1, 1)
            rest = signs * rng.uniform(0.2, 2, n - self.wanted.size)
            spectrum = onp.r_[0.05 * onp.ones(self.before), 0.1 * onp.ones(self.size), rest]
            arguments, target = {"which": "SM", "maxiter": 10**5}, 0.1
        elif name.endswith("BE"):  # SciPy takes one more from the upper end where k is odd
            low = self.k if self.k < 2 else self.k - 1
            low = min(low, n - self.wanted.size - 1)
            rest = rng.uniform(-1.0, 2.5, n - self.wanted.size - low)
            spectrum = onp.r_[self.wanted, -5.0 - onp.arange(low), rest]
            arguments = {"which": "BE", "low": low, "maxiter": 10**5}
        Q = la.qr(self.gaussian(rng, n, n))[0]
        A, M = (Q * spectrum) @ Q.conj().T, None
        if " M" in name or name.endswith(("buckling", "cayley")):
            F = la.qr(self.gaussian(rng, n, n))[0] * onp.geomspace(1, 3, n) @ la.qr(self.gaussian(rng, n, n))[0]
            A, M = F @ A @ F.conj().T, F @ F.conj().T
            M = 0.5 * (M + M.conj().T)
        A = 0.5 * (A + A.conj().T)
        return (M, A, arguments, target) if name.endswith("buckling") else (A, M, arguments, target)

    def _general(self, rng: onp.random.Generator) -> tuple[onp.ndarray, Any, dict[str, Any], complex]:
        n, shift = self.n, 0.7j if self.is_complex else 0.0
        V = la.qr(self.gaussian(rng, n, n))[0] * onp.geomspace(1, 5, n) @ la.qr(self.gaussian(rng, n, n))[0]
        A, M = V @ onp.diag(self._spectrum(rng) + shift) @ la.inv(V), None
        if " M" in self.name:
            F = la.qr(self.gaussian(rng, n, n))[0] * onp.geomspace(1, 3, n)
            M = F @ F.conj().T
            M = 0.5 * (M + M.conj().T)
            A = M @ A
        if self.name.endswith("complex sigma"):
            return A, M, {"sigma": 4.6 + 0.2j}, CLUSTER
        return A, M, {"sigma": 4.6 + shift} if self.name.endswith("sigma") else {"which": "LR"}, CLUSTER + shift

    def pairs(self, rng: onp.random.Generator, start: int) -> tuple[onp.ndarray, onp.ndarray]:
        """Those of `attach`, the cluster's in another basis for every start."""
        A = self._hermitian(rng)[0]
        w, X = la.eigh(A)
        w, X = w[::-1][: self.wanted.size], X[:, ::-1][:, : self.wanted.size].copy()
        basis = la.qr(self.gaussian(onp.random.default_rng(start), self.size, self.size))[0]
        X[:, self.before :] = X[:, self.before :] @ basis
        return w[: self.k], X[:, : self.k]

    def _singular_value(self, t: Any, rng: onp.random.Generator, start: int, options: ka.Adjoint) -> Any:
        m = self.n // 2 + int(rng.integers(0, 2))
        shape = m, self.n - m
        U, V = (la.qr(self.gaussian(rng, size, size))[0][:, : min(shape)] for size in shape)
        s = onp.r_[self.wanted, rng.uniform(0.1, 2.5, min(shape))][: min(shape)]
        A, B = (U * s) @ V.conj().T, self.gaussian(rng, *shape)
        v0 = self.gaussian(onp.random.default_rng(start), min(shape))
        s = ka.svds(self.operator(A, B, t), k=self.k, v0=v0, adjoint=options)[1]
        return np.mean(s[self.members(s, CLUSTER)])
