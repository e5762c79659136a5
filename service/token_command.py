"""`penumbra token`: make, list and revoke API tokens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from service import terminal
from service.actor import acting, command_line
from service.roles import Role

if TYPE_CHECKING:
    from service.tokens import Tokens

app = typer.Typer(help="API tokens: who may ask over REST, DICOMweb and the page.", no_args_is_help=True)


@app.command()
def create(
    role: Annotated[Role, typer.Option(help="submit: own jobs; view: read all; operate: both; admin: all.")],
    label: Annotated[str, typer.Option(help="Whose it is, or what for. No patient.")] = "",
    days: Annotated[
        float | None, typer.Option(min=0.001, help="Valid so long; without: until revoked.")
    ] = None,
) -> None:
    """Make a token and show it, this once. Example: penumbra token create --role submit --label planning --days 365."""
    with acting(command_line()):
        token, text = _tokens().create(role, label=label, days=days)
    terminal.errors.print(
        f"Token {token.id}, role {token.role}, valid until {_day(token.expires_at, 'it is revoked')}. "
        "It is not shown again; give it to one user or program only.",
        markup=False,
    )
    terminal.output.print(text, markup=False)


@app.command("list")
def list_tokens() -> None:
    """Show all tokens, without their secrets. Example: penumbra token list."""
    for token in _tokens().list():
        line = (
            f"{token.id}  {token.role:<8} {token.state:<8} until {_day(token.expires_at, 'revoked'):<17} "
            f"last used {_day(token.last_used_at, 'never'):<17} {token.label}"
        )
        terminal.output.print(line.rstrip(), markup=False)


@app.command()
def revoke(token_id: Annotated[str, typer.Argument(help="See `penumbra token list`.")]) -> None:
    """Make a token void from the next request on. Example: penumbra token revoke 1f2e3d4c5b6a."""
    with acting(command_line()):
        token = _tokens().revoke(token_id)
    terminal.output.print(f"Token {token.id} is {token.state}.", markup=False)


def _tokens() -> Tokens:
    from service.database import open_database
    from service.settings import ServiceSettings
    from service.tokens import Tokens

    return Tokens(open_database(ServiceSettings()))


def _day(at: float | None, otherwise: str = "") -> str:
    return otherwise if at is None else time.strftime("%Y-%m-%d %H:%M", time.gmtime(at))
