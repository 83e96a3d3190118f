"""Which segment an answer or a ticket is counted under. In: a customer's profile. Out: a segment that aggregates keep apart."""

from collections.abc import Iterable, Mapping
from typing import Any

from surveys.models import Customer, Organisation, Segment
from surveys.models.customers import MAX_SEGMENTS, OTHER_SEGMENT


def segment_of(segment: str, attributes: Mapping[str, Any], organisation: Organisation) -> str:
    """`attributes[segment_attribute]` where the organisation names one, else `segment`, else ""."""
    if organisation.segment_attribute:
        value = attributes.get(organisation.segment_attribute)
        return "" if value is None or isinstance(value, dict | list) else str(value)[:100]
    return segment


def counted_segments(names: Iterable[str]) -> dict[str, str]:
    """Each name to the segment it counts under: itself, or `other` once MAX_SEGMENTS distinct ones are known.

    Two transactions at the limit may add one or two more; the limit guards the size of the cells, not a promise.
    """
    wanted = sorted({name for name in names if name})
    if not wanted:
        return {"": ""}
    known = set(Segment.objects.filter(name__in=wanted).values_list("name", flat=True))
    new = [name for name in wanted if name not in known]
    if new:
        room = max(0, MAX_SEGMENTS - Segment.objects.count())
        Segment.objects.bulk_create([Segment(name=name) for name in new[:room]], ignore_conflicts=True)
        known.update(new[:room])
    return {"": ""} | {name: name if name in known else OTHER_SEGMENT for name in wanted}


def counted_segment(customer: Customer | None, organisation: Organisation) -> str:
    """The segment under which this customer's answers count now; "" for nobody in particular."""
    if customer is None:
        return ""
    name = segment_of(customer.segment, customer.attributes, organisation)
    return counted_segments([name])[name]
