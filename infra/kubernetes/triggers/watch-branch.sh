#!/bin/sh
# Submits the retrain of what a branch holds, if that is new work. Looking takes no data and no GPU: cohorts are known
# by their .dvc files, and the steps of the run fetch them at the commit that is pinned here.
# Environment: REPOSITORY, BRANCH, WORKSPACE (an empty folder), PROFILE ('' for production).
set -eu
umask 077
cd "$WORKSPACE"
git clone --quiet --branch "$BRANCH" "$REPOSITORY" project
cd project
echo "commit $(git rev-parse HEAD) of $BRANCH"
exec scintiflow pipeline submit --if-needed --pinned --profile "${PROFILE:-}" --service-account pipeline-steps
