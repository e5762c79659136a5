"""SEG, SR, encapsulated PDF and NIfTI: valid, whose they are, what they say, and where they lie."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.uid import RLELossless
from pypdfium2 import PdfDocument

from models.evaluation.metrics import dice
from worker.ct_writer import PatientIdentity
from worker.figures import figures_of
from worker.finding import Finding
from worker.job_folder import Destination, JobRequest
from worker.nifti import write_nifti
from worker.object_files import objects_in
from worker.objects import clear_objects, objects_document, write_further_objects
from worker.pdf import write_pdf
from worker.preview import draw_preview
from worker.report.pdf import NoPdf
from worker.review import review_of
from worker.roi_template import Template
from worker.round_trip import rasterise
from worker.rtstruct import write_and_prove, write_rtstruct
from worker.seg import write_band_seg, write_mean_seg
from worker.slice_pack import write_slices
from worker.sr import write_sr

IDENTITY_TAGS = [
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyInstanceUID",
    "SpecificCharacterSet",
    "StudyDescription",
]
DICOM_FILES = ["report.dcm", "rtstruct-%s.dcm", "seg-band.dcm", "seg-mean.dcm", "sr.dcm"]
TEMPLATE = Template(qualifier="_")
# dcentvfy 1.00 files this attribute under the series of a CT and under the study of every SR, equal or not.
DCENTVFY_ON_ANY_SR = "Different information entities for attribute - Element=<AccessionNumber> IE <"
FINDING = Finding(code="metal", message="There is metal in the right hip.")


def needs(tool):
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


def raw(path, keyword):
    """An attribute's bytes as they stand in a file."""
    element = dcmread(path, stop_before_pixels=True).get_item(keyword)
    value = b"" if element is None else element.value or b""
    if not isinstance(value, bytes):  # pydicom decodes the character set itself while it reads
        value = (value if isinstance(value, str) else "\\".join(value)).encode()
    return value.rstrip(b" \0")


@pytest.fixture(scope="module")
def made(result, draw, tmp_path_factory, pango):
    """A folder with every object there is, of `result`."""
    out = tmp_path_factory.mktemp("objects")
    result = replace(result, findings=(FINDING,))
    request = JobRequest(
        job_id="job-1",
        series_instance_uid="",
        also=("seg", "nifti"),
        destinations=(
            Destination(ae_title="PACS", objects=("seg", "sr", "pdf")),
            Destination(ae_title="TPS", template=TEMPLATE),
        ),
    )
    draw_preview(result, out / "preview.png")
    written = write_and_prove(result, out / "rtstruct.dcm", identity=draw.identity)
    write_slices(result.series.hu, out / "slices.bin")
    figures = figures_of(result)
    review = review_of(result, figures, written)
    further = write_further_objects(result, figures, request, out, review=review, identity=draw.identity)
    assert further.findings == ()
    for name in ("rtstruct.dcm", "slices.bin"):  # not the subject here
        (out / name).unlink()
    names = [each["name"] for each in objects_document(out, further)]
    assert names[:6] == [
        f"rtstruct-{TEMPLATE.key}.dcm",
        *"seg-band.dcm seg-mean.dcm sr.dcm report.dcm report.pdf".split(),
    ]
    assert len(names) == 6 + 24
    (own,) = further.by_template.values()
    assert own.roi_names["CTV"]["lower"] == "zCTVsb_lo" and set(own.dsc.values()) == {1.0}
    return out


def files(folder):
    return [folder / name for name in sorted(p.name for p in folder.glob("*.dcm"))]


@needs("dciodvfy")
def test_dciodvfy_finds_no_error(made):
    """Its only warnings are about our private codes."""
    assert [p.name for p in files(made)] == [name.replace("%s", TEMPLATE.key) for name in DICOM_FILES]
    for path in files(made):
        done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
        told = (done.stdout + done.stderr).splitlines()
        assert [
            line for line in told if "Error" in line or ("Warning" in line and "99PENUMBRA" not in line)
        ] == []


@needs("dciodvfy")
@pytest.mark.parametrize(
    ("direction", "name", "character_set", "uneven"),
    [
        ((1, 0, 0, 0, -1, 0, 0, 0, -1), "홍^길동", "ISO_IR 192", False),  # feet first prone
        ((0, 1, 0, -1, 0, 0, 0, 0, 1), "Yamada^Tarou=山田^太郎", ["", "ISO 2022 IR 87"], False),  # on a side
        ((1, 0, 0, 0, 1, 0, 0, 0, 1), "Пациент^Иван", "ISO_IR 144", True),
    ],
)
def test_dciodvfy_finds_no_error_however_the_patient_lay_and_was_called(  # noqa: PLR0913 - a row of the table
    make_series, draw, tmp_path, direction, name, character_set, uneven
):
    grid = draw.grid((64, 60, 22), direction=direction)
    if uneven:
        offsets = tuple(float(z) for z in np.cumsum([0.0] + [2.5] * 10 + [4.0] * 11))
        grid = replace(grid, slice_offsets_mm=offsets, spacing_mm=(1.0, 1.0, offsets[-1] / 21))
    patient = PatientIdentity(patient_id="P-7", name=name, character_set=character_set)
    series = make_series(grid=grid, patient=patient)
    result = draw.result(series, structures=(draw.structure("CTV", series.grid, (0, 0, 0), 12),))
    write_mean_seg(result, tmp_path / "mean.dcm", identity=draw.identity)
    write_band_seg(result, tmp_path / "band.dcm", identity=draw.identity)
    write_sr(result, figures_of(result), tmp_path / "sr.dcm", identity=draw.identity)
    write_pdf(result, b"%PDF-1.4", tmp_path / "pdf.dcm", identity=draw.identity)
    for path in files(tmp_path):
        done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
        assert "Error" not in done.stdout + done.stderr, path.name


@needs("dcentvfy")
def test_dcentvfy_finds_them_consistent_with_the_ct(made, result_folder):
    ct = [str(p) for p in sorted((result_folder / "ct").iterdir())]
    for path in files(made):
        done = subprocess.run(["dcentvfy", str(path), *ct], capture_output=True, text=True)
        told = (done.stdout + done.stderr).splitlines()
        if path.name == "sr.dcm":
            told = [line for line in told if DCENTVFY_ON_ANY_SR not in line]
        assert told == []


def test_each_is_an_instance_and_a_series_of_its_own(made, result):
    datasets = [dcmread(path, stop_before_pixels=True) for path in files(made)]
    assert len({d.SOPInstanceUID for d in datasets}) == len({d.SeriesInstanceUID for d in datasets}) == 5
    assert result.series.series_instance_uid not in {d.SeriesInstanceUID for d in datasets}
    for dataset in datasets:
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert (dataset.SeriesDate, dataset.SeriesTime) == ("20261124", "120000")
        assert dataset.Manufacturer == "Penumbra"


@pytest.mark.parametrize(
    ("name", "character_set"),
    [
        ("Пациент^Иван", "ISO_IR 144"),
        ("Müller^Jürgen", "ISO_IR 100"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"]),
        (None, None),
    ],
)
def test_identity_equals_the_cts_byte_for_byte(make_series, draw, tmp_path, name, character_set):
    """Also of a CT that lacks most of it."""
    absent = (
        {} if name else dict.fromkeys(["StudyID", "StudyDescription", "AccessionNumber", "PatientBirthDate"])
    )
    patient = PatientIdentity(
        patient_id="P-7", name=name or "A^B", character_set=character_set or "ISO_IR 100"
    )
    series = make_series(grid=draw.grid((24, 20, 22)), patient=patient, **absent)
    result = draw.result(series, structures=(draw.structure("CTV", series.grid, (0, 0, 0), 6),))
    write_mean_seg(result, tmp_path / "mean.dcm", identity=draw.identity)
    write_band_seg(result, tmp_path / "band.dcm", identity=draw.identity)
    write_sr(result, figures_of(result), tmp_path / "sr.dcm", identity=draw.identity)
    write_pdf(result, b"%PDF-1.4", tmp_path / "pdf.dcm", identity=draw.identity)
    ct = sorted((tmp_path / "ct").iterdir())[0]
    for path in files(tmp_path):
        for keyword in IDENTITY_TAGS:
            assert raw(path, keyword) == raw(ct, keyword), (path.name, keyword)
        assert name is None or str(dcmread(path).PatientName) == name


def test_every_object_carries_the_mark_and_one_of_a_clinical_bundle_does_not(made, draw, result, tmp_path):
    for path in files(made):
        assert "NOT FOR CLINICAL USE" in dcmread(path, stop_before_pixels=True).SeriesDescription
    for name in ("seg-mean.dcm", "seg-band.dcm"):
        dataset = dcmread(made / name)
        assert "NOT FOR CLINICAL USE" in dataset.ContentDescription
        assert all("NOT FOR CLINICAL USE" in item.SegmentDescription for item in dataset.SegmentSequence)
    assert any("NOT FOR CLINICAL USE" in text for text in texts(dcmread(made / "sr.dcm")))
    assert "NOT FOR CLINICAL USE" in dcmread(made / "report.dcm").DocumentTitle
    assert "NOT FOR CLINICAL USE" in sitk_reader(made / "nifti-CTV-mean.nii.gz").GetMetaData("descrip")

    clinical = replace(result, bundle=replace(draw.bundle, intended_use="clinical"))
    write_sr(clinical, figures_of(clinical), tmp_path / "sr.dcm", identity=draw.identity)
    assert "CLINICAL USE" not in str(dcmread(tmp_path / "sr.dcm"))


def seg_volumes(path, series):
    """Per segment label the stored values (z, y, x), each frame put where its own position says."""
    dataset = dcmread(path)
    frames = dataset.pixel_array
    labels = {int(item.SegmentNumber): item.SegmentLabel for item in dataset.SegmentSequence}
    volumes = {label: np.zeros(series.hu.shape, np.uint8) for label in labels.values()}
    shared = dataset.SharedFunctionalGroupsSequence[0]
    axes = np.asarray(series.grid.direction).reshape(3, 3)
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    assert orientation == pytest.approx([*axes[:, 0], *axes[:, 1]], abs=1e-6)
    spacing = [float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing]
    assert spacing == pytest.approx([series.grid.spacing_mm[1], series.grid.spacing_mm[0]], abs=1e-6)
    for frame, item in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(item.PlanePositionSequence[0].ImagePositionPatient, float)
        distance = np.linalg.norm(series.slice_positions_mm - position, axis=1)
        index = int(distance.argmin())
        assert distance[index] < 1e-3
        source = item.DerivationImageSequence[0].SourceImageSequence[0]
        assert source.ReferencedSOPInstanceUID == series.sop_instance_uids[index]
        holder = (
            item if "SegmentIdentificationSequence" in item else shared
        )  # shared by all frames of one segment
        segment = int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        volumes[labels[segment]][index] = frame
    return volumes


def test_the_segmentation_holds_the_probability_and_its_half_is_the_rtstructs_mean(made, written, result):
    dataset = dcmread(made / "seg-mean.dcm", stop_before_pixels=True)
    assert (dataset.SegmentationType, dataset.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    assert dataset.MaximumFractionalValue == 255 and dataset.file_meta.TransferSyntaxUID == RLELossless
    assert dataset.FrameOfReferenceUID == result.series.frame_of_reference_uid
    volumes = seg_volumes(made / "seg-mean.dcm", result.series)
    masks = rasterise(dcmread(written), result.series)
    for structure in result.structures:
        values = volumes[structure.name]
        assert np.abs(values / 255 - structure.mean).max() <= 0.5 / 255 + 1e-6
        mean = masks["CTVsb^AI" if structure.name == "CTV" else structure.name]
        assert dice(values >= 128, mean) >= 0.999, structure.name


def test_the_band_is_inside_the_upper_and_outside_the_lower_bound_of_the_rtstruct(made, written, result):
    volumes = seg_volumes(made / "seg-band.dcm", result.series)
    masks = rasterise(dcmread(written), result.series)
    for name in ("Bladder", "Rectum", "PenileBulb"):
        band = masks[f"z{name}^hi"] & ~masks[f"z{name}^lo"]
        assert dice(volumes[f"{name} band"] == 1, band) >= 0.995, name


@pytest.mark.parametrize("direction", [(-1, 0, 0, 0, -1, 0, 0, 0, 1), (-1, 0, 0, 0, 1, 0, 0, 0, -1)])
def test_prone_and_feet_first_patients_are_segmented_in_place(draw, make_series, tmp_path, direction):
    series = make_series(grid=draw.grid((44, 40, 24), (1.0, 1.3, 2.5), direction=direction))
    structures = (draw.structure("Femur_Head_L", series.grid, (8, -5, 4), 7),)
    result = draw.result(series, structures=structures)
    write_rtstruct(result, tmp_path / "r.dcm", identity=draw.identity)
    write_mean_seg(result, tmp_path / "seg.dcm", identity=draw.identity)
    mask = seg_volumes(tmp_path / "seg.dcm", series)["Femur_Head_L"] >= 128
    assert dice(mask, rasterise(dcmread(tmp_path / "r.dcm"), series)["Femur_Head_L"]) >= 0.999
    item = dcmread(tmp_path / "seg.dcm").SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert item.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"


def texts(dataset):
    """Every text of a content tree."""
    found = [str(dataset.TextValue)] if "TextValue" in dataset else []
    for item in dataset.get("ContentSequence") or ():
        found += texts(item)
    return found


def numbers(dataset, structure):
    """Measurements of a structure: what it is called, the number, the unit."""
    (group,) = [
        item
        for container in dataset.ContentSequence
        for item in container.get("ContentSequence") or ()
        if structure in [each.get("TextValue") for each in item.get("ContentSequence") or ()]
    ]
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: (
            float(item.MeasuredValueSequence[0].NumericValue),
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
        )
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    }


def test_the_report_has_volumes_band_quality_and_findings(made, result):
    dataset = dcmread(made / "sr.dcm")
    assert dataset.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert (dataset.CompletionFlag, dataset.VerificationFlag) == ("PARTIAL", "UNVERIFIED")
    for figures in figures_of(result):
        found = numbers(dataset, figures.structure.name)
        assert found["Volume"] == (figures.volume_cc, "cm3")
        assert found["Volume within upper bound"] == (figures.upper_cc, "cm3")
        assert found["Mean width of band"] == (pytest.approx(figures.band.mean_mm, abs=0.01), "mm")
    quality = "Mean DSC of passes with mean contour"
    assert numbers(dataset, "Bladder")[quality] == (0.931, "1")
    assert quality not in numbers(dataset, "CTV")
    told = texts(dataset)
    assert "metal: There is metal in the right hip." in told
    assert any("CTV; quality not validated; bounds uncalibrated" in text for text in told)


def test_the_encapsulated_pdf_is_the_report_and_says_that_it_names_the_patient(made):
    dataset = dcmread(made / "report.dcm")
    page = dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength]
    assert page == (made / "report.pdf").read_bytes() and page.startswith(b"%PDF-")
    assert dataset.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert dataset.BurnedInAnnotation == "YES"
    told = "".join(page.get_textpage().get_text_bounded() for page in PdfDocument(page))
    assert "Quasimodo, Esmeralda" in told and "There is metal in the right hip." in told


def test_without_pango_the_job_goes_on_and_says_what_is_missing(result, draw, tmp_path, monkeypatch):
    def missing(_html):
        raise NoPdf

    monkeypatch.setattr("worker.report.pdf.pdf_of", missing)
    written = write_and_prove(result, tmp_path / "rtstruct.dcm", identity=draw.identity)
    write_slices(result.series.hu, tmp_path / "slices.bin")
    figures = figures_of(result)
    further = write_further_objects(
        result,
        figures,
        JobRequest(job_id="job-1", series_instance_uid="", also=("pdf",)),
        tmp_path,
        review=review_of(result, figures, written),
        identity=draw.identity,
    )
    assert [finding.code for finding in further.findings] == ["no-pdf"]
    assert not (tmp_path / "report.dcm").exists()


def sitk_reader(path):
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader


@pytest.mark.parametrize("direction", [None, (-1, 0, 0, 0, 1, 0, 0, 0, -1)])
def test_nifti_lies_on_the_ct_when_simpleitk_reads_it(draw, bare_series, tmp_path, direction):
    options = {} if direction is None else {"direction": direction}
    series = bare_series(draw.grid((44, 40, 24), (1.0, 1.3, 2.5), origin_mm=(-30.0, 20.0, -500.0), **options))
    centre = series.grid.to_patient((20.0, 15.0, 11.0))
    structure = draw.structure("Bladder", series.grid, centre, 9)
    assert write_nifti(draw.result(series, structures=(structure,)), tmp_path) == []
    mask = sitk.ReadImage(str(tmp_path / "nifti-Bladder-mean.nii.gz"))
    assert mask.GetSpacing() == pytest.approx(series.grid.spacing_mm)
    assert mask.GetOrigin() == pytest.approx(series.grid.origin_mm, abs=1e-3)
    assert mask.GetDirection() == pytest.approx(series.grid.direction)
    assert (sitk.GetArrayFromImage(mask) == (structure.mean >= 0.5)).all()
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(mask)
    assert shape.GetCentroid(1) == pytest.approx(tuple(centre), abs=0.3)
    probability = sitk.ReadImage(str(tmp_path / "nifti-Bladder-probability.nii.gz"))
    assert np.abs(sitk.GetArrayFromImage(probability) - structure.mean).max() < 1e-6


def test_nothing_is_written_of_what_was_not_found(draw, result, tmp_path):
    nothing = np.zeros_like(result.structures[0].mean)
    empty = tuple(replace(s, mean=nothing, lower=nothing, upper=nothing) for s in result.structures)
    assert not write_mean_seg(replace(result, structures=empty), tmp_path / "seg.dcm", identity=draw.identity)
    assert not list(tmp_path.iterdir())


def test_what_an_earlier_run_left_goes_and_nothing_else_does(made, tmp_path):
    for path in made.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "mine.dcm").touch()
    clear_objects(tmp_path)
    assert objects_in(tmp_path) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.dcm", "preview.png"]
