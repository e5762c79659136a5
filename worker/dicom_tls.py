"""DICOM over TLS, for both sides, after PS3.15 B.12 (BCP 195): TLS 1.2 at least, ECDHE with AES-GCM or ChaCha20."""

import hashlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CIPHERS_OF_TLS_1_2: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
CONNECT_S: Final = 10.0
ALERT_S: Final = 1.0  # in TLS 1.3 a server refuses our certificate only after the handshake


@dataclass(frozen=True, kw_only=True)
class ClientTls:
    """How to connect to one node over TLS.

    Attributes:
        authorities: PEM file of the authorities that its certificate may come from.
        name: the name or address that its certificate must be made out to.
        certificate: PEM file of our certificate, with what leads to its authority; shown where it is asked for.
        key: PEM file of our private key.
    """

    authorities: Path
    name: str
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """A context that checks the node's certificate, its name included."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _restrict(context)
        context.load_verify_locations(self.authorities)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def arguments(self) -> tuple[ssl.SSLContext, str]:
        """What `pynetdicom.AE.associate` takes as `tls_args`."""
        return self.context(), self.name

    def fault(self, host: str, port: int) -> str | None:
        """Why no TLS connection comes to be, in OpenSSL's words; None where one does, or no connection at all."""
        try:
            with socket.create_connection((host, port), CONNECT_S) as plain:
                self._shake_hands(plain)
        except ssl.SSLCertVerificationError as error:
            return f"its certificate is not accepted: {error.verify_message}"
        except ssl.SSLError as error:
            return f"no TLS connection: {(error.reason or 'unknown').replace('_', ' ').lower()}"
        except OSError:
            pass
        return None

    def _shake_hands(self, plain: socket.socket) -> None:
        with self.context().wrap_socket(plain, server_hostname=self.name) as connection:
            connection.settimeout(ALERT_S)
            try:
                connection.recv(1)
            except TimeoutError:  # it waits for us to speak: we were let in
                return


def server_context(certificate: Path, key: Path, authorities: Path | None) -> ssl.SSLContext:
    """A context for listening; with authorities every client must show a certificate of theirs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _restrict(context)
    context.load_cert_chain(certificate, key)
    if authorities is not None:
        context.load_verify_locations(authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def fingerprint_of(connection: object) -> str | None:
    """SHA-256 (hexadecimal) of the certificate that the other side has shown; None without TLS or certificate."""
    if not isinstance(connection, ssl.SSLSocket):
        return None
    shown = connection.getpeercert(binary_form=True)
    return None if shown is None else hashlib.sha256(shown).hexdigest()


def _restrict(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS_OF_TLS_1_2)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
