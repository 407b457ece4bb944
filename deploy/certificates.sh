#!/bin/sh
# Makes the certificate of a server, and an authority that signs it, with openssl. The service `certificates` of
# compose.yaml runs it at every start; docs/deploy.md explains. What is there and still good stays.
#
# usage: certificates.sh AUTHORITY PUBLIC SERVER GROUP NAME...
#   AUTHORITY  folder of the authority's key, which nobody else sees
#   PUBLIC     folder of ca.crt, by which clients know the authority
#   SERVER     folder of the server's server.key and server.crt
#   GROUP      number of the group that the server runs as: it reads the key, and cannot change it
#   NAME...    the server's names, as clients call it
set -eu
umask 077
authority=$1 public=$2 server=$3 group=$4
shift 4
# Renewed when it holds for less than that, in seconds: 60 of its 397 days.
left=5184000

key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.new" 2>/dev/null
    mv "$1.new" "$1"
}

if [ ! -s "$authority/ca.key" ] || [ ! -s "$authority/ca.crt" ]; then
    key "$authority/ca.key"
    openssl req -new -x509 -key "$authority/ca.key" -days 3650 -subj "/CN=Chandlery's own authority" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" -out "$authority/ca.crt.new"
    mv "$authority/ca.crt.new" "$authority/ca.crt"
    echo "made an authority, which holds for ten years"
fi
cp "$authority/ca.crt" "$public/ca.crt.new"
chmod 0644 "$public/ca.crt.new"
mv "$public/ca.crt.new" "$public/ca.crt"

names= first=$1
for name in "$@"; do
    names="${names:+$names,}DNS:$name"
done
is_good() {
    [ -s "$server/server.key" ] && [ -s "$server/server.crt" ] &&
        openssl x509 -in "$server/server.crt" -noout -checkend "$left" >/dev/null &&
        openssl verify -CAfile "$authority/ca.crt" -verify_hostname "$first" "$server/server.crt" >/dev/null 2>&1
}
if is_good; then
    echo "the certificate of $first is good"
else
    [ -s "$server/server.key" ] || key "$server/server.key"
    cat >"$server/request.cnf" <<END
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = $names
END
    openssl req -new -key "$server/server.key" -subj "/CN=$first" -out "$server/request.csr"
    openssl x509 -req -in "$server/request.csr" -CA "$authority/ca.crt" -CAkey "$authority/ca.key" -days 397 \
        -set_serial "0x$(openssl rand -hex 16)" -extfile "$server/request.cnf" -out "$server/server.crt.new" 2>/dev/null
    mv "$server/server.crt.new" "$server/server.crt"
    rm "$server/request.cnf" "$server/request.csr"
    echo "made a certificate of $first, which holds for 397 days"
fi
# PostgreSQL takes a key that belongs to root and that its own group can read.
chgrp "$group" "$server" "$server/server.key" "$server/server.crt"
chmod 0750 "$server"
chmod 0640 "$server/server.key" "$server/server.crt"
