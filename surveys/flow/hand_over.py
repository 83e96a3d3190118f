"""Messages to carriers, at the pace that is set. In: what is ready. Out: what became of each, as it happens.

All that leaves (invitations, reminders, replies) passes here. A carrier that is away is asked once, and its answer speaks for the
rest; one mode never waits for another's carrier, nor for its pace. No transaction may be open: the network is waited for, and the
clock. Where no rate is set, nothing is counted and nothing is asked.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection
from django.db.models import Q

from surveys.channels import SENDING
from surveys.letters import Letter, Outcome
from surveys.models import SendingPace
from surveys.shift import SHIFT_S

T = TypeVar("T")
HORIZON_S = SHIFT_S  # nobody takes a place in the queue that is further away: it would only be given back
NAP_S = 0.1  # how soon a worker that waits hears that it is to stop


def hand_over(
    ready: Iterable[tuple[str, T, Letter]],
    channels: Mapping[str, Any],
    over: Callable[[], bool],
    begun: Callable[[T], None],
    away: set[str] | None = None,
) -> Iterator[tuple[T, Letter, Outcome]]:
    """Send (mode, whose, letter) one after the other, until it is `over`; what is not given back was not touched.

    `begun` is told before each: from there on it may have gone out. `away` comes to hold the modes whose carrier is away.
    """
    waiting: dict[str, deque[tuple[T, Letter]]] = defaultdict(deque)
    for mode, whose, letter in ready:
        waiting[mode].append((whose, letter))
    gone = set() if away is None else away
    rates = rates_of(channels)
    places: dict[str, float] = {}  # by the monotonic clock; 0 where nobody counts
    with ExitStack() as opened:
        carriers: dict[str, Any] = {}
        while waiting:
            for mode in [mode for mode in waiting if mode not in places]:
                if over():
                    return
                place = take_place(mode, rates[mode]) if mode in rates else 0.0
                if place is None:
                    del waiting[mode]
                else:
                    places[mode] = place
            if not waiting:
                return
            mode = min(waiting, key=places.__getitem__)
            place = places.pop(mode)
            if place and not _wait_until(place, over):
                return
            if mode not in carriers:
                carriers[mode] = opened.enter_context(channels[mode].connect())
            whose, letter = waiting[mode].popleft()
            begun(whose)
            outcome = carriers[mode].send(letter)
            yield whose, letter, outcome
            if outcome.carrier_away:
                gone.add(mode)
                outcome = replace(outcome, in_doubt=False)  # of the others it had nothing to be in doubt of
                for whose, letter in waiting[mode]:
                    begun(whose)
                    yield whose, letter, outcome
                waiting[mode].clear()
            if not waiting[mode]:
                del waiting[mode]


def _wait_until(place: float, over: Callable[[], bool]) -> bool:
    """False where it is over before."""
    while not over():
        left = place - time.monotonic()
        if left <= 0:
            return True
        time.sleep(min(left, NAP_S))
    return False


# --- The pace ---------------------------------------------------------------------------------------------------------

_TABLE = SendingPace._meta.db_table
# The row holds the moment that is free next (the GCRA's "theoretical arrival time"), by the database's clock: all workers have that
# one. What lies further ahead than anybody may have reserved is left from a clock that was set back, or from a slower rate.
_TAKE = f"""
INSERT INTO {_TABLE} AS pace (mode, free_at) VALUES (%(mode)s, clock_timestamp() + %(step)s * interval '1 second')
ON CONFLICT (mode) DO UPDATE SET free_at = %(step)s * interval '1 second' + CASE
    WHEN pace.free_at > clock_timestamp() + (%(horizon)s + %(step)s) * interval '1 second' THEN clock_timestamp()
    ELSE GREATEST(pace.free_at, clock_timestamp()) END
WHERE pace.free_at <= clock_timestamp() + %(horizon)s * interval '1 second'
   OR pace.free_at > clock_timestamp() + (%(horizon)s + %(step)s) * interval '1 second'
RETURNING EXTRACT(EPOCH FROM pace.free_at - clock_timestamp()) - %(step)s
"""


def rates_of(channels: Mapping[str, Any]) -> dict[str, float]:
    """Messages per second of each mode that has a limit. What stays here (the demo's way out) has none."""
    paced = (mode for mode, channel in channels.items() if channel is SENDING.get(mode))
    return {mode: float(rate) for mode in paced if (rate := getattr(settings, f"{mode.upper()}_RATE", 0))}


def take_place(mode: str, rate: float) -> float | None:
    """When the next message of a mode may leave, by the monotonic clock: it is ours. None where it is too far ahead."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"mode": mode, "step": 1 / rate, "horizon": HORIZON_S})
        row = cursor.fetchone()
    return None if row is None else time.monotonic() + float(row[0])


def shares_of(limit: int, channels: Mapping[str, Any], field: str = "mode") -> list[tuple[Q, int]]:
    """Of which rows, and how many, a worker claims at once: no more of a mode than can leave before it has to give back the rest.

    Without rates all of them up to `limit`. `field`: where a row's mode stands.
    """
    rates = rates_of(channels)
    if not rates:
        return [(Q(), limit)]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT mode, EXTRACT(EPOCH FROM free_at - clock_timestamp()) FROM {_TABLE}")
        ahead = {mode: float(seconds) for mode, seconds in cursor.fetchall()}
    shares = [(~Q(**{f"{field}__in": list(rates)}), limit)]
    for mode, rate in rates.items():
        taken_s = max(ahead.get(mode, 0.0), 0.0)
        if taken_s > HORIZON_S + 1 / rate:
            taken_s = 0.0  # as in _TAKE
        room = int((HORIZON_S - taken_s) * rate) + 1 if taken_s <= HORIZON_S else 0
        if room:
            shares.append((Q(**{field: mode}), min(limit, room)))
    return shares
