#!/usr/bin/env bash
# Builds the image from the Dockerfile and runs it the way Compose would, without a container engine's daemon: as root on
# Debian, with buildah, debootstrap and a network. Takes minutes; no part of the test suite.
#   scripts/try_image.sh [--build-arg NAME=VALUE …]
# Where PyTorch's own index cannot be reached, --build-arg DEVICE=cuda takes everything from the usual one.
# PYTHON_IMAGE names a base image that is there already; without it one is made of Debian and its Python.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

image=localhost/mimi-serving:try base=localhost/debian-python:bookworm work=$(mktemp -d)
say() { printf '==> %s\n' "$*"; }
clean() {
    [ -z "${server:-}" ] || kill "$server" 2>/dev/null || true
    umount --recursive "$work/rootfs" 2>/dev/null || true
    [ -z "${container:-}" ] || buildah rm "$container" >/dev/null
    rm -rf "$work"
}
trap clean EXIT

if [ -z "${PYTHON_IMAGE:-}" ] && ! buildah inspect --type image "$base" >/dev/null 2>&1; then
    say "making a base image of Debian and its Python"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/debian" >"$work/log"
    ln -s python3 "$work/debian/usr/bin/python"
    buildah bud --isolation chroot --tag "$base" --file - "$work/debian" <<<$'FROM scratch\nCOPY . /' >>"$work/log" 2>&1
fi

say "building the image"
buildah bud --isolation chroot --format docker --build-arg "PYTHON_IMAGE=${PYTHON_IMAGE:-$base}" "$@" --tag "$image" .

say "running it: uid 10001, no capabilities, a root that is read-only"
container=$(buildah from "$image")
field() { buildah inspect --type image --format "{{range .OCIv1.Config.$1}}{{println .}}{{end}}" "$image" | sed '/^$/d'; }
user=$(buildah inspect --type image --format '{{.OCIv1.Config.User}}' "$image")
mapfile -t environment < <(field Env)
mapfile -t command < <(field Entrypoint; field Cmd)
mapfile -t health < <(buildah inspect --type image --format '{{range .Docker.Config.Healthcheck.Test}}{{println .}}{{end}}' "$image" |
    sed '1d;/^$/d')
mkdir "$work/rootfs" "$work/volume"
chown "$user" "$work/volume"
mount --bind "$(buildah mount "$container")" "$work/rootfs"
mount -o remount,bind,ro "$work/rootfs"
mount -t tmpfs -o size=64m,mode=1777 tmpfs "$work/rootfs/tmp"
mount -t proc proc "$work/rootfs/proc"
mount --bind /dev "$work/rootfs/dev"
mount --bind "$work/volume" "$work/rootfs/var/lib/mimi"

keys=(MIMI_PREDICT_KEY=try-predict-key-0001 MIMI_MANAGE_KEY=try-manage-key-00001 MIMI_METRICS_KEY=try-metrics-key-0001)
inside() { # the image's own setpriv gives up root within the image's root
    exec env -i "${environment[@]}" HOME=/var/lib/mimi "${keys[@]}" chroot "$work/rootfs" setpriv --reuid "${user%:*}" \
        --regid "${user#*:}" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
        /bin/sh -c 'cd /var/lib/mimi && exec "$@"' sh "$@"
}
ask() { curl --silent --show-error --fail --header "Authorization: Bearer $1" "http://127.0.0.1:8000$2" "${@:3}"; }

(inside "${command[@]}") >"$work/out" 2>&1 &
server=$!
for _ in $(seq 120); do
    kill -0 "$server" 2>/dev/null || { cat "$work/out" >&2; exit 1; }
    (inside "${health[@]}") 2>/dev/null && break
    sleep 1
done
(inside "${health[@]}") || { cat "$work/out" >&2; exit 1; }
say "healthy, by its own check: $(head -1 "$work/out")"
(inside touch /opt/mimi/x) 2>/dev/null && { echo "error: the root can be written" >&2; exit 1; }
say "as $(ps -o uid=,gid= -p "$server" | xargs), capabilities $(sed -n 's/^CapEff:\t//p' "/proc/$server/status")"
ask try-metrics-key-0001 /metrics | grep '^mimi_build_info'
python3 -c 'import struct, sys, zlib
def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
rows = b"".join(b"\0" + bytes((x * 4, y * 4, 128)[i] for x in range(64) for i in range(3)) for y in range(64))
sys.stdout.buffer.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)) +
    chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))' >"$work/picture.png"
ask try-predict-key-0001 '/v1/tasks/digits/predict?top_k=1' --data-binary "@$work/picture.png" && echo

say "stopping it"
kill -TERM "$server"
status=0
wait "$server" || status=$?
server=
[ "$status" = 0 ] || { echo "error: exit status $status" >&2; exit 1; }
say "exit status 0; written: $(cd "$work/volume" && find . -type f | xargs); the image has $(
    buildah images --format '{{.Size}}' "$image")"
