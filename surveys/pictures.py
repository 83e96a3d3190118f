"""PURE: the stars and faces that a scale may be drawn with. In: a scale's scores. Out: for each the path of a picture, 32 by 32.

A face is told by its mouth, its eyes and its brows, never by a colour: colour biases answers, and not everybody sees it.
"""

from collections.abc import Sequence

STAR = "M16 4.5l3.6 7.6 8.3 1.1-6.1 5.7 1.6 8.3-7.4-4.1-7.4 4.1 1.6-8.3-6.1-5.7 8.3-1.1z"
_EYES = "M11.5 13v.5M20.5 13v.5"
# From the saddest to the gladdest.
FACES = (
    "M8.5 9.5l4.5 2M23.5 9.5l-4.5 2M11.5 14v.5M20.5 14v.5M9.5 23.5q6.5-7 13 0",
    f"{_EYES}M10 23q6-5.5 12 0",
    f"{_EYES}M11 21.5q5-2 10 0",
    f"{_EYES}M11 20.5h10",
    f"{_EYES}M11 19.5q5 2.5 10 0",
    f"{_EYES}M9.5 18.5q6.5 7 13 0",
    "M9 13.5q2.2-3 4.4 0M18.6 13.5q2.2-3 4.4 0M9 17.5h14q-1 7.5-7 7.5t-7-7.5z",
)


def pictures(display: str, scores: Sequence[int]) -> list[str]:
    """A path for each score; empty texts for a scale of numbers."""
    if display == "stars":
        return [STAR] * len(scores)
    if display == "faces":
        # The ends and the middle are always there; few points leave out the slight ones.
        kept = (0, 1, 3, 5, 6) if len(scores) < len(FACES) else range(len(FACES))
        return [FACES[level] for level in kept]
    return [""] * len(scores)
