"""Whose contours they are: patient, study, series, frame of reference and images, held against the CT's."""

from collections import Counter
from collections.abc import Iterator, Sequence

from worker.instance_files import NAMED
from worker.unchecked_values import bytes_of, items_at, items_of, text_of
from worker.vendor_contours import REFERENCED_SERIES
from worker.vendor_images import ImageStack
from worker.verify_codes import Objection, shown_uid
from worker.verify_subject import Subject


def identity_objections(subject: Subject) -> Iterator[Objection]:
    """Everything that a system matches structure set and images by. No identity is ever told."""
    yield from _folder(subject)
    yield from _patient(subject)
    yield from _study_and_series(subject)
    yield from _frames(subject)
    yield from _image_list(subject)


def _folder(subject: Subject) -> Iterator[Objection]:
    if len(subject.stacks) > 1:
        uid = shown_uid(subject.stack.planes[0].uids["SeriesInstanceUID"])
        message = f"The folder holds {len(subject.stacks)} series; series {uid} was taken."
        yield Objection(code="several-series", message=message, count=len(subject.stacks))
    yield from _left_out(subject.stack)


def _left_out(stack: ImageStack) -> Iterator[Objection]:
    localizers = sum(plane.localizer for plane in stack.left_out)
    reasons = {
        "marked as localisers (scout views)": localizers,
        "in other planes than most": len(stack.left_out) - localizers,
        "damaged, without a position, or of several frames": len(stack.unreadable),
    }
    total = sum(reasons.values())
    if total:
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
        message = f"{total} images were left out: {told}{_places(stack.unreadable)}."
        yield Objection(code="images-left-out", message=message, count=total)


def _places(unreadable: Sequence[str]) -> str:
    """Where the damaged ones are, for a damaged file may have no other name that can be told."""
    if not unreadable:
        return ""
    more = f" and {len(unreadable) - NAMED} more" if len(unreadable) > NAMED else ""
    return f" ({', '.join(unreadable[:NAMED])}{more}, by name)"


def _patient(subject: Subject) -> Iterator[Objection]:
    ours, theirs = subject.structure_set.dataset, subject.stack.planes[0].identity
    differing = [
        keyword
        for keyword, value in theirs.items()
        if _compared(keyword, bytes_of(ours, keyword) or b"") != _compared(keyword, value)
    ]
    if "PatientID" in differing:
        yield Objection(code="other-patient", message="PatientID is not the CT's.")
        differing.remove("PatientID")
    if differing:
        yield Objection(
            code="patient-differs", message=f"Not the CT's: {', '.join(differing)}.", count=len(differing)
        )


def _compared(keyword: str, value: bytes) -> bytes:
    """A value without padding; of a name without what may be left out at its end (PS3.5 6.2.1, 6.2 PN)."""
    value = value.strip(b" \0")
    if keyword != "PatientName":
        return value
    return b"=".join(group.rstrip(b"^ ") for group in value.split(b"=")).rstrip(b"=")


def _study_and_series(subject: Subject) -> Iterator[Objection]:
    dataset, image = subject.structure_set.dataset, subject.stack.planes[0].uids
    studies = {text_of(dataset, "StudyInstanceUID")} - {""}
    if studies and image["StudyInstanceUID"] not in studies:
        yield Objection(code="other-study", message="Its study is not the CT's.")
    referenced = [
        text_of(study, "ReferencedSOPInstanceUID") for study in items_at(dataset, *REFERENCED_SERIES[:2])
    ]
    foreign = [uid for uid in referenced if uid not in {"", image["StudyInstanceUID"]}]
    if foreign:
        yield Objection(
            code="other-study",
            message="RT Referenced Study Sequence names another study than the CT's.",
            count=len(foreign),
        )
    if text_of(dataset, "SeriesInstanceUID") in subject.stacks:
        yield Objection(code="series-of-images", message="Its Series Instance UID is that of images.")
    listed = {text_of(series, "SeriesInstanceUID") for series in items_at(dataset, *REFERENCED_SERIES)} - {""}
    if listed and image["SeriesInstanceUID"] not in listed:
        yield Objection(
            code="other-series",
            message=f"It was drawn on another series: {', '.join(sorted(map(shown_uid, listed))[:3])}.",
            count=len(listed),
        )


def _frames(subject: Subject) -> Iterator[Objection]:
    dataset = subject.structure_set.dataset
    frame = subject.stack.planes[0].uids["FrameOfReferenceUID"]
    top = text_of(dataset, "FrameOfReferenceUID")
    listed = [text_of(item, "FrameOfReferenceUID") for item in items_of(dataset, REFERENCED_SERIES[0])]
    if not any(listed):
        message = "Referenced Frame of Reference Sequence names no frame."
        yield Objection(code="no-frame", message=message)
    elif not top:
        message = "The structure set itself has no Frame of Reference UID."
        yield Objection(code="no-top-frame", message=message)
    if top not in {"", frame} or (any(listed) and frame not in listed):
        yield Objection(code="other-frame", message="Its frame of reference is not the CT's.")
    frames = {top, *listed, *(laid.roi.frame_of_reference_uid for laid in subject.rois)} - {""}
    if len(frames) > 1:
        yield Objection(
            code="several-frames", message=f"It uses {len(frames)} frames of reference.", count=len(frames)
        )
    for laid in subject.rois:
        if laid.roi.frame_of_reference_uid not in {"", frame}:
            message = "Its frame of reference is not the CT's."
            yield Objection(code="other-frame", message=message, roi=laid.shown)


def _image_list(subject: Subject) -> Iterator[Objection]:
    dataset, stack = subject.structure_set.dataset, subject.stack
    entries = [
        (text_of(image, "ReferencedSOPInstanceUID"), text_of(image, "ReferencedSOPClassUID"))
        for image in items_at(dataset, *REFERENCED_SERIES, "ContourImageSequence")
    ]
    if not entries:
        yield Objection(code="no-image-list", message="It does not list the images that it was drawn on.")
        return
    present = {uid for each in subject.stacks.values() for uid in each.sop_classes}
    missing = [uid for uid, _ in entries if uid not in present]
    if missing:
        yield Objection(
            code="listed-image-missing",
            message=f"{len(missing)} of {len(entries)} listed images are not there, such as {shown_uid(missing[0])}.",
            count=len(missing),
        )
    yield from _list_and_stack(entries, stack)


def _list_and_stack(entries: list[tuple[str, str]], stack: ImageStack) -> Iterator[Objection]:
    times = Counter(uid for uid, _ in entries)
    absent = [plane.uid for plane in stack.planes if plane.uid not in times]
    if absent and len(absent) < len(stack.planes):
        yield Objection(
            code="image-not-listed",
            message=f"{len(absent)} of the series' {len(stack.planes)} images are not listed.",
            count=len(absent),
        )
    twice = [uid for uid, n in times.items() if n > 1]
    if twice:
        yield Objection(
            code="image-listed-twice",
            message=f"{len(twice)} images are listed more than once, such as {shown_uid(twice[0])}.",
            count=len(twice),
        )
    wrong = [uid for uid, kind in entries if stack.sop_classes.get(uid, "") not in {"", kind}]
    if wrong:
        yield Objection(
            code="image-class-differs",
            message=f"{len(wrong)} images are referred to with another SOP class, such as {shown_uid(wrong[0])}.",
            count=len(wrong),
        )
