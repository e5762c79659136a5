"""What a node's settings make of a job: which objects, by which template, and what is sent and listed."""

import pytest
from pydantic import ValidationError

from service.jobs import Jobs
from service.ledger import SqlLedger
from service.settings import NodeSettings, ServiceSettings
from worker.job_folder import attempt_dir, read_request
from worker.ledger import Outcome

SERIES = "1.2.826.0.1.3680043.10.999.7"
TEMPLATE = "qualifier: _\n"


@pytest.fixture
def clinic(tmp_path):
    file = tmp_path / "clinic.yaml"
    file.write_text(TEMPLATE)
    return file


@pytest.fixture
def special(settings, clinic):
    """TPS gets its own template and a SEG, ARCHIVE the default RTSTRUCT alone."""
    tps = NodeSettings(ae_title="TPS", host="127.0.0.1", port=1, objects=("rtstruct", "seg"), template=clinic)
    return settings.model_copy(
        update={"nodes": (tps, settings.nodes[1]), "deliver_to": ("ARCHIVE",), "also": ("pdf",)}
    )


def test_a_template_that_cannot_be_used_stops_the_settings_with_its_line(clinic):
    clinic.write_text("label: A\nqualifier: A\n")
    with pytest.raises(ValidationError, match="clinic.yaml: line 2, qualifier"):
        NodeSettings(ae_title="TPS", host="h", port=104, template=clinic)
    with pytest.raises(ValidationError, match="objects"):
        NodeSettings(ae_title="TPS", host="h", port=104, objects=("nifti",))


def test_children_read_templates_and_objects_back(special, monkeypatch):
    for name, value in special.environment().items():
        monkeypatch.setenv(name, value)
    assert ServiceSettings().node("TPS").destination == special.node("TPS").destination


def test_each_node_gets_what_its_settings_say(special, database, receive):
    receive()
    jobs, ledger = Jobs(special, database), SqlLedger(special, database)
    job = jobs.submit(SERIES)
    request = read_request(special.jobs_dir / job.id)
    (tps,) = request.destinations
    assert (tps.ae_title, tps.template.qualifier) == ("TPS", "_")
    assert request.extra_kinds == {"seg", "pdf"}

    claim = ledger.claim(job.id, "one")
    out = attempt_dir(claim.folder, claim.fence)
    out.mkdir()
    for name in (
        "result.json",
        "rtstruct.dcm",
        tps.rtstruct_name,
        "seg-mean.dcm",
        "report.dcm",
        "report.pdf",
    ):
        (out / name).write_text("x")
    assert ledger.publish(claim, Outcome("done"))
    sent = {}
    for delivery in jobs.get(job.id).deliveries:
        sent[delivery.node] = [path.name for path in ledger.claim_delivery(delivery.id, "one").files]
    assert sent == {"TPS": [tps.rtstruct_name, "seg-mean.dcm"], "ARCHIVE": ["rtstruct.dcm"]}


def test_a_changed_template_makes_a_new_job_and_the_same_one_does_not(
    special, settings, database, receive, clinic
):
    receive()
    first = Jobs(special, database).submit(SERIES)
    assert Jobs(special, database).submit(SERIES).id == first.id
    clinic.write_text("qualifier: '-'\n")
    tps = NodeSettings(ae_title="TPS", host="127.0.0.1", port=1, template=clinic)
    changed = special.model_copy(update={"nodes": (tps, special.nodes[1])})
    assert Jobs(changed, database).submit(SERIES).id != first.id


def test_a_job_that_did_not_end_well_keeps_no_object(special, database, receive):
    receive()
    jobs, ledger = Jobs(special, database), SqlLedger(special, database)
    claim = ledger.claim(jobs.submit(SERIES).id, "one")
    out = attempt_dir(claim.folder, claim.fence)
    out.mkdir()
    for name in (
        "result.json",
        "rtstruct.dcm",
        "rtstruct-0123abcd.dcm",
        "seg-mean.dcm",
        "nifti-CTV-mean.nii.gz",
    ):
        (out / name).write_text("x")
    ledger.publish(claim, Outcome("failed", {"code": "failed", "message": "m", "remedy": "r"}))
    assert [path.name for path in jobs.get(claim.job_id).result_dir.iterdir()] == ["result.json"]
