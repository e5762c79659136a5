"""The smallest contour that encloses anything, and ones too long for their encoding, are read all the same."""

import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from worker.contours import ring_area
from worker.ct_writer import write_ct_series
from worker.raster import fill
from worker.rtstruct import write_contours
from worker.series import read_series
from worker.vendor_contours import read_structure_set
from worker.vendor_images import stack_of
from worker.vendor_masks import read_rois
from worker.vendor_placing import place
from worker.verify import verify

TRIANGLE = np.array([(-9.0, -8.0), (11.0, -5.0), (2.0, 10.0)])


@pytest.fixture(scope="module")
def small(tmp_path_factory, draw) -> SimpleNamespace:
    """A ball on a small CT. Shared."""
    folder = tmp_path_factory.mktemp("sizes")
    grid = draw.grid((40, 36, 20), (1.1, 1.2, 3.0))
    write_ct_series(
        np.zeros(grid.shape_zyx, np.int16), grid, folder / "ct", patient=draw.patient, uid_seed="v"
    )
    series = read_series(folder / "ct")
    fields = {"Ball": (draw.ball(grid, (0, 0, 0), 10), 0.5)}
    write_contours(series, fields, folder / "rs.dcm", identity=draw.identity)
    return SimpleNamespace(ct=folder / "ct", rs=folder / "rs.dcm", stack=stack_of(series))


def written(small, path, polygon, *, syntax=ImplicitVRLittleEndian, form="{:.3f}") -> np.ndarray:
    """The ball as one contour (n, 2) x, y mm on the slice of its second; returns its points (n, 3) as written."""
    dataset = dcmread(small.rs)
    drawn = dataset.ROIContourSequence[0]
    del drawn.ContourSequence[2:], drawn.ContourSequence[0], dataset.StructureSetROISequence[0].ROIVolume
    (contour,) = drawn.ContourSequence
    points = np.column_stack([polygon, np.full(len(polygon), float(contour.ContourData[2]))])
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [form.format(v)[:16] for v in points.ravel()]
    dataset.file_meta.TransferSyntaxUID = syntax
    implicit = syntax == ImplicitVRLittleEndian
    dcmwrite(path, dataset, implicit_vr=implicit, little_endian=True, force_encoding=True)
    return points


def circle(n, radius=10.0) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.column_stack([radius * np.cos(t), radius * np.sin(t)])


def read(small, path):
    (roi,) = read_rois(read_structure_set(path), small.stack)
    return roi


def test_three_points_are_a_contour(small, tmp_path):
    points = written(small, tmp_path / "rs.dcm", TRIANGLE)
    roi = read(small, tmp_path / "rs.dcm")
    assert roi.report.used == 1 and not roi.report.left_out and roi.report.miscounted == 0
    assert np.array_equal(roi.placed[0].contour.points_mm, points)
    plane = roi.placed[0].plane
    filled = fill(small.stack.planes[plane].project(points)[0], plane, small.stack.shape_zyx)
    assert (
        roi.raster.inside.sum() == filled.inside.sum() == pytest.approx(ring_area(TRIANGLE) / 1.32, rel=0.1)
    )
    verification = verify(tmp_path / "rs.dcm", small.ct)
    assert not verification.objections
    assert verification.rois[0].volume_cc == pytest.approx(abs(ring_area(TRIANGLE)) * 3 / 1000)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian], ids=["implicit", "explicit"]
)
def test_more_points_than_a_16_bit_length_can_tell_are_read(small, tmp_path, syntax):
    """65,534 bytes hold 1,300 points of full precision; writers of explicit VR call longer ones UN (PS3.5 6.2.2)."""
    points = written(small, tmp_path / "rs.dcm", circle(1400), syntax=syntax, form="{:.14f}")
    roi = read(small, tmp_path / "rs.dcm")
    (placed,) = roi.placed
    assert placed.contour.data_bytes > 65534 and roi.report.miscounted == 0
    assert np.allclose(placed.contour.points_mm, points, atol=1e-9)
    verification = verify(tmp_path / "rs.dcm", small.ct)
    codes = {objection.code for objection in verification.objections}
    assert codes - {"explicit-vr"} == {"many-points", "contour-data-length"}
    assert verification.rois[0].volume_cc == pytest.approx(np.pi * 10**2 * 3 / 1000, rel=1e-3)


def test_a_contour_of_very_many_points_is_placed_in_bounded_memory(small, tmp_path, bare_series, draw):
    """Heights of 200,000 points above 300 planes at once would be 480 MB."""
    written(small, tmp_path / "rs.dcm", TRIANGLE)
    (roi,) = read_structure_set(tmp_path / "rs.dcm").rois
    stack = stack_of(bare_series(draw.grid((8, 8, 300))))
    points = np.column_stack([circle(200_000), np.full(200_000, stack.planes[120].position_mm[2])])
    points[-1, 2] += 0.04  # the farthest is in the last of the chunks
    contour = replace(roi.contours[0], points_mm=points)
    tracemalloc.start()
    placed = place(contour, stack)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert placed.plane == 120 and placed.off_mm == pytest.approx(0.04)
    assert stack.farthest_from(points)[[120, 121]] == pytest.approx([0.04, 3.0])
    assert peak < 80e6
