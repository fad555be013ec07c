# The API, without torch. From the repository's root: docker build -f docker/service.Dockerfile -t tarflow-service .
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# pip heeds these; they are for builds that cannot reach its index.
ARG PIP_FIND_LINKS
ARG PIP_TRUSTED_HOST
WORKDIR /src
RUN python -m venv --without-pip /opt/tarflow
COPY . .
RUN pip --python /opt/tarflow/bin/python install --no-cache-dir --constraint requirements.lock ".[otel]"

FROM ${PYTHON_IMAGE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="TarFlow API" \
      org.opencontainers.image.description="HTTP front end of TarFlow as a service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/tarflow /opt/tarflow
ENV PATH=/opt/tarflow/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 TARFLOW_HOST=0.0.0.0
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
# As `tarflow health`, for a tenth of its processor time.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --start-interval=2s \
    CMD ["python", "-c", "from os import environ; from urllib.request import urlopen; \
        urlopen('http://127.0.0.1:' + environ.get('TARFLOW_PORT', '8000') + '/readyz', timeout=5)"]
ENTRYPOINT ["tarflow"]
CMD ["api"]
