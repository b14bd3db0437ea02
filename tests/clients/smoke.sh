#!/usr/bin/env bash
# redis-cli and redis-benchmark against a running Troupe: smoke.sh PORT. Ends non-zero at the first surprise.
# grep reads to the end (no -q): a client that writes into a closed pipe would fail the pipeline.
set -euo pipefail
port=$1
cli() { redis-cli -p "$port" "$@"; }
expect() { # expect WANTED COMMAND...
  local wanted=$1 got
  shift
  got=$(cli "$@")
  [ "$got" = "$wanted" ] || { echo "$*: got '$got', not '$wanted'" >&2; exit 1; }
}
expect OK flushall
expect OK set k "a value" EX 100
expect "a value" get k
expect 1 -3 incr n
expect 2 dbsize
printf 'set p%d 1\r\n' $(seq 500) | cli --pipe | grep 'errors: 0, replies: 500' >/dev/null
[ "$(cli --scan --pattern 'p*' | sort -u | wc -l)" = 500 ]
cli --bigkeys | grep 'Biggest string' >/dev/null
cli --memkeys | grep 'keys' >/dev/null
cli info | grep '^redis_version:' >/dev/null
cli command docs get | grep summary >/dev/null
redis-benchmark -p "$port" -t ping,set,get,incr,mset -n 5000 -P 16 -q >/dev/null
redis-benchmark -p "$port" -t set,get -n 2000 -r 1000 --threads 2 -q >/dev/null
echo "redis-cli, redis-benchmark: ok"
