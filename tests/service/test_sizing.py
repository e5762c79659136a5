"""The model says what arithmetic says, the simulation agrees with queueing theory, the measurement measures."""

import math

import pytest

from service.settings import NodeSettings, ServiceSettings
from service.sizing.ledger_cost import RENEWALS, measure
from service.sizing.model import Costs, Load, size_for
from service.sizing.simulation import CHUNK, QUIET_PERIOD_S, simulate

FREE = {
    "slice_commit_s": 0.0,
    "renewal_s": 0.0,
    "job_written_s": 0.0,
    "delivery_s": 0.0,
    "intake_slices_per_s": 1e9,
    "slices": CHUNK,  # they come at once and cost nothing: fewer events, the same queue
}


def test_workers_are_what_the_busiest_hour_needs_and_a_reserve():
    load = Load(busiest_hour=1000, per_day=8000)
    size = size_for(load, Costs(job_s=8))
    assert size.workers == math.ceil(1000 * 8 / 3600 / 0.7)
    assert size_for(load, Costs(job_s=80)).workers == 8 * size.workers
    assert size_for(Load(busiest_hour=0.1, per_day=1), Costs()).workers == 1


def test_disk_grows_with_days_and_slices():
    costs = Costs(slices=200, slice_bytes=2**19, result_bytes=0)
    assert size_for(Load(busiest_hour=1, per_day=10, days_kept=30), costs).disk_gib == pytest.approx(
        30 * 10 * 0.09765, rel=1e-3
    )


def test_every_series_is_finished_and_takes_at_least_its_own_time():
    found = simulate(Costs(job_s=10, **FREE), per_hour=10, workers=4, hours=50, seed=1)
    assert found.series == pytest.approx(500, abs=80)
    assert found.half_s == pytest.approx(10 + QUIET_PERIOD_S, abs=3)
    assert found.longest_s < 60


def test_waiting_agrees_with_queueing_theory():
    """M/G/1 (Pollaczek and Khinchine): mean wait = rho / (1 - rho) * service * (1 + spread²) / 2."""
    busy, job_s = 0.6, 10.0
    costs = Costs(job_s=job_s, **FREE)
    found = simulate(costs, per_hour=3600 * busy / job_s, workers=1, hours=100, seed=2)
    assert found.workers_busy == pytest.approx(busy, abs=0.03)
    # the median wait of such a queue lies below its mean of 8 s, the 95th percentile near 3 times it
    assert 11 < found.half_s - QUIET_PERIOD_S < 18
    assert 25 < found.most_s - QUIET_PERIOD_S < 50


def test_too_few_workers_let_the_queue_grow():
    few = simulate(Costs(job_s=30), per_hour=1000, workers=6, hours=1)
    enough = simulate(Costs(job_s=30), per_hour=1000, workers=12, hours=1)
    assert few.longest_queue > 100 > enough.longest_queue
    assert few.most_s > 5 * enough.most_s


def test_one_writer_at_a_time_is_what_limits_in_the_end():
    slow = simulate(Costs(job_s=8, slice_commit_s=0.024), per_hour=1000, workers=5, hours=0.5)
    fast = simulate(Costs(job_s=8, slice_commit_s=0.001), per_hour=1000, workers=5, hours=0.5)
    assert slow.writer_busy > 0.9 and slow.most_s > 3 * fast.most_s


def test_the_model_and_the_simulation_say_the_same_of_workers_and_writer():
    costs = Costs(job_s=20)
    size = size_for(Load(busiest_hour=400, per_day=4000), costs)
    found = simulate(costs, per_hour=400, workers=size.workers, hours=20, seed=3)
    assert found.workers_busy == pytest.approx(400 * 20 / 3600 / size.workers, rel=0.1)
    assert found.writer_busy == pytest.approx(size.writer_busy, rel=0.1)


def test_measuring_leads_real_series_through_a_real_database(tmp_path):
    settings = ServiceSettings(
        data_dir=tmp_path, min_free_bytes=0, nodes=(NodeSettings(ae_title="BENCH", host="h", port=1),)
    )
    found = measure(settings, series=2, slices=3)
    assert (found.series, found.slices) == (2, 3)
    assert found.intake.commits == 7  # one per slice, and one for the figures
    assert found.renewals.commits == 2 * RENEWALS
    assert 5 <= found.jobs.commits / 2 <= 8
    assert found.slices_per_s > 0 and found.jobs.commit_s > 0 and found.series_per_hour > 0
