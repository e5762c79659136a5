"""The method in one place: one planning CT to contours with their uncertainty (Balagopal et al. 2021, Fig. 2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from models.bounds import as_field, calibrated_bounds, nested, paper_bounds
from models.bundle import Bundle
from models.calibration.record import BandRecord
from models.localization import centroids, coarse_probabilities
from models.monte_carlo import Samples, Sampling, sample
from models.preprocessing import anatomy_guided_input, ct_channels
from models.recipes import LOCALIZER
from models.signed_distance import CLIP_MM
from models.structures import ORGANS, STRUCTURES
from worker.bundle_card import BundleCard
from worker.clean_fields import Fields
from worker.errors import NoPelvis, NoTarget, NotCalibrated
from worker.finding import Finding
from worker.grid import Grid, resample
from worker.job_folder import BoundsWanted
from worker.ledger import ProgressReport
from worker.result import Result, StructureResult
from worker.series import CTSeries
from worker.voi import AIR_HU, box_of, crop, part_of, voi_grid

Progress = Callable[[ProgressReport], None]
OnSamples = Callable[[str, Samples, Grid], None]  # a structure, what its passes say, and on which grid

BODY_HU = -300
GUIDES = ("Bladder", "Rectum")  # the organs that guide the CTV
PELVIS = ("Bladder", "Femur_Head_L", "Femur_Head_R")  # without these it is no pelvis
MANY_VANISHED = 0.05  # of the passes
START_PERCENT, END_PERCENT = 8.0, 94.0  # what reading comes before, and writing after


def segment(
    series: CTSeries,
    bundle: Bundle,
    *,
    sampling: Sampling,
    progress: Progress,
    bounds: BoundsWanted = "auto",
    on_samples: OnSamples | None = None,
) -> Result:
    """Contour one planning CT.

    Args:
        series: the CT.
        bundle: the networks, and what calibration says about them.
        sampling: how many passes, from which seed.
        progress: told how far it is; may raise to stop.
        bounds: `auto` makes calibrated bounds of every structure whose record holds, the paper's of the others.
        on_samples: handed what the passes say, distances included, for who measures the method itself.

    Raises:
        NoPelvis: the localiser does not find the pelvis' organs.
        NoTarget: it finds a pelvis, but no place for the CTV.
        NotCalibrated: calibrated bounds are asked for, but there is no record that holds.
        worker.errors.Cancelled: `progress` said so.
    """
    bands = bands_in_force(bundle, sampling.passes, bounds)
    run = _Run(series, bundle, sampling, progress, bands, on_samples)
    centres = run.localize()  # stage 1: where is everything?
    organs = run.segment_organs(centres)  # stage 2: one network per organ
    ctv = run.segment_ctv(centres, organs)  # stage 3: AG-MTN, guided by stage 2
    return Result(
        series=series,
        structures=(ctv, *organs.values()),
        bundle=BundleCard.of(bundle),
        passes=sampling.passes,
        seed=sampling.seed,
        device=bundle.device.type,
        findings=tuple(run.findings),
        seconds=run.seconds,
    )


def bands_in_force(bundle: Bundle, passes: int, wanted: BoundsWanted) -> dict[str, BandRecord]:
    """The calibrated band of each structure that gets one; a record holds from as many passes on as it was made with.

    Raises:
        NotCalibrated: as `segment`.
    """
    record = bundle.manifest.calibration
    if wanted == "paper":
        return {}
    bands = dict(record.bands) if record is not None and passes >= record.passes else {}
    missing = [s.name for s in STRUCTURES if s.name not in bands]
    if wanted == "calibrated" and missing:
        few = record is not None and passes < record.passes
        raise NotCalibrated(
            f"The calibration record of {bundle.manifest.name} holds from {record.passes} passes on."
            if few and record is not None
            else f"The bundle {bundle.manifest.name} has no calibrated bounds of {', '.join(missing)}."
        )
    return bands


@dataclass
class _Run:
    """One series on its way through the three stages."""

    series: CTSeries
    bundle: Bundle
    sampling: Sampling
    progress: Progress
    bands: Mapping[str, BandRecord]
    on_samples: OnSamples | None
    seconds: dict[str, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    finished: int = 0  # structures done

    def localize(self) -> dict[str, NDArray[np.float64]]:
        """Stage 1: centre of each structure, LPS mm."""
        self.progress(ProgressReport(stage="localising", percent=START_PERCENT / 2))
        with self._timed("localise"):
            grid = self._localizer_grid()
            hu = np.asarray(resample(self.series.hu, self.series.grid, grid, outside=AIR_HU), dtype=np.int16)
            probabilities = coarse_probabilities(self.bundle.localizer, hu, device=self.bundle.device)
            found = centroids(probabilities, grid.spacing_mm[::-1])
        if any(name not in found for name in PELVIS):
            raise NoPelvis
        if "CTV" not in found:
            raise NoTarget
        for organ in ORGANS:
            if organ.name not in found:
                self._not_found(organ.name, "the localiser did not find it")
        return {name: grid.to_patient(centre.index_zyx[::-1]) for name, centre in found.items()}

    def segment_organs(self, centres: Mapping[str, NDArray[np.float64]]) -> dict[str, StructureResult]:
        """Stage 2: each organ in its own VOI, with its own network."""
        organs: dict[str, StructureResult] = {}
        for organ in (o for o in ORGANS if o.name in centres):
            voi = self._voi(organ.name, centres[organ.name])
            hu = crop(self.series.hu, self.series.grid, voi)
            result = self._sample(organ.name, voi, ct_channels(hu))
            if result is not None:
                organs[organ.name] = result
        return organs

    def segment_ctv(
        self, centres: Mapping[str, NDArray[np.float64]], organs: Mapping[str, StructureResult]
    ) -> StructureResult:
        """Stage 3: the CTV, guided by the bladder and the rectum that stage 2 found."""
        voi = self._voi("CTV", centres["CTV"])
        hu = crop(self.series.hu, self.series.grid, voi)
        guides = [self._on(voi, organs.get(name)) for name in GUIDES]
        ctv = self._sample("CTV", voi, anatomy_guided_input(hu, *guides))
        if ctv is None:
            raise NoTarget
        return ctv

    def _sample(self, name: str, voi: Grid, channels: NDArray[np.float32]) -> StructureResult | None:
        """Fifty passes over one VOI; None (and a finding) when the mean contour is empty."""
        band = self.bands.get(name)
        with self._timed(name):
            x = torch.from_numpy(channels)[None].to(self.bundle.device)
            samples = sample(
                self.bundle.networks[name],
                x,
                self.sampling,
                structure=name,
                spacing_zyx_mm=voi.spacing_mm[::-1] if band or self.on_samples else None,
                on_pass=lambda done: self._report(name, done),
            )
            if self.on_samples is not None:
                self.on_samples(name, samples, voi)
            fields = self._on_ct(samples, voi, band)
        self.finished += 1
        if fields is None:
            self._not_found(name, "its network found nothing in the volume of interest")
            return None
        self._note_vanished(name, samples.vanished)
        self._note_unlike(name, samples.quality)
        record = self.bundle.manifest.calibration
        return StructureResult(
            name=name,
            mean=fields.mean,
            lower=fields.lower,
            upper=fields.upper,
            level=self.sampling.level,
            quality=samples.quality,
            quality_validated=self.bundle.manifest.tells_quality(name),
            percent=int(100 * (1 - record.alpha) + 1e-6) if record and band else None,
            predicted_dsc=self.bundle.manifest.predict_dsc(name, samples.quality),
        )

    def _on_ct(self, samples: Samples, voi: Grid, band: BandRecord | None) -> Fields | None:
        """Moments back on the CT's own grid, then bounds, then one clean structure.

        Linear interpolation keeps lower <= mean <= upper; pages of the volume that stay zero cost no memory.
        """
        box = box_of(voi, self.series.grid)
        if box is None:
            return None
        part = part_of(self.series.grid, box)

        def carried(field: NDArray[np.float32], outside: float) -> NDArray[np.float32]:
            return np.asarray(resample(field, voi, part, outside=outside), dtype=np.float32)

        mean = carried(samples.mean, 0.0)
        if band is not None and samples.distance is not None:
            distance = carried(samples.distance.mean_mm, CLIP_MM), carried(samples.distance.std_mm, 0.0)
            inner, outer = calibrated_bounds(*distance, band.kappa, band.s0_mm)
            level = self.sampling.level
            lower, upper = nested(as_field(inner, level), mean, as_field(outer, level))
        else:
            lower, upper = paper_bounds(mean, np.square(carried(np.sqrt(samples.variance), 0.0)))
        cleaned = Fields.cleaned(lower, mean, upper, self.sampling.level)
        if not (cleaned.mean >= self.sampling.level).any():
            return None
        whole = [np.zeros(self.series.hu.shape, np.float32) for _ in range(3)]
        for target, source in zip(whole, (cleaned.lower, cleaned.mean, cleaned.upper), strict=True):
            target[box] = source
        return Fields(*whole)

    def _on(self, voi: Grid, organ: StructureResult | None) -> NDArray[np.bool_]:
        """An organ's mean contour as a mask on a VOI's grid."""
        if organ is None:
            return np.zeros(voi.shape_zyx, bool)
        field = np.asarray(resample(organ.mean, self.series.grid, voi, outside=0.0), dtype=np.float32)
        return field >= organ.level

    def _voi(self, name: str, centre_mm: NDArray[np.float64]) -> Grid:
        network = self.bundle.manifest.networks[name]
        return voi_grid(
            centre_mm, network.voi_size_zyx, network.spacing_zyx_mm, self.series.frame_of_reference_uid
        )

    def _localizer_grid(self) -> Grid:
        """All of the CT in z, the localiser's field of view around the body in x and y."""
        spec = self.bundle.manifest.networks[LOCALIZER]
        step = max(1, min(self.series.hu.shape[1:]) // 128)
        body = np.argwhere(self.series.hu[:, ::step, ::step] > BODY_HU)
        if len(body) == 0:
            raise NoPelvis
        z, y, x = body.mean(0) * (1, step, step)
        centre = self.series.grid.to_patient((x, y, z))
        ends = self.series.grid.to_patient([(0, 0, -0.5), (0, 0, self.series.hu.shape[0] - 0.5)])
        centre[2] = ends[:, 2].mean()
        slices = max(1, round(float(np.ptp(ends[:, 2])) / spec.spacing_zyx_mm[0]))
        size = (slices, *spec.voi_size_zyx[1:])
        return voi_grid(centre, size, spec.spacing_zyx_mm, self.series.frame_of_reference_uid)

    def _report(self, name: str, passes_done: int) -> None:
        total = self.sampling.passes
        done = (self.finished + passes_done / total) / len(self.bundle.networks)
        self.progress(
            ProgressReport(
                stage="segmenting",
                structure=name,
                passes_done=passes_done,
                passes_total=total,
                percent=START_PERCENT + (END_PERCENT - START_PERCENT) * done,
            )
        )

    def _note_vanished(self, name: str, vanished: float) -> None:
        if vanished > MANY_VANISHED:
            text = (
                f"In {100 * vanished:.0f} % of the passes {name} was empty: check whether it is there at all."
            )
            self.findings.append(Finding(code="vanishing", message=text))

    def _note_unlike(self, name: str, quality: float) -> None:
        if self.bundle.manifest.is_unlike_calibration(name, quality):
            text = (
                f"The passes disagree on {name} more than in any CT that the bundle was calibrated on: this CT may "
                "be unlike those."
            )
            self.findings.append(Finding(code="unlike-calibration", message=text))

    def _not_found(self, name: str, why: str) -> None:
        self.findings.append(Finding(code="not-found", message=f"{name} is not in the result: {why}."))

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 3)
