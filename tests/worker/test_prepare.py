"""A clinic's tree becomes cases that are what its contours say; what is left out is named, patients are not."""

import hashlib
import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import MRImageStorage

from models.phantom.cohort import draw_patient
from models.phantom.lattice import Lattice
from models.recipes import RECIPES
from models.structures import STRUCTURES
from models.training.cases import CASE_SPACING_ZYX_MM, load_case
from models.training.examples import voi_example
from worker.ct_writer import write_ct_series
from worker.patient_study import ObjectIdentity
from worker.prepare import OutputInSource, prepare
from worker.prepare_case import Settings, training_case, working_grid
from worker.prepare_roi_map import read_roi_map
from worker.prepare_shape import ContourProblem, shape_of
from worker.round_trip import rasterise
from worker.rtstruct import write_contours
from worker.series import read_series
from worker.uids import uid_from

NAMES = [structure.name for structure in STRUCTURES]
GERMAN = {
    "CTV": "CTV_bed",
    "Bladder": "BLASE",
    "Rectum": "Rektum",
    "Femur_Head_L": "Femoral Head Lt",
    "Femur_Head_R": "FH R",
    "PenileBulb": "Penile Bulb",
}
BALLS = {  # centre x, y, z and radius, mm
    "CTV": ((2, 5, 0), 20),
    "Bladder": ((0, -45, 9), 24),
    "Rectum": ((0, 50, -3), 19),
    "Femur_Head_L": ((90, 0, -22), 20),
    "Femur_Head_R": ((-90, 0, -20), 21),
    "PenileBulb": ((1, 12, -32), 8),
}
PATIENT = "Quasimodo"


def settings_of(out, **changes) -> Settings:
    usual = Settings(out=out, roi_map=read_roi_map(), newest=False, keep_unusual=False)
    return replace(usual, **changes)


def run(source, out, **changes):
    return prepare(source, settings_of(out, **changes), jobs=1, on_step=lambda *_: None)


def digest_of(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(p.relative_to(folder)): (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns)
        for p in folder.rglob("*")
        if p.is_file()
    }


def dice(a, b) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


class Clinic:
    """A tree of patients under construction."""

    def __init__(self, root: Path, draw: SimpleNamespace) -> None:
        self.root, self.draw = root, draw
        self.grid = draw.grid((100, 68, 30), (4.4, 4.4, 3.0))
        self.hu = draw.pelvis(self.grid)
        self.uids: dict[str, str] = {}
        self.balls: dict[tuple, np.ndarray] = {}

    def ball(self, centre, radius) -> np.ndarray:
        if (centre, radius) not in self.balls:
            self.balls[centre, radius] = self.draw.ball(self.grid, centre, radius, 4.0)
        return self.balls[centre, radius]

    def patient(self, name: str, names=None, *, balls=None, files=1) -> list[Path]:
        """A CT and its RTSTRUCTs under odd names; returns the RTSTRUCTs."""
        folder = self.root / "export" / f"{PATIENT} {name}" / "scan"
        grid = replace(self.grid, frame_of_reference_uid=uid_from(name, "frame"))
        series_files = write_ct_series(self.hu, grid, folder, patient=self.draw.patient, uid_seed=name)
        series = read_series(folder)
        self.uids[name] = series.series_instance_uid
        balls = BALLS if balls is None else balls
        names = {n: n for n in balls} | (names or {})
        fields = {names[n]: (self.ball(*ball), 0.5) for n, ball in balls.items()}
        paths = []
        for number in range(files):
            paths.append(folder.parent / f"{PATIENT}_{number}.dat")
            identity = ObjectIdentity(seed=f"{name}{number}", created=self.draw.identity.created)
            write_contours(series, fields, paths[-1], identity=identity)
        for number, path in enumerate(series_files):
            path.rename(path.with_name(f"IM{(number * 7) % len(series_files)}_{PATIENT}"))
        return paths


def change(path: Path, edit: Callable) -> None:
    dataset = dcmread(path)
    edit(dataset)
    dataset.save_as(path)


def roi_of(dataset, name: str) -> SimpleNamespace:
    (item,) = [i for i in dataset.StructureSetROISequence if i.ROIName == name]
    (drawn,) = [i for i in dataset.ROIContourSequence if i.ReferencedROINumber == item.ROINumber]
    return SimpleNamespace(item=item, drawn=drawn)


def shifted(contour, dz: float) -> None:
    points = np.array(contour.ContourData, float).reshape(-1, 3) + (0, 0, dz)
    contour.ContourData = [f"{v:.3f}" for v in points.ravel()]


def faulty(dataset) -> None:
    """An ROI off its slices, an empty one, two bladders, a name with the patient's."""
    for contour in roi_of(dataset, "Rectum").drawn.ContourSequence:
        shifted(contour, 1.4)
    del roi_of(dataset, "PenileBulb").drawn.ContourSequence
    roi_of(dataset, "Femur_Head_R").item.ROIName = "Harnblase"
    first, *others = roi_of(dataset, "Femur_Head_L").drawn.ContourSequence
    del others[2:5]
    roi_of(dataset, "Femur_Head_L").drawn.ContourSequence = [first, *others]
    roi_of(dataset, "CTV").item.ROIName = f"CTV {PATIENT.upper()} 2"


def quirky(dataset) -> None:
    """As exports are: references to images that are nowhere, no series named, slices rounded, a repeated point."""
    del dataset.ReferencedFrameOfReferenceSequence
    for roi in dataset.ROIContourSequence:
        for contour in roi.ContourSequence:
            contour.ContourImageSequence[0].ReferencedSOPInstanceUID = "1.2.3.4"
            shifted(contour, 0.04)
            contour.ContourData = [*contour.ContourData, *contour.ContourData[:3]]
            contour.NumberOfContourPoints += 1
    del dataset.ROIContourSequence[0].ContourSequence[4:5]  # one slice of the CTV


def unrelated(dataset) -> None:
    quirky(dataset)
    dataset.FrameOfReferenceUID = "1.2.5"
    for roi in dataset.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = "1.2.5"


def on_other_series(dataset) -> None:
    (frame,) = dataset.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    other = deepcopy(study.RTReferencedSeriesSequence[0])
    other.SeriesInstanceUID, other.ContourImageSequence[0].ReferencedSOPInstanceUID = "1.2.9", "1.2.9.1"
    del other.ContourImageSequence[1:]
    study.RTReferencedSeriesSequence.append(other)
    for contour in roi_of(dataset, "Bladder").drawn.ContourSequence:
        contour.ContourImageSequence[0].ReferencedSOPInstanceUID = "1.2.9.1"
    roi_of(dataset, "Rectum").item.ReferencedFrameOfReferenceUID = "1.2.8"


@pytest.fixture(scope="module")
def clinic(tmp_path_factory, draw) -> Clinic:
    """Patients of all kinds in one tree."""
    clinic = Clinic(tmp_path_factory.mktemp("clinic"), draw)
    clinic.patient("german", GERMAN)
    clinic.patient("no-bulb", balls={n: b for n, b in BALLS.items() if n != "PenileBulb"})
    clinic.patient("swapped", {"Femur_Head_L": "Femur_Head_R", "Femur_Head_R": "Femur_Head_L"})
    clinic.patient("gap")
    next((clinic.root / "export" / f"{PATIENT} gap" / "scan").glob("IM*")).unlink()
    clinic.patient("two", files=2)
    approved, _ = clinic.patient("approved", files=2)
    change(approved, lambda d: setattr(d, "ApprovalStatus", "APPROVED"))
    for path in clinic.patient("no-contours"):
        path.unlink()
    (faults,) = clinic.patient("faults", balls=BALLS | {"PenileBulb": ((1, 12, -32), 14)})
    change(faults, faulty)
    (quirks,) = clinic.patient("quirks")
    change(quirks, quirky)
    (elsewhere,) = clinic.patient("elsewhere")
    change(elsewhere, on_other_series)
    (large,) = clinic.patient("large", balls=BALLS | {"PenileBulb": ((1, 12, -25), 18)})
    del large
    (draft,) = clinic.patient("draft")
    change(draft, lambda d: setattr(d, "SeriesDescription", "AI DRAFT Penumbra"))
    (rejected,) = clinic.patient("rejected")
    change(rejected, lambda d: setattr(d, "ApprovalStatus", "REJECTED"))
    (lost,) = clinic.patient("lost")
    change(lost, unrelated)
    (orphan,) = clinic.patient("orphan")
    for image in orphan.parent.rglob("IM*"):
        image.unlink()
    mr = clinic.root / "export" / "mr"
    write_ct_series(clinic.hu[:3], draw.grid((100, 68, 3), (4.4, 4.4, 3.0)), mr, patient=draw.patient, uid_seed="mr",
                    SOPClassUID=MRImageStorage, Modality="MR")  # fmt: skip
    (clinic.root / "letter.txt").write_text(PATIENT)
    return clinic


@pytest.fixture(scope="module")
def prepared(clinic, tmp_path_factory) -> SimpleNamespace:
    """The tree, prepared."""
    before = digest_of(clinic.root)
    out = tmp_path_factory.mktemp("out") / "cohort"
    report = run(clinic.root, out)
    assert digest_of(clinic.root) == before
    return SimpleNamespace(clinic=clinic, out=out, report=report)


@pytest.fixture
def case(prepared) -> Callable:
    """The record of a patient, and its structures by name."""

    def find(name: str) -> SimpleNamespace:
        (record,) = [c for c in prepared.report.cases if c.series_instance_uid == prepared.clinic.uids[name]]
        return SimpleNamespace(
            record=record,
            structures={s.structure: s for s in record.structures},
            npz=prepared.out / "cases" / f"{record.case}.npz",
            folder=prepared.out / "evaluation" / record.case,
        )

    return find


def test_names_of_the_clinic_become_ours(case) -> None:
    german = case("german")
    assert german.record.training and german.record.evaluation and german.record.reason is None
    assert {n: s.roi for n, s in german.structures.items()} == GERMAN
    assert german.structures["Bladder"].rule == "name Blase"
    truth = dcmread(german.folder / "truth.dcm")
    assert [r.ROIName for r in truth.StructureSetROISequence] == ["CTVsb", *NAMES[1:]]
    assert truth.PatientID == "PEN-0001"  # as the CT beside it, for they must go together


def test_prepared_structures_are_the_ones_drawn(case, clinic) -> None:
    loaded = load_case(case("german").npz)
    assert loaded.spacing_zyx_mm == CASE_SPACING_ZYX_MM and loaded.hu.dtype == np.int16
    voxel_cc = np.prod(CASE_SPACING_ZYX_MM) / 1000
    for name, (_, radius) in BALLS.items():
        volume = loaded.mask(name).sum() * voxel_cc
        assert volume == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.05 if radius > 10 else 0.2), (
            name
        )
    left, right = (np.argwhere(loaded.mask(f"Femur_Head_{side}")).mean(0) for side in "LR")
    assert (left - right)[2] * 1.5 == pytest.approx(180, abs=0.5)  # x rises to the left
    inside = loaded.mask("Femur_Head_L")
    assert loaded.hu[inside].mean() > 320  # bone: contours and CT lie in the same place


def test_the_evaluation_folder_holds_the_same_contours(case) -> None:
    german = case("german")
    series = read_series(german.folder / "ct")
    masks = rasterise(dcmread(german.folder / "truth.dcm"), series)
    for name, (centre, radius) in BALLS.items():
        z, y, x = np.argwhere(masks["CTVsb" if name == "CTV" else name]).mean(0)
        off_mm = np.abs(series.grid.to_patient((x, y, z)) - centre)
        assert off_mm.max() < (0.5 if radius > 10 else 1.5), name  # the bulb is four pixels wide
        volume = masks["CTVsb" if name == "CTV" else name].sum() * series.grid.voxel_mm3
        assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.04 if radius > 10 else 0.15), name


def test_a_missing_structure_leaves_an_evaluation_case(case) -> None:
    found = case("no-bulb")
    assert found.record.reason.code == "incomplete" and "PenileBulb" in found.record.reason.message
    assert found.structures["PenileBulb"].reason.code == "missing"
    assert not found.npz.exists() and len(rois(found.folder)) == 5


def rois(folder: Path) -> list[str]:
    return [roi.ROIName for roi in dcmread(folder / "truth.dcm").StructureSetROISequence]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("swapped", "sides-swapped"),
        ("gap", "missing-slices"),
        ("two", "several-structure-sets"),
        ("draft", "ai-draft"),
        ("rejected", "rejected"),
    ],
)
def test_what_cannot_be_trusted_is_left_out(case, name, code) -> None:
    found = case(name)
    assert found.record.reason.code == code
    assert not found.record.training and not found.npz.exists() and not found.folder.exists()


def test_the_approved_structure_set_is_taken(case) -> None:
    found = case("approved")
    assert found.record.training
    assert [(s.used, s.reason and s.reason.code) for s in found.record.structure_sets] in (
        [(True, None), (False, "not-approved")],
        [(False, "not-approved"), (True, None)],
    )


def test_faults_of_contours_are_told_structure_by_structure(case) -> None:
    found = case("faults")
    codes = {name: s.reason and s.reason.code for name, s in found.structures.items()}
    assert codes == {
        "CTV": "missing",
        "Bladder": "ambiguous",
        "Rectum": "off-slice",
        "Femur_Head_L": "gap",
        "Femur_Head_R": "missing",
        "PenileBulb": "empty",
    }
    assert found.structures["Bladder"].reason.message == "Several ROIs match: Bladder, Harnblase."
    assert found.record.unmatched_rois == ("CTV *** 2",)


def test_contours_of_another_series_or_frame_are_told(case) -> None:
    found = case("elsewhere")
    assert found.structures["Bladder"].reason.code == "other-series"
    assert found.structures["Rectum"].reason.code == "other-frame"
    assert rois(found.folder) == ["CTVsb", "Femur_Head_L", "Femur_Head_R", "PenileBulb"]


def test_an_unusual_volume_is_left_out(case) -> None:
    assert case("large").structures["PenileBulb"].reason.code == "unusual-volume"
    assert case("large").structures["PenileBulb"].volume_cc == pytest.approx(24.4, rel=0.04)


def test_quirks_that_do_no_harm_do_none(case) -> None:
    quirks, plain = case("quirks"), case("approved")
    assert quirks.record.training
    assert quirks.record.structure_sets[0].rule in {
        "it shares the frame of reference",
        "it names images of the series",
    }
    assert [f.code for f in quirks.structures["CTV"].findings] == ["bridged", "automatic"]
    ours, theirs = load_case(quirks.npz), load_case(plain.npz)
    for name in NAMES:
        assert dice(ours.mask(name), theirs.mask(name)) > 0.995, name


def test_what_else_lies_in_the_tree_is_counted(prepared) -> None:
    report = prepared.report
    reasons = {s.series_instance_uid: s.reason.code for s in report.other_series}
    assert reasons.pop(prepared.clinic.uids["no-contours"]) == "no-structure-set"
    assert reasons.pop(prepared.clinic.uids["lost"]) == "no-structure-set"
    assert list(reasons.values()) == ["not-ct"]
    assert [s.reason.code for s in report.structure_sets_without_ct] == ["no-ct"] * 2
    assert report.not_dicom_files == 1 and report.unreadable_files == 0


def test_no_patient_is_named(prepared) -> None:
    texts = [p.read_text() for p in prepared.out.rglob("*.json")]
    names = [str(p.relative_to(prepared.out)) for p in prepared.out.rglob("*")]
    for marker in (PATIENT, "Esmeralda", "PEN-0001", "19500101", "letter", "export"):
        assert not [t for t in [*texts, *names] if marker.casefold() in t.casefold()], marker
    assert len(texts) > 10


def test_a_second_run_does_nothing_twice(prepared) -> None:
    files = [
        p for p in prepared.out.rglob("*") if p.is_file() and p.name not in {"report.json", "numbers.json"}
    ]
    before = {p: p.stat().st_mtime_ns for p in files}
    assert run(prepared.clinic.root, prepared.out) == prepared.report
    assert {p: p.stat().st_mtime_ns for p in files} == before


def test_what_was_lost_is_made_again_and_numbers_stay(prepared, case) -> None:
    german = case("german")
    german.npz.unlink()
    again = run(prepared.clinic.root, prepared.out)
    assert german.npz.exists() and again == prepared.report


def test_another_choice_is_carried_out(clinic, tmp_path) -> None:
    """On three of the patients: a map of one's own, the newest structure set, unusual volumes."""
    map_file = tmp_path / "map.yaml"
    map_file.write_text("Bladder:\n  first: [Harnblase, Bladder]\nRectum: []\n")
    source = tmp_path / "source"
    for name in ("faults", "two", "large"):
        shutil.copytree(clinic.root / "export" / f"{PATIENT} {name}", source / name)
    newer = source / "newer"
    shutil.copy(next((source / "two").glob("*_0.dat")), newer)
    change(
        newer, lambda d: (setattr(d, "StructureSetDate", "20301231"), setattr(d, "SOPInstanceUID", "1.2.77"))
    )
    report = run(source, tmp_path / "out", roi_map=read_roi_map(map_file), newest=True, keep_unusual=True)
    by_uid = {c.series_instance_uid: c for c in report.cases}
    faults = {s.structure: s for s in by_uid[clinic.uids["faults"]].structures}
    assert faults["Bladder"].roi == "Harnblase" and faults["Rectum"].reason.code == "missing"
    used = [s.sop_instance_uid for s in by_uid[clinic.uids["two"]].structure_sets if s.used]
    assert used == ["1.2.77"]
    bulb = {s.structure: s for s in by_uid[clinic.uids["large"]].structures}["PenileBulb"]
    assert bulb.taken and "unusual-volume" in [f.code for f in bulb.findings]


def test_the_output_may_not_lie_in_the_source(clinic) -> None:
    for out in (clinic.root, clinic.root / "export" / "out", clinic.root.parent):
        with pytest.raises(OutputInSource):
            run(clinic.root, out)


HFP = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
FFS = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
DECUBITUS = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("spacing_mm", "direction"),
    [
        ((0.98, 0.98, 1.0), None),
        ((1.37, 1.17, 2.0), None),
        ((1.0, 1.0, 5.0), None),
        ((2.9, 2.9, 3.0), None),
        ((1.2, 1.2, 3.0), HFP),
        ((1.2, 1.2, 2.5), FFS),
        ((1.2, 1.1, 3.0), DECUBITUS),
    ],
)
def test_a_shape_keeps_its_place_and_volume_on_the_working_grid(
    make_series, draw, tmp_path, spacing_mm, direction
) -> None:
    """Lengths are analytic: the ball's own, not those of another program."""
    size = [int(n) for n in np.ceil([100 / spacing_mm[0], 90 / spacing_mm[1], 100 / spacing_mm[2]])]
    grid = draw.grid(size, spacing_mm, **({"direction": direction} if direction else {}))
    series = make_series(grid=grid, hu=np.full(grid.shape_zyx, 30, np.int16))
    centre, radius = np.array([4.3, -5.1, 2.6]), 21.0
    write_contours(
        series,
        {"Bladder": (draw.ball(grid, centre, radius, 4.0), 0.5)},
        tmp_path / "rs",
        identity=draw.identity,
    )
    (roi,) = dcmread(tmp_path / "rs").ROIContourSequence
    shape = shape_of(roi, series, {})
    prepared = training_case(series, {"Bladder": shape})
    mask, target = prepared.mask("Bladder"), working_grid(series, {"Bladder": shape})
    volume = mask.sum() * np.prod(CASE_SPACING_ZYX_MM)
    assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.02)
    assert shape.volume_cc * 1000 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.01)
    z, y, x = np.argwhere(mask).mean(0)
    assert np.abs(target.to_patient((x, y, z)) - centre).max() < 0.5
    points = draw.points(target)
    assert dice(mask, np.linalg.norm(points - centre, axis=-1) < radius) > 0.97


def test_holes_survive_as_keyhole_and_as_exclusive_contours(make_series, draw, tmp_path) -> None:
    grid = draw.grid((70, 70, 22), (1.0, 1.0, 3.0))
    series = make_series(grid=grid)
    r = np.linalg.norm(draw.points(grid)[..., :2], axis=-1)
    field = draw.sigmoid(np.abs(r - 18) - 8, 4.0) * (np.abs(np.arange(22) - 11) < 6)[:, None, None]
    write_contours(series, {"a": (field, 0.5)}, tmp_path / "rs", identity=draw.identity)
    (roi,) = dcmread(tmp_path / "rs").ROIContourSequence
    exact = np.pi * (26**2 - 10**2) * 11 * 3 / 1000
    assert shape_of(roi, series, {}).volume_cc == pytest.approx(exact, rel=0.01)
    separate = dcmread(tmp_path / "rs")
    rings(separate.ROIContourSequence[0], "CLOSEDPLANAR_XOR", grid)
    assert shape_of(separate.ROIContourSequence[0], series, {}).volume_cc == pytest.approx(exact, rel=0.01)
    rings(separate.ROIContourSequence[0], "CLOSED_PLANAR", grid)
    filled = shape_of(separate.ROIContourSequence[0], series, {})
    assert filled.nested and filled.volume_cc == pytest.approx(np.pi * 26**2 * 33 / 1000, rel=0.01)


def rings(roi, kind: str, grid) -> None:
    """Two rings on each slice that has a contour."""
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    heights = [float(contour.ContourData[2]) for contour in roi.ContourSequence]
    template, contours = roi.ContourSequence[0], []
    for z in heights:
        for radius in (26, 10):
            item = deepcopy(template)
            item.ContourGeometricType, item.NumberOfContourPoints = kind, 90
            x, y = radius * np.cos(angle), radius * np.sin(angle)
            item.ContourData = [f"{v:.3f}" for v in np.stack([x, y, 0 * x + z], 1).ravel()]
            contours.append(item)
    roi.ContourSequence = contours


def test_damaged_contours_are_refused_by_name(make_series, draw, tmp_path) -> None:
    grid = draw.grid((60, 60, 22))
    series = make_series(grid=grid)
    write_contours(
        series, {"a": (draw.ball(grid, (0, 0, 0), 15), 0.5)}, tmp_path / "rs", identity=draw.identity
    )

    def code_of(edit) -> str:
        (roi,) = dcmread(tmp_path / "rs").ROIContourSequence
        edit(roi.ContourSequence)
        with pytest.raises(ContourProblem) as problem:
            shape_of(roi, series, {})
        return problem.value.code

    assert code_of(lambda c: setattr(c[3], "NumberOfContourPoints", 5)) == "bad-contour"
    assert code_of(lambda c: setattr(c[3], "ContourData", c[3].ContourData[:-1])) == "bad-contour"
    assert code_of(lambda c: [setattr(i, "ContourGeometricType", "POINT") for i in c]) == "empty"
    assert code_of(lambda c: [moved(i, 900) for i in c]) == "outside-image"


def moved(contour, dx: float) -> None:
    points = np.array(contour.ContourData, float).reshape(-1, 3) + (dx, 0, 0)
    contour.ContourData = [f"{v:.3f}" for v in points.ravel()]


@pytest.fixture(scope="module")
def phantom(phantom_case, tmp_path_factory) -> SimpleNamespace:
    """A phantom as DICOM, prepared."""
    out = tmp_path_factory.mktemp("phantom") / "out"
    return SimpleNamespace(source=phantom_case, out=out, report=run(phantom_case, out))


def test_a_prepared_phantom_is_the_phantom(phantom) -> None:
    """Against the analytic shapes on the working grid, though the CT has pixels of 3 mm."""
    (record,) = phantom.report.cases
    assert record.training, record.reason
    loaded = load_case(phantom.out / "cases" / f"{record.case}.npz")
    series = read_series(phantom.source / "ct")
    structures = rasterise_shapes(phantom.source / "truth.dcm", series)
    grid = working_grid(series, structures)
    lattice = Lattice(
        shape_zyx=grid.shape_zyx, spacing_zyx_mm=CASE_SPACING_ZYX_MM, origin_zyx_mm=grid.origin_mm[::-1]
    )
    truth = draw_patient(31, 0).truth(lattice)
    scores = {name: round(dice(loaded.mask(name), truth[name] < 0), 4) for name in NAMES}
    assert scores["PenileBulb"] >= 0.95, scores  # it is four pixels wide
    assert min(scores[name] for name in NAMES if name != "PenileBulb") >= 0.97, scores


def rasterise_shapes(path: Path, series) -> dict:
    dataset = dcmread(path)
    numbers = {roi.ROINumber: roi.ROIName for roi in dataset.StructureSetROISequence}
    named = {
        numbers[roi.ReferencedROINumber]: shape_of(roi, series, {}) for roi in dataset.ROIContourSequence
    }
    return {name: named["CTVsb" if name == "CTV" else name] for name in NAMES}


def test_a_prepared_case_trains(phantom) -> None:
    loaded = load_case(next((phantom.out / "cases").glob("*.npz")))
    for network in RECIPES["small"].networks:
        if network.name in NAMES:
            example = voi_example(loaded, network, np.random.default_rng(0), vary=True)
            assert example.q.sum() > 20 and bool(example.x.isfinite().all()), network.name


def test_reports_are_plain_json(prepared) -> None:
    stored = json.loads((prepared.out / "report.json").read_text())
    assert stored["roi_map"]["Bladder"][0] == "Bladder" and len(stored["cases"]) == len(prepared.report.cases)
