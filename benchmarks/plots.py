"""Pictures of what was measured, as SVG: time by store, and cost against the number of keys."""

from __future__ import annotations

import statistics
from pathlib import Path

import matplotlib
from matplotlib import pyplot
from matplotlib.figure import Figure
from report import OURS, Medians
from rows import DELETE, FLOOR, GET, INSERT, OVERWRITE
from sizes import Costs

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "diskdict"  # the same figures give the same file

SHOWN = (INSERT, OVERWRITE, GET, DELETE)
LINES = ("insert", "overwrite", "get", "verify")
COLOURS = {OURS: "#1f77b4", FLOOR: "#999999"}
OTHERS = "#d9c7a3"


def draw(folder: Path, medians: Medians, costs: Costs) -> list[Path]:
    """Write the pictures to a folder; return their paths."""
    folder.mkdir(exist_ok=True)
    return [time_by_store(folder / "time-by-store.svg", medians), cost_by_size(folder / "cost-by-size.svg", costs)]


def time_by_store(path: Path, medians: Medians) -> Path:
    """Draw a bar for each store and operation, on a logarithmic scale."""
    figure, axes = pyplot.subplots(1, len(SHOWN), figsize=(11, 3.4), sharey=True, layout="constrained")
    for row, ax in zip(SHOWN, axes, strict=True):
        values = {name: statistics.median(rounds) for name, rounds in medians.get(row.name, {}).items()}
        names = list(values)[::-1]
        ax.barh(names, [values[name] for name in names], color=[COLOURS.get(name, OTHERS) for name in names])
        ax.set_xscale("log")
        ax.set_title(row.name)
        ax.set_xlabel("µs an operation")
    return _saved(figure, path)


def cost_by_size(path: Path, costs: Costs) -> Path:
    """Draw a line for each operation over the number of keys."""
    figure, ax = pyplot.subplots(figsize=(6, 3.4), layout="constrained")
    for name in LINES:
        by_size = costs.get(name, {})
        ax.plot(list(by_size), list(by_size.values()), marker="o", label=name)
    ax.set_xscale("log")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("keys in the store")
    ax.set_ylabel("µs an operation")
    ax.legend()
    return _saved(figure, path)


def _saved(figure: Figure, path: Path) -> Path:
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path
