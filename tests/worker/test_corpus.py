"""A phantom CT in every variant that a planning system may send: right to a hundredth of a millimetre, or refused.

Two spheres are drawn into the CT numbers themselves, as the sigmoid of the distance to their surface. So whatever
reading gets wrong (a value, a sign, an axis, a position) shows in the contours, which are compared with the analytic
spheres after they were written to an RTSTRUCT.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
    RTPlanStorage,
)

from worker.contours import ring_area
from worker.ct_writer import write_ct_series
from worker.errors import Rejected
from worker.patient_study import ObjectIdentity
from worker.round_trip import rasterise
from worker.rtstruct import write_contours
from worker.series import read_series
from worker.uids import uid_from

# LPS mm: centre, radius. They lie so that slices 2 mm apart sum up to their volumes: areas times distances depend
# on where the slices cut, by up to 1.6 % for R 8 mm, whatever the contours are.
SPHERES = {"R25": ((-14.0, 2.0, 0.5), 25.0), "R8": ((29.0, -5.0, 2.5), 8.0)}
VOLUME_TOLERANCE = {"R25": 0.003, "R8": 0.01}
SIZE, SPACING = (82, 60, 28), (1.0, 1.0, 2.0)  # columns, rows, slices; mm
AXIAL = (1, 0, 0, 0, 1, 0, 0, 0, 1)
IDENTITY = ObjectIdentity(seed="corpus", created=datetime(2026, 11, 24, 12, 0, tzinfo=UTC))
LOW_HU, RANGE_HU = -1000, 2000


def field_at(points):
    """The image's field, 1 inside the spheres and 0 outside, at points (..., 3) in LPS mm."""
    inside = [np.linalg.norm(points - np.array(c), axis=-1) - r for c, r in SPHERES.values()]
    return 1 / (1 + np.exp(np.clip(np.minimum(*inside), -30, 30)))


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How the phantom is written, what is changed in the files after that, and what is to come of it.

    `change(dataset, n)` edits instance n, or returns False to drop it; `folder(path, draw)` edits the folder;
    `syntax` is the encoding the files get at last. `z_mm` are the slices' positions, if not evenly spaced.
    `refused` is the code of the refusal expected, `finding` that of a finding. `coarse` slices cut the spheres too
    seldom for their areas to sum up to the volume; the contours must be right all the same. `corner_hu` is what the
    first three rows and columns must read.
    """

    direction: tuple = AXIAL
    size: tuple = SIZE
    spacing: tuple = SPACING
    z_mm: tuple | None = None
    written: dict = field(default_factory=dict)
    change: object = None
    folder: object = None
    syntax: str | None = None
    refused: str | None = None
    finding: str | None = None
    coarse: bool = False
    corner_hu: int | None = None


def stored(values, **attributes):
    """Values other than those the writer stores: `values(hu)` gives them, attributes say how they are to be read."""

    def change(dataset, n):
        hu = np.frombuffer(dataset.PixelData, "<i2").astype(np.int32) - 1024
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value(n) if callable(value) else value)
        kind = "<i2" if dataset.PixelRepresentation else "<u2"
        new = np.rint(values(hu, n) if values.__code__.co_argcount == 2 else values(hu)).astype(np.int64)
        dataset.PixelData = new.astype(kind).tobytes()
        dataset["PixelData"].VR = "OW"
        if "PixelPaddingValue" in dataset:
            dataset["PixelPaddingValue"].VR = "SS"

    return change


def padded(low, high, **attributes):
    """A corner of the image outside the scanner's circle, filled with padding values."""

    def change(dataset, n):
        pixels = np.frombuffer(dataset.PixelData, "<i2").reshape(dataset.Rows, dataset.Columns).copy()
        pixels[:3, :3] = np.linspace(low, high, 9).reshape(3, 3)
        dataset.PixelData = pixels.tobytes()
        for keyword, value in attributes.items():
            dataset.add_new(Tag(keyword), "SS", value)

    return change


def setting(**values):
    """Set attributes of every instance; None deletes, a function gets the instance's number."""

    def change(dataset, n):
        for keyword, value in values.items():
            value = value(n) if callable(value) else value
            if value is None:
                del dataset[keyword]
            else:
                setattr(dataset, keyword, value)

    return change


def dropped(*numbers):
    return lambda dataset, n: n not in numbers


def moved_onto_its_neighbour(dataset, n):
    if n == 9:
        dataset.ImagePositionPatient[2] -= 2


def sheared(dataset, n):
    dataset.ImagePositionPatient[1] += 0.2 * n


def tilted(dataset, n):
    a = np.deg2rad(8)
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", f"{np.cos(a):.8f}", f"{-np.sin(a):.8f}"]


def two_interleaved(dataset, n):
    dataset.AcquisitionNumber = str(1 + n % 2)


def also(source, name, **values):
    """One more file beside the others: a copy of the n-th with other attributes."""

    def folder(path, draw):
        dataset = dcmread(sorted(path.iterdir())[source])
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid_from("extra", name)
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.save_as(path / name)

    return folder


def shuffled(path, draw):
    files = sorted(path.iterdir())
    order = np.random.default_rng(5).permutation(len(files))
    for place, file in zip(order, files, strict=True):
        below = path / f"DISK{place % 3}"
        below.mkdir(exist_ok=True)
        file.rename(below / f"IM{place}")


def without_meta(path, draw):
    for file in path.iterdir():
        data = file.read_bytes()
        file.write_bytes(data[144 + int.from_bytes(data[140:144], "little") :])


def copied(path, draw):
    shutil.copy(sorted(path.iterdir())[3], path / "again.dcm")


def cut_off(path, draw):
    file = sorted(path.iterdir())[11]
    file.write_bytes(file.read_bytes()[:-300])


def another_series(path, draw):
    grid = draw.grid(SIZE, SPACING)
    write_ct_series(
        np.zeros(grid.shape_zyx, np.int16), grid, path / "b", patient=draw.patient, uid_seed="another"
    )


def steps(*runs):
    """Positions of slices from runs of (count, step in mm), centred on zero."""
    z = np.concatenate([[0.0], np.cumsum(np.concatenate([np.full(n, float(s)) for n, s in runs]))])
    return tuple(np.round(z - z[-1] / 2, 3))


VARIANTS = {
    # Encodings
    "explicit little endian": Variant(),
    "implicit little endian": Variant(written={"TransferSyntaxUID": ImplicitVRLittleEndian}),
    "no meta information": Variant(
        written={"TransferSyntaxUID": ImplicitVRLittleEndian}, folder=without_meta
    ),
    "big endian": Variant(syntax=ExplicitVRBigEndian),
    "deflated": Variant(syntax=DeflatedExplicitVRLittleEndian),
    "RLE": Variant(syntax=RLELossless),
    "JPEG 2000 lossless": Variant(syntax=JPEG2000Lossless),
    "JPEG-LS lossless": Variant(syntax=JPEGLSLossless),
    "JPEG lossless": Variant(syntax=JPEGLossless),
    "JPEG lossless SV1": Variant(syntax=JPEGLosslessSV1),
    # Values
    "12 bits unsigned": Variant(
        change=stored(lambda hu: hu + 1024, BitsStored=12, HighBit=11, PixelRepresentation=0)
    ),
    "12 bits signed": Variant(change=stored(lambda hu: hu, BitsStored=12, HighBit=11, RescaleIntercept="0")),
    "bits above the stored ones": Variant(
        change=stored(lambda hu: (hu + 1024) | 0xA000, BitsStored=12, HighBit=11, PixelRepresentation=0)
    ),
    "16 bits unsigned, high intercept": Variant(
        change=stored(lambda hu: hu + 32768, PixelRepresentation=0, RescaleIntercept="-32768")
    ),
    "slope 0.5 and a fraction": Variant(
        change=stored(lambda hu: (hu + 1024.5) * 2, RescaleSlope="0.5", RescaleIntercept="-1024.5")
    ),
    "slope 2.0002, intercept -4047": Variant(
        change=stored(
            lambda hu: (hu + 4047) / 2.0002,
            RescaleSlope="2.0002",
            RescaleIntercept="-4047",
            BitsStored=12,
            HighBit=11,
            PixelRepresentation=0,
        )
    ),
    "rescale in scientific notation": Variant(
        written={"RescaleIntercept": "-01.024000E+03", "PixelSpacing": ["01.000000E+00", "1.0E0"]}
    ),
    "another rescale on each slice": Variant(
        change=stored(lambda hu, n: hu + 1000 + n, RescaleIntercept=lambda n: str(-1000 - n))
    ),
    "padding value": Variant(change=padded(124, 124, PixelPaddingValue=124), corner_hu=-1024),
    "padding range": Variant(
        change=padded(84, 124, PixelPaddingValue=124, PixelPaddingRangeLimit=84), corner_hu=-1024
    ),
    "padding that is not declared": Variant(change=padded(124, 124), corner_hu=-900),
    "padding below all CT numbers": Variant(
        change=padded(-2000, -2000, PixelPaddingValue=-2000), corner_hu=-1024
    ),
    "padding that tissue may have": Variant(
        change=padded(724, 724, PixelPaddingValue=724), corner_hu=-300, finding="padding-ignored"
    ),
    "padding range that reaches tissue": Variant(
        change=padded(124, 124, PixelPaddingValue=124, PixelPaddingRangeLimit=1024),
        corner_hu=-900,
        finding="padding-ignored",
    ),
    "signed values, intercept 0 and padding 0": Variant(
        change=stored(lambda hu: hu, RescaleIntercept="0", PixelPaddingValue=0), finding="padding-ignored"
    ),
    "rescale missing": Variant(change=setting(RescaleSlope=None), refused="missing-attribute"),
    "rescale slope zero": Variant(written={"RescaleSlope": "0"}, refused="missing-attribute"),
    "electron density": Variant(written={"RescaleType": "ED"}, refused="not-ct"),
    # Positions of the patient and the image
    "head first prone": Variant(direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1)),
    "feet first supine": Variant(direction=(-1, 0, 0, 0, 1, 0, 0, 0, -1)),
    "feet first prone": Variant(direction=(1, 0, 0, 0, -1, 0, 0, 0, -1)),
    "head first decubitus left": Variant(direction=(0, -1, 0, 1, 0, 0, 0, 0, 1), size=(60, 82, 28)),
    "head first decubitus right": Variant(direction=(0, 1, 0, -1, 0, 0, 0, 0, 1), size=(60, 82, 28)),
    "feet first decubitus": Variant(direction=(0, 1, 0, 1, 0, 0, 0, 0, -1), size=(60, 82, 28)),
    "non-square pixels": Variant(size=(100, 50, 28), spacing=(0.8, 1.2, 2.0)),
    "cosines with noise": Variant(
        written={"ImageOrientationPatient": ["0.9999999", "1e-7", "0", "-1e-7", "1", "-0.0"]}
    ),
    # The set of files
    "any file order": Variant(folder=shuffled),
    "instance numbers upside down": Variant(change=setting(InstanceNumber=lambda n: str(100 - n))),
    "optional attributes missing": Variant(
        change=setting(
            InstanceNumber=None, PatientPosition=None, SliceThickness=None, KVP=None, SliceLocation=None
        )
    ),
    "localiser": Variant(
        folder=also(2, "scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], Rows=30, Columns=164),
        finding="localizers-left-out",
    ),
    "sagittal image": Variant(
        folder=also(2, "sagittal", ImageOrientationPatient=[0, 1, 0, 0, 0, -1]),
        finding="other-planes-left-out",
    ),
    "companions": Variant(
        folder=also(2, "plan", SOPClassUID=RTPlanStorage, Modality="RTPLAN"), finding="other-objects"
    ),
    "a file twice": Variant(folder=copied, finding="copies"),
    "acquisitions one after the other": Variant(
        change=setting(AcquisitionNumber=lambda n: str(1 + n // 14)), finding="several-acquisitions"
    ),
    "interleaved acquisitions": Variant(change=two_interleaved, refused="mixed-series"),
    "two series": Variant(folder=another_series, refused="mixed-series"),
    "MR": Variant(written={"SOPClassUID": MRImageStorage, "Modality": "MR"}, refused="not-ct"),
    "enhanced CT": Variant(folder=lambda path, draw: draw.as_frames(path), refused="not-ct"),
    "several frames": Variant(written={"NumberOfFrames": "2"}, refused="not-ct"),
    "cut off": Variant(folder=cut_off, refused="unreadable-instance"),
    "no frame of reference": Variant(change=setting(FrameOfReferenceUID=None), refused="missing-attribute"),
    # Where the slices lie
    "rounded positions": Variant(
        z_mm=tuple(np.round(np.arange(-27, 28, 2) + 0.04 * (-1) ** np.arange(28), 1))
    ),
    "2.5 mm, then 1.75 mm": Variant(z_mm=steps((12, 2.5), (18, 1.75)), finding="uneven-spacing"),
    "1.5 mm, 2.5 mm, 1.5 mm": Variant(z_mm=steps((14, 1.5), (8, 2.5), (12, 1.5)), finding="uneven-spacing"),
    "1.5 mm, then 2.2 mm, feet first": Variant(
        z_mm=steps((14, 2.2), (22, 1.5)), direction=(-1, 0, 0, 0, 1, 0, 0, 0, -1), finding="uneven-spacing"
    ),
    "3 mm, then 5 mm": Variant(z_mm=steps((12, 3), (8, 5)), finding="uneven-spacing", coarse=True),
    "4 mm, then 7 mm": Variant(z_mm=steps((14, 4), (6, 7)), finding="uneven-spacing", coarse=True),
    "a missing slice": Variant(change=dropped(12), refused="missing-slices"),
    "a missing slice near the end": Variant(change=dropped(1), refused="missing-slices"),
    "every second slice missing": Variant(change=dropped(10, 12, 14, 16), refused="missing-slices"),
    "a position twice": Variant(change=moved_onto_its_neighbour, refused="duplicate-position"),
    "sheared": Variant(change=sheared, refused="tilted"),
    "tilted gantry": Variant(change=tilted, refused="tilted"),
    "sagittal series": Variant(direction=(0, 0, 1, 1, 0, 0, 0, -1, 0), refused="tilted"),
}


def write_variant(variant, folder, draw):
    """The phantom as a series of that variant."""
    size = variant.size if variant.z_mm is None else (*variant.size[:2], len(variant.z_mm))
    grid = draw.grid(size, variant.spacing, direction=variant.direction)
    if variant.z_mm is not None:
        grid = replace(
            grid,
            origin_mm=(*grid.origin_mm[:2], variant.z_mm[0] * variant.direction[8]),
            slice_offsets_mm=tuple(np.array(variant.z_mm) - variant.z_mm[0]),
        )
    hu = np.rint(LOW_HU + RANGE_HU * field_at(draw.points(grid)))
    paths = write_ct_series(hu, grid, folder, patient=draw.patient, uid_seed="corpus", **variant.written)
    for n, path in enumerate(paths if variant.change else ()):
        dataset = dcmread(path)
        if variant.change(dataset, n) is False:
            path.unlink()
        else:
            dataset.save_as(path)
    if variant.folder:
        variant.folder(folder, draw)
    for path in folder.iterdir() if variant.syntax else ():
        draw.encode(path, variant.syntax)


def fields_of(series):
    """What the series' own CT numbers say the spheres' fields are, one ROI per sphere."""
    grid = series.grid
    z, y, x = np.meshgrid(*[np.arange(n) for n in grid.shape_zyx], indexing="ij")
    points = grid.to_patient(np.stack([x, y, z], axis=-1))
    nearest = np.argmin(
        [np.linalg.norm(points - np.array(c), axis=-1) - r for c, r in SPHERES.values()], axis=0
    )
    image = ((series.hu - LOW_HU) / RANGE_HU).astype(np.float32)
    return {name: (np.where(nearest == n, image, 0), 0.5) for n, name in enumerate(SPHERES)}


def drawn_in(path):
    """Per ROI its contours (n, 3) in LPS mm."""
    dataset = dcmread(path)
    names = {roi.ROINumber: roi.ROIName for roi in dataset.StructureSetROISequence}
    return {
        names[roi.ReferencedROINumber]: [
            np.reshape(contour.ContourData, (-1, 3)).astype(float) for contour in roi.ContourSequence
        ]
        for roi in dataset.ROIContourSequence
    }


def extents_mm(heights):
    """Per slice (its height rounded) the half distances to its neighbours."""
    heights = np.sort(heights)
    edges = np.concatenate(
        [[1.5 * heights[0] - heights[1] / 2], (heights[1:] + heights[:-1]) / 2, [heights[-1]]]
    )
    return dict(zip(np.round(heights, 2), np.diff(edges), strict=True))


def sliced_mm3(centre, radius, heights):
    """What a sphere's circles on these slices enclose: coarse slices miss its volume however well they are drawn."""
    return sum(
        np.pi * max(radius**2 - (z - centre[2]) ** 2, 0) * extent for z, extent in extents_mm(heights).items()
    )


def volume_mm3(contours, heights):
    """Area times the half distances to the neighbouring slices. Independent of the product's own."""
    extents = extents_mm(heights)
    return sum(abs(ring_area(c[:, :2])) * extents[round(c[0, 2], 2)] for c in contours)


def fitted_centre(contours):
    """Centre of the sphere that fits the points best, by linear least squares."""
    points = np.concatenate(contours)
    matrix = np.column_stack([2 * points, np.ones(len(points))])
    solution, *_ = np.linalg.lstsq(matrix, (points**2).sum(1), rcond=None)
    return solution[:3]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_contoured_right_or_refused_for_what_it_is(name, draw, tmp_path):
    variant = VARIANTS[name]
    folder = tmp_path / "ct"
    write_variant(variant, folder, draw)
    if variant.refused is not None:
        with pytest.raises(Rejected) as caught:
            read_series(folder)
        assert caught.value.code == variant.refused
        assert caught.value.remedy and "Quasimodo" not in str(caught.value)
        assert re.search(r"2\.25\.\d+|2 series", caught.value.message), "no instance is named"
        return
    series = read_series(folder)
    assert variant.corner_hu is None or (series.hu[:, :3, :3] == variant.corner_hu).all()
    assert variant.finding in (None, *(f.code for f in series.findings))
    path = tmp_path / "rtstruct.dcm"
    fields = fields_of(series)
    write_contours(series, fields, path, identity=IDENTITY)
    contours = drawn_in(path)
    for sphere, (centre, radius) in SPHERES.items():
        distance = np.linalg.norm(np.concatenate(contours[sphere]) - centre, axis=1)
        assert abs(distance.mean() - radius) <= 0.03, sphere
        assert np.abs(fitted_centre(contours[sphere]) - centre).max() <= 0.01, sphere
        heights = series.slice_positions_mm[:, 2]
        volume = volume_mm3(contours[sphere], heights)
        truth = sliced_mm3(centre, radius, heights) if variant.coarse else 4 / 3 * np.pi * radius**3
        assert abs(volume / truth - 1) <= VOLUME_TOLERANCE[sphere], sphere
        told_cc = float(roi_named(path, sphere).ROIVolume)
        assert told_cc * 1000 == pytest.approx(volume, rel=1e-3)
    check_masks(path, series, fields)
    check_standard(path, folder, with_ct=variant.syntax != DeflatedExplicitVRLittleEndian)


def roi_named(path, name):
    return next(roi for roi in dcmread(path).StructureSetROISequence if roi.ROIName == name)


def check_masks(path, series, fields):
    """Our own rasteriser gets the spheres' voxels back."""
    for name, got in rasterise(dcmread(path), series).items():
        values, level = fields[name]
        wanted = values > level - 1e-6
        assert 2 * np.count_nonzero(got & wanted) / (got.sum() + wanted.sum()) >= 0.999, name


def check_standard(path, folder, *, with_ct):
    """dciodvfy and dcentvfy find no error, where they are installed. dcentvfy cannot read what is deflated."""
    if shutil.which("dciodvfy"):
        done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True)
        assert "Error" not in done.stdout + done.stderr
    if shutil.which("dcentvfy") and with_ct:
        first = sorted(p for p in folder.rglob("*") if p.is_file())[0]
        done = subprocess.run(["dcentvfy", path, first], capture_output=True, text=True)
        assert "Error" not in done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
@pytest.mark.skipif(shutil.which("dcentvfy") is None, reason="dcentvfy is not installed")
def test_the_validators_of_the_corpus_are_there():
    """Says in the summary that the variants were not validated, where they were not."""


# It needs the CT to lay its grid; what it cannot read itself is read by our own rasteriser alone.
PLASTIMATCH_READS = [
    *(
        "explicit little endian",
        "implicit little endian",
        "12 bits signed",
        "16 bits unsigned, high intercept",
    ),
    *("another rescale on each slice", "padding value", "head first prone", "feet first supine"),
    *("feet first prone", "head first decubitus left", "head first decubitus right", "feet first decubitus"),
    *("non-square pixels", "cosines with noise", "instance numbers upside down"),
    *("optional attributes missing", "rounded positions"),
]


@pytest.mark.skipif(shutil.which("plastimatch") is None, reason="plastimatch is not installed")
@pytest.mark.parametrize("name", PLASTIMATCH_READS)
def test_plastimatch_reads_the_same_voxels(name, draw, tmp_path):
    write_variant(VARIANTS[name], tmp_path / "ct", draw)
    series = read_series(tmp_path / "ct")
    fields = fields_of(series)
    write_contours(series, fields, tmp_path / "rtstruct.dcm", identity=IDENTITY)
    done = subprocess.run(
        ["plastimatch", "convert", "--input", tmp_path / "rtstruct.dcm", "--referenced-ct", tmp_path / "ct"]
        + ["--output-prefix", tmp_path / "masks", "--prefix-format", "nrrd"],
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    for sphere, (values, level) in fields.items():
        got = on_the_grid_of(series, tmp_path / "masks" / f"{sphere}.nrrd")
        wanted = values >= level
        assert 2 * np.count_nonzero(got & wanted) / (got.sum() + wanted.sum()) >= 0.999, sphere


def on_the_grid_of(series, path):
    """A mask file, its voxels found by their place in the patient."""
    sitk = pytest.importorskip("SimpleITK")
    mask = sitk.ReadImage(path)
    like = series.grid.image(series.hu)
    return sitk.GetArrayFromImage(sitk.Resample(mask, like, sitk.Transform(), sitk.sitkNearestNeighbor)) > 0
