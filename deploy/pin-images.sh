#!/bin/sh
# Pins the images that others make: looks up the digest of each and writes it into .env, so that a tag that is moved to
# another image changes nothing here. Run it once, and again when a tag in compose.yaml changes. Needs Docker.
set -eu
cd "$(dirname "$0")"
umask 077
touch .env
sed -n 's/.*\${\([A-Z]*_IMAGE\):-\([^}]*\)}.*/\1 \2/p' compose.yaml | sort -u | while read -r variable image; do
    docker pull --quiet "$image" >/dev/null
    digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$image" |
        sed -n "s|^\(docker.io/\)\{0,1\}\(library/\)\{0,1\}${image%:*}@\(sha256:[0-9a-f]\{64\}\)\$|\3|p" | head -n 1)
    if [ -z "$digest" ]; then
        echo "error: Docker knows no digest of $image" >&2
        exit 1
    fi
    grep -v "^$variable=" .env >.env.new || true
    echo "$variable=$image@$digest" >>.env.new
    mv .env.new .env
    echo "$variable=$image@$digest"
done
