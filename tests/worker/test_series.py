"""A folder of files becomes a series, or a reason that names the culprit."""

import shutil

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
    MRImageStorage,
    RTPlanStorage,
    SecondaryCaptureImageStorage,
)

from worker.errors import (
    DuplicatePosition,
    MissingAttribute,
    MissingSlices,
    MixedSeries,
    NoDicom,
    NotCT,
    Rejected,
    TiltedSlices,
    TooFewSlices,
    UnreadableInstance,
    UnsupportedTransferSyntax,
)
from worker.series import read_even_series, read_series

POSITIONS = {
    "HFS": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "HFP": (-1, 0, 0, 0, -1, 0, 0, 0, 1),
    "FFS": (-1, 0, 0, 0, 1, 0, 0, 0, -1),
    "FFP": (1, 0, 0, 0, -1, 0, 0, 0, -1),
}


def random_hu(grid):
    return np.random.default_rng(0).integers(-1024, 3000, grid.shape_zyx).astype(np.int16)


def edit(path, **values):
    dataset = dcmread(path)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    return str(dataset.SOPInstanceUID)


@pytest.mark.parametrize("position", POSITIONS)
def test_any_file_order_and_name_gives_the_same_volume(make_ct, draw, tmp_path, position):
    grid = draw.grid((24, 18, 22), (0.9, 1.3, 2.5), direction=POSITIONS[position])
    hu = random_hu(grid)
    folder = make_ct(hu, grid)
    names = sorted(folder.iterdir())
    np.random.default_rng(1).shuffle(names)
    for n, path in enumerate(names):
        target = tmp_path / "in" / f"deep{n % 3}"
        target.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target / f"IM{n}")
    series = read_series(tmp_path / "in")
    assert (series.hu == hu).all()
    assert series.grid.size_xyz == grid.size_xyz
    assert series.grid.spacing_mm == pytest.approx(grid.spacing_mm)
    assert series.grid.origin_mm == pytest.approx(grid.origin_mm)
    assert series.grid.direction == pytest.approx(grid.direction)
    assert [h.SOPInstanceUID for h in series.headers] == list(series.sop_instance_uids)
    assert series.slice_positions_mm[3] == pytest.approx(grid.to_patient((0, 0, 3)))
    assert "PixelData" not in series.headers[0]


def test_implicit_vr_and_a_missing_file_meta_group_are_read(make_ct, draw):
    grid = draw.grid((24, 20, 22))
    hu = random_hu(grid)
    folder = make_ct(hu, grid, TransferSyntaxUID=ImplicitVRLittleEndian)
    for path in folder.iterdir():
        dataset = dcmread(path)
        start = 132 + 12 + dataset.file_meta.FileMetaInformationGroupLength
        path.write_bytes(path.read_bytes()[start:])
    assert (read_series(folder).hu == hu).all()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_rescale_padding_and_unsigned_values_become_hu(make_ct, syntax):
    folder = make_ct(
        RescaleSlope="2.0", RescaleIntercept="-1.2E+03", PixelRepresentation=0, TransferSyntaxUID=syntax
    )
    path = sorted(folder.iterdir())[4]
    dataset = dcmread(path)
    stored = np.full((dataset.Rows, dataset.Columns), 600, "<u2")
    stored[0, 0], stored[0, 1], stored[0, 2] = 65535, 263, 0
    dataset.PixelData = stored.tobytes()
    dataset.add_new("PixelPaddingValue", "US", 263)
    dataset.save_as(path)
    hu = read_series(folder).hu[4]
    assert hu[1, 1] == 0
    assert hu[0, 0] == 32767
    assert hu[0, 1] == -1024
    assert hu[0, 2] == -1024


def test_bits_above_the_stored_ones_are_ignored(make_ct):
    folder = make_ct()
    path = sorted(folder.iterdir())[0]
    dataset = dcmread(path)
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
    dataset.PixelData = np.full((dataset.Rows, dataset.Columns), 0xF000 | 1064, "<u2").tobytes()
    dataset.save_as(path)
    assert (read_series(folder).hu[0] == 40).all()


def test_other_files_and_companions_are_noted_not_read(make_ct, tmp_path):
    folder = make_ct()
    (folder / "README.txt").write_text("exported")
    plan = dcmread(sorted(folder.iterdir())[0])
    plan.SOPClassUID = plan.file_meta.MediaStorageSOPClassUID = RTPlanStorage
    plan.Modality, plan.SeriesInstanceUID = "RTPLAN", "1.2.3.4"
    del plan.PixelData
    plan.save_as(folder / "plan.dcm")
    edit(
        shutil.copy(sorted(folder.iterdir())[1], folder / "scout.dcm"),
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )
    shutil.copy(sorted(folder.iterdir())[2], folder / "again.dcm")
    series = read_series(folder)
    assert len(series.hu) == 22
    codes = {finding.code for finding in series.findings}
    assert codes == {"other-files", "other-objects", "localizers-left-out", "copies"}


def test_a_folder_without_dicom_is_refused(tmp_path):
    with pytest.raises(NoDicom):
        read_series(tmp_path)
    (tmp_path / "a.txt").write_text("x" * 200)
    with pytest.raises(NoDicom):
        read_series(tmp_path)


@pytest.mark.parametrize("size", [100, 700, 1400, -2, -400])
def test_a_truncated_instance_is_named_and_to_be_sent_again(make_ct, size):
    folder = make_ct()
    path = sorted(folder.iterdir())[7]
    uid = str(dcmread(path).SOPInstanceUID)
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    if size < 132 and size > 0:
        with pytest.raises(MissingSlices):
            read_series(folder)
        return
    with pytest.raises(UnreadableInstance) as caught:
        read_series(folder)
    assert uid in str(caught.value)
    assert "again" in caught.value.remedy


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("at", range(140, 1500, 40))
def test_a_cut_anywhere_in_the_header_never_escapes_as_another_error(make_ct, at):
    folder = make_ct()
    path = sorted(folder.iterdir())[7]
    path.write_bytes(path.read_bytes()[:at])
    with pytest.raises((UnreadableInstance, MissingAttribute)):
        read_series(folder)


@pytest.mark.filterwarnings("ignore")
def test_random_damage_never_escapes_as_another_error(make_ct):
    folder = make_ct()
    path = sorted(folder.iterdir())[7]
    whole = path.read_bytes()
    random = np.random.default_rng(3)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in random.integers(140, 1500, 4):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            read_series(folder)
        except Rejected as reason:
            assert "Quasimodo" not in str(reason)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "keyword", ["StudyInstanceUID", "FrameOfReferenceUID", "BitsStored", "PixelRepresentation"]
)
def test_an_attribute_of_a_wrong_vr_is_named(make_ct, keyword):
    folder = make_ct()
    path = sorted(folder.iterdir())[7]
    whole = bytearray(path.read_bytes())
    at = dcmread(path).get_item(keyword).value_tell
    whole[at - 4 : at - 2] = b"FD"  # eight bytes a number, which its length does not divide into
    path.write_bytes(whole)
    with pytest.raises(MissingAttribute, match=keyword):
        read_series(folder)


@pytest.mark.filterwarnings("ignore")
def test_an_unknown_vr_in_the_meta_information_is_no_crash(make_ct):
    folder = make_ct()
    path = sorted(folder.iterdir())[7]
    data = path.read_bytes()
    at = data.index(b"\x02\x00\x03\x00UI")  # Media Storage SOP Instance UID
    path.write_bytes(data[: at + 4] + b"UK" + data[at + 6 :])
    assert len(read_series(folder).hu) == 22


def test_an_mr_series_is_refused_by_name_even_if_short(make_ct):
    folder = make_ct(SOPClassUID=MRImageStorage, Modality="MR")
    for path in sorted(folder.iterdir())[3:]:
        path.unlink()
    with pytest.raises(NotCT, match=r"2\.25\.\d+ is MR Image Storage"):
        read_series(folder)


@pytest.mark.parametrize("kind", [EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage])
def test_enhanced_ct_is_refused(make_ct, draw, kind):
    folder = make_ct()
    assert dcmread(draw.as_frames(folder, kind)).NumberOfFrames == 22
    with pytest.raises(NotCT, match=rf"2\.25\.772 is {kind.name}") as caught:
        read_series(folder)
    assert caught.value.remedy.startswith("Multi-frame CT is not read. Have the scanner or the PACS export")


def picture_of(path, target):
    """A dose report as scanners send it: a picture in a series of its own."""
    dataset = dcmread(path)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.5"
    dataset.SeriesInstanceUID = "2.25.6"
    dataset.save_as(target)


def test_a_dose_report_beside_the_slices_is_set_aside_and_named(make_ct):
    folder = make_ct()
    picture_of(sorted(folder.iterdir())[0], folder / "dose")
    series = read_series(folder)
    (finding,) = series.findings
    assert len(series.hu) == 22 and finding.code == "pictures-left-out" and "2.25.5" in finding.message


def test_pictures_alone_are_no_series(make_ct, tmp_path):
    (tmp_path / "in").mkdir()
    picture_of(sorted(make_ct().iterdir())[0], tmp_path / "in" / "dose")
    with pytest.raises(NotCT, match="Secondary Capture"):
        read_series(tmp_path / "in")


@pytest.mark.parametrize("kind", ["HU", "hu", "HOUNSFIELD"])
def test_ct_numbers_are_known_however_their_type_is_spelt(make_ct, kind):
    assert len(read_series(make_ct(RescaleType=kind)).hu) == 22


def test_only_localizers_are_no_series(make_ct):
    with pytest.raises(NotCT, match="scout"):
        read_series(make_ct(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))


def test_two_mixed_series_are_both_named(make_ct, tmp_path):
    first, second = make_ct(name="in/a", seed="a"), make_ct(name="in/b", seed="b")
    uids = [str(dcmread(sorted(f.iterdir())[0]).SeriesInstanceUID) for f in (first, second)]
    with pytest.raises(MixedSeries) as caught:
        read_series(tmp_path / "in")
    assert all(uid in caught.value.message for uid in uids)


def test_a_missing_slice_is_named_with_its_gap(make_ct, draw):
    folder = make_ct(grid=draw.grid((24, 20, 25), (1, 1, 3)))
    paths = sorted(folder.iterdir())
    before = dcmread(paths[11])
    paths[12].unlink()
    with pytest.raises(MissingSlices) as caught:
        read_series(folder)
    message = caught.value.message
    assert "6.0 mm" in message and str(before.SOPInstanceUID) in message
    assert f"z = {float(before.ImagePositionPatient[2]):.1f} mm" in message


def test_slight_unevenness_is_noted_and_the_grid_stays_regular(make_ct, draw):
    folder = make_ct(grid=draw.grid((24, 20, 22), (1, 1, 3)))
    for n, path in enumerate(sorted(folder.iterdir())):
        edit(path, ImagePositionPatient=["0", "0", f"{3 * n + 0.1 * (n % 2):.1f}"])
    series = read_series(folder)
    assert [f.code for f in series.findings] == ["uneven-spacing"]
    assert not series.grid.is_uneven


def test_spacing_that_changes_is_read_with_every_slice_at_its_place(make_ct, draw):
    folder = make_ct(grid=draw.grid((24, 20, 22), (1, 1, 3)))
    heights = [3 * n if n < 11 else 33 + 4 * (n - 11) for n in range(22)]
    for z, path in zip(heights, sorted(folder.iterdir()), strict=True):
        edit(path, ImagePositionPatient=["0", "0", f"{z:.1f}"])
    series = read_series(folder)
    (finding,) = series.findings
    assert finding.code == "uneven-spacing" and "from 3.00 to 4.00 mm, at z = 33.0 mm" in finding.message
    assert series.grid.to_patient([(0, 0, n) for n in range(22)])[:, 2] == pytest.approx(heights)
    with pytest.raises(MissingSlices, match="unevenly"):
        read_even_series(folder)


def test_a_tilted_gantry_is_refused_whether_it_shows_in_the_orientation_or_the_positions(make_ct):
    folder = make_ct()
    tilt = np.deg2rad(10)
    for path in folder.iterdir():
        edit(
            path, ImageOrientationPatient=["1", "0", "0", "0", f"{np.cos(tilt):.6f}", f"{-np.sin(tilt):.6f}"]
        )
    with pytest.raises(TiltedSlices, match=r"2\.25\."):
        read_series(folder)
    for n, path in enumerate(sorted(folder.iterdir())):
        edit(
            path,
            ImageOrientationPatient=["1", "0", "0", "0", "1", "0"],
            ImagePositionPatient=["0", f"{0.1 * n:.2f}", f"{3 * n}"],
        )
    with pytest.raises(TiltedSlices, match="shifted"):
        read_series(folder)


def test_two_slices_at_one_place_are_named(make_ct):
    folder = make_ct()
    paths = sorted(folder.iterdir())
    position = dcmread(paths[4]).ImagePositionPatient
    uid = edit(paths[5], ImagePositionPatient=position)
    with pytest.raises(DuplicatePosition, match=uid.replace(".", r"\.")):
        read_series(folder)


def test_one_uid_with_two_contents_is_refused(make_ct):
    folder = make_ct()
    path = sorted(folder.iterdir())[4]
    edit(shutil.copy(path, folder / "x.dcm"), InstanceNumber="77")
    with pytest.raises(DuplicatePosition, match="different content"):
        read_series(folder)


def test_nineteen_slices_are_too_few(make_ct, draw):
    with pytest.raises(TooFewSlices, match="19 slices"):
        read_series(make_ct(grid=draw.grid((24, 20, 19))))


@pytest.mark.parametrize(
    "keyword",
    [
        "FrameOfReferenceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "PixelSpacing",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "RescaleSlope",
        "Rows",
    ],
)
def test_an_attribute_we_cannot_do_without_is_named(make_ct, keyword):
    with pytest.raises(MissingAttribute, match=keyword):
        read_series(make_ct(**{keyword: None}))


def test_slices_of_two_sizes_are_refused(make_ct, draw, tmp_path):
    make_ct(name="in/a")
    make_ct(grid=draw.grid((20, 20, 44)), name="in/b")
    for path in (tmp_path / "in" / "b").iterdir():
        edit(path, SOPInstanceUID=str(dcmread(path).SOPInstanceUID) + "1")
    with pytest.raises(MixedSeries, match="size"):
        read_series(tmp_path / "in")


@pytest.mark.parametrize(
    ("folder", "error"),
    [
        ("gantry_tilt_siemens_4slices", TiltedSlices),
        ("missing_slice_ge_4slices", MissingSlices),
        ("missing_slice_tilted_siemens_4slices", TiltedSlices),
        ("oblique_nonsquare_simpleitk_3slices", TiltedSlices),
        ("same_position_bolus_monitor_4slices", DuplicatePosition),
    ],
)
def test_real_series_of_bad_geometry_are_refused_for_it(shared_data, folder, error):
    with pytest.raises(error):
        read_series(shared_data / "ct-geometry" / folder)


def test_encodings_with_loss_are_refused_by_name_and_the_others_are_read(shared_data, tmp_path):
    with_loss = ("4.50", "4.51", "4.53", "4.55", "4.81", "4.91")
    for path in sorted((shared_data / "ct-encodings").iterdir()):
        folder = tmp_path / path.name
        folder.mkdir()
        shutil.copy(path, folder / "1")
        if path.stem.endswith(with_loss):
            with pytest.raises(UnsupportedTransferSyntax, match="with loss") as caught:
                read_series(folder)
            assert str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) in caught.value.message
        else:
            with pytest.raises(TooFewSlices):
                read_series(folder)


def test_no_message_names_the_patient(make_ct):
    folder = make_ct(PixelSpacing=None)
    path = sorted(folder.iterdir())[0]
    path.rename(folder / "Quasimodo.dcm")
    with pytest.raises(MissingAttribute) as caught:
        read_series(folder)
    assert "Quasimodo" not in str(caught.value) + repr(caught.value.__dict__)
