"""SciPy's own tests of ``eigs``, ``eigsh`` and ``svds`` pass with our functions as they do with SciPy's.

Two do not, and exactly these: ``DIFFERENT`` of the plugin names them.

SciPy's test modules run in subprocesses, because our pytest configuration (warnings are
errors) is not the one they were written for, and because the exchange of functions must not leak
into the rest of our suite.  See `scipy_suite_plugin` for how the functions are exchanged.

The yardstick is not "all pass" but "the same as with SciPy's functions on this machine": a
test that SciPy itself skips, or fails with some BLAS, says nothing about us.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest
from scipy_suite_plugin import DIFFERENT

pytestmark = pytest.mark.slow

PLUGIN = "scipy_suite_plugin"
MODULE = os.environ.get("SCIPY_SUITE_MODULE", "krylov_adj")
# Seconds that one run may take.  It takes about five; the rest is for slow machines.
TIME_LIMIT = 200
# Marks that SciPy's tests use and that are registered by plugins which need not be installed.
MARKS = (
    "slow", "xslow", "xfail_on_32bit", "timeout", "fail_slow", "array_api_backends",
    "skip_xp_backends", "xfail_xp_backends", "parallel_threads", "parallel_threads_limit",
    "thread_unsafe", "iterations",
)  # fmt: skip
# What would make the runs differ from a plain `pytest` on this machine, or from each other.
UNWANTED = ("PYTEST_", "SCIPY_", "COV_CORE_", "COVERAGE_", "PYTHONWARNINGS")
THREADS = ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "VECLIB_MAXIMUM")


class Suite(NamedTuple):
    """A test module of SciPy's."""

    module: str
    functions: tuple[str, ...]
    calls: int  # that each function gets, at least
    landmarks: tuple[str, ...]  # without these tests the comparison would be about too little

    @property
    def name(self):
        return self.module.rpartition(".")[2]


SUITES = (
    Suite(
        "scipy.sparse.linalg._eigen.arpack.tests.test_arpack",
        ("eigs", "eigsh"),
        200,
        (
            "test_symmetric_modes", "test_hermitian_modes", "test_real_nonsymmetric_modes",
            "test_complex_nonsymmetric_modes", "test_symmetric_no_convergence", "test_eigen_bad_kwargs",
            "test_parallel_threads", "test_reentering", "test_eigs_for_k_greater",
            "test_eigsh_for_k_greater",
        ),
    ),
    Suite(
        "scipy.sparse.linalg._eigen.tests.test_svds",
        ("svds",),
        200,
        tuple(
            f"Test_SVDS_{solver}::{test}"
            for solver in ("ARPACK", "LOBPCG", "PROPACK")
            for test in (
                "test_svds_input_validation_k_1", "test_svds_parameter_k_which", "test_svd_v0",
                "test_svd_return_singular_vectors", "test_svd_simple", "test_svd_linop", "test_small_sigma",
            )
        ),
    ),
)  # fmt: skip


def _search_path(module):
    """The directory from which this process imports `module`, found without importing it."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"there is no module {module!r} to test")
    origin = Path(spec.origin)
    return origin.parent.parent if spec.submodule_search_locations else origin.parent


def _environment(report, suite, mode, module, search_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(UNWANTED)}
    environment.update({f"{library}_NUM_THREADS": "1" for library in THREADS})
    environment["VECLIB_MAXIMUM_THREADS"] = "1"
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # leave no traces in SciPy's directory
    paths = [report.parent, search_path, environment.get("PYTHONPATH")]
    environment["PYTHONPATH"] = os.pathsep.join(str(path) for path in paths if path)
    environment["SCIPY_SUITE_REPORT"] = str(report)
    environment["SCIPY_SUITE_MODE"] = mode
    environment["SCIPY_SUITE_NAME"] = suite.name
    environment["SCIPY_SUITE_MODULE"] = module
    return environment


def _run(suite, directory, mode, module=MODULE, search_path=None, only=""):
    """Run SciPy's tests (`only` those that pytest's -k selects) in `mode` (see the plugin); return its report."""
    # The plugin is copied, so that nothing else in our tests' directory becomes importable.
    shutil.copy(Path(__file__).resolve().parents[1] / "support" / f"{PLUGIN}.py", directory)
    configuration = directory / "suite.ini"
    configuration.write_text("[pytest]\nmarkers =\n" + "".join(f"    {m}\n" for m in MARKS))
    report = directory / "report.json"
    if search_path is None and mode != "pristine":
        search_path = _search_path(module)
    # fmt: off
    command = [
        sys.executable, "-m", "pytest", "-q", "--tb=short", "-c", str(configuration),
        "--rootdir", str(directory), "-p", "no:cacheprovider", "-p", "no:randomly", "-p", PLUGIN,
        "-k", only, "--pyargs", suite.module,
    ]
    # fmt: on
    run = subprocess.run(
        command,
        cwd=directory,
        env=_environment(report, suite, mode, module, search_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=TIME_LIMIT,
        check=False,
    )
    # 0: all passed; 1: some failed, which is the comparison's business; else: not run.
    if run.returncode not in (0, 1) or not report.exists():
        output = f"pytest ended with {run.returncode}:\n{run.stdout}"
        if mode == "pristine" and "ModuleNotFoundError" in run.stdout:
            pytest.skip(f"SciPy's tests need something that is not installed; {output}")
        pytest.fail(f"SciPy's tests could not be run in mode {mode!r}; {output}", pytrace=False)
    return json.loads(report.read_text(encoding="utf-8"))


def _differences(expected, actual):
    """All that differs between two reports, as text; empty if they agree."""
    lines = []
    for node in sorted(expected["outcomes"].keys() | actual["outcomes"].keys()):
        before = expected["outcomes"].get(node, "not run")
        after = actual["outcomes"].get(node, "not run")
        if before != after:
            lines.append(f"{node}: {before} with SciPy's functions, {after} with ours")
            for report in (expected, actual):
                detail = report["details"].get(node, "")
                lines.extend(f"    {line}" for line in detail.splitlines())
    for node in sorted(expected["warnings"].keys() | actual["warnings"].keys()):
        before = expected["warnings"].get(node, [])
        after = actual["warnings"].get(node, [])
        lines.extend(f"{node}: we do not warn '{text}'" for text in before if text not in after)
        lines.extend(f"{node}: only we warn '{text}'" for text in after if text not in before)
    return "\n".join(lines)


@pytest.fixture(scope="module", params=SUITES, ids=lambda suite: suite.name)
def suite(request):
    return request.param


@pytest.fixture(scope="module")
def pristine(suite, tmp_path_factory):
    """The report on SciPy's functions, from a process that never imported our package."""
    try:
        shipped = importlib.util.find_spec(suite.module) is not None
    except ModuleNotFoundError:  # not even the package with the tests is there
        shipped = False
    if not shipped:
        pytest.skip(f"SciPy is installed without {suite.module}")
    report = _run(suite, tmp_path_factory.mktemp("pristine"), "pristine")
    # Two runs of nothing would agree as well.
    names = {node.partition("[")[0] for node in report["outcomes"]}
    assert names.issuperset(suite.landmarks), sorted(set(suite.landmarks) - names)
    passed = sum(outcome == "passed" for outcome in report["outcomes"].values())
    skipped = sum(outcome in ("skipped", "xfailed") for outcome in report["outcomes"].values())
    assert passed >= 0.9 * (len(report["outcomes"]) - skipped), report["details"]
    assert passed >= 15  # of many cases each in old versions; landmarks name what must be there
    return report


def test_the_suite_passes_with_our_functions(suite, pristine, tmp_path):
    """Each of SciPy's tests ends, and warns, with our functions as with SciPy's, but for those that must not."""
    report = _run(suite, tmp_path, "substitute")
    expected = {**pristine["outcomes"], **dict.fromkeys(DIFFERENT[suite.name], "failed")}
    differences = _differences({**pristine, "outcomes": expected}, report)
    if differences:
        pytest.fail(f"SciPy's tests tell us from SciPy:\n{differences}", pytrace=False)
    # The agreement is worth nothing unless it was ours that were called, and often.
    assert report["same_as_scipy"] == dict.fromkeys(suite.functions, False)
    assert report["imported"] == [suite.module]
    assert all(report["calls"][name] > suite.calls for name in suite.functions)
    # And only SciPy's test module was to see them.
    assert report["intact"]


@pytest.mark.parametrize("suite", SUITES[:1], indirect=True)
def test_importing_us_changes_nothing_in_scipy(suite, pristine, tmp_path):
    """With our package imported but not substituted, SciPy's tests do not notice it at all.

    This is also what makes the counts of the other test conclusive: they come from the
    substitution, not from anything that runs anyway.
    """
    report = _run(suite, tmp_path, "import")
    differences = _differences(pristine, report)
    if differences:
        pytest.fail(f"Importing {MODULE} changes SciPy:\n{differences}", pytrace=False)
    assert report["calls"] == dict.fromkeys(suite.functions, 0)
    assert report["intact"]


def test_the_comparison_notices_a_wrong_function(suite, pristine, tmp_path):
    """Functions that are almost SciPy's are told from SciPy's; else the tests above are vacuous.

    One of them has slightly wrong eigenvalues for one `which` (not more, since each failure
    takes time), the others raise exceptions of a wrong type.
    """
    code = """
        from scipy.sparse.linalg import eigs as scipy_eigs, eigsh as scipy_eigsh, svds as scipy_svds

        def eigs(A, *args, **kwargs):
            try:
                return scipy_eigs(A, *args, **kwargs)
            except ValueError as error:
                raise RuntimeError(str(error)) from error

        def eigsh(A, *args, **kwargs):
            w, v = scipy_eigsh(A, *args, **kwargs)
            return (w * (1 + 1e-4) if kwargs.get("which") == "BE" else w), v

        def svds(A, *args, **kwargs):
            try:
                return scipy_svds(A, *args, **kwargs)
            except ValueError as error:
                raise RuntimeError(str(error)) from error
    """
    (tmp_path / "almost_scipy.py").write_text(textwrap.dedent(code))
    only = "validation_k or small_sigma" if suite.name == "test_svds" else ""
    report = _run(suite, tmp_path, "substitute", "almost_scipy", tmp_path, only)
    ran = {node: outcome for node, outcome in pristine["outcomes"].items() if node in report["outcomes"]}
    differences = _differences({**pristine, "outcomes": ran, "warnings": {}}, {**report, "warnings": {}})
    noticed, unnoticed = {
        "test_arpack": (("test_symmetric_modes", "test_eigen_bad_kwargs"), "test_complex_nonsymmetric_modes"),
        "test_svds": (("test_svds_input_validation_k_1",), "test_small_sigma"),
    }[suite.name]
    assert all(name in differences for name in noticed)
    assert unnoticed not in differences
