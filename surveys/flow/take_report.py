"""Bounces and complaints that come by mail. In: a message's bytes, as a mail server hands it over. Out: what follows from it.

The Message-ID of our letter, which such a mail quotes, is the only authority: it holds the invitation's token, which nobody can guess.
An address is held against nobody but the customer whose it is: a mail that names another one says nothing of it.
"""

import re
from datetime import datetime

from surveys.channels.email.mailed import read_mailed
from surveys.flow.addresses import address_hash
from surveys.flow.receipts import apply_report
from surveys.letters import Report
from surveys.models import DeliveryAttempt

_OURS = re.compile(r"<([A-Za-z0-9_-]{16,32})(?:\.\d)?@[^<>]+>")


def take_report(message: bytes, now: datetime) -> int:
    """Apply what a mail says of letters of ours; how much there was. Twice is the same as once."""
    return sum(_apply(said.message_id, said.recipients, said.kind, said.detail, now) for said in read_mailed(message))


def _apply(message_id: str, recipients: tuple[str, ...], kind: str, detail: str, now: datetime) -> int:
    token = _OURS.fullmatch(message_id)
    if token is None:
        return 0
    tries = DeliveryAttempt.objects.filter(invitation__token=token[1], message_id=message_id, mode="email")
    attempt = tries.select_related("invitation__customer").order_by("-id").first()
    if attempt is None:
        return 0
    if not attempt.address_hash:  # a mail server gives its messages no name, so nothing more was expected of it
        email = attempt.invitation.customer.email
        hashed = address_hash(email) if email else ""
        if hashed in map(address_hash, recipients):
            DeliveryAttempt.objects.filter(pk=attempt.pk).update(address_hash=hashed)
    apply_report(attempt, Report(attempt.reference, kind, detail), now)
    return 1
