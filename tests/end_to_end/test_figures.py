"""The figures of a running system: what its processes did stands in the API's /metrics."""

import httpx
import pytest

pytestmark = pytest.mark.xdist_group("system")


def test_a_running_system_tells_of_instances_jobs_deliveries_and_workers(system, planning_system, eventually):
    series_uid = system.new_series()
    system.wait_for(series_uid, "done")
    eventually(lambda: planning_system.count(series_uid) > 0, what="delivery")

    def told():
        return httpx.get(f"http://127.0.0.1:{system.state()['api_port']}/metrics").text

    for line in (
        'penumbra_workers{queue="gpu"} 1.0',
        'penumbra_workers{queue="delivery"} 1.0',
        'penumbra_instances_total{outcome="stored",source="dicom"}',
        'penumbra_jobs_ended_total{reason="none",state="done"}',
        'penumbra_delivery_tries_total{node="TPS",outcome="taken"}',
        "penumbra_turnaround_seconds_count",
    ):
        eventually(lambda line=line: line in told(), within_s=30, what=line)
    assert series_uid not in told()
    assert "ZZPHIMARK" not in told()
