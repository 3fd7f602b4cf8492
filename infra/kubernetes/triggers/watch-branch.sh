#!/bin/sh
# Bring a read-only clone to the head of a branch, fetch the cohorts that its recipe reads, retrain if that is new work.
# Environment: REPOSITORY, BRANCH, WORKSPACE (a volume: clone, DVC cache, stage cache), PROFILE ('' for production).
set -eu
umask 077
mkdir -p "$WORKSPACE"
cd "$WORKSPACE"
if [ ! -d project/.git ]; then
    rm -rf project.partial
    git clone --quiet --branch "$BRANCH" "$REPOSITORY" project.partial
    mv project.partial project
fi
cd project
git fetch --quiet origin "$BRANCH"
git checkout --quiet --detach FETCH_HEAD
echo "commit $(git rev-parse HEAD) of $BRANCH"
scintiflow cohort pull --profile "${PROFILE:-}"
exec scintiflow retrain --if-needed --profile "${PROFILE:-}"
