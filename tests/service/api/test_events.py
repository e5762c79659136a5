"""Whoever follows a job sees it move and sees it end; whoever follows all misses none."""

import asyncio
import itertools
import json
import threading

import httpx
import pytest

from service.events import JobFeed
from worker.job_folder import Outcome


@pytest.fixture
def job_id(ask, series_zip) -> str:
    return ask.upload(series_zip).json()["id"]


def read_events(lines) -> list[tuple[str, dict]]:
    found, name = [], ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            found.append((name, json.loads(line.removeprefix("data: "))))
    return found


def test_a_job_is_followed_live_to_its_end(server, server_worker, write_series) -> None:
    files = [("file", ("x", data)) for data in write_series(seed="followed")]
    job = httpx.post(f"{server.url}/api/v1/jobs", files=files, timeout=60).json()
    work = threading.Thread(target=server_worker.run, args=(job["id"],), kwargs={"passes": 4, "pause_s": 0.7})
    with httpx.stream("GET", server.url + job["links"]["events"], timeout=60) as stream:
        lines = stream.iter_lines()
        first = read_events(itertools.islice(lines, 4))
        work.start()
        events = first + read_events(lines)
    work.join()
    names = [name for name, _ in events]
    assert names == ["progress"] * (len(names) - 1) + ["end"]
    assert events[0][1]["state"] == "queued"
    assert events[-1][1] == {"state": "done", "reason": None}
    running = [data for _, data in events if data["state"] == "running"]
    passes = [data["passes_done"] for data in running]
    assert passes == sorted(passes) and len(set(passes)) > 1
    assert ("segmenting", "Bladder") in [(data["stage"], data["structure"]) for data in running]


def test_all_jobs_are_followed_from_the_moment_of_ready(server, server_worker, write_series) -> None:
    files = [("file", ("x", data)) for data in write_series(seed="of all")]
    seen = []
    with httpx.stream("GET", f"{server.url}/api/v1/events", timeout=60) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "event: ready"
        job = httpx.post(f"{server.url}/api/v1/jobs", files=files, timeout=60).json()
        server_worker.run(job["id"], Outcome("failed", {"code": "c", "message": "m", "remedy": "r"}))
        for line in lines:
            if line.startswith("data: {") and job["id"] in line:
                seen.append(json.loads(line.removeprefix("data: "))["state"])
                if seen[-1] == "failed":
                    break
    assert seen[-1] == "failed"


def test_a_slow_listener_gets_the_latest_state_only(ask, job_id, worker) -> None:
    async def scenario() -> list[str]:
        feed = JobFeed(worker.jobs, look_every_s=0.02)
        stream = feed.changes()
        assert await anext(stream) is None
        await asyncio.to_thread(worker.run, job_id)
        await asyncio.sleep(0.5)
        states = [(await anext(stream)).state]
        feed.close()
        states += [job.state async for job in stream]
        return states

    assert asyncio.run(scenario()) == ["done"]


def test_the_feed_rests_when_nobody_listens_and_wakes_again(ask, job_id, worker) -> None:
    async def scenario() -> None:
        feed = JobFeed(worker.jobs, look_every_s=0.02)
        for _ in range(2):
            stream = feed.changes()
            assert await anext(stream) is None
            worker.jobs.cancel(job_id)
            assert (await asyncio.wait_for(anext(stream), 30)).state == "cancelled"
            await stream.aclose()
            assert feed._task is None
            worker.jobs.retry(job_id)

    asyncio.run(scenario())


def test_a_listener_too_many_is_refused(ask, job_id, monkeypatch) -> None:
    monkeypatch.setattr("service.events.MAX_LISTENERS", 0)
    answer = ask("GET", f"/api/v1/jobs/{job_id}/events")
    assert (answer.status_code, answer.json()["code"]) == (503, "too-many-listeners")
