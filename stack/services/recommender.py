"""Scores items for a user from features kept in memory; no model, no randomness."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from aiohttp import web

from services.metrics import announce_route
from services.serving import application, serve
from services.settings import Settings

SERVICE = "recommender"
ROUTE = "/recommend/{user}"

ITEMS = tuple(f"item-{number:03d}" for number in range(1, 51))
FEATURES = 8
ANSWER_SIZE = 5
CACHED_USERS = 10_000


def _features(name: str) -> tuple[int, ...]:
    """A fixed pseudo-random vector of numbers from -128 to 127."""
    return tuple(byte - 128 for byte in hashlib.sha256(name.encode()).digest()[:FEATURES])


_ITEM_FEATURES = {item: _features(item) for item in ITEMS}


@lru_cache(maxsize=CACHED_USERS)
def _user_features(user: str) -> tuple[int, ...]:
    return _features(f"user:{user}")


def recommend(user: str) -> list[str]:
    """The items that suit the user best, best first; always the same for one user."""
    wanted = _user_features(user)

    def score(item: str) -> int:
        return sum(a * b for a, b in zip(wanted, _ITEM_FEATURES[item], strict=True))

    return sorted(ITEMS, key=lambda item: (-score(item), item))[:ANSWER_SIZE]


async def answer(request: web.Request) -> web.Response:
    """Answer ``GET /recommend/{user}``."""
    user = request.match_info["user"]
    return web.json_response({"user": user, "items": recommend(user)})


async def build(settings: Settings) -> web.Application:
    """The application; raises SettingError for a wrong setting."""
    settings.defects()  # refused when unknown, although none is planted here
    app = application(SERVICE)
    app.router.add_get(ROUTE, answer)
    announce_route(SERVICE, ROUTE, "GET", (200, 500))
    return app


if __name__ == "__main__":
    serve(build)
