#!/bin/sh
# A health check that ends what stays unhealthy, so that Docker starts it again: a restart policy alone restarts only what
# ended. Nothing outside of the container is needed for that, least of all Docker's socket.
#
# usage: health.sh PIDFILE SIGNAL LIMIT SECONDS COMMAND...
#   PIDFILE  holds the number of the process to end, in its first line
#   SIGNAL   to end it; KILL at the failure after that
#   LIMIT    after so many failures without a success between
#   SECONDS  how long COMMAND may take; less than Docker's own timeout, which would end this script too
# With HEALTH_BUSY=N in the environment, an exit with N is a server that lives and is busy, such as one that recovers:
# not healthy, and no reason to end it.
set -u
pid_file=$1 signal=$2 limit=$3 seconds=$4
shift 4
counter=${HEALTH_COUNTER:-/tmp/health-failures}

timeout "$seconds" "$@"
status=$?
if [ "$status" -eq 0 ]; then
    rm -f "$counter"
    exit 0
fi
[ "$status" != "${HEALTH_BUSY:-none}" ] || exit 1

failures=$(($(cat "$counter" 2>/dev/null || echo 0) + 1))
echo "$failures" >"$counter"
if [ "$failures" -ge "$limit" ]; then
    [ "$failures" -eq "$limit" ] || signal=KILL
    pid=$(head -n 1 "$pid_file") || exit 1
    echo "unhealthy $failures times without a pause: process $pid gets SIG$signal"
    kill -s "$signal" "$pid"
fi
exit 1
