"""The table of scenarios: what was contoured, what was refused, and what was poor without a warning."""

import pytest

from worker.evaluation.scenarios import scenario_table
from worker.evaluation.scores import CaseScore, Score
from worker.finding import Finding

METAL = Finding(code="metal", message="There are 80 cc of metal: check streaks.")


def score(case, structure, dsc, **changes):
    values = {
        "found": True,
        "bounds": "calibrated",
        "asd_mm": 1.0,
        "hd95_mm": 3.0,
        "surface_dsc_2mm": 0.9,
        "surface_dsc_3mm": 0.95,
        "apl_mm": 100.0,
        "volume_cc": 100.0,
        "truth_cc": 100.0,
        "lower_in_mean": True,
        "mean_in_upper": True,
        "outside": 0.1,
        "beyond_upper": 0.05,
        "within_lower": 0.05,
        "band_mm": 4.0,
        "quality": 0.95,
        "quality_validated": True,
        "predicted_dsc": 0.9,
        "predicted_low": 0.8,
        "predicted_high": 1.0,
        **{f"outside_{third}": 0.1 for third in ("inferior", "middle", "superior")},
        **{f"band_{third}_mm": 4.0 for third in ("inferior", "middle", "superior")},
    }
    return Score(case=case, structure=structure, dsc=dsc, **(values | changes))


def case(name, *scores, state="done", reason=None, **more):
    return CaseScore(
        case=name,
        state=state,
        reason=reason,
        bounds="calibrated",
        seconds=1.0,
        scores=scores,
        **({"findings": ()} | more),
    )


def row(*cases):
    """The one row of a table, by its columns."""
    head, rule, line = scenario_table({"it": cases}).splitlines()
    cells = [[cell.strip() for cell in text.strip("|").split("|")] for text in (head, line)]
    assert rule.count("|") == head.count("|") == line.count("|")
    return dict(zip(*cells, strict=True))


def test_agreement_is_the_mean_and_the_least():
    cells = row(
        case("a", score("a", "Bladder", 0.9, outside=0.0)), case("b", score("b", "Bladder", 0.8, outside=0.2))
    )
    assert cells["cases"] == "2" and cells["Bladder"] == "0.85 (0.80)" and cells["Rectum"] == "–"
    assert cells["outside band"] == "10.0%" and cells["refused"] == cells["poor, not flagged"] == ""


@pytest.mark.parametrize(
    ("changes", "findings"),
    [
        ({"predicted_dsc": 0.5}, ()),
        ({"band_mm": 14.0}, ()),
        ({"band_mm": None}, ()),
        ({"predicted_dsc": None, "quality": 0.6}, ()),
        ({}, (METAL,)),
        ({"found": False}, (Finding(code="not-found", message="Rectum was not found."),)),
    ],
)
def test_a_poor_contour_with_a_warning_is_flagged(changes, findings):
    cells = row(case("a", score("a", "Rectum", 0.3, **changes), findings=findings))
    assert cells["flagged"] == "1 of 1" and cells["poor, not flagged"] == ""


@pytest.mark.parametrize(
    ("changes", "findings"),
    [
        ({}, ()),
        ({"predicted_dsc": None, "quality": 0.6, "quality_validated": False}, ()),
        ({"found": False}, ()),
        ({}, (Finding(code="not-found", message="Bladder was not found."),)),
    ],
)
def test_a_poor_contour_without_a_warning_is_named(changes, findings):
    cells = row(
        case("a", score("a", "Rectum", 0.59, **changes), score("a", "CTV", 0.61), findings=findings),
        case("b", score("b", "Rectum", 0.9)),
    )
    assert cells["poor, not flagged"] == "a Rectum"
    assert cells["flagged"] == "0 of 3"


def test_a_refused_case_counts_as_refused_and_as_nothing_else():
    refused = case(
        "b", score("b", "CTV", 0.0, found=False, outside=1.0), state="rejected", reason="no-pelvis"
    )
    cells = row(case("a", score("a", "CTV", 0.9)), refused, case("c", state="failed"))
    assert cells["cases"] == "3" and cells["refused"] == "no-pelvis 1, failed 1"
    assert cells["CTV"] == "0.90 (0.90)" and cells["outside band"] == "10.0%"
    assert cells["flagged"] == "0 of 1" and cells["poor, not flagged"] == ""


def test_where_all_are_refused_there_are_no_figures():
    cells = row(case("a", score("a", "CTV", 0.0, found=False), state="rejected", reason="too-few-slices"))
    assert cells["CTV"] == cells["outside band"] == cells["flagged"] == "–"
    assert cells["refused"] == "too-few-slices 1"


def test_findings_are_counted_by_case_and_what_is_untrue_by_contour():
    cells = row(
        case("a", findings=(METAL, METAL), untrue=("PenileBulb",)),
        case("b", findings=(METAL,), untrue=("PenileBulb",)),
        case("c"),
    )
    assert cells["findings"] == "metal 2" and cells["untrue"] == "PenileBulb 2" and cells["PenileBulb"] == "–"


def test_each_case_is_counted_once_in_the_mode_in_force():
    """With the paper's bounds beside the calibrated ones a case comes twice."""
    paper = score("a", "CTV", 0.2, bounds="paper", predicted_dsc=None)
    cells = row(case("a", score("a", "CTV", 0.9)), case("a", paper))
    assert cells["cases"] == "1" and cells["CTV"] == "0.90 (0.90)" and cells["poor, not flagged"] == ""
