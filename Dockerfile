# syntax=docker/dockerfile:1
# One image for every part of Penumbra: docker run penumbra-rt api | listener | reconciler | worker
#
#   docker build -t penumbra-rt .                                            CPU
#   docker build -t penumbra-rt:cuda \
#       --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .     NVIDIA GPU
#   docker build --build-arg TORCH_SPEC=torch==2.12.1 .                      another version

FROM python:3.11-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG TORCH_SPEC=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/penumbra
ENV PATH=/opt/penumbra/bin:$PATH
WORKDIR /source

# The largest part first, so that a change of our own code does not fetch it again.
COPY constraints.txt ./
RUN pip install --index-url "$TORCH_INDEX" "${TORCH_SPEC:-$(grep '^torch==' constraints.txt)}"

COPY pyproject.toml README.md LICENSE ./
COPY service ./service
COPY worker ./worker
COPY models ./models
# torch is there already and may be another than the pinned one. rt-utils asks for OpenCV, which Penumbra never
# loads (worker/rt_utils_adapter.py), so neither it nor libGL is part of the image.
RUN grep -v '^torch==' constraints.txt > others.txt \
    && pip install --constraint others.txt '.[postgresql]' \
    && pip uninstall --yes opencv-python

FROM python:3.11-slim
# Pango and a font: the report as PDF. PostgreSQL's client: `penumbra backup` calls pg_dump, `penumbra restore` pg_restore.
RUN apt-get update -q \
    && apt-get install -qy --no-install-recommends fonts-dejavu-core libharfbuzz-subset0 libpango-1.0-0 libpangoft2-1.0-0 \
        postgresql-client \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 penumbra \
    && useradd --uid 10001 --gid penumbra --no-create-home --shell /usr/sbin/nologin penumbra \
    && install --directory --mode 0700 --owner penumbra --group penumbra /data
COPY --from=build /opt/penumbra /opt/penumbra
COPY deploy/healthcheck.py /opt/penumbra/healthcheck.py
ENV PATH=/opt/penumbra/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    PENUMBRA_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080 11112
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s --retries=3 \
    CMD ["python", "/opt/penumbra/healthcheck.py"]
ENTRYPOINT ["penumbra"]
CMD ["--help"]
