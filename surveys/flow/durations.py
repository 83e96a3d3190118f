"""What of a ticket counts under each basis, as SQL over its row: said once, for all who count, uncount and prove.

The same as `TicketRow.counted` (tickets.py) says in Python of a ticket that is being written; a test holds the two together.
"""

from dataclasses import dataclass

from surveys.models import Ticket

TICKETS = Ticket._meta.db_table


@dataclass(frozen=True)
class Duration:
    """One basis (DurationLedger.Basis). Of a ticket in TTR; null seconds are not counted. `day` is a stored day."""

    basis: str
    day: str
    seconds: str
    reopened: str = "reopened_count > 0"

    @property
    def side(self) -> str:
        """(basis, day, seconds, reopened), for a list of VALUES beside the ticket."""
        return f"('{self.basis}', {self.day}, {self.seconds}, {self.reopened})"


_resolution = "floor(extract(epoch FROM resolved_at - opened_at))::bigint"
_response = (
    "CASE WHEN first_response_at >= opened_at THEN floor(extract(epoch FROM first_response_at - opened_at))::bigint END"
)
# Nothing about a first response changes when a ticket is reopened.
DURATIONS = (
    Duration("resolved", "day_resolved", _resolution),
    Duration("opened", "day_opened", _resolution),
    Duration("answered", "day_opened", _response, "false"),
    Duration("resolved-business", "day_resolved", "business_s"),
    Duration("opened-business", "day_opened", "business_s"),
    Duration("answered-business", "day_opened", "first_business_s", "false"),
)

# A SELECT of the ledger's columns, one row for each duration that counts, and what its WHERE says of a span of days.
COUNTED = f"""
SELECT side.basis, side.day, coalesce(touchpoint_id, 0)::bigint AS touchpoint_id, segment, location, side.seconds, side.reopened,
    1 AS delta
FROM {TICKETS} CROSS JOIN LATERAL (VALUES {", ".join(duration.side for duration in DURATIONS)})
    AS side (basis, day, seconds, reopened)
WHERE in_ttr AND side.seconds IS NOT NULL"""
# First of the ticket: it is cheaper to look at its two days than at six durations.
COUNTED_WITHIN = """
(day_opened >= {first} AND day_opened < {after} OR day_resolved >= {first} AND day_resolved < {after})
AND side.day >= {first} AND side.day < {after}"""
