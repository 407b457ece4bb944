#!/bin/sh
# Makes the secrets of compose.yaml: a file for each in the folder `secrets` beside this script. What is there stays.
#
# The folder is yours alone. The files in it can be read by all, because the users of the containers, who have other
# numbers than you, get to see the files one by one and not the folder.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets secrets/providers
chmod 0700 secrets
chmod 0755 secrets/providers
for name in superuser_password owner_password pipeline_password reader_password daemon_password dagster_password \
    backup_password redis_password ui_token; do
    if [ -e "secrets/$name" ]; then
        echo "secrets/$name stays as it is"
        continue
    fi
    openssl rand -hex 24 >"secrets/.$name"
    chmod 0444 "secrets/.$name"
    mv "secrets/.$name" "secrets/$name"
    echo "secrets/$name is new"
done
