"""Tokens: shown once, kept as a hash, void when expired or revoked; made by the command, used over REST."""

import json
import re

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from service import cli
from service.audit_chain import events
from service.roles import Role
from service.tokens import TokenNotFound, Tokens


@pytest.fixture
def tokens(database):
    return Tokens(database)


def test_a_token_opens_for_its_holder_in_its_role(tokens):
    token, text = tokens.create(Role.VIEW, label="reading room")
    holder = tokens.holder(text)
    assert (holder.user_id, holder.role) == (f"token:{token.id}", "view")
    assert re.fullmatch(r"pnb_[0-9a-f]{12}_[\w-]{43}", text)


def test_the_text_is_nowhere_in_the_database(tokens, database, settings):
    _, given = tokens.create(Role.ADMIN)
    secret = given.rpartition("_")[2].encode()
    for path in settings.data_dir.glob("penumbra.sqlite*"):
        assert secret not in path.read_bytes()
    with database.read() as session:
        row = session.execute(text("SELECT * FROM token")).mappings().one()
    stored = row["sha256"]
    assert secret.decode() not in str(dict(row))
    assert re.fullmatch(r"[0-9a-f]{64}", stored)


def changed(text):
    return text[:-1] + ("A" if text[-1] != "A" else "B")


@pytest.mark.parametrize(
    "spoil", [changed, str.upper, lambda t: t[:-1], lambda t: t + "x", lambda t: " " + t, lambda t: t + "\n"]
)
def test_nearly_the_token_opens_nothing(tokens, spoil):
    _, text = tokens.create(Role.ADMIN)
    assert tokens.holder(spoil(text)) is None


def test_the_secret_of_one_token_does_not_fit_the_id_of_another(tokens):
    (_, weak), (strong, _) = tokens.create(Role.VIEW), tokens.create(Role.ADMIN)
    assert tokens.holder(f"pnb_{strong.id}_{weak[17:]}") is None


def test_an_expired_token_opens_nothing(tokens):
    token, text = tokens.create(Role.ADMIN, days=1e-9)
    assert tokens.holder(text) is None
    assert {each.id: each.state for each in tokens.list()} == {token.id: "expired"}


def test_a_revoked_token_opens_nothing_and_stays_revoked(tokens):
    token, text = tokens.create(Role.ADMIN)
    first = tokens.revoke(token.id)
    assert tokens.holder(text) is None
    assert tokens.revoke(token.id).revoked_at == first.revoked_at
    assert tokens.any_made() and not tokens.any_valid()
    with pytest.raises(TokenNotFound):
        tokens.revoke("0" * 12)


def test_making_and_revoking_are_events_each_once(tokens, database):
    token, _ = tokens.create(Role.SUBMIT)
    tokens.revoke(token.id)
    tokens.revoke(token.id)
    with database.read() as session:
        said = [(e.action, e.subject, json.loads(e.detail)) for e in events(session)]
    assert said == [
        ("token-created", token.id, {"given_role": "submit"}),
        ("token-revoked", token.id, {}),
    ]


def test_use_is_noted(tokens):
    _, text = tokens.create(Role.VIEW)
    assert tokens.list()[0].last_used_at is None
    tokens.holder(text)
    assert tokens.list()[0].last_used_at is not None


def test_the_command_makes_lists_and_revokes(tokens, settings, monkeypatch):
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    runner = CliRunner()
    made = runner.invoke(cli.app, ["token", "create", "--role", "operate", "--label", "night", "--days", "2"])
    text = made.stdout.strip()
    holder = tokens.holder(text)
    assert (made.exit_code, holder.role) == (0, "operate")
    listed = runner.invoke(cli.app, ["token", "list"]).stdout
    assert holder.name in listed and "night" in listed and text not in listed
    assert runner.invoke(cli.app, ["token", "revoke", holder.name]).exit_code == 0
    assert tokens.holder(text) is None
    assert runner.invoke(cli.app, ["token", "create", "--role", "king"]).exit_code == 2
