"""Ids grow with time, and cannot be guessed from one another."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surveys.ids import RANDOM_BITS, time_ordered_id

moments = st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1), timezones=st.just(UTC))


@given(moments, st.integers(1, 10**9))
def test_a_later_one_is_greater(now, later):
    assert time_ordered_id(now) < time_ordered_id(now + timedelta(milliseconds=later))


@given(moments)
def test_it_is_what_the_standard_calls_version_7(now):
    made = time_ordered_id(now)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == int(now.timestamp() * 1000)


def test_those_of_one_moment_differ_in_their_random_bits():
    now = datetime(2026, 11, 26, tzinfo=UTC)
    mask = (0xFFF << 64) | ((1 << 62) - 1)
    held = [time_ordered_id(now).int & mask for _number in range(2_000)]
    assert len(set(held)) == 2_000
    for bit in [*range(62), *range(64, 76)]:
        ones = sum(one >> bit & 1 for one in held)
        assert 800 < ones < 1_200, bit  # nine standard errors
    assert RANDOM_BITS == 62 + 12


def test_a_clock_elsewhere_says_the_same():
    now = datetime(2026, 11, 26, 12, tzinfo=UTC)
    there = now.astimezone(timezone(timedelta(hours=8)))
    assert time_ordered_id(now).int >> 80 == time_ordered_id(there).int >> 80


@pytest.mark.parametrize("now", [datetime(2026, 11, 26), datetime(1969, 12, 31, tzinfo=UTC)])
def test_a_moment_that_is_none_is_refused(now):
    with pytest.raises(ValueError, match="aware moment"):
        time_ordered_id(now)
