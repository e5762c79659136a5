"""File meta information of the files that we write (PS3.10 7.1)."""

from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID

from worker.uids import IMPLEMENTATION_CLASS_UID


def file_meta(sop_class_uid: UID, sop_instance_uid: UID, transfer_syntax_uid: UID) -> FileMetaDataset:
    """Meta information of one instance."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class_uid
    meta.MediaStorageSOPInstanceUID = sop_instance_uid
    meta.TransferSyntaxUID = transfer_syntax_uid
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    return meta
