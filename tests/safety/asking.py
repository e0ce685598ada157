"""What a hard problem is, and how the package is asked for its gradient.

Labels
    right   there is a derivative: the closed form. Nothing to say, but that rounding has taken it, if it has.
    may     likewise, and so ill-conditioned that saying so (``says``) is no fault in any case.
    say     there is none, or an input is broken: an error or a warning that matches ``says``.

What is left out, because no test of the pairs in hand can see it: the sign of real vectors. (Eigenvalues
of a Hermitian cluster that k cuts were left out once: they are drawn now, in every class and at every n.)
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import autograd.numpy as anp
import numpy as np
from autograd import grad, make_hvp, make_jvp
from autograd.tracer import getval, isbox
from closed_forms import (
    AUTOGRAD,
    Weighted,
    gaussian,
    symmetrised,
)
from scipy.optimize import linear_sum_assignment
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence

import krylov_adj as ka

Array = np.ndarray

DEFECTIVE = r"DefectiveEigenvalueError: .*defective.*condition number|DegeneracyWarning: .*condition number"
PHASE = r"GaugeWarning: .*depends on the phase.*canonical_phase"
BASIS = r"GaugeWarning: .*basis chosen inside a degenerate eigenspace"
UNEQUAL = r"DegeneracyWarning: .*eneralised gradient"
CUT = r"AdjointNoConvergence: .*increase k"
NOT_CONVERGED = r"AdjointNoConvergence: .*did not converge"
ROUNDING = r"DegeneracyWarning: .*rounding makes an error of about"
#: What may be said where a derivative exists and rounding has left too little of it.
LOST = r"(DegeneracyWarning|GaugeWarning): "


@dataclass(frozen=True)
class Problem:
    """One hard problem: ``gradient()`` asks the package; ``dense`` is what a peer can be asked.

    ``above``: k cuts a cluster above the orders up to which the dense spectrum is looked at; ``reports``
    are those of the solves. ``neutral`` matches what SciPy says of the call, which is neither right nor wrong.
    """

    gradient: Callable[[], Array]
    label: str = "right"
    reference: Array | None = None
    attainable: float = 0.0
    says: str = ""
    dense: tuple | None = None
    note: str = ""
    above: bool = False
    reports: list = field(default_factory=list)
    neutral: str = ""


class ForwardMissed(Exception):
    """ARPACK returned other eigenvalues than those the label is about: the problem is drawn again."""


# ---- asking the package -----------------------------------------------------------------------


def plain(x):
    while isbox(x):
        x = getval(x)
    return np.asarray(x)


def nothing(w):
    return w


def matched(w, wanted, key=nothing, gap=np.inf):
    """The order in which computed eigenvalues are the wanted ones."""
    distance = np.abs(key(plain(w))[None, :] - key(np.asarray(wanted))[:, None])  # (wanted, computed)
    rows, columns = linear_sum_assignment(distance)
    if distance[rows, columns].max() > 0.3 * gap:
        raise ForwardMissed
    return columns


def assembled(base, directions, p, form):
    terms = [base, *directions[: len(p)]]
    if form == "dense":
        return terms[0] + sum(p[q] * D for q, D in enumerate(terms[1:]))
    if form == "algebra":
        total = ka.aslinearoperator(terms[0])
        for q, D in enumerate(terms[1:]):
            total = total + ka.aslinearoperator(D) * p[q]
        return total

    def matvec(v):
        return anp.dot(terms[0], v) + sum(p[q] * anp.dot(D, v) for q, D in enumerate(terms[1:]))

    return ka.LinearOperator(base.shape, matvec, dtype=base.dtype)


def derivative(f, count, mode="reverse", direction=None, dtype=float):
    """gradient(), or the Hessian times ``direction``, by any mode."""
    p = np.zeros(count, dtype)

    def jvps(g):
        return np.array([make_jvp(g)(p)(e)[1] for e in np.eye(count, dtype=dtype)])

    def along(p):
        return make_jvp(f)(p)(direction)[1]

    def asked():
        if "forward" in mode:
            f(p)  # whether the wanted eigenvalues are found: tangents of others may be refused
        if mode == "reverse":
            return grad(f)(p)
        if mode == "forward":
            return jvps(f)
        if mode == "reverse over reverse":
            return grad(lambda p: anp.dot(grad(f)(p), direction))(p)
        if mode == "hvp":
            return make_hvp(f)(p)[0](direction)
        if mode == "forward over reverse":
            return make_jvp(grad(f))(p)(direction)[1]
        if mode == "reverse over forward":
            return grad(along)(p)
        if mode == "forward over forward":
            return jvps(along)
        raise ValueError(mode)

    return asked


def mode_of(index):
    return "forward" if index % 5 == 4 else "reverse"


def ask(
    system,
    wanted,
    loss,
    *,
    k=None,
    form="dense",
    options=None,
    weight=1.0,
    key=nothing,
    check=None,
    mode="reverse",
    direction=None,
    left=False,
    reports=None,
    **arguments,
):
    """gradient() by eigs or eigsh.

    ``check`` overrides the distance within which pairs must match; ``left``: the loss reads left eigenvectors
    too; ``reports`` is a list for the reports of all solves.
    """
    options = watched(options, reports)
    wanted = np.asarray(wanted)
    solver = ka.eigsh if system.hermitian else ka.eigs
    v0 = np.random.default_rng(7).uniform(0.5, 1.5, system.n).astype(system.A.dtype)
    gap = system.gap(wanted) if check is None else check

    def f(p):
        A = assembled(system.A, system.dA, p, form)
        M = None if system.M is None else assembled(system.M, system.dM, p, "dense" if form == "closure" else form)
        call = {"v0": v0, "adjoint": options, **arguments}
        try:
            w, X = solver(A, k=len(wanted) if k is None else k, M=M, **call)
        except ArpackNoConvergence:
            raise
        except ArpackError as error:  # breakdowns, of what SciPy itself does
            raise ForwardMissed from error
        order = matched(w, system.w[wanted], key, gap)
        w, X = w[order], X[:, order]
        vectors = (X, ka.left_eigenvectors(A, w, X, M=M, adjoint=options)) if left else (X,)
        return weight * loss(AUTOGRAD, w, *vectors)

    return derivative(f, len(system.dA), mode, direction, system.A.real.dtype)


def watched(options, reports):
    """The options, with a callback that keeps all reports."""
    if reports is None:
        return options
    return replace(ka.Adjoint() if options is None else options, callback=reports.append)


def ask_triplets(
    A, dA, wanted, sigma, loss, *, k=None, form="dense", options=None, check=None, mode="reverse", direction=None,
    reports=None, **arguments,
):  # fmt: skip
    """gradient() by svds of A + Σ p dA with singular values ``sigma``; the loss gets σ and x = (u, v) in columns."""
    options = watched(options, reports)
    wanted = np.asarray(wanted)
    v0 = np.random.default_rng(7).uniform(0.5, 1.5, min(A.shape)).astype(A.dtype)
    others = np.setdiff1d(np.arange(sigma.size), wanted)
    gap = min((abs(sigma[i] - sigma[j]) for i in wanted for j in others), default=np.inf)

    def f(p):
        u, s, vh = ka.svds(assembled(A, dA, p, form), k=len(wanted) if k is None else k, v0=v0,
                           adjoint=options, **arguments)  # fmt: skip
        order = matched(s, sigma[wanted], nothing, gap if check is None else check)
        return loss(AUTOGRAD, s[order], anp.concatenate([u[:, order], anp.conj(anp.transpose(vh))[:, order]]))

    return derivative(f, len(dA), mode, direction)


def attach(system, wanted, loss, *, rotation=None, form="dense", options=None, mode="reverse"):
    """gradient() by attach_eigenpairs of the constructed pairs, those of a cluster in another basis."""
    w, X = system.w[wanted], system.V[:, wanted]
    X = X if rotation is None else X @ rotation
    if not system.hermitian:
        X = X / np.linalg.norm(X, axis=0)

    def f(p):
        A = assembled(system.A, system.dA, p, form)
        M = None if system.M is None else assembled(system.M, system.dM, p, form)
        pairs = ka.attach_eigenpairs(A, w, X, M=M, hermitian=system.hermitian, adjoint=options)
        return loss(AUTOGRAD, *pairs)

    return derivative(f, len(system.dA), mode, None, system.A.real.dtype)


def engine(rng, hermitian, *, inverse=False, explicit=True, standard=False):
    """A solver of the adjoint systems, in a good half of all problems an iterative one."""
    names = ["auto", "gmres", "gmres"]
    names += ["minres", "minres"] if hermitian else []
    names += ["shared", "shared"] if inverse else []
    names += ["direct"] if explicit else []
    names += ["augmented"] if standard else []
    names += [] if hermitian else ["gmres"]
    return ka.Adjoint(method=str(rng.choice(names)))


def selection(rng, hermitian, form, sigma):
    """Arguments that select the top of the spectrum, in a third of all explicit problems by a shift."""
    if form != "closure" and rng.random() < 0.35:
        return {"sigma": sigma, "which": "LM"}, True
    return {"which": "LA" if hermitian else "LR"}, False


def some_form(rng):
    return str(rng.choice(["dense", "algebra", "closure"]))


def hermitian_weights(rng, n, is_complex):
    return symmetrised(gaussian(rng, (n, n), is_complex)) / n**0.5


def different(rng, n, k, is_complex, a=1.0, b=1.0, quartic=True):
    """A `Weighted` loss, smooth at simple eigenvalues, that treats every pair differently."""
    real = symmetrised(gaussian(rng, (n, n), is_complex)) / n**0.5
    V = rng.uniform(0.5, 2, (n, k)) if quartic else None
    return Weighted(real, a * rng.uniform(0.5, 2, k), b * rng.uniform(0.5, 2, k) * rng.choice([-1, 1], k), V)


def complex_weights(rng, n, k):
    """Likewise for complex eigenvalues: complex weights, a matrix that is not Hermitian."""
    W = gaussian(rng, (n, n), True) / n**0.5
    return Weighted(W, gaussian(rng, k, True), gaussian(rng, k, True), rng.uniform(0.5, 2, (n, k)))


def sized(rng):
    return int(rng.integers(20, 56))
