"""Which segment an answer or a ticket is counted under. In: a customer's profile. Out: a segment that aggregates keep apart."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection

from surveys.models import Customer, Organisation, Segment
from surveys.models.customers import MAX_SEGMENTS, OTHER_SEGMENT

# `segment_of` over a customer `c` and an organisation `o`; an object or a list comes out as its text, which no segment is called.
SEGMENT_SQL = (
    """CASE WHEN o.segment_attribute = '' THEN c.segment ELSE left(c.attributes ->> o.segment_attribute, 100) END"""
)
NEW_SEGMENT_LOCK = 0x6378_7365_676D  # any number that nothing else in this database locks


def segment_of(segment: str, attributes: Mapping[str, Any], organisation: Organisation) -> str:
    """`attributes[segment_attribute]` where the organisation names one, else `segment`, else ""."""
    if organisation.segment_attribute:
        value = attributes.get(organisation.segment_attribute)
        if isinstance(value, bool):
            return "true" if value else "false"  # as JSON has it
        return "" if value is None or isinstance(value, dict | list) else str(value)[:100]
    return segment


def counted_segments(names: Iterable[str]) -> dict[str, str]:
    """Each name to the segment it counts under: itself, or `other` once MAX_SEGMENTS distinct ones are known.

    Must run inside a transaction: whoever brings a new segment has to be alone while the known ones are counted.
    """
    wanted = {name for name in names if name}
    known = _known(wanted)
    if not wanted <= known:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [NEW_SEGMENT_LOCK])
        known = _known(wanted)
        new = sorted(wanted - known)
        fitting = new[: max(0, MAX_SEGMENTS - Segment.objects.count())] if new else []
        Segment.objects.bulk_create(Segment(name=name) for name in fitting)
        known |= set(fitting)
    return {"": ""} | {name: name if name in known else OTHER_SEGMENT for name in wanted}


def _known(names: set[str]) -> set[str]:
    found = Segment.objects.filter(name__in=names).values_list("name", flat=True) if names else ()
    return {*found, *(names & {OTHER_SEGMENT})}


def counted_segment(customer: Customer | None, organisation: Organisation) -> str:
    """The segment under which this customer's answers count now; "" for nobody in particular."""
    if customer is None:
        return ""
    name = segment_of(customer.segment, customer.attributes, organisation)
    return counted_segments([name])[name]
