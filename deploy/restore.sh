#!/bin/sh
# Brings a backup back into empty volumes; the service `restore` of compose.yaml runs it, and docs/deploy.md explains.
#
# usage: restore.sh NAME, the folder of the backup below $BACKUPS
set -eu
: "${BACKUPS:?}" "${DATA:?the folder that PostgreSQL is to have}" "${LANDING:?}" "${LAKE:?}" "${HOME_FOLDER:?}"
backup=$BACKUPS/${1:?which backup? $(ls "$BACKUPS")}

cd "$backup"
sha256sum --check --quiet SHA256SUMS
for folder in "$DATA" "$LANDING" "$LAKE" "$HOME_FOLDER"; do
    if [ -n "$(ls -A "$folder" 2>/dev/null)" ]; then
        echo "error: $folder is not empty; a backup is brought back into empty volumes alone" >&2
        exit 1
    fi
done

unpack() {
    echo "$1"
    mkdir -p "$2"
    tar --extract --gzip --numeric-owner --same-permissions --file="$backup/$1.tar.gz" --directory="$2"
}
unpack landing "$LANDING"
unpack lake "$LAKE"
unpack home "$HOME_FOLDER"
# The database last: without it nothing starts, so nothing starts on half a backup.
unpack database "$(dirname "$DATA")/.restored"
chmod 0700 "$(dirname "$DATA")/.restored/database"
if [ -n "${DATA_OWNER:-}" ]; then
    chown -R "$DATA_OWNER" "$(dirname "$DATA")/.restored/database"
fi
[ ! -d "$DATA" ] || rmdir "$DATA"
mv "$(dirname "$DATA")/.restored/database" "$DATA"
rmdir "$(dirname "$DATA")/.restored"
sync
echo "done: the next start of the database completes it"
