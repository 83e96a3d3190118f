"""Who customers are, put together from what several systems say of them. In: profiles with their times. Out: Customer rows.

Rows are locked before they are merged, so two systems that write different fields at once both leave their mark. An absent field keeps
what is known, a cleared one clears it, attributes merge key by key; what is older than the profile only fills what is empty.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec
from django.db import connection, transaction

from surveys.flow.consent import note_consents
from surveys.flow.incoming import Profile
from surveys.flow.json_text import json_text
from surveys.models import Consent, Customer

FIELDS = ("email", "phone", "name", "language", "time_zone", "segment", "preferred_modes")
TABLE = Customer._meta.db_table

_HELD = f"SELECT id, external_id, profile_at, attributes::text, {', '.join(FIELDS)} FROM {TABLE} WHERE external_id = ANY(%s)"
# Sorted, so that two batches that share customers wait for each other and do not deadlock. Not FOR UPDATE: that would also
# stop everybody who records something about these customers.
_LOCK = f"{_HELD} ORDER BY external_id FOR NO KEY UPDATE"
_COLUMNS = ("external_id", "profile_at", "attributes", *FIELDS)
_PATCH = f"unnest(%s::text[], %s::timestamptz[], %s::text[]{', %s::text[]' * len(FIELDS)}) AS p ({', '.join(_COLUMNS)})"
_INSERT = f"""
INSERT INTO {TABLE} ({", ".join(_COLUMNS)}, created_at)
SELECT p.external_id, p.profile_at, p.attributes::jsonb, {", ".join(f"p.{name}" for name in FIELDS)}, %s FROM {_PATCH}
ON CONFLICT (external_id) DO NOTHING RETURNING id, external_id
"""
_UPDATE = f"""
UPDATE {TABLE} c SET profile_at = p.profile_at, attributes = p.attributes::jsonb,
{", ".join(f"{name} = p.{name}" for name in FIELDS)} FROM {_PATCH} WHERE c.external_id = p.external_id
"""


@dataclass(slots=True)
class Held:
    """A customer as the database has it, or will have it. `id` is 0 until it is written."""

    external_id: str
    profile_at: datetime
    id: int = 0
    fields: dict[str, str] = field(default_factory=lambda: dict.fromkeys(FIELDS, ""))
    attributes: dict[str, Any] = field(default_factory=dict)
    changed: bool = False

    def learn(self, profile: Profile, at: datetime) -> None:
        """Merge what an event of the time `at` says. A profile that says nothing does not make this one any newer."""
        if not profile.fields and profile.attributes == {}:
            return
        newer = at >= self.profile_at
        for name, value in profile.fields.items():
            if (newer or not self.fields[name]) and self.fields[name] != value:
                self.fields[name] = value
                self.changed = True
        self._learn_attributes(profile.attributes, newer)
        if at > self.profile_at:
            self.profile_at = at
            self.changed = True

    def _learn_attributes(self, given: "Any", newer: bool) -> None:
        if given == {} or (given is None and not newer):
            return
        merged = dict(self.attributes) if given is not None else {}
        for key, value in (given or {}).items():
            if newer and value is None:
                merged.pop(key, None)
            elif value is not None and (newer or key not in merged):
                merged[key] = value
        if merged != self.attributes:
            self.attributes = merged
            self.changed = True


def upsert_customers(seen: Iterable[tuple[Profile, datetime]], now: datetime) -> dict[str, Held]:
    """Write what `seen` says, each profile with the time of its event; external id to the customer as it is now.

    Four statements at most, and one for consents, however many customers. Must run inside a transaction: the rows stay locked
    until its end.
    """
    by_customer: dict[str, list[tuple[Profile, datetime]]] = {}
    for profile, at in seen:
        by_customer.setdefault(profile.external_id, []).append((profile, at))
    for said in by_customer.values():
        said.sort(key=lambda one: one[1])
    wanted = sorted(by_customer)
    held = _lock(wanted)
    missing = [external_id for external_id in wanted if external_id not in held]
    if missing:
        fresh = []
        for external_id in missing:
            customer = Held(external_id, by_customer[external_id][0][1])
            for profile, at in by_customer[external_id]:
                customer.learn(profile, at)
            fresh.append(customer)
        held |= _insert(fresh, now)
        raced = [external_id for external_id in missing if external_id not in held]
        known = {**_lock(raced)} if raced else {}
        held |= known
        fresh_ids = set(missing) - set(raced)
    else:
        fresh_ids = set()
    for external_id, said in by_customer.items():
        if external_id not in fresh_ids:
            for profile, at in said:
                held[external_id].learn(profile, at)
    _update([customer for external_id, customer in held.items() if customer.changed and external_id not in fresh_ids])
    acts = [
        (Customer(pk=held[external_id].id, **held[external_id].fields), act if act.at else replace(act, at=at))
        for external_id, said in by_customer.items()
        for profile, at in said
        for act in profile.consents
    ]
    if acts:
        note_consents(acts, Consent.Source.API, now)
    return held


def upsert_customer(profile: Profile, at: datetime, now: datetime) -> Customer:
    """One customer, written and locked; `at` is the time of what was said of it."""
    with transaction.atomic():
        return Customer.objects.get(pk=upsert_customers([(profile, at)], now)[profile.external_id].id)


def prefer_modes(customer_id: int, modes: Sequence[str]) -> bool:
    """Note by which means somebody would rather be asked, as they told staff; False for whoever is erased."""
    rows = Customer.objects.filter(pk=customer_id, erased_at__isnull=True)
    return rows.update(preferred_modes=",".join(modes)) > 0


def _lock(external_ids: list[str]) -> dict[str, Held]:
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [external_ids])
        return {
            row[1]: Held(row[1], row[2], row[0], dict(zip(FIELDS, row[4:], strict=True)), msgspec.json.decode(row[3]))
            for row in cursor.fetchall()
        }


def _insert(customers: Sequence[Held], now: datetime) -> dict[str, Held]:
    """Those that were new; somebody else may have been faster with the others."""
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [now, *_arrays(customers)])
        ids = {external_id: id for id, external_id in cursor.fetchall()}
    for customer in customers:
        customer.id = ids.get(customer.external_id, 0)
    return {customer.external_id: customer for customer in customers if customer.id}


def _update(customers: Sequence[Held]) -> None:
    if customers:
        with connection.cursor() as cursor:
            cursor.execute(_UPDATE, _arrays(customers))


def _arrays(customers: Sequence[Held]) -> list[list[Any]]:
    """One array per column of `_COLUMNS`."""
    return [
        [customer.external_id for customer in customers],
        [customer.profile_at for customer in customers],
        [json_text(customer.attributes) for customer in customers],
        *([customer.fields[name] for customer in customers] for name in FIELDS),
    ]
