"""Damaged and hostile files end in a reason or in a correct read: no crash, no hang, no flood of memory.

The default suite takes a few hundred; `make test-slow` takes 2,000.
"""

import json
import mmap
import re
import signal
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from worker import series as series_module
from worker.errors import Rejected
from worker.series import read_series

HANG_S, FLOOD_BYTES = 5.0, 2**30
PIXEL_MODULE = (
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
)
ADDED = ("PixelPaddingValue", "PixelPaddingRangeLimit")
CODECS = {
    "RLE": RLELossless,
    "JPEG 2000": JPEG2000Lossless,
    "JPEG-LS": JPEGLSLossless,
    "JPEG lossless": JPEGLossless,
    "JPEG lossless SV1": JPEGLosslessSV1,
}


class Hang(BaseException):
    """The processor time for one file is used up."""


class Mutator:
    """Makes damaged copies of one file's bytes, reproducibly."""

    def __init__(self, data: bytes, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.data = data
        dataset = dcmread(BytesIO(data))
        elements = [dataset.get_item(tag) for tag in dataset.keys()]
        self.values = [(e.value_tell, e.length, e.VR) for e in elements if getattr(e, "value_tell", 0)]
        self.pixels = next(t for t, n, _ in self.values if t == max(v[0] for v in self.values))
        self.kinds = [m for name, m in sorted(vars(Mutator).items()) if name.startswith("with_")]

    def mutate(self, n: int) -> tuple[str, bytes]:
        """The kind of damage, and the bytes."""
        kind = self.kinds[n % len(self.kinds)]
        return kind.__name__, bytes(kind(self, bytearray(self.data)))

    def with_flipped_header_bytes(self, data: bytearray) -> bytearray:
        return self._flipped(data, 132, self.pixels)

    def with_flipped_pixel_bytes(self, data: bytearray) -> bytearray:
        return self._flipped(data, self.pixels - 12, len(data))

    def with_its_end_cut_off(self, data: bytearray) -> bytearray:
        return data[: int(self.random.integers(0, len(data)))]

    def with_a_wrong_vr(self, data: bytearray) -> bytearray:
        at, _, vr = self._some()
        place = at - (8 if vr in {"OB", "OW", "SQ", "UN", "UT"} else 4)
        data[place : place + 2] = bytes(
            self.random.choice([b"SQ", b"UN", b"FD", b"OB", b"DS", b"US", b"??", b"AT"])
        )
        return data

    def with_a_huge_length(self, data: bytearray) -> bytearray:
        at, _, _ = self._some()
        length = int(self.random.choice([0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFF0, 0x10000000, 0xFFFF]))
        data[at - 4 : at] = struct.pack("<I", length)
        return data

    def with_a_short_length(self, data: bytearray) -> bytearray:
        at, length, _ = self._some()
        data[at - 2 : at] = struct.pack("<H", max(0, int(length) - 1 - int(self.random.integers(5))) & 0xFFFF)
        return data

    def with_nested_sequences(self, data: bytearray) -> bytearray:
        depth = int(self.random.choice([3, 100, 2000, 20000]))
        level = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
        at, _, vr = self._some()
        start = at - (12 if vr in {"OB", "OW", "SQ", "UN", "UT"} else 8)
        return data[:start] + level * depth + data[start:]

    def with_bytes_put_in(self, data: bytearray) -> bytearray:
        at = int(self.random.integers(132, len(data)))
        return data[:at] + self.random.bytes(int(self.random.integers(1, 40))) + data[at:]

    def with_a_block_of_zeros(self, data: bytearray) -> bytearray:
        at = int(self.random.integers(132, len(data)))
        data[at : at + 64] = bytes(len(data[at : at + 64]))
        return data

    def with_another_value(self, data: bytearray) -> bytearray:
        at, length, _ = self._some()
        odd = self.random.choice([b"1E400", b"-0", b"NaN", b"\\\\\\\\", b"9999999999", b"\xff\xfe", b"1.2.3"])
        filled = bytes(odd).ljust(int(length))[: int(length)]
        data[at : at + int(length)] = filled
        return data

    def _flipped(self, data: bytearray, first: int, stop: int) -> bytearray:
        for at in self.random.integers(first, stop, int(self.random.integers(1, 9))):
            data[at] ^= 1 << int(self.random.integers(8))
        return data

    def _some(self) -> tuple[int, int, str]:
        return self.values[int(self.random.integers(len(self.values)))]


class DeflatedMutator:
    """Damages what is deflated, by turns the compressed bytes themselves and what they inflate to."""

    def __init__(self, data: bytes, seed: int) -> None:
        self.start = 144 + struct.unpack("<I", data[140:144])[0]  # behind the meta information
        self.head = data[: self.start]
        plain = self.head.replace(
            DeflatedExplicitVRLittleEndian.encode(), ExplicitVRLittleEndian.encode() + b"\0" * 3
        )
        self.inside = Mutator(plain + zlib.decompress(data[self.start :], wbits=-15), seed)
        self.data, self.random = data, self.inside.random

    def mutate(self, n: int) -> tuple[str, bytes]:
        """The kind of damage, and the bytes."""
        if n % 3 == 0:
            return "with flipped compressed bytes", bytes(self._flipped(bytearray(self.data)))
        if n % 12 == 1:
            return "cut off", self.data[: int(self.random.integers(self.start, len(self.data)))]
        kind, damaged = self.inside.mutate(n)
        packer = zlib.compressobj(wbits=-15)
        return kind, self.head + packer.compress(damaged[self.start :]) + packer.flush()

    def _flipped(self, data: bytearray) -> bytearray:
        for at in self.random.integers(self.start, len(data), int(self.random.integers(1, 9))):
            data[at] ^= 1 << int(self.random.integers(8))
        return data


@pytest.fixture
def three_slices(make_ct, draw, monkeypatch):
    """A series of three slices that reading accepts, in an encoding; returns its folder."""
    monkeypatch.setattr(series_module, "MIN_SLICES", 3)

    def make(syntax):
        grid = draw.grid((36, 34, 3))
        hu = np.random.default_rng(2).integers(-1000, 1000, grid.shape_zyx)
        plain = ImplicitVRLittleEndian if syntax == ImplicitVRLittleEndian else ExplicitVRLittleEndian
        folder = make_ct(hu, grid, name=syntax, TransferSyntaxUID=plain)
        for path in folder.iterdir() if syntax != plain else ():
            draw.encode(path, syntax)
        return folder

    return make


def memory_of(field):
    """A line of /proc/self/status, in bytes: VmRSS is what this process holds, VmHWM the most it has held."""
    return 1024 * int(re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text()).group(1))


class NoFlood:
    """Fails if the block, at its peak, held so many bytes more than before it."""

    def __init__(self, most: int = FLOOD_BYTES) -> None:
        self.most = most

    def __enter__(self) -> None:
        Path("/proc/self/clear_refs").write_text(
            "5"
        )  # the peak begins anew (proc(5)): no earlier one hides it
        self.before = memory_of("VmRSS")

    def __exit__(self, *_cause: object) -> None:
        grown = memory_of("VmHWM") - self.before
        assert grown < self.most, f"{grown} bytes"


def test_a_flood_is_seen_behind_an_earlier_one():
    for _ in range(2):
        with pytest.raises(AssertionError), NoFlood(2**26):
            with mmap.mmap(-1, 2**27) as fresh:  # a heap may have room left from before
                fresh.write(bytes(2**27))
    with NoFlood(2**26):
        pass


def read_or_refuse(folder):
    """The series, or None where it was refused; fails on a hang or a flood of memory."""
    signal.signal(signal.SIGVTALRM, _on_alarm)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)
    try:
        with NoFlood():
            return read_series(folder)
    except Rejected as reason:
        assert reason.message and reason.remedy and "Quasimodo" not in str(reason)
        return None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _on_alarm(_number, _frame):
    raise Hang


def check_correct(series, folder, original):
    """What was read is what pydicom reads from the same files, and the slices that were not touched are as ever."""
    by_uid = {}
    for path in folder.iterdir():
        dataset = dcmread(path, force=True)
        by_uid[str(dataset.get("SOPInstanceUID"))] = dataset
    for uid, hu, position in zip(series.sop_instance_uids, series.hu, series.slice_positions_mm, strict=True):
        if uid in original and path_is_untouched(folder, uid, original):
            assert (hu == original[uid][1]).all()
            continue
        dataset = by_uid.get(uid)
        if dataset is None:  # the UID of the meta information
            continue
        assert position == pytest.approx([float(v) for v in dataset.ImagePositionPatient])
        usual = [dataset.get(k) for k in PIXEL_MODULE] == original["module"]
        if usual and not any(k in dataset for k in ADDED) and dataset.file_meta.get("TransferSyntaxUID"):
            try:
                pixels = dataset.pixel_array
            except (NotImplementedError, TypeError):
                continue  # pydicom stumbles over the VR or the length of the pixels: nothing to compare with
            wanted = pixels * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
            assert (hu == np.clip(wanted, -1024, 32767)).all()


def path_is_untouched(folder, uid, original):
    name, _, data = original[uid]
    return (folder / name).read_bytes() == data


def originals(folder):
    known = {}
    for path in sorted(folder.iterdir()):
        dataset = dcmread(path)
        hu = dataset.pixel_array * int(dataset.RescaleSlope) + int(dataset.RescaleIntercept)
        known[str(dataset.SOPInstanceUID)] = (path.name, hu, path.read_bytes())
        known["module"] = [dataset.get(k) for k in PIXEL_MODULE]
    return known


def through_reading(folder, count, seed):
    """Damage the middle file in `count` ways, one after the other; how many were read all the same."""
    victim = sorted(folder.iterdir())[1]
    original, whole = originals(folder), victim.read_bytes()
    is_deflated = dcmread(victim).file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    mutator, read = (DeflatedMutator if is_deflated else Mutator)(whole, seed), 0
    for n in range(count):
        kind, damaged = mutator.mutate(n)
        victim.write_bytes(damaged)
        try:
            series = read_or_refuse(folder)
            if series is not None:
                read += 1
                check_correct(series, folder, original)
        except BaseException as error:
            raise AssertionError(f"mutation {n} of seed {seed}, {kind}: {type(error).__name__}") from error
    victim.write_bytes(whole)
    return read


NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("syntax", NATIVE, ids=["explicit", "implicit", "big-endian"])
def test_damaged_native_files_are_read_right_or_refused(three_slices, syntax):
    assert 0 < through_reading(three_slices(syntax), 40, seed=1) < 40


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("syntax", NATIVE, ids=["explicit", "implicit", "big-endian"])
def test_a_thousand_damaged_native_files(three_slices, syntax):
    assert 0 < through_reading(three_slices(syntax), 340, seed=2) < 340


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("count", "seed"), [(24, 6), pytest.param(340, 7, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_damaged_deflated_files_are_read_right_or_refused(three_slices, count, seed):
    assert 0 < through_reading(three_slices(DeflatedExplicitVRLittleEndian), count, seed) < count


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("syntax", CODECS.values(), ids=CODECS)
def test_damaged_compressed_files_are_refused_by_the_parent(three_slices, syntax):
    through_reading(three_slices(syntax), 3, seed=3)


# Runs what the child of `worker/decode.py` runs, one fork per file, so that codecs load only once.
DRIVER = """
import json, os, sys
from worker import decode_child as child
child.load_codecs()
ends = []
for item in json.load(sys.stdin):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        child.limit_resources(2**20)
        child.signal.setitimer(child.signal.ITIMER_PROF, child.CPU_S)
        try:
            end = str(len(child.pixels(item)))
        except child.Refused as reason:
            end = str(reason)
        except Exception as error:
            end = "error"
        os.write(writer, end.encode())
        os._exit(0)
    os.close(writer)
    _, status, used = os.wait4(pid, 0)
    end = os.read(reader, 500).decode() or f"signal {status & 127}"
    os.close(reader)
    ends.append([end, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024])
print(json.dumps(ends))
"""


def through_the_codec(folder, syntax, count, seed, tmp_path):
    path = sorted(folder.iterdir())[1]
    mutator = Mutator(path.read_bytes(), seed)
    items = []
    for n in range(count):
        target = tmp_path / f"{n}.dcm"
        target.write_bytes(mutator.mutate(n)[1])
        items.append({"path": str(target), "syntax": str(syntax), "rows": 34, "columns": 36})
    done = subprocess.run(
        [sys.executable, "-c", DRIVER], input=json.dumps(items), capture_output=True, text=True
    )
    ends = json.loads(done.stdout.splitlines()[-1])
    assert len(ends) == count
    for end, cpu_s, memory in ends:
        assert not end.isdigit() or int(end) == 34 * 36 * 2, end
        assert cpu_s < HANG_S and memory < FLOOD_BYTES, end


@pytest.mark.parametrize("syntax", CODECS.values(), ids=CODECS)
def test_codecs_survive_damage_within_their_limits(three_slices, syntax, tmp_path):
    through_the_codec(three_slices(syntax), syntax, 30, 4, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("syntax", CODECS.values(), ids=CODECS)
def test_a_thousand_damaged_files_through_the_codecs(three_slices, syntax, tmp_path):
    through_the_codec(three_slices(syntax), syntax, 340, 5, tmp_path)
