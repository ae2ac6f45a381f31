# syntax=docker/dockerfile:1
# The server with every bundled task, as an unprivileged user over a root that may be read-only.
#   docker build -t mimi-serving .                                # for CPUs: nothing of CUDA comes in
#   docker build -t mimi-serving:cuda --build-arg DEVICE=cuda .   # with CUDA's libraries, several gigabytes more
# What changes seldom comes first: an edit of the code leaves the libraries alone, one of a document leaves all alone.
# A digest makes the base immutable: PYTHON_IMAGE=python:3.12.11-slim-bookworm@sha256:…, as `docker buildx imagetools
# inspect python:3.12.11-slim-bookworm` prints it.
ARG PYTHON_IMAGE=python:3.12.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS libraries
ARG DEVICE=cpu
# Another index of wheels without CUDA than PyTorch's own, such as a mirror.
ARG TORCH_CPU_INDEX=
ENV UV_PYTHON=/opt/mimi/bin/python UV_CACHE_DIR=/uv-cache UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 \
    PATH=/opt/build/bin:$PATH
# Versions and hashes, as scripts/lock.sh writes them. The tools stay behind in this stage.
COPY deploy/locks /locks
RUN python -m venv /opt/build && python -m venv --without-pip /opt/mimi && \
    /opt/build/bin/pip install --no-cache-dir --require-hashes -r /locks/build.txt
# PyTorch has a layer of its own for CPUs: it is most of that image. Its index is known to uv by name.
RUN --mount=type=cache,target=/uv-cache \
    case "$DEVICE" in \
      cpu) if [ -n "$TORCH_CPU_INDEX" ]; then set -- --default-index "$TORCH_CPU_INDEX"; \
           else set -- --torch-backend cpu; fi && \
           hashes=$(sed -n '/--hash=/{s/.*/--require-hashes/p;q}' /locks/torch-cpu.txt) && \
           uv pip install --no-deps $hashes "$@" -r /locks/torch-cpu.txt ;; \
      cuda) ;; \
      *) echo "DEVICE is cpu or cuda, not $DEVICE" >&2; exit 1 ;; \
    esac
RUN --mount=type=cache,target=/uv-cache uv pip install --no-deps --require-hashes -r "/locks/$DEVICE.txt" && \
    { [ "$DEVICE" = cuda ] || /opt/mimi/bin/python -c 'import sys, torch; sys.exit(torch.version.cuda)'; }

FROM libraries AS build
# A C++ compiler for the kernels; it stays behind in this stage.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml LICENSE ./
COPY backbone backbone
COPY adapters_store adapters_store
COPY training training
COPY service service
COPY mimi mimi
# The wheel wants a README; an empty one, so that an edit of ours builds nothing again.
RUN touch README.md && hatchling build --target wheel --directory /wheel && \
    uv pip install --no-cache --no-deps --target /opt/project /wheel/*.whl
ENV PYTHONPATH=/opt/project
# For every level of instructions, because an image does not know where it will run.
RUN case "$(uname -m)" in x86_64) levels="x86-64-v3,x86-64-v4,x86-64-v4-vnni,x86-64-v4-bf16,x86-64-v4-amx,plain" ;; *) levels=plain ;; esac && \
    /opt/project/bin/mimi compile --folder /opt/project/kernels --level "$levels" && chmod -R a+rX /opt/project

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/mimi --create-home mimi
COPY --from=libraries /opt/mimi /opt/mimi
COPY --from=build /opt/project /opt/project
# Large blocks are kept instead of being given back to the kernel after every forward pass.
ENV PATH=/opt/project/bin:/opt/mimi/bin:$PATH \
    PYTHONPATH=/opt/project \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MIMI_STORE=/var/lib/mimi/store.db \
    MIMI_KERNELS_FOLDER=/opt/project/kernels \
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
