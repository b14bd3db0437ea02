#!/usr/bin/env bash
# Parts of Redis's own test suite (Tcl, Redis 7.0) against Troupe.
#   tests/tcl.sh [PROGRAM [UNIT ...]]    PROGRAM: default target/debug/troupe. UNIT: only these, e.g. unit/type/string
# The suite is not part of this repository: its source package comes from the Debian mirror that this machine uses, into a
# folder of its own (TCL_DIR, default target/tcl), with apt state of its own, so the machine's apt lists stay as they are.
# Two ways of running: `external` starts one server and tests it over the wire; `own` lets the suite start Troupe itself,
# as src/redis-server, with config files of its own, again and again. TCL_WAYS: which of them (default both). TCL_SHARDS: how
# many shards Troupe has (default 2). Runs with other ports (TCL_PORT, TCL_BASEPORT) may go side by side.
# tests/tcl-skip.txt names the tests that are left out, with the reason. A unit in which no test ran has failed.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
dir=${TCL_DIR:-$root/target/tcl}
program=$(realpath -s "${1:-$root/target/debug/troupe}")
shift || true
port=${TCL_PORT:-7890}
# The suite's own servers take 500 ports from here on.
baseport=${TCL_BASEPORT:-27000}
ways=${TCL_WAYS:-external own}
# What a run writes is its own.
run_dir=$dir/$port
suite=$run_dir/redis
logs=$run_dir/logs

external="unit/type/string unit/type/incr unit/bitops unit/bitfield unit/hyperloglog unit/dump
  unit/keyspace unit/scan unit/expire unit/protocol unit/introspection
  unit/introspection-2 unit/other unit/quit unit/slowlog unit/latency-monitor unit/info-command unit/pause unit/tracking
  unit/lazyfree unit/sort unit/geo unit/pubsub unit/type/list unit/type/list-2 unit/type/list-3
  unit/type/zset unit/type/hash unit/type/stream unit/type/stream-cgroups unit/multi unit/violations
  unit/type/set"
own="unit/auth unit/aofrw unit/dump unit/protocol unit/limits unit/introspection unit/introspection-2 unit/info
  unit/slowlog unit/oom-score-adj unit/obuf-limits unit/client-eviction unit/pubsub unit/pubsubshard unit/shutdown
  unit/networking unit/maxmemory unit/scripting unit/functions
  integration/rdb integration/convert-zipmap-hash-on-load integration/convert-ziplist-hash-on-load
  integration/convert-ziplist-zset-on-load
  integration/corrupt-dump integration/corrupt-dump-fuzzer
  integration/aof integration/aof-multi-part integration/redis-cli integration/redis-benchmark"
# With replicas: Troupe is both sides.
replicas="unit/wait unit/pause unit/multi integration/block-repl integration/psync2 integration/psync2-reg integration/psync2-pingoff"
replicas+=" integration/replication-2 integration/replication-3 integration/replication-4"
replicas+=" integration/psync2-master-restart integration/shutdown"
# The same, only where they are named: they take minutes (tests/nightly).
long_replicas="integration/replication-psync integration/replication integration/replication-buffer"
# Their encodings are not compared: since 7.2, as in Valkey, small lists and sets are packed. tests/scripts compares them.
packed="unit/keyspace unit/scan unit/sort unit/type/list unit/type/list-2 unit/type/list-3 unit/type/set"
# unit/violations and unit/type/set stand last: they change settings outside of any test, and leave them so.
# Left out whole, because what they test is not there (README, the first table): integration/dismiss-mem;
# unit/acl, unit/acl-v2; unit/tls; unit/cluster*; integration/failover; unit/pendingquerybuf. Besides: unit/querybuf and unit/replybufsize look
# into buffers that only Redis has (ours go back to their thread when a client rests), integration/logging into its crash
# reports; unit/printver has no tests; unit/memefficiency is about active defragmentation, and about ten thousand keys in a
# fresh server, nearly each of which pays here for the table of its slot.

fetch() {
  [ ! -d "$dir/redis/tests" ] || return 0
  local state=$dir/apt
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$dir"
  # The machine's own entries for Debian, as sources of source packages.
  if ls /etc/apt/sources.list.d/*.sources >/dev/null 2>&1; then
    sed 's/^Types: .*/Types: deb-src/' "$(grep -l 'bookworm' /etc/apt/sources.list.d/*.sources | head -1)" >"$state/src.sources"
  else
    grep -h '^deb .*bookworm' /etc/apt/sources.list | sed 's/^deb /deb-src /' >"$state/src.list"
  fi
  local list
  list=$(ls "$state"/src.* | head -1)
  local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$list" -o Dir::Etc::sourceparts=/nonexistent
    -o "Dir::State::lists=$state/lists" -o "Dir::Cache=$state/cache" -o APT::Sandbox::User=root)
  command -v dpkg-source >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq dpkg-dev >/dev/null
  "${apt[@]}" update
  (cd "$dir" && "${apt[@]}" source --download-only redis && dpkg-source --no-check -x redis_7.0.*.dsc redis >/dev/null)
}

link() {
  command -v tclsh8.6 redis-cli >/dev/null ||
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq tcl8.6 redis-tools >/dev/null
  local tool
  for tool in redis-cli redis-benchmark redis-check-aof; do ln -sf "$(command -v $tool)" "$suite/src/$tool"; done
  # The suite waits until the log names the process id (" PID: 123"), which a server says once it listens.
  # With two shards commands over several keys find them in two places.
  printf '#!/bin/sh\nTROUPE_SHARDS=%s exec "%s" "$@"\n' "${TCL_SHARDS:-2}" "$program" >"$suite/src/redis-server"
  chmod +x "$suite/src/redis-server"
}

# A unit that runs for longer hangs; so does one of the long ones.
unit_seconds=200
long_unit_seconds=1200
ok_total=0 bad_units=""
# run NAME UNIT OPTION...: one unit, its log, its line of the summary.
run() {
  local name=$1 unit=$2 seconds=$unit_seconds log ok bad skipped status=0 verdict=ok
  shift 2
  local left_out=$skips tags=(--tags "-needs:repl")
  # One server for all has no replica beside it: so a unit of `replicas` runs there without those tests.
  [ "$name" = external ] || [[ " $replicas $long_replicas " != *" $unit "* ]] || { left_out=$skips_of_replicas; tags=(); }
  [[ " $long_replicas " != *" $unit "* ]] || seconds=$long_unit_seconds
  log=$logs/$name-${unit//\//-}.log
  (cd "$suite" && TERM=dumb timeout $seconds ./runtest --durable --skipfile "$left_out" "${tags[@]}" \
    --single "$unit" "$@" >"$log" 2>&1) || status=$?
  [ $status = 0 ] || verdict=failed
  [ $status != 124 ] || verdict="timed out after $seconds s"
  ok=$(grep -c '^\[ok\]' "$log" || true)
  # What fails outside of any test has no name that could be left out: an unknown command there is one that is not there yet.
  bad=$(grep '^\[\(err\|exception\)\]' "$log" | grep -vc "^\[err\]: n command '" || true)
  skipped=$(grep -c '^\[\(skip\|ignore\)\]' "$log" || true)
  [ "$bad" = 0 ] && [ "$ok" != 0 ] || [ "$verdict" != ok ] || verdict=failed
  printf '%-9s %-32s %4s ok %3s failed %4s left out  %s\n' "$name" "$unit" "$ok" "$bad" "$skipped" "$verdict"
  ok_total=$((ok_total + ok))
  if [ "$verdict" != ok ]; then
    bad_units+=" $name:$unit"
    if [ $status = 124 ]; then
      echo "$name:$unit timed out; the last that it said:"
      tail -20 "$log"
    fi
    grep -A6 '^\[\(err\|exception\)\]' "$log" | head -60 || [ $status = 124 ] || tail -20 "$log"
  fi
}

# wanted WAY UNIT [UNIT ...]: whether the first of these units runs this way; all do where no others are named.
wanted() { [[ " $ways " == *" $1 "* ]] && { [ $# -lt 3 ] || [[ " ${*:3} " == *" $2 "* ]]; }; }

mkdir -p "$dir"
# Runs that begin together fetch it once.
(flock 9 && fetch) 9>"$dir/lock"
rm -rf "$run_dir"
mkdir -p "$logs"
cp -r "$dir/redis" "$suite"
link
# There is no debugger of scripts; what begins it outside of any test would end the unit.
sed -i '/^ *r script debug sync$/d' "$suite/tests/unit/scripting.tcl"
skips=$run_dir/skip.txt
grep -v '^#' "$root/tests/tcl-skip.txt" | grep . >"$skips" || true
# One line there leaves out by their names tests of other units that need a replica.
skips_of_replicas=$run_dir/skip-of-replicas.txt
grep -v '^/replicated' "$skips" >"$skips_of_replicas" || true
data=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$data"' EXIT
start_external() {
  "$suite/src/redis-server" --port "$port" --bind 127.0.0.1 --enable-debug-command yes --save "" --dir "$data" \
    --appendonly yes >"$logs/external-server.log" 2>&1 &
  server=$!
  for _ in $(seq 100); do redis-cli -p "$port" ping 2>/dev/null | grep -q PONG && return; sleep 0.1; done
  echo "the server did not start:" && tail -5 "$logs/external-server.log" && exit 1
}
[[ " $ways " != *" external "* ]] || start_external
for unit in $external; do
  wanted external "$unit" "$@" || continue
  # A unit that ended the server must not spoil those behind it.
  kill -0 "$server" 2>/dev/null || { echo "the server is gone: started again"; bad_units+=" external-server"; start_external; }
  encodings=()
  [[ " $packed " != *" $unit "* ]] || encodings=(--ignore-encoding)
  run external "$unit" --host 127.0.0.1 --port "$port" --clients 1 --baseport "$baseport" "${encodings[@]}"
done
for unit in $own $replicas $long_replicas; do
  wanted own "$unit" "$@" || continue
  [[ " $long_replicas " != *" $unit "* || $# -gt 0 ]] || continue
  options=()
  # How long commands take is kept in 24 KB for each command and shard: more than the limits of these tests have room for.
  [ "$unit" != unit/maxmemory ] || options=(--config latency-tracking no)
  run own "$unit" --clients 2 --baseport "$baseport" --portcount 500 "${options[@]}"
done
echo "$ok_total tests of Redis's suite passed"
[ "$ok_total" -gt 0 ] && [ -z "$bad_units" ] || { echo "failed:$bad_units"; exit 1; }
