"""Settings of DICOM over TLS."""

import re
import ssl
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from worker.dicom_tls import ClientTls, server_context

_SHA256 = re.compile(r"[0-9a-f]{64}")


def _plain(text: str) -> str:
    digits = text.replace(":", "").lower()
    if _SHA256.fullmatch(digits) is None:
        raise ValueError("a SHA-256 fingerprint is 64 hexadecimal digits, with or without colons")
    return digits


Fingerprint = Annotated[str, AfterValidator(_plain)]
Absolute = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]


class DicomTlsSettings(BaseModel):
    """One table `[dicom_tls]` of the settings' file, or JSON in `PENUMBRA_DICOM_TLS`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=2762, gt=0, lt=65536)
    """A port of its own beside the unencrypted one (PS3.8 9.1.1: 2762)."""

    certificate: Absolute
    """PEM file: our certificate and, after it, what leads to its authority."""

    key: Absolute
    """PEM file: our private key, without a password."""

    authorities: Absolute | None = None
    """PEM file: authorities whose certificates we accept, of peers and of nodes."""

    mutual: bool = True
    """Whether every peer must show a certificate."""

    handshake_s: float = Field(default=5.0, gt=0)
    """A TLS handshake must be over so long after the connection."""

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        if self.mutual and self.authorities is None:
            raise ValueError("mutual TLS needs authorities; or set mutual to false")
        try:
            self.context()
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None)  # OpenSSL's
            cause = error.strerror if reason is None else reason.replace("_", " ").lower()
            raise ValueError(f"certificate, key or authorities cannot be used: {cause}") from None
        return self

    def context(self) -> ssl.SSLContext:
        """A context for listening."""
        return server_context(self.certificate, self.key, self.authorities if self.mutual else None)

    def client(self, name: str) -> ClientTls:
        """How to connect to a node whose certificate is made out to that name.

        Raises:
            ValueError: no authorities are set, so that no certificate could be checked.
        """
        if self.authorities is None:
            raise ValueError("a node with tls needs dicom_tls.authorities")
        return ClientTls(authorities=self.authorities, name=name, certificate=self.certificate, key=self.key)
