"""No six consecutive lines of code stand in two places of the package, whatever their names are.

Docstrings, comments, imports, decorators and signatures do not count. A name counts as the first, second, … of the six
lines, so that a copy with other names is found; numbers and texts are as they stand.
"""

import ast
import io
import keyword
import tokenize
from collections import defaultdict

from structure import package_sources

LINES = 6


def code_lines(source: str) -> list[tuple[int, list[tuple[str, bool]]]]:
    """Logical lines of statements: their numbers, and their tokens, each with whether it is a name."""
    tree = ast.parse(source)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            skipped |= set(range(node.lineno, node.end_lineno + 1))
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            skipped |= set(range(first, node.body[0].lineno))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            skipped |= set(range(node.lineno, node.end_lineno + 1))
        if isinstance(node, ast.AnnAssign) and node.value is None:  # fields are the signature of a class
            skipped |= set(range(node.lineno, node.end_lineno + 1))
    lines, tokens, start = [], [], 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
            continue
        if token.type == tokenize.NEWLINE:
            if tokens and start not in skipped:
                lines.append((start, tokens))
            tokens = []
            continue
        if not tokens:
            start = token.start[0]
        tokens.append((token.string, token.type == tokenize.NAME and not keyword.iskeyword(token.string)))
    return lines


def shape(window: list[tuple[int, list[tuple[str, bool]]]]) -> tuple[str, ...]:
    """The tokens of some lines with numbers for names."""
    numbers: dict[str, int] = {}
    found = []
    for _, tokens in window:
        for text, is_name in tokens:
            found.append(f"#{numbers.setdefault(text, len(numbers))}" if is_name else text)
        found.append("\n")
    return tuple(found)


def repeated(sources: dict[str, str], lines: int = LINES) -> list[tuple[str, str]]:
    """Pairs of places that share so many lines."""
    places = defaultdict(list)
    for module, source in sources.items():
        statements = code_lines(source)
        for i in range(len(statements) - lines + 1):
            places[shape(statements[i : i + lines])].append((module, i, statements[i][0]))
    found = []
    for where in places.values():
        first = where[0]
        for module, i, line in where[1:]:
            if module != first[0] or i - first[1] >= lines:
                found.append((f"{first[0]}:{first[2]}", f"{module}:{line}"))
    return found


def test_no_six_lines_stand_in_two_places():
    found = repeated(package_sources())
    assert found == [], "\n".join(["", *(f"{a} ~ {b}" for a, b in found)])


def test_a_copy_with_other_names_is_found():
    body = "    a = g(x)\n    b = a + 1\n    if b > 2:\n        return a\n    c = b * x\n    return h(c, a)\n"
    other = body.replace("a", "first").replace("x", "point").replace("g(", "f(")
    sources = {"one": f"def f(x):\n    '''One.'''\n{body}", "two": f"def k(point, y=3):\n{other}"}
    assert repeated(sources) == [("one:3", "two:2")]
    assert repeated(sources | {"two": sources["two"].replace("+ 1", "+ 2")}) == []
    assert repeated({"one": sources["one"]}) == []
