"""By which of a rule's means is somebody asked first? In: a customer, the modes that the rule lists, the organisation. Out: their order.

A preference puts in order and adds nothing: a mode that the rule does not list is never used, and one that nobody prefers keeps its
place behind. Nothing here reads the database; whether there is an address to write to is decided after (invite.Histories.way_to).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from surveys.flow.segments import segment_of
from surveys.models import Customer, Organisation

CUSTOMER, SEGMENT, RULE = "customer", "segment", "rule"


@dataclass(frozen=True, slots=True)
class Order:
    """The modes to try, one after the other, and whose wish that is: the customer's, the segment's, else the rule's own order."""

    modes: tuple[str, ...]
    of: str = RULE


def order_of_modes(customer: Customer, allowed: Sequence[str], organisation: Organisation) -> Order:
    """`allowed` by the customer's preference, else by that of the segment. A preference of which nothing is allowed says nothing."""
    if len(allowed) > 1:
        if customer.preferred_modes:
            found = _preferred(customer.preference, allowed)
            if found:
                return Order(found, CUSTOMER)
        if organisation.preferences:
            segment = segment_of(customer.segment, customer.attributes, organisation)
            found = _preferred(organisation.preferences.get(segment, ()), allowed)
            if found:
                return Order(found, SEGMENT)
    return Order(tuple(allowed))


def _preferred(preference: Sequence[str], allowed: Sequence[str]) -> tuple[str, ...]:
    first = [mode for mode in preference if mode in allowed]
    return (*first, *(mode for mode in allowed if mode not in first)) if first else ()
