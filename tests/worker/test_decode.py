"""Compressed instances come out as they went in, and hostile ones end in a reason, not in this process."""

import json
import re
import shutil
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from worker import decode, decode_child
from worker.codestream import BadCodestream, check_rle, frame_size
from worker.errors import UnreadableInstance, UnsupportedTransferSyntax
from worker.series import read_series

COMPRESSED = (RLELossless, JPEG2000Lossless, JPEGLSLossless, JPEGLossless, JPEGLosslessSV1)
SIZE = (36, 40)  # rows, columns: OpenJPEG wants 32 at least


def scene(draw):
    """CT numbers with noise and edges, on a grid that shows swapped axes."""
    grid = draw.grid((45, 37, 22), (0.9, 1.3, 2.5))
    noise = np.random.default_rng(0).normal(0, 20, grid.shape_zyx)
    return grid, np.rint(draw.ball(grid, (0, 0, 0), 9) * 900 - 1000 + noise).clip(-1024, 3000).astype(
        np.int16
    )


def test_a_series_of_every_lossless_encoding_is_read_by_one_child(make_ct, draw, monkeypatch):
    grid, hu = scene(draw)
    folder = make_ct(hu, grid)
    syntaxes = [*COMPRESSED, ExplicitVRBigEndian, None]
    for n, path in enumerate(sorted(folder.iterdir())):
        if syntaxes[n % len(syntaxes)]:
            draw.encode(path, syntaxes[n % len(syntaxes)])
    started = []
    monkeypatch.setattr(
        decode, "_started", lambda work, start=decode._started: started.append(1) or start(work)
    )
    assert (read_series(folder).hu == hu).all()
    assert len(started) == 1


def test_a_deflated_series_is_read_with_its_headers(make_ct, draw):
    grid, hu = scene(draw)
    folder = make_ct(hu, grid)
    plain = read_series(folder)
    for path in folder.iterdir():
        draw.encode(path, DeflatedExplicitVRLittleEndian)
    series = read_series(folder)
    assert (series.hu == hu).all()
    assert series.sop_instance_uids == plain.sop_instance_uids
    assert series.grid == plain.grid
    assert str(series.headers[0].PatientName) == str(plain.headers[0].PatientName)


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1])
def test_twelve_bits_signed_and_unsigned(make_ct, draw, syntax, signed):
    folder = make_ct(
        grid=draw.grid((40, 36, 22)),
        PixelRepresentation=signed,
        BitsStored=12,
        HighBit=11,
        RescaleIntercept="0",
    )
    least = -2048 if signed else 0
    values = np.random.default_rng(1).integers(least, least + 4096, SIZE).astype("<i2")
    path = sorted(folder.iterdir())[3]
    dataset = dcmread(path)
    dataset.PixelData = values.tobytes()
    dataset.save_as(path)
    if syntax == JPEGLSLossless and signed:
        # CharLS knows no sign: the encoder of a writer that masks the bits above the stored ones
        dataset.PixelData = (values & 0xFFF).astype("<u2").tobytes()
        dataset.PixelRepresentation = 0
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.PixelRepresentation = 1
        dataset.save_as(path)
    else:
        draw.encode(path, syntax)
    assert (read_series(folder).hu[3] == np.maximum(values, -1024)).all()


def test_real_files_of_all_lossless_encodings_hold_the_same_pixels(shared_data, tmp_path, monkeypatch):
    monkeypatch.setattr("worker.series.MIN_SLICES", 1)
    files = {p.stem.rsplit("_", 1)[-1]: p for p in (shared_data / "ct-encodings").glob("*_*.dcm")}
    plain = dcmread(files["1.2.840.10008.1.2.1"]).PixelData
    wanted = [
        decode.Compressed(path=files[s], label=s, syntax=s, rows=512, columns=512)
        for s in map(str, COMPRESSED)
    ]
    for each, decoded in zip(wanted, decode.decode_pixels(wanted), strict=True):
        assert decoded.read() == plain, each.label
    (tmp_path / "plain").mkdir()
    shutil.copy(files["1.2.840.10008.1.2.1"], tmp_path / "plain")
    for syntax in (ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian):
        folder = tmp_path / syntax
        folder.mkdir()
        shutil.copy(files[syntax], folder)
        assert (read_series(folder).hu == read_series(tmp_path / "plain").hu).all(), syntax


def replace_frame(path, change):
    """Change the codestream of a compressed instance; returns the instance's UID."""
    dataset = dcmread(path)
    frame = bytearray(get_frame(dataset.PixelData, 0, number_of_frames=1))
    dataset.PixelData = encapsulate([bytes(change(frame))])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    return str(dataset.SOPInstanceUID)


def claim_huge(frame):
    """A JPEG 2000 codestream that claims 60,000 x 60,000 pixels."""
    frame[8:16] = struct.pack(">2I", 60_000, 60_000)
    return frame


@pytest.mark.parametrize(
    ("syntax", "change", "why"),
    [
        (JPEG2000Lossless, claim_huge, "60000 x 60000"),
        (JPEG2000Lossless, lambda f: f[: len(f) // 2], "cut off"),
        (JPEGLSLossless, lambda f: f[:30] + f[40:], "damaged"),
        (RLELossless, lambda f: b"\x0f" + f[1:], "damaged"),
        (JPEGLosslessSV1, lambda f: b"no image" * 20, "cut off"),
    ],
    ids=["bomb", "cut", "damaged", "segments", "text"],
)
def test_a_damaged_codestream_is_named(make_ct, draw, syntax, change, why):
    folder = make_ct(grid=draw.grid((40, 36, 22)))
    path = sorted(folder.iterdir())[7]
    draw.encode(path, syntax)
    uid = replace_frame(path, change)
    with pytest.raises(UnreadableInstance, match=why) as caught:
        read_series(folder)
    assert uid in caught.value.message and "again" in caught.value.remedy


def test_a_deflated_bomb_is_refused_before_it_fills_memory(make_ct, draw):
    folder = make_ct(grid=draw.grid((40, 36, 22)))
    path = sorted(folder.iterdir())[7]
    draw.encode(path, DeflatedExplicitVRLittleEndian)
    start = 144 + struct.unpack("<I", path.read_bytes()[140:144])[0]
    packer = zlib.compressobj(1, wbits=-15)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(100)) + packer.flush()
    path.write_bytes(path.read_bytes()[:start] + bomb)
    with pytest.raises(UnreadableInstance, match="64 MiB") as caught:
        read_series(folder)
    assert str(dcmread(folder / "000007.dcm", stop_before_pixels=True).SOPInstanceUID) not in str(
        caught.value
    )


CHILDREN = {
    "crashes": "import os; print('{}', flush=True); os.abort()",
    "hangs": "import time; print('{}', flush=True); time.sleep(60)",
    "takes memory": "import resource; print('{}', flush=True); resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28)); "
    "bytearray(2**29)",
}


@pytest.mark.parametrize("child", CHILDREN)
def test_a_codec_that_crashes_or_hangs_costs_only_the_child(make_ct, draw, monkeypatch, child):
    folder = make_ct(grid=draw.grid((40, 36, 22)))
    path = sorted(folder.iterdir())[2]
    draw.encode(path, RLELossless)
    monkeypatch.setattr(decode, "_CHILD", (sys.executable, "-c", CHILDREN[child]))
    monkeypatch.setattr(decode, "INSTANCE_S", 1.0)
    started = time.monotonic()
    uid = str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)
    with pytest.raises(UnreadableInstance, match=re.escape(uid)):
        read_series(folder)
    assert time.monotonic() - started < 30


def test_a_spool_that_takes_no_more_ends_the_child(make_ct, draw):
    """After a part of one was written, the next would lie elsewhere than its parent looks."""
    paths = sorted(make_ct(grid=draw.grid((40, 36, 22))).iterdir())[:2]
    for path in paths:
        draw.encode(path, DeflatedExplicitVRLittleEndian)
    items = [{"path": str(path), "syntax": "", "rows": 0, "columns": 0} for path in paths]
    with Path("/dev/full").open("wb") as full:
        work = {"inflate": True, "items": items, "spool": full.fileno(), "max_bytes": 2**20}
        ended = subprocess.run(
            [sys.executable, "-m", "worker.decode_child"],
            input=json.dumps(work).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(full.fileno(),),
            check=False,
        )
    assert ended.stdout.splitlines() == [b"{}"]


def test_the_child_limits_itself():
    script = (
        "import resource; from worker.decode_child import limit_resources; limit_resources(5); "
        "print(resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_FSIZE)[0])"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.split() == [str(decode_child.MEMORY_BYTES), "5"]
    assert decode_child.MEMORY_BYTES <= 2**30


def test_the_child_gets_no_secrets(monkeypatch):
    monkeypatch.setenv("PENUMBRA_API_TOKEN", "secret")
    assert not any("PENUMBRA" in name or "secret" in value for name, value in decode._ENVIRONMENT.items())


def test_an_unknown_or_retired_encoding_is_refused_by_name(make_ct, draw):
    folder = make_ct(grid=draw.grid((40, 36, 22)))
    path = sorted(folder.iterdir())[0]
    draw.encode(path, RLELossless)
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.202"
    dataset.save_as(path)
    with pytest.raises(UnsupportedTransferSyntax, match="High-Throughput"):
        read_series(folder)


def test_codestream_headers_are_read_without_decoding():
    j2k = (
        b"\xff\x4f\xff\x51\x00\x29\x00\x00"
        + struct.pack(">4I", 24, 20, 0, 0)
        + bytes(16)
        + b"\x00\x01\x8b\xff\xd9"
    )
    size = frame_size(j2k)
    assert (size.rows, size.columns, size.components, size.bits) == (20, 24, 1, 12)
    for bad in (b"", j2k[:-2], b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xe0\x00\xff\xd9"):
        with pytest.raises(BadCodestream):
            frame_size(bad)
    with pytest.raises(BadCodestream):
        check_rle(struct.pack("<16I", 2, 64, 10_000, *[0] * 13) + bytes(100), segments=2)
