"""Tissue maps become CT numbers as a scanner makes them: priors, blur, slices, noise, artefacts."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.phantom.appearance import Appearance, Layer, add_noise, render
from models.phantom.ct_numbers import APART_HU, MUSCLES, NEIGHBOURS, draw_ct_numbers, per_tissue
from models.phantom.effects import Effects
from models.phantom.inhomogeneity import Inhomogeneity
from models.phantom.noise import NoiseLook
from models.phantom.sampling import FieldOfView
from models.phantom.streaks import StreakLook
from models.phantom.tissue import Tissue

PLAIN = Effects.none()
SPACING = (3.0, 1.5, 1.5)


def rng(seed=0):
    return np.random.default_rng(seed)


def scan(seed=0, *, effects=PLAIN, **changes):
    return replace(Appearance.draw(rng(seed), effects=effects), **changes)


def uniform(tissue, shape=(12, 48, 48)):
    return np.full(shape, tissue, np.uint8)


def quiet_noise(**changes):
    look = {"sd_hu": 10.0, "period_mm": 6.0, "unevenness": 0.0, "between_slices": 0.0, "starvation": 0.0}
    return NoiseLook(**(look | changes))


@pytest.fixture(scope="module")
def draws():
    """CT numbers of 600 scans without contrast and without random numbers, (scans, tissues)."""
    numbers = [draw_ct_numbers(rng(s), effects=PLAIN, fatty_muscle=False) for s in range(600)]
    return np.array([per_tissue(n) for n in numbers])


@pytest.mark.parametrize(
    ("tissue", "mean", "spread"),
    [
        (Tissue.FAT, -100, 12),
        *((muscle, 55, 12.6) for muscle in MUSCLES),
        (Tissue.URINE, 8, 8),
        (Tissue.BLADDER_WALL, 35, 10),
        (Tissue.STOOL, 30, 40),
        (Tissue.BOWEL_CONTENT, 20, 20),
    ],
)
def test_soft_tissues_follow_their_normal_priors(draws, tissue, mean, spread):
    assert draws[:, tissue].mean() == pytest.approx(mean, abs=spread * 0.15)
    assert draws[:, tissue].std() == pytest.approx(spread, rel=0.12)


@pytest.mark.parametrize(
    ("tissue", "low", "high"),
    [
        (Tissue.AIR, -1024, -985),
        (Tissue.RECTAL_GAS, -1000, -700),
        (Tissue.BOWEL_GAS, -1000, -700),
        (Tissue.MARROW, 80, 350),
        (Tissue.CORTEX, 500, 1400),
        (Tissue.SPACER, 0, 25),
        (Tissue.COUCH, -300, -50),
        (Tissue.CLIP, 2500, 3071),
        (Tissue.PROSTHESIS, 2500, 3071),
    ],
)
def test_other_tissues_stay_in_their_ranges(draws, tissue, low, high):
    assert low <= draws[:, tissue].min() < draws[:, tissue].max() <= high
    assert np.ptp(draws[:, tissue]) > 0.6 * (high - low) or tissue == Tissue.AIR


def test_bulb_and_pelvic_fat_lie_above_their_neighbours(draws):
    assert (draws[:, Tissue.PELVIC_FAT] >= draws[:, Tissue.FAT]).all()
    assert (draws[:, Tissue.BULB] - draws[:, list(MUSCLES)].mean(1) > -8).all()


def test_an_elderly_mans_muscle_is_fatter():
    fatty = [draw_ct_numbers(rng(s), effects=PLAIN, fatty_muscle=True)[Tissue.THIGH] for s in range(100)]
    assert 25 < np.mean(fatty) < 45


@pytest.mark.parametrize("tissue", list(Tissue))
def test_the_inside_of_a_tissue_has_its_ct_number(tissue):
    look = scan(int(tissue))
    assert np.allclose(render(uniform(tissue), SPACING, look, rng()), look.hu[tissue], atol=0.01)


@pytest.mark.parametrize(
    "tissue", [Tissue.FAT, Tissue.GLUTEAL, Tissue.BLADDER_WALL, Tissue.MARROW, Tissue.STOOL]
)
def test_tissues_are_uneven_about_their_ct_number(tissue):
    shape = (24, 96, 96)
    means, spreads = [], []
    for seed in range(5):
        look = scan(seed, effects=PLAIN, inhomogeneity=Inhomogeneity.draw(rng(seed), fatty_muscle=False))
        inside = render(uniform(tissue, shape), SPACING, look, rng(seed)) - look.hu[tissue]
        means.append(inside.mean())
        spreads.append(inside.std())
    assert all(1 < s < (150 if tissue in {Tissue.MARROW, Tissue.STOOL} else 40) for s in spreads)
    assert abs(np.mean(means)) < 60


def test_contrast_comes_as_often_as_it_should():
    effects = replace(PLAIN, contrast=True)
    n = np.array(
        [per_tissue(draw_ct_numbers(rng(s), effects=effects, fatty_muscle=False)) for s in range(1200)]
    )
    assert (n[:, Tissue.URINE] > 45).mean() == pytest.approx(0.12, abs=0.05)
    assert (n[:, Tissue.URINE] > 100).mean() == pytest.approx(0.075, abs=0.03)
    assert n[:, Tissue.URINE].max() <= 1500
    assert (n[:, Tissue.VESSEL] > 100).mean() == pytest.approx(0.30, abs=0.05)
    assert (n[:, Tissue.BOWEL_CONTENT] > 140).mean() == pytest.approx(0.20, abs=0.04)


def test_random_ct_numbers_spare_gas_and_bone_and_keep_neighbours_apart():
    effects = replace(PLAIN, random_hu=True)
    hit = apart = 0
    for seed in range(600):
        plain = draw_ct_numbers(rng(seed), effects=PLAIN, fatty_muscle=False)
        drawn = draw_ct_numbers(rng(seed), effects=effects, fatty_muscle=False)
        assert all(drawn[t] == plain[t] for t in (Tissue.AIR, Tissue.RECTAL_GAS, Tissue.MARROW, Tissue.CLIP))
        if drawn[Tissue.FAT] == plain[Tissue.FAT]:
            continue
        hit += 1
        apart += all(abs(drawn[a] - drawn[b]) >= APART_HU for a, b in NEIGHBOURS)
        assert all(-220 < drawn[t] < 320 for t in (Tissue.FAT, Tissue.GLUTEAL, Tissue.URINE, Tissue.STOOL))
    assert hit / 600 == pytest.approx(0.3, abs=0.06)
    assert apart / hit > 0.9


def test_contrast_that_has_sunk_is_denser_at_the_back():
    layer = Layer(height=0.5, softness=0.05, turned=False, least=0.1)
    look = scan(layered=layer)
    look = replace(
        look, hu=tuple(800.0 if t == Tissue.URINE else h for t, h in zip(Tissue, look.hu, strict=True))
    )
    tissue = uniform(Tissue.PELVIC_FAT)
    tissue[:, 8:40, 8:40] = Tissue.URINE
    column = render(tissue, SPACING, look, rng())[6, :, 24]
    assert column[12] == pytest.approx(80, abs=5)
    assert column[35] == pytest.approx(800, abs=5)
    assert column[2] == pytest.approx(look.hu[Tissue.PELVIC_FAT], abs=1)


def edge(axis, shape):
    tissue = uniform(Tissue.FAT, shape)
    tissue[(slice(None),) * axis + (slice(shape[axis] // 2, None),)] = Tissue.URINE
    return tissue


@pytest.mark.parametrize("fwhm", [0.8, 1.4, 2.0])
@pytest.mark.parametrize("axis", [1, 2])
def test_an_edge_in_the_slice_is_blurred_by_the_point_spread(fwhm, axis):
    shape, fine = (2, 160, 160), 0.1
    look = scan(psf_fwhm_mm=fwhm, slice_mm=1.0)
    image = render(edge(axis, shape), (1.0, fine, fine), look, rng())
    line = np.abs(np.diff(np.moveaxis(image, axis, -1)[0, 80]))
    at = np.arange(len(line)) * fine
    middle = (line * at).sum() / line.sum()
    sigma = np.sqrt((line * (at - middle) ** 2).sum() / line.sum())
    assert 2.3548 * sigma == pytest.approx(fwhm, rel=0.05)


@pytest.mark.parametrize("slice_mm", [1.0, 2.5, 5.0])
def test_a_slice_is_the_mean_over_its_thickness(slice_mm):
    step = 0.25
    look = scan(slice_mm=slice_mm)
    sharp = np.asarray(look.hu)[edge(0, (80, 4, 4))]
    image = render(edge(0, (80, 4, 4)), (step, 1.5, 1.5), look, rng())
    assert image.sum() == pytest.approx(sharp.sum(), rel=1e-3)
    low, high = image.min(), image.max()
    line = np.abs(np.diff(image[:, 2, 2]))
    changing = (line > 1e-3 * (high - low)).sum() * step
    assert changing == pytest.approx(slice_mm, abs=2 * step)
    assert line.max() == pytest.approx((high - low) * step / slice_mm, rel=0.02)  # a box, not a bell


def test_a_map_coarser_than_the_slice_is_left_as_it_is_along_z():
    image = render(edge(0, (8, 6, 6)), (3.0, 1.5, 1.5), scan(slice_mm=2.0), rng())
    assert set(np.round(image[:, 3, 3], 2)) == {np.round(image[0, 0, 0], 2), np.round(image[-1, 0, 0], 2)}


def noise_alone(look, shape=(24, 128, 128), spacing=(3.0, 1.0, 1.0)):
    flat = np.zeros(shape, np.float32)
    return add_noise(flat, spacing, scan(noise=look), rng(3))


@pytest.mark.parametrize("sd", [4, 12, 30])
def test_noise_has_its_deviation(sd):
    noise = noise_alone(quiet_noise(sd_hu=sd))
    assert noise.std() == pytest.approx(sd, rel=0.03)
    assert abs(noise.mean()) < 0.02 * sd


@pytest.mark.parametrize("period", [4.0, 8.0])
def test_the_power_of_noise_rises_to_its_peak_and_falls(period):
    pixel = 0.6
    noise = noise_alone(quiet_noise(period_mm=period), spacing=(3.0, pixel, pixel))
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean(0)
    axis = np.fft.fftfreq(128, pixel)
    frequency = np.hypot(axis[:, None], axis)
    bins = np.arange(0, 0.8, 0.02)
    radial = np.array([power[(frequency >= b) & (frequency < b + 0.02)].mean() for b in bins])
    peak = bins[radial.argmax()] + 0.01
    assert peak == pytest.approx(1 / period, abs=0.035)
    assert radial[0] < 0.45 * radial.max()
    assert radial[np.searchsorted(bins, 3 / period)] < 0.1 * radial.max()


def test_slices_share_as_much_noise_as_was_drawn():
    def shared(noise):
        return float(np.mean(noise[1:] * noise[:-1]) / noise.var())

    assert abs(shared(noise_alone(quiet_noise()))) < 0.02
    c = 0.5
    assert shared(noise_alone(quiet_noise(between_slices=c))) == pytest.approx(c / (1 + c * c), abs=0.03)


def disc(shape=(24, 96, 96), radius=40):
    y, x = np.mgrid[: shape[1], : shape[2]] - np.array(shape[1:]).reshape(2, 1, 1) / 2
    return np.broadcast_to(np.where(np.hypot(y, x) < radius, 0.0, -1000.0), shape).astype(np.float32)


def test_noise_is_greater_where_rays_are_longer():
    body = disc()
    noise = add_noise(body, SPACING, scan(noise=quiet_noise(unevenness=1.0)), rng()) - body
    middle, rim = noise[:, 40:56, 40:56].std(), noise[:, 16:20, 28:34].std()
    assert middle > 1.15 * rim


def test_starved_rays_leave_streaks_along_x():
    noise = add_noise(disc(), SPACING, scan(noise=quiet_noise(starvation=1.0)), rng())[:, 40:56, 30:66]
    along = np.mean(noise[:, :, 8:] * noise[:, :, :-8])
    across = np.mean(noise[:, 8:] * noise[:, :-8])
    assert along > 0.15 * noise.var()
    assert along > 2 * abs(across)


def test_short_rays_are_not_starved():
    body = disc()
    starved, fed = (
        add_noise(body, SPACING, scan(noise=quiet_noise(starvation=s)), rng()) for s in (1.0, 0.0)
    )
    streaks = starved - fed
    assert streaks[:, 12:16, 40:56].std() < 0.1 * streaks[:, 40:56, 40:56].std()


def test_padding_stays_without_noise():
    hu = np.zeros((4, 32, 32), np.float32)
    hu[:, :, :8] = -1024
    noisy = add_noise(hu, SPACING, scan(noise=quiet_noise(sd_hu=30.0)), rng())
    assert (noisy[:, :, :8] == -1024).all()
    assert noisy[:, :, 8:].std() > 20


def test_ct_numbers_stay_within_twelve_bits():
    tissue = uniform(Tissue.AIR, (4, 32, 32))
    tissue[:, 16:] = Tissue.PROSTHESIS
    loud = scan(effects=PLAIN, noise=quiet_noise(sd_hu=200.0))
    noisy = add_noise(render(tissue, SPACING, loud, rng()), SPACING, loud, rng())
    assert noisy.min() == -1024
    assert noisy.max() == 3071
    assert noisy.dtype == np.float32


@pytest.mark.parametrize(
    ("effect", "part"),
    [("texture", "inhomogeneity"), ("noise", "noise"), ("streaks", "streaks"), ("streaks", "field_of_view")],
)
def test_an_effect_left_out_is_left_out(effect, part):
    without, only = Effects().without(effect), replace(PLAIN, **{effect: True})
    assert all(getattr(scan(s, effects=without), part) is None for s in range(40))
    assert any(getattr(scan(s, effects=only), part) is not None for s in range(40))


def test_without_contrast_no_bladder_is_bright_and_layered():
    plain = [scan(s, effects=Effects().without("contrast", "random_hu")) for s in range(200)]
    assert max(look.hu[Tissue.URINE] for look in plain) < 45
    assert max(look.hu[Tissue.VESSEL] for look in plain) < 80
    assert not any(look.layered for look in plain)
    assert any(scan(s, effects=Effects()).layered for s in range(200))


def test_without_effects_an_image_is_its_tissues_blurred():
    tissue = uniform(Tissue.GLUTEAL)
    tissue[:, 20:30] = Tissue.CLIP
    look = scan()
    image = add_noise(render(tissue, SPACING, look, rng(1)), SPACING, look, rng(2))
    assert np.array_equal(image, add_noise(render(tissue, SPACING, look, rng(3)), SPACING, look, rng(4)))
    assert np.allclose(image[:, :10], look.hu[Tissue.GLUTEAL], atol=0.01)


def blocks(shape=(10, 60, 60), seed=0):
    small = rng(seed).integers(0, len(Tissue), [-(-n // 6) for n in shape]).astype(np.uint8)
    return np.kron(small, np.ones((6, 6, 6), np.uint8))[: shape[0], : shape[1], : shape[2]]


def test_the_same_draws_give_the_same_bytes():
    def image(seed):
        look = Appearance.draw(rng(seed))
        hu = render(blocks(), SPACING, look, rng(7))
        return look, add_noise(hu, SPACING, look, rng(8)).tobytes()

    assert image(5) == image(5)
    assert image(5)[1] != image(6)[1]


def test_a_crop_is_rendered_as_the_whole_is():
    tissue, look = blocks((12, 60, 60)), scan(slice_mm=5.0, psf_fwhm_mm=2.0)
    whole = render(tissue, SPACING, look, rng())
    crop = render(tissue[2:10, 10:50, 15:45], SPACING, look, rng())
    assert np.allclose(crop[1:-1, 3:-3, 3:-3], whole[3:9, 13:47, 18:42], atol=0.01)


STREAKS = StreakLook(clip_hu=40.0, prosthesis_hu=60.0, band_hu=0.0, shading_hu=0.0)


@pytest.mark.parametrize(("metal", "size"), [(Tissue.CLIP, 2), (Tissue.PROSTHESIS, 16)])
def test_metal_leaves_streaks_on_its_own_slices_alone(metal, size):
    tissue = uniform(Tissue.GLUTEAL, (8, 110, 110))
    tissue[3:5, 55 : 55 + size, 55 : 55 + size] = metal
    look = scan(slice_mm=1.0)
    streaks = render(tissue, SPACING, replace(look, streaks=STREAKS), rng()) - render(
        tissue, SPACING, look, rng()
    )
    assert np.abs(streaks[[0, 1, 2, 5, 6, 7]]).max() == 0
    y, x = np.mgrid[:110, :110] - (55 + size / 2)
    away = np.hypot(y, x) * 1.5
    at = [15, 40] if metal == Tissue.CLIP else [40, 70]
    near, far = (streaks[3:5][:, np.abs(away - r) < 3].std() for r in at)
    target = STREAKS.clip_hu if metal == Tissue.CLIP else STREAKS.prosthesis_hu
    assert 0.3 * target < near < 3 * target
    assert far < 0.9 * near


def test_no_metal_no_streaks():
    look = scan()
    with_streaks = render(uniform(Tissue.GLUTEAL), SPACING, replace(look, streaks=STREAKS), rng())
    assert np.array_equal(with_streaks, render(uniform(Tissue.GLUTEAL), SPACING, look, rng()))


def test_it_is_darker_between_two_bones_and_nowhere_else():
    tissue = uniform(Tissue.GLUTEAL, (4, 60, 90))
    tissue[:, 20:40, 5:25] = tissue[:, 20:40, 65:85] = Tissue.CORTEX
    look = scan()
    band = replace(STREAKS, band_hu=30.0)
    change = render(tissue, SPACING, replace(look, streaks=band), rng()) - render(
        tissue, SPACING, look, rng()
    )
    assert change[:, 25:35, 30:60].mean() == pytest.approx(-30 * 1.2, rel=0.1)
    assert np.abs(change[:, :15]).max() == 0
    assert np.abs(change[:, 25:35, :4]).max() == 0


def test_a_scan_ends_at_its_field_of_view_with_a_bright_rim():
    view = FieldOfView(radius_mm=60, offset_yx_mm=(0.0, 0.0), rim_hu=100.0, rim_mm=10.0)
    look = scan()
    image = render(uniform(Tissue.GLUTEAL, (3, 110, 110)), SPACING, replace(look, field_of_view=view), rng())
    y, x = (np.mgrid[:110, :110] - 54.5) * 1.5
    away = np.hypot(y, x)
    muscle = look.hu[Tissue.GLUTEAL]
    assert (image[:, away > 61] == -1024).all()
    assert image[0, np.abs(away - 58) < 1].mean() == pytest.approx(muscle + 100 * np.exp(-0.2), rel=0.1)
    assert image[0, 55, 55] == pytest.approx(muscle, abs=1)


def test_every_part_of_a_look_is_drawn_from_its_generator():
    first, second = Appearance.draw(rng(1)), Appearance.draw(rng(2))
    assert first == Appearance.draw(rng(1))
    assert all(
        getattr(first, f.name) != getattr(second, f.name) for f in fields(first) if f.name in {"hu", "seed"}
    )
    assert Appearance.draw(rng(1), slice_mm=4.0).slice_mm == 4.0


@settings(max_examples=25, deadline=None)
@given(
    arrays(np.uint8, st.tuples(*[st.integers(1, 9)] * 3), elements=st.integers(0, len(Tissue) - 1)),
    st.integers(0, 10_000),
)
def test_any_map_can_be_rendered(tissue, seed):
    look = Appearance.draw(rng(seed))
    image = add_noise(render(tissue, SPACING, look, rng()), SPACING, look, rng())
    assert image.shape == tissue.shape
    assert np.isfinite(image).all()
    assert image.min() >= -1024
    assert image.max() <= 3071
