"""The report shows the review's figures and pictures that lie where the organs are, as HTML and as PDF, and no more."""

import base64
import io
import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image
from pypdfium2 import PdfDocument

from models.calibration.quality import Prediction
from worker.ct_writer import PatientIdentity
from worker.figures import figures_of
from worker.finding import Finding
from worker.report.document import Said, report_of
from worker.report.document import draw as draw_report
from worker.report.identity import read_identity
from worker.report.look import looks_of
from worker.report.look_note import LookNote
from worker.report.pdf import pdf_of
from worker.report.verdict_note import VerdictNote
from worker.review import review_of
from worker.review_document import read_review, write_review
from worker.rtstruct import WrittenRtstruct, write_and_prove
from worker.slice_pack import write_slices

MADE = datetime(2026, 11, 26, 7, 0, tzinfo=UTC)
VERDICT = VerdictNote(
    structure="CTV",
    grade="minor",
    note="lower <b>end</b>",
    reviewer="Dr. Gray",
    at=datetime(2026, 11, 26, tzinfo=UTC),
)
ROUND_TRIP = WrittenRtstruct(roi_names={}, dsc={})
TURNED = [
    (1, 0, 0, 0, 1, 0, 0, 0, 1),  # head first supine
    (-1, 0, 0, 0, -1, 0, 0, 0, 1),  # head first prone
    (-1, 0, 0, 0, 1, 0, 0, 0, -1),  # feet first supine
    (0, 1, 0, -1, 0, 0, 0, 0, 1),  # on a side
]


def folder_of(result, path, draw):
    """A result folder as the report needs it."""
    written = write_and_prove(result, path / "rtstruct.dcm", identity=draw.identity)
    write_slices(result.series.hu, path / "slices.bin")
    review = review_of(result, figures_of(result), written)
    write_review(review, path)
    return review


def shining(result):
    """The same result on a CT in which the bladder is bright and the rest dark."""
    bladder = next(s for s in result.structures if s.name == "Bladder")
    hu = np.where(bladder.mean >= bladder.level, 240, -160).astype(np.int16)
    return replace(result, series=replace(result.series, hu=hu))


@pytest.fixture(scope="module")
def told(result):
    """`result` with everything that a report can tell."""
    structures = [
        replace(s, percent=95, predicted_dsc=Prediction(value=0.931, low=0.88, high=0.97))
        if s.name == "Bladder"
        else s
        for s in result.structures
    ]
    finding = Finding(code="metal", message="There is metal in the right hip.")
    return replace(result, structures=tuple(structures), findings=(finding,))


@pytest.fixture(scope="module")
def folder(told, draw, tmp_path_factory):
    path = tmp_path_factory.mktemp("report")
    folder_of(told, path, draw)
    return path


@pytest.fixture(scope="module")
def html(folder):
    first = read_review(folder).look_here[0].key
    looks = [LookNote(place=first, reviewer="Dr. <b>Gray", at=VERDICT.at)]
    return report_of(folder, job_id="a3d67b05-job", made=MADE, said=Said(verdicts=[VERDICT], looks=looks))


@pytest.fixture(scope="module")
def pdf(html, pango):
    return PdfDocument(pdf_of(html))


def words(html):
    text = re.sub(r"<(style|svg).*?</\1>|<[^>]+>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", text)


def test_it_tells_every_figure_of_the_review(html, told):
    said = words(html)
    for figures in figures_of(told):
        assert (
            f"{figures.structure.name} {figures.volume_cc:.1f} {figures.lower_cc:.1f} to {figures.upper_cc:.1f}"
            in said
        )
        assert f"{figures.band.mean_mm:.1f} {figures.band.p95_mm:.1f}" in said
    assert "0.93 0.88 to 0.97" in said  # the bladder's predicted DSC and its interval
    assert "phantom 0.1, " + "ab" * 6 in said and "50, seed 0, cpu" in said
    assert "18 contours of the written RTSTRUCT" in said
    assert "metal There is metal in the right hip." in said
    assert said.count("usual.") >= 3  # the guideline's checks


def test_it_says_what_is_not_known_and_not_for_use(html):
    said = words(html)
    row = said[said.index("CTV ", said.index("round trip DSC")) :]
    assert row[:60].count("not validated") == 1
    assert said.count("NOT FOR CLINICAL USE") == 2 and "AI DRAFT, TO BE REVIEWED" in said
    assert "uncalibrated" in said


def test_a_clinical_bundle_has_no_mark(result, draw, tmp_path):
    bundle = replace(draw.bundle, intended_use="clinical")
    folder_of(replace(result, bundle=bundle), tmp_path, draw)
    assert "NOT FOR CLINICAL USE" not in report_of(tmp_path, job_id="j", made=MADE)


def test_it_tells_who_has_looked_where(html, folder):
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html, re.DOTALL)
    assert "✓ Dr. &lt;b&gt;Gray, 2026-11-26 00:00<" in captions[0]
    assert sum("✓" in caption for caption in captions) == 1 < len(captions)
    assert f"1 of {len(captions)} places have been looked at" in words(html)
    assert "looked at on the page" not in words(report_of(folder, job_id="j", made=MADE))


def test_the_verdict_is_crossed_and_the_rest_is_left_to_the_pen(html):
    rows = html[html.index('class="boxes"') :]
    ctv = rows[rows.index("</svg>CTV") :].split("</tr>")[0]
    boxes = re.findall(r'class="box">(.?)<', ctv)
    assert boxes == ["", "×", "", ""]
    assert "lower &lt;b&gt;end&lt;/b&gt;" in ctv and "Dr. Gray, 2026-11-26 00:00 UTC" in ctv
    assert rows.count("×</span>") == 1 and "Signature" in rows


def test_a_patients_name_is_text(draw, make_series, tmp_path):
    patient = PatientIdentity(patient_id="<i>7", name="<script>alert(1)</script>^A")
    series = make_series(grid=draw.grid((24, 20, 22)), patient=patient)
    result = draw.result(series, structures=(draw.structure("CTV", series.grid, (0, 0, 0), 8),))
    folder_of(result, tmp_path, draw)
    html = report_of(tmp_path, job_id="j", made=MADE)
    assert (
        "<script" not in html and "&lt;script&gt;alert(1)&lt;/script&gt;, A" in html and "&lt;i&gt;7" in html
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Yamada^Tarou=山田^太郎", "Yamada, Tarou (山田 太郎)"),
        ("=山田^太郎", "山田 太郎"),
        ("==やまだ^たろう", "やまだ たろう"),
    ],
)
def test_a_name_is_shown_in_the_scripts_that_it_has(draw, make_series, tmp_path, name, shown):
    patient = PatientIdentity(patient_id="7", name=name, character_set=["", "ISO 2022 IR 87"])
    series = make_series(grid=draw.grid((24, 20, 22)), patient=patient)
    result = draw.result(series, structures=(draw.structure("CTV", series.grid, (0, 0, 0), 8),))
    write_and_prove(result, tmp_path / "rtstruct.dcm", identity=draw.identity)
    assert read_identity(tmp_path / "rtstruct.dcm").patient_name == shown


def test_it_is_one_file_that_asks_for_nothing(html):
    assert set(re.findall(r'(?:href|src)="([a-z]+:)', html)) == {"data:"}
    assert not re.search(r"url\(|@import|<link|<script|https?://", html)
    assert "default-src 'none'" in html


def test_the_pdf_shows_the_same_and_names_patient_and_mark_on_each_page(pdf):
    pages = [page.get_textpage().get_text_bounded() for page in pdf]
    assert len(pages) == 2
    for number, text in enumerate(pages, start=1):
        assert f"page {number} of 2" in text and "NOT FOR CLINICAL USE" in text
        assert "Quasimodo, Esmeralda · PEN-0001 · job a3d67b05" in text
    everything = " ".join(" ".join(pages).split())
    for text in ("Look here first", "0.88 to 0.97", "metal There is metal", "lower <b>end</b>", "Signature"):
        assert text in everything


def test_pictures_are_printed(pdf):
    """Water is grey in the window of the pelvis, and a tenth of the first page is water in these pictures."""
    drawn = np.asarray(pdf[0].render(scale=1).to_pil().convert("RGB")).astype(int)
    assert (np.abs(drawn - 102).max(2) < 4).mean() > 0.05
    assert ((drawn[..., 0] > 200) & (drawn[..., 1] > 160) & (drawn[..., 2] < 100)).sum() > 50  # the bladder's


def path_points(path):
    return np.array([[float(v) for v in pair.split(",")] for pair in re.findall(r"[-\d.]+,[-\d.]+", path)])


@pytest.mark.parametrize("direction", TURNED)
def test_a_pictures_contour_encloses_the_organ_whatever_way_the_patient_lay(
    draw, bare_series, tmp_path, direction
):
    """The bladder shines, 16 mm to the patient's left and 9 mm to the front of the CTV: so must it in the picture."""
    series = bare_series(draw.grid((60, 56, 24), (1.3, 1.1, 2.5), direction=direction))
    structures = (
        draw.structure("CTV", series.grid, (0, 0, 0), 12, validated=False),
        draw.structure("Bladder", series.grid, (16, -9, 0), 10),
    )
    result = shining(draw.result(series, structures=structures))
    write_slices(result.series.hu, tmp_path / "slices.bin")
    review = review_of(result, figures_of(result), ROUND_TRIP)
    look = next(
        each
        for each in looks_of(review, tmp_path / "slices.bin")
        if each.lines[0].mean and each.lines[1].mean
    )
    colours = {each.name: "#{:02x}{:02x}{:02x}".format(*each.colour) for each in review.structures}
    drawn = {line.colour: path_points(line.mean) for line in look.lines}
    bladder, ctv = drawn[colours["Bladder"]], drawn[colours["CTV"]]
    apart = (bladder.min(0) + bladder.max(0) - ctv.min(0) - ctv.max(0)) / 2
    assert apart == pytest.approx((16, -9), abs=1.0)  # to the right of the picture, and up

    grey = np.asarray(Image.open(io.BytesIO(base64.b64decode(look.image.split(",")[1]))))
    x, y, width, height = look.image_box
    rows, columns = np.nonzero(grey > 128)
    left, right = x + (columns.min()) / grey.shape[1] * width, x + (columns.max() + 1) / grey.shape[1] * width
    top, bottom = y + rows.min() / grey.shape[0] * height, y + (rows.max() + 1) / grey.shape[0] * height
    assert (left, top) == pytest.approx(tuple(bladder.min(0)), abs=0.8)
    assert (right, bottom) == pytest.approx(tuple(bladder.max(0)), abs=0.8)


def test_a_report_of_a_result_without_places_or_findings_says_so(result, folder):
    review = review_of(result, figures_of(result), ROUND_TRIP).model_copy(
        update={"look_here": [], "findings": [], "guideline": []}
    )
    said = words(draw_report(review, folder, job_id="j", made=MADE))
    assert "No place stands out" in said and "Nothing was noticed" in said and "no CTV to check" in said
