# A worker, for CUDA by default. From the repository's root: docker build -f docker/worker.Dockerfile -t tarflow-worker .
# For a CPU alone, much smaller: --build-arg TORCH=torch==2.13.0+cpu --build-arg PIP_EXTRA_INDEX_URL=..., PyTorch's index
# of CPU builds.
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# The default wheel brings CUDA's libraries, so that the base needs none.
ARG TORCH=torch==2.13.0
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_TRUSTED_HOST
WORKDIR /src
RUN python -m venv --without-pip /opt/tarflow
# A layer of its own: gigabytes that a change of our code leaves alone.
COPY requirements.lock .
RUN pip --python /opt/tarflow/bin/python install --no-cache-dir --constraint requirements.lock "${TORCH}"
COPY . .
RUN pip --python /opt/tarflow/bin/python install --no-cache-dir --constraint requirements.lock ".[otel,worker]"

FROM ${PYTHON_IMAGE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="TarFlow worker" \
      org.opencontainers.image.description="Samples and scores with a TarFlow model, for TarFlow as a service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/tarflow /opt/tarflow
# The sampler's compiled loop is kept where a read-only root can be written.
ENV PATH=/opt/tarflow/bin:$PATH HOME=/tmp NUMBA_CACHE_DIR=/tmp/numba PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility NVIDIA_VISIBLE_DEVICES=all \
    TARFLOW_METRICS_HOST=0.0.0.0
USER 10001:10001
WORKDIR /checkpoints
EXPOSE 9100
# As `tarflow health --url`, for a tenth of its processor time.
HEALTHCHECK --interval=15s --timeout=10s --start-period=300s --start-interval=2s \
    CMD ["python", "-c", "from os import environ; from urllib.request import urlopen; \
        urlopen('http://127.0.0.1:' + environ.get('TARFLOW_METRICS_PORT', '9100') + '/readyz', timeout=5)"]
# What `tarflow worker` becomes.
ENTRYPOINT ["python", "-m", "worker", "worker"]
