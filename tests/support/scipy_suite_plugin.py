"""A pytest plugin for running SciPy's own tests of ``eigs``, ``eigsh``, ``svds`` on another implementation.

"Drop-in" is a claim about callers that we did not write, and SciPy's test module is the
largest collection of such callers there is.  This plugin gives that module our functions
*while it is being imported* and SciPy's own back right afterwards, so that only the names in
the test module are exchanged and SciPy itself (``eigsh`` calls ``eigs``, ``svds`` calls
``eigsh``) stays what it was.

It knows nothing of our test-suite: ``test_scipy_suite.py`` copies it next to an empty pytest
configuration, runs pytest in a subprocess with ``-p scipy_suite_plugin`` and reads the report,
a JSON file.  Four environment variables direct it:

``SCIPY_SUITE_REPORT``
    the file to write the report to;
``SCIPY_SUITE_NAME``
    which of SciPy's test modules it is, a key of `SUITES`;
``SCIPY_SUITE_MODULE``
    the module whose functions are to be tested;
``SCIPY_SUITE_MODE``
    ``pristine`` (that module is not even imported), ``import`` (it is imported, but SciPy's
    tests keep SciPy's functions) or ``substitute``.
"""

import contextlib
import functools
import importlib
import json
import os
import sys
import threading

import pytest

# SciPy's test modules, and the functions that are exchanged in them.
SUITES = {"test_arpack": ("eigs", "eigsh"), "test_svds": ("svds",)}
# SciPy's tests that fail with our functions, because we decided otherwise (docs/decisions.md): k pairs for every k,
# in one order, of operators too, where SciPy has all n of LAPACK's in LAPACK's order, and a TypeError.
DIFFERENT = {"test_arpack": ("test_eigs_for_k_greater", "test_eigsh_for_k_greater"), "test_svds": ()}
# Every place from which a version of SciPy's test module has imported the functions, or could.
NAMESPACES = (
    "scipy.sparse.linalg",
    "scipy.sparse.linalg._eigen",
    "scipy.sparse.linalg._eigen.arpack",
    "scipy.sparse.linalg._eigen.arpack.arpack",
    "scipy.sparse.linalg._eigen._svds",
)
MODES = ("pristine", "import", "substitute")


def _namespaces():
    """The modules in `NAMESPACES`; by ``import_module``, since one name there hides another."""
    return [importlib.import_module(name) for name in NAMESPACES]


class _Substitution:
    """The functions under test, counted, and the means to show them to SciPy's test module."""

    def __init__(self, mode, module, functions):
        self.mode = mode
        self.calls = dict.fromkeys(functions, 0)
        self.same_as_scipy = {}
        self._lock = threading.Lock()  # SciPy's tests call the functions from several threads
        self._counted = {}
        # SciPy's functions are looked up first: importing `module` must not be able to
        # replace what we compare with.
        self._originals = [
            (namespace, name, getattr(namespace, name))
            for namespace in _namespaces()
            for name in functions
            if hasattr(namespace, name)
        ]
        if mode != "pristine":
            tested = importlib.import_module(module)
            scipys = [original for _, _, original in self._originals]
            for name in functions:
                function = getattr(tested, name)
                self.same_as_scipy[name] = any(function is original for original in scipys)
                self._counted[name] = self._count(name, function)

    def _count(self, name, function):
        @functools.wraps(function)
        def counted(*args, **kwargs):
            with self._lock:
                self.calls[name] += 1
            return function(*args, **kwargs)

        # `wraps` forgives a missing __name__; SciPy's tests, which print it, would not.
        counted.__name__ = function.__name__
        return counted

    def intact(self):
        """Whether SciPy's own names mean SciPy's own functions."""
        return all(getattr(namespace, name) is original for namespace, name, original in self._originals)

    @contextlib.contextmanager
    def in_place(self):
        """Show the functions under test in place of SciPy's, in mode ``substitute``."""
        if self.mode != "substitute":
            yield
            return
        try:
            for namespace, name, _ in self._originals:
                setattr(namespace, name, self._counted[name])
            yield
        finally:
            for namespace, name, original in self._originals:
                setattr(namespace, name, original)


class _Recorder:
    """Substitute during the collection of SciPy's module; write down what became of each test."""

    def __init__(self, substitution, suite, path):
        self._substitution = substitution
        self._suite = suite
        self._path = path
        self._imported = []
        self._outcomes = {}
        self._details = {}
        self._warnings = {}

    @staticmethod
    def _short(nodeid):
        """A node id without the file, whose spelling depends on where SciPy is installed."""
        return nodeid.partition("::")[2] or nodeid

    @pytest.hookimpl(hookwrapper=True)
    def pytest_make_collect_report(self, collector):
        # Collecting a module is what imports it.  Its node id may be empty (it is outside of
        # pytest's root), so the file's name has to tell which one it is.
        if isinstance(collector, pytest.Module) and collector.path.stem == self._suite:
            already = set(sys.modules)
            with self._substitution.in_place():
                yield
            imported = set(sys.modules) - already
            self._imported.extend(name for name in imported if name.rpartition(".")[2] == self._suite)
        else:
            yield

    def pytest_collectreport(self, report):
        if report.failed:
            node = self._short(report.nodeid) + " (collection)"
            self._outcomes[node] = "error"
            self._details[node] = str(report.longrepr)

    def pytest_runtest_logreport(self, report):
        node = self._short(report.nodeid)
        expected_to_fail = hasattr(report, "wasxfail")
        if report.skipped:
            outcome = "xfailed" if expected_to_fail else "skipped"
        elif report.failed:
            outcome = "failed" if report.when == "call" else "error"
        elif report.when == "call":
            outcome = "xpassed" if expected_to_fail else "passed"
        else:
            return
        # A failure to clean up comes after, and must not hide, the outcome of the test.
        known = self._outcomes.get(node)
        self._outcomes[node] = outcome if known is None else f"{known}, {outcome}"
        if report.failed:
            self._details[node] = report.longreprtext

    def pytest_warning_recorded(self, warning_message, nodeid):
        if nodeid:
            text = f"{warning_message.category.__name__}: {warning_message.message}"
            self._warnings.setdefault(self._short(nodeid), []).append(text)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self):
        report = {
            "calls": self._substitution.calls,
            "same_as_scipy": self._substitution.same_as_scipy,
            "intact": self._substitution.intact(),
            "imported": self._imported,
            "outcomes": self._outcomes,
            "details": self._details,
            "warnings": {node: sorted(set(texts)) for node, texts in self._warnings.items()},
        }
        with open(self._path, "w", encoding="utf-8") as stream:
            json.dump(report, stream, indent=1, sort_keys=True)


def pytest_configure(config):
    """Start recording, if this is one of our subprocesses."""
    path = os.environ.get("SCIPY_SUITE_REPORT")
    if not path:
        return
    mode = os.environ["SCIPY_SUITE_MODE"]
    if mode not in MODES:
        raise pytest.UsageError(f"SCIPY_SUITE_MODE={mode!r} is none of {MODES}")
    suite = os.environ["SCIPY_SUITE_NAME"]
    substitution = _Substitution(mode, os.environ["SCIPY_SUITE_MODULE"], SUITES[suite])
    config.pluginmanager.register(_Recorder(substitution, suite, path), "scipy-suite-recorder")
