"""The method on one phantom, with the bundle that ships. Few passes: the networks are tested, not the statistics."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from models.evaluation.metrics import dice
from models.monte_carlo import Sampling
from worker.bundle_info import open_bundle
from worker.ct_writer import PatientIdentity, write_ct_series
from worker.errors import Cancelled, NoPelvis, ResultImplausible
from worker.evaluation.case_scoring import score_case
from worker.grid import Grid
from worker.job_folder import JobRequest
from worker.phantom_case import truth_name
from worker.pipeline import segment
from worker.plausibility import check_result
from worker.review_document import read_review
from worker.round_trip import rasterise
from worker.run_job import run
from worker.series import read_series
from worker.slice_pack import read_slice

LEAST_DSC = {
    "Bladder": 0.85,
    "Rectum": 0.8,
    "Femur_Head_L": 0.85,
    "Femur_Head_R": 0.85,
    "CTV": 0.7,
    "PenileBulb": 0.6,
}


def silent(_report):
    pass


@pytest.fixture(scope="module")
def case(phantom_case) -> Path:
    return phantom_case


@pytest.fixture(scope="module")
def series(case):
    return read_series(case / "ct")


@pytest.fixture(scope="module")
def bundle():
    return open_bundle(None, device="cpu")


@pytest.fixture(scope="module")
def once(series, bundle):
    """One pass, and the percents that were reported on the way.

    By the bundle's record no bladder was ever as unsure as this one is (a single pass agrees with itself), and every
    rectum more so.
    """
    record = bundle.manifest.calibration
    least = {"Bladder": 1.1, "Rectum": 0.0}
    quality = record.quality | {
        name: record.quality["Bladder"].model_copy(
            update={"quality": (low, 1.2), "dsc": (0.5, 0.9), "low": (0.4, 0.8), "high": (0.9, 1.0)}
        )
        for name, low in least.items()
    }
    manifest = bundle.manifest.model_copy(
        update={"calibration": record.model_copy(update={"quality": quality})}
    )
    percents = []
    result = segment(
        series,
        replace(bundle, manifest=manifest),
        sampling=Sampling(passes=1),
        progress=lambda r: percents.append(r.percent),
    )
    return result, percents


@pytest.fixture(scope="module")
def done(case, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("done")
    request = JobRequest(job_id="one", series_instance_uid="", passes=2)
    assert run(request, case / "ct", out, progress=silent).state == "done"
    return out


def test_the_written_contours_fit_the_truth(case, done):
    scores = {s.structure: s for s in score_case(case, done).scores}
    assert {name: round(s.dsc, 3) for name, s in scores.items() if s.dsc < LEAST_DSC[name]} == {}
    assert all(s.lower_in_mean and s.mean_in_upper for s in scores.values())


def test_left_is_left(case, done, series):
    rois = rasterise(dcmread(done / "rtstruct.dcm"), series)
    truth = rasterise(dcmread(case / "truth.dcm"), series)
    assert dice(rois["Femur_Head_L"], truth[truth_name("Femur_Head_L")]) > 0.8
    assert dice(rois["Femur_Head_L"], truth[truth_name("Femur_Head_R")]) == 0


def test_result_json_says_what_a_client_needs(done, bundle):
    document = json.loads((done / "result.json").read_text())
    assert document["state"] == "done" and document["not_for_clinical_use"]
    ctv, *organs = document["structures"]
    assert ctv["name"] == "CTV" and not ctv["quality_validated"]
    assert len(organs) == 5 and all(0 < s["quality"] <= 1 for s in organs)
    assert any(s["quality"] < 1 for s in organs)  # two passes of which DropBlock makes two
    assert all(s["quality_validated"] == bundle.manifest.tells_quality(s["name"]) for s in organs)
    for s in document["structures"]:
        assert s["lower_volume_cc"] <= s["volume_cc"] <= s["upper_volume_cc"]
        widths = [place["band_mm"] for place in s["look_here"]]
        assert widths == sorted(widths, reverse=True)
    assert min(document["round_trip"].values()) >= 0.999


def test_the_review_is_there_and_shows_the_same_figures(done, series):
    review, document = read_review(done), json.loads((done / "result.json").read_text())
    assert [s.name for s in review.structures] == [s["name"] for s in document["structures"]]
    assert [s.volume_cc for s in review.structures] == [s["volume_cc"] for s in document["structures"]]
    assert min(value for s in review.structures for value in s.round_trip.values()) >= 0.999
    middle = review.look_here[0].slice_index
    shown = np.frombuffer(gzip.decompress(read_slice(done / "slices.bin", middle).gzipped), "<i2")
    assert (shown == series.hu[middle].ravel()).all()


def test_the_picture_is_there(done):
    assert (done / "preview.png").read_bytes()[:4] == b"\x89PNG"


def test_the_same_seed_gives_the_same_contours_and_another_does_not(series, bundle, once):
    first, _ = once
    again, other = (
        segment(series, bundle, sampling=Sampling(passes=1, seed=seed), progress=silent) for seed in (0, 2)
    )
    assert [s.mean.tobytes() for s in first.structures] == [s.mean.tobytes() for s in again.structures]
    assert first.structures[0].mean.tobytes() != other.structures[0].mean.tobytes()


def test_a_patient_who_lay_the_other_way_and_elsewhere_gets_the_same_contours(series, bundle, once, tmp_path):
    """The same voxels, stored as for a prone patient scanned feet first, and with the scanner's origin far away."""
    grid = series.grid
    corner = grid.to_patient((grid.size_xyz[0] - 1, 0, grid.size_xyz[2] - 1))
    turned = Grid(
        size_xyz=grid.size_xyz,
        spacing_mm=grid.spacing_mm,
        origin_mm=tuple(float(v) for v in corner + (371.3, -214.7, 1802.1)),
        direction=(-1, 0, 0, 0, 1, 0, 0, 0, -1),
        frame_of_reference_uid=grid.frame_of_reference_uid,
    )
    write_ct_series(
        series.hu[::-1, :, ::-1],
        turned,
        tmp_path / "ct",
        patient=PatientIdentity(patient_id="P", name="P"),
        uid_seed="turned",
    )
    other = read_series(tmp_path / "ct")
    turned_result = segment(other, bundle, sampling=Sampling(passes=1), progress=silent)
    for straight, back in zip(once[0].structures, turned_result.structures, strict=True):
        flipped = back.mean[::-1, :, ::-1]
        assert dice(straight.mean >= 0.5, flipped >= 0.5) > 0.995, straight.name


def test_a_job_can_be_stopped_between_passes(series, bundle):
    seen = []

    def stop(report):
        seen.append(report)
        if report.passes_done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        segment(series, bundle, sampling=Sampling(passes=50), progress=stop)
    assert seen[-1].passes_done == 2 and seen[-1].passes_total == 50


def test_progress_rises_to_the_end(once):
    _, percents = once
    assert percents == sorted(percents) and percents[-1] <= 94


def test_fat_alone_is_no_pelvis(series, bundle):
    with pytest.raises(NoPelvis):
        segment(
            replace(series, hu=np.full_like(series.hu, -100)),
            bundle,
            sampling=Sampling(passes=1),
            progress=silent,
        )


def test_an_old_rtstruct_does_not_lie_beside_a_new_refusal(tmp_path):
    (tmp_path / "ct").mkdir()
    for name in ("rtstruct.dcm", "preview.png"):
        (tmp_path / name).write_bytes(b"of another series")
    request = JobRequest(job_id="two", series_instance_uid="", passes=1)
    assert run(request, tmp_path / "ct", tmp_path, progress=silent).state == "rejected"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ct", "result.json"]


def test_swapped_sides_are_never_written(once):
    result, _ = once
    names = {"Femur_Head_L": "Femur_Head_R", "Femur_Head_R": "Femur_Head_L"}
    swapped = tuple(replace(s, name=names.get(s.name, s.name)) for s in result.structures)
    with pytest.raises(ResultImplausible, match="wrong sides"):
        check_result(replace(result, structures=swapped))


def test_an_unusual_volume_is_a_finding(once):
    result, _ = once
    tiny = tuple(
        replace(s, mean=np.where(np.cumsum(s.mean >= 0.5).reshape(s.mean.shape) < 200, s.mean, 0))
        for s in result.structures
    )
    codes = {f.code for f in check_result(replace(result, structures=tiny))}
    assert "unusual-volume" in codes and codes <= {"unusual-volume", "unusual-hu", "unusual-place"}


def test_passes_that_disagree_more_than_calibration_ever_saw_are_a_finding(once):
    about = [f.message for f in once[0].findings if f.code == "unlike-calibration"]
    assert any("Bladder" in message for message in about)
    assert not any("Rectum" in message for message in about)
