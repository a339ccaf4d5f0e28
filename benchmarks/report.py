"""From measurements to tables and JSON."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import NamedTuple

from rows import FIGURES, ROWS, Row
from sizes import Costs

OURS = "DiskDict"
WORD = {True: "met", False: "missed", None: "-"}

Medians = dict[str, dict[str, list[float]]]
"""Row, contender, and its median of each round in microseconds an operation."""


class Results(NamedTuple):
    """All that was measured. `absent` says why a contender, or one row of it, is missing."""

    medians: Medians
    figures: dict[str, list[float]]
    absent: dict[str, str]
    conditions: dict[str, object]
    costs: Costs


class Verdict(NamedTuple):
    """One target and what was reached."""

    name: str
    reached: str
    target: str
    met: bool | None


def ratio(medians: Medians, row: Row, name: str) -> float | None:
    """Return the median over the rounds of the ratio to the baseline of the same round."""
    ours, theirs = medians.get(row.name, {}).get(name), medians.get(row.name, {}).get(row.baseline)
    if not ours or not theirs:
        return None
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=False))


def verdicts(results: Results, to_beat: Sequence[str]) -> list[Verdict]:
    """Compare with the targets; what could not be measured is neither met nor missed."""
    found = []
    for row in ROWS:
        reached = ratio(results.medians, row, OURS)
        target = f"x {row.limit:.2f} of {row.baseline}"
        met = None if reached is None else reached <= row.limit
        found.append(Verdict(row.name, "not measured" if reached is None else f"x {reached:.2f}", target, met))
    for figure in FIGURES:
        values = results.figures.get(figure.name)
        middle = statistics.median(values) if values else None
        reached_text = "not measured" if middle is None else f"{middle:.2f} {figure.unit}"
        met = None if middle is None else middle <= figure.limit
        found.append(Verdict(figure.name, reached_text, f"{figure.limit:g} {figure.unit}", met))
    return found + [ahead_of(results.medians, peer) for peer in to_beat]


def ahead_of(medians: Medians, peer: str, ours: str = OURS, rows: Sequence[Row] = ROWS) -> Verdict:
    """Say in which rows ours is slower than a peer it has to be ahead of."""
    compared = [row.name for row in rows if {ours, peer} <= medians.get(row.name, {}).keys()]
    behind = [
        name for name in compared if statistics.median(medians[name][ours]) >= statistics.median(medians[name][peer])
    ]
    reached = f"{len(compared) - len(behind)} of {len(compared)}" + (f", not {', '.join(behind)}" if behind else "")
    return Verdict(
        f"ahead of {peer}", reached if compared else "not measured", "every row", not behind if compared else None
    )


def text(results: Results, to_beat: Sequence[str]) -> str:
    """Return everything as reStructuredText."""
    targets = [(one.name, one.reached, one.target, WORD[one.met]) for one in verdicts(results, to_beat)]
    parts = [
        heading("Conditions"),
        *(f"- {name}: {value}" for name, value in results.conditions.items()),
        heading("Targets"),
        table(("what", OURS, "target", ""), targets),
        heading("Microseconds an operation (median of the rounds' medians)"),
        table(*operations(results.medians)),
    ]
    if results.costs:
        parts += [heading("By number of keys (µs an operation, or as named)"), table(*by_number(results.costs))]
    if results.absent:
        parts += [heading("Not measured"), *(f"- {name}: {reason}" for name, reason in results.absent.items())]
    return "\n".join(parts)


def operations(medians: Medians, rows: Sequence[Row] = ROWS) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return header and lines of the table of all contenders, in the order in which they first appear."""
    names = list(dict.fromkeys(name for by_name in medians.values() for name in by_name))
    lines = []
    for row in rows:
        values = medians.get(row.name, {})
        lines.append([row.name, *(shown(values.get(name)) for name in names)])
    return ["", *names], lines


def by_number(costs: Costs) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return header and lines of the table of costs by number of keys, the last column against the first."""
    sizes = list(dict.fromkeys(size for by_size in costs.values() for size in by_size))
    lines = []
    for name, by_size in costs.items():
        values = list(by_size.values())
        cells = (shown([by_size[size]] if size in by_size else None) for size in sizes)
        lines.append([name, *cells, f"x {values[-1] / values[0]:.2f}"])
    return ["", *(f"{size:,}" for size in sizes), "last to first"], lines


def shown(values: Sequence[float] | None) -> str:
    if not values:
        return "-"
    middle = statistics.median(values)
    return f"{middle:.2f}" if middle < 10 else f"{middle:,.0f}" if middle >= 100 else f"{middle:.1f}"


def heading(title: str) -> str:
    return f"\n{title}\n{'-' * len(title)}\n"


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a simple table of reStructuredText; an empty first cell is written as a backslash."""
    cells = [[cell or "\\" for cell in line] for line in (header, *lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([rule, rows[0], rule, *rows[1:], rule])


def as_json(results: Results, to_beat: Sequence[str]) -> dict[str, object]:
    """Return everything, each round included, in a form that JSON can hold."""
    return {
        "conditions": results.conditions,
        "microseconds": results.medians,
        "ratios": {
            row.name: {name: ratio(results.medians, row, name) for name in results.medians.get(row.name, {})}
            for row in ROWS
        },
        "figures": results.figures,
        "costs": results.costs,
        "targets": [one._asdict() for one in verdicts(results, to_beat)],
        "absent": results.absent,
    }


def machine() -> dict[str, object]:
    return {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "processors": os.cpu_count() or 0,
    }


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
