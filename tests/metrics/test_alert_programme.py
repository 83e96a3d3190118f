"""Teams and alert rules travel in the programme file; their secrets do not."""

import pytest

from metrics.models import AlertRule, Team, TeamAddress
from surveys.flow.programme import ProgrammeError, export_programme, import_programme
from surveys.models import Touchpoint
from tests.factories import make_organisation

pytestmark = pytest.mark.django_db
SECRET = "json://user:pass-word@hooks.example.com/hook"
FILE = """
journeys: [{slug: buying, stages: [pay]}]
touchpoints: [{slug: delivery, channel: website, instrument: nps, targets: {nps: 40}}]
teams:
  - {slug: care, name: {en: Care, zh-hans: 客服}, language: zh-hans, addresses: [care@example.com, "env:CX_WECOM"]}
alerts:
  - {slug: nps-low, kind: below_target, metric: nps, touchpoint: delivery, window: 28d, teams: [care]}
  - {slug: dropped, name: {en: It fell}, kind: drop, metric: csat, scale: 5, channel: app, segment: gold, baseline: year, alone: true}
  - {slug: old, kind: open_longer, stage: buying/pay, longer_than: 48h, at_least: 3, active: false}
"""


def everything() -> list[object]:
    return [
        list(model.objects.order_by("pk").values()) for model in (Team, TeamAddress, AlertRule, AlertRule.teams.through)
    ]


def test_they_become_rows_and_travel_there_and_back() -> None:
    make_organisation()
    import_programme(FILE)
    low, dropped, old = (AlertRule.objects.get(slug=slug) for slug in ("nps-low", "dropped", "old"))
    assert (low.window_days, low.touchpoint, [team.slug for team in low.teams.all()]) == (
        28,
        Touchpoint.objects.get(),
        ["care"],
    )
    assert (dropped.points, dropped.channel, dropped.segment, dropped.baseline, dropped.alone) == (
        5,
        "app",
        "gold",
        "year",
        True,
    )
    assert (old.longer_than_s, old.at_least, old.active, str(old.stage and old.stage.key)) == (
        172_800,
        3,
        False,
        "buying/pay",
    )
    before, exported = everything(), export_programme()
    assert import_programme(exported).is_empty
    assert (everything(), export_programme()) == (before, exported)
    for model in (AlertRule, Team):
        model.objects.all().delete()
    import_programme(exported)
    assert export_programme() == exported


def test_secrets_stay_where_they_are() -> None:
    make_organisation()
    import_programme(FILE)
    TeamAddress.objects.create(team=Team.objects.get(), address=SECRET)
    exported = export_programme()
    assert "hooks.example.com" not in exported
    assert "env:CX_WECOM" in exported
    import_programme("teams: [{slug: care, addresses: [lead@example.com]}]")
    active = dict(TeamAddress.objects.values_list("address", "active"))
    assert active == {"care@example.com": False, "env:CX_WECOM": False, SECRET: True, "lead@example.com": True}
    import_programme(exported)
    assert export_programme() == exported


def test_an_absent_key_keeps_its_value_and_null_takes_it_away() -> None:
    make_organisation()
    import_programme(FILE)
    import_programme("alerts: [{slug: old, at_least: null, stage: null, longer_than: 3d}]")
    old = AlertRule.objects.get(slug="old")
    assert (old.at_least, old.stage, old.longer_than_s, old.active) == (None, None, 259_200, False)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{slug: a}", "needs its “kind”"),
        ("{slug: a, kind: louder}", "not known here"),
        ("{slug: a, kind: drop}", "watches a metric"),
        ("{slug: a, kind: drop, metric: csat}", "never pooled"),
        ("{slug: a, kind: below_target, metric: nps}", "Name the target"),
        ("{slug: a, kind: open_longer}", "span of time"),
        ("{slug: a, kind: drop, metric: nps, window: 36h}", "Whole days"),
        ("{slug: a, kind: drop, metric: nps, touchpoint: nowhere}", "no touchpoint “nowhere”"),
        ("{slug: a, kind: drop, metric: nps, stage: pay}", "no stage “pay”"),
        ("{slug: a, kind: drop, metric: nps, teams: [nobody]}", "no team “nobody”"),
        ("{slug: a, kind: drop, metric: nps, colour: red}", "not known here"),
    ],
)
def test_what_cannot_be_is_told_with_its_line_and_nothing_changes(line: str, fault: str) -> None:
    make_organisation()
    with pytest.raises(ProgrammeError) as raised:
        import_programme(f"teams: [{{slug: care}}]\nalerts:\n  - {line}\n")
    [found] = raised.value.faults
    assert (found.line, fault in found.message) == (3, True), found
    assert not Team.objects.exists()


def test_an_address_that_is_none_is_a_fault() -> None:
    make_organisation()
    with pytest.raises(ProgrammeError, match="neither an email address"):
        import_programme("teams: [{slug: care, addresses: [care]}]")
