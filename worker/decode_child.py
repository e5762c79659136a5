"""The child process that decompresses: `python -m worker.decode_child`, started by `worker/decode.py` only.

Codecs are C and C++ code that reads bytes of strangers. Here they may crash, hang, or ask for any memory: the
limits end the process, and the parent tells which instance it was. The process knows no secrets and writes into
one file without a name.

Standard input is a `Work` as JSON. Standard output is one line `{}` when everything is loaded, then one line per
instance: `{"bytes": n}`, with the n bytes appended to the spool, or `{"error": "what is wrong with it"}`; the parent
ends it where one that is wrong is enough.
"""

import json
import os
import resource
import signal
import sys
import zlib
from io import BytesIO
from pathlib import Path
from typing import Final, TypedDict

MEMORY_BYTES: Final = 2**30
CPU_S: Final = 4.0
MAX_INFLATED_BYTES: Final = 64 * 2**20
_CHUNK_BYTES: Final = 2**20


class Item(TypedDict):
    """One instance: its file, and for pixels the size that its header tells."""

    path: str
    syntax: str
    rows: int
    columns: int


class Work(TypedDict):
    """What is to be done. `spool` is a file descriptor; no more than `max_bytes` are written into it."""

    inflate: bool
    items: list[Item]
    spool: int
    max_bytes: int


class Refused(Exception):
    """An instance cannot be decompressed; the text says why, and nothing of what the instance holds."""


def main() -> None:
    """Do the work on standard input."""
    work: Work = json.loads(sys.stdin.read())
    limit_resources(work["max_bytes"])
    spool = os.fdopen(work["spool"], "wb")
    if not work["inflate"]:
        load_codecs()
    _say({})
    for item in work["items"]:
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        try:
            data = inflate(Path(item["path"])) if work["inflate"] else pixels(item)
        except Refused as reason:
            _say({"error": str(reason)})
            continue
        except Exception:  # noqa: BLE001 - codecs raise anything; the process is the boundary
            _say({"error": "its compressed image is damaged"})
            continue
        try:
            spool.write(data)
            spool.flush()
        except OSError:
            return  # a part may be written, and what came after it would not lie where the parent looks
        _say({"bytes": len(data)})


def limit_resources(max_bytes: int) -> None:
    """Memory, size of the output, no core file, and an alarm that ends the process instead of being handled."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (signal.SIGPROF, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)


def load_codecs() -> None:
    """Import what decodes, so that the first instance's time is its own. To inflate, nothing is needed."""
    import pydicom.pixels  # noqa: F401


def inflate(path: Path) -> bytes:
    """The data set of a deflated instance, Explicit VR Little Endian (PS3.5 A.5)."""
    data = path.read_bytes()
    start = 144 + int.from_bytes(data[140:144], "little")  # PS3.10 7.1: preamble, DICM, group length
    unpacker = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    out = bytearray()
    rest = data[start:]
    while not unpacker.eof:
        piece = unpacker.decompress(rest, _CHUNK_BYTES)
        rest = unpacker.unconsumed_tail
        if not piece and not rest:
            raise Refused("it is cut off")
        out += piece
        if len(out) > MAX_INFLATED_BYTES:
            raise Refused(f"it inflates to more than {MAX_INFLATED_BYTES // 2**20} MiB")
    return bytes(out)


def pixels(item: Item) -> bytes:
    """Stored values of a compressed instance, rows x columns, 16 bits each, little endian."""
    from pydicom import dcmread
    from pydicom.encaps import get_frame
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import RLELossless

    from worker.codestream import BadCodestream, check_rle, frame_size
    from worker.transfer_syntaxes import PLUGINS

    dataset = dcmread(BytesIO(Path(item["path"]).read_bytes()), force=True)
    try:
        frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
        if item["syntax"] == RLELossless:
            check_rle(frame, segments=2)
        else:
            told = frame_size(frame)
            if (told.rows, told.columns, told.components) != (item["rows"], item["columns"], 1):
                raise Refused(
                    f"its compressed image has {told.rows} x {told.columns} pixels of {told.components} components, "
                    f"its header says {item['rows']} x {item['columns']}"
                )
    except BadCodestream as reason:
        raise Refused(str(reason)) from None
    decoder = get_decoder(item["syntax"])
    array, _ = decoder.as_array(dataset, index=0, raw=True, decoding_plugin=PLUGINS[item["syntax"]])
    if array.shape != (item["rows"], item["columns"]):
        raise Refused("its compressed image is not of the size that its header says")
    return array.astype("<i2" if array.dtype.kind == "i" else "<u2").tobytes()


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
