"""The package keeps its structure: imports point down, without circles, and a framework stays in its front end.

`violations` is a function of {module name: source}, so that it can be tried on sources that break
a rule on purpose. A module is named by its path: `krylov_adj.krylov.__init__`, `krylov_adj.options`.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import krylov_adj as ka

PACKAGE = "krylov_adj"
ROOT = Path(__file__).resolve().parents[1] / PACKAGE

# Rows of the import order. A module may import from its own row and from lower ones, but front ends never from each
# other. A new folder, or a module beside the folders, needs a line here.
RANKS = {
    "_version": 0,
    "report": 0,
    "options": 0,
    "krylov": 1,
    "perturbation": 2,
    "forms": 3,
    "forward": 3,
    "autograd": 4,
    "__init__": 5,
}
#: Frameworks, and the front end that may import each.
FRAMEWORKS = {"autograd": "autograd", "jax": "jax", "jaxlib": "jax", "torch": "torch"}
FRONT_ENDS = {"autograd", "jax", "torch"}
MAX_LINES = 450
#: Rows, and modules on the longest chain of imports.
MAX_ROWS, MAX_CHAIN = 7, 13
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
        home = FRAMEWORKS.get(target.split(".")[0])
        if home is not None and folder != home:
            yield Violation("framework", module, line, f"imports {target} outside {home}/")
        to = entry(target)
        if to is None or folder not in RANKS:
            continue
        if RANKS[to] > RANKS[folder]:
            yield Violation("direction", module, line, f"imports {target}: '{to}' stands above '{folder}'")
        elif {to, folder} <= FRONT_ENDS and to != folder:
            yield Violation("direction", module, line, f"imports {target}: front ends do not import each other")
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    yield Violation("local", module, node.lineno, "imports inside of a function")


def import_graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """The modules that each module imports, those for annotations included; a package is its `__init__`."""
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        if module == f"{PACKAGE}.__init__":  # a table of names, loaded at first use
            continue
        found = graph.setdefault(module, set())
        for name in imports(module, ast.parse(source)):
            candidates = (name.target, name.target.rpartition(".")[0])
            found |= {m for c in candidates for m in (c, f"{c}.__init__") if m in sources and m != module}
    return {module: found - {f"{PACKAGE}.__init__"} for module, found in graph.items()}


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """A chain of imports that comes back to its beginning, for every one found."""
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
        elif module not in done:
            for target in sorted(graph.get(module, ())):
                visit(target, [*path, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return found


def longest_chain(graph: Mapping[str, set[str]]) -> list[str]:
    """The longest chain of imports, of a graph without circles."""

    @cache
    def chain(module: str) -> tuple[str, ...]:
        return (module, *max((chain(target) for target in graph.get(module, ())), key=len, default=()))

    return list(max(map(chain, graph), key=len))


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
            node.value, ast.List | ast.Tuple | ast.Dict | ast.Constant | ast.Name | ast.Attribute
        )
        loads = isinstance(node, ast.FunctionDef) and node.name in ("__getattr__", "__dir__")
        typing = isinstance(node, ast.If) and dotted(node.test) == "TYPE_CHECKING"
        if not (docstring or simple or loads or typing or isinstance(node, ast.Import | ast.ImportFrom)):
            yield Violation("init", module, node.lineno, "holds more than imports and a table of names")


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


def test_imports_have_no_circles_and_no_long_chains() -> None:
    graph = import_graph(package_sources())
    assert len(graph) > 50
    assert circles(graph) == []
    assert len(set(RANKS.values())) <= MAX_ROWS
    chain = longest_chain(graph)
    assert len(chain) <= MAX_CHAIN, " -> ".join(chain)


def test_a_circle_is_found() -> None:
    sources = {
        "krylov_adj.krylov.a": "from .b import f",
        "krylov_adj.krylov.b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import c",
        "krylov_adj.krylov.c": "from ..krylov.a import g",
        "krylov_adj.krylov.d": "from .a import g",
    }
    graph = import_graph(sources)
    (found,) = circles(graph)
    assert [name[-1] for name in found] == ["a", "b", "c", "a"]
    del graph["krylov_adj.krylov.c"]
    assert circles(graph) == []
    assert [name[-1] for name in longest_chain(graph)] == ["d", "a", "b", "c"]


def test_the_public_names_are_one_table() -> None:
    """For type checkers, at run time, and in `__all__`: the same names from the same modules."""
    tree = ast.parse((ROOT / "__init__.py").read_text("utf-8"))
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    from_imports = {alias.name: f".{node.module}" for node in typed.body for alias in node.names}
    assert from_imports == ka._MODULES
    assert {*ka._MODULES, "__version__"} == set(ka.__all__) <= set(dir(ka))
    assert len(ka.__all__) == len(set(ka.__all__))
    with pytest.raises(AttributeError, match="has no attribute 'eigz'"):
        _ = ka.eigz


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_names_are_loaded_at_first_use() -> None:
    code = (
        "import sys, krylov_adj as ka; print('autograd' in sys.modules); ka.Adjoint(); print('autograd' in sys.modules)"
    )
    assert run(code).split() == ["False", "False"]
    assert run("import sys, krylov_adj as ka; ka.eigsh; print('autograd' in sys.modules)") == "True"


def test_only_the_front_end_needs_autograd() -> None:
    modules = [name.removesuffix(".__init__") for name in package_sources() if name.split(".")[1] != "autograd"]
    assert len(modules) > 40
    lines = [
        "import sys, importlib",
        "sys.modules['autograd'] = None",
        *(f"importlib.import_module('{m}')" for m in modules),
    ]
    assert run("\n".join([*lines, "print('done')"])) == "done"


BROKEN = {
    "relative import": ("direction", "krylov.gmres", "from ..perturbation.maps import begin_adjoint"),
    "relative import of a module": ("direction", "options", "from .krylov import gmres"),
    "relative import of a folder": ("direction", "krylov.gmres", "from .. import perturbation"),
    "absolute import": ("direction", "forward.arpack", "from krylov_adj.autograd.attach import attach_eigenpairs"),
    "plain import": ("direction", "perturbation.gauge", "import krylov_adj.forward.lapack as lapack"),
    "one of several": ("direction", "options", "from . import report, krylov"),
    "a folder's __init__": ("direction", "krylov.__init__", "from ..perturbation.problem import ValueOperator"),
    "for annotations": ("direction", "forward.lapack", "if TYPE_CHECKING:\n    from ..autograd.svd import svds"),
    "import_module": ("direction", "forms.patterns", 'import_module("..autograd.eigen", __package__)'),
    "package root": ("direction", "autograd.diagnostics", "import krylov_adj as ka"),
    "name of the root": ("direction", "autograd.eigen", "from krylov_adj import svds"),
    "relative name of the root": ("direction", "autograd.eigen", "from .. import svds"),
    "_version is lowest": ("direction", "_version", "from . import krylov"),
    "in a function": ("local", "autograd.attach", "def f():\n    from .eigen import eigsh\n    return eigsh"),
    "in a method": ("local", "krylov.gmres", "class A:\n    def f(self):\n        import numpy\n        return numpy"),
    "autograd": ("framework", "forms.stencils", "import autograd.numpy as np"),
    "autograd in the core": ("framework", "perturbation.maps", "from autograd.extend import primitive"),
    "autograd in __init__": ("framework", "__init__", "from autograd import grad"),
    "jax": ("framework", "krylov.shared", "from jax import numpy"),
    "jax in autograd's front end": ("framework", "autograd.eigen", "import jax"),
    "torch": ("framework", "forward.lapack", "try:\n    import torch\nexcept ImportError:\n    torch = None"),
    "imported by name": ("framework", "autograd.attach", 'torch = importlib.import_module("torch.autograd")'),
    "new module": ("unranked", "bifurcation", ""),
    "new folder": ("unranked", "mesh.grid", ""),
    "print": ("print", "autograd.eigen", 'def f():\n    print("converged")'),
    "print as a callback": ("print", "autograd.eigen", "Adjoint(callback=print)"),
    "seed": ("random", "forward.lapack", "import numpy as np\nnp.random.seed(0)"),
    "global function": ("random", "forward.lapack", "import numpy\nv0 = numpy.random.rand(3)"),
    "global function by name": ("random", "forward.lapack", "from numpy.random import standard_normal"),
    "random module by name": ("random", "forward.lapack", "from numpy import random as r\nr.randn(3)"),
    "random module as": ("random", "forward.lapack", "import numpy.random as npr\nnpr.randn(3)"),
    "autograd's random": ("random", "autograd.a", "import autograd.numpy as anp\nanp.random.rand(3)"),
    "standard library": ("random", "forward.lapack", "import random\nrandom.shuffle([1, 2])"),
    "bare except": ("except", "krylov.gmres", "try:\n    f()\nexcept:\n    pass"),
    "long module": ("length", "options", "x = 1\n" * (MAX_LINES + 1)),
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
        '"""Docs."""\nfrom typing import TYPE_CHECKING\nfrom ._version import __version__\nif TYPE_CHECKING:\n'
        "    from .autograd.eigen import eigs\n_MODULES = {'eigs': '.autograd.eigen'}\n"
        "def __getattr__(name):\n    return name\n__all__ = ['eigs', '__version__']"
    ),
    "_version": '__version__ = "1.0"',
    "options": "from dataclasses import dataclass\nfrom .report.report import Report",
    "krylov.__init__": "from .gmres import gmres",
    "krylov.gmres": "import numpy as np\nfrom ..report import messages\nfrom . import shared",
    "perturbation.maps": "from ..krylov.gmres import gmres\nfrom .gauge import groups",
    "forward.lapack": "from ..perturbation import maps\nfrom ..forms.patterns import Pattern",
    "autograd.primitives": (
        "import autograd.numpy as anp\nfrom autograd.extend import primitive\n"
        "from ..forward.lapack import dense_pairs\nfrom ..perturbation import maps\nfrom . import trace"
    ),
    "autograd.svd": "import krylov_adj.autograd.eigen\nfrom krylov_adj._version import __version__",
    "autograd.eigen": (
        '"""\n>>> print(np.random.rand(3))\n"""\nimport numpy as np\nfrom numpy.random import Generator\n'
        "# print(1)\nrng = np.random.default_rng(0)\nx = rng.random(3)\nlogger.print()\n"
        "random = rng.normal\nrandom.seed\ntry:\n    f()\nexcept ValueError:\n    raise"
    ),
    "autograd.diagnostics": "x = 1\n" * MAX_LINES,
}


def test_checker_accepts_a_package_in_order() -> None:
    assert violations({f"{PACKAGE}.{module}": source for module, source in LEGAL.items()}) == []


def test_checker_says_where() -> None:
    (found,) = violations({f"{PACKAGE}.krylov.gmres": "import numpy\n\nfrom .. import autograd"})
    assert str(found) == (
        "krylov_adj.krylov.gmres, line 3: imports krylov_adj.autograd: 'autograd' stands above 'krylov' [direction]"
    )


def test_checker_refuses_an_import_that_leaves_the_package() -> None:
    with pytest.raises(ValueError, match="leaves the package"):
        violations({f"{PACKAGE}.options": "from ... import secrets"})
