"""A replica of the model: scores, what each costs, and whether what is asked has drifted."""

from __future__ import annotations

import time

from aiohttp import web

from services.drift import Drift
from services.metrics import FEATURE_DRIFT, PREDICTION_CPU, PREDICTIONS, announce_route
from services.serving import application, serve
from services.settings import Settings
from services.trees import FEATURES, Ensemble

SERVICE = "inference"
ROUTE = "/predict"
MODEL_ROUTE = "/model"
DEFAULT_SEED = 1


class FeaturesError(ValueError):
    """What was sent are no features."""


def features_of(document: object) -> tuple[float, ...]:
    """The features in a parsed body, ``{"features": [numbers from 0 to 1]}``.

    Raises:
        FeaturesError: Missing, too few or many, no numbers, or out of range.
    """
    given = document.get("features") if isinstance(document, dict) else None
    if not isinstance(given, list) or len(given) != FEATURES:
        raise FeaturesError(f"The body must be JSON with a list `features` of {FEATURES} numbers.")
    for place, value in enumerate(given):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise FeaturesError(f"features[{place}] is {value!r}; it must be a number, 0 to 1.")
    return tuple(map(float, given))


class Replica:
    """Answers predictions, each from the same features the same.

    Args:
        seed: Of the model; it names the version.
    """

    def __init__(self, seed: int) -> None:
        self.model = Ensemble(seed)
        self.version = f"trees-{seed}"
        self._drift = Drift(FEATURES)
        PREDICTIONS.labels(self.version)
        PREDICTION_CPU.labels(self.version)
        for feature in range(FEATURES):
            gauge = FEATURE_DRIFT.labels(self.version, str(feature))
            gauge.set_function(lambda feature=feature: self._drift.index(feature))

    async def predict(self, request: web.Request) -> web.Response:
        """Answer ``POST /predict``."""
        try:
            features = features_of(await request.json())
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        began_s = time.thread_time()
        score = self.model.predict(features)
        PREDICTION_CPU.labels(self.version).inc(time.thread_time() - began_s)
        PREDICTIONS.labels(self.version).inc()
        self._drift.add(features)
        return web.json_response({"score": score, "model": self.version})

    async def describe(self, _: web.Request) -> web.Response:
        """Answer ``GET /model``."""
        return web.json_response({"model": self.version, "features": FEATURES})


async def build(settings: Settings) -> web.Application:
    """The application; raises SettingError for a wrong setting."""
    settings.defects()  # refused when unknown, although none is planted here
    replica = Replica(int(settings.number("MODEL_SEED", DEFAULT_SEED)))
    app = application(SERVICE)
    app.router.add_post(ROUTE, replica.predict)
    app.router.add_get(MODEL_ROUTE, replica.describe)
    announce_route(SERVICE, ROUTE, "POST", (200, 400, 500))
    return app


if __name__ == "__main__":
    serve(build)
