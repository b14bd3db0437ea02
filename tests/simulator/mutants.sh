#!/usr/bin/env bash
# Breaks the core in many ways, one after the other, and looks whether the simulator notices each of them.
#
#   tests/simulator/mutants.sh [NAME ...]       all patches in tests/simulator/mutants, without a word
#
# Works on a copy of the checkout. Prints after how many seeds each mutant was caught, and with which words; one that
# 1,000 seeds do not catch, or that cannot be applied or built, is a failure.
set -uo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -c | tar -x -C "$copy"
cd "$copy" || exit 1
# Not where the checkout itself is built: cargo would take a mutant for it.
export CARGO_TARGET_DIR=$root/target/mutants RUST_BACKTRACE=0
export TROUPE_SIMULATOR_SEEDS=${TROUPE_SIMULATOR_SEEDS:-1000} TROUPE_SIMULATOR_SHRINK=no
simulator=(cargo test --quiet -p troupe --profile simulator --test simulator)
missed=0

# try NAME: applies a mutant, looks whether it is caught, and takes it away again.
try() {
  local patch=$root/tests/simulator/mutants/$1.patch log=$copy/log said
  if ! patch --quiet --strip=1 --no-backup-if-mismatch <"$patch"; then
    echo "$1: the patch does not apply"
    return 1
  fi
  if ! "${simulator[@]}" --no-run 2>"$log"; then
    said="does not build"
  elif "${simulator[@]}" seeds_break_no_promise >"$log" 2>&1; then
    said="not caught within $TROUPE_SIMULATOR_SEEDS seeds"
  else
    said=$(sed -nE 's/^seed ([0-9]+): (.{0,90}).*/\1 \2/p' "$log" | head -1)
    said=${said:+"caught after $((${said%% *} + 1)) seeds: ${said#* }"}
  fi
  patch --quiet --strip=1 --reverse --no-backup-if-mismatch <"$patch"
  printf '%-36s %s\n' "$1" "${said:-fails without a seed: $(tail -1 "$log")}"
  [[ $said == caught* ]]
}

[ $# -gt 0 ] || set -- $(cd "$root/tests/simulator/mutants" && printf '%s\n' *.patch | sed 's/\.patch$//')
for name in "$@"; do
  try "$name" || missed=$((missed + 1))
done
echo "$# mutants, $missed not caught"
[ "$missed" -eq 0 ]
