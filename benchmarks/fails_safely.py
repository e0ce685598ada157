"""How often is a wrong gradient reported as wrong?

Hard problems (at least 200 for each seed) are drawn from a seed, a fixed number of each class, with
labels that hold by construction: what is right (a closed form, from the eigenpairs that the matrices
were built from), what must be refused or warned of, and for which reason. Five counts per class:

    right       the gradient is right, and nothing is said, or need be
    warned      right (or a generalised gradient where there is no other), with the right warning
    refused     an error with the right reason
    needless    an error or warning where the answer is right or obtainable, or for a wrong reason
    silent      a wrong gradient, or NaN, and nothing said

A gradient is wrong where its error, relative to its norm, is above 1e-6 + 100 × the attainable error,
which is what rounding of the data changes: machine epsilon times ‖A‖ over the gap, times the condition
numbers of the construction.

    python benchmarks/fails_safely.py --seed 0
    python benchmarks/fails_safely.py --seeds 10         seeds 0 … 9
    python benchmarks/fails_safely.py --peers            the same counts for other packages
    python benchmarks/fails_safely.py --only "cut clusters:4" -v     one problem, with its traceback

The exit code is 1 if anything is silently wrong, or more than 5 % needless.
"""

import argparse
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass

import hard_problems
import numpy as np
from asking import ForwardMissed
from broken_promises import broken_promises

CLASSES = {**hard_problems.CLASSES, "broken promises": (38, broken_promises)}
COUNTS = ("right", "warned", "refused", "needless", "silent")
REDRAWS = 6


@dataclass(frozen=True)
class Verdict:
    """What became of one problem."""

    count: str
    error: float
    tolerance: float
    said: tuple[str, ...]
    note: str


def draw(name, seed, index, attempt=0):
    """The problem of a class with a number, reproducible from the seed."""
    _, build = CLASSES[name]
    return build(np.random.default_rng([seed, sorted(CLASSES).index(name), index, attempt]), index)


def judge(problem, gradient, any_words=False):
    """Call ``gradient()`` and compare what it returns and says with the label.

    ``any_words``: for other packages, whatever is said where something should be is the right reason.
    """
    says = "" if any_words and problem.label != "right" else problem.says
    said, value = [], None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = np.asarray(gradient())
        except ForwardMissed:
            raise
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
    raised = bool(said)
    said += [f"{entry.category.__name__}: {entry.message}" for entry in caught]
    tolerance = 1e-6 + 100 * problem.attainable
    error = np.inf
    if value is not None and problem.reference is not None and np.all(np.isfinite(value)):
        error = float(np.linalg.norm(value - problem.reference) / np.linalg.norm(problem.reference))
    expected = [text for text in said if problem.says and re.search(says, text, re.DOTALL)]
    unexpected = (problem.label == "right" and bool(said)) or len(expected) < len(said)
    if raised:
        count = "refused" if problem.label != "right" and re.search(says, said[0], re.DOTALL) else "needless"
    elif unexpected:
        count = "needless"
    elif error <= tolerance:
        count = "warned" if said else "right"
    elif expected and np.all(np.isfinite(value)) and (problem.label == "say" or problem.says):
        count = "warned"
    else:
        count = "silent"
    return Verdict(count, error, tolerance, tuple(said), problem.note)


def run(seed, fraction=1.0, only=None, verbose=False, out=print):
    """Verdicts {(class, index): Verdict} of the package for one seed."""
    verdicts = {}
    for name, index, problem, verdict in problems(seed, fraction, only):
        verdicts[name, index] = verdict
        if verdict.count in ("needless", "silent"):
            out(describe(seed, name, index, verdict))
        if verbose and only is not None:
            out(describe(seed, name, index, verdict, full=True))
            try:
                out(f"gradient  {problem.gradient()}\nreference {problem.reference}")
            except Exception:
                out(traceback.format_exc())
    return verdicts


def ask_peers(seed, fraction, only, by_peer):
    """The verdicts of other packages, into ``by_peer`` {title: {(class, seed, index): Verdict}}."""
    from peers import PEERS

    for name, index, problem, _ in problems(seed, fraction, only):
        for title, peer in PEERS.items():
            if problem.dense is not None and peer.able(*problem.dense):
                verdict = judge(problem, lambda peer=peer, problem=problem: peer.gradient(*problem.dense), True)
                by_peer.setdefault(title, {})[name, seed, index] = verdict


def problems(seed, fraction=1.0, only=None):
    """Name, number, problem and the package's verdict, of problems whose eigenvalues ARPACK finds."""
    for name, (quota, _) in CLASSES.items():
        for index in range(int(np.ceil(quota * fraction))):
            if only is not None and only != (name, index):
                continue
            for attempt in range(REDRAWS):
                problem = draw(name, seed, index, attempt)
                try:
                    verdict = judge(problem, problem.gradient)
                except ForwardMissed:
                    continue
                yield name, index, problem, verdict
                break
            else:
                raise RuntimeError(f"{name}:{index} of seed {seed}: ARPACK found other eigenvalues {REDRAWS} times")


def describe(seed, name, index, verdict, full=False):
    said = "; ".join(text if full else text[:150] for text in verdict.said)
    return (
        f'  {verdict.count}: --seed {seed} --only "{name}:{index}"  error {verdict.error:.1e}, accepted '
        f"{verdict.tolerance:.1e}  ({verdict.note})" + (f"\n      {said}" if said else "")
    )


def table(title, verdicts):
    """The five counts per class as text."""
    lines = [f"\n{title}", f"{'class':28s}" + "".join(f"{count:>10s}" for count in COUNTS) + f"{'problems':>10s}"]
    totals = Counter()
    for name in CLASSES:
        counts = Counter(verdict.count for (owner, *_), verdict in verdicts.items() if owner == name)
        if counts:
            row = "".join(f"{counts[c]:10d}" for c in COUNTS)
            lines.append(f"{name:28s}{row}{sum(counts.values()):10d}")
        totals += counts
    lines.append(f"{'all':28s}" + "".join(f"{totals[c]:10d}" for c in COUNTS) + f"{sum(totals.values()):10d}")
    return "\n".join(lines)


def shares(verdicts):
    """Number silently wrong, and fraction needless."""
    counts = Counter(verdict.count for verdict in verdicts.values())
    return counts["silent"], counts["needless"] / max(1, len(verdicts))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="the (first) seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--fraction", type=float, default=1.0, help="fraction of every class's quota")
    parser.add_argument("--only", help='one problem, "class:number"')
    parser.add_argument("--peers", action="store_true", help="the same counts for other packages")
    parser.add_argument("-v", "--verbose", action="store_true", help="with --only: everything about it")
    options = parser.parse_args(arguments)
    only = None
    if options.only:
        name, _, index = options.only.rpartition(":")
        only = (name, int(index))
    verdicts, by_peer = {}, {}
    for seed in range(options.seed, options.seed + options.seeds):
        start = time.perf_counter()
        of_seed = run(seed, options.fraction, only, options.verbose)
        verdicts |= {(name, seed, index): verdict for (name, index), verdict in of_seed.items()}
        print(f"seed {seed}: {len(of_seed)} problems, {time.perf_counter() - start:.0f} s", flush=True)
        if options.peers:
            ask_peers(seed, options.fraction, only, by_peer)
    print(table("krylov_adj", verdicts))
    for title, collected in by_peer.items():
        print(table(f"{title} (the problems it can do)", collected))
    silent, needless = shares(verdicts)
    print(f"\nsilently wrong: {silent}; needless: {100 * needless:.1f} %")
    return 1 if silent or needless > 0.05 else 0


if __name__ == "__main__":
    sys.exit(main())
