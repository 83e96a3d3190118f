"""The staff's side of listening: configuration, people, answers and what waits, in Django's admin. One module per group of models."""

from surveys.admin import customers, events, invitations, messages, responses, tickets

__all__ = ["customers", "events", "invitations", "messages", "responses", "tickets"]
