#!/usr/bin/env bash
# Tries `mimi label-studio` with the real SDK of Label Studio:
#
#     bash scripts/try_label_studio.sh BIN [FOLDER]
#
# BIN holds our `mimi` and python; FOLDER gets an environment with label-studio-sdk, which asks for another numpy than
# ours. A server with the tasks that ship runs, the backend before it, and the SDK checks what comes back.
set -euo pipefail

bin=$1
sdk=${2:-$(mktemp -d)/sdk}
work=$(mktemp -d)
server=8731 backend=8732
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT

[ -x "$sdk/bin/python" ] || { python3 -m venv "$sdk" && "$sdk/bin/pip" install --quiet label-studio-sdk; }

"$bin/python" -m mimi serve --port "$server" --store "$work/store.db" \
    --feedback "$work/feedback.db" --feedback-tasks digits >"$work/server.log" 2>&1 &
"$bin/python" -m mimi label-studio digits --port "$backend" --url "http://127.0.0.1:$server" >"$work/backend.log" 2>&1 &

for _ in $(seq 240); do
    if curl -sf "http://127.0.0.1:$server/health/ready" >"$work/up" && curl -sf "http://127.0.0.1:$backend/health" >"$work/up"; then
        break
    fi
    sleep 0.5
done
if ! "$sdk/bin/python" scripts/try_label_studio.py "http://127.0.0.1:$backend" docs/samples/three.png; then
    cat "$work/server.log" "$work/backend.log"
    exit 1
fi
"$bin/python" -m mimi feedback export "$work/feedback.db" "$work/corrected" --task digits
