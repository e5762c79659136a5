"""What a job writes besides the default RTSTRUCT: RTSTRUCTs by templates, SEG, SR, PDF, NIfTI."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from worker.figures import Figures
from worker.finding import Finding
from worker.job_folder import JobRequest
from worker.object_files import (
    BAND_SEG_NAME,
    EXTRA_KINDS,
    MEAN_SEG_NAME,
    PAGE_NAME,
    REPORT_NAME,
    SR_NAME,
    objects_in,
    template_name,
)
from worker.patient_study import ObjectIdentity
from worker.report.pdf import NoPdf
from worker.result import Result
from worker.review_document import Review
from worker.roi_naming import naming_of
from worker.rtstruct import WrittenRtstruct, write_and_prove


@dataclass(frozen=True, kw_only=True)
class FurtherObjects:
    """What was written.

    Attributes:
        by_template: per file name what the RTSTRUCT written by a template holds, with its round-trip proof.
        findings: why something was not written.
    """

    by_template: Mapping[str, WrittenRtstruct] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class _Desk:
    """A result, its figures and its review on their way into a folder that holds RTSTRUCT and slices."""

    result: Result
    figures: Sequence[Figures]
    review: Review
    job_id: str
    out: Path
    identity: ObjectIdentity


def clear_objects(out: Path) -> None:
    """Take away what an earlier run has left, RTSTRUCTs included."""
    for each in objects_in(out):
        each.path.unlink()


def write_further_objects(
    result: Result,
    figures: Sequence[Figures],
    request: JobRequest,
    out: Path,
    *,
    review: Review,
    identity: ObjectIdentity,
) -> FurtherObjects:
    """Write every object that a request asks for besides the default RTSTRUCT.

    Args:
        result: what segmentation found.
        figures: its numbers.
        request: its destinations, their templates, and the further kinds.
        out: the folder, which holds the default RTSTRUCT and the CT's slices already.
        review: the figures of the report.
        identity: of the job; every object gets UIDs of its own from it.

    Raises:
        RoundTripFailed: an RTSTRUCT by a template does not show the result.
        ResultImplausible: a template leaves nothing to write.
    """
    by_template = {}
    templates = {each.template.key: each.template for each in request.destinations if each.template}
    for template in templates.values():
        name = template_name(template.key)
        own = replace(identity, seed=f"{identity.seed} {template.key}")
        by_template[name] = write_and_prove(result, out / name, naming=naming_of(template), identity=own)
    desk = _Desk(result, figures, review, request.job_id, out, identity)
    writers: dict[str, Callable[[_Desk], list[Finding]]] = {
        "seg": _write_seg,
        "sr": _write_sr,
        "pdf": _write_pdf,
        "nifti": _write_nifti,
    }
    kinds = [kind for kind in EXTRA_KINDS if kind in request.extra_kinds]
    findings = [finding for kind in kinds for finding in writers[kind](desk)]
    return FurtherObjects(by_template=by_template, findings=tuple(findings))


def objects_document(out: Path, further: FurtherObjects) -> list[dict[str, object]]:
    """Every object as `result.json` lists it; of an RTSTRUCT by a template its names and proof too."""
    listed: list[dict[str, object]] = []
    for each in objects_in(out):
        written = further.by_template.get(each.name)
        proof = {} if written is None else {"roi_names": written.roi_names, "round_trip": written.dsc}
        listed.append({"name": each.name, "kind": each.kind, **proof})
    return listed


# highdicom and WeasyPrint take half a second to import, so only who needs them does.


def _write_seg(desk: _Desk) -> list[Finding]:
    from worker.seg import write_band_seg, write_mean_seg

    write_mean_seg(desk.result, desk.out / MEAN_SEG_NAME, identity=desk.identity)
    write_band_seg(desk.result, desk.out / BAND_SEG_NAME, identity=desk.identity)
    return []


def _write_sr(desk: _Desk) -> list[Finding]:
    from worker.sr import write_sr

    write_sr(desk.result, desk.figures, desk.out / SR_NAME, identity=desk.identity)
    return []


def _write_pdf(desk: _Desk) -> list[Finding]:
    from worker.pdf import write_pdf
    from worker.report.document import draw
    from worker.report.pdf import pdf_of

    try:
        page = pdf_of(draw(desk.review, desk.out, job_id=desk.job_id, made=desk.identity.created))
    except NoPdf as error:
        return [Finding(code=error.code, message=error.message)]
    (desk.out / PAGE_NAME).write_bytes(page)
    write_pdf(desk.result, page, desk.out / REPORT_NAME, identity=desk.identity)
    return []


def _write_nifti(desk: _Desk) -> list[Finding]:
    from worker.nifti import write_nifti

    return write_nifti(desk.result, desk.out)
