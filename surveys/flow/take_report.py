"""Bounces and complaints that come by mail. In: a message's bytes, as a mail server hands it over. Out: Receipts, which wait like others.

The Message-ID of our letter, which such a mail quotes, is the only authority: it holds the invitation's token, which nobody can guess.
An address is held against nobody but the customer whose it is: a mail that names another one says nothing of it.
"""

import re
from datetime import datetime

from surveys.channels.email.mailed import read_mailed
from surveys.flow.addresses import address_hash
from surveys.flow.receipts import note_receipts
from surveys.letters import Report
from surveys.models import DeliveryAttempt

PROVIDER = "mail"
_OURS = re.compile(r"<([A-Za-z0-9_-]{16,32})(?:\.\d)?@[^<>]+>")


def take_report(message: bytes, now: datetime) -> int:
    """Write down what a mail says of letters of ours; how much there was."""
    return sum(_note(said.message_id, said.recipients, said.kind, said.detail, now) for said in read_mailed(message))


def _note(message_id: str, recipients: tuple[str, ...], kind: str, detail: str, now: datetime) -> int:
    token = _OURS.fullmatch(message_id)
    if token is None:
        return 0
    tries = DeliveryAttempt.objects.filter(invitation__token=token[1], message_id=message_id, mode="email")
    attempt = tries.select_related("invitation__customer").order_by("-id").first()
    if attempt is None:
        return 0
    if not attempt.reference:  # a mail server gave none: then its name is the one that we gave
        email = attempt.invitation.customer.email
        hashed = address_hash(email) if email else ""
        if hashed not in map(address_hash, recipients):
            hashed = ""
        DeliveryAttempt.objects.filter(pk=attempt.pk).update(reference=message_id, address_hash=hashed)
    return note_receipts([Report(attempt.reference or message_id, kind, detail)], PROVIDER, now)
