"""Python, libraries, decoders, bundles, GPU."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterator

from packaging.requirements import Requirement
from pydicom.pixels.decoders.base import get_decoder

from service.checks.checked import Checked, bad, good
from service.gpus import read_gpus
from service.settings import ServiceSettings
from service.sqlite_driver import journal_mode, newest_sqlite
from worker.bundle_info import choose_device, find_bundles, open_bundle
from worker.errors import PenumbraError
from worker.report.pdf import NoPdf, can_make_pdf
from worker.transfer_syntaxes import LOSSLESS, PLUGINS

OUR_PACKAGES = ("service", "worker", "models")
DISTRIBUTION = "penumbra-rt"
MIB, GIB = 2**20, 2**30


def check_software(settings: ServiceSettings) -> Iterator[Checked]:
    """Everything that was installed."""
    yield good("Penumbra", f"{importlib.metadata.version(DISTRIBUTION)}, Python {sys.version.split()[0]}")
    yield _packages()
    yield _libraries()
    sqlite = newest_sqlite()
    yield good("SQLite", f"{sqlite.sqlite_version}, journal {journal_mode(sqlite)}")
    yield _decoders(settings)
    yield _pdf()
    yield from _bundles(settings)
    yield from _gpus(settings)


def _packages() -> Checked:
    """Our plain package names must be ours alone."""
    owners = importlib.metadata.packages_distributions()
    strangers = {o for name in OUR_PACKAGES for o in owners.get(name, []) if o != DISTRIBUTION}
    if not strangers:
        return good("packages", "service, worker and models are ours")
    return bad(
        "packages",
        f"{', '.join(sorted(strangers))} brings a package of our name",
        "Install Penumbra into an environment of its own.",
    )


def _libraries() -> Checked:
    """What the distribution asks for, without its extras."""
    wanted = [Requirement(text) for text in importlib.metadata.requires(DISTRIBUTION) or ()]
    wanted = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    wrong = [text for each in wanted if (text := _wrong_version(each))]
    if not wrong:
        return good("libraries", f"all {len(wanted)} in versions that fit")
    remedy = "Install again: pip install --constraint constraints.txt, see CONTRIBUTING.md."
    return bad("libraries", "; ".join(wrong), remedy)


def _wrong_version(wanted: Requirement) -> str | None:
    try:
        found = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{wanted.name} is missing"
    if wanted.specifier.contains(found, prereleases=True):
        return None
    return f"{wanted.name} is {found}, wanted {wanted.specifier}"


def _decoders(settings: ServiceSettings) -> Checked:
    """Compressed images need a decoder each; plain ones need none."""
    missing = [
        syntax.name
        for syntax in LOSSLESS
        if PLUGINS[str(syntax)] not in get_decoder(syntax).available_plugins
    ]
    taken = "taken" if settings.accept_compressed else "not taken by the listener, but over REST"
    if not missing:
        return good("decoders", f"all {len(LOSSLESS)} lossless encodings can be read ({taken})")
    return bad(
        "decoders", f"cannot read {', '.join(missing)}", "Install Penumbra again with all its libraries."
    )


def _pdf() -> Checked:
    """The report as PDF needs a library of the system's."""
    if can_make_pdf():
        return good("PDF", "reports can be made as PDF")
    return bad("PDF", NoPdf.default_message, NoPdf.default_remedy)


def _bundles(settings: ServiceSettings) -> Iterator[Checked]:
    """Opening one compares the hash of every weight file with its manifest."""
    found = find_bundles(settings.bundles_dir)
    for name in found:
        try:
            manifest = open_bundle(name, bundles_dir=settings.bundles_dir, device="cpu").manifest
            yield good(f"bundle {name}", f"{manifest.version}, {manifest.intended_use}, hashes are right")
        except PenumbraError as error:
            yield bad(f"bundle {name}", error.message, error.remedy)
    if settings.bundle is not None and settings.bundle not in found:
        remedy = "Set PENUMBRA_BUNDLE to one that `penumbra bundles` lists."
        yield bad("bundle", f"{settings.bundle} is set, but not installed", remedy)


def _gpus(settings: ServiceSettings) -> Iterator[Checked]:
    gpus, usable = read_gpus(), choose_device("auto").type == "cuda"
    for gpu in gpus:
        used, total = gpu["memory_used_bytes"] / GIB, gpu["memory_total_bytes"] / GIB
        memory = f"{used:.1f} of {total:.0f} GiB in use"
        yield good(f"GPU {gpu['index']}", f"{gpu['model']}, {memory}, driver {gpu['driver']}")
    if settings.device == "cuda" and not usable:
        yield bad(
            "device",
            "PENUMBRA_DEVICE is cuda, but PyTorch sees no GPU",
            "Set it to auto or cpu, or mend driver and PyTorch build.",
        )
    elif gpus and not usable and settings.device == "auto":
        yield bad(
            "device",
            f"there is a GPU, but PyTorch {importlib.metadata.version('torch')} cannot use it, so a CPU contours",
            "Install PyTorch's CUDA build, or set PENUMBRA_DEVICE=cpu if that is wanted.",
        )
    else:
        where = "the GPU" if usable and settings.device != "cpu" else f"the CPU, {os.cpu_count()} cores"
        yield good("device", f"{where} contours")
