"""How a number looks, at the boundaries where its look changes."""

from collections import Counter
from datetime import date

import pytest
from django.utils import translation

from metrics.display import bars, figures, grid, trends
from metrics.formulas import Estimate, bucket_of, ttr_median
from metrics.limits import limited_by
from metrics.periods import Period, read_period
from metrics.queries import MatrixRow, Measured
from metrics.significance import difference, is_significant
from surveys import words

NPS, CSAT, CES, TTR = ("nps", 11), ("csat", 5), ("ces", 7), ("ttr", 0)
TODAY = date(2026, 11, 20)


def measured(column, distribution) -> Measured:
    now = figures.estimate(column, distribution)
    return Measured(*column, now.value, now.n, now.low, now.high, distribution)


@pytest.mark.parametrize(
    ("value", "text"), [(50.9804, "+51"), (0, "0"), (-0.4, "0"), (0.5, "+1"), (-33.3, "−33"), (None, "–")]
)
def test_nps_carries_its_sign(value, text):
    assert figures.value_text("nps", value) == text


def test_csat_is_a_percentage_and_ces_has_one_decimal():
    assert figures.value_text("csat", 69.1589) == "69%"
    assert figures.value_text("ces", 4.6667) == "4.7"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.5, "1 min"),
        (59.4 * 60, "59 min"),
        (59.6 * 60, "1 h"),
        (3600 + 20 * 60, "1 h 20 min"),
        (3 * 3600, "3 h"),
        (86_400 - 31, "23 h 59 min"),
        (86_400 - 29, "1 d"),
        (2 * 86_400, "2 d"),
        (2.04 * 86_400, "2 d"),
        (2.06 * 86_400, "2.1 d"),
        (2.5 * 86_400, "2.5 d"),
        (10 * 86_400, "10 d"),
        (1.2 * 86_400, "1.2 d"),
        (99.94 * 86_400, "99.9 d"),
        (99.96 * 86_400, "100 d"),
        (-7200, "−2 h"),
    ],
)
def test_a_duration_is_told_in_its_largest_sensible_unit(seconds, text):
    assert words.duration(seconds) == text


def test_a_change_keeps_its_sign_and_zero_has_none():
    assert figures.change_text("nps", 6.2) == "+6"
    assert figures.change_text("nps", -6.2) == "−6"
    assert figures.change_text("csat", -0.2) == "0"
    assert figures.change_text("ttr", -7200) == "−2 h"
    assert figures.change_text("ttr", 0.2) == "0 s"


def test_four_answers_are_too_few_and_five_are_a_value():
    few = figures.figure(CSAT, figures.estimate(CSAT, {5: 4}), None, {})
    enough = figures.figure(CSAT, figures.estimate(CSAT, {5: 5}), None, {})
    assert (few.state, few.text) == ("few", "n = 4, too few")
    assert (enough.state, enough.text, enough.n_text) == ("value", "100%", "n = 5, low n")


def test_nobody_is_a_dash_and_never_a_zero():
    nobody = figures.figure(NPS, figures.estimate(NPS, {}), None, {})
    assert (nobody.state, nobody.text, nobody.n) == ("nothing", "–", 0)


def test_both_ends_of_an_interval_are_told():
    shown = figures.figure(NPS, figures.estimate(NPS, {0: 6, 7: 13, 10: 32}), None, {})
    assert (shown.low, shown.high) == ("+29", "+67")
    assert shown.interval_text == "95% interval: +29 to +67"
    assert shown.whisker.low == pytest.approx((100 + 29.2949) / 2, abs=0.01)


def test_a_target_is_met_at_its_own_value_and_missed_just_below():
    at = figures.figure(CSAT, Estimate(85.0, 80, 90, 200), None, {"csat": 85})
    below = figures.figure(CSAT, Estimate(84.9, 80, 90, 200), None, {"csat": 85})
    assert (at.verdict.met, at.verdict.text) == (True, "target 85% met")
    assert (below.verdict.met, below.verdict.text) == (False, "target 85% missed")


def resolved_in(seconds: int, n: int = 90) -> figures.Counted:
    return figures.estimate(TTR, Counter(bucket_of(seconds + 3 * step) for step in range(-(n // 2), n - n // 2)))


def test_a_time_to_resolution_is_better_when_it_is_shorter():
    shown = figures.figure(TTR, resolved_in(3590), resolved_in(7200), {"ttr_hours": 1})
    assert (shown.change.text, shown.change.direction, shown.change.tone) == ("−1 h", "down", "good")
    assert shown.verdict.met
    assert figures.figure(TTR, resolved_in(7200), resolved_in(3590), {}).change.tone == "bad"


def test_a_change_within_chance_says_so_quietly():
    shown = figures.figure(NPS, figures.estimate(NPS, {0: 10, 10: 20}), figures.estimate(NPS, {0: 11, 10: 19}), {})
    assert (shown.change.tone, shown.change.word) == ("quiet", "no significant change")


def test_a_change_is_not_told_of_too_few_answers_before():
    assert figures.figure(NPS, figures.estimate(NPS, {10: 30}), figures.estimate(NPS, {0: 4}), {}).change is None
    assert (
        figures.figure(NPS, figures.estimate(NPS, {10: 30}), figures.estimate(NPS, {0: 5}), {}).change.word == "better"
    )


def test_a_change_that_has_no_interval_is_not_told():
    """Five tickets have no interval of their median; answers that all agree have no error."""
    assert figures.figure(TTR, resolved_in(3600), resolved_in(7200, 5), {}).change is None
    assert figures.figure(CES, figures.estimate(CES, {7: 30}), figures.estimate(CES, {6: 30}), {}).change is None


def test_a_change_tells_the_interval_that_it_is_judged_by():
    """ORACLES' pair, on adjusted counts: p is 0.037, and the interval leaves 0 out."""
    now, before = figures.estimate(NPS, {0: 10, 10: 20}), figures.estimate(NPS, {0: 18, 10: 12})
    change = figures.figure(NPS, now, before, {}).change
    assert (change.text, change.word, change.interval_text) == ("+53", "better", "95% interval: +3 to +94")
    assert figures.compared(NPS, now, before).p == pytest.approx(0.037054, abs=5e-7)


def test_a_comparison_made_elsewhere_is_told_in_the_same_way():
    now, before = figures.estimate(CSAT, {5: 56, 1: 14}), figures.estimate(CSAT, {5: 48, 1: 32})
    told = figures.figure(CSAT, now, figures.compared(CSAT, now, before), {})
    assert told == figures.figure(CSAT, now, before, {})


def test_a_value_of_few_answers_is_marked_and_thirty_are_not_few():
    few, enough = (figures.figure(CSAT, figures.estimate(CSAT, {5: n}), None, {}) for n in (29, 30))
    assert (few.state, few.text, few.n_text) == ("value", "100%", "n = 29, low n")
    assert enough.n_text == "n = 30"
    with translation.override("zh-hans"):
        assert figures.marked_count(29) == "n = 29，样本偏少"


def test_what_is_few_is_the_organisations_to_say():
    now, before = figures.estimate(CSAT, {5: 9}), figures.estimate(CSAT, {1: 9})
    assert figures.figure(CSAT, now, before, {}).change.word == "better"
    with limited_by(10, 200):
        assert figures.figure(CSAT, now, before, {}).text == "n = 9, too few"
        assert figures.figure(CSAT, figures.estimate(CSAT, {5: 10}), before, {}).change is None
        assert figures.figure(CSAT, figures.estimate(CSAT, {5: 199}), None, {}).n_text == "n = 199, low n"
        assert trends.trend(CSAT, [(TODAY, measured(CSAT, {5: 9}))], "day", {}).chart["values"] == [None]
        assert beside(CSAT, {"mean": 4.25}, n=9) == {}
    assert figures.figure(CSAT, now, None, {}).state == "value"


def test_the_difference_of_two_shares_is_newcombes():
    """56 of 70 against 48 of 80: 0.2, from 0.0524 to 0.3339 (Newcombe 1998, table II, method 10)."""
    a, b = figures.estimate(CSAT, {5: 56, 1: 14}), figures.estimate(CSAT, {5: 48, 1: 32})
    change = difference(a, b)
    assert [round(part, 2) for part in (change.value, change.low, change.high)] == [20.0, 5.24, 33.39]
    assert is_significant(change)


def test_no_difference_is_told_of_nobody():
    assert difference(figures.estimate(CSAT, {}), figures.estimate(CSAT, {5: 9})) is None


def test_the_interval_of_a_median_is_made_of_order_statistics():
    """n = 100: the 40th and the 61st of the sorted durations (Campbell and Gardner 1988); five have no interval."""
    buckets = {}
    for seconds in range(1000, 101_000, 1000):
        buckets[bucket_of(seconds)] = buckets.get(bucket_of(seconds), 0) + 1
    median = ttr_median(buckets)
    assert median.low == pytest.approx(40_000, rel=0.01)
    assert median.high == pytest.approx(61_000, rel=0.01)
    assert ttr_median({bucket_of(60): 5}).low is None
    assert ttr_median({bucket_of(60): 6}).low is not None


def test_pooling_adds_counts_and_never_values():
    parts = [measured(NPS, {10: 1}), measured(NPS, {0: 99})]
    assert figures.pooled(NPS, parts).value == -98


def test_the_matrix_keeps_csat_scales_apart_and_leaves_out_what_holds_nothing():
    rows = [
        MatrixRow("shop", "csat", 5, measured(("csat", 5), {5: 9}), None),
        MatrixRow("shop", "csat", 7, measured(("csat", 7), {7: 8}), None),
        MatrixRow("shop", "ces", 7, measured(CES, {}), None),
    ]
    places = [grid.Place("shop", "Shop", "Buying", "website"), grid.Place("gone", "Gone", "", "app", active=False)]
    shown = grid.matrix(rows, places)
    assert shown.columns == [("csat", 5), ("csat", 7)]
    assert [line.place.slug for group in shown.groups for line in group.lines] == ["shop"]
    assert [figure.n for figure in shown.groups[0].lines[0].figures] == [9, 8]


def test_a_trend_leaves_a_gap_where_too_few_answered():
    series = [(date(2026, 11, 2), measured(NPS, {10: 9})), (date(2026, 11, 9), measured(NPS, {10: 4}))]
    shown = trends.trend(NPS, series, "week", {"nps": 40})
    assert shown.chart["values"] == [100, None]
    assert [point.figure.text for point in shown.points] == ["+100", "n = 4, too few"]
    assert shown.chart["target"] == 40


def test_durations_are_drawn_in_one_unit():
    series = [(TODAY, measured(TTR, {bucket_of(3 * 86_400): 9}))]
    shown = trends.trend(TTR, series, "day", {"ttr_hours": 48})
    assert shown.chart["values"][0] == pytest.approx(3, rel=0.01)
    assert (shown.chart["target"], shown.chart["unit"]) == (2, "days")


def test_bands_are_told_from_the_scale_alone():
    assert [words.band_tone("nps", 11, score) for score in (6, 7, 8, 9)] == ["worst", "middle", "middle", "best"]
    assert words.band_tone("nps", 11, None) == ""
    shares = bars.breakdown(Measured("nps", 11, None, 4, None, None, {}, {"promoters": 3, "detractors": 1}))
    assert [(share.label, share.percent_text, share.tone) for share in shares] == [
        ("Promoters", "75%", "best"),
        ("Detractors", "25%", "worst"),
    ]


def test_figures_speak_chinese():
    with translation.override("zh-hans"):
        assert words.duration(3 * 3600 + 20 * 60) == "3 小时 20 分钟"
        assert figures.too_few(3) == "n = 3，样本太少"
        assert trends.period_label(date(2026, 11, 2), "week") == "11月2日"


# --- Periods ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ({}, date(2026, 10, 22), TODAY),
        ({"period": "7d"}, date(2026, 11, 14), TODAY),
        ({"period": "90d"}, date(2026, 8, 23), TODAY),
        ({"period": "month"}, date(2026, 11, 1), TODAY),
        ({"period": "quarter"}, date(2026, 10, 1), TODAY),
        ({"period": "custom", "from": "2026-01-05", "to": "2026-01-11"}, date(2026, 1, 5), date(2026, 1, 11)),
        ({"from": "2026-11-01"}, date(2026, 11, 1), TODAY),
    ],
)
def test_a_period_holds_both_its_days(query, first, last):
    period = read_period(query, TODAY)
    assert (period.first, period.last, period.wrong) == (first, last, False)


@pytest.mark.parametrize(
    "query",
    [
        {"period": "custom", "from": "2026-02-30"},
        {"period": "custom", "from": "2026-03-02", "to": "2026-03-01"},
        {"period": "custom"},
        {"period": "soon"},
        {"from": "0001-01-01"},
    ],
)
def test_days_that_are_none_fall_back_and_say_so(query):
    period = read_period(query, TODAY)
    assert (period.first, period.wrong) == (date(2026, 10, 22), True)


def test_a_period_is_compared_with_as_many_days_directly_before():
    assert Period("7d", date(2026, 11, 14), TODAY).before == (date(2026, 11, 7), date(2026, 11, 13))


@pytest.mark.parametrize(
    ("days", "n", "interval"),
    [
        *((7, 0, "day"), (14, 0, "day"), (15, 299, "week"), (15, 300, "day"), (30, 0, "week"), (30, 599, "week")),
        *((30, 600, "day"), (90, 239, "month"), (90, 240, "week"), (90, 1799, "week"), (90, 1800, "day")),
        *((366, 100, "quarter"), (366, 240, "month")),
    ],
)
def test_a_trend_is_cut_as_finely_as_its_answers_allow(days, n, interval):
    first = date.fromordinal(TODAY.toordinal() - days + 1)
    assert Period("custom", first, TODAY).interval(n) == interval


# --- One answer, and what stands beside a metric ----------------------------------------------------------------------


def test_a_score_is_told_with_the_top_of_its_scale():
    assert figures.score_text("nps", 11, 9) == "9 / 10"
    assert figures.score_text("csat", 5, 1) == "1 / 5"
    assert figures.score_text("ces", 7, None) == "–"


def test_one_answer_is_named_by_its_band():
    assert [words.band_word("nps", 11, score) for score in (6, 7, 8, 9)] == [
        "Detractor",
        "Passive",
        "Passive",
        "Promoter",
    ]
    assert words.band_word("nps", 11, None) == words.band_word("nps", 11, 11) == words.band_word("ttr", 0, 3) == ""


def beside(column, extra, n=9):
    return {fact.label: fact.text for fact in figures.facts(Measured(*column, 3600.0, n, None, None, extra=extra))}


def test_a_metric_brings_its_own_further_fields():
    assert beside(NPS, {}) == {}
    assert beside(CSAT, {"mean": 4.25}) == {"Mean score": "4.3 / 5"}
    assert beside(CES, {"easy_share": 66.67}) == {"Say that it was easy": "67%"}
    ttr = {"median": 60.0, "p90": 7200.0, "median_with_open": None, "reopened_share": 0.125, "open": 1234}
    assert beside(TTR, ttr) == {
        "Mean": "1 h",
        "9 of 10 tickets within": "2 h",
        "Median with open tickets": "not reached yet",
        "Reopened": "13%",
        "Open now": "1,234",
    }


def test_below_five_only_open_tickets_are_told():
    assert beside(CSAT, {"mean": 4.25}, n=4) == {}
    assert beside(CSAT, {"mean": 4.25}, n=5) != {}
    assert beside(TTR, {"p90": 7200.0, "open": 2}, n=4) == {"Open now": "2"}
