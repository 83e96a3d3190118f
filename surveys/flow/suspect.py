"""Whether an answer looks like a machine's. In: how it came, and from where. Out: yes or no. No query.

Scanners of letters follow every link, and some run the page's scripts. Speed alone is never suspicion, and neither is a network:
whoever presses "Send" has answered. Only two signals together are enough to leave an answer out until staff decide.
"""

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from django.conf import settings

RUSH = timedelta(seconds=2)  # two scores on one link within it: a machine tries all that the letter offers
SUSPECTED_BOT = "suspected_bot"  # as the reason of an exclusion


def is_suspect(sent: bool, from_scanner: bool, rushed: bool = False) -> bool:
    """Not `sent`, which is the first signal, and one of the others: out of a known scanner's network, or several scores at once."""
    return not sent and (from_scanner or rushed)


def was_rushed(suspected_at: datetime, recorded_at: datetime, replaced: Sequence[datetime]) -> bool:
    """Whether it was several scores at once that made a recorded answer suspect; else it was the network it came from.

    `replaced` are the times at which the answer was changed; at the suspicion one of them is `suspected_at` itself.
    """
    before = [moment for moment in (recorded_at, *replaced) if moment < suspected_at]
    return suspected_at in replaced and bool(before) and suspected_at - max(before) < RUSH


@lru_cache(maxsize=4096)
def is_scanner(address: str) -> bool:
    """Whether an IP address lies in one of CX_SCANNER_NETWORKS; False for what is no address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in map(ipaddress.ip_network, settings.CX_SCANNER_NETWORKS))
