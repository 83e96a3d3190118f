"""The staff's side of listening: configuration, people, answers and what waits, in Django's admin. One module per group of models."""

from surveys.admin import (
    customers,
    events,
    instruments,
    invitations,
    journeys,
    keys,
    messages,
    organisation,
    responses,
    rules,
    suppressions,
    tickets,
    users,
)

__all__ = [
    "customers",
    "events",
    "instruments",
    "invitations",
    "journeys",
    "keys",
    "messages",
    "organisation",
    "responses",
    "rules",
    "suppressions",
    "tickets",
    "users",
]
