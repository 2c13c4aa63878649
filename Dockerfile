# The harness itself, as pods run it that send load inside a cluster (load.inside): `make image`.
# A locustfile that imports more gets it from an image made FROM this one.
FROM python:3.11-slim

RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin harness
WORKDIR /app
COPY requirements.image.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.image.lock
COPY LICENSE ./
COPY harness ./harness
# Pods have a read-only root, so nothing is compiled there.
RUN python -m compileall -q harness

USER 10001
ENV PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["python", "-m", "harness"]
