"""Every public name says what it takes, gives, raises and differentiates, in numpydoc, with an example that runs."""

import doctest
import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import krylov_adj as ka
from krylov_adj.autograd.diagnostics import GradientCheck
from krylov_adj.autograd.operators.stencils import Stencil
from krylov_adj.perturbation.cluster_model import ClusterGradient

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
#: Front ends besides autograd's, and whether their frameworks are installed: `make frontends` does that.
FRONT_ENDS = {name: importlib.util.find_spec(name) is not None for name in ("jax", "torch")}


def is_installed(module: str) -> bool:
    """Whether a module's framework is there."""
    return all(installed for name, installed in FRONT_ENDS.items() if f"{module}.".startswith(f"krylov_adj.{name}."))


def found_modules():
    """The names of all modules that can be imported; the package is not asked for those that cannot."""
    for path in sorted(Path(ka.__path__[0]).rglob("*.py")):
        parts = ["krylov_adj", *path.relative_to(ka.__path__[0]).with_suffix("").parts]
        name = ".".join(part for part in parts if part != "__init__")
        if name != "krylov_adj" and is_installed(name):
            yield name


MODULES = sorted(found_modules())

# The names of the package, those of its public module, and the classes that they return.
NAMES = {
    **{name: getattr(ka, name) for name in ka.__all__ if callable(getattr(ka, name))},
    **{f"pde.{name}": getattr(ka.pde, name) for name in ka.pde.__all__},
    "Stencil": Stencil,
    "GradientCheck": GradientCheck,
    "ClusterGradient": ClusterGradient,
}
for front_end, installed in FRONT_ENDS.items():
    if installed and (Path(ka.__path__[0]) / front_end).exists():
        public = importlib.import_module(f"krylov_adj.{front_end}")
        own = {name: getattr(public, name) for name in public.__all__}
        NAMES |= {
            f"{front_end}.{name}": thing for name, thing in own.items() if thing.__module__.startswith(public.__name__)
        }
OURS = {name: thing for name, thing in NAMES.items() if thing.__module__.startswith("krylov_adj")}
RETURNED = {"Report", "Stencil", "GradientCheck", "ClusterGradient"}  # made by the package, not by its users


def sections(docstring: str) -> dict[str, str]:
    """The text of each section of a numpydoc docstring; the summary and what follows it under ""."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", inspect.cleandoc(docstring), flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def described(section: str) -> set[str]:
    """The names that a section of parameters or attributes describes, "a, b : type" as two."""
    heads = re.findall(r"^(\w[^\n:]*?)(?: :[^\n]*)?$", section, flags=re.MULTILINE)
    return {name.strip() for head in heads for name in head.split(",")}


def arguments(thing: object) -> set[str]:
    kept = (p for p in inspect.signature(thing).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    return {parameter.name for parameter in kept} - {"self"}


def lacks(name: str, thing: object) -> list[str]:
    """What the docstring of a public name should have and has not."""
    found = sections(thing.__doc__ or "")
    exception = isinstance(thing, type) and issubclass(thing, BaseException)
    function = not isinstance(thing, type)
    wanted = {"Examples"}
    if not exception and name not in RETURNED:
        wanted |= {"Derivative"} | ({"Returns"} if function else set())
        wanted |= {"Parameters", "Raises"} if arguments(thing) else set()
    missing = sorted(wanted - found.keys())
    summary = found[""].split("\n\n")[0]
    if not re.match(r".*[.:]$", summary, flags=re.DOTALL):
        missing.append("a summary that is a sentence")
    if "Parameters" in wanted & found.keys():
        missing += sorted(arguments(thing) - described(found["Parameters"]))
    if ">>>" not in found.get("Examples", ""):
        missing.append("code in the example")
    if re.search(r"^\s*[A-Z]\. ", thing.__doc__ or "", flags=re.MULTILINE):
        missing.append("a line that Sphinx does not take for item A. of a list")
    return missing


@pytest.mark.parametrize("name", OURS)
def test_docstring_is_complete(name):
    assert lacks(name, OURS[name]) == []


def test_what_is_not_ours_is_described_in_the_reference():
    """Its docstring is SciPy's; docs/api.md has the example, which runs in tests/docs/test_docs.py."""
    assert NAMES.keys() - OURS.keys() == {"EigenNoConvergence"}


def test_what_is_missing_is_noticed():
    def solve(A, b, *, rtol=0.0):
        """Solve

        R. is what is left.

        Parameters
        ----------
        A, b : arrays

        Examples
        --------
        None yet.
        """

    assert lacks("solve", solve) == [
        "Derivative", "Raises", "Returns", "a summary that is a sentence", "rtol", "code in the example",
        "a line that Sphinx does not take for item A. of a list",
    ]  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=FLAGS).failed == 0


def test_docstrings_say_what_a_function_returns():
    """In the reader's words: none begins with a word that leaves the reader to guess what there is."""
    found = []
    for path in sorted(Path(ka.__path__[0]).rglob("*.py")):
        source = path.read_text("utf-8")
        found += [(path.name, line) for line in re.findall(r'"""((?:What|Of|As|How|Likewise|Those) .*)', source)]
    assert found == []
