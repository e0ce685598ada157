"""How good are the estimates of a derivative's error that reports give (`Report.error`)?

Eigenproblems of every class of tests/support/problems.py and singular triplets, in four precisions, with loosely and
tightly converged pairs and systems, by every solver, in reverse and forward mode: the error of the pencil's cotangents,
or of (dw, dX), against the dense reference of tests/support/oracle.py in double precision. And the problems of
`fails_safely.py` that have a gradient, against their closed forms. Compared is whatever has an error above ten times
the reference's own.

    python benchmarks/digits.py                      the table, seeds 0 … 3
    python benchmarks/digits.py --seed 10 --seeds 2  other seeds
    python benchmarks/digits.py --plot digits.png    the scatter plot of docs/testing.md

The exit code is 1 if the estimates are worse than promised: within a factor of 30 in 90 % and of 1000 in 99 %, the
median within 5.
"""

import argparse
import logging
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import fails_safely
import numpy as np
from autograd import make_jvp, make_vjp
from autograd.builtins import tuple as boxed

import krylov_adj as ka

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

import closed_forms
import oracle
import problems
from asking import ForwardMissed

Array = np.ndarray

#: How many cases of `draw` to a seed.
CASES = 400

#: Errors that are compared are this many times the reference's own.
CLEAR = 10

#: What is promised: shares of the cases within factors, and the median.
PROMISED = ((30.0, 0.9), (1000.0, 0.99))
MEDIAN = 5.0


@dataclass(frozen=True)
class Case:
    """What one solve was estimated to be in error by, and was; ``own`` is the reference's."""

    group: str
    estimate: float
    error: float
    own: float
    note: str

    @property
    def clear(self):
        return self.error > CLEAR * self.own


def relative(parts, reference):
    """‖parts − reference‖ / ‖reference‖ of several arrays together."""
    difference = np.sqrt(sum(np.linalg.norm(a - b) ** 2 for a, b in zip(parts, reference, strict=True)))
    return float(difference / np.sqrt(sum(np.linalg.norm(b) ** 2 for b in reference)))


# ---- eigenproblems and singular triplets -----------------------------------------------------------


def methods(problem):
    """The solvers that a class admits."""
    names = ["auto", "dense", "gmres", "direct", "minres" if problem.hermitian else "gmres"]
    names += ["shared"] * ("sigma" in problem.kwargs) + ["augmented"] * (not problem.generalized)
    return names


def cotangents(rng, kind, w, X):
    """Of the pairs, in the core's convention: of a smooth loss, of the eigenvalues, of a few entries of one vector."""
    n, k = X.shape
    gw, gX = np.zeros_like(w), np.zeros_like(X)
    if kind == "mixed":
        weights = problems.loss_weights(np.asarray(w, np.result_type(w, float)), n, int(rng.integers(1 << 30)))
        gw, gX = problems.mixed_loss_cotangents(w, X, weights)
    elif kind == "values":
        gw = rng.normal(size=k) + (1j * rng.normal(size=k) if np.iscomplexobj(w) else 0)
    else:
        i = int(rng.integers(k))
        rows = rng.choice(n, 3, replace=False)
        gX[rows, i] = X[rows, i] * rng.normal(size=3)
    return np.asarray(gw, w.dtype), np.asarray(gX, X.dtype)


def draw(seed, index):
    """One eigenproblem, tolerances, solver, mode and loss; its estimate and its error."""
    rng = np.random.default_rng([seed, index, 41])
    names = list(problems.PROBLEMS)
    problem = problems.PROBLEMS[names[index % len(names)]]
    dtype = str(rng.choice(problem.dtypes))
    n = int(rng.integers(24, 61))
    tol, rtol = (float(10.0 ** rng.uniform(-12, -4)) if rng.random() < 0.5 else None for _ in range(2))
    rtol = None if rtol is None else float(10.0 ** rng.uniform(-12, -3))
    k = problem.kwargs["k"]
    ncv = int(rng.integers(k + 3, 2 * k + 6))
    side, kind = (
        str(rng.choice(["adjoint", "adjoint", "tangent"])),
        str(rng.choice(["mixed", "mixed", "values", "entries"])),
    )
    method = str(rng.choice(methods(problem)))
    instance = problem.build(int(rng.integers(1 << 30)), n, dtype)
    reports = []
    options = ka.Adjoint(method=method, rtol=rtol, on_gauge="ignore", callback=reports.append)
    A, M = instance["A0"], instance["M0"]
    solver = getattr(ka, problem.solver)
    arguments = {
        "v0": problems.start_vector(instance),
        "tol": tol or 0,
        "ncv": ncv,
        "adjoint": options,
        **problem.kwargs,
    }

    def pairs(A, M=None):
        return boxed(solver(A, M=M, **arguments))

    if side == "adjoint":
        vjp, (w, X) = make_vjp(pairs)(A) if M is None else make_vjp(lambda AM: pairs(*AM))(boxed((A, M)))
        gw, gX = cotangents(rng, kind, w, X)
        found = vjp(boxed((gw.conj(), gX.conj())))
        found = [found.conj()] if M is None else [part.conj() for part in found]
        kinds = (problem.hermitian, problem.hermitian or problem.normalization == "M")
        found = [oracle.structured(G, like, hermitian=h) for G, like, h in zip(found, (A, M), kinds, strict=False)]

        def reference(A):
            parts = oracle.cotangent(A, M, w, X, gw, gX, **problem.structure)
            return [part for part in parts if part is not None]
    else:
        one = A.real.dtype.type(1)
        dA, dM = instance["dA"][0], None if M is None else instance["dM"][0]
        (w, X), found = make_jvp(lambda t: pairs(A + t * dA, None if M is None else M + t * dM))(0 * one)(one)
        unit = np.max(np.abs(w))
        found = [found[0] / unit, found[1]]

        def reference(A):
            dw, dX = oracle.tangent(A, M, w, X, dA, dM, **problem.structure)
            return [dw / unit, dX]

    expected = reference(A)
    own = relative(reference(perturbed(rng, A, problem.hermitian)), expected)
    note = (
        f"{problem.name} n {n} {dtype} tol {tol or 0:.0e} rtol {rtol or 0:.0e} {method} {side} {kind} {(seed, index)}"
    )
    return Case(side, reports[-1].error, relative(found, expected), own, note)


def perturbed(rng, A, hermitian):
    """A in double precision, with a random change of the size of its rounding."""
    E = rng.normal(size=A.shape) + (1j * rng.normal(size=A.shape) if np.iscomplexobj(A) else 0)
    E = E + E.conj().T if hermitian else E
    return A + E * (np.finfo(float).eps * np.linalg.norm(A, 2) / np.linalg.norm(E, 2))


# ---- the problems of fails_safely ------------------------------------------------------------------


class _Reports(logging.Handler):
    """Collects what is logged."""

    def __init__(self):
        super().__init__()
        self.found = []

    def emit(self, record):
        self.found += [argument for argument in record.args or () if isinstance(argument, ka.Report)]


def own_error(problem):
    """The relative error of a closed form, as a derivative of the matrices that rounding makes of its own."""
    if problem.dense is None or isinstance(problem.dense[2], closed_forms.Density | closed_forms.Subspace):
        return problem.attainable
    system, wanted, _ = problem.dense
    lengths = np.linalg.norm(system.V, axis=0) * np.linalg.norm(system.L, axis=1)
    gap = min(system.gap(wanted), system.gap(wanted, wanted))
    return max(problem.attainable, system.error * float(np.max(lengths[wanted])) / gap if gap > 0 else np.inf)


def of_fails_safely(seed, fraction):
    """The problems with a gradient, for which an estimate was made."""
    logger, handler = logging.getLogger("krylov_adj"), _Reports()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        for name, (quota, _) in fails_safely.CLASSES.items():
            if "order 2" in name:
                continue
            for index in range(int(np.ceil(quota * fraction))):
                handler.found.clear()
                problem = fails_safely.draw(name, seed, index)
                # Forward modes return the motion of every vector, whatever the loss.
                forward = re.search(r"\bforward\b(?! False)", problem.note)
                if problem.reference is None or problem.label == "say" or forward:
                    continue
                try:
                    value = np.asarray(problem.gradient())
                except (ForwardMissed, ArithmeticError, RuntimeError, TypeError, ValueError):
                    continue
                # The last one is of the pairs; left eigenvectors that were looked at besides come first.
                reports = [report for report in handler.found if report.stage != "forward"]
                size = float(np.linalg.norm(problem.reference))
                if reports and reports[-1].stage == "adjoint" and size and np.all(np.isfinite(value)):
                    error = float(np.linalg.norm(value - problem.reference)) / size
                    note = f"{name}:{index} {problem.note}"
                    yield Case("fails_safely", reports[-1].error, error, own_error(problem), note)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


# ---- the table and the plot ------------------------------------------------------------------------


def cases(seed, count=CASES, fraction=1.0):
    """All cases of a seed; what is refused has no estimate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index in range(count):
            try:
                yield draw(seed, index)
            except ka.AdjointNoConvergence:
                continue
        yield from of_fails_safely(seed, fraction)


def quotients(found):
    """Estimates over errors, of the cases that say something."""
    return np.array([max(case.estimate, np.finfo(float).tiny) / case.error for case in found if case.clear])


def shares(found):
    """The median of estimates over errors, and the shares within the promised factors."""
    ratios = np.log10(quotients(found))
    within = [float(np.mean(np.abs(ratios) <= np.log10(factor))) for factor, _ in PROMISED]
    return 10 ** float(np.median(ratios)), within


def holds(found):
    """Whether the estimates are as good as promised."""
    median, within = shares(found)
    enough = all(share >= promised for share, (_, promised) in zip(within, PROMISED, strict=True))
    return enough and 1 / MEDIAN <= median <= MEDIAN


def table(found):
    """The shares of every group of cases, as text."""
    lines = [f"{'':24s}{'cases':>8s}{'median':>10s}" + "".join(f"{f'within {f:.0f}':>14s}" for f, _ in PROMISED)]
    groups = {case.group for case in found}
    for group in [*sorted(groups), "all"]:
        members = [case for case in found if group in (case.group, "all")]
        if any(case.clear for case in members):
            median, within = shares(members)
            row = "".join(f"{100 * share:13.1f}%" for share in within)
            lines.append(f"{group:24s}{len(quotients(members)):8d}{median:10.2f}{row}")
    return "\n".join(lines)


def plot(found, path):
    """Estimates over errors, with the promised factors."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.6, 4.2))
    for group in sorted({case.group for case in found}):
        members = [case for case in found if case.clear and case.group == group]
        axes.loglog([c.error for c in members], [max(c.estimate, 1e-17) for c in members], ".", ms=2.5, label=group)
    ends = np.array([1e-15, 1.0])
    axes.plot(ends, ends, "k", lw=0.8)
    for factor, style in zip((f for f, _ in PROMISED), ("k--", "k:"), strict=True):
        for line in (ends * factor, ends / factor):
            axes.plot(ends, line, style, lw=0.8)
    axes.set(xlabel="true relative error", ylabel="estimated", xlim=(1e-15, 3), ylim=(1e-17, 3))
    axes.legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="the (first) seed")
    parser.add_argument("--seeds", type=int, default=4, help="how many seeds")
    parser.add_argument("--plot", help="a file for the scatter plot")
    parser.add_argument("-v", "--verbose", action="store_true", help="the cases outside of the promised factors")
    options = parser.parse_args(arguments)
    found = [case for seed in range(options.seed, options.seed + options.seeds) for case in cases(seed)]
    print(table(found))
    if options.verbose:
        for case in found:
            if case.clear and not 1 / PROMISED[0][0] <= max(case.estimate, 1e-300) / case.error <= PROMISED[0][0]:
                print(f"estimated {case.estimate:.1e}, true {case.error:.1e} ± {case.own:.0e}  {case.note}")
    if options.plot:
        plot(found, options.plot)
    return 0 if holds(found) else 1


if __name__ == "__main__":
    sys.exit(main())
