#!/bin/sh
# Dumps both databases, reads each dump back, and removes dumps older than KEEP_DAYS. A dump that cannot be read
# back, or an error on the way, leaves the earlier dumps alone and fails the job.
set -eu
now=$(date -u +%Y%m%dT%H%M%SZ)
for database in mlflow mlflow_auth; do
    partial="$BACKUPS/.partial-$database"
    pg_dump --format=custom --file="$partial" "$database"
    pg_restore --list "$partial" >/dev/null
    mv "$partial" "$BACKUPS/$database-$now.dump"
    echo "$database-$now.dump: $(wc -c <"$BACKUPS/$database-$now.dump") bytes"
done
find "$BACKUPS" -maxdepth 1 -name '*.dump' -mtime "+$KEEP_DAYS" -print -delete
