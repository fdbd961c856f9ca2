"""plots: draws figures over the number of agents, a PNG for each, where matplotlib is installed (the extra `plots`)."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_HEADROOM = 1.1


def draw(folder: Path, agents: Sequence[int], figures: Mapping[str, Sequence[float]]) -> str:
    """Write FOLDER/FIGURE.png for each figure, which is named with its unit. Return what became of it, in words."""
    try:
        importlib.import_module("matplotlib").use("Agg")
        pyplot = importlib.import_module("matplotlib.pyplot")
    except ImportError:
        return "matplotlib is not installed (the extra `plots`): no plots"
    folder.mkdir(parents=True, exist_ok=True)
    for title, values in figures.items():
        figure, axes = pyplot.subplots(figsize=(7, 4))
        axes.plot(agents, values, marker="o")
        axes.set(xscale="log", xlabel="agents", ylabel=title, ylim=(0, _HEADROOM * max(values) or 1))
        axes.set_xticks(agents, [f"{each:,}" for each in agents])
        axes.minorticks_off()
        axes.grid(True, alpha=0.3)
        figure.tight_layout()
        figure.savefig(folder / f"{'-'.join(re.findall('[A-Za-z0-9]+', title))}.png", dpi=120)
        pyplot.close(figure)
    return f"{len(figures)} plots are in {folder}"
