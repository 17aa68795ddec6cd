#!/usr/bin/env bash
# Prints what a broker costs before it does any work, and how fast it comes back after kill -9:
#   start to ready on an empty directory, idle memory, size of the stripped binary, restart.
#
# Usage: benches/startup.sh [GIB] [PARTITIONS]     default: 10 GiB in 100 partitions
# SYNOD  the binary (default: target/release/synod, built when absent)
# DIR    where to put the data (default: a new directory under TMPDIR; removed at the end)
set -euo pipefail
cd "$(dirname "$0")/.."

gib=${1:-10}
partitions=${2:-100}
synod=${SYNOD:-${CARGO_TARGET_DIR:-target}/release/synod}
work=$(mktemp -d "${DIR:-${TMPDIR:-/tmp}}/synod-startup.XXXXXX")
broker=

stop() {
    if [[ -n $broker ]]; then
        kill -"$1" "$broker" 2>/dev/null || true
        wait "$broker" 2>/dev/null || true
        broker=
    fi
}
trap 'stop KILL; rm -rf "$work"' EXIT

[[ -x $synod ]] || cargo build --release --bin synod

# Starts a broker on the data directory $1. Sets: broker (its pid), ms (start to ready), kafka.
start() {
    local begin line=
    rm -f "$work/out"
    mkfifo "$work/out"
    begin=$(date +%s%N)
    "$synod" serve --data-dir "$1" --listen 127.0.0.1:0 --peer-listen 127.0.0.1:0 \
        --http-listen 127.0.0.1:0 >"$work/out" 2>>"$work/log" &
    broker=$!
    read -r line <"$work/out" || true
    ms=$((($(date +%s%N) - begin) / 1000000))
    if [[ $line != "synod ready "* ]]; then
        echo "the broker did not become ready:" >&2
        tail -n 5 "$work/log" >&2
        exit 1
    fi
    kafka=${line##*kafka=}
    kafka=${kafka%% *}
}

mib() {
    awk -v bytes="$1" 'BEGIN { print bytes / 1048576 }'
}

median() {
    sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

size=$(stat -c %s "$synod")
cp "$synod" "$work/stripped"
strip "$work/stripped" 2>/dev/null || true
stripped=$(stat -c %s "$work/stripped")
printf 'binary              %6.1f MiB stripped (%.1f MiB as built); aim 20\n' \
    "$(mib "$stripped")" "$(mib "$size")"

for run in 1 2 3 4 5 6 7 8 9; do
    start "$work/empty-$run"
    echo "$ms"
    stop TERM
done >"$work/times"
printf 'start to ready      %6d ms, median of 9 on empty directories; aim 100\n' \
    "$(median <"$work/times")"

start "$work/empty-1"
sleep 2
printf 'idle memory         %6.1f MiB resident; aim 30\n' \
    "$(awk '/VmRSS/ { print $2 / 1024 }' "/proc/$broker/status")"
stop TERM

# Fill: each partition gets the same file of 1,000-byte lines, so the fill needs little memory.
share=$((gib * 1024 * 1024 * 1024 / partitions))
lines=$((share / 1000))
base64 -w 999 /dev/urandom 2>/dev/null | head -n "$lines" >"$work/lines" || true
start "$work/full"
"$synod" topic create fill --partitions "$partitions" -b "$kafka" >/dev/null
begin=$SECONDS
for ((p = 0; p < partitions; p++)); do
    "$synod" produce fill -b "$kafka" --partition "$p" --file "$work/lines" >/dev/null
done
printf 'filled              %6d GiB in %d partitions, %d s\n' \
    "$gib" "$partitions" "$((SECONDS - begin))"
for run in 1 2 3; do
    # Something to recover: the kill comes while a producer writes.
    "$synod" produce fill -b "$kafka" --partition 0 --file "$work/lines" >/dev/null 2>&1 &
    producer=$!
    sleep 0.5
    stop KILL
    kill "$producer" 2>/dev/null || true
    wait "$producer" 2>/dev/null || true
    start "$work/full"
    echo "$ms"
done >"$work/times"
printf 'restart after kill  %6d ms, median of 3; aim 1000\n' "$(median <"$work/times")"
printf 'memory after        %6.1f MiB resident, maps included\n' \
    "$(awk '/VmRSS/ { print $2 / 1024 }' "/proc/$broker/status")"
stop TERM
