# syntax=docker/dockerfile:1
# One image for each extra of pyproject.toml, with that extra's dependencies alone:
#   docker build --build-arg EXTRA=ingest --build-arg METRICS_PORT=9101 -t twinstream-ingest .
#   docker run --read-only --cap-drop ALL twinstream-ingest ingest      (the word is the module that python -m runs)
# With `--build-arg ALSO=otel` it can export to OpenTelemetry, too.
ARG PYTHON=3.13.18-slim-trixie

FROM python:${PYTHON} AS build
ARG EXTRA
ARG ALSO=${EXTRA}
ENV XDG_CACHE_HOME=/var/cache/build UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /src
SHELL ["/bin/sh", "-eu", "-c"]

# uv itself, by its hash; then what the extra needs, each package held to the hash that the lock has for it.
COPY requirements requirements
RUN --mount=type=cache,target=/var/cache/build \
    python -m venv /opt/build && \
    /opt/build/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
COPY pyproject.toml ./
RUN --mount=type=cache,target=/var/cache/build \
    python -m venv --without-pip /opt/twinstream && \
    /opt/build/bin/uv pip install --quiet --python /opt/twinstream/bin/python --require-hashes \
        --constraint requirements/all.txt --requirement pyproject.toml --extra "${EXTRA}" --extra "${ALSO}"

# Our own code last, for it changes most often.
COPY README.md LICENSE ./
COPY libs libs
COPY services services
COPY cli cli
RUN --mount=type=cache,target=/var/cache/build \
    /opt/build/bin/uv build --quiet --wheel --require-hashes --build-constraints requirements/all.txt \
        --out-dir /opt/build/dist && \
    /opt/build/bin/uv pip install --quiet --python /opt/twinstream/bin/python --no-deps /opt/build/dist/*.whl

FROM python:${PYTHON}
ARG EXTRA
ARG METRICS_PORT
ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="twinstream-${EXTRA}" \
      org.opencontainers.image.description="Two endless record streams: the part called ${EXTRA}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 twinstream && \
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin twinstream && \
    install --directory --owner=10001 --group=10001 /lake /results /backups
COPY --from=build /opt/twinstream /opt/twinstream
# A container's own network is all that these addresses reach; what may reach the container is decided outside of it.
ENV PATH=/opt/twinstream/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    TWINSTREAM_HOST=0.0.0.0 TWINSTREAM_METRICS_HOST=0.0.0.0 \
    HEALTH_URL=http://127.0.0.1:${METRICS_PORT}/healthz
USER 10001:10001
WORKDIR /tmp
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --retries=3 CMD ["python", "-m", "common.probe"]
ENTRYPOINT ["python", "-m"]
