"""Consent. In: acts of giving and withdrawing, in any order. Out: Consent rows, and what holds now by mode and purpose.

A suppression says "stop" and belongs to an address; a consent says "you may" and belongs to a person. How the two go together stands
in docs/decisions/0014. Nothing here lifts a suppression.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from surveys.channels import SENDING
from surveys.flow.addresses import address_hash
from surveys.models import Consent, Customer, Purpose, Scope
from surveys.models.responses import SENT_MODES

Source = Consent.Source
MOMENT = timedelta(microseconds=1)  # of two acts at the same time the withdrawal holds
# What each scope of an unsubscription takes back. One survey is less than a purpose.
PURPOSES: Mapping[str, Sequence[str]] = {
    Scope.THIS_SURVEY: (),
    Scope.ALL_SURVEYS: (Purpose.SURVEYS,),
    Scope.ALL_MESSAGES: tuple(Purpose.values),
}


@dataclass(frozen=True, slots=True)
class Said:
    """One act, as somebody told it. `at`: None for the time of what it came with."""

    mode: str
    purpose: str
    given: bool
    at: datetime | None = None
    detail: str = ""
    text_version: str = ""
    wording: str = ""


@dataclass(frozen=True, slots=True)
class Consents:
    """What holds for some people and one purpose: (customer, mode) -> whether it was given or, last, withdrawn."""

    held: Mapping[tuple[int, str], bool]

    @classmethod
    def load(cls, customer_ids: Iterable[int], purpose: str = Purpose.SURVEYS) -> "Consents":
        """One query for any number of people."""
        rows = Consent.objects.filter(customer_id__in=list(customer_ids), purpose=purpose)
        newest = rows.order_by("customer_id", "mode", "-at", "given").distinct("customer_id", "mode")
        return cls({(pk, mode): given for pk, mode, given in newest.values_list("customer_id", "mode", "given")})

    def allow(self, customer_id: int, mode: str, needed: bool) -> bool:
        """Whether consent stands, or is not `needed`. A withdrawal is obeyed whether or not it is."""
        return self.held.get((customer_id, mode), not needed)


def note_consents(said: Iterable[tuple[Customer, Said]], source: str, now: datetime, *, by: str = "") -> None:
    """Write down acts, each with its own time; the same act again is that row. One statement.

    Each customer has an id and the addresses that are known now. `by`: the member of staff who writes it down.
    """
    rows = []
    for customer, act in said:
        address = SENDING[act.mode].address_of(customer) if act.mode in SENDING else ""
        rows.append(
            Consent(
                customer_id=customer.pk,
                mode=act.mode,
                purpose=act.purpose,
                given=act.given,
                at=act.at or now,
                recorded_at=now,
                source=source,
                detail=act.detail,
                recorded_by_name=by,
                text_version=act.text_version,
                wording=act.wording,
                address_hash=address_hash(address) if address else "",
            )
        )
    Consent.objects.bulk_create(rows, ignore_conflicts=True)


def newest_acts(customer: Customer) -> list[Consent]:
    """What holds of a customer: the newest act of each mode and purpose."""
    rows = Consent.objects.filter(customer=customer).order_by("purpose", "mode", "-at", "given")
    held = list(rows.distinct("purpose", "mode"))
    purposes = list(Purpose.values)
    return sorted(held, key=lambda row: (purposes.index(row.purpose), SENT_MODES.index(row.mode)))


def withdraw_consents(customer: Customer, scope: str, source: str, now: datetime, wording: str = "") -> None:
    """Whatever stands of what `scope` is about is taken back, also where its own time is still to come; what never was given is
    left alone."""
    acts = [
        (customer, Said(row.mode, row.purpose, False, max(now, row.at), wording=wording))
        for row in newest_acts(customer)
        if row.given and row.purpose in PURPOSES[scope]
    ]
    note_consents(acts, source, now)


def restore_consents(customer: Customer, source: str, now: datetime, wording: str = "") -> bool:
    """The person gives again what they took back in the same way; False where there was nothing of the kind."""
    acts = [
        (customer, Said(row.mode, row.purpose, True, max(now, row.at + MOMENT), wording=wording))
        for row in newest_acts(customer)
        if not row.given and row.source == source
    ]
    note_consents(acts, source, now)
    return bool(acts)
