"""Several evaluations side by side: one row per scenario (prosthesis, empty bladder, …), as a table in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from models.structures import STRUCTURES
from worker.evaluation.flags import flagged
from worker.evaluation.scores import CaseScore
from worker.evaluation.tables import in_force, rows_of


def scenario_table(scenarios: Mapping[str, Sequence[CaseScore]]) -> str:
    """Per scenario: mean (least) DSC per structure, surface outside the band, what was refused, found and flagged.

    Figures are of the cases that were contoured; one that was refused stands under "refused" alone. A structure that
    the truth does not have is "–"; one that was contoured all the same stands under "untrue". The last column names
    contours below 0.6 of which nothing warned; it should be empty.
    """
    columns = ["scenario", "cases", *(row.name for row in STRUCTURES), "outside band", "refused", "findings"]
    columns += ["untrue", "flagged", "poor, not flagged"]
    rows = [columns, ["---"] + ["---:"] * (len(columns) - 1)]
    rows += [[name, *_cells(cases)] for name, cases in scenarios.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _cells(cases: Sequence[CaseScore]) -> list[str]:
    own = in_force(cases)
    refused = Counter(case.reason or case.state for case in own if case.state != "done")
    done = [case for case in own if case.state == "done"]
    findings = Counter(code for case in own for code in {finding.code for finding in case.findings})
    untrue = Counter(name for case in done for name in case.untrue)
    outside = [score.outside for case in done for score in case.scores]
    everything = flagged(done)
    poor = [f"{e.score.case} {e.score.structure}" for e in everything if e.poor and not e.flags]
    return [
        str(len(own)),
        *(_dsc(done, row.name) for row in STRUCTURES),
        f"{np.mean(outside):.1%}" if outside else "–",
        _counted(refused),
        _counted(findings),
        _counted(untrue),
        f"{sum(bool(each.flags) for each in everything)} of {len(everything)}" if everything else "–",
        ", ".join(poor),
    ]


def _dsc(cases: Sequence[CaseScore], name: str) -> str:
    values = [score.dsc for score in rows_of(cases, name)]
    return f"{np.mean(values):.2f} ({min(values):.2f})" if values else "–"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
