"""A histogram in one number: what is packed, and summed by the database, comes out again."""

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from metrics.buckets import BASE, bucket_edges, pack_sql, unpack

LAST = bucket_edges()[1][-1]
counts = st.dictionaries(
    st.integers(0, LAST), st.integers(-BASE // 2 + 1, BASE // 2 - 1).filter(lambda count: count != 0), max_size=12
)


@given(counts)
def test_every_count_comes_out_again_the_negative_ones_too(held: dict[int, int]) -> None:
    packed = sum(count * BASE**bucket for bucket, count in held.items())
    buckets, found = unpack(digits(packed))
    assert dict(zip(buckets, found, strict=True)) == held
    assert buckets == sorted(buckets)


def digits(number: int) -> str:
    """`str` refuses numbers as long as these."""
    sign, number = ("-", -number) if number < 0 else ("", number)
    parts = []
    while number:
        number, part = divmod(number, 10**4000)
        parts.append(f"{part:04000d}")
    return sign + ("".join(reversed(parts)).lstrip("0") or "0")


@pytest.mark.parametrize(("packed", "held"), [("0", ([], [])), ("1", ([0], [1])), ("3" + "0" * 16, ([2], [3]))])
def test_the_least_histograms(packed: str, held: tuple[list[int], list[int]]) -> None:
    assert unpack(packed) == held


@pytest.mark.django_db
def test_the_database_adds_histograms() -> None:
    durations = [0, 0, 7, 463, 463, 463, LAST]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT sum({pack_sql('bucket')})::text, (sum({pack_sql('bucket')}) - {pack_sql('463')} * 5)::text "
            "FROM unnest(%s) AS bucket",
            [durations],
        )
        packed, less = cursor.fetchone()
    assert unpack(packed) == ([0, 7, 463, LAST], [2, 1, 3, 1])
    assert unpack(less) == ([0, 7, 463, LAST], [2, 1, -2, 1])


@pytest.mark.django_db
def test_adding_histograms_says_what_their_sum_says() -> None:
    held = [(0, 3), (463, 2), (463, -5), (LAST, 1), (LAST, 7)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT add_histograms(n * {pack_sql('bucket')}) = sum(n * {pack_sql('bucket')}), "
            f"add_histograms(n * {pack_sql('bucket')})::text, add_histograms(NULL) FROM unnest(%s, %s) AS held (bucket, n)",
            [[bucket for bucket, _n in held], [n for _bucket, n in held]],
        )
        same, packed, of_none = cursor.fetchone()
    assert same
    assert unpack(packed) == ([0, 463, LAST], [3, -3, 8])
    assert of_none is None
