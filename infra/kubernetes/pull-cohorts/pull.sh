#!/bin/sh
# Brings the cohorts (and truths of simulated children, if versioned) of REVISION of REPOSITORY into DATA.
# COHORTS names those that are needed, with spaces between; all if it is empty.
# Scans that DATA holds already are not transferred again, those of withdrawn patients not at all.
# What was there is replaced only after everything has arrived; pull while no run reads.
# Credentials come from the environment: AWS_* for the DVC remote, GIT_TOKEN for a private repository.
set -eu
export GIT_TERMINAL_PROMPT=0
partial="$DATA/.partial"
wanted() { case " ${COHORTS:-$1} " in *" $1 "*) true ;; *) false ;; esac; }
# Fetched folders are read-only. Their files stay so: those of the old and the new folder may be the same ones.
remove() {
    if [ -e "$1" ]; then find "$1" -type d -exec chmod u+w {} +; fi
    rm -rf "$1"
}
remove "$partial"
# shellcheck disable=SC2016 # git runs the helper, and only then is the token read
git -c credential.helper='!f() { echo username=token; echo "password=${GIT_TOKEN:-}"; }; f' \
    clone --quiet --no-checkout "$REPOSITORY" "$partial"
cd "$partial"
git -c advice.detachedHead=false checkout --quiet "$REVISION"
commit=$(git rev-parse HEAD)
printf '[cache]\n    type = "hardlink,copy"\n' >.dvc/config.local  # one copy on the volume, not two
for file in data/cohorts/*.dvc; do
    name=$(basename "$file" .dvc)
    if [ -e "$file" ] && wanted "$name"; then
        scintiflow cohort fetch --rev "$commit" --cohort "$name" --to data/cohorts --have "$DATA/cohorts"
    fi
done
for file in data/truth/*.dvc; do
    if [ -e "$file" ]; then dvc pull --quiet "$file"; fi
done
for name in ${COHORTS:-}; do
    [ -d "data/cohorts/$name" ] || { echo "there is no cohort '$name' in $REVISION" >&2; exit 1; }
done
mkdir -p data/cohorts data/truth
for name in cohorts truth; do
    remove "$DATA/.old"
    if [ -e "$DATA/$name" ]; then mv "$DATA/$name" "$DATA/.old"; fi
    mv "data/$name" "$DATA/$name"
done
echo "$commit" >"$DATA/revision"
cd "$DATA"
remove "$partial"
remove "$DATA/.old"
echo "Cohorts of $commit:"
ls cohorts
