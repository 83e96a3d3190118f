"""What the demo's customers answer. In: a mood, a scale, a language. Out: the fields that their browser would post.

The remarks stand in verbatims.yaml. No threshold may be here: which band a score lies in is asked of its scale.
"""

import math
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from surveys.demo.plan import SHOPS, TEAS
from surveys.scales import Scale

FILE = Path(__file__).resolve().parent / "verbatims.yaml"
BANDS = ("low", "middle", "high")
SHOPS_IN = {
    "en": dict(zip(SHOPS, SHOPS, strict=True)),
    "zh-hans": dict(zip(SHOPS, ("老城", "三号码头", "花园里", "车站"), strict=True)),
}
SPREAD = 1.2  # how far people of one mood differ
# Of those who answer, who writes something: the unhappy most.
WRITES = {"low": 0.62, "middle": 0.36, "high": 0.4}
GIVES_REASON = 0.7


@lru_cache(maxsize=1)
def remarks() -> Mapping[str, Mapping[str, Sequence[Mapping[str, str]]]]:
    """Touchpoint to band to remarks."""
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(FILE)
    return found


class Pen:
    """Writes answers; a remark comes again only when all others of its kind have been used."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.decks: dict[tuple[str, str, str, bool], list[Mapping[str, str]]] = {}

    def fields(
        self,
        rng: random.Random,
        touchpoint: str,
        scale: Scale,
        language: str,
        mood: float,
        *,
        evenings: bool,
        location: str = "",
        reasons: Sequence[str] = (),
        talks: float = 1.0,
    ) -> dict[str, Any]:
        """Values by question key. `talks`: how much they write, 0 for nothing but a score; `evenings`: the decision is made."""
        share = 1 / (1 + math.exp(-(mood + rng.gauss(0, SPREAD))))
        score = scale.low + min(int(share * scale.points), scale.points - 1)
        band = BANDS[[key for key, _lowest in scale.bands].index(scale.band(score))]
        fields: dict[str, Any] = {"score": score}
        remark = self._remark(touchpoint, band, language, evenings) if rng.random() < WRITES[band] * talks else None
        if remark is not None:
            fields["comment"] = self._filled(rng, remark[language], language, location)
            fields["reason"] = [remark["reason"]]
        elif reasons and talks and rng.random() < GIVES_REASON:
            fields["reason"] = rng.sample(list(reasons), 1 + (rng.random() < 0.25))
        if remark is not None and rng.random() < 0.012:
            del fields["score"]  # only a remark: it is kept, and counted in no score
        return fields

    def _remark(self, touchpoint: str, band: str, language: str, evenings: bool) -> Mapping[str, str] | None:
        key = (touchpoint, band, language, evenings)
        if not self.decks.get(key):
            when = "after" if evenings else "before"
            fitting = [remark for remark in remarks()[touchpoint][band] if remark.get("when", when) == when]
            random.Random(f"{self.seed}/{key}").shuffle(fitting)
            self.decks[key] = fitting
        return self.decks[key].pop() if self.decks[key] else None

    def _filled(self, rng: random.Random, text: str, language: str, location: str) -> str:
        """Numbers and names in the places of a remark."""
        given = {
            "minutes": rng.choice((15, 20, 20, 25, 30, 35, 40)),
            "days": rng.choice((3, 4, 5, 6)),
            "hour": rng.choice((7, 8)) if "evening" in text or "晚上" in text else rng.choice((2, 3, 4)),
            "tea": rng.choice(TEAS[language]),
            "shop": SHOPS_IN[language].get(location) or rng.choice(list(SHOPS_IN[language].values())),
        }
        return text.format(**given)
