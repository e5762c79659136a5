"""As whom people know whoever acts: beside a verdict, and beside a place that was looked at."""

from sqlalchemy.orm import Session

from service.actor import Actor
from service.records import TokenRecord


def name_of(session: Session, actor: Actor) -> str:
    """A login's name, a token's label (its id where it has none), "this machine" where nobody is asked who one is."""
    if actor.kind == "token":
        token = session.get(TokenRecord, actor.name)
        return (token.label if token is not None else "") or actor.name
    return "this machine" if actor.kind == "local" else actor.name
