"""How many messages of a rule may still go out on a day. In: rules, days. Out: places, taken by one worker at a time.

A place is a row: an invitation that waits or was tried, with its `quota_day`. So whatever is withdrawn gives its place back by itself.
Counting and taking happen under one lock per rule, held to the end of the transaction; it is the last lock that anybody takes.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from django.db import connection
from django.db.models import Count, Q

from surveys.models import Invitation, InvitationRule

LOCK = 0x63787175  # "cxqu": the first half of the lock's name, the rule's id is the second


@dataclass(slots=True)
class Places:
    """What is taken, by (rule, day of the organisation)."""

    taken: Counter[tuple[int, date]]

    @classmethod
    def claim(cls, rules: Iterable[InvitationRule], today: date) -> "Places":
        """Lock the quotas of these rules and count what is taken from today on. Must run inside a transaction."""
        ids = sorted({rule.pk for rule in rules if rule.quota is not None})
        if not ids:
            return cls(Counter())
        with connection.cursor() as cursor:
            for id in ids:
                cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK, id % 2**31])
        held = Invitation.objects.filter(
            Q(attempted_at__isnull=False) | Q(status=Invitation.Status.SCHEDULED), rule__in=ids, quota_day__gte=today
        )
        counts = held.values("rule_id", "quota_day").annotate(n=Count("id")).values_list("rule_id", "quota_day", "n")
        return cls(Counter({(rule_id, day): n for rule_id, day, n in counts if day is not None}))

    def are_left(self, rule: InvitationRule, day: date) -> bool:
        return rule.quota is None or self.taken[rule.pk, day] < rule.quota

    def take(self, rule: InvitationRule, day: date) -> date | None:
        """The day to write on the invitation; None where the rule has no quota."""
        if rule.quota is None:
            return None
        self.taken[rule.pk, day] += 1
        return day

    def give_back(self, rule_id: int | None, day: date | None) -> None:
        if rule_id is not None and day is not None:
            self.taken[rule_id, day] -= 1
