"""What became of invitations: every state by hand, the sums that must hold of any, and the tables made of them."""

from datetime import date, timedelta

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from metrics.display import funnel_pages
from metrics.raw.funnel import Cases, Passage, Segments, marginal, measure_passages, whole
from surveys.models import Customer, InboundText, Invitation
from tests.factories import make_rule, make_touchpoint
from tests.metrics.invited import DAY, LONG_AGO, NOW, answer, asked, customer_of, refuse, remind, send, wait


@pytest.fixture
def touchpoint(db):
    return make_touchpoint("delivery")


def measured(touchpoint, **fields) -> Passage:
    return whole(measure_passages(asked(touchpoint, **fields), with_refusals=True))


# --- Counting ---------------------------------------------------------------------------------------------------------


def test_each_state_is_counted_where_it_came_to(touchpoint):
    refuse(touchpoint, "resting_any")
    refuse(touchpoint, "resting_any")
    refuse(touchpoint, "superseded", status="cancelled")
    wait(touchpoint)
    refuse(touchpoint, "bounced", status="failed")
    send(touchpoint)
    send(touchpoint, status="opened", opened_at=DAY + timedelta(hours=4))
    answer(send(touchpoint))
    answer(send(touchpoint), complete=False)
    answer(send(touchpoint), excluded=True)
    send(touchpoint, status="failed", reason="bounced")
    send(touchpoint, status="cancelled", reason="erased", token=None)
    found = measured(touchpoint)
    assert (found.decided, found.withheld, found.scheduled) == (12, {"resting_any": 2, "superseded": 1}, 9)
    assert (found.waiting, found.refused, found.sent, found.returned) == (1, 1, 7, 1)
    assert (found.opened, found.started, found.partial, found.complete, found.answered) == (4, 3, 1, 1, 2)
    assert (found.traced, found.delivered) == (0, 0)
    assert (found.open, found.is_final) == (7, False)


def test_deliveries_are_known_only_of_carriers_that_report(touchpoint):
    send(touchpoint)  # plain SMTP
    send(touchpoint, mode="sms", report="")
    send(touchpoint, mode="sms", report="delivered")
    send(touchpoint, mode="sms", report="failed", status="failed", reason="undeliverable")
    answer(send(touchpoint, mode="sms", report=""))  # who answers has got it
    by_mode = marginal(measure_passages(asked(touchpoint), ["mode"]), 0)
    assert (by_mode["email"].sent, by_mode["email"].traced, by_mode["email"].delivered) == (1, 0, 0)
    assert (by_mode["sms"].traced, by_mode["sms"].delivered, by_mode["sms"].traced_answered) == (4, 2, 1)
    assert funnel_pages.answered_of_delivered(by_mode["email"]) is None
    assert funnel_pages.answered_of_delivered(by_mode["sms"]).value == 50


def test_a_carrier_of_which_nothing_was_ever_heard_does_not_report(touchpoint):
    """It names its messages, but its webhook is not set."""
    send(touchpoint, report="")
    answer(send(touchpoint, report=""))
    send(touchpoint, mode="sms", report="delivered")
    by_mode = marginal(measure_passages(asked(touchpoint), ["mode"]), 0)
    assert (by_mode["email"].traced, by_mode["email"].delivered, by_mode["sms"].traced) == (0, 0, 1)
    assert measured(touchpoint).traced == 1


def test_what_was_opened_has_gone_out_whatever_the_carrier_said(touchpoint):
    """Handed over without a word: tried again for hours, then given up, and it had arrived."""
    refuse(touchpoint, "undeliverable", status="failed", opened_at=DAY)
    refuse(touchpoint, "undeliverable", status="failed")
    found = measured(touchpoint)
    assert (found.sent, found.opened, found.refused) == (1, 1, 1)


def test_who_complains_has_got_it_and_said_no(touchpoint):
    send(touchpoint, report="complained", at=DAY - timedelta(days=20), status="expired")
    send(touchpoint, report="delivered", at=DAY - timedelta(days=20), status="expired")
    found = measured(touchpoint)
    assert (found.traced, found.delivered) == (2, 2)
    assert found.cases == Cases(refused=1, silent=1)


def test_a_second_message_of_the_same_invitation_counts_once(touchpoint):
    made = send(touchpoint, mode="sms", report="delivered")
    made.delivery_attempts.create(
        mode="sms", at=DAY + timedelta(days=3), result="sent", reference="r-again", receipt="", reminder=1
    )
    found = measured(touchpoint)
    assert (found.decided, found.traced, found.delivered) == (1, 1, 1)


def test_the_days_are_the_organisations(touchpoint):
    """Midnight in Shanghai is 16:00 of the day before in UTC."""
    end = asked(touchpoint).end
    send(touchpoint, at=end - timedelta(seconds=1))
    send(touchpoint, at=end)
    assert measured(touchpoint).decided == 1
    monday = asked(touchpoint).end - timedelta(days=4)  # Monday 00:00
    send(touchpoint, at=monday)
    send(touchpoint, at=monday - timedelta(seconds=1))
    weeks = marginal(measure_passages(asked(touchpoint), ["week"]), 0)
    assert {week: passage.decided for week, passage in weeks.items()} == {"2026-11-16": 2, "2026-11-09": 1}
    months = marginal(measure_passages(asked(touchpoint), ["month"]), 0)
    assert {month: passage.decided for month, passage in months.items()} == {"2026-11-01": 3}


def test_filters_narrow_each_other(touchpoint):
    other, rule = make_touchpoint("call"), make_rule(touchpoint)
    send(touchpoint, rule=rule, customer=customer_of("gold"))
    send(touchpoint, rule=rule, mode="sms", language="zh-hans", customer=customer_of("silver"))
    refuse(touchpoint, "no_address", mode="", customer=customer_of("gold"))
    send(other, customer=customer_of("gold"))
    every = asked(touchpoint, other)

    def count(**fields) -> int:
        chosen = {name: fields.pop(name) for name in ("of",) if name in fields}.get("of", (touchpoint, other))
        return whole(measure_passages(asked(*chosen, **fields))).decided

    assert whole(measure_passages(every)).decided == 4
    assert count(of=(other,)) == 1
    assert count(rule=rule.pk) == 2
    assert count(rule=0) == 2
    assert count(mode="sms") == 1
    assert count(language="en") == 3
    assert count(segment="gold") == 3
    assert count(segment="gold", rule=rule.pk, mode="email") == 1
    assert count(segment="nobody") == 0


def test_a_segment_is_the_customers_own_by_the_organisations_attribute(touchpoint):
    for tier in ("gold", True, None, {"a": 1}):
        send(touchpoint, customer=customer_of("ignored", tier=tier))
    by_tier = measure_passages(asked(touchpoint, segments=Segments("tier")), ["segment"])
    assert {key: passage.sent for (key,), passage in by_tier.items()} == {"gold": 1, "true": 1, "": 2}
    full = Segments("", [f"s{number}" for number in range(200)])
    assert set(measure_passages(asked(touchpoint, segments=full), ["segment"])) == {("other",)}


def test_groups_add_up_to_the_whole(touchpoint):
    for number in range(8):
        answer(send(touchpoint, language=["en", "zh-hans"][number % 2], customer=customer_of(["gold", ""][number % 2])))
    refuse(touchpoint, "sampled_out")
    found = measure_passages(asked(touchpoint), ["segment", "mode", "language"])
    for place in range(3):
        assert whole(marginal(found, place)) == whole(found) == measured_without_cases(touchpoint)


def measured_without_cases(touchpoint) -> Passage:
    return whole(measure_passages(asked(touchpoint)))


# --- AAPOR ------------------------------------------------------------------------------------------------------------


def test_cases_are_those_whose_time_is_over(touchpoint):
    old = {"at": DAY - timedelta(days=20)}
    answer(send(touchpoint, **old))
    answer(send(touchpoint, **old), complete=False)
    answer(send(touchpoint, **old), excluded=True)
    remind(send(touchpoint, **old), "cancelled", "unsubscribed")
    stopped = send(touchpoint, mode="sms", report="delivered", **old)
    InboundText.objects.create(provider="x", message_id="1", meaning="stop", invitation=stopped, received_at=NOW)
    send(touchpoint, status="expired", opened_at=NOW, **old)
    send(touchpoint, mode="sms", report="delivered", status="expired", **old)
    send(touchpoint, status="expired", **old)
    send(touchpoint, status="failed", reason="bounced", **old)
    refuse(touchpoint, "bounced", status="failed", **old)
    refuse(touchpoint, "no_address", **old)  # never tried: no case
    send(touchpoint)  # its link still works: no case yet
    assert measured(touchpoint).cases == Cases(
        complete=1, partial=1, refused=2, silent=2, other=1, unknown=1, returned=2
    )


def test_rates_and_e_are_those_of_the_standard_definitions():
    cases = Cases(complete=100, partial=20, refused=10, silent=200, other=6, unknown=250, returned=14)
    e = 336 / 350
    rates = funnel_pages.aapor_rates(cases)
    assert funnel_pages.eligible_share(cases) == pytest.approx(e)
    assert rates == pytest.approx({
        "RR1": 100 * 100 / 600, "RR2": 100 * 120 / 600, "RR3": 100 * 100 / (336 + e * 264), "RR4": 100 * 120 / (336 + e * 264),
        "RR5": 100 * 100 / 336, "RR6": 100 * 120 / 336,
    })  # fmt: skip
    table = funnel_pages.aapor_table(cases)
    assert [row.cells[0].text for row in table.rows] == list(funnel_pages.AAPOR)
    assert [row.cells[2].text for row in table.rows] == ["600", "600", "589", "589", "336", "336"]
    assert table.rows[0].cells[1].text == "16.7%"
    assert "e = 0.96" in table.notes[0]


def test_nothing_known_of_any_fate_takes_all_for_reachable():
    cases = Cases(unknown=50)
    assert funnel_pages.eligible_share(cases) == 1
    assert funnel_pages.aapor_rates(cases)["RR3"] == 0
    texts = [row.cells[1].text for row in funnel_pages.aapor_table(cases).rows]
    assert texts == ["0.0%", "0.0%", "0.0%", "0.0%", "–", "–"]


# --- What must hold of any --------------------------------------------------------------------------------------------


@st.composite
def passages(draw) -> Passage:
    """Any that `measure_passages` could find."""
    complete, partial, excluded, opened, silent, traced = (draw(st.integers(0, 60)) for _place in range(6))
    started = complete + partial + excluded
    sent = started + opened + silent
    traced = min(traced, sent)
    delivered = draw(st.integers(0, traced))
    withheld = draw(st.dictionaries(st.sampled_from(Invitation.Reason.values), st.integers(1, 90)))
    waiting, refused = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    return Passage(
        decided=sent + waiting + refused + sum(withheld.values()), withheld=withheld, waiting=waiting, refused=refused, sent=sent,
        traced=traced, delivered=delivered, traced_answered=draw(st.integers(0, min(delivered, complete + partial))),
        opened=started + opened, started=started, partial=partial, complete=complete, open=draw(st.integers(0, sent)),
    )  # fmt: skip


@given(passages())
def test_steps_never_grow_and_sums_hold(passage: Passage) -> None:
    assert passage.decided == passage.withheld_in_all + passage.scheduled
    assert passage.scheduled == passage.waiting + passage.refused + passage.sent
    table = funnel_pages.funnel_table(passage)
    steps = [row.cells[1].value for row in table.rows if row.level == "plain"]
    known = [step for place, step in enumerate(steps) if place != 3 and step is not None]
    assert known == sorted(known, reverse=True)
    if passage.traced and passage.traced == passage.sent:
        assert steps[3] == passage.delivered <= passage.sent
    shares = [row.cells[2].value for row in table.rows] + [row.cells[3].value for row in table.rows]
    assert all(share >= 0 for share in shares if share is not None)
    withheld = funnel_pages.withheld_table(passage)
    assert sum(row.cells[1].value for row in withheld.rows if row.level == "group") == passage.withheld_in_all
    assert sum(row.cells[1].value for row in withheld.rows if row.level == "part") == passage.withheld_in_all


def test_every_reason_stands_in_a_group():
    grouped = [reason for _key, _title, reasons in funnel_pages.GROUPS for reason in reasons]
    assert sorted(grouped) == sorted(set(grouped))
    assert set(Invitation.Reason.values) <= set(grouped)


# --- How it looks -----------------------------------------------------------------------------------------------------


def texts(table, place: int) -> list[str]:
    return [row.cells[place].text for row in table.rows]


def test_what_a_carrier_never_reports_is_not_known_and_never_nothing():
    passage = Passage(decided=10, sent=10, opened=4, started=2, complete=2)
    table = funnel_pages.funnel_table(passage)
    row = next(row for row in table.rows if row.cells[0].text == "Delivered")
    assert [cell.text for cell in row.cells[1:]] == ["not known", "–", "–"]
    assert "0" not in "".join(cell.text for cell in row.cells)
    mixed = funnel_pages.funnel_table(Passage(decided=10, sent=10, traced=4, delivered=3, opened=4))
    row = next(row for row in mixed.rows if row.cells[0].text == "Delivered")
    assert [cell.text for cell in row.cells[1:]] == ["3", "75.0%", "not known"]
    assert row.cells[0].note == "of 4 that carriers report on; of 10 sent"


def test_few_are_not_told_and_some_are_called_weak():
    few, weak, enough = (
        funnel_pages.rate_cell(funnel_pages.answered_of_sent(Passage(sent=n, complete=2))) for n in (4, 5, 30)
    )
    assert (few.text, few.state, few.value) == ("n = 4, too few", "few", None)
    assert (weak.text, weak.note) == ("40.0%", "n = 5, low n")
    assert (enough.text, enough.note) == ("6.7%", "n = 30")
    assert funnel_pages.rate_cell(None).text == "not known"
    assert funnel_pages.rate_cell(funnel_pages.answered_of_sent(Passage())).text == "–"


def test_a_period_whose_links_still_work_is_not_final():
    periods = [
        (date(2026, 11, 2), Passage(sent=40, complete=10)),
        (date(2026, 11, 9), Passage(sent=40, complete=4, open=12)),
    ]
    table = funnel_pages.rates_table(periods, "week")
    assert [row.cells[0].note for row in table.rows] == ["not final, 12 still open", ""]
    chart = funnel_pages.rates_chart(periods, "week")
    assert chart["rising"] == [False, True]
    assert chart["labels"][1].endswith("*")


def test_what_holds_back_most_leaves_out_what_the_rule_itself_demands():
    passage = Passage(
        decided=100,
        withheld={"ineligible": 50, "resting_any": 12, "no_address": 8},
        sent=30,
        opened=10,
        started=8,
        complete=8,
    )
    said = funnel_pages.holding_back(passage)
    assert said[0] == "Most often withheld: Asked recently – 12 of 100 decisions (12.0%)."
    assert said[1] == "Of 30 sent, 20 were never opened (66.7%)."
    with translation.override("zh-hans"):
        assert "从未打开" in funnel_pages.holding_back(passage)[1]
    assert funnel_pages.holding_back(Passage()) == []


def test_who_is_missing_is_told_with_its_p_and_never_of_few():
    parts = [
        ("silver", "", Passage(sent=400, complete=160)),
        ("new", "", Passage(sent=400, complete=80)),
        ("gold", "", Passage(sent=100, complete=35)),
        ("tiny", "", Passage(sent=4, complete=4)),
        ("nobody", "", Passage()),
    ]
    found = {one.name: one for one in funnel_pages.standings(parts)}
    assert list(found) == ["new", "silver", "gold", "tiny"]
    assert found["new"].is_missing
    assert (found["silver"].is_missing, found["gold"].is_missing) == (False, False)
    assert found["tiny"].p is None
    assert sum(one.of_sent for one in found.values()) == pytest.approx(100)
    table = funnel_pages.standings_table("segment", list(found.values()))
    assert texts(table, 6) == ["answers less often", "answers more often", "no significant difference", ""]
    assert texts(table, 7)[3] == "n = 4, too few"
    assert table.rows[3].cells[2].value is None
    said = funnel_pages.missing_sentences([("Segment", list(found.values()))])
    assert said == ["Segment: new is 44.2% of those invited and 28.7% of those who answered."]


def test_the_least_frequent_parts_are_one_row_and_nothing_is_lost():
    parts = [(f"r{number}", "", Passage(decided=number, sent=number)) for number in range(funnel_pages.MAX_ROWS + 5)]
    table = funnel_pages.parts_table("rule", parts)
    assert len(table.rows) == funnel_pages.MAX_ROWS + 2
    assert sum(row.cells[1].value for row in table.rows[:-1]) == table.rows[-1].cells[1].value


def test_an_erased_customer_is_counted_still(touchpoint):
    made = send(touchpoint, customer=customer_of("gold"), at=DAY - LONG_AGO / 2)
    Customer.objects.filter(pk=made.customer_id).update(segment="", erased_at=NOW)
    assert measured(touchpoint).sent == 1
