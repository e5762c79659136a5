"""Who one is to Penumbra, and logging out."""

from typing import Annotated

from fastapi import APIRouter, Cookie, Response
from pydantic import BaseModel

from service.actor import current_actor
from service.api.parts import PartsDep
from service.gate import COOKIE
from service.logins import Logins, form_token
from service.schemas import API_PATH

router = APIRouter(prefix=f"{API_PATH}/session", tags=["session"])

LoginCookie = Annotated[str | None, Cookie(alias=COOKIE, include_in_schema=False)]


class SessionView(BaseModel):
    """Whoever asks. `form_token` is to be sent as `X-Penumbra-Form` with whatever changes something."""

    kind: str
    name: str
    role: str | None
    form_token: str | None


@router.get("")
def get_session(cookie: LoginCookie = None) -> SessionView:
    """Who one is, and as what."""
    actor = current_actor()
    token = form_token(cookie) if cookie is not None and actor.kind == "session" else None
    return SessionView(kind=actor.kind, name=actor.name, role=actor.role, form_token=token)


@router.post("/logout", status_code=204)
def logout(parts: PartsDep, response: Response, cookie: LoginCookie = None) -> None:
    """End the login; a token stays valid."""
    if cookie is not None:
        Logins(parts.database).end(cookie)
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
