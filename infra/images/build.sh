#!/bin/sh
# Builds the image of all steps, names it by its commit, and leaves its bill of materials in build/images/.
# Environment, all optional: REGISTRY (before the name), BASE (another python:3.11-slim, or that by digest),
# LOCK and EXTRA_INDEX (the CPU variant, docs/how-to/image.md), PACKAGE_INDEX (a mirror), BUILD_OPTIONS.
set -eu
cd "$(dirname "$0")/../.."
if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    builder=docker
elif command -v podman >/dev/null; then
    builder=podman
elif command -v docker >/dev/null; then
    echo "docker is installed and no daemon answers it: start dockerd, or set DOCKER_HOST, or install podman" >&2
    exit 2
else
    echo "Neither docker nor podman is installed: apt-get install -y podman" >&2
    exit 2
fi
commit=$(git rev-parse HEAD)
sha=$commit
# What no commit holds must not carry a commit's name.
[ -z "$(git status --porcelain -- src components pipelines reference infra/images pyproject.toml requirements.lock)" ] \
    || sha="$commit+changes"
variant=
[ "${LOCK:-requirements.lock}" = requirements.lock ] || variant=-$(basename "$LOCK" .lock)
image="${REGISTRY:+$REGISTRY/}scintiflow-python:$(echo "$sha" | tr + -)$variant"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
# shellcheck disable=SC2086 # BUILD_OPTIONS are several words
"$builder" build --file infra/images/scintiflow/Dockerfile --tag "$image" \
    --build-arg BASE="${BASE:-python:3.11-slim}" --build-arg LOCK="${LOCK:-requirements.lock}" \
    --build-arg PACKAGE_INDEX="${PACKAGE_INDEX:-}" --build-arg EXTRA_INDEX="${EXTRA_INDEX:-}" \
    --build-arg GIT_SHA="$sha" --build-arg VERSION="$version" \
    --build-arg CREATED="$(git show --no-patch --format=%cI HEAD)" ${BUILD_OPTIONS:-} .
bill="build/images/$(echo "${image##*/}" | tr : -).cdx.json"
mkdir -p build/images
"$builder" run --rm --network none "$image" cat /opt/scintiflow/scintiflow.cdx.json >"$bill.partial"
mv "$bill.partial" "$bill"
bytes=$("$builder" image inspect --format '{{.Size}}' "$image")
echo "Image:             $image ($((bytes / 1000000)) MB unpacked)"
echo "Bill of materials: $bill"
echo "Next:              $builder push $image; export SCINTIFLOW_IMAGE=$image"
