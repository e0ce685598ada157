"""First derivatives of functions of a whole cluster: right, or said, at every gap and in every class.

A projector or another symmetric function is carried by (w, X) at every gap. Σ F(wᵢ) xᵢᴴWxᵢ is not: its couplings are of
the order of the gap, and rounding takes them. References are contour integrals around the cluster, which know no gap.
"""

import warnings
from dataclasses import replace

import autograd.numpy as np
import numpy as onp
import pytest
from asking import ask, ask_triplets
from autograd import grad, make_jvp
from closed_forms import general_system, hermitian_system, unitary
from contours import Cluster
from whole_clusters import OfCluster

import krylov_adj as ka

GAPS = (0.0, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2)
KINDS = ("real", "complex", "pencil", "complex pencil", "lanczos", "eigs real", "eigs complex", "svds")
#: Errors past the first have to be said; of errors below the second nothing need be.
WRONG, RIGHT = 1e-4, 1e-6
#: Gaps up to which rounding leaves errors of 1e-6, more or less, of what is divided by them.
BLURRED = 1e-10
SIZE = 2


def problem(kind, loss_kind, gap, mode, seed=0):
    """gradient() and the reference, of a cluster of two with the given gap."""
    rng = onp.random.default_rng([seed, KINDS.index(kind)])
    is_complex, n = "complex" in kind, 210 if kind == "lanczos" else 16
    top = 3.0 + gap * onp.arange(SIZE)
    d = onp.array([0.8, -0.6])
    if kind == "svds":
        rows = 9
        sigma = onp.r_[top, onp.linspace(0.2, 1.0, n - rows - SIZE)]
        U, V = unitary(rng, rows, True)[:, : n - rows], unitary(rng, n - rows, True)
        A = (U * sigma) @ V.conj().T
        dA = [rng.normal(size=A.shape) + 1j * rng.normal(size=A.shape) for _ in range(2)]

        def block(B):
            return onp.block([[onp.zeros((rows, rows)), B], [B.conj().T, onp.zeros((n - rows, n - rows))]])

        loss = replace(weighted(rng, n, loss_kind, top[0], True, False), triplets=True)
        outside = onp.r_[sigma[SIZE:], -sigma, 0.0]
        cluster = Cluster(block(A), None, [block(B) for B in dA], [], top, outside, d)
        gradient = ask_triplets(A, dA, onp.arange(SIZE), sigma, loss, form="dense", mode=mode, direction=d)
        return gradient, loss.jet(cluster).first
    if "eigs" in kind:
        system = general_system(rng, n, top, is_real=not is_complex, condition=10.0)
        call = {"which": "LR", "ncv": n - 2}
    else:
        system = hermitian_system(rng, n, top, is_complex, condition=10.0 if "pencil" in kind else None)
        call = {"sigma": 3.4, "which": "LM"} if kind == "lanczos" else {"which": "LA", "ncv": n - 2}
    system = replace(system, dA=system.dA[:2], dM=system.dM[:2])
    loss = weighted(rng, n, loss_kind, system.w[0], is_complex, "eigs" in kind)
    cluster = Cluster(system.A, system.M, system.dA, system.dM, system.w[:SIZE], system.w[SIZE:], d)
    gradient = ask(system, onp.arange(SIZE), loss, mode=mode, direction=d, left=loss.kind == "left", **call)
    return gradient, loss.jet(cluster).first


def weighted(rng, n, kind, centre, is_complex, oblique):
    W = rng.normal(size=(n, n)) + (1j * rng.normal(size=(n, n)) if is_complex or oblique else 0)
    W = W / n**0.5 if kind == "left" else (W + W.conj().T) / n**0.5
    return OfCluster(kind, W, SIZE, 0.8, centre, 1.0, oblique)


def gaps_of(kind):
    """All gaps, but where every one takes seconds."""
    return GAPS[::3] if kind == "lanczos" else GAPS


def outcome(kind, loss_kind, gap, mode):
    """The relative error, and what was said."""
    gradient, reference = problem(kind, loss_kind, gap, mode)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = onp.asarray(gradient())
    return float(onp.linalg.norm(value - reference) / onp.linalg.norm(reference)), [str(c.message) for c in caught]


@pytest.mark.parametrize("kind", KINDS)
def test_a_function_that_pairs_do_not_carry_is_right_or_said(kind):
    """Σ F(wᵢ) xᵢᴴWxᵢ, and of eigs Σ F(wᵢ) yᵢᴴWxᵢ."""
    loss = "left" if "eigs" in kind else "heat"
    wrong = 0
    for gap in gaps_of(kind):
        error, said = outcome(kind, loss, gap, "reverse")
        wrong += error > WRONG
        assert said or error <= WRONG, (gap, error)
        assert not said or gap <= BLURRED, (gap, error, said)
        assert not any("There it has no gradient" in text for text in said)
        if error > WRONG:  # and what does today is named
            assert any("mean" in text and "projector" in text for text in said), (gap, said)
    assert wrong >= 1 + (kind != "lanczos")  # at the smallest gaps there is something to be said


@pytest.mark.parametrize("loss", ["projector", "squares"])
@pytest.mark.parametrize("kind", KINDS)
def test_symmetric_functions_are_right_and_nothing_is_said(kind, loss):
    for gap in gaps_of(kind):
        error, said = outcome(kind, loss, gap, "reverse")
        assert error < RIGHT, (gap, error)
        assert not said, (gap, said)


@pytest.mark.parametrize("kind", KINDS)
def test_forward_mode_says_what_the_motion_of_the_vectors_hides(kind):
    """A loss of the span does not feel that vectors move by 1/gap, but for its rounding."""
    for gap in gaps_of(kind):
        error, said = outcome(kind, "projector", gap, "forward")
        assert said or error <= WRONG, (gap, error)
        assert not said or gap <= BLURRED, (gap, error, said)


@pytest.mark.parametrize("gap", [1e-8, 1e-6, 1e-3])
@pytest.mark.parametrize("is_complex", [False, True])
def test_a_tangent_is_the_motion_of_the_vectors(is_complex, gap):
    """With 1/gap in it: |⟨xⱼ, dxᵢ⟩| = |xⱼᴴ dA xᵢ| / gap, without a word while it has its digits."""
    rng = onp.random.default_rng(3)
    system = hermitian_system(rng, 14, [3.0, 3.0 + gap], is_complex)
    A, dA = system.A, system.dA[0]
    (_, X), (_, dX) = make_jvp(lambda t: _pairs(A + t * dA))(0.0)(1.0)
    coupling = X.conj().T @ dA @ X
    onp.testing.assert_allclose(abs(X.conj().T @ dX)[0, 1], abs(coupling[0, 1]) / gap, rtol=1e-13 / gap + 1e-8)


def _pairs(A):
    from autograd.builtins import tuple as boxed

    return boxed(ka.eigsh(A, k=2, which="LA", v0=onp.ones(14, A.dtype), ncv=12))


@pytest.mark.parametrize(("gap", "said"), [(1e-13, True), (1e-12, True), (1e-8, False), (1e-4, False)])
def test_the_limit_of_daleckii_and_krein(gap, said):
    """2.0301554 as the gap goes to zero."""
    B = onp.ones((6, 6)) + onp.diag(onp.arange(6.0))
    W = onp.cos(onp.outer(onp.arange(6.0), onp.arange(6.0)))
    A = onp.diag([1.0, 1.0 + gap, 2.0, 3.0, 4.0, 5.0])

    def f(t):
        w, X = ka.eigsh(A + t * B, k=2, which="SA", v0=onp.arange(1.0, 7.0))
        return np.sum(w * np.sum(X * np.dot(W, X), axis=0))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        g = grad(f)(0.0)
    assert bool(caught) == said
    if not said:
        onp.testing.assert_allclose(g, 2.0301554, rtol=1e-6 + gap * 10)
