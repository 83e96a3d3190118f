"""PURE: the customers of Harbour Tea. In: a seed and a number. Out: People, the same ones for the same seed.

Nobody here exists: names are made of tea things, addresses end in example.com or example.org (RFC 2606), telephone numbers
come from the ranges that Ofcom and the North American Numbering Plan keep for fiction.
"""

import random
from dataclasses import dataclass
from datetime import date

EXTERNAL_ID = "harbour-tea-"  # every customer of the demo, and nobody else, has this before the number
FIRST = (
    *("Jasmine", "Rose", "Earl", "Camellia", "Basil", "Ginger", "Clove", "Hazel", "Olive", "Sage", "Mint", "Juniper"),
    *(
        "Linden",
        "Fennel",
        "Saffron",
        "Nutmeg",
        "Cocoa",
        "Maple",
        "Honey",
        "Lemon",
        "Quince",
        "Berry",
        "Poppy",
        "Clementine",
    ),
)
LAST = (
    *(
        "Kettle",
        "Teapot",
        "Saucer",
        "Strainer",
        "Caddy",
        "Leaf",
        "Steep",
        "Brew",
        "Infuser",
        "Cosy",
        "Samovar",
        "Whisk",
    ),
    *(
        "Teaspoon",
        "Biscuit",
        "Scone",
        "Tray",
        "Napkin",
        "Steam",
        "Pourer",
        "Oolong",
        "Sencha",
        "Assam",
        "Rooibos",
        "Lapsang",
    ),
)
FAMILY = {
    "茶": "cha",
    "叶": "ye",
    "壶": "hu",
    "水": "shui",
    "云": "yun",
    "泉": "quan",
    "竹": "zhu",
    "梅": "mei",
    "山": "shan",
    "溪": "xi",
    "雨": "yu",
    "石": "shi",
}
GIVEN = {
    "小壶": "xiaohu",
    "青青": "qingqing",
    "明前": "mingqian",
    "春芽": "chunya",
    "毛尖": "maojian",
    "香片": "xiangpian",
    "普洱": "puer",
    "铁观音": "tieguanyin",
    "大红袍": "dahongpao",
    "银针": "yinzhen",
    "白毫": "baihao",
    "龙井": "longjing",
    "团团": "tuantuan",
    "一盏": "yizhan",
    "半盏": "banzhan",
    "沏沏": "qiqi",
    "暖暖": "nuannuan",
    "甘甘": "gangan",
}
SEGMENTS = ("gold", "silver", "new")
CITIES = ("Shanghai", "Hangzhou", "Suzhou", "Ningbo")
US_AREAS = (201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218, 219, 224, 225, 228)
REGULARS = 0.12  # the share of people who bring much of what happens


@dataclass(frozen=True, slots=True)
class Person:
    """One made-up customer. `mailbox`: "fine", "none" (no address), "gone", "full" (refuses for days), "slow" (at first).

    `temper` shifts what they answer; `weary` people unsubscribe at the first message.
    """

    number: int
    name: str
    email: str
    phone: str
    language: str
    segment: str
    silver_from: date | None
    city: str
    since: int
    temper: float
    mailbox: str
    weary: bool

    @property
    def external_id(self) -> str:
        return f"{EXTERNAL_ID}{self.number:04d}"

    def segment_on(self, day: date) -> str:
        return "silver" if self.silver_from is not None and day >= self.silver_from else self.segment

    def profile(self, day: date) -> dict[str, object]:
        """`data.customer` of an event of that day."""
        given: dict[str, object] = {
            "external_id": self.external_id,
            "name": self.name,
            "language": self.language,
            "time_zone": "Asia/Shanghai",
            "segment": self.segment_on(day),
            "attributes": {"city": self.city, "since": self.since},
        }
        if self.email:
            given["email"] = self.email
        if self.phone:
            given["phone"] = self.phone
        return given


def invent_people(seed: int, count: int, first_day: date, days: int) -> list[Person]:
    """`count` people; the first REGULARS of them come often."""
    rng = random.Random(f"{seed}/people")
    return [_invent(rng, number, first_day, days) for number in range(1, count + 1)]


def _invent(rng: random.Random, number: int, first_day: date, days: int) -> Person:
    chinese = rng.random() < 0.56
    if chinese:
        (family, first), (given, last) = rng.choice(list(FAMILY.items())), rng.choice(list(GIVEN.items()))
        name = family + given
    else:
        first, last = rng.choice(FIRST), rng.choice(LAST)
        name = f"{first} {last}"
    segment = rng.choices(SEGMENTS, (15, 35, 50))[0]
    moves_up = segment == "new" and rng.random() < 0.15
    fate, weary = rng.random(), rng.random() < 0.012
    mailbox = (
        "none"
        if fate < 0.035
        else "gone"
        if fate < 0.05
        else "full"
        if fate < 0.055
        else "slow"
        if fate < 0.08
        else "fine"
    )
    # Some of those who come often, so that even a few days show what happens after it.
    mailbox = {2: "gone", 4: "none", 6: "full", 8: "slow"}.get(number, mailbox)
    host = rng.choice(("example.com", "example.org"))
    has_phone = rng.random() < 0.45 or mailbox == "none"
    silver_from = date.fromordinal(first_day.toordinal() + rng.randrange(1, max(days, 2)))
    return Person(
        number=number,
        name=name,
        email="" if mailbox == "none" else f"{first}.{last}.{number}@{host}".lower(),
        phone=_phone(number) if has_phone else "",
        language="zh-hans" if chinese else "en",
        segment=segment,
        silver_from=silver_from if moves_up else None,
        city=rng.choice(CITIES),
        since=rng.randrange(2019, first_day.year + 1),
        temper=rng.gauss(0, 0.45),
        mailbox=mailbox,
        weary=weary or number == 10,
    )


def _phone(number: int) -> str:
    """A number of its own for the first thousand, then 555-01xx of some area."""
    if number < 1000:
        return f"+447700900{number:03d}"
    area, line = divmod(number - 1000, 100)
    return f"+1{US_AREAS[area % len(US_AREAS)]}55501{line:02d}"
