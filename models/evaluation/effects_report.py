"""What effects are worth, on paper: JSON with everything, tables in Markdown, a picture of the differences."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from models.evaluation.effect_scores import ORGANS
from models.evaluation.effects import AGAIN, IN_SCAN, Outcome, Plan, Worth
from models.evaluation.run_folder import finite
from models.whole_file import write_whole

CONTROL = "*control: every effect, other phantoms*"


def write_effects(plan: Plan, outcome: Outcome, out: Path, *, command: str) -> dict[str, Any]:
    """Write `effects.json`, `effects.md` and `effects.png`; returns what the JSON holds (NaN is null)."""
    shown, ordinary = outcome.worths(shown=True), outcome.worths(shown=False)
    facts = {
        "command": command,
        "plan": asdict(plan),
        "difference": "DSC with the effect in training less DSC without; 95 % interval of the mean over cases",
        "drawn_in": {effect: drawn_in(effect) for effect in plan.effects},
        "where_it_shows": [asdict(each) for each in shown],
        "ordinary": [asdict(each) for each in ordinary],
        "held_out": {"ordinary": outcome.ordinary, **outcome.shown},
        "scores": outcome.scores,
    }
    report = finite(facts)
    assert isinstance(report, dict)
    write_whole(out / "effects.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
    write_whole(out / "effects.md", markdown(plan, shown, ordinary, command=command))
    _draw_differences(shown, out / "effects.png")
    return report


def drawn_in(effect: str) -> str:
    """Where the generator draws it."""
    return "the scan" if effect in IN_SCAN else "the anatomy"


def markdown(plan: Plan, shown: Sequence[Worth], ordinary: Sequence[Worth], *, command: str) -> str:
    """Three tables: DSC with and without where the effect shows, the difference there, and on ordinary cases."""
    network = plan.network
    about = (
        f"`{command}`: {network.factory} of {network.width} filters, {network.steps} steps, {plan.training_cases} "
        f"training phantoms. Intervals are over held-out cases; how much chance in training does, the control shows."
    )
    parts = [
        "Held-out phantoms that show the effect: DSC with it in training / without it.",
        _table(shown, lambda each: f"{_number(each.dsc_with)} / {_number(each.dsc_without)}"),
        "The same phantoms: DSC with less DSC without (95 % interval).",
        _table(shown, _difference),
        "Ordinary held-out phantoms: DSC with less DSC without (95 % interval).",
        _table(ordinary, _difference),
        about,
    ]
    return "\n\n".join(parts) + "\n"


def _table(worths: Sequence[Worth], cell: Callable[[Worth], str]) -> str:
    lines = [f"| effect | drawn in | n | {' | '.join(ORGANS)} |", "|---|---|---|" + "---|" * len(ORGANS)]
    for effect in dict.fromkeys(each.effect for each in worths):
        row = [each for each in worths if each.effect == effect]
        name, where = (CONTROL, "both") if effect == AGAIN else (effect, drawn_in(effect))
        count = max(each.cases for each in row)
        lines.append(f"| {name} | {where} | {count} | {' | '.join(cell(each) for each in row)} |")
    return "\n".join(lines)


def _difference(each: Worth) -> str:
    return f"{_number(each.difference, '+.3f')} ({_number(each.low, '+.3f')} to {_number(each.high, '+.3f')})"


def _number(value: float, form: str = ".3f") -> str:
    return format(value, form) if value == value else "-"


def _draw_differences(worths: Sequence[Worth], out: Path) -> None:
    """A panel per organ, a line per effect; grey: as far as the control is from 0."""
    effects = list(dict.fromkeys(each.effect for each in worths))
    figure = Figure(figsize=(2.4 * len(ORGANS) + 1.5, 0.3 * len(effects) + 1.2), layout="constrained")
    panels = figure.subplots(1, len(ORGANS), sharey=True)
    for axes, organ in zip(panels, ORGANS, strict=True):
        row = [each for each in worths if each.organ == organ]
        control = abs(row[-1].difference)
        axes.axvspan(-control, control, color="#dddddd")
        axes.axvline(0, color="#444444", linewidth=0.8)
        for place, each in enumerate(row):
            axes.plot([each.low, each.high], [place, place], color="#30607f")
            axes.plot(each.difference, place, "o", color="#30607f", markersize=4)
        axes.set_title(organ, fontsize=9)
        axes.tick_params(labelsize=8)
    panels[0].set_yticks(range(len(effects)), ["control" if e == AGAIN else e for e in effects])
    panels[0].invert_yaxis()
    figure.supxlabel("DSC with the effect in training less DSC without", fontsize=9)
    figure.savefig(out, dpi=130)
