"""Where nobody is asked. In: touchpoints. Out: for each, whether anybody can be asked there, and when somebody last answered. One query."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from surveys.models import InvitationRule, Response, Touchpoint

_touchpoint, _rule, _response = Touchpoint._meta.db_table, InvitationRule._meta.db_table, Response._meta.db_table


@dataclass(frozen=True)
class Asking:
    """How customers can be asked at a touchpoint. `wait_s`: how long after a decision a link of its rules can be answered."""

    has_instrument: bool
    is_public: bool
    has_rule: bool
    wait_s: int
    answered_at: datetime | None

    @property
    def can_be_asked(self) -> bool:
        """By a rule that is on, which may bring its own instrument, or by an open form that has one."""
        return self.has_rule or (self.is_public and self.has_instrument)


def measure_asking(touchpoints: Sequence[Touchpoint]) -> dict[int, Asking]:
    """By the touchpoint's id. An answer counts however it came (another system may post them), if it counts at all."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT t.id, coalesce(bool_or(coalesce(rule.instrument_id, t.instrument_id) IS NOT NULL) FILTER
                    (WHERE rule.id IS NOT NULL), false), coalesce(max(rule.delay_s + rule.expires_s), 0),
                (SELECT r.responded_at FROM {_response} r WHERE r.touchpoint_id = t.id AND r.excluded_at IS NULL
                    ORDER BY r.responded_at DESC LIMIT 1)
            FROM {_touchpoint} t LEFT JOIN {_rule} rule ON rule.touchpoint_id = t.id AND rule.active
            WHERE t.id = ANY(%s) GROUP BY t.id""",
            [[touchpoint.pk for touchpoint in touchpoints]],
        )
        held = {pk: rest for pk, *rest in cursor.fetchall()}
    return {one.pk: Asking(one.instrument_id is not None, one.public, *held[one.pk]) for one in touchpoints}
