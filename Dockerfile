# Regrade in a container: `docker build -t regrade .`, then compose.yaml or deploy/kubernetes.yaml.

FROM python:3.13-slim AS build
# What of pyproject.toml's extras the image has; "bucket,otel,local" also runs models, and is some gigabytes larger.
ARG EXTRAS=bucket,otel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m venv /opt/regrade && \
    /opt/regrade/bin/python -m pip install --no-cache-dir --disable-pip-version-check ".[${EXTRAS}]"

FROM python:3.13-slim
RUN groupadd --gid 10001 regrade && \
    useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin regrade && \
    install --directory --owner=10001 --group=10001 --mode=0700 /data /blobs
COPY --from=build /opt/regrade /opt/regrade
ENV PATH=/opt/regrade/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    REGRADE_DATA_DIR=/data \
    REGRADE_HOST=0.0.0.0 \
    REGRADE_LOG_FORMAT=json
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/ready', timeout=4)"]
ENTRYPOINT ["regrade"]
CMD ["serve"]
