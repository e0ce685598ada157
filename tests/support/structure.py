"""The order of imports, and a checker of it that tests and docs read: `violations` of {module name: source}.

A module is named by its path: `krylov_adj.krylov.__init__`, `krylov_adj.options`.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = "krylov_adj"
ROOT = Path(__file__).resolve().parents[2] / PACKAGE

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
    "jax": 4,
    "torch": 4,
    "__init__": 5,
}
#: Frameworks, and the front end that may import each.
FRAMEWORKS = {"autograd": "autograd", "jax": "jax", "jaxlib": "jax", "torch": "torch"}
FRONT_ENDS = {"autograd", "jax", "torch"}
MAX_LINES = 400
#: What a longer file says at its top, before the reason.
LONGER = f"Longer than {MAX_LINES} lines: "
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
        if lines > MAX_LINES and LONGER not in (ast.get_docstring(tree) or ""):
            found.append(Violation("length", module, lines, f"more than {MAX_LINES} lines: split it, or say why not"))
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
        if module in {f"{PACKAGE}.__init__", *(f"{PACKAGE}.{front_end}.__init__" for front_end in FRONT_ENDS)}:
            continue  # tables of names
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
