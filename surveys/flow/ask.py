"""A customer who is on a site: may they be asked now? In: an external id that is vouched for. Out: an Invitation, sent or withheld.

The same terms, history and reasons as for a letter: who was just written to, at whichever of their addresses, rests here too, and whom
a rule of a higher priority is about to ask is left to it. Two things differ. The web needs no address, so one that bounced says
nothing; but who unsubscribed, by whichever address, is asked nowhere. And there is no waiting: shown is sent.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from surveys.channels import SENDING
from surveys.flow.customers import upsert_customer
from surveys.flow.eligibility import History, Promise, decide
from surveys.flow.expire import OPEN
from surveys.flow.floor import lock_addresses
from surveys.flow.incoming import Profile
from surveys.flow.invite import Histories, hashes_of, terms_of
from surveys.flow.suppress import Stops
from surveys.models import Customer, Instrument, Invitation, Mode, Organisation, Touchpoint
from surveys.models.invitations import make_token
from surveys.models.journeys import DAY_S
from surveys.texts import match_language

EXPIRES_S = 14 * DAY_S
SAME_REFUSAL = timedelta(hours=24)


def ask_customer(
    external_id: str,
    touchpoint: Touchpoint,
    instrument: Instrument,
    now: datetime,
    *,
    location: str = "",
    language: str = "",
) -> Invitation:
    """The invitation of a customer who is looking at a page, decided under their lock; they are made where nobody knows them.

    One that is open still is given again, if they may still be asked: two tabs, or two visits, are one occasion. A refusal for the
    same reason as within the last 24 hours is that row again: a page that asks at every view writes no history of its own.
    `language` is the page's, for a customer whose own nobody knows.
    """
    organisation = Organisation.current()
    with transaction.atomic():
        customer = upsert_customer(Profile(external_id, {}, {}), now, now)  # locked until the end
        own = Invitation.objects.filter(customer=customer, touchpoint=touchpoint, mode=Mode.WEB)
        held = own.filter(status__in=OPEN, expires_at__gt=now).order_by("-decided_at", "-id").first()
        lock_addresses(hashes_of(customer))
        histories = Histories.load([customer], organisation, but_not=[held.pk] if held else [])
        terms = terms_of(None, organisation)
        messages = [histories.last_message_to(customer, mode) for mode in SENDING]
        history = History(
            event_at=now,
            suppressed="unsubscribed" if _has_unsubscribed(customer, histories.stops, touchpoint.pk) else "",
            last_same_at=histories.last_same.get((customer.pk, touchpoint.pk)),
            last_any_at=histories.last_any.get(customer.pk),
            last_message_at=max((at for at in messages if at is not None), default=None),
            promise=Promise(None, None, touchpoint.pk, now, (now, 0), terms),
            rivals=tuple(histories.waiting.get(customer.pk, ())),
        )
        decision = decide(terms, history, now)
        if decision.ok and held is not None:
            return held
        about: dict[str, Any] = {
            "customer": customer,
            "touchpoint": touchpoint,
            "instrument": instrument,
            "mode": Mode.WEB,
            "location": location,
            "language": customer.language or _spoken(language, organisation),
            "decided_at": now,
        }
        if decision.ok:
            return Invitation.objects.create(
                **about,
                status=Invitation.Status.SENT,
                token=make_token(),
                send_at=now,
                attempted_at=now,
                sent_at=now,
                expires_s=EXPIRES_S,
                expires_at=now + timedelta(seconds=EXPIRES_S),
            )
        withheld = own.filter(status=Invitation.Status.WITHHELD, reason=decision.reason)
        same = withheld.filter(decided_at__gt=now - SAME_REFUSAL).order_by("-decided_at", "-id").first()
        return same or Invitation.objects.create(
            **about, status=Invitation.Status.WITHHELD, reason=decision.reason, detail=decision.detail
        )


def _spoken(language: str, organisation: Organisation) -> str:
    """The one of the organisation's languages that a page in `language` would have; "" for none, and then the browser says."""
    return (match_language(language, organisation.languages) if language.strip() else None) or ""


def _has_unsubscribed(customer: Customer, stops: Stops, touchpoint_id: int) -> bool:
    """By any of their addresses, or as the person: they were told that nobody would ask them again."""
    return any(
        stops.against(customer, address, touchpoint_id) == "unsubscribed"
        for address in (customer.email, customer.phone)
    )
