"""Attributes of data sets that nobody has checked: what cannot be read is absent, never an exception."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import Tag

# What pydicom raises on damaged files and values, collected over truncations and bit flips; there is no common class.
DAMAGED: Final = (
    BytesLengthException,
    InvalidDicomError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def text_of(item: Dataset, keyword: str) -> str:
    """An attribute as text, without padding; empty if it is absent, empty or damaged."""
    try:
        value = item.get(keyword)
        return "" if value is None else str(value).strip(" \0")
    except DAMAGED:
        return ""


def integer_of(item: Dataset, keyword: str) -> int | None:
    """An attribute as a whole number; None if it is none."""
    try:
        return int(text_of(item, keyword))
    except ValueError:
        return None


def numbers_of(item: Dataset, keyword: str, count: int) -> NDArray[np.float64] | None:
    """An attribute as so many finite numbers (count,); None if it is anything else."""
    try:
        numbers = np.atleast_1d(np.asarray(item[keyword].value, dtype=np.float64))
    except DAMAGED:
        return None
    return numbers if numbers.shape == (count,) and bool(np.isfinite(numbers).all()) else None


def items_of(item: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none if it is absent, or no sequence."""
    try:
        value = item.get(keyword)
        return list(value) if isinstance(value, DicomSequence) else []
    except DAMAGED:
        return []


def bytes_of(item: Dataset, keyword: str) -> bytes | None:
    """A text attribute as it stands in the file, undecoded; None if it is absent.

    Contour Data is read this way: pydicom would make an object of every single number.
    """
    try:
        tag = Tag(keyword)
        if tag not in item:
            return None
        element = item.get_item(tag)
        value = getattr(element, "value", None)
        if isinstance(element, RawDataElement) or isinstance(value, bytes):
            return bytes(value or b"")
        if value is None:
            return b""
        values = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
        return "\\".join(str(v) for v in values).encode("utf-8", "replace")
    except DAMAGED:
        return b""


def items_at(dataset: Dataset, *keywords: str) -> Iterator[Dataset]:
    """The items at the end of a path of sequences, e.g. all images that a structure set lists."""
    if not keywords:
        yield dataset
        return
    for item in items_of(dataset, keywords[0]):
        yield from items_at(item, *keywords[1:])


def file_meta_of(path: Path) -> Dataset:
    """A file's meta information (PS3.10 7.1); empty if it has none, or a damaged one."""
    try:
        return read_file_meta_info(path)
    except DAMAGED:
        return Dataset()


def transfer_syntax(path: Path) -> str:
    """Transfer Syntax UID of a file's meta information; empty if it has none."""
    return text_of(file_meta_of(path), "TransferSyntaxUID")
