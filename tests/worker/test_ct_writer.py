"""Synthetic CT instances: valid, reproducible, and spoilt on demand."""

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian


def test_same_arguments_give_the_same_bytes(make_ct, draw):
    grid = draw.grid((24, 20, 22))
    hu = np.random.default_rng(0).integers(-1000, 1000, grid.shape_zyx)
    first, second = make_ct(hu, grid, name="a"), make_ct(hu, grid, name="b")
    names = sorted(p.name for p in first.iterdir())
    assert names[0] == "000001.dcm" and len(names) == 22
    assert all((first / n).read_bytes() == (second / n).read_bytes() for n in names)


def test_another_seed_gives_other_uids(make_ct):
    ids = [dcmread(make_ct(name=s, seed=s) / "000001.dcm") for s in ("a", "b")]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert ids[0].get(keyword) != ids[1].get(keyword)


@pytest.mark.parametrize(
    ("direction", "position"),
    [
        ((1, 0, 0, 0, 1, 0, 0, 0, 1), "HFS"),
        ((-1, 0, 0, 0, -1, 0, 0, 0, 1), "HFP"),
        ((-1, 0, 0, 0, 1, 0, 0, 0, -1), "FFS"),
        ((1, 0, 0, 0, -1, 0, 0, 0, -1), "FFP"),
        ((0, -1, 0, 1, 0, 0, 0, 0, 1), "HFDL"),
    ],
)
def test_patient_position_follows_from_the_direction(make_ct, draw, direction, position):
    folder = make_ct(grid=draw.grid((24, 20, 22), direction=direction))
    assert dcmread(folder / "000001.dcm").PatientPosition == position


def test_overrides_set_and_delete(make_ct):
    folder = make_ct(Modality="MR", KVP=None, TransferSyntaxUID=ImplicitVRLittleEndian)
    dataset = dcmread(folder / "000003.dcm")
    assert dataset.Modality == "MR" and "KVP" not in dataset
    assert dataset.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian


def test_an_array_off_its_grid_is_refused(make_ct, draw):
    with pytest.raises(ValueError, match="shape"):
        make_ct(np.zeros((3, 3, 3), np.int16), draw.grid((24, 20, 22)))
