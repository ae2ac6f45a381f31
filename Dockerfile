# syntax=docker/dockerfile:1
# The server with every bundled task, as an unprivileged user over a root that may be read-only.
#   docker build -t mimi-serving --build-arg TORCH_CPU_INDEX=URL .   # for CPUs
#   docker build -t mimi-serving:cuda --build-arg DEVICE=cuda .      # with CUDA's libraries, several gigabytes more
ARG PYTHON_IMAGE=python:3.12.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG DEVICE=cpu
# The index of wheels without CUDA that PyTorch's installation page names. Without it the wheels of pip's own index are
# taken: they work on a CPU too, and are several gigabytes larger.
ARG TORCH_CPU_INDEX=
WORKDIR /source
RUN python -m venv /opt/mimi
# A C++ compiler for the kernels; it stays behind in this stage.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml README.md LICENSE ./
# PyTorch has a layer of its own: it is nearly all of the image, and changes rarely.
RUN --mount=type=cache,target=/pip-cache \
    case "$DEVICE" in \
      cpu) sed -i 's/onnxruntime-gpu/onnxruntime/' pyproject.toml && \
           env ${TORCH_CPU_INDEX:+PIP_INDEX_URL="$TORCH_CPU_INDEX"} \
             /opt/mimi/bin/pip install --cache-dir /pip-cache torch torchvision ;; \
      cuda) /opt/mimi/bin/pip install --cache-dir /pip-cache torch torchvision ;; \
      *) echo "DEVICE is cpu or cuda, not $DEVICE" >&2; exit 1 ;; \
    esac
COPY backbone backbone
COPY adapters_store adapters_store
COPY training training
COPY service service
COPY mimi mimi
RUN --mount=type=cache,target=/pip-cache /opt/mimi/bin/pip install --cache-dir /pip-cache .
# For every level of instructions, because an image does not know where it will run.
RUN case "$(uname -m)" in x86_64) levels="x86-64-v3 x86-64-v4 x86-64-v4-bf16 plain" ;; *) levels=plain ;; esac && \
    /opt/mimi/bin/mimi compile --folder /opt/mimi/kernels --level $levels && chmod -R a+rX /opt/mimi/kernels

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/mimi --create-home mimi
COPY --from=build /opt/mimi /opt/mimi
# Large blocks are kept instead of being given back to the kernel after every forward pass.
ENV PATH=/opt/mimi/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MIMI_STORE=/var/lib/mimi/store.db \
    MIMI_KERNELS_FOLDER=/opt/mimi/kernels \
    MALLOC_MMAP_THRESHOLD_=1073741824 \
    MALLOC_TRIM_THRESHOLD_=1073741824
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/mimi
VOLUME /var/lib/mimi
EXPOSE 8000
# Ready means: backbone resident, store read, engine alive.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["mimi"]
# Beyond loopback the server asks for MIMI_PREDICT_KEY and MIMI_MANAGE_KEY, and does not start without them.
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
