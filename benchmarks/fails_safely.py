"""How often is a wrong gradient reported as wrong?

Hard problems (at least 500 for each seed) are drawn from a seed, a fixed number of each class, with
labels that hold by construction: what is right (a closed form, from the eigenpairs that the matrices
were built from, or a contour integral, which knows no gap), what must be refused or warned of, and for
which reason. Six counts per class:

    right       the gradient is right, and nothing is said, or need be
    warned      something is said, for the right reason, where it may be
    refused     an error with the right reason
    needless    an error or warning where the answer is right or obtainable, or for a wrong reason
    silent      a wrong gradient, or NaN, and nothing said
    not settled a cluster that k cuts, above the orders up to which the dense spectrum is looked at:
                nothing is said, and the report says that the search did not settle it

A gradient is wrong where its error, relative to its norm, is above 1e-4 + 100 × the attainable error.
That is what rounding of the data changes: machine epsilon times ‖A‖ over the distance to the *rest* of
the spectrum, times the condition numbers of the construction; never over a gap inside of a cluster.
What such a gap takes has to be said, past 1e-4. Where the error is below 1e-6, what is said of a
derivative that exists is needless. Between the two either is right.

    python benchmarks/fails_safely.py --seed 0
    python benchmarks/fails_safely.py --seeds 10         seeds 0 … 9
    python benchmarks/fails_safely.py --peers            the same counts for other packages
    python benchmarks/fails_safely.py --only "cut clusters:4" -v     one problem, with its traceback
    python benchmarks/fails_safely.py --classes "cut,whole"          those whose names hold a word

The exit code is 1 if anything is silently wrong, more than 2 % needless, or more than 5 % of the cut
clusters above those orders not settled.
"""

import argparse
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "safety"))

import beside
import cuts
import hard_problems
import pencils
import shared
import small_matrices
import whole_clusters
from asking import LOST, ForwardMissed
from broken_promises import broken_promises

FIRST = {**hard_problems.CLASSES, "broken promises": (38, broken_promises)}
LATER = {
    "whole clusters": (30, whole_clusters.first_order),
    "whole clusters, order 2": (60, whole_clusters.second_order),
    "clusters cut anywhere": (48, cuts.cut_anywhere),
    "small matrices": (42, small_matrices.small_matrices),
    "beside what has none": (20, beside.beside),
    "complex shifts": (15, pencils.complex_shift),
    "stiff masses": (12, pencils.stiff_mass),
    "shared vjps": (12, shared.shared_vjp),
    "Hermitian parts": (12, shared.hermitian_part),
}
#: A class's place is part of its seeds: new classes come last.
CLASSES = dict(sorted(FIRST.items())) | LATER
COUNTS = ("right", "warned", "refused", "needless", "silent", "not settled")
REDRAWS = 6

#: Past the first a gradient is wrong; below the second nothing need be said of it.
WRONG, EXACT = 1e-4, 1e-6

#: Accepted fractions: of all problems; of the cut clusters above the dense bounds.
NEEDLESS, NOT_SETTLED = 0.02, 0.05


@dataclass(frozen=True)
class Verdict:
    """What became of one problem."""

    count: str
    error: float
    tolerance: float
    said: tuple[str, ...]
    note: str
    above: bool = False


def draw(name, seed, index, attempt=0):
    """The problem of a class with a number, reproducible from the seed."""
    _, build = CLASSES[name]
    return build(np.random.default_rng([seed, list(CLASSES).index(name), index, attempt]), index)


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
    if problem.neutral:
        said = [text for text in said if not re.search(problem.neutral, text)]
    tolerance = WRONG + 100 * problem.attainable
    error = np.inf
    if value is not None and problem.reference is not None and np.all(np.isfinite(value)):
        error = float(np.linalg.norm(value - problem.reference) / np.linalg.norm(problem.reference))
    if problem.label == "right":  # there is a derivative: what may be said is that rounding has taken it
        says = f"{LOST}|{says}" if says else LOST
    expected = [text for text in said if re.search(says, text, re.DOTALL)]
    if raised:
        count = "refused" if problem.label != "right" and re.search(says, said[0], re.DOTALL) else "needless"
    elif len(expected) < len(said) or (said and problem.label == "right" and error < EXACT):
        count = "needless"
    elif said:
        count = "warned" if np.all(np.isfinite(value)) else "silent"
    elif error <= tolerance:
        count = "right"
    else:
        count = "not settled" if problem.above and not settled(problem.reports) else "silent"
    return Verdict(count, error, tolerance, tuple(said), problem.note, problem.above)


def settled(reports):
    """Whether the last of the reports that tells of a search for what was cut says that it came to an end."""
    told = [report.completeness for report in reports if getattr(report, "completeness", "")]
    return not told or told[-1] != "not settled"


def run(seed, fraction=1.0, only=None, verbose=False, out=print, classes=None):
    """Verdicts {(class, index): Verdict} of the package for one seed; of some classes only where those are given."""
    verdicts = {}
    for name, index, problem, verdict in problems(seed, fraction, only, classes):
        verdicts[name, index] = verdict
        if verdict.count in ("needless", "silent", "not settled"):
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


def problems(seed, fraction=1.0, only=None, classes=None):
    """Name, number, problem and the package's verdict, of problems whose eigenvalues ARPACK finds."""
    for name, (quota, _) in CLASSES.items():
        if classes is not None and name not in classes:
            continue
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
    """The counts per class as text."""
    lines = [f"\n{title}", f"{'class':28s}" + "".join(f"{count:>12s}" for count in COUNTS) + f"{'problems':>12s}"]
    totals = Counter()
    for name in CLASSES:
        counts = Counter(verdict.count for (owner, *_), verdict in verdicts.items() if owner == name)
        if counts:
            row = "".join(f"{counts[c]:12d}" for c in COUNTS)
            lines.append(f"{name:28s}{row}{sum(counts.values()):12d}")
        totals += counts
    lines.append(f"{'all':28s}" + "".join(f"{totals[c]:12d}" for c in COUNTS) + f"{sum(totals.values()):12d}")
    return "\n".join(lines)


def shares(verdicts):
    """Number silently wrong, fraction needless, and fraction of the problems above the bounds not settled."""
    counts = Counter(verdict.count for verdict in verdicts.values())
    above = sum(verdict.above for verdict in verdicts.values())
    return counts["silent"], counts["needless"] / max(1, len(verdicts)), counts["not settled"] / max(1, above)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="the (first) seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--fraction", type=float, default=1.0, help="fraction of every class's quota")
    parser.add_argument("--only", help='one problem, "class:number"')
    parser.add_argument("--classes", help="words, with commas: only classes whose names hold one of them")
    parser.add_argument("--peers", action="store_true", help="the same counts for other packages")
    parser.add_argument("-v", "--verbose", action="store_true", help="with --only: everything about it")
    options = parser.parse_args(arguments)
    only = None
    if options.only:
        name, _, index = options.only.rpartition(":")
        only = (name, int(index))
    classes = None
    if options.classes:
        classes = [name for name in CLASSES if any(word.strip() in name for word in options.classes.split(","))]
    verdicts, by_peer = {}, {}
    for seed in range(options.seed, options.seed + options.seeds):
        start = time.perf_counter()
        of_seed = run(seed, options.fraction, only, options.verbose, classes=classes)
        verdicts |= {(name, seed, index): verdict for (name, index), verdict in of_seed.items()}
        print(f"seed {seed}: {len(of_seed)} problems, {time.perf_counter() - start:.0f} s", flush=True)
        if options.peers:
            ask_peers(seed, options.fraction, only, by_peer)
    print(table("krylov_adj", verdicts))
    for title, collected in by_peer.items():
        print(table(f"{title} (the problems it can do)", collected))
    silent, needless, unsettled = shares(verdicts)
    print(
        f"\nsilently wrong: {silent}; needless: {100 * needless:.1f} %; cut above the dense bounds and not settled: "
        f"{100 * unsettled:.1f} %"
    )
    return 1 if silent or needless > NEEDLESS or unsettled > NOT_SETTLED else 0


if __name__ == "__main__":
    sys.exit(main())
