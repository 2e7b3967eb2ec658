"""Tables of figures against their limits."""

from __future__ import annotations

from collections.abc import Sequence

from perf.markdown import cell, table
from perf.targets import Check

MET = {True: "yes", False: "**no**", None: "not measured"}


def matrices(groups: Sequence[Sequence[Check]]) -> list[str]:
    """A table for each group of checks that many subjects share: a row for each, a column for each check.

    One that is missed has its bound beside it where that misses the limit as well.
    """
    lines = []
    for checks in groups:
        names = list(dict.fromkeys(check.name for check in checks))
        limits = {check.name: _limits([other for other in checks if other.name == check.name]) for check in checks}
        rows: dict[str, dict[str, str]] = {}
        for check in checks:
            missed = " **no**" if check.met is False else ""
            bound = f" (bound {cell(check.bound)})" if missed and check.beyond_reach else ""
            rows.setdefault(check.subject, {})[check.name] = f"{cell(check.figure)}{missed}{bound}"
        titles = ["", *(f"{name}, {limits[name]}" for name in names)]
        lines += [*table(titles, ([subject, *map(by_name.get, names)] for subject, by_name in rows.items())), ""]
    return lines


def full(checks: Sequence[Check]) -> list[str]:
    """A row for each check, with the spread of its rounds and what bounds it."""
    rows = [
        (
            check.subject,
            check.name,
            limit(check),
            check.figure,
            f"{check.spread[0]:.2f} to {check.spread[1]:.2f}" if check.spread else "",
            check.bound,
            MET[check.met],
        )
        for check in checks
    ]
    return table(["", "", "target", "figure", "rounds", "bound", "met"], rows)


def limit(check: Check) -> str:
    """In words."""
    return f"{'<=' if check.at_most else '>='} {check.limit:g}{'' if check.unit == 'x' else f' {check.unit}'}"


def _limits(checks: Sequence[Check]) -> str:
    """That of all of them, or those of each variant."""
    return ", hpi ".join(dict.fromkeys(limit(check) for check in checks))
