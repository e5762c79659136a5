"""Tokens over REST, for the role admin: make, list, revoke."""

from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field

from service.api.parts import PartsDep
from service.roles import Role
from service.schemas import API_PATH
from service.tokens import Token, Tokens

router = APIRouter(prefix=f"{API_PATH}/tokens", tags=["tokens"])


class TokenWanted(BaseModel):
    """What a new token is to be."""

    model_config = ConfigDict(extra="forbid")

    role: Role
    label: str = Field("", max_length=128)
    """Whose it is or what for. No patient."""
    days: float | None = Field(None, gt=0, le=36500)
    """How long it is valid; null means until it is revoked."""


class TokenView(BaseModel):
    """A token as it is listed. Times are seconds since 1970 (UTC)."""

    id: str
    label: str
    role: Role
    state: str
    created_at: float
    created_by: str
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None

    @classmethod
    def of(cls, token: Token) -> "TokenView":
        """The view of a token."""
        return cls.model_validate(token, from_attributes=True)


class TokenMade(TokenView):
    """A token that was just made. `token` is what to send; it is not shown again."""

    token: str


class TokenList(BaseModel):
    """All tokens, newest first."""

    tokens: list[TokenView]


@router.post("", status_code=201)
def create_token(wanted: Annotated[TokenWanted, Body()], parts: PartsDep) -> TokenMade:
    """Make a token. The answer holds its text, this once."""
    token, text = Tokens(parts.database).create(wanted.role, label=wanted.label, days=wanted.days)
    return TokenMade(**TokenView.of(token).model_dump(), token=text)


@router.get("")
def list_tokens(parts: PartsDep) -> TokenList:
    """All tokens, expired and revoked ones too."""
    return TokenList(tokens=[TokenView.of(token) for token in Tokens(parts.database).list()])


@router.post("/{token_id}/revoke")
def revoke_token(token_id: str, parts: PartsDep) -> TokenView:
    """Make a token void from the next request on."""
    return TokenView.of(Tokens(parts.database).revoke(token_id))
