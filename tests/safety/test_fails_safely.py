"""The benchmark of wrong gradients that are said to be right, in small."""

from dataclasses import replace
from types import SimpleNamespace

import cuts
import fails_safely
import numpy as np
import pytest
import whole_clusters
from asking import ForwardMissed, Problem, matched
from closed_forms import gradient_of_density, gradient_of_pairs
from fails_safely import CLASSES, NEEDLESS, REDRAWS, Verdict, describe, draw, judge, main, run, settled, shares, table
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import difference


@pytest.mark.parametrize("seed", [100, 101])
def test_nothing_is_silently_wrong(seed):
    lines = []
    verdicts = run(seed, fraction=0.2, out=lines.append)
    silent, needless, _ = shares(verdicts)
    assert {name for name, _ in verdicts} == set(CLASSES)
    assert silent == 0, "\n".join(lines)
    assert needless <= NEEDLESS, "\n".join(lines)


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(["whole clusters", "whole clusters, order 2", "clusters cut anywhere"]),
    st.integers(1000, 10**6),
    st.integers(0, 89),
)
def test_no_cluster_whole_or_cut_is_silently_wrong(name, seed, index):
    large = cuts.LARGE if "cut" in name else whole_clusters.LARGE
    assume(index % large != large - 1)  # those above the dense bounds take long
    for attempt in range(REDRAWS):
        problem = draw(name, seed, index, attempt)
        try:
            verdict = judge(problem, problem.gradient)
        except ForwardMissed:
            continue
        assert verdict.count != "silent", describe(seed, name, index, verdict, full=True)
        break


#: The class, seed and number of a problem.
MENDED = [
    ("cut clusters", 16, 23),  # next to an eigenvalue that was not computed
    ("defective", 37, 12),  # a Jordan block that the loss hardly feels
    ("near-defective", 3, 7),  # κ²ε of a tenth of the error
    ("near-defective", 5, 9),
    ("near-defective", 8, 4),
]


@pytest.mark.parametrize(("name", "seed", "index"), MENDED)
def test_what_was_once_silently_wrong(name, seed, index):
    problem = draw(name, seed, index)
    assert judge(problem, problem.gradient).count != "silent"


def test_at_least_500_problems_drawn_from_the_seed():
    assert sum(quota for quota, _ in CLASSES.values()) >= 500
    name = "wild scalings"
    same = [draw(name, seed, 3).reference for seed in (5, 5, 6)]
    np.testing.assert_array_equal(same[0], same[1])
    assert not np.allclose(same[0], same[2])


def test_the_command_line(capsys):
    assert main(["--seed", "3", "--only", "wild scalings:0", "--peers", "-v"]) == 0
    printed = capsys.readouterr().out
    assert "silently wrong: 0; needless: 0.0 %" in printed
    assert "autograd's numpy.linalg" in printed


def test_the_exit_code_is_that_of_failure(monkeypatch, capsys):
    def printed(*problems):
        monkeypatch.setattr(fails_safely, "CLASSES", {"drawn": (len(problems), lambda rng, index: problems[index])})
        return main([]), capsys.readouterr().out

    fine = Problem(lambda: np.ones(2), "right", np.ones(2))
    wrong = Problem(lambda: np.ones(2), "right", np.array([1.0, 2.0]))
    refused = Problem(answering(None, error=ValueError("no")), "right", np.ones(2))
    reports = [SimpleNamespace(completeness="not settled")]
    cut = Problem(lambda: np.ones(2), "say", says="cut", above=True, reports=reports)
    seen = replace(cut, gradient=answering(None, error=ValueError("cut")))
    assert printed(fine, fine)[0] == 0
    assert printed(wrong, fine, wrong)[0] == 1
    assert "silently wrong: 2" in printed(wrong, fine, wrong)[1]
    assert [printed(refused, *[fine] * count)[0] for count in (48, 49)] == [1, 0]
    assert [printed(cut, *[seen] * count)[0] for count in (18, 19)] == [1, 0]
    assert "not settled: 5.0 %" in printed(cut, *[seen] * 19)[1]


def test_only_what_a_report_calls_not_settled_is_not_settled():
    """Above the dense bounds and nothing said: silent where the report says proved or searched, or nothing."""
    count = {}
    for searched in ("proved", "searched", "not settled", ""):
        reports = [SimpleNamespace(completeness=searched), SimpleNamespace()]
        for above in (True, False):
            problem = Problem(answering(RIGHT), "say", says="cut", above=above, reports=reports)
            count[searched, above] = judge(problem, problem.gradient).count
    assert count.pop(("not settled", True)) == "not settled"
    assert set(count.values()) == {"silent"}
    assert settled([])


# ---- the judge, on answers whose verdict is known ----------------------------------------------

RIGHT = np.array([1.0, 2.0])


def answering(value, *said, error=None):
    def gradient():
        import warnings

        for text in said:
            warnings.warn(text, UserWarning, stacklevel=1)
        if error is not None:
            raise error
        return value

    return gradient


@pytest.mark.parametrize(
    ("label", "says", "gradient", "count"),
    [
        ("right", "", answering(RIGHT), "right"),
        ("right", "", answering(RIGHT * (1 + 0.9e-4)), "right"),
        ("right", "", answering(RIGHT * (1 + 1.1e-4)), "silent"),
        ("right", "", answering(RIGHT * (1 + 2e-6), "UserWarning: gap"), "needless"),  # for another reason
        ("right", "gap", answering(RIGHT * (1 + 2e-6), "gap"), "warned"),
        ("right", "gap", answering(RIGHT * (1 + 0.9e-6), "gap"), "needless"),
        ("right", "gap", answering(-RIGHT, "gap"), "warned"),
        ("right", "gap", answering(RIGHT * np.nan, "gap"), "silent"),
        ("right", "gap", answering(None, error=ValueError("gap")), "needless"),
        ("right", "", answering(RIGHT * np.nan), "silent"),
        ("right", "", answering(RIGHT, "gap"), "needless"),
        ("right", "", answering(None, error=ValueError("gap")), "needless"),
        ("may", "gap", answering(RIGHT, "gap"), "warned"),
        ("may", "gap", answering(RIGHT, "gap", "other"), "needless"),
        ("may", "gap", answering(-RIGHT, "gap"), "warned"),
        ("may", "gap", answering(-RIGHT), "silent"),
        ("say", "UserWarning: .*gap", answering(-RIGHT, "a gap"), "warned"),
        ("say", "GaugeWarning: .*gap", answering(-RIGHT, "a gap"), "needless"),
        ("say", "gap", answering(RIGHT * np.nan, "gap"), "silent"),
        ("say", "ValueError: gap", answering(None, error=ValueError("gap")), "refused"),
        ("say", "ValueError: gap", answering(None, error=KeyError("gap")), "needless"),
        ("say", "gap", answering(-RIGHT), "silent"),
        ("say", "gap", answering(RIGHT), "right"),  # what was expected to fail did not
    ],
)
def test_the_judge(label, says, gradient, count):
    assert judge(Problem(gradient, label, RIGHT, 0.0, says), gradient).count == count


def test_what_scipy_says_of_the_call_is_neither_right_nor_wrong():
    problem = Problem(answering(RIGHT, "k >= N"), "right", RIGHT, neutral="UserWarning: k >= N")
    assert judge(problem, problem.gradient).count == "right"
    assert judge(problem, answering(-RIGHT, "k >= N")).count == "silent"
    assert judge(replace(problem, neutral=""), problem.gradient).count == "needless"


def test_no_reference_means_nothing_silent_is_right():
    gradient = answering(RIGHT)
    assert judge(Problem(gradient, "say", says="gap"), gradient).count == "silent"


def test_the_table_counts():
    verdicts = {("gauge", 0): Verdict("right", 0, 0, (), ""), ("gauge", 1): Verdict("silent", 1, 0, (), "")}
    row = "gauge" + " " * 23 + "".join(f"{count:12d}" for count in (1, 0, 0, 0, 1, 0, 2))
    assert row in table("ours", verdicts)
    assert shares(verdicts) == (1, 0.0, 0.0)


# ---- the closed forms, against differences ------------------------------------------------------


def test_the_references_are_those_of_differences():
    """Every kind of problem whose eigenvalues are far enough apart for differences of a dense solve."""
    import scipy.linalg as la

    compared = 0
    for name in ("wild scalings", "ties in modulus", "non-normal", "simple beside a cluster", "clusters, legal losses"):
        for index in range(12):
            problem = draw(name, 11, index)
            if problem.dense is None or problem.attainable > 1e-11:
                continue
            system, wanted, loss = problem.dense
            gaps = np.abs(system.w[wanted][:, None] - system.w[None, :])
            if name != "clusters, legal losses" and gaps[gaps > 0].min() < 1e-3 * np.abs(system.w).max():
                continue

            def value(p, system=system, wanted=wanted, loss=loss):
                from closed_forms import AUTOGRAD

                A = system.A + sum(a * D for a, D in zip(p, system.dA, strict=True))
                M = None if system.M is None else system.M + sum(a * D for a, D in zip(p, system.dM, strict=True))
                if system.hermitian:
                    w, X = la.eigh(A, M)
                else:
                    w, X = la.eig(A)
                order = matched(w, system.w[wanted])
                return loss(AUTOGRAD, w[order], X[:, order])

            direction = np.array([0.6, -0.5, 0.4])
            expected, error = difference(value, np.zeros(3), direction, h=2e-3)
            size = np.linalg.norm(problem.reference)
            np.testing.assert_allclose(
                problem.reference @ direction, expected, rtol=1e-6, atol=1e-6 * size + 10 * error
            )
            compared += 1
    assert compared > 15


def test_two_closed_forms_agree():
    """Divided differences and sums over pairs, at a gap that both resolve."""
    compared = 0
    for index in range(36):
        problem = draw("clusters, legal losses", 1, index)
        system, wanted, loss = problem.dense
        if not (system.hermitian and system.gap(wanted, wanted) > 1e-4):
            continue
        pairs, density = gradient_of_pairs(system, wanted, loss), gradient_of_density(system, wanted, loss)
        np.testing.assert_allclose(pairs, density, rtol=1e-8, atol=1e-10)
        compared += 1
    assert compared > 3
