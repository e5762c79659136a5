"""`penumbra webhooks`: who is told of changes, and whether they listen."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from service import terminal

EXIT_FAILED, EXIT_USAGE = 1, 2
SECRET_BYTES = 32

webhooks = typer.Typer(
    help="Announcements of jobs' changes by HTTP: list, test, make a secret.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@webhooks.command("list")
def list_webhooks() -> None:
    """Each receiver: what waits for it, and what it said last."""
    from sqlalchemy import func, select

    from service.courier import waiting
    from service.database import open_database
    from service.records import WebhookRecord
    from service.settings import ServiceSettings

    settings, rows = ServiceSettings(), []
    with open_database(settings).read() as session:
        for webhook in settings.webhooks:
            row = session.get(WebhookRecord, webhook.name)
            if row is None:
                rows.append([webhook.name, webhook.url, "-", "-", "-", "not served yet"])
                continue
            count = session.scalar(select(func.count()).select_from(waiting(webhook, row).subquery()))
            numbers = [str(number) for number in (count, row.attempts, row.skipped)]
            rows.append([webhook.name, webhook.url, *numbers, row.last_error or ""])
    terminal.table(["webhook", "url", "waiting", "attempts", "skipped", "last error"], rows)


@webhooks.command()
def test(name: str) -> None:
    """Send one receiver a message that means nothing. Example: penumbra webhooks test portal."""
    from service.courier import post
    from service.settings import ServiceSettings
    from service.webhook_message import ping

    webhook = next((each for each in ServiceSettings().webhooks if each.name == name), None)
    if webhook is None:
        terminal.errors.print("No webhook of that name is in the settings.", markup=False)
        raise typer.Exit(EXIT_USAGE)
    error = post(webhook, ping(name))
    if error is not None:
        terminal.errors.print(f"Not taken. {error}", markup=False)
        raise typer.Exit(EXIT_FAILED)
    terminal.output.print("Taken.", markup=False)


@webhooks.command()
def secret(file: Annotated[Path, typer.Argument(help="A new file for it.")]) -> None:
    """Make a secret to sign with; the receiver needs the same. Example: penumbra webhooks secret portal.key."""
    from service.webhook_settings import SECRET_PREFIX

    text = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(f"{text}\n")
    terminal.output.print(f"Written to {file}; only you can read it.", markup=False)
