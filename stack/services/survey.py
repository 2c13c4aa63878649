"""What a job is: the outline of a plot of land, of which the area is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from services.bodies import BodyError, json_object, text

MAX_POINTS = 1000
MAX_COORDINATE = 1e6  # metres

Point = tuple[float, float]


@dataclass(frozen=True)
class Job:
    """One plot; ``job_id`` is the client's, and the same one is the same job."""

    job_id: str
    outline: tuple[Point, ...]

    @classmethod
    def of(cls, document: object) -> Job:
        """From a parsed body, ``{"job_id": text, "outline": [[x, y], …]}`` in metres.

        Raises:
            BodyError: A field is missing, of the wrong kind or out of range.
        """
        body = json_object(document)
        job_id, outline = text(body, "job_id"), body.get("outline")
        if not isinstance(outline, list) or not 3 <= len(outline) <= MAX_POINTS:
            raise BodyError(f"`outline` must be a list of 3 to {MAX_POINTS} points.")
        return cls(job_id, tuple(_point(place, given) for place, given in enumerate(outline)))


def _point(place: int, given: object) -> Point:
    if not isinstance(given, list) or len(given) != 2 or not all(map(_is_coordinate, given)):
        raise BodyError(
            f"outline[{place}] must be two numbers from -{MAX_COORDINATE:.0f} "
            f"to {MAX_COORDINATE:.0f}."
        )
    return float(given[0]), float(given[1])


def _is_coordinate(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -MAX_COORDINATE <= value <= MAX_COORDINATE


def area_m2(outline: tuple[Point, ...]) -> float:
    """The area inside an outline that does not cross itself (Gauss's shoelace formula)."""
    closed = (*outline, outline[0])
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise(closed))) / 2
