"""Does it still answer? What the supervisor asks its children, as a stranger would ask them."""

import socket
import sys
from http.client import HTTPConnection, HTTPException

from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from service.settings import LOOPBACK, ServiceSettings

TIMEOUT_S = 5.0
WATCHDOG_ADDRESS = "127.0.0.2"  # so that a crowd on 127.0.0.1 cannot use up the watchdog's connections
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared, not bound


def listener_answers(settings: ServiceSettings) -> bool:
    """C-ECHO. A rejection is an answer too: the listener is just busy."""
    host = ANY_ADDRESS.get(settings.dicom_host, settings.dicom_host)
    entity = AE(ae_title=settings.ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = TIMEOUT_S
    entity.connection_timeout = TIMEOUT_S
    entity.add_requested_context(Verification)
    own_address = (WATCHDOG_ADDRESS, 0) if sys.platform == "linux" and host == "127.0.0.1" else ("", 0)
    association = entity.associate(
        host, settings.dicom_port, ae_title=settings.ae_title, bind_address=own_address
    )
    if not association.is_established:
        return bool(association.is_rejected)
    answered = bool(association.send_c_echo())
    association.release()
    return answered


def api_answers(settings: ServiceSettings) -> bool:
    """GET /healthz."""
    host = ANY_ADDRESS.get(settings.api_host, settings.api_host)
    connection = HTTPConnection(host, settings.api_port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status < 500
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def free_port(host: str) -> int:
    """A TCP port that nobody uses at the moment."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host if host not in LOOPBACK or host != "localhost" else "127.0.0.1", 0))
        return int(probe.getsockname()[1])
