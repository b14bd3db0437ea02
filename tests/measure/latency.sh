#!/usr/bin/env bash
# Latency of two servers at a fixed rate, in turn, round after round.
#
#   tests/measure/latency.sh PEER_PORT OUR_PORT [RATE [SECONDS [ROUNDS [CLIENT_CORE]]]]
#
# RATE: requests a second, or `half` (the default) for half of what the peer serves at most, which is
# measured first. Then each server gets SECONDS (60) of GET and SET, half each, at that rate from 50
# clients without pipeline, ROUNDS (5) times in turn. Printed are p50, p99, p99.9 and the longest of
# every round, in milliseconds, and the medians of both with their ratio. Pin both servers to the
# same core beforehand; the load comes from CLIENT_CORE (1).
#
# The load is valkey-benchmark (redis-benchmark has no --rps): the command in VALKEY_BENCHMARK, or
# the one that tests/peers.sh installed, or the one on PATH.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
if [ $# -lt 2 ]; then sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2; fi
peer=$1 ours=$2 rate=${3:-half} seconds=${4:-60} rounds=${5:-5} core=${6:-1}
sid=${PEERS_DIR:-$root/target/peers}/sid
if [ -n "${VALKEY_BENCHMARK:-}" ]; then
  read -ra benchmark <<<"$VALKEY_BENCHMARK"
elif [ -x "$sid/usr/bin/valkey-benchmark" ]; then
  benchmark=(chroot "$sid" /usr/bin/valkey-benchmark)
else
  benchmark=(valkey-benchmark)
fi

# load PORT TEST OPTION...: one run; its line of figures in CSV.
load() {
  local port=$1 test=$2
  shift 2
  taskset -c "$core" "${benchmark[@]}" -p "$port" -c 50 -t "$test" -d 64 -r 1000000 --csv "$@" | tail -n 1
}

if [ "$rate" = half ]; then
  most=$(load "$peer" get -n 400000 | cut -d, -f2 | tr -d '"')
  rate=$(awk -v most="$most" 'BEGIN { printf "%d", most / 2 }')
  echo "the peer serves $most requests a second at most: at $rate from here on"
fi

# measure PORT: `p50 p99 p99.9 longest` at the rate, of GET or SET the worse. p99.9 is the first step
# at or over it in the report's distribution (99.902 %), the others are in its summary.
measure() {
  local port=$1 test
  for test in get set; do
    taskset -c "$core" "${benchmark[@]}" -p "$port" -c 50 -t "$test" -d 64 -r 1000000 --rps "$rate" \
      -n $((rate * seconds / 2)) --precision 3 2>&1
  done | tr '\r' '\n' | awk '
    function worse(a, b) { return a + 0 > b + 0 ? a : b }
    /by percentile distribution/ { steps = 1; p999 = "" }
    /Cumulative distribution/ { steps = 0 }
    steps && /% <= / && $1 + 0 >= 99.9 && p999 == "" { p999 = $3 }
    /latency summary/ { getline; getline; w50 = worse(w50, $3); w99 = worse(w99, $5); w = worse(w, $6)
      w999 = worse(w999, p999) }
    END { print w50, w99, w999, w }'
}

figures=$(mktemp)
trap 'rm -f "$figures"' EXIT
printf '%-6s %-5s %8s %8s %8s %8s\n' round who p50 p99 p99.9 longest
for round in $(seq "$rounds"); do
  for who in peer ours; do
    read -r p50 p99 p999 longest < <(measure "${!who}")
    printf '%-6s %-5s %8s %8s %8s %8s\n' "$round" "$who" "$p50" "$p99" "$p999" "$longest"
    echo "$who $p50 $p99 $p999 $longest" >>"$figures"
  done
done

# median WHO COLUMN: of all rounds.
median() {
  awk -v who="$1" -v column="$2" '$1 == who { print $column }' "$figures" | sort -g |
    awk '{ all[NR] = $1 } END { print (all[int((NR + 1) / 2)] + all[int((NR + 2) / 2)]) / 2 }'
}
echo
echo '| median of rounds | peer ms | ours ms | ratio |'
echo '| --- | --- | --- | --- |'
column=2
for name in p50 p99 p99.9 longest; do
  theirs=$(median peer $column) mine=$(median ours $column)
  awk -v name="$name" -v a="$theirs" -v b="$mine" \
    'BEGIN { printf "| %s | %.3f | %.3f | %.2f |\n", name, a, b, a ? b / a : 0 }'
  column=$((column + 1))
done
