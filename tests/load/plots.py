"""plots: draws figures over the number of agents, a PNG for each, where matplotlib is installed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path


def draw(folder: Path, agents: Sequence[int], figures: Mapping[str, Sequence[float]]) -> str:
    """Write FOLDER/FIGURE.png for each figure, named with its unit. Return what became of it, in words."""
    try:
        importlib.import_module("matplotlib").use("Agg")
        pyplot = importlib.import_module("matplotlib.pyplot")
    except ImportError:
        return "matplotlib is not installed (pip install matplotlib): no plots"
    folder.mkdir(parents=True, exist_ok=True)
    for title, values in figures.items():
        figure, axes = pyplot.subplots(figsize=(7, 4))
        axes.plot(agents, values, marker="o")
        axes.set(xscale="log", xlabel="agents", ylabel=title, ylim=(0, None))
        axes.set_xticks(agents, [str(each) for each in agents])
        axes.grid(True, alpha=0.3)
        figure.tight_layout()
        figure.savefig(folder / f"{'-'.join(title.replace('/', ' ').split())}.png", dpi=120)
        pyplot.close(figure)
    return f"{len(figures)} plots are in {folder}"
