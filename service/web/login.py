"""Login with an identity provider: OpenID Connect's code flow with PKCE, state and nonce, by Authlib."""

import hashlib
import hmac
from typing import Any

import httpx
import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from fastapi import APIRouter, Request
from joserfc import jws
from joserfc.errors import JoseError
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import RedirectResponse, Response

from service.actor import Actor
from service.api.parts import Parts, PartsDep
from service.gate import COOKIE, Asked
from service.logins import Logins
from service.problems import Problem
from service.settings_access import OidcSettings

UNDER_WAY_COOKIE = "__Host-penumbra-login"
UNDER_WAY_S = 600
# Signed by the provider's private key: neither unsigned nor signed with the secret that we share.
ALGORITHMS = frozenset("RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA".split())

router = APIRouter(prefix="/auth", include_in_schema=False)
log = structlog.get_logger(__name__)


def middleware(settings: OidcSettings) -> Middleware:
    """Keeps state, nonce and verifier in a signed cookie while a login is under way.

    Its key is made from the client's secret, so that several API hosts have the same.
    """
    secret = settings.client_secret.get_secret_value().encode()
    return Middleware(
        SessionMiddleware,
        secret_key=hmac.new(secret, b"penumbra login", hashlib.sha256).hexdigest(),
        session_cookie=UNDER_WAY_COOKIE,
        max_age=UNDER_WAY_S,
        same_site="lax",
        https_only=True,
    )


@router.get("/login")
async def login(request: Request, parts: PartsDep) -> Response:
    """Send the browser to the identity provider."""
    settings = _settings(parts)
    try:
        answer: Response = await _client(settings).authorize_redirect(request, _callback(settings))
    except (httpx.HTTPError, ValueError) as error:
        raise _provider_gone() from error
    return answer


@router.get("/callback")
async def callback(request: Request, parts: PartsDep) -> Response:
    """The browser comes back with a code: change it for who they are, and begin a login."""
    settings = _settings(parts)
    claims = await _claims(request, settings)
    role = None if claims is None else settings.role_of(claims)
    if claims is None or role is None:
        await run_in_threadpool(_note_refusal, request, parts, settings, claims)
        return RedirectResponse("/?login=refused", status_code=303)
    address = None if request.client is None else request.client.host
    cookie = await run_in_threadpool(
        lambda: Logins(parts.database).begin(
            settings.name_of(claims), role, hours=settings.hours, address=address
        )
    )
    answer = RedirectResponse("/", status_code=303)
    seconds = round(settings.hours * 3600)
    answer.set_cookie(COOKIE, cookie, max_age=seconds, path="/", secure=True, httponly=True, samesite="lax")
    request.session.clear()
    return answer


async def _claims(request: Request, settings: OidcSettings) -> dict[str, Any] | None:
    """What the provider says of them; None where the answer is not one that can be trusted."""
    try:
        token = await _client(settings).authorize_access_token(request, claims_options=_expected(settings))
        algorithm = jws.extract_compact(token["id_token"].encode()).headers()["alg"]
    except (AuthlibBaseError, JoseError, KeyError, ValueError) as error:
        log.warning("login refused", cause=type(error).__name__)
        return None
    except httpx.HTTPError as error:
        raise _provider_gone() from error
    return dict(token["userinfo"]) if algorithm in ALGORITHMS else None


def _note_refusal(
    request: Request, parts: Parts, settings: OidcSettings, claims: dict[str, Any] | None
) -> None:
    address = "" if request.client is None else request.client.host
    name = "stranger" if claims is None else settings.name_of(claims)
    actor = Actor(kind="session", name=name, address=address)
    asked = Asked(method="GET", path=request.url.path, address=address)
    parts.gate.refused(asked, Problem(403, "login-refused", detail=""), actor)


def _client(settings: OidcSettings) -> Any:  # noqa: ANN401 - Authlib has no types
    oauth = OAuth()
    oauth.register(
        "provider",
        client_id=settings.client_id,
        client_secret=settings.client_secret.get_secret_value(),
        server_metadata_url=f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={"scope": " ".join(settings.scopes), "code_challenge_method": "S256", "timeout": 10},
    )
    return oauth.provider


def _expected(settings: OidcSettings) -> dict[str, Any]:
    """Claims that must be there and right; expiry and nonce Authlib checks by itself."""
    issuer = settings.issuer.rstrip("/")
    return {
        "iss": {"essential": True, "values": [issuer, f"{issuer}/"]},
        "aud": {"essential": True, "value": settings.client_id},
        "exp": {"essential": True},
        "sub": {"essential": True},
    }


def _settings(parts: Parts) -> OidcSettings:
    if parts.settings.oidc is None:
        raise Problem(404, "no-login", detail="No identity provider is set.", remedy="Use an API token.")
    return parts.settings.oidc


def _callback(settings: OidcSettings) -> str:
    return f"{settings.public_url.rstrip('/')}/auth/callback"


def _provider_gone() -> Problem:
    return Problem(
        502,
        "provider-unavailable",
        detail="The identity provider does not answer.",
        remedy="Try again in a minute; an API token works meanwhile.",
    )
