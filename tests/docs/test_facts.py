"""What is said in two places is the same in both: figures and the tables they are from, defaults and the code, rules.

A sentence with a number stands here with a pattern that finds it and with what the number has to be, from the code or
from a table that a benchmark has printed. A sentence that is gone, or worded anew, fails as one that is wrong.
"""

import inspect
import re
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from structure import MAX_LINES, RANKS

import krylov_adj as ka
from krylov_adj import options
from krylov_adj.autograd import differences
from krylov_adj.forward import hermitian, warm_start
from krylov_adj.krylov import augmented, chebyshev
from krylov_adj.krylov import factors as shift_invert
from krylov_adj.krylov.precision import DEFECTIVE, Precision
from krylov_adj.perturbation import engines, pairs
from krylov_adj.report import report as reports

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("krylov_adj", "tests", "benchmarks", "examples", "docs")


def text(name):
    """A file's text in one line, so that patterns need not know where lines end; comments without their signs."""
    return re.sub(r"\s+", " ", re.sub(r"\n\s*#:?", "\n", (ROOT / name).read_text("utf-8")))


# ---- figures and tables ----------------------------------------------------------------------


def section(command):
    """What docs/performance.md shows of a benchmark."""
    page = (ROOT / "docs" / "performance.md").read_text("utf-8")
    (found,) = re.findall(rf"<!-- python benchmarks/{re.escape(command)} -->\n(.*?)<!-- end -->", page, re.DOTALL)
    return found


def tables(command):
    """Its Markdown tables: lists of rows, cells by the names of their columns, where a second of one name ends in 2."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", section(command), re.MULTILINE):
        head, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()]
        head = [name + "2" * head[:i].count(name) for i, name in enumerate(head)]
        assert rows
        found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found


def extent(values):
    """The smallest and the largest, with two digits."""
    values = [float(re.match(r"[\d.]+", value)[0]) for value in values]
    assert len(values) > 1
    return f"{min(values):.2f}", f"{max(values):.2f}"


def adjoint_over_forward(column, method):
    cost = tables("adjoint_cost.py")[0]
    return extent(row[column] for row in cost if method in (None, row["adjoint by"]))


def ordering(refined):
    """Times of the forward call with our order over SciPy's, of matrices with a symmetric pattern."""
    rows = re.findall(r"^(\S.*?)  +\d+ +([\d.]+) +([\d.]+) ", section("symmetric_ordering.py"), re.MULTILINE)
    return extent(time for name, _, time in rows if "random" not in name and ("refined" in name) is refined)


def fewer_steps():
    """Per cent of the applications that twice the default ncv saves, where it is advised."""
    pattern = r"(\d+) / (\d+)    1.00  1.00 +[\d.]+ +[\d.]+ +([\d.]+)"
    rows = re.findall(pattern, section("basis_size.py"))
    saved = [round(100 * (1 - float(left))) for steps, ncv, left in rows if int(steps) > reports.RESTARTED * int(ncv)]
    assert len(saved) > 3
    return str(min(saved)), str(max(saved))


def singular_values():
    return extent(re.findall(r"^.* \d+ x \d+ .* ([\d.]+) +\S+$", section("singular_values.py"), re.MULTILINE))


def best_and_median(method, start):
    """Return the gaps of all seeds, as docs/performance.md has them."""
    (row,) = (row for row in tables("band_gap.py")[1] if row["TM 3–4 by"].startswith(method) and row["from"] == start)
    return row["best, %"].replace("-", "−"), row["median, %"].replace("-", "−")


def gaps_of(method):
    return best_and_median(method, "noise") + best_and_median(method, "screened")


def first_gap():
    rows = tables("band_gap.py")[0]
    (gap,) = {row["at the end, %"] for row in rows}
    counts = [int(row["eigensolves"]) for row in rows]
    return gap, str(min(counts)), str(max(counts))


ALL, ONE = "all k vectors: adjoint / SciPy", "innermost vector: adjoint / SciPy"
MEETING = "docs/guides/when_eigenvalues_meet.md"
FIGURES = [
    (
        "README.md",
        r"take (\S+) to (\S+) of the applications of the inverse",
        lambda: adjoint_over_forward(ALL, "shared"),
    ),
    (
        "README.md",
        r"and (\S+) to (\S+) of those of the operator without",
        lambda: adjoint_over_forward(ALL, "augmented"),
    ),
    ("README.md", r"the system of one eigenvector (\S+) to (\d\S+\d)\.", lambda: adjoint_over_forward(ONE, None)),
    (
        "README.md",
        r"alone: (\S+) of it for four eigenvectors of a million unknowns",
        lambda: (tables("scaling.py --million")[0][-1]["ratio"],),
    ),
    (
        "docs/decisions.md",
        r"put in takes (\S+) to (\S+) of the forward",
        lambda: adjoint_over_forward(ALL, "augmented"),
    ),
    ("docs/decisions.md", r"half the fill, (\S+) to (\S+) of SciPy's time", lambda: ordering(refined=False)),
    ("docs/decisions.md", r"take the refinement: (\S+) to (\S+) of the time", lambda: ordering(refined=True)),
    ("docs/decisions.md", r"basis_size.py`: (\d+) to (\d+) % fewer", fewer_steps),
    ("docs/derivation.md", r"that is (\S+) to (\S+) times SciPy's applications", singular_values),
    (MEETING, r"above the first band to (\S+) % of its middle, in (\d+) to (\d+) eigensolves", first_gap),
    (MEETING, r"programs on subspaces \| (\S+), (\S+) \| (\S+), (\S+) \|", lambda: gaps_of("linear")),
    (MEETING, r"two single bands \| (\S+), (\S+) \| (\S+), (\S+) \|", lambda: gaps_of("ascent")),
    (MEETING, r"L-BFGS-B on the same gradients \| (\S+), (\S+) \| (\S+), (\S+) \|", lambda: gaps_of("L-BFGS-B")),
]


@pytest.mark.parametrize(
    ("name", "pattern", "measured"), FIGURES, ids=lambda value: value if str(value) == value else ""
)
def test_figures_are_those_of_the_tables(name, pattern, measured):
    (stated,) = re.findall(pattern, text(name))
    measured = measured()
    stated = (stated,) if isinstance(stated, str) else stated
    if "times SciPy's" in pattern:  # said with one digit
        measured = tuple(f"{float(value):.1f}" for value in measured)
    assert stated == measured


# ---- defaults and limits ---------------------------------------------------------------------


def tolerances():
    return options.Adjoint().tolerance(np.float64), options.Adjoint().tolerance(np.float32)


def of_a_cluster():
    """Residuals, and ε of the size of A, up to which two eigenvalues count as one: those of both."""

    def both(eps, residual):
        given = SimpleNamespace(
            options=options.Adjoint(), problem=SimpleNamespace(norms=(1.0, 1.0)), w=np.zeros(2), eps=eps,
            residuals=np.full(2, residual), seen=np.ones(2),
        )  # fmt: skip
        return float(np.sum(pairs.DeflatedPairs.tolerances(given, 2)))

    assert both(0.0, 1.0) == 2 * 10  # ten times the sum of two
    return (both(1.0, 0.0),)


def few_digits():
    sizes = [Precision.of(np.dtype(t)).few_digits for t in "df"]
    return tuple(float(f"{size:.0e}") for size in sizes)


def calls_of_check_gradient():
    eps, calls = np.finfo(float).eps, []
    list(differences.differences(lambda t: calls.append(t) or t, 0.1 * eps**0.2, eps, eps))
    return (len(calls),)


def accepted_by_check_operator():
    said = ka.check_operator(np.eye(9))
    accepted = float(re.search(r"accepted: (\S+)\)", said)[1])
    return (float(f"{accepted / np.finfo(float).eps / 9**0.5:.0e}"),)


def exponent_of_nearness():
    eps = np.finfo(float).eps
    return round(float(np.log(Precision.of(float).near) / np.log(eps)), 6)


def least_coverage():
    return int(re.search(r"fail_under = (\d+)", text("pyproject.toml"))[1])


ITERATIONS = (options.most_iterations(10**6) // 10**6, options.most_iterations(1))
STATED = [
    ("krylov_adj/options.py", r"dense for n ≤ (\d+)", (options.DENSE_ORDER,)),
    ("krylov_adj/options.py", r"Default (\S+) in double and (\S+) in single precision", tolerances()),
    ("krylov_adj/options.py", r"Default (\d+) n, at least (\d+)\.", ITERATIONS),
    (
        "krylov_adj/options.py",
        r"Default (\d+) for GMRES, (\d+) for the shared space, (\d+) for the augmented form, (\d+) where",
        (engines.RESTART, engines.SHARED_DIMENSION, engines.AUGMENTED_DIMENSION, engines.FILTERED_DIMENSION),
    ),
    ("krylov_adj/options.py", r"ten times the sum of their residuals, or (\d+) machine epsilons", of_a_cluster()),
    ("krylov_adj/autograd/eigen.py", r"package, of order above (\d+), with ``sigma``", (options.DENSE_ORDER,)),
    ("krylov_adj/autograd/svd.py", r"above ``max\(tol, (\S+)\)·σ`` \((\S+) in single precision", tolerances()),
    ("krylov_adj/autograd/linear.py", r"max\((\d+) n, (\d+)\) iterations", ITERATIONS),
    ("krylov_adj/krylov/precision.py", r"few digits: (\S+) in double, (\S+) in single", few_digits()),
    ("krylov_adj/krylov/factors.py", r"Where ω is past (\d+) ε one step", (shift_invert.BACKWARD,)),
    ("krylov_adj/autograd/diagnostics.py", r"Default (\d+) machine epsilons", accepted_by_check_operator()),
    ("krylov_adj/autograd/diagnostics.py", r"in at most (\d+) calls from the default step", calls_of_check_gradient()),
    ("docs/decisions.md", r"at most (\d+) where it is not\. An entry of the tableau", calls_of_check_gradient()),
    ("docs/decisions.md", r"no M, of order above (\d+)", (options.DENSE_ORDER,)),
    ("docs/decisions.md", r"in no more than (\d+) \+ 2 k vectors", (warm_start.WARM_DIMENSION,)),
    ("docs/decisions.md", r"took more than (\d+) times as many steps", (reports.RESTARTED,)),
    ("docs/guides/choosing_a_method.md", r"Up to n = (\d+) `\"auto\"`", (options.DENSE_ORDER,)),
    ("docs/guides/choosing_a_method.md", r"right-hand side: (\S+) by default, (\S+) in single", tolerances()),
    ("docs/guides/large_problems.md", r"vectors in all \((\d+) by default\)", (engines.SHARED_DIMENSION,)),
    ("docs/guides/large_problems.md", r"system\* \((\d+) by default\)", (engines.RESTART,)),
    (
        "docs/guides/large_problems.md",
        r"\((\d+) or so by default, (\d+) with `sigma`\)",
        (hermitian.DIMENSION, hermitian.INVERSE_DIMENSION),
    ),
    ("docs/guides/large_problems.md", r"then solved to (\S+)\.", tolerances()[1:]),
    ("docs/performance.md", r"ours keeps (\d+) vectors, too", (hermitian.DIMENSION,)),
    ("docs/performance.md", r"without an inverse holds (\d+) vectors of its own", (engines.FILTERED_DIMENSION,)),
    ("docs/derivation.md", r"a is put where 3k \+ (\d+) are counted", (chebyshev.wanted_count(0),)),
    ("docs/derivation.md", r"a from \|q\| = (\S+) at the innermost", (augmented.EDGE,)),
    ("docs/derivation.md", r"eigenvalues in hand \(at most (\d+), and odd", (augmented.LARGEST_DEGREE,)),
    ("docs/derivation.md", r"an error past (\S+)/√ε", (DEFECTIVE,)),
    ("docs/derivation.md", r"and not less than ε\^(\S+), relatively", (exponent_of_nearness(),)),
    ("CONTRIBUTING.md", r"A file past (\d+) lines wants splitting", (MAX_LINES,)),
    ("CONTRIBUTING.md", r"an error below (\d+) % of the package", (least_coverage(),)),
]


@pytest.mark.parametrize(("name", "pattern", "true"), STATED, ids=lambda value: value if str(value) == value else "")
def test_defaults_are_those_of_the_code(name, pattern, true):
    (stated,) = re.findall(pattern, text(name))
    stated = (stated,) if isinstance(stated, str) else stated
    assert tuple(map(float, stated)) == true


# ---- contracts and rules ---------------------------------------------------------------------


def test_engines_are_what_extending_says():
    """Every method has an engine, and all take and return what the page says."""
    page = (ROOT / "docs" / "extending.md").read_text("utf-8")
    (signature,) = re.findall(r"`engine\((.+?)\)`", page)
    assert tuple(engines.ENGINES) == options.METHODS[1:], "the same names in the same order"
    assert set(engines.FACTORISING) < set(engines.ENGINES)
    listed = "{" + ", ".join(f'"{method}"' for method in options.METHODS) + "}"
    assert f"method : {listed}" in options.Adjoint.__doc__
    guide = (ROOT / "docs" / "guides" / "choosing_a_method.md").read_text("utf-8")
    assert [method for method in engines.ENGINES if f'| `"{method}"` |' not in guide] == []
    for engine in engines.ENGINES.values():
        assert list(inspect.signature(engine).parameters) == signature.split(", ")
        for name in signature.split(", "):
            assert f"| `{name}` |" in page
    (returned,) = re.findall(r"`Solved\((.+?)\)`", page)
    assert [field.name for field in fields(engines.Solved)] == returned.split(", ")
    assert [method for method in options.METHODS if f'``"{method}"``' not in options.Adjoint.__doc__] == []


def test_the_table_of_contributing_is_the_one_of_the_checker():
    rows = re.findall(r"^\| (\d) \| (.+?) \|", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE)
    listed = {name.rstrip("/"): int(rank) for rank, names in rows for name in re.findall(r"`(.+?)`", names)}
    assert listed == RANKS
    folders = {path.parent.name for path in (ROOT / "krylov_adj").glob("*/__init__.py")}
    assert {name.rstrip("/") for _, names in rows for name in re.findall(r"`(\S+?/)`", names)} == folders


def test_files_that_are_named_are_there():
    """In documentation, and in what modules say of each other."""
    have = {str(path.relative_to(ROOT)) for top in SOURCES for path in (ROOT / top).rglob("*.py")}
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "guides").glob("*.md"), ROOT / "README.md"]
    pages += [ROOT / "CONTRIBUTING.md", *(ROOT / "krylov_adj").rglob("*.py")]
    missing = set()
    for page in pages:
        for name in re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", page.read_text("utf-8")):
            if not any(path == name or path.endswith(f"/{name}") for path in have):
                missing.add((page.name, name))
    assert missing - {("comparison.md", "eig.py")} == set()  # of another project
