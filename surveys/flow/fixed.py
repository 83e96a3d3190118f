"""What answers have fixed. In: a row of the configuration. Out: whether it has been used, so that it keeps what others go by.

A touchpoint's channel and an instrument's metric and scale decide what an answer means; slugs are how other systems name things.
"""

from surveys.models import Instrument, InvitationRule, Journey, Stage, Touchpoint


def has_answers(touchpoint: Touchpoint) -> bool:
    """Its channel stays as it is from the first answer on."""
    return touchpoint.responses.exists()


def is_answered(instrument: Instrument) -> bool:
    """Its metric and scale stay as they are from the first answer to any of its versions on."""
    return instrument.versions.filter(answered=True).exists()


def keeps_slug(row: Journey | Stage | Touchpoint | Instrument | InvitationRule) -> bool:
    """Whether others may already name it: answers, tickets, events and invitations carry or are found by slugs."""
    if isinstance(row, Touchpoint):
        return any(
            rows.exists() for rows in (row.responses.all(), row.tickets.all(), row.events.all(), row.invitations.all())
        )
    if isinstance(row, Instrument):
        return row.builtin or is_answered(row)
    if isinstance(row, InvitationRule):
        return row.invitations.exists()
    return any(keeps_slug(touchpoint) for touchpoint in row.touchpoints.all())
