#!/bin/sh
# Brings the cohorts (and truths of simulated children, if versioned) of REVISION of REPOSITORY into DATA with DVC.
# COHORTS names those that are needed, with spaces between; all if it is empty.
# What was there is replaced only after everything has arrived; pull while no run reads.
# Credentials come from the environment: AWS_* for the DVC remote, GIT_TOKEN for a private repository.
set -eu
export GIT_TERMINAL_PROMPT=0
partial="$DATA/.partial"
wanted() { case " ${COHORTS:-$1} " in *" $1 "*) true ;; *) false ;; esac; }
rm -rf "$partial"
# shellcheck disable=SC2016 # git runs the helper, and only then is the token read
git -c credential.helper='!f() { echo username=token; echo "password=${GIT_TOKEN:-}"; }; f' \
    clone --quiet --no-checkout "$REPOSITORY" "$partial"
cd "$partial"
git -c advice.detachedHead=false checkout --quiet "$REVISION"
printf '[cache]\n    type = "hardlink,copy"\n' >.dvc/config.local  # one copy on the volume, not two
for file in data/cohorts/*.dvc; do
    if [ -e "$file" ] && wanted "$(basename "$file" .dvc)"; then dvc pull --quiet "$file"; fi
done
for file in data/truth/*.dvc; do
    if [ -e "$file" ]; then dvc pull --quiet "$file"; fi
done
for name in ${COHORTS:-}; do
    [ -d "data/cohorts/$name" ] || { echo "there is no cohort '$name' in $REVISION" >&2; exit 1; }
done
mkdir -p data/cohorts data/truth
for name in cohorts truth; do
    rm -rf "$DATA/.old"
    if [ -e "$DATA/$name" ]; then mv "$DATA/$name" "$DATA/.old"; fi
    mv "data/$name" "$DATA/$name"
done
git rev-parse HEAD >"$DATA/revision"
cd "$DATA"
rm -rf "$partial" "$DATA/.old"
echo "Cohorts of $(cat revision):"
ls cohorts
