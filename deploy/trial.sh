#!/usr/bin/env bash
# Builds deploy/Dockerfile and runs the service in it, on a Debian machine without a container engine; as root.
#
#   apt install buildah mmdebstrap iproute2 curl
#   deploy/trial.sh [FOLDER]                 30 GB in FOLDER (/var/tmp/facemill-trial), 10 minutes
#
# The base is a minimal Debian with its Python 3.11 in place of the image python:3.12-slim-bookworm, which would come from
# Docker Hub. The service gets namespaces of its own for processes and for the network, so that tini is process 1 and the
# pages are reached over a bridge, as with an engine. MOUNTS="-v FILE:FILE:ro ..." adds files to the build, such as a pip.conf.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-/var/tmp/facemill-trial}
mkdir -p "$folder"
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
ADDRESS=198.51.100.2 # of the block for documentation: no machine has it

build() {
  test -e "$folder/base.tar" \
    || mmdebstrap --quiet --mode=root --variant=minbase --include=python3,python3-pip,ca-certificates bookworm "$folder/base.tar"
  local base
  base=$(buildah from scratch)
  buildah add --quiet "$base" "$folder/base.tar" / > /dev/null
  # pip installs into the system here, as it does in Python's image.
  buildah run "$base" -- sh -c 'rm -f /usr/lib/python3*/EXTERNALLY-MANAGED; ln -sf python3 /usr/bin/python'
  buildah commit --quiet --rm "$base" localhost/facemill-base
  # shellcheck disable=SC2086 # MOUNTS holds several words
  buildah bud --network host ${MOUNTS:-} --build-arg BASE=localhost/facemill-base -f deploy/Dockerfile -t facemill .
}

# Runs the image's entrypoint with these arguments, as its user and with its environment.
inside() {
  ip netns exec facemill unshare --pid --fork --kill-child --mount --mount-proc="$root/proc" \
    chroot --userspec=1000:1000 "$root" \
    env -i HOME=/home/facemill PATH=/usr/local/bin:/usr/bin:/bin FACEMILL_LAKE=/data/lake PREFECT_HOME=/data/prefect \
    tini -- facemill "$@"
}

# The process 1 of the service.
tini() { comm -12 <(ip netns pids facemill | sort) <(pgrep -x tini | sort); }

clean() {
  kill -KILL $(tini) 2> /dev/null || true
  ip netns delete facemill 2> /dev/null || true
  umount -l "$root/dev" || true
  buildah rm "$container" > /dev/null
}

test -n "${BUILT:-}" || build # BUILT=1 runs the image of the last time
container=$(buildah from localhost/facemill)
root=$(buildah mount "$container")
mount --rbind --make-rslave /dev "$root/dev"
trap clean EXIT
ip netns add facemill
ip link add fm-host type veth peer name fm-image netns facemill
ip address add 198.51.100.1/24 dev fm-host
ip link set fm-host up
ip -n facemill address add "$ADDRESS/24" dev fm-image
ip -n facemill link set fm-image up
ip -n facemill link set lo up

echo "--- the pipeline on a synthetic web, inside"
inside pipeline --source synthetic --identities 20 --per-identity 12 --steps 20 --quiet

echo "--- the service, asked from outside"
inside serve --host 0.0.0.0 --source synthetic > "$folder/serve.log" 2>&1 &
service=$!
for _ in $(seq 120); do
  curl --silent --fail "http://$ADDRESS:4200/api/health" > /dev/null && break
  sleep 1
done
test "$(curl --silent --output /dev/null --write-out '%{http_code}' -X POST "http://$ADDRESS:4200/api/deployments/count")" = 401
until grep -q "pipeline/pipeline" "$folder/serve.log"; do sleep 1; done
password=$(cat "$root/data/prefect/facemill-password")
curl --silent --fail --user "$password" -X POST "http://$ADDRESS:4200/api/deployments/count" | sed 's/^/deployments: /; s/$/\n/'
test "$(stat --format=%a "$root/data/prefect")" = 700
kill -TERM "$(tini)"
wait "$service"
echo "ended by SIGTERM with exit code 0"
