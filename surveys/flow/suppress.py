"""What must not be sent, and to whom. In: keyed hashes of addresses and of persons. Out: Suppression rows, and what they speak against.

Nobody's address is here, only its hash (flow/addresses.py), so whatever stands here survives erasure and holds again when somebody
comes back. Who unsubscribes, and what of theirs is withdrawn, stands in flow/unsubscribe.py.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from surveys.flow.addresses import address_hash, customer_hash
from surveys.models import Customer, Scope, Suppression, SuppressionLift

Reason = Suppression.Reason
TABLE = Suppression._meta.db_table
# In one order, so that two who suppress the same addresses wait for each other. What a person asks for by a page stands by itself:
# it is no longer only what STOP from a number has set, and START from there does not lift it.
_INSERT = f"""
INSERT INTO {TABLE} (address_hash, of_person, reason, scope, touchpoint_key, detail, created_at, origin_hash)
SELECT hash, of_person, %s, %s, %s, %s, %s, %s FROM unnest(%s::text[], %s::boolean[]) AS given (hash, of_person) ORDER BY hash
ON CONFLICT (address_hash, scope, touchpoint_key, reason) DO UPDATE SET origin_hash = ''
WHERE EXCLUDED.origin_hash = '' AND {TABLE}.origin_hash NOT IN ('', {TABLE}.address_hash)
"""


def suppress(
    addresses: Collection[str],
    reason: str,
    now: datetime,
    *,
    scope: str = Scope.ALL_MESSAGES,
    touchpoint_id: int = 0,
    person: str = "",
    detail: str = "",
    origin: str = "",
) -> None:
    """Nothing of `scope` goes to these any more. What stands already stays as it is.

    `addresses`: hashes; "" is passed over. `touchpoint_id`: for THIS_SURVEY. `person`: the hash of a customer id, so that addresses
    that become known later are meant as well. `origin`: the hash of the number whose STOP this is. Must run inside a transaction
    that holds, if anything of this person, then the links before it: see flow/locks.py.
    """
    given = {hashed: False for hashed in addresses if hashed} | ({person: True} if person else {})
    if not given:
        return
    key = touchpoint_id if scope == Scope.THIS_SURVEY else 0
    with connection.cursor() as cursor:
        values: list[Any] = [reason, scope, key, detail[:500], now, origin, list(given), list(given.values())]
        cursor.execute(_INSERT, values)


def suppress_bounced(hashed: str, detail: str, now: datetime) -> None:
    """Nothing reaches this address: no message is tried there again, whatever it is about."""
    suppress([hashed], Reason.BOUNCED, now, detail=detail)


def address_hashes(customer: Customer) -> list[str]:
    """The hash of each address that is known of a customer."""
    return [address_hash(address) for address in (customer.email, customer.phone) if address]


def person_hash(customer: Customer) -> str:
    """The hash of the customer's id; "" of one who is erased, whose id is nobody's."""
    return customer_hash(customer.external_id) if customer.erased_at is None else ""


def hashes_against(customer: Customer) -> list[str]:
    """All by which a customer may be suppressed: the person, and each address."""
    return list(filter(None, (person_hash(customer), *address_hashes(customer))))


def suppressions_of(customer: Customer) -> "QuerySet[Suppression]":
    """Whatever stands against writing to a customer, the oldest first."""
    return Suppression.objects.filter(address_hash__in=hashes_against(customer)).order_by("created_at", "id")


@dataclass(frozen=True, slots=True)
class Stops:
    """What stands against writing to some people: by hash, (reason, scope, touchpoint) of each suppression."""

    held: Mapping[str, tuple[tuple[str, str, int], ...]]

    @classmethod
    def load(cls, hashes: Iterable[str]) -> "Stops":
        """One query for any number of people. Inside the transaction that sends, after the addresses are locked."""
        held: dict[str, tuple[tuple[str, str, int], ...]] = {}
        rows = Suppression.objects.filter(address_hash__in=list(hashes))
        for hashed, reason, scope, key in rows.values_list("address_hash", "reason", "scope", "touchpoint_key"):
            held[hashed] = (*held.get(hashed, ()), (reason, scope, key))
        return cls(held)

    def against(self, customer: Customer, address: str, survey: int | None) -> str:
        """Why nothing may be sent to this address of a customer: "unsubscribed", "bounced", or "" where it may.

        `survey`: the id of the touchpoint that the message asks about. None for a message that is no survey, such as a reply to
        what somebody told us: then "all messages" alone speaks against it. A complaint is told as "unsubscribed".
        """
        if not self.held:
            return ""
        hashes = (person_hash(customer), address_hash(address) if address else "")
        reasons = {
            reason
            for hashed in hashes
            for reason, scope, key in self.held.get(hashed, ())
            if scope == Scope.ALL_MESSAGES or (survey is not None and (scope == Scope.ALL_SURVEYS or key == survey))
        }
        if reasons - {Reason.BOUNCED}:
            return str(Reason.UNSUBSCRIBED)
        return str(Reason.BOUNCED) if reasons else ""


def lift(
    rows: "QuerySet[Suppression]",
    now: datetime,
    source: str,
    *,
    by: Any = None,
    why: str = "",
) -> int:
    """Take suppressions away and keep what stood there, who lifted it, when and why; how many there were.

    `by`: the member of staff, where `source` is STAFF. What was withheld meanwhile stays withheld.
    """
    with transaction.atomic():
        held = list(rows.select_for_update().order_by("pk"))
        SuppressionLift.objects.bulk_create(
            SuppressionLift(
                address_hash=row.address_hash,
                of_person=row.of_person,
                reason=row.reason,
                scope=row.scope,
                touchpoint_key=row.touchpoint_key,
                detail=row.detail,
                since=row.created_at,
                lifted_at=now,
                source=source,
                lifted_by=by,
                lifted_by_name=by.get_username() if by is not None else "",
                why=why,
            )
            for row in held
        )
        Suppression.objects.filter(pk__in=[row.pk for row in held]).delete()
    return len(held)
