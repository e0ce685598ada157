"""The package keeps its structure: imports point down, and only `bindings/` knows an AD framework.

`violations` is a function of {module name: source}, so that it can be tried on sources that break
a rule on purpose. A module is named by its path: `krylov_adj.krylov.__init__`, `krylov_adj.eigen`.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "krylov_adj"
ROOT = Path(__file__).resolve().parents[1] / PACKAGE

# A module may import from its own rank and from lower ones. A folder has one entry: its modules
# may import each other. A new module or folder needs a line here.
RANKS = {
    "_version": 0,
    "exceptions": 1,
    "reports": 1,
    "messages": 1,
    "linear_messages": 1,
    "options": 1,
    "differences": 1,
    "continuation": 2,
    "ranking": 2,
    "krylov": 2,
    "perturbation": 3,
    "operators": 4,
    "algebra": 4,
    "hermitian": 4,
    "kronecker": 4,
    "matrices": 4,
    "sparse": 4,
    "patterns": 4,
    "pde": 4,
    "stencils": 4,
    "bindings": 4,
    "attach": 5,
    "arpack": 5,
    "lapack": 5,
    "forward": 5,
    "linear": 5,
    "warm_start": 5,
    "units": 5,
    "symmetric": 5,
    "eigen": 6,
    "left": 6,
    "nonlinear": 6,
    "svd": 6,
    "diagnostics": 6,
    "__init__": 7,
}
FRAMEWORKS = {"autograd", "jax", "jaxlib", "torch"}
MAX_LINES = 450
# What may be taken from each random module: whatever does not use the global state.
RANDOM = {
    "numpy.random": {
        "default_rng",
        "Generator",
        "RandomState",
        "BitGenerator",
        "SeedSequence",
        "PCG64",
        "PCG64DXSM",
        "Philox",
        "SFC64",
        "MT19937",
    },
    "random": {"Random", "SystemRandom"},
}
RANDOM["autograd.numpy.random"] = RANDOM["numpy.random"]


class Violation(NamedTuple):
    rule: str
    module: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.module}, line {self.line}: {self.text} [{self.rule}]"


class Import(NamedTuple):
    line: int
    target: str  # dotted and absolute, down to the imported name
    local: str  # the name that it binds ("" for a call)
    bound: str  # what that name stands for


def imports(module: str, tree: ast.Module) -> Iterator[Import]:
    """Every import in `tree`, at any depth, relative ones and `import_module("...")` included."""

    def absolute(level: int, name: str) -> str:
        if level == 0:
            return name
        parents = module.split(".")[:-level]  # module names end in the file, so level 1 is its folder
        if not parents:
            raise ValueError(f"{module}: a relative import of level {level} leaves the package")
        return ".".join([*parents, name] if name else parents)

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.name if alias.asname else alias.name.split(".")[0]
                yield Import(node.lineno, alias.name, alias.asname or bound, bound)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node.level, node.module or "")
            for alias in node.names:
                target = f"{base}.{alias.name}"
                yield Import(node.lineno, target, alias.asname or alias.name, target)
        elif isinstance(node, ast.Call) and node.args:
            function = dotted(node.func) or ""
            name = getattr(node.args[0], "value", None)
            if function.split(".")[-1] in {"import_module", "__import__"} and isinstance(name, str):
                stem = name.lstrip(".")
                yield Import(node.lineno, absolute(len(name) - len(stem), stem), "", "")


def dotted(node: ast.AST) -> str | None:
    """`a.b.c` of an attribute chain, None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        value = dotted(node.value)
        return value and f"{value}.{node.attr}"
    return None


def entry(name: str) -> str | None:
    """The line of RANKS that a dotted name of the package belongs to, None for other packages.

    A name that is no module's (`from krylov_adj import eigsh`) comes from the package's `__init__`.
    """
    top, *rest = name.split(".")
    if top != PACKAGE:
        return None
    return rest[0] if rest and rest[0] in RANKS else "__init__"


def violations(sources: Mapping[str, str]) -> list[Violation]:
    found: list[Violation] = []
    for module, source in sources.items():
        tree = ast.parse(source, filename=module)
        folder = module.split(".")[1]
        if folder not in RANKS:
            found.append(Violation("unranked", module, 1, f"'{folder}' has no rank: add it to RANKS"))
        lines = len(source.splitlines())
        if lines > MAX_LINES:
            found.append(Violation("length", module, lines, f"more than {MAX_LINES} lines: split it"))
        found += _import_violations(module, folder, tree)
        found += _code_violations(module, tree)
        if module == f"{PACKAGE}.__init__":
            found += _init_violations(module, tree)
    return found


def _import_violations(module: str, folder: str, tree: ast.Module) -> Iterator[Violation]:
    for line, target, _, _ in imports(module, tree):
        if target.split(".")[0] in FRAMEWORKS and folder != "bindings":
            yield Violation("framework", module, line, f"imports {target} outside bindings/")
        to = entry(target)
        if to is not None and RANKS[to] > RANKS.get(folder, max(RANKS.values())):
            yield Violation("direction", module, line, f"imports {target}: '{to}' stands above '{folder}'")


def _code_violations(module: str, tree: ast.Module) -> Iterator[Violation]:
    bound = {name.local: name.bound for name in imports(module, tree) if name.local}
    uses = [(name.line, name.target) for name in imports(module, tree)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "print":
            yield Violation("print", module, node.lineno, "prints: use the logger")
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            yield Violation("except", module, node.lineno, "bare except: name what is expected")
        elif isinstance(node, ast.Attribute):
            first, _, rest = (dotted(node) or "").partition(".")
            if first in bound:
                uses.append((node.lineno, f"{bound[first]}.{rest}"))
    for line, name in uses:
        prefix, _, last = name.rpartition(".")
        if prefix in RANDOM and last not in RANDOM[prefix] and name not in RANDOM:
            yield Violation("random", module, line, f"{name} uses the global random state: pass a Generator")


def _init_violations(module: str, tree: ast.Module) -> Iterator[Violation]:
    for node in tree.body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        # __all__ and other literals, or a second name for something imported
        simple = isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(
            node.value, ast.List | ast.Tuple | ast.Constant | ast.Name | ast.Attribute
        )
        if not (docstring or simple or isinstance(node, ast.Import | ast.ImportFrom)):
            yield Violation("init", module, node.lineno, "holds more than imports and __all__")


def package_sources() -> dict[str, str]:
    return {
        ".".join([PACKAGE, *path.relative_to(ROOT).with_suffix("").parts]): path.read_text(encoding="utf-8")
        for path in sorted(ROOT.rglob("*.py"))
    }


def test_package_keeps_its_structure() -> None:
    sources = package_sources()
    assert f"{PACKAGE}.__init__" in sources
    assert f"{PACKAGE}._version" in sources
    found = violations(sources)
    assert not found, "\n".join(["", *map(str, found)])


BROKEN = {
    "relative import": ("direction", "krylov.gmres", "from ..perturbation.maps import adjoint"),
    "relative import of a module": ("direction", "reports", "from . import eigen"),
    "relative import of a folder": ("direction", "krylov.gmres", "from .. import perturbation"),
    "absolute import": ("direction", "operators", "from krylov_adj.attach import attach_eigenpairs"),
    "plain import": ("direction", "perturbation.clusters", "import krylov_adj.sparse as sparse"),
    "one of several": ("direction", "options", "from . import reports, krylov"),
    "a folder's __init__": ("direction", "krylov.__init__", "from ..operators import LinearOperator"),
    "in a function": ("direction", "attach", "def f():\n    from .eigen import eigsh\n    return eigsh"),
    "for annotations": ("direction", "linear", "if TYPE_CHECKING:\n    from .svd import svds"),
    "import_module": ("direction", "pde", 'import_module(".eigen", __package__)'),
    "package root": ("direction", "diagnostics", "import krylov_adj as ka"),
    "name of the root": ("direction", "eigen", "from krylov_adj import svds"),
    "relative name of the root": ("direction", "eigen", "from . import svds"),
    "_version is lowest": ("direction", "_version", "from . import reports"),
    "autograd": ("framework", "operators", "import autograd.numpy as np"),
    "autograd in a function": ("framework", "diagnostics", "def f():\n    from autograd import grad"),
    "autograd in the core": ("framework", "perturbation.adjoint", "from autograd.extend import primitive"),
    "autograd in __init__": ("framework", "__init__", "from autograd import grad"),
    "jax": ("framework", "krylov.shared", "from jax import numpy"),
    "torch": ("framework", "sparse", "try:\n    import torch\nexcept ImportError:\n    torch = None"),
    "imported by name": ("framework", "attach", 'torch = importlib.import_module("torch.autograd")'),
    "new module": ("unranked", "bifurcation", ""),
    "new folder": ("unranked", "mesh.grid", ""),
    "print": ("print", "eigen", 'def f():\n    print("converged")'),
    "print as a callback": ("print", "eigen", "Adjoint(callback=print)"),
    "seed": ("random", "eigen", "import numpy as np\nnp.random.seed(0)"),
    "global function": ("random", "eigen", "import numpy\nv0 = numpy.random.rand(3)"),
    "global function by name": ("random", "eigen", "from numpy.random import standard_normal"),
    "random module by name": ("random", "svd", "from numpy import random as r\nr.randn(3)"),
    "random module as": ("random", "svd", "import numpy.random as npr\nnpr.randn(3)"),
    "autograd's random": ("random", "bindings.a", "import autograd.numpy as anp\nanp.random.rand(3)"),
    "standard library": ("random", "eigen", "import random\nrandom.shuffle([1, 2])"),
    "bare except": ("except", "linear", "try:\n    f()\nexcept:\n    pass"),
    "long module": ("length", "pde", "x = 1\n" * (MAX_LINES + 1)),
    "function in __init__": ("init", "__init__", "def eigs():\n    pass"),
    "class in __init__": ("init", "__init__", "class Report:\n    pass"),
    "lambda in __init__": ("init", "__init__", "eigs = lambda A: A"),
    "work in __init__": ("init", "__init__", "import logging\nlogging.basicConfig()"),
}


@pytest.mark.parametrize(("rule", "module", "source"), BROKEN.values(), ids=BROKEN.keys())
def test_checker_catches(rule: str, module: str, source: str) -> None:
    found = violations({f"{PACKAGE}.{module}": source})
    assert [violation.rule for violation in found] == [rule]


LEGAL = {
    "__init__": (
        '"""Docs."""\nfrom ._version import __version__\nfrom .eigen import eigs\nfrom . import pde\n'
        "solve = pde.solve\n__all__ = ['eigs', 'pde', 'solve', '__version__']"
    ),
    "_version": '__version__ = "1.0"',
    "options": "from dataclasses import dataclass\nfrom .reports import Report",
    "krylov.__init__": "from .gmres import gmres",
    "krylov.gmres": "import numpy as np\nfrom .. import reports\nfrom . import shared",
    "perturbation.adjoint": "from ..krylov.gmres import gmres\nfrom .clusters import groups",
    "operators": "from .bindings import autograd\nfrom .bindings._trace import strip",
    "bindings.autograd": (
        "import autograd.numpy as anp\nfrom autograd.extend import primitive\n"
        "from ..operators import LinearOperator\nfrom ..perturbation import adjoint\nfrom . import _trace"
    ),
    "attach": "from . import bindings, linear",
    "svd": "import krylov_adj.eigen\nfrom krylov_adj._version import __version__",
    "eigen": (
        '"""\n>>> print(np.random.rand(3))\n"""\nimport numpy as np\nfrom numpy.random import Generator\n'
        "# print(1)\nrng = np.random.default_rng(0)\nx = rng.random(3)\nlogger.print()\n"
        "random = rng.normal\nrandom.seed\ntry:\n    f()\nexcept ValueError:\n    raise"
    ),
    "diagnostics": "x = 1\n" * MAX_LINES,
}


def test_checker_accepts_a_package_in_order() -> None:
    assert violations({f"{PACKAGE}.{module}": source for module, source in LEGAL.items()}) == []


def test_checker_says_where() -> None:
    (found,) = violations({f"{PACKAGE}.krylov.gmres": "import numpy\n\nfrom .. import eigen"})
    assert str(found) == (
        "krylov_adj.krylov.gmres, line 3: imports krylov_adj.eigen: 'eigen' stands above 'krylov' [direction]"
    )


def test_checker_refuses_an_import_that_leaves_the_package() -> None:
    with pytest.raises(ValueError, match="leaves the package"):
        violations({f"{PACKAGE}.eigen": "from ... import secrets"})
