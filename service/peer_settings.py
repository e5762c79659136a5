"""Who may connect to the DICOM listener: one entry of the peer table, as the settings hold it."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, IPvAnyNetwork, StringConstraints

from service.tls_settings import Fingerprint

Right = Literal["store", "commit"]
DEFAULT_RIGHTS: Final[tuple[Right, ...]] = ("store", "commit")
SENDER: Final = "sender"
"""Among AE titles: the node whose AE title is the sender's."""

_AE_TITLE = re.compile(r"[ -\[\]-~]*[!-\[\]-~][ -\[\]-~]*")


def _check(title: str) -> str:
    if _AE_TITLE.fullmatch(title) is None:
        raise ValueError("an AE title is 1 to 16 ASCII characters without backslash (PS3.5 6.2)")
    return title


AETitle = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=16), AfterValidator(_check)
]


class PeerSettings(BaseModel):
    """A peer: who may connect, from where, calling us by which AE title, and what it may do then.

    Several entries may have the same AE title; the first that fits address and called AE title counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ae_title: AETitle
    """Its calling AE title; capitals count."""

    addresses: tuple[IPvAnyNetwork, ...] = Field(min_length=1)
    """Where it may connect from: addresses or networks, 192.0.2.10 or 192.0.2.0/24."""

    called: tuple[AETitle, ...] = ()
    """AE titles that it may call us by; none means our own. A title of its own lets rules tell it apart."""

    rights: tuple[Right, ...] = DEFAULT_RIGHTS
    """store: send instances. commit: report storage commitment. C-ECHO is everybody's who may connect."""

    tls: bool = False
    """Whether it may connect over TLS only."""

    certificate_sha256: Fingerprint | None = None
    """Fingerprint of the one certificate that it may show; it must come over TLS then."""

    deliver_to: tuple[str, ...] | None = None
    """AE titles of nodes that get the results of what it sends, `sender` among them; None means as for everybody."""

    @property
    def needs_tls(self) -> bool:
        """Whether it is refused without TLS."""
        return self.tls or self.certificate_sha256 is not None
