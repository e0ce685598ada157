"""The texts of messages about eigenpairs that are followed: as in `messages.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: How many places a message lists.
LISTED = 3


def path_is_traced() -> str:
    return (
        "A(p) or the path depends on traced values: track finds plain values, which have no derivative. Call it "
        "outside of differentiated functions. To differentiate a followed pair, give its values at one p to "
        "attach_eigenpairs, or compute it there by eigsh or eigs with its eigenvalue as sigma."
    )


def unsure_tracking(unsure: Sequence[Any]) -> str:
    listed = "; ".join(
        f"pair {entry.mode}{'' if entry.other < 0 else f' (or {entry.other})'} between s = {entry.s[0]:.6g} and "
        f"{entry.s[1]:.6g}, p = {entry.p}, weight {entry.weight:.2f}"
        for entry in unsure[:LISTED]
    )
    more = f" and {len(unsure) - LISTED} more places" if len(unsure) > LISTED else ""
    return (
        f"Eigenpairs could not be told from others: {listed}{more}. Beyond, their numbers may be exchanged. It may be "
        "that (a) the path passes an exceptional point: lead it around, and see find_exceptional_point; (b) "
        "eigenvalues that coincided have split along other vectors: move the path, or start behind; (c) a pair has "
        "left the window: a larger guard; (d) the vectors change within the shortest step: more points, or a smaller "
        "smallest=."
    )
