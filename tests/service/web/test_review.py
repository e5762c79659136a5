"""The review in a browser: contours lie where the organs are, left is left, and every habit of the hand works.

The CT holds balls whose edge is known; pictures are read from the canvas, and nothing else is believed.
"""

import base64
import io
import json
import urllib.request
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from models.structures import structure
from service.looked import LookedPlaces
from service.roles import Role
from service.tokens import Tokens
from worker.bundle_card import BundleCard
from worker.figures import figures_of
from worker.grid import Grid
from worker.result import Result, StructureResult
from worker.review import review_of
from worker.rtstruct import WrittenRtstruct
from worker.series import CTSeries
from worker.slice_pack import write_slices

SIZE, SPACING_MM = (110, 96, 30), (2.0, 2.2, 3.0)
RADIUS_MM, EDGE_MM = 20.0, 1.5
BALLS = {  # middle in LPS mm, and how bright
    "CTV": ((0, 10, 0), 100),
    "Bladder": ((0, -45, 12), 100),
    "Femur_Head_L": ((60, 0, 0), 300),
    "Femur_Head_R": ((-60, 0, 0), 100),
}
LYING = {
    "head first, supine": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "head first, prone": (-1, 0, 0, 0, -1, 0, 0, 0, 1),
    "feet first, supine": (-1, 0, 0, 0, 1, 0, 0, 0, -1),
    "rows for columns": (0, 1, 0, 1, 0, 0, 0, 0, -1),
}
UNEVEN = {  # slices 1.8 mm apart at one end and some 4.3 mm at the other
    "uneven, head first": LYING["head first, supine"],
    "uneven, feet first": LYING["feet first, supine"],
}
GAPS_MM = (1.8,) * 15 + (((SIZE[2] - 1) * SPACING_MM[2] - 15 * 1.8) / 14,) * 14
MIDDLE_HU_GREY = 255 * (0 - (40 - 200)) / 400  # of HU 0 in the pelvis' window: a ball's edge


BUNDLE = BundleCard(name="phantom-small", version="0.1", sha256="ab" * 32, intended_use="research-phantom")


def balls(direction, *, gaps_mm=None) -> tuple[CTSeries, dict[str, np.ndarray]]:
    """A CT of balls, and the distance of each voxel from each ball's edge, mm, negative inside."""
    half = np.array([(n - 1) / 2 * s for n, s in zip(SIZE, SPACING_MM, strict=True)])
    grid = Grid(
        size_xyz=SIZE,
        spacing_mm=SPACING_MM,
        origin_mm=tuple(float(v) for v in -(np.reshape(direction, (3, 3)) @ half)),
        direction=tuple(float(d) for d in direction),
        frame_of_reference_uid="2.25.7",
        slice_offsets_mm=None if gaps_mm is None else (0.0, *(float(g) for g in np.cumsum(gaps_mm))),
    )
    z, y, x = np.meshgrid(*[np.arange(n) for n in grid.shape_zyx], indexing="ij")
    points = grid.to_patient(np.stack([x, y, z], axis=-1))
    distances = {n: np.linalg.norm(points - at, axis=-1) - RADIUS_MM for n, (at, _) in BALLS.items()}
    hu = np.full(grid.shape_zyx, -100.0)
    for name, distance in distances.items():
        hu += (BALLS[name][1] + 100) * field_of(distance)
    series = CTSeries(
        hu=np.rint(hu).astype(np.int16),
        grid=grid,
        slice_positions_mm=grid.to_patient([(0, 0, n) for n in range(SIZE[2])]),
        headers=(),
        series_instance_uid="1.2.3",
        study_instance_uid="1.2.4",
        frame_of_reference_uid="2.25.7",
        sop_instance_uids=tuple(f"1.2.3.{n}" for n in range(SIZE[2])),
    )
    return series, distances


def field_of(distance: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(np.clip(distance / EDGE_MM, -30, 30)))).astype(np.float32)


def files_of(direction, folder, *, gaps_mm=None) -> dict[str, bytes]:
    """What a job's result folder holds: review and slices are made as in a real job."""
    series, distances = balls(direction, gaps_mm=gaps_mm)
    structures = tuple(
        StructureResult(
            name=name,
            mean=field_of(distance),
            lower=field_of(distance + 4),
            upper=field_of(distance - (9 if name == "CTV" else 4)),
            level=0.5,
            quality=0.97,
            quality_validated=name != "CTV",
        )
        for name, distance in distances.items()
    )
    result = Result(series=series, structures=structures, bundle=BUNDLE, passes=50, seed=0, device="cpu")
    written = WrittenRtstruct(roi_names={"CTV": {"mean": "CTV"}}, dsc={"CTV": 0.9998})
    write_slices(series.hu, folder / "slices.bin")
    return {
        "review.json": review_of(result, figures_of(result), written).model_dump_json().encode(),
        "slices.bin": (folder / "slices.bin").read_bytes(),
        "rtstruct.dcm": b"x",
        "result.json": json.dumps({"state": "done"}).encode(),
    }


@pytest.fixture(scope="module")
def job_of(shared_site, tmp_path_factory):
    """A finished job whose patient lay in one of the ways of `LYING` or `UNEVEN`."""
    made: dict[str, str] = {}

    def make(lying: str) -> str:
        if lying not in made:
            folder = tmp_path_factory.mktemp("job")
            job_id = shared_site.submit(shared_site.series(folder / "ct", seed=lying))
            gaps_mm = GAPS_MM if lying in UNEVEN else None
            files = files_of((LYING | UNEVEN)[lying], folder, gaps_mm=gaps_mm)
            shared_site.finish(shared_site.claim(job_id), files)
            made[lying] = job_id
        return made[lying]

    return make


@pytest.fixture
def review(page: Page, shared_site, job_of):
    """Open the review of a job and wait for all its slices."""

    def open_review(lying: str = "head first, supine") -> Page:
        page.goto(f"{shared_site.url}/jobs/{job_of(lying)}")
        page.locator("html[data-all-slices-ms]").wait_for(state="attached")
        return page

    return open_review


FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def pixels_of(page: Page, pane: str = "axial") -> np.ndarray:
    """The canvas as it is on the screen: (row, column, red green blue)."""
    page.evaluate(FRAMES)
    url = page.locator(f"#{pane} canvas").first.evaluate("(canvas) => canvas.toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")).astype(
        float
    )


def bare_pixels(page: Page, pane: str = "axial") -> np.ndarray:
    page.keyboard.down(" ")
    pixels = pixels_of(page, pane)
    page.keyboard.up(" ")
    return pixels


def like(pixels: np.ndarray, name: str) -> np.ndarray:
    """Where the canvas has a structure's colour: bright lines are told by their hue."""
    colour = np.asarray(structure(name).colour, float)
    lengths = np.linalg.norm(pixels, axis=-1)
    cosine = pixels @ colour / np.maximum(lengths * np.linalg.norm(colour), 1)
    return (cosine > 0.995) & (lengths > 100) & (np.ptp(pixels, axis=-1) > 40)


def radii(weights: np.ndarray, middle, angles) -> np.ndarray:
    """Per angle how far from the middle the weight lies on average, in pixels."""
    reach = np.arange(5, 400, 0.25)
    found = []
    for angle in angles:
        rows = np.rint(middle[0] + reach * np.sin(angle)).astype(int)
        columns = np.rint(middle[1] + reach * np.cos(angle)).astype(int)
        inside = (rows >= 0) & (rows < weights.shape[0]) & (columns >= 0) & (columns < weights.shape[1])
        along = weights[rows[inside], columns[inside]]
        found.append((reach[inside] * along).sum() / along.sum() if along.sum() else np.nan)
    return np.array(found)


def edge_radii(grey: np.ndarray, middle, angles) -> np.ndarray:
    """Per angle where the brightness falls through that of the ball's edge, in pixels."""
    reach = np.arange(5, 400, 0.25)
    found = []
    for angle in angles:
        rows, columns = middle[0] + reach * np.sin(angle), middle[1] + reach * np.cos(angle)
        inside = (rows > 0) & (rows < grey.shape[0] - 2) & (columns > 0) & (columns < grey.shape[1] - 2)
        r0, c0 = np.floor(rows[inside]).astype(int), np.floor(columns[inside]).astype(int)
        fr, fc = rows[inside] - r0, columns[inside] - c0
        upper = grey[r0, c0] * (1 - fc) + grey[r0, c0 + 1] * fc
        lower = grey[r0 + 1, c0] * (1 - fc) + grey[r0 + 1, c0 + 1] * fc
        along = upper * (1 - fr) + lower * fr
        found.append(reach[np.flatnonzero(along < MIDDLE_HU_GREY)[0]])
    return np.array(found)


@pytest.mark.parametrize("lying", LYING)
def test_a_contour_encloses_the_organ_within_a_pixel_left_is_left_and_the_head_is_up(review, lying) -> None:
    page = review(lying)
    page.keyboard.press("b")  # the bounds away
    pixels, grey = pixels_of(page), bare_pixels(page)[..., 0]
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False) + 0.03
    middles = {}
    for name in ("CTV", "Femur_Head_R"):
        line = like(pixels, name)
        assert line.sum() > 200, name
        middles[name] = np.argwhere(line).mean(0)
        apart = radii(line.astype(float), middles[name], angles) - edge_radii(grey, middles[name], angles)
        assert np.abs(apart).max() <= 1.0, (name, apart)
    left = np.argwhere(like(pixels, "Femur_Head_L")).mean(0)
    assert left[1] > middles["CTV"][1] > middles["Femur_Head_R"][1]
    assert grey[tuple(left.astype(int))] > 230 > grey[tuple(middles["Femur_Head_R"].astype(int))]
    sagittal = pixels_of(page, "sagittal")
    bladder, ctv = (np.argwhere(like(sagittal, name)).mean(0) for name in ("Bladder", "CTV"))
    assert bladder[0] < ctv[0] and bladder[1] < ctv[1]  # nearer to the head, and before the CTV
    # Not to the sides, where the line of the slice runs, nor to the poles, where the ball ends between two slices.
    flat = np.concatenate([np.linspace(-0.7, -0.25, 8), np.linspace(0.25, 0.7, 8)])
    line = like(sagittal, "CTV").astype(float)
    grey = bare_pixels(page, "sagittal")[..., 0]
    for side in (flat, flat + np.pi):
        assert np.abs(radii(line, ctv, side) - edge_radii(grey, ctv, side)).max() <= 1.0
    for pane, letters in (("axial", "RLAP"), ("sagittal", "APHF"), ("coronal", "RLHF")):
        for side, letter in zip(("left", "right", "up", "down"), letters, strict=True):
            assert page.locator(f"#{pane} .letter.{side}").inner_text() == letter


@pytest.mark.parametrize("lying", UNEVEN)
def test_uneven_slices_are_shown_where_they_are(review, lying) -> None:
    """In the upright planes a ball is round, as large as it is, and where it is, by lines and by brightness."""
    page = review(lying)
    page.keyboard.press("b")
    # Each pane has a scale of its own: pixels of a millimetre across, from two balls that lie so far apart.
    for pane, one, other, apart_mm in (
        ("coronal", "Femur_Head_L", "Femur_Head_R", 120),
        ("sagittal", "CTV", "Bladder", 55),
    ):
        pixels, grey = pixels_of(page, pane), bare_pixels(page, pane)[..., 0]
        away = circle_of(like(pixels, one)) - circle_of(like(pixels, other))
        mm = away[1] / apart_mm
        line = like(pixels, "CTV")
        # Not at the height of the slice, where its line runs, nor near the poles, where the ball ends between slices.
        right_side = np.concatenate([np.linspace(-0.65, -0.25, 8), np.linspace(0.25, 0.65, 8)])
        for angles in (right_side, right_side + np.pi):
            found = radii(line.astype(float), circle_of(line), angles)
            assert np.abs(found / mm - RADIUS_MM).max() < 1.2, (pane, found / mm)
            assert np.abs(found - edge_radii(grey, circle_of(line), angles)).max() <= 1.0, pane
        assert abs(away[0] / mm - (12 if pane == "sagittal" else 0)) < 1.2  # the bladder lies higher


def circle_of(line: np.ndarray) -> np.ndarray:
    """The middle, (row, column), of the circle that fits a line best."""
    at = np.argwhere(line).astype(float)
    fitted = np.linalg.lstsq(np.c_[2 * at, np.ones(len(at))], (at**2).sum(1), rcond=None)[0]
    return np.asarray(fitted[:2])


def slice_of(page: Page) -> int:
    return int(page.locator("#axial").get_attribute("data-slice"))


def test_wheel_and_keys_go_through_the_slices(review) -> None:
    page = review()
    first = slice_of(page)
    page.locator("#axial canvas").first.hover()
    page.mouse.wheel(0, 120)
    expect(page.locator("#axial")).to_have_attribute("data-slice", str(first - 1))  # down is to the feet
    page.keyboard.press("PageUp")
    expect(page.locator("#slice-text")).to_contain_text(f"Slice {first + 5} of 30")
    page.keyboard.press("Home")
    expect(page.locator("#axial")).to_have_attribute("data-slice", "29")
    page.locator("#rail canvas").press("ArrowDown")
    expect(page.locator("#rail canvas")).to_have_attribute("aria-valuenow", "29")


def test_a_right_drag_changes_the_window_and_presets_bring_it_back(review) -> None:
    page = review()
    before = bare_pixels(page)
    page.locator("#axial canvas").first.hover()
    page.mouse.down(button="right")
    page.mouse.move(500, 300)
    page.mouse.up(button="right")
    expect(page.locator("#window-text")).not_to_have_text("W 400 L 40")
    assert (bare_pixels(page) != before).mean() > 0.01
    page.get_by_role("button", name="Bone").click()
    expect(page.locator("#window-text")).to_have_text("W 1500 L 300")
    page.keyboard.press("w")
    assert (bare_pixels(page) == before).all()


def test_structures_and_bounds_are_taken_away_and_brought_back(review) -> None:
    page = review()

    def coloured() -> int:
        return int((np.ptp(pixels_of(page), axis=-1) > 25).sum())

    everything = coloured()
    page.keyboard.press("1")
    assert like(pixels_of(page), "CTV").sum() == 0 and 0 < coloured() < everything
    page.get_by_label("Show CTV").check()
    assert coloured() == everything
    page.get_by_role("button", name="Bounds").click()
    assert 0 < coloured() < 0.8 * everything
    page.keyboard.press("m")
    expect(page.locator("#legend-text")).to_be_visible()


def test_look_here_leads_to_the_widest_place_and_ticks_it_off(review, shared_site, job_of) -> None:
    page = review()
    expect(page.locator("#places li").first).to_contain_text("CTV")
    page.keyboard.press("n")
    document = json.loads(
        (shared_site.settings.jobs_dir / job_of("head first, supine") / "result" / "review.json").read_text()
    )
    assert slice_of(page) == document["look_here"][0]["slice_index"]
    expect(page.locator("#places input").first).to_be_checked()
    expect(page.locator("#places-tally")).to_contain_text("1 of")
    page.reload()
    page.locator("html[data-all-slices-ms]").wait_for(state="attached")
    expect(page.locator("#places-tally")).to_contain_text("1 of")
    page.locator("#places input").first.uncheck()
    expect(page.locator("#places-tally")).to_contain_text("0 of")


def test_ticks_are_each_reviewers_own_and_a_second_one_sees_who_has_looked(
    page, locked_site, tmp_path
) -> None:
    """The first ticks in one window, the second opens another on another machine; who only reads keeps his there."""
    site = locked_site
    job_id = site.submit(site.series(tmp_path / "ct", seed="looked"))
    site.finish(site.claim(job_id), files_of(LYING["head first, supine"], tmp_path))
    tokens = Tokens(site.database)
    address = f"{site.url}/jobs/{job_id}"
    roles = (("Dr. <b>Gray", Role.OPERATE), ("Dr. Brown", Role.OPERATE), ("reader", Role.VIEW))
    for label, role in roles:
        page.goto(f"{site.url}/static/mark.svg")  # no script that forgets tokens
        page.evaluate(
            "token => sessionStorage.setItem('penumbra-token', token)", tokens.create(role, label=label)[1]
        )
        page.goto(address)
        expect(page.locator("#places-tally")).to_contain_text("0 of")
        if label != "Dr. <b>Gray":
            expect(page.locator("#places li").first).to_contain_text("seen by Dr. <b>Gray")
        page.locator("html[data-all-slices-ms]").wait_for(state="attached")
        with page.expect_response("**/looked") if role is Role.OPERATE else nullcontext():
            page.keyboard.press("n")
        expect(page.locator("#places-tally")).to_contain_text("1 of")
    kept = LookedPlaces(site.database).of(job_id)
    assert [each.reviewer_name for each in kept] == ["Dr. <b>Gray", "Dr. Brown"]
    page.reload()
    expect(page.locator("#places-tally")).to_contain_text("1 of")


def test_a_tick_that_the_server_does_not_keep_is_taken_back_and_told(page, shared_site, job_of) -> None:
    refusal = {"detail": "The database is busy.", "remedy": "Try again.", "code": "busy"}

    def refuse(route) -> None:
        if route.request.method == "PUT":
            route.fulfill(status=503, json=refusal)
        else:
            route.continue_()

    page.route("**/looked", refuse)
    page.goto(f"{shared_site.url}/jobs/{job_of('head first, supine')}")
    expect(page.locator("#places-tally")).to_contain_text("looked at")
    box = page.locator("#places input").last
    box.click()
    expect(page.locator("#places-tally")).to_contain_text("Not kept: The database is busy.")
    expect(box).not_to_be_checked()


def test_what_is_under_the_cursor_is_told_in_the_patients_millimetres(review) -> None:
    page = review("feet first, supine")
    line = np.argwhere(like(pixels_of(page), "Femur_Head_L")).mean(0)
    box = page.locator("#axial canvas").first.bounding_box()
    page.mouse.move(box["x"] + line[1], box["y"] + line[0])
    words = page.locator("#cursor-text").inner_text().split()
    x, y, hu = float(words[1]), float(words[3]), int(words[-2])
    assert abs(x - 60) < 3 and abs(y) < 3 and 290 <= hu <= 300


def test_the_lists_say_what_is_not_known_and_not_for_clinical_use(review) -> None:
    page = review()
    expect(page.locator("#quality")).to_contain_text("not validated")
    expect(page.locator("#quality")).to_contain_text("0.970")
    expect(page.locator("#made")).to_contain_text("0.9998")
    expect(page.locator("#made")).to_contain_text("uncalibrated")
    expect(page.locator("#checks li")).to_have_count(8)
    expect(page.locator(".banner").first).to_contain_text("NOT FOR CLINICAL USE")
    expect(page.locator("#stamp")).to_be_visible()
    expect(page.locator("#review-subject")).to_contain_text("<script>alert(1)</script>")  # a name is text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Yamada^Tarou=山田^太郎", "Yamada, Tarou"),
        ("=山田^太郎", "山田, 太郎"),
        ("==やまだ^たろう", "やまだ, たろう"),
    ],
)
def test_a_name_is_shown_in_the_first_script_that_has_it(page, shared_site, job_of, name, shown) -> None:
    job_id = job_of("head first, supine")
    patients = [{"job_id": job_id, "name": name, "patient_id": "7"}]
    page.route("**/api/v1/patients?*", lambda route: route.fulfill(json={"patients": patients}))
    page.goto(f"{shared_site.url}/jobs/{job_id}")
    expect(page.locator("#review-subject")).to_have_text(f"{shown} · 7 · 30 slices")


def test_a_name_that_is_refused_is_told_and_the_rest_is_shown(page, shared_site, job_of) -> None:
    refusal = {"detail": "Too many requests.", "remedy": "Wait a little.", "code": "busy"}
    page.route("**/api/v1/patients?*", lambda route: route.fulfill(status=429, json=refusal))
    page.goto(f"{shared_site.url}/jobs/{job_of('head first, supine')}")
    expect(page.locator("#trouble")).to_contain_text("Too many requests.")
    page.locator("html[data-all-slices-ms]").wait_for(state="attached")


def test_slices_that_are_refused_for_a_moment_come_all_the_same(page, shared_site, job_of) -> None:
    asked = []

    def answer(route) -> None:
        asked.append(route.request.url)
        if len(asked) <= 7:
            status, headers = (429, {"Retry-After": "1"}) if len(asked) % 2 else (503, {})
            route.fulfill(status=status, headers=headers, json={"code": "busy", "detail": "Busy."})
        else:
            route.continue_()

    page.route("**/slices/*", answer)
    page.goto(f"{shared_site.url}/jobs/{job_of('head first, supine')}")
    page.locator("html[data-all-slices-ms]").wait_for(state="attached")
    expect(page.locator("#loading")).to_have_text("")
    assert len(asked) == 30 + 7


def test_lists_and_verdict_do_not_wait_for_slices_that_are_held_up(page, shared_site, job_of) -> None:
    page.route("**/slices/*", lambda _held: None)
    page.goto(f"{shared_site.url}/jobs/{job_of('head first, supine')}")
    expect(page.locator("#places li").first).to_be_visible()
    expect(page.locator("#stamp")).to_be_visible()
    page.unroute("**/slices/*")  # which lets go of them
    page.locator("html[data-all-slices-ms]").wait_for(state="attached")


def test_what_cannot_be_reviewed_says_why(page, shared_site, tmp_path) -> None:
    job_id = shared_site.submit(shared_site.series(tmp_path / "old", seed="old"))
    page.goto(f"{shared_site.url}/jobs/{job_id}")
    expect(page.locator("#review-note")).to_contain_text("There is nothing to review: waiting")
    shared_site.finish(shared_site.claim(job_id), {"result.json": b"{}", "rtstruct.dcm": b"x"})
    page.reload()
    expect(page.locator("#review-note")).to_contain_text("Run the job again to review it")


def test_a_verdict_is_recorded_and_the_rtstruct_comes_as_rest_gives_it(page, locked_site, tmp_path) -> None:
    """From the token to the file in the hand of the planner, in one window."""
    site = locked_site
    job_id = site.submit(site.series(tmp_path / "ct", seed="verdict"))
    files = files_of(LYING["head first, supine"], tmp_path) | {"rtstruct.dcm": bytes(range(256)) * 40}
    files["result.json"] = json.dumps({"state": "done", "structures": [{"name": "CTV"}]}).encode()
    site.finish(site.claim(job_id), files)
    page.goto(f"{site.url}/jobs/{job_id}")
    page.get_by_label("API token").fill(site.token)
    page.get_by_role("button", name="Sign in").click()
    page.locator("html[data-all-slices-ms]").wait_for(state="attached")
    page.get_by_label("Minor edits").first.check(force=True)
    page.get_by_role("button", name="Record").click()
    expect(page.locator("#verdict")).to_contain_text("Recorded.")
    with page.expect_download() as coming:
        page.get_by_role("button", name="RTSTRUCT").click()
    asked = urllib.request.Request(f"{site.url}/api/v1/jobs/{job_id}/rtstruct")
    asked.add_header("Authorization", f"Bearer {site.token}")
    assert coming.value.path().read_bytes() == urllib.request.urlopen(asked).read() == files["rtstruct.dcm"]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_review_has_no_serious_finding(page, review, check_accessibility, theme) -> None:
    page.add_init_script(f"localStorage.setItem('penumbra-theme', '{theme}')")
    check_accessibility(review())
