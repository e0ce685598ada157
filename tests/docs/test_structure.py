"""The package keeps its structure: imports point down, without circles, and a framework stays in its front end.

The checker is tried on sources that break a rule on purpose.
"""

import ast
import importlib.util
import subprocess
import sys

import pytest
from structure import (
    FRAMEWORKS,
    MAX_CHAIN,
    MAX_LINES,
    MAX_ROWS,
    PACKAGE,
    RANKS,
    ROOT,
    circles,
    import_graph,
    longest_chain,
    package_sources,
    violations,
)

import krylov_adj as ka


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
    # Front ends of frameworks that are not installed cannot be imported, with autograd or without.
    out = {"autograd", *(end for name, end in FRAMEWORKS.items() if importlib.util.find_spec(name) is None)}
    modules = [name.removesuffix(".__init__") for name in package_sources() if name.split(".")[1] not in out]
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
    "report.messages": '"""Texts.\n\nLonger than 400 lines: in one place.\n"""\n' + "x = 1\n" * MAX_LINES,
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
