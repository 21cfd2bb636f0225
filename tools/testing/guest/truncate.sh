#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Truncation: which is refused, what readers see, what is measured.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
truncate=$CHECKPOINT/truncate
list=$IMA/binary_runtime_measurements
measure_owner
for label in one two three four; do
	measure "$label-a" "$label-b"
	seal "$label" >/dev/null || exit
done
measure last
snapshot whole
digest=$(value digest "$CHECKPOINT/segments" 2)
other=$(value digest "$CHECKPOINT/segments" 3)

# digest_with CHARACTERS... in place of the first: not the digest
for bad in '' 0 2 "0 $digest" "0 $(printf '%064d' 0)" "2 ${digest#?}" "2 ${digest}0" "2 g${digest#?}" "+2 $digest" \
	"-2 $digest" "x $digest" "2 $digest more" "2 $(printf '%0300d' 0)"; do
	fileop w="$truncate" write="$bad"
done >"$SHARE/malformed"
result absent w="$truncate" write="99 $digest"
result other-digest w="$truncate" write="2 $other"
result read r="$truncate" read="$SHARE/nothing"
result list-write w="$list" write='1
'
snapshot refused

# Held open over the truncation: a segment that goes, the list from its start, and from behind it.
live=$(($(value bytes "$CHECKPOINT/segments" 0) + $(value bytes "$CHECKPOINT/segments" 1)))
for held in export-binary export-ascii list ascii at-live; do
	data=$SHARE/$held.data
	case $held in
	export-binary) set -- rw="$CHECKPOINT/export" write='0 binary sha1' ;;
	export-ascii) set -- rw="$CHECKPOINT/export" write='1 ascii sha256' ;;
	list) set -- r="$list" ;;
	ascii) set -- r="$IMA/ascii_runtime_measurements_sha256" ;;
	at-live) set -- r="$list" seek=$live ;;
	esac
	fileop "$@" touch="/tmp/$held" wait=/tmp/truncated read="$data" \
		seek=0 read="$data.start" pread="$live:$data.live" wait=/tmp/release >"$SHARE/$held" &
done
for held in export-binary export-ascii list ascii at-live; do
	fileop wait="/tmp/$held" >/dev/null
done
result truncate w="$truncate" write="2 $digest
"
snapshot truncated
touch /tmp/truncated
sleep 2
snapshot pinned
touch /tmp/release
wait
snapshot released

# What is gone, and what is not there to be freed again.
result gone rw="$CHECKPOINT/export" write=0
result gone-too rw="$CHECKPOINT/export" write=1
result past w="$truncate" write="1 $(sed -n 's/^seq=1 .* digest=\([^ ]*\).*/\1/p' "$SHARE/whole/segments")"
result twice w="$truncate" write="2 $digest"
snapshot again
measure after one-a # the second is known: measured before, and freed
seal five >/dev/null || exit
cut_to 5 || exit
snapshot last
dmesg | grep -E 'type=180[0-9]' >"$SHARE/audit"
