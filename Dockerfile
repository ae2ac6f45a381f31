# syntax=docker/dockerfile:1
# The server with every bundled task, as an unprivileged user. The default PyTorch wheels bring CUDA libraries with
# them; the image is large for that reason, and the same one runs with or without a GPU.

FROM python:3.12-slim AS build
WORKDIR /source
RUN python -m venv /opt/mimi
COPY pyproject.toml README.md LICENSE ./
COPY backbone backbone
COPY adapters_store adapters_store
COPY training training
COPY service service
COPY mimi mimi
RUN --mount=type=cache,target=/pip-cache /opt/mimi/bin/pip install --cache-dir /pip-cache .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/mimi --create-home mimi
COPY --from=build /opt/mimi /opt/mimi
# Large blocks are kept instead of being given back to the kernel after every forward pass.
ENV PATH=/opt/mimi/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MALLOC_MMAP_THRESHOLD_=1073741824 \
    MALLOC_TRIM_THRESHOLD_=1073741824
USER mimi
WORKDIR /var/lib/mimi
VOLUME /var/lib/mimi
EXPOSE 8000
# Ready means: backbone resident, store read, engine alive.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["mimi"]
# Beyond loopback the server asks for MIMI_PREDICT_KEY and MIMI_MANAGE_KEY, and does not start without them.
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--store", "/var/lib/mimi/store.db"]
