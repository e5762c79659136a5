"""The report's page as a DICOM object (PS3.3 A.45.1, Encapsulated PDF)."""

from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sr.coding import Code
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from worker.draft_mark import marked
from worker.file_meta import file_meta
from worker.patient_study import ObjectIdentity, object_uids, stamp
from worker.result import Result
from worker.structure_codes import code_sequence

_TITLE: Final = Code("18748-4", "LN", "Diagnostic imaging report")


def write_pdf(result: Result, page: bytes, path: Path, *, identity: ObjectIdentity) -> None:
    """Write a PDF as an instance of the CT's patient and study, in a series of its own.

    Args:
        result: what the page reports.
        page: the PDF; it names patient and study, so Burned In Annotation is YES.
        path: the file.
        identity: UIDs and time of creation.
    """
    series = result.series
    dataset = Dataset()
    dataset.SOPClassUID = EncapsulatedPDFStorage
    dataset.SeriesInstanceUID, dataset.SOPInstanceUID = object_uids(series, identity, "pdf")
    dataset.Modality = "DOC"
    dataset.SeriesNumber = "5"
    dataset.InstanceNumber = "1"
    dataset.ConversionType = "WSD"  # made on a workstation: SC Equipment, PS3.3 C.8.6.1
    dataset.AcquisitionDateTime = ""
    dataset.BurnedInAnnotation = "YES"
    dataset.DocumentTitle = marked(result, "AI draft of contours, report")
    dataset.ConceptNameCodeSequence = code_sequence(_TITLE)
    dataset.SourceInstanceSequence = [_reference(result, number) for number in range(len(series.headers))]
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocument = page + b"\0" * (len(page) % 2)
    dataset.EncapsulatedDocumentLength = len(page)
    stamp(dataset, series, identity, description=marked(result, "AI DRAFT report"))
    dataset.file_meta = file_meta(EncapsulatedPDFStorage, dataset.SOPInstanceUID, ExplicitVRLittleEndian)
    dcmwrite(path, dataset, enforce_file_format=True, implicit_vr=False, little_endian=True)


def _reference(result: Result, number: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = str(result.series.headers[number].SOPClassUID)
    item.ReferencedSOPInstanceUID = result.series.sop_instance_uids[number]
    return item
