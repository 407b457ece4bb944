#!/bin/sh
# Backs up an installation while it runs; the service `backup` of compose.yaml runs it, and docs/deploy.md explains.
#
# The order matters. The database comes first: what it names is then still in the landing zone (30 days) and in the lake
# (replaced files stay for a day, `lake.grace` in lifecycle.yaml). What comes into these meanwhile is in the backup and
# not in its database: an answer in the landing zone is found there by the next run, a file of the lake is left alone.
set -eu
umask 077
: "${DATABASE:?a connection string of the role chandlery_backup}" "${PASSWORD_FILE:?the file of its password}"
: "${BACKUPS:?the folder of the backups}" "${LANDING:?}" "${LAKE:?}" "${HOME_FOLDER:?}" "${CONFIG:?}" "${DEPLOY:?}"

name=$(date -u +%Y-%m-%dT%H-%M-%SZ)
work=$BACKUPS/.$name
trap 'rm -rf "$work" "${PGPASSFILE:-}"' EXIT
mkdir -p "$work"
# Only its owner can read it, as libpq demands; the secret itself can be read by all.
PGPASSFILE=$(mktemp)
export PGPASSFILE
sed 's/[\\:]/\\&/g; s/^/*:*:*:*:/' "$PASSWORD_FILE" >"$PGPASSFILE"

echo "database"
pg_basebackup --dbname="$DATABASE" --no-password --pgdata="$work/database" --checkpoint=fast --wal-method=stream
pg_verifybackup --quiet "$work/database"

# A file that goes while it is read is one that is no longer needed (status 1); anything else is an error.
pack() {
    echo "$1"
    status=0
    tar --create --gzip --numeric-owner --sparse --file="$work/$1.tar.gz" --directory="$2" "$3" || status=$?
    [ "$status" -le 1 ]
}
pack database "$work" database
rm -r "$work/database"
pack landing "$LANDING" .
pack lake "$LAKE" .
pack home "$HOME_FOLDER" .
pack config "$CONFIG" .
# The settings and secrets of this folder, as far as they are there.
cd "$DEPLOY"
settings=
for each in .env providers.env secrets compose.override.yaml; do
    [ ! -e "$each" ] || settings="$settings $each"
done
# shellcheck disable=SC2086 # these names hold no space
tar --create --gzip --numeric-owner --file="$work/settings.tar.gz" $settings

cd "$work"
sha256sum -- *.tar.gz >SHA256SUMS
sync
mv "$work" "$BACKUPS/$name"
echo "done: $name"
