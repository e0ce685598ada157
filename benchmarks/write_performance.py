"""Run the benchmarks named in docs/performance.md and put what they print in their places.

    python benchmarks/write_performance.py                   all of them
    python benchmarks/write_performance.py "scaling.py --million" continuation.py

A place is what stands between ``<!-- python benchmarks/<command> -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent
PAGE = BENCHMARKS.parent / "docs" / "performance.md"
PLACE = re.compile(r"(<!-- python benchmarks/(?P<command>.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def printed(command: str) -> str:
    """The standard output of one benchmark."""
    name, *arguments = shlex.split(command)
    run = subprocess.run([sys.executable, BENCHMARKS / name, *arguments], stdout=subprocess.PIPE, check=True)
    return run.stdout.decode()


def shown(result: str) -> str:
    """Markdown tables as they are, columns of text as such."""
    return result if re.search(r"^\|", result, re.MULTILINE) else f"```text\n{result}\n```"


def filled(text: str, wanted: list[str], output: Callable[[str], str] = printed) -> str:
    """The page with the output of the wanted commands (all, where none are named) in its places."""
    commands = [match["command"] for match in PLACE.finditer(text)]
    unknown = set(wanted) - set(commands)
    if unknown:
        raise SystemExit(f"{', '.join(sorted(unknown))}: not in {PAGE.name}, which has {', '.join(commands)}")
    for command in wanted or commands:
        result = shown(output(command).strip("\n"))
        start = f"<!-- python benchmarks/{command} -->\n"
        before, after = text.split(start)
        text = f"{before}{start}\n{result}\n\n{after[after.index('<!-- end -->') :]}"
    return text


def main(wanted: list[str]) -> None:
    for command in wanted or [match["command"] for match in PLACE.finditer(PAGE.read_text(encoding="utf-8"))]:
        result = printed(command)  # before the page is read, which others may write to meanwhile
        page = filled(PAGE.read_text(encoding="utf-8"), [command], {command: result}.__getitem__)
        PAGE.write_text(page, encoding="utf-8")  # what is done stays


if __name__ == "__main__":
    main(sys.argv[1:])
