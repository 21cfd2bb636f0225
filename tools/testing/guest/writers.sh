#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Checkpoints and reads while four processes measure as fast as they can.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
measure_owner
mkdir /tmp/load "$SHARE/reads" "$SHARE/exports"
load /tmp/load 4 400 &
load=$!
n=0
while kill -0 $load 2>/dev/null && [ $n -lt 60 ]; do
	n=$((n + 1))
	seal "number $n" >"$SHARE/answer-$n" || exit
	[ $((n % 10)) -ne 0 ] || cat "$IMA/binary_runtime_measurements" >"$SHARE/reads/$n"
done
wait $load || exit
echo $n >"$SHARE/count"
snapshot end
while read -r line; do
	seq=${line%% *}
	seq=${seq#seq=}
	for bank in sha1 sha256; do
		for kind in binary ascii; do
			export_segment "$seq" "$SHARE/exports/$seq-$kind-$bank" $kind $bank || exit
		done
	done
done <"$CHECKPOINT/segments"
