"""Templates of an RTSTRUCT: what a clinic may write into one, how it is told off, and what comes out."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydicom import dcmread

from models.structures import STRUCTURES
from worker.patient_study import ObjectIdentity
from worker.roi_naming import DEFAULT_NAMING, naming_of, read_template
from worker.roi_template import DEFAULT_FILE, Template, TemplateError, default_template, schema
from worker.rtstruct import write_and_prove

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "users" / "template.schema.json"
CLINIC = """\
label: CLINIC_7
qualifier: _
machine: PB
prefix: x
structures:
  CTV:
    name: ProstateBed
    bounds_name: PBed
    machine_made: true
    type: PTV
    colour: [1, 2, 200]
    lower_colour: [9, 9, 9]
    contours: [upper, mean, lower]
  Rectum:
    name: Rect
    type: AVOIDANCE
    colour: [10, 20, 30]
    contours: [mean]
"""


@pytest.fixture
def write(tmp_path):
    def put(text: str) -> Path:
        file = tmp_path / "clinic.yaml"
        file.write_text(text)
        return file

    return put


def test_the_default_is_itself_a_template_and_names_every_structure():
    assert read_template(DEFAULT_FILE) == default_template()
    assert list(default_template().written) == [s.name for s in STRUCTURES]
    assert naming_of(Template()) == DEFAULT_NAMING


def test_the_schema_is_the_one_in_the_documents_and_holds_for_the_default():
    assert json.loads(SCHEMA_FILE.read_text()) == json.loads(json.dumps(schema()))
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(yaml.safe_load(DEFAULT_FILE.read_text()), schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"structures": {"Prostate": {}}}, schema())


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("label: CLINIC_7", "label: A_LABEL_THAT_IS_TOO_LONG", "line 1, label:"),
        ("qualifier: _", "qualifier: A", "line 2, qualifier:"),
        ("prefix: x", "prefixes: x", "line 4, prefixes:"),
        ("  CTV:", "  Prostate:", "line 6, structures.Prostate:"),
        ("type: PTV", "type: TARGET", "line 10, structures.CTV.type:"),
        ("[1, 2, 200]", "[1, 2, 256]", "line 11, structures.CTV.colour.2:"),
        ("name: Rect", "name: Rectum_Wall_Outer", "line 15, structures.Rectum.name:"),
        ("name: Rect", "name: Réctum", "line 15, structures.Rectum.name:"),
        ("    name: Rect\n", "", "line 14, structures.Rectum.name:"),
        ("contours: [mean]", "contours: []", "line 18, structures.Rectum.contours:"),
        ("contours: [mean]", "contours: [median]", "line 18, structures.Rectum.contours.0:"),
        ("lower_colour: [9, 9, 9]", "lower_colour: [1, 2, 200]", "line 6, structures.CTV: two contours"),
        (
            "bounds_name: PBed",
            "bounds_name: ProstateBed",
            "line 6, structures.CTV: not a name.*xProstateBed_lo95",
        ),
        ("name: Rect", "name: PROSTATEBED_pb", "line 14, structures.Rectum: .*not unique"),
        ("bounds_name: PBed", "bounds_name: PBed95", "line 6, structures.CTV: .*says 95"),
        ("prefix: x", "lower: lo95", "line 4, lower:"),
        ("    colour: [10, 20, 30]", "    colour: [10, 20, 30]\n    type: ORGAN", "line 18, type: .*twice"),
        ("label: CLINIC_7", "label: [", "line 3 is not YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_key(write, old, new, told):
    assert old in CLINIC
    with pytest.raises(TemplateError, match=told) as caught:
        read_template(write(CLINIC.replace(old, new, 1)))
    assert str(caught.value).startswith("clinic.yaml")


def test_a_file_that_is_not_there_or_no_map_is_told(write, tmp_path):
    with pytest.raises(TemplateError, match="absent.yaml cannot be read"):
        read_template(tmp_path / "absent.yaml")
    with pytest.raises(TemplateError, match="line 1"):
        read_template(write("- a\n"))


def test_only_the_qualifier_may_be_given(write):
    naming = naming_of(read_template(write('qualifier: ""\n')))
    assert naming.names("CTV", percent=95) == {
        "mean": "CTVsbAI",
        "lower": "zCTVsblo95",
        "upper": "zCTVsbhi95",
    }
    assert naming.styles == DEFAULT_NAMING.styles


def test_another_content_has_another_key(write):
    one, other = read_template(write(CLINIC)), read_template(write(CLINIC.replace("Rect\n", "Rct\n")))
    assert one.key != other.key and len(one.key) == 8
    assert Template.model_validate_json(one.model_dump_json()).key == one.key


@pytest.mark.parametrize("calibrated", [True, False])
def test_the_rtstruct_is_written_by_it_and_proved(draw, make_series, write, tmp_path, calibrated):
    series = make_series(grid=draw.grid((60, 60, 24)))
    percent = 95 if calibrated else None
    structures = (
        replace(draw.structure("CTV", series.grid, (0, 0, 0), 10), percent=percent),
        replace(draw.structure("Rectum", series.grid, (0, 18, 0), 8), percent=percent),
        replace(draw.structure("Bladder", series.grid, (0, -18, 0), 8), percent=percent),
    )
    bundle = replace(draw.bundle, intended_use="clinical")
    result = draw.result(series, structures=structures, bundle=bundle)
    template = read_template(write(CLINIC))
    identity = ObjectIdentity(seed=f"job {template.key}", created=draw.identity.created)
    written = write_and_prove(result, tmp_path / "r.dcm", naming=naming_of(template), identity=identity)

    share = "95" if calibrated else ""
    expected = ["ProstateBed_PB", "Rect", f"xPBed_lo{share}", f"xPBed_hi{share}"]
    assert written.dsc == dict.fromkeys(expected, 1.0)
    dataset = dcmread(tmp_path / "r.dcm")
    assert dataset.StructureSetLabel == "CLINIC_7"
    assert [roi.ROIName for roi in dataset.StructureSetROISequence] == expected
    types = [item.RTROIInterpretedType for item in dataset.RTROIObservationsSequence]
    assert types == ["PTV", "AVOIDANCE", "CONTROL", "CONTROL"]
    colours = [[int(c) for c in item.ROIDisplayColor] for item in dataset.ROIContourSequence]
    assert colours[:3] == [[1, 2, 200], [10, 20, 30], [9, 9, 9]]
    assert "not found" not in dataset.StructureSetDescription
    assert ("95" in str(dataset.StructureSetROISequence[2].ROIDescription)) == calibrated


def test_a_research_bundle_keeps_its_label_whatever_the_template_says(draw, make_series, write, tmp_path):
    series = make_series(grid=draw.grid((60, 60, 24)))
    result = draw.result(series, structures=(draw.structure("CTV", series.grid, (0, 0, 0), 10),))
    naming = naming_of(read_template(write(CLINIC)))
    write_and_prove(result, tmp_path / "r.dcm", naming=naming, identity=draw.identity)
    dataset = dcmread(tmp_path / "r.dcm")
    assert dataset.StructureSetLabel == "NOT CLINICAL"
    assert (
        dataset.StructureSetName.startswith("NOT FOR CLINICAL USE") and "CLINIC_7" in dataset.StructureSetName
    )
