"""`formulas.bucket_of` in SQL, so that millions of durations are put into buckets where they lie; and histograms of them as numbers.

In: an SQL expression of whole seconds. Out: an SQL expression of the bucket. Its edges are asked of `bucket_of` itself:
there is one definition.

A packed histogram is the sum of count × BASE^bucket: eight decimal digits for each bucket's count. PostgreSQL adds such
numbers as it adds any, and so adds histograms of hundreds of buckets in microseconds, where rows of one bucket each take
thousands of times as long. A count may be negative for a moment, as a counter may; no sum of them may reach BASE / 2.
"""

from functools import cache

from metrics.formulas import LONGEST_S, bucket_of

DIGITS = 8
BASE = 10**DIGITS
_NOTHING, _HALF = "0" * DIGITS, f"{BASE // 2:0{DIGITS}d}"


def bucket_sql(seconds: str) -> str:
    """SQL of `formulas.bucket_of` over whole seconds: the same edges, asked of it, so that there is one definition."""
    edges, buckets = bucket_edges()
    # Array literals and not ARRAY[…]: two constants to the planner, in place of thousands of nodes (0.5 ms, not 3).
    bounds, names = ",".join(map(str, edges)), ",".join(map(str, buckets))
    return f"('{{{names}}}'::smallint[])[width_bucket({seconds}, '{{{bounds}}}'::bigint[])]"


@cache
def bucket_edges() -> tuple[list[int], list[int]]:
    """The least whole second of each bucket that holds one, ascending from 0, and the buckets' numbers."""
    edges, buckets = [0], [bucket_of(0)]
    while buckets[-1] != bucket_of(LONGEST_S):
        low, high = edges[-1], max(2 * edges[-1], 1)  # low lies in the last bucket found; find the next one's start
        while bucket_of(high) == buckets[-1]:
            high *= 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if bucket_of(middle) == buckets[-1] else (low, middle)
        edges.append(high)
        buckets.append(bucket_of(high))
    return edges, buckets


def pack_sql(bucket: str) -> str:
    """SQL of the packed histogram that holds one duration of this bucket."""
    return f"('1e' || {DIGITS} * {bucket})::numeric"


def unpack(packed: str) -> tuple[list[int], list[int]]:
    """(buckets, counts) of a packed histogram as its decimal digits; buckets that hold nothing are left out.

    A count above BASE / 2 is a negative one, which borrowed from the next.
    """
    sign, digits = (-1, packed[1:]) if packed.startswith("-") else (1, packed)
    first = (len(digits) - len(digits.rstrip("0"))) // DIGITS  # of the buckets below, none holds anything
    digits = digits.zfill(-(-len(digits) // DIGITS) * DIGITS)
    pieces = [digits[at : at + DIGITS] for at in range(len(digits) - DIGITS * (first + 1), -1, -DIGITS)]
    held = [(bucket, piece) for bucket, piece in enumerate(pieces, first) if piece != _NOTHING]
    if not held:
        return [], []
    buckets, counts = [bucket for bucket, _piece in held], [sign * int(piece) for _bucket, piece in held]
    return _give_back(buckets, counts, sign) if max(pieces) > _HALF else (buckets, counts)


def _give_back(buckets: list[int], counts: list[int], sign: int) -> tuple[list[int], list[int]]:
    """What negative counts borrowed goes back to the buckets above them."""
    held = dict(zip(buckets, counts, strict=True))
    for bucket in range(buckets[0], buckets[-1] + 1):
        if abs(held.get(bucket, 0)) > BASE // 2:
            held[bucket] -= sign * BASE
            held[bucket + 1] = held.get(bucket + 1, 0) + sign
    kept = sorted(bucket for bucket, count in held.items() if count)
    return kept, [held[bucket] for bucket in kept]
