"""How touchpoint × metric looks. In: MatrixRows, and the touchpoints to list. Out: a Matrix of Figures. No query, no formula."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from metrics.display.figures import COLUMNS, Column, Counted, Figure, figure, is_enough, meaning, of, title
from metrics.formulas import NOTHING
from metrics.queries import MatrixRow
from metrics.significance import Comparison


@dataclass(frozen=True)
class Place:
    """A touchpoint as the matrix names it."""

    slug: str
    name: str
    journey: str
    channel: str
    targets: Mapping[str, float] = field(default_factory=dict)
    active: bool = True


@dataclass(frozen=True)
class Line:
    """One touchpoint's row: a figure per column, in their order."""

    place: Place
    figures: Sequence[Figure]

    @property
    def holds_anything(self) -> bool:
        return any(figure.state != "nothing" for figure in self.figures)


@dataclass(frozen=True)
class Group:
    """The rows of one journey; "" is none."""

    journey: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Matrix:
    columns: Sequence[Column]
    groups: Sequence[Group]

    @property
    def heads(self) -> list[tuple[str, str]]:
        return [(title(column), meaning(column)) for column in self.columns]

    @property
    def width(self) -> int:
        return 1 + len(self.columns)


def matrix(
    rows: Sequence[MatrixRow],
    places: Sequence[Place],
    changes: Mapping[tuple[str, Column], Comparison] | None = None,
) -> Matrix:
    """Touchpoints by journey, in the order of `places`; a column only where it holds anything now.

    `changes` by touchpoint and column where they are judged together; without them each is judged by itself.

    A touchpoint that is switched off is listed as long as it holds something.
    """
    found = {(row.touchpoint, (row.metric, row.points)): row for row in rows}
    columns = [column for column in COLUMNS if any(key[1] == column and row.now.n for key, row in found.items())]
    durations = [of(row.now) for row in rows if row.metric == "ttr"]
    longest = max((part.high or part.value or 0 for part in durations if is_enough(part.n)), default=0)
    groups: dict[str, list[Line]] = {}
    for place in places:
        figures = []
        for column in columns:
            row = found.get((place.slug, column))
            before: Counted | Comparison | None = of(row.before) if row and row.before else None
            if changes is not None:
                before = changes.get((place.slug, column))
            figures.append(figure(column, of(row.now) if row else NOTHING, before, place.targets, longest))
        line = Line(place, figures)
        if place.active or line.holds_anything:
            groups.setdefault(place.journey, []).append(line)
    return Matrix(columns, [Group(journey, lines) for journey, lines in groups.items()])
