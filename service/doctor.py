"""Is everything in place? What `penumbra doctor` says."""

from __future__ import annotations

from collections.abc import Iterator

from service.checks.checked import Checked, bad, good
from service.checks.connections import check_connections
from service.checks.software import check_software
from service.checks.storage import check_storage
from service.settings import LOOPBACK, ServiceSettings


def examine(settings: ServiceSettings | None = None) -> Iterator[Checked]:
    """Look at everything, one thing after the other; nothing is changed."""
    settings = settings or ServiceSettings()
    yield from check_software(settings)
    yield from check_storage(settings)
    yield from check_connections(settings)
    yield from _doors(settings)
    yield _keeping(settings)


def _doors(settings: ServiceSettings) -> Iterator[Checked]:
    yield _rest_door(settings)
    who = [*settings.allowed_senders, *(peer.ae_title for peer in settings.peers)]
    yield good("DICOM is open to", ", ".join(map(str, who)) or f"anybody on {settings.dicom_host}")


def _rest_door(settings: ServiceSettings) -> Checked:
    """Whether it may listen as it is set up; tokens may be in the database only (`penumbra token`)."""
    what, host = "REST is open to", settings.api_host
    if settings.api_token is not None:
        return good(what, f"{host}, with a token")
    if settings.oidc is not None:
        return good(what, f"{host}, with a login")
    if host in LOOPBACK:
        return good(what, f"{host}, this machine only; a token is asked for once one was made")
    return good(what, f"{host}, if a token was made: without any it does not start (`penumbra token create`)")


def _keeping(settings: ServiceSettings) -> Checked:
    rules = settings.retention
    said = [
        f"{name.replace('_', ' ')} {value:g}"
        for name, value in (("series_days", rules.series_days), ("results_days", rules.results_days))
        if value is not None
    ]
    tight = rules.make_room_below_bytes
    if tight is not None and tight <= settings.min_free_bytes:
        return bad(
            "retention",
            "room is made only when nothing is taken any more",
            "Set make_room_below_bytes well above PENUMBRA_MIN_FREE_BYTES.",
        )
    return good("retention", ", ".join(said) or "everything is kept for ever")
