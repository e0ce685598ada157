"""Functions of a whole cluster and their derivatives, by contour integrals that know no gap inside of it.

For a circle around the cluster alone, and R(z) = (zM − A)⁻¹,

    ρ[F] = (1/2πi) ∮ F(z) R(z) dz     is   Σ F(w_i) x_i y_iᴴ   over its members, y_iᴴ M x_j = δ_ij,

whether they coincide or not. On A(p) = A + Σ p_q B_q, M(p) = M + Σ p_q N_q, with G_q = B_q − z N_q,

    R_q = R G_q R,       R_qd = R G_q R G_d R + R G_d R G_q R,

and S[F] = Σ F(w_i) has S_q[F] = (1/2πi) ∮ F′ tr(G_q R) dz, S_qd[F] = (1/2πi) ∮ F′ tr(G_q R G_d R) dz.
The trapezoid rule in N points is exact to (inner/r)^N + (r/outer)^N: the distance to the rest of the
spectrum is all that counts. Nothing here imports the package, or computes an eigenvector.
"""

from dataclasses import dataclass

import numpy as np
from closed_forms import EPS

Array = np.ndarray

#: A circle nearer to the cluster than a quarter of the way to the rest would lose digits of R.
QUARTER = 0.25
POINTS = (24, 400)


def circle(inside, outside):
    """Nodes z and weights dz / (2πi) of a circle around the eigenvalues ``inside`` alone."""
    inside = np.asarray(inside, complex)
    centre = 0.5 * (inside[np.argmin(inside.real)] + inside[np.argmax(inside.real)])
    inner = float(np.abs(inside - centre).max())
    outer = float(np.min(np.abs(np.asarray(outside) - centre), initial=np.inf))
    outer = max(1.0, 8 * inner) if np.isinf(outer) else outer  # there is no rest
    if not inner < 0.8 * outer:
        raise ValueError(f"no circle holds the cluster alone: it reaches {inner:.1e}, the rest is {outer:.1e} away")
    radius = max(QUARTER * outer, np.sqrt(inner * outer))
    rate = max(inner / radius, radius / outer)
    count = int(np.clip(np.ceil(np.log(EPS) / np.log(rate)) + 4, *POINTS))
    step = radius * np.exp(2j * np.pi * (np.arange(count) + 0.5) / count)
    return centre + step, step / count


@dataclass(frozen=True)
class Jet:
    """A value, its derivatives in every p_q, and the derivatives of those in one direction d."""

    value: Array
    first: Array  # (q, …)
    second: Array  # (q, …)
    along: Array  # Σ d_q first_q

    def map(self, linear):
        """The jet of a linear function of this one."""
        return Jet(*(linear(part) for part in (self.value, self.first, self.second, self.along)))

    def apply(self, f0, f1, f2):
        """The jet of f(x), entry by entry, from f, f′ and f″ at the value."""
        return Jet(f0, f1 * self.first, f2 * self.along * self.first + f1 * self.second, f1 * self.along)

    def __add__(self, other):
        return Jet(
            self.value + other.value, self.first + other.first, self.second + other.second, self.along + other.along
        )


class Cluster:
    """The cluster of the pencil A + Σ p_q dA_q, M + Σ p_q dM_q inside of a circle, with a direction d of the p.

    ``inside`` and ``outside`` are its eigenvalues and the others: where to draw the circle, no more.
    """

    def __init__(self, A, M, dA, dM, inside, outside, d):
        self.z, self.weights = circle(inside, outside)
        n = len(A)
        z = self.z[:, None, None]
        self.M, self.dM = (np.eye(n), [np.zeros((n, n))] * len(dA)) if M is None else (M, dM)
        self.d, self.moving = np.asarray(d), M is not None
        self.R = np.linalg.inv(z * self.M - A)  # (N, n, n)
        self.T = [(B - z * C if self.moving else B) @ self.R for B, C in zip(dA, self.dM, strict=True)]
        self.T_d = sum(c * T for c, T in zip(self.d, self.T, strict=True))

    def density(self, F):
        """ρ[F]: n × n; F is given as a function of z."""
        weights = self.weights * F(self.z)
        integral = lambda S: np.tensordot(weights, S, (0, 0))  # noqa: E731
        S_d = self.R @ self.T_d
        first, second = [], []
        for T in self.T:
            S = self.R @ T
            first.append(integral(S))
            second.append(integral(S @ self.T_d + S_d @ T))
        return Jet(integral(self.R), np.array(first), np.array(second), integral(S_d))

    def projector(self):
        """The spectral projector ρ[1] M."""
        rho = self.density(np.ones_like)
        N_d = sum(c * N for c, N in zip(self.d, self.dM, strict=True))
        first = np.array([S @ self.M + rho.value @ N for S, N in zip(rho.first, self.dM, strict=True)])
        second = np.array(
            [S2 @ self.M + S1 @ N_d + rho.along @ N
             for S1, S2, N in zip(rho.first, rho.second, self.dM, strict=True)]
        )  # fmt: skip
        return Jet(rho.value @ self.M, first, second, rho.along @ self.M + rho.value @ N_d)

    def orthogonal_projector(self):
        """The orthogonal one onto the span of the members: P (1 + Π − Πᴴ) = Π (Kerzman & Stein 1978)."""
        spectral = self.projector()
        H = lambda S: np.conj(np.swapaxes(S, -1, -2))  # noqa: E731
        skew = spectral.map(lambda S: S - H(S))
        K = np.linalg.inv(np.eye(len(spectral.value)) + skew.value)
        P = spectral.value @ K
        first = (spectral.first - P @ skew.first) @ K
        along = (spectral.along - P @ skew.along) @ K
        second = (spectral.second - first @ skew.along - along @ skew.first - P @ skew.second) @ K
        return Jet(P, first, second, along)

    def sum_of(self, F, dF):
        """S[F] = Σ F(w_i), a number; F and F′ are given."""
        weights = self.weights * dF(self.z)
        inner = np.einsum("zij,ji->z", self.R, self.M)
        first = np.array([weights @ np.trace(T, axis1=1, axis2=2) for T in self.T])
        second = np.array([weights @ np.einsum("zij,zji->z", T, self.T_d) for T in self.T])
        return Jet(np.sum(self.weights * F(self.z) * inner), first, second, self.d @ first)
