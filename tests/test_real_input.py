"""Real incidents in, TTR out: what the REST API says of them is what pandas and lifelines say of the file.

Everything is real: HTTP, PostgreSQL, Redis, a worker and beat that roll up. The file says how often an incident was reopened but
not when, so no event can express that. Which tickets are open at a cut is told twice: the file's own times moved as a
whole, so that the cut is the moment of the test.
"""

import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import lifelines
import numpy as np
import pandas as pd
import pytest
import requests
import scipy.stats

from tests.incidents import SAMPLE, WHOLE, read_incidents
from tests.stack import Stack, until

ZONE = "Asia/Shanghai"  # months do not end when the file's do
CUT = pd.Timestamp("2016-05-01T00:00:00Z")
BATCH = 1_000
REPEATED = 0.05
WRITERS = 4
# Contact channels are touchpoints; where they happen is ours to say.
CHANNELS = {
    "Phone": "call_center",
    "IVR": "call_center",
    "Email": "website",
    "Self service": "website",
    "Direct opening": "on_site",
}
PROGRAMME = (
    f"organisation: {{name: {{en: Service desk}}, time_zone: {ZONE}, languages: [en]}}\ntouchpoints:\n"
    + "".join(
        f"  - {{slug: {slug}, name: {{en: {slug}}}, channel: {channel}}}\n"
        for slug, channel in [
            *((contact.lower().replace(" ", "-"), channel) for contact, channel in CHANNELS.items()),
            ("at-cut", "app"),
        ]
    )
)


def as_seen(table: pd.DataFrame) -> pd.DataFrame:
    """The file with what the tests group by, and `done_at`: resolved or, never resolved, closed."""
    return table.assign(
        touchpoint=table.contact_type.str.lower().str.replace(" ", "-"),
        channel=table.contact_type.map(CHANNELS),
        segment=table.priority,
        location=table.category.fillna(""),
        done_at=table.resolved_at.fillna(table.closed_at),
    )


def events_of(table: pd.DataFrame, source: str) -> list[dict[str, Any]]:
    """Up to three events per incident: what has no time has not happened."""
    events = []
    for row in table.itertuples():
        for kind in ("opened", "resolved", "closed"):
            moment = getattr(row, f"{kind}_at")
            if pd.isna(moment):
                continue
            events.append(
                {
                    "specversion": "1.0",
                    "id": f"{row.number}-{kind}",
                    "source": source,
                    "type": f"ticket.{kind}",
                    "time": moment.isoformat(),
                    "subject": row.number,
                    "data": {
                        "touchpoint": row.touchpoint,
                        "reference": row.number,
                        "location": row.location,
                        "customer": {"segment": row.segment},
                    },
                }
            )
    return events


def post(running: Stack, key: str, events: Sequence[dict[str, Any]]) -> float:
    """All events, shuffled and 5 % of them repeated, from several writers at once; the seconds that it took."""
    chance = random.Random(1)
    sent = [*events, *chance.sample(events, round(REPEATED * len(events)))]
    chance.shuffle(sent)
    batches = [sent[at : at + BATCH] for at in range(0, len(sent), BATCH)]
    session = requests.Session()

    def post_batch(batch: list[dict[str, Any]]) -> dict[str, Any]:
        answer = session.post(
            f"{running.url}/api/v1/events/",
            json=batch,
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/cloudevents-batch+json"},
        )
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found

    started = time.monotonic()
    with ThreadPoolExecutor(WRITERS) as pool:
        answers = list(pool.map(post_batch, batches))
    took = time.monotonic() - started
    assert [row for answer in answers for row in answer["rejected"]] == []
    assert sum(answer["accepted"] for answer in answers) == len(events)
    assert sum(answer["duplicates"] for answer in answers) == len(sent) - len(events)
    return took


class Metrics:
    """`GET metrics/ttr/` of a running server."""

    def __init__(self, running: Stack, key: str) -> None:
        self.url = f"{running.url}/api/v1/metrics/ttr/"
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {key}"

    def ttr(self, **query: Any) -> dict[str, Any]:
        answer = self.session.get(self.url, params=query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def wait_for(self, n: int, **query: Any) -> dict[str, Any]:
        """The metric once `n` tickets are rolled up."""
        until(lambda: self.ttr(**query)["n"] == n, 30, lambda: f"{self.ttr(**query)['n']} of {n}")
        return self.ttr(**query)


def seconds(opened: pd.Series, ended: pd.Series) -> np.ndarray:
    return (ended - opened).dt.total_seconds().to_numpy()


def check_resolved(found: dict[str, Any], table: pd.DataFrame) -> None:
    """Count exact, mean within 0.01 %, quantiles within 1 % of pandas'. Nothing for nobody."""
    durations = pd.Series(seconds(table.opened_at, table.done_at))
    assert found["n"] == len(durations)
    if not len(durations):
        assert (found["value"], found["median"], found["p90"], found["ci"]) == (None, None, None, None)
        return
    assert found["value"] == pytest.approx(durations.mean(), rel=1e-4)
    assert found["median"] == pytest.approx(durations.quantile(0.5), rel=0.01)
    assert found["p90"] == pytest.approx(durations.quantile(0.9), rel=0.01)
    assert found["reopened_share"] == 0
    if len(durations) > 30:
        assert found["ci"]["low"] < durations.mean() < found["ci"]["high"]


def check_with_open(found: dict[str, Any], table: pd.DataFrame, now: pd.Timestamp) -> None:
    """Kaplan–Meier's median within 1 % of lifelines'; `table` are the tickets opened in the period."""
    if table.empty:
        assert found["median_with_open"] is None
        return
    fitted = lifelines.KaplanMeierFitter().fit(
        seconds(table.opened_at, table.done_at.fillna(now)), table.done_at.notna()
    )
    # Not `median_survival_time_`: an exact half of an even count is a product of fractions there, and missed by an ulp.
    survival = fitted.survival_function_["KM_estimate"]
    reached = survival[survival <= 0.5 + 1e-9]
    if reached.empty:
        assert found["median_with_open"] is None
    else:
        assert found["median_with_open"] == pytest.approx(reached.index[0], rel=0.01)


def months(first: pd.Timestamp, last: pd.Timestamp) -> list[str]:
    return [str(month.start_time.date()) for month in pd.period_range(first, last, freq="M")]


def month_of(moments: pd.Series) -> pd.Series:
    """The first day of each moment's month where the organisation is."""
    return moments.dt.tz_convert(ZONE).dt.strftime("%Y-%m-01")


def wholes() -> Iterator[Any]:
    yield pytest.param(SAMPLE, 10, id="a-tenth-of-the-sample")
    missing = pytest.mark.skipif(not WHOLE.exists(), reason="the whole table is not beside the project")
    yield pytest.param(WHOLE, 1, id="whole", marks=[pytest.mark.slow, missing])


@pytest.mark.parametrize(("path", "every"), wholes())
def test_what_the_api_says_of_real_incidents_is_what_the_file_says(
    stack: Any, tmp_path: Path, path: Path, every: int, capsys: pytest.CaptureFixture[str]
) -> None:
    table = as_seen(read_incidents(path).iloc[::every])
    assert (table.done_at >= table.opened_at).all()
    running: Stack = stack()
    programme = tmp_path / "programme.yaml"
    programme.write_text(PROGRAMME)
    running.manage("import_programme", str(programme))
    key = running.api_key("events:write", "metrics:read")
    metrics = Metrics(running, key)

    events = events_of(table, "/desk")
    took = post(running, key, events)
    whole = metrics.wait_for(len(table))
    with capsys.disabled():
        rate = len(events) / took
        print(f"\n{len(table):,} incidents, {len(events):,} events in {took:.1f} s: {rate:,.0f} per second")  # noqa: T201

    check_everything(metrics, whole, table)
    check_compared(metrics, table)
    if path == WHOLE:
        # Never resolved: 1,556, which count by their closing.
        assert (len(table), int(table.resolved_at.isna().sum())) == (24_918, 1_556)

    check_at_the_cut(running, key, metrics, table)
    assert running.manage("verify_rollups").strip().endswith("0 differences")


def check_everything(metrics: Metrics, whole: dict[str, Any], table: pd.DataFrame) -> None:
    now = pd.Timestamp.now("UTC")
    check_resolved(whole, table)
    check_with_open(whole, table, now)
    assert whole["open"] == 0

    # By contact channel, and by every other dimension that a ticket has.
    for dimension in ("touchpoint", "channel", "segment", "location"):
        groups = {group["key"]: group for group in metrics.ttr(group_by=dimension)["groups"]}
        assert groups.keys() == set(table[dimension])
        for key, rows in table.groupby(dimension):
            check_resolved(groups[key], rows)
            check_with_open(groups[key], rows, now)

    # By month: resolved in it, and for Kaplan–Meier opened in it.
    resolved_in, opened_in = month_of(table.done_at), month_of(table.opened_at)
    series = metrics.ttr(interval="month")["series"]
    assert [period["start"] for period in series] == months(
        table.opened_at.dt.tz_convert(ZONE).dt.tz_localize(None).min(),
        table.done_at.dt.tz_convert(ZONE).dt.tz_localize(None).max(),
    )
    for period in series:
        check_resolved(period, table[resolved_in == period["start"]])
        check_with_open(period, table[opened_in == period["start"]], now)

    # A slice of several dimensions at once, with days that are no whole months, by week.
    query = {"touchpoint": "phone", "segment": ["3 - Moderate", "2 - High"], "from": "2016-03-10", "to": "2016-05-20"}
    days = {name: table[name].dt.tz_convert(ZONE).dt.strftime("%Y-%m-%d") for name in ("done_at", "opened_at")}
    sliced = (table.touchpoint == "phone") & table.segment.isin(query["segment"])
    found = metrics.ttr(**query)
    check_resolved(found, table[sliced & days["done_at"].between(query["from"], query["to"])])
    check_with_open(found, table[sliced & days["opened_at"].between(query["from"], query["to"])], now)
    weeks = metrics.ttr(**query, interval="week")["series"]
    assert sum(week["n"] for week in weeks) == found["n"]
    assert {week["start"] for week in weeks} == {
        str(day.date()) for day in pd.date_range("2016-03-07", "2016-05-20", freq="W-MON")
    }


def check_compared(metrics: Metrics, table: pd.DataFrame) -> None:
    """One month of resolutions against the one before, as scipy does of the single tickets; and touchpoints of equal weight."""
    done = table.done_at.dt.tz_convert(ZONE).dt.strftime("%Y-%m-%d")
    months = {"now": ("2016-04-01", "2016-04-30"), "before": ("2016-03-01", "2016-03-31")}
    now, before = (
        seconds(one.opened_at, one.done_at) for one in (table[done.between(*days)] for days in months.values())
    )
    asked = {"from": "2016-04-01", "to": "2016-04-30", "compare_from": "2016-03-01", "compare_to": "2016-03-31"}
    found = metrics.ttr(**asked, weights="touchpoint")
    told = found["comparison"]
    wanted = scipy.stats.ttest_ind(now, before, equal_var=False)
    assert (told["n"], told["difference"]) == (len(before), pytest.approx(now.mean() - before.mean()))
    # Of buckets 1 % wide: each deviation is off by 0.5 % at most, so the error is, too.
    error = abs(wanted.statistic) ** -1 * abs(now.mean() - before.mean())
    ends = (told["difference_ci"]["low"], told["difference_ci"]["high"])
    assert ends == pytest.approx(tuple(wanted.confidence_interval()), abs=0.02 * error)
    assert told["p"] == pytest.approx(wanted.pvalue, rel=0.1)
    assert told["significant"] is bool(ends[0] > 0 or ends[1] < 0)
    medians = np.median(now), np.median(before)
    assert told["median"]["difference"] == pytest.approx(medians[0] - medians[1], abs=0.01 * sum(medians))
    low, high = told["median"]["difference_ci"]["low"], told["median"]["difference_ci"]["high"]
    assert low < medians[0] - medians[1] < high

    weighted = found["weighted"]
    here = table[done.between(*months["now"])].assign(s=now)
    means, sizes = here.groupby("touchpoint").s.mean(), here.groupby("touchpoint").s.count()
    enough = sizes[sizes >= 5].index
    # `at-cut` has a weight and no ticket yet, and so it is missing with those that have too few.
    missing = 1 - len(enough) / (len(CHANNELS) + 1)
    assert weighted["missing"] == pytest.approx(missing)
    if missing <= 0.2:
        assert (weighted["value"], weighted["n"]) == (pytest.approx(means[enough].mean()), sizes[enough].sum())
    else:
        assert weighted["value"] is None
    assert {one["key"]: one["n"] for one in weighted["strata"] if one["n"]} == sizes.to_dict()


def check_at_the_cut(running: Stack, key: str, metrics: Metrics, table: pd.DataFrame) -> None:
    """What was known at the cut, moved as a whole to now: what was not resolved then is open now, and as old as it was."""
    now = pd.Timestamp(datetime.now(tz=CUT.tzinfo)).floor("s")
    seen = table[table.opened_at < CUT].assign(touchpoint="at-cut")
    seen["segment"] = seen.resolved_at.notna().map({True: "resolved in the end", False: "only closed"})
    for name in ("opened_at", "resolved_at", "closed_at"):
        seen[name] = seen[name].where(seen[name] < CUT) + (now - CUT)
    seen["done_at"] = seen.resolved_at.fillna(seen.closed_at)
    resolved = seen[seen.done_at.notna()]
    post(running, key, events_of(seen, "/at-cut"))
    found = metrics.wait_for(len(resolved), touchpoint="at-cut")
    until(lambda: metrics.ttr(touchpoint="at-cut")["open"] == len(seen) - len(resolved), 30)
    found = metrics.ttr(touchpoint="at-cut")
    check_resolved(found, resolved)
    check_with_open(found, seen, pd.Timestamp(found["as_of"]))
    assert found["open"] == len(seen) - len(resolved) > 0
    # Counting only the closed ones would look better than it was.
    truth = np.median(seconds(table.opened_at, table.done_at)[(table.opened_at < CUT).to_numpy()])
    assert found["median"] < 0.95 * truth
    assert found["median_with_open"] == pytest.approx(truth, rel=0.05)

    # By month opened, where the youngest month may not have reached its median.
    opened_in = month_of(seen.opened_at)
    for period in metrics.ttr(touchpoint="at-cut", interval="month")["series"]:
        check_with_open(period, seen[opened_in == period["start"]], pd.Timestamp(found["as_of"]))
    groups = metrics.ttr(touchpoint="at-cut", group_by="segment")["groups"]
    for group in groups:
        rows = seen[seen.segment == group["key"]]
        check_resolved(group, rows[rows.done_at.notna()])
        check_with_open(group, rows, pd.Timestamp(found["as_of"]))
        assert group["open"] == int(rows.done_at.isna().sum())
    if len(table) == 24_918:
        # Of those with a resolution in the whole file, computed once with pandas and lifelines: 15,906 opened before the cut, 14,708 of
        # them resolved by then; median of the resolved 23.78 h, Kaplan–Meier 28.27 h.
        found = metrics.ttr(touchpoint="at-cut", segment="resolved in the end")
        assert (found["n"], found["n"] + found["open"]) == (14_708, 15_906)
        assert found["median"] == pytest.approx(23.78 * 3600, rel=0.01)
        assert found["median_with_open"] == pytest.approx(28.27 * 3600, rel=0.01)
