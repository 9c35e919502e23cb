#!/usr/bin/env bash
# What adding one workflow costs: CPU seconds (user + system) of an incremental dev build, final link included, with
# 20, 100 and 300 real workflows already there. Bars: 4, 6 and 15 seconds.
#
#   WORKFLOW_CORPUS=/path/to/corpus codegen/benches/build_cost.sh [counts…]
#
# The workflows are those in "$WORKFLOW_CORPUS/api", in the order of their names; one that is an error is left out.
# PACKAGE chooses what is built: `comfyport` (the binary) unless set; `comfyport-generated` leaves out the link.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${WORKFLOW_CORPUS:?set it to the folder that holds api/}"
package=${PACKAGE:-comfyport}
counts=("$@")
[ ${#counts[@]} -gt 0 ] || counts=(20 100 300)

folder=$(mktemp -d)
log=$(mktemp)
trap 'rm -rf "$folder" "$log"' EXIT
export COMFYPORT_WORKFLOWS=$folder
mapfile -t files < <(find "$WORKFLOW_CORPUS/api" -name '*.json' | LC_ALL=C sort)

build() { cargo build --quiet --offline --package "$package" >"$log" 2>&1; }

# Runs a build; prints its CPU seconds and its seconds on the clock.
timed() {
    local TIMEFORMAT='%U %S %R'
    { time build; } 2>&1 | awk '{ printf "%.1f %.1f", $1 + $2, $3 }'
}

# Fills the folder with the first workflows that build, up to a number of them.
fill() {
    local wanted=$1 file
    for file in "${files[@]:$next}"; do
        [ "$filled" -lt "$wanted" ] || return 0
        cp "$file" "$folder/"
        filled=$((filled + 1)) next=$((next + 1))
    done
    echo "only ${#files[@]} workflows in $WORKFLOW_CORPUS/api" >&2
    exit 2
}

# Takes out what the build script names as an error, until the rest builds.
settle() {
    local bad
    until build; do
        bad=$(sed -n 's/.*--> \(.*\.json\).*/\1/p' "$log" | sort -u)
        [ -n "$bad" ] || { cat "$log" >&2; exit 1; }
        while read -r file; do rm -f "$file" && filled=$((filled - 1)); done <<<"$bad"
    done
}

bar() { case $1 in 20) echo 4 ;; 100) echo 6 ;; 300) echo 15 ;; *) echo - ;; esac; }

next=0 filled=0 missed=0
printf '%9s  %8s  %8s  %6s  %s\n' workflows 'CPU s' 'clock s' 'bar' "(package $package, dev, one workflow more)"
for count in "${counts[@]}"; do
    while [ "$filled" -lt "$count" ]; do fill "$count"; settle; done
    # The last of them, so that the one added is the same for every count.
    cp "${files[-1]}" "$folder/one_more.json"
    read -r cpu clock <<<"$(timed)"
    rm "$folder/one_more.json"
    printf '%9s  %8s  %8s  %6s\n' "$count" "$cpu" "$clock" "$(bar "$count")"
    if awk -v cpu="$cpu" -v bar="$(bar "$count")" 'BEGIN { exit !(bar != "-" && cpu > bar) }'; then missed=1; fi
    build
done
[ "$missed" = 0 ] || { echo "a bar was missed" >&2; exit 1; }
