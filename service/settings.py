"""What the service must know: addresses, nodes, database, limits. Built in `main` and handed down.

The second of the two places that read the environment (the first is `worker/settings.py`).
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, field_validator, model_validator
from pydantic_core import to_jsonable_python

from service.pacs_settings import PacsSettings
from service.peer_settings import SENDER, PeerSettings
from service.retention_settings import RetentionSettings
from service.rules import Rule, RuleBook, read_rules
from service.settings_access import OidcSettings, RateSettings, revealed
from service.tls_settings import DicomTlsSettings
from service.webhook_settings import WebhookSettings
from worker.dicom_tls import ClientTls
from worker.job_folder import Destination
from worker.object_files import ExtraKind, SentKind
from worker.roi_naming import read_template
from worker.roi_template import Template
from worker.settings import WorkerSettings

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
MEBIBYTE = 2**20


class NodeSettings(BaseModel):
    """A DICOM peer that results may be sent to. Its template is read once, when the settings are."""

    model_config = ConfigDict(frozen=True)

    ae_title: str = Field(min_length=1, max_length=16)
    host: str
    port: int = Field(gt=0, lt=65536)
    objects: tuple[SentKind, ...] = Field(("rtstruct",), min_length=1)
    """What is sent to it: rtstruct, seg, sr, pdf."""

    fallbacks: tuple[str, ...] = ()
    """AE titles of nodes that get a result, in this order, when this one does not take it."""

    tls: bool = False
    """Whether we connect to it over TLS."""

    tls_name: str | None = None
    """The name or address that its certificate is made out to; None means `host`."""
    commitment: bool = False
    """Whether it is asked to answer for what it has stored (storage commitment)."""

    pull: Literal["move", "get"] = "move"
    """How series are fetched from it: C-MOVE to our listener, or C-GET."""

    template: Path | None = None
    """A YAML file that says how its RTSTRUCT is written (`penumbra template`); None means the default."""

    _template: Template | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _read_the_template(self) -> Self:
        if self.template is not None:
            self._template = read_template(self.template.expanduser())
        return self

    @property
    def destination(self) -> Destination:
        """What a job is told of it."""
        return Destination(ae_title=self.ae_title, objects=self.objects, template=self._template)


class ServiceSettings(WorkerSettings):
    """Settings of the listener, the API, the reconciler and the embedded system."""

    database_url: str | None = None
    """An SQLAlchemy URL (PostgreSQL when scaled out); None means SQLite in the data folder."""

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8080, ge=0, lt=65536)
    api_token: SecretStr | None = None
    """A token of the role admin; further ones are made by `penumbra token`."""

    rates: RateSettings = RateSettings()
    """How often one may ask over HTTP."""

    oidc: OidcSettings | None = None
    """Login of the page with an identity provider."""

    api_url: str | None = Field(default=None, pattern=r"^https?://[^\s/]+(/[^\s]*)?$")
    """Where clients reach the API behind a proxy, for links that must be whole (DICOMweb)."""

    dicom_host: str = "127.0.0.1"
    dicom_port: int = Field(default=11112, ge=0, lt=65536)
    ae_title: str = Field(default="PENUMBRA", min_length=1, max_length=16)
    allowed_senders: tuple[str, ...] = ()
    """AE titles that may connect from anywhere, in short; `peers` says it more closely. A filter, no lock."""

    peers: tuple[PeerSettings, ...] = ()
    """Who may connect. Where neither peers nor allowed_senders are given, anybody, on a loopback address only."""

    dicom_tls: DicomTlsSettings | None = None
    """Listening over TLS on a port of its own, and our certificate for nodes; None means no TLS."""

    accept_compressed: bool = False
    """Whether the listener also takes images compressed without loss: JPEG, JPEG-LS, JPEG 2000, RLE."""

    nodes: tuple[NodeSettings, ...] = ()
    """Known peers. A result goes back to the node whose AE title is the sender's."""

    deliver_to: tuple[str, ...] = ()
    """AE titles of nodes that get every result, whoever sent the series."""

    pacs: PacsSettings = PacsSettings()
    """Fallbacks, pulling and storage commitment."""

    rules: Path | None = None
    """A YAML file of routing rules (`penumbra rules`); None means that every series is contoured."""

    _rule_book: RuleBook | None = PrivateAttr(None)

    also: tuple[ExtraKind, ...] = ()
    """What every job makes besides, to be fetched over REST: seg, sr, pdf, nifti."""

    webhooks: tuple[WebhookSettings, ...] = ()
    """Who is told by HTTP when a job enters a state."""

    delivery_pauses_s: tuple[float, ...] = (5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
    """Pauses between attempts to deliver; the last one repeats."""

    delivery_attempts: int = Field(default=24, ge=1)
    delivery_lease_s: float = Field(default=180.0, gt=0)

    quiet_period_s: float = Field(default=5.0, gt=0)
    """A series that got no new instance for so long, over all associations, is taken as sent."""

    sweep_s: float = Field(default=5.0, gt=0)
    """How often the reconciler looks for what has been lost."""

    resend_s: float = Field(default=60.0, gt=0)
    """A queued job that nobody claimed for so long is announced to the workers again."""

    relay_s: float = Field(default=0.2, gt=0)
    """How often the relay looks into the outbox."""

    min_free_bytes: int = Field(default=512 * MEBIBYTE, ge=0)
    """Below this much free space no instance is taken any more."""

    retention: RetentionSettings = RetentionSettings()
    """How long received series and results are kept."""

    max_instance_bytes: int = Field(default=64 * MEBIBYTE, gt=0)
    max_associations: int = Field(default=32, ge=1)
    max_associations_per_address: int = Field(default=8, ge=1)
    pdu_deadline_s: float = Field(default=10.0, gt=0)
    """A PDU must have arrived whole so long after its first byte."""

    @model_validator(mode="after")
    def _refuse_an_open_door(self) -> Self:
        tls_host = "localhost" if self.dicom_tls is None else self.dicom_tls.host
        is_local = LOOPBACK.issuperset({self.dicom_host, tls_host})
        if not is_local and not (self.peers or self.allowed_senders):
            raise ValueError(
                "the DICOM listener would take images from anyone: set PENUMBRA_PEERS or PENUMBRA_ALLOWED_SENDERS"
            )
        return self

    @model_validator(mode="after")
    def _can_keep_what_tls_promises(self) -> Self:
        tls = self.dicom_tls
        if tls is None and any(peer.needs_tls for peer in self.peers):
            raise ValueError("a peer must come over TLS, but dicom_tls is not set")
        if tls is not None and not tls.mutual and any(peer.certificate_sha256 for peer in self.peers):
            raise ValueError("a peer must show its certificate, but dicom_tls.mutual is false")
        if any(node.tls for node in self.nodes) and (tls is None or tls.authorities is None):
            raise ValueError(
                "a node with tls needs dicom_tls.authorities, by which its certificate is checked"
            )
        return self

    @field_validator("rules")
    @classmethod
    def _make_rules_absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @model_validator(mode="after")
    def _read_the_rules(self) -> Self:
        if self.rules is not None:
            self._rule_book = read_rules(self.rules)
            unknown = sorted(t for t in self._rule_book.destinations - {SENDER} if self.node(t) is None)
            if unknown:
                raise ValueError(
                    f"{self.rules.name} sends to {', '.join(unknown)}, which nodes does not define"
                )
        return self

    @model_validator(mode="after")
    def _know_every_destination(self) -> Self:
        named = {*self.deliver_to, *(title for peer in self.peers for title in peer.deliver_to or ())}
        unknown = sorted(title for title in named - {SENDER} if self.node(title) is None)
        if unknown:
            raise ValueError(f"deliver_to names {', '.join(unknown)}, which nodes does not define")
        stand_ins = {title for node in self.nodes for title in node.fallbacks}
        if strangers := sorted(title for title in stand_ins if self.node(title) is None):
            raise ValueError(f"fallbacks name {', '.join(strangers)}, which nodes does not define")
        return self

    @property
    def inbox_dir(self) -> Path:
        """Folder of received instances."""
        return self.data_dir / "inbox"

    @property
    def quarantine_dir(self) -> Path:
        """Folder of instances that contradict one already received."""
        return self.data_dir / "quarantine"

    @property
    def logs_dir(self) -> Path:
        """Folder of log files."""
        return self.data_dir / "logs"

    @property
    def resolved_database_url(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.data_dir / 'penumbra.sqlite'}"

    def node(self, ae_title: str) -> NodeSettings | None:
        """The node of that AE title (case counts, as in PS3.8)."""
        return next((node for node in self.nodes if node.ae_title == ae_title), None)

    def client_tls(self, node: NodeSettings) -> ClientTls | None:
        """How to connect to a node over TLS; None where it takes no TLS."""
        if not node.tls or self.dicom_tls is None:
            return None
        return self.dicom_tls.client(node.tls_name or node.host)

    def destinations(self, sender: str) -> tuple[str, ...]:
        """AE titles that get the result of a series from that sender, each once."""
        own = next((peer.deliver_to for peer in self.peers if peer.ae_title == sender), None)
        return self.resolve((SENDER, *self.deliver_to) if own is None else own, sender)

    def resolve(self, titles: Iterable[str], sender: str) -> tuple[str, ...]:
        """AE titles, each once, with `sender` replaced by the sender's own node, or dropped if it has none."""
        named = (sender if title == SENDER else title for title in titles)
        return tuple(dict.fromkeys(title for title in named if self.node(title) is not None))

    def with_fallbacks(self, *ae_titles: str) -> tuple[str, ...]:
        """These nodes and those that stand in for them, each once; a node before its fallbacks."""
        nodes = [node for title in ae_titles if (node := self.node(title)) is not None]
        fallbacks = [title for node in nodes for title in node.fallbacks]
        return tuple(dict.fromkeys((*ae_titles, *fallbacks)))

    @property
    def rule_book(self) -> RuleBook | None:
        """The routing rules, as they were when the settings were read."""
        return self._rule_book

    def ruled_destinations(self, sender: str, rule: Rule | None) -> tuple[str, ...] | None:
        """AE titles that the rule sends a result to; None where it leaves that to `destinations`."""
        named = None if rule is None else rule.then.destinations
        return None if named is None else self.resolve(named, sender)

    def special_destinations(self, sender: str, rule: Rule | None = None) -> tuple[Destination, ...]:
        """Those that get the result, or stand in for them, and get something else than the default RTSTRUCT."""
        ruled = self.ruled_destinations(sender, rule)
        titles = self.with_fallbacks(*(self.destinations(sender) if ruled is None else ruled))
        nodes = [node for title in titles if (node := self.node(title)) is not None]
        found = [node.destination if rule is None else rule.then.at(node.destination) for node in nodes]
        return tuple(each for each in found if each != Destination(ae_title=each.ae_title))

    def environment(self) -> dict[str, str]:
        """These settings as environment variables, for a child process to read back. Holds secrets."""
        values = to_jsonable_python(revealed(self.model_dump()))
        return {
            f"PENUMBRA_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in values.items()
            if value is not None
        }
