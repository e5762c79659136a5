"""Settings of who may ask over HTTP: limits, and the login of the page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from limits import parse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from service.roles import RIGHTS, Role

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
NAME_CHARACTERS = 120


def _a_limit(text: str) -> str:
    parse(text)  # raises ValueError
    return text


Limit = Annotated[str, AfterValidator(_a_limit)]


class RateSettings(BaseModel):
    """How often one may ask, as `COUNT/second`, `/minute`, `/hour`, or `COUNT per 5 minutes`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests: Limit = "3000/minute"
    """All requests of one token or login."""

    changes: Limit = "600/minute"
    """Its requests that are not reading."""

    refusals: Limit = "30/minute"
    """Requests without a valid token, per address; then they are answered 429."""


def _a_safe_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK_NAMES):
        raise ValueError("must be an https URL (http only on this machine)")
    return text


SafeUrl = Annotated[str, AfterValidator(_a_safe_url)]


class OidcSettings(BaseModel):
    """Login of the page with an identity provider (OpenID Connect)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: SafeUrl
    client_id: str
    client_secret: SecretStr = SecretStr("")
    client_secret_file: Path | None = None
    """A file that holds the client's secret; it wins over `client_secret`."""

    public_url: SafeUrl
    """What people type to reach the page; the provider sends them back there, to /auth/callback."""

    role_claim: str = "groups"
    """The claim of the ID token that decides the role: a text or a list of texts."""

    roles: dict[str, Role] = Field(min_length=1)
    """Which of its values gives which role. Who has several has the strongest; who has none stays outside."""

    name_claim: str = "preferred_username"
    """What the audit log calls them; the subject where the claim is absent."""

    scopes: tuple[str, ...] = ("openid", "profile")
    hours: float = Field(8.0, gt=0, le=168)
    """How long a login lasts."""

    @model_validator(mode="after")
    def _read_the_secret(self) -> Self:
        if self.client_secret_file is not None:
            object.__setattr__(self, "client_secret", _secret_in(self.client_secret_file))
        if not self.client_secret.get_secret_value():
            raise ValueError("client_secret or client_secret_file is needed")
        return self

    @property
    def is_https(self) -> bool:
        """Whether people reach the page over TLS."""
        return self.public_url.startswith("https:")

    def role_of(self, claims: Mapping[str, object]) -> Role | None:
        """The strongest role that the claims give; None where they give none."""
        given = claims.get(self.role_claim)
        values = given if isinstance(given, list) else [given]
        found = [self.roles[value] for value in values if isinstance(value, str) and value in self.roles]
        return max(found, key=lambda role: RIGHTS[role].value, default=None)

    def name_of(self, claims: Mapping[str, object]) -> str:
        """What the audit log calls them."""
        return str(claims.get(self.name_claim) or claims.get("sub"))[:NAME_CHARACTERS]


def _secret_in(path: Path) -> SecretStr:
    try:
        return SecretStr(path.expanduser().read_text().rstrip("\r\n"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {type(error).__name__}") from None


def revealed(value: object) -> object:
    """Settings with every secret as plain text, for a child process; a dump alone would hand it asterisks."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {name: revealed(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [revealed(each) for each in value]
    return value
