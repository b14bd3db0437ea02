#!/usr/bin/env bash
# The servers to compare with, as Debian ships them.
#   peers.sh install                            redis-server and its tools on this machine; valkey and redis of Debian sid in a folder
#   peers.sh start NAME PORT [directive ...]    NAME: valkey | redis | redis8. No persistence unless asked; prints the process id
#   peers.sh stop PID
# Needs root (debootstrap, chroot). PEERS_DIR: where the sid folder goes (default: target/peers). There `valkey-server` and
# `redis8-server` are wrappers that the tests find by themselves. Debian sid moves on: the versions are printed, note them.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
dir=${PEERS_DIR:-$root/target/peers}
valkey_wanted=9.1
redis8_wanted=8.0

install() {
  if ! { command -v redis-server && command -v debootstrap; } >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq redis-server redis-tools debootstrap >/dev/null
  fi
  mkdir -p "$dir"
  if [ ! -e "$dir/sid/usr/sbin/policy-rc.d" ]; then
    # The mirror that this machine itself uses.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -m1 '/debian/$' || true)
    debootstrap --variant=minbase sid "$dir/sid" ${mirror:+"$mirror"} >"$dir/install.log" 2>&1
    printf '#!/bin/sh\nexit 101\n' >"$dir/sid/usr/sbin/policy-rc.d"
    chmod +x "$dir/sid/usr/sbin/policy-rc.d"
  fi
  install_of_sid valkey-server valkey-server valkey-tools
  install_of_sid redis8-server redis-server redis-tools
  redis-server --version
  wanted valkey-server "$valkey_wanted"
  wanted redis8-server "$redis8_wanted"
}

# WRAPPER PROGRAM TOOLS: the program of sid, out of the package of its name, with its tools, and a wrapper for it.
install_of_sid() {
  local wrapper=$1 program=$2 tools=$3
  if [ ! -x "$dir/sid/usr/bin/$program" ]; then
    # The packages' set-up scripts want a running init system; what is needed is the unpacked programs.
    # A mirror may be older than the time for which its lists are good.
    chroot "$dir/sid" apt-get -o Acquire::Check-Valid-Until=false update -qq
    chroot "$dir/sid" apt-get install -y -qq --no-install-recommends "$program" "$tools" \
      >>"$dir/install.log" 2>&1 || true
  fi
  printf '#!/bin/sh\nexec chroot "%s" /usr/bin/%s "$@"\n' "$dir/sid" "$program" >"$dir/$wrapper"
  chmod +x "$dir/$wrapper"
}

# WRAPPER VERSION: prints the version; says so when it is another than the one that the tests were written from.
wanted() {
  local version
  version=$("$dir/$1" --version) || { tail -5 "$dir/install.log" >&2; exit 1; }
  echo "$version"
  case $version in *v=$2.*) ;; *) echo "warning: $1 $2 is what the tests were written from" >&2 ;; esac
}

start() {
  local name=$1 port=$2 command log
  shift 2
  case $name in
    valkey) command=$dir/valkey-server ;;
    redis) command=redis-server ;;
    redis8) command=$dir/redis8-server ;;
    *) echo "unknown peer $name" >&2; exit 2 ;;
  esac
  mkdir -p "$dir"
  log=$dir/$name.$port.log
  setsid "$command" --port "$port" --bind 127.0.0.1 --save "" --appendonly no --dir /tmp \
    --dbfilename "peer-$port.rdb" "$@" >"$log" 2>&1 &
  local pid=$!
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    if redis-cli -p "$port" ping 2>/dev/null | grep -q PONG; then echo "$pid"; return; fi
    sleep 0.1
  done
  echo "$name did not start:" >&2
  tail -3 "$log" >&2
  exit 1
}

case ${1:-} in
install) install ;;
start) shift; start "$@" ;;
stop) kill "$2" ;;
*) sed -n 2,7p "$0"; exit 2 ;;
esac
