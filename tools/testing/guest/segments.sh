#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Two readers of `segments` while checkpoints are made, some of them after a foreign extend of PCR
# 10. What a reader finds wrong in one read, or between two, is left in the share.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
measure_owner

# reader NAME: reads until the end, says how often and what was wrong
reader()
{
	awk -v file="$CHECKPOINT/segments" -v end=/tmp/done '
	function value(key) {
		return substr($0, index($0, " " key "=") + length(key) + 2) + 0
	}
	function wrong(what) {
		print what ": " $0
	}
	BEGIN {
		while ((getline <end) <= 0) {
			close(end)
			reads++
			state = "sealed"
			next_seq = next_first = -1
			while ((getline <file) > 0) {
				if (state != "sealed")
					wrong("behind the active segment")
				seq = substr($1, 5) + 0
				state = substr($2, 7)
				broken = value("broken")
				first = value("first")
				if (next_seq >= 0 && seq != next_seq)
					wrong("not number " next_seq)
				if (next_first >= 0 && first != next_first)
					wrong("not from record " next_first " on")
				if (state == "sealed" && seq in verdict && verdict[seq] != broken)
					wrong("another verdict than before")
				if (state == "sealed")
					verdict[seq] = broken
				next_seq = seq + 1
				next_first = first + value("records")
			}
			close(file)
			if (state != "active")
				wrong("no active segment")
		}
		print reads >"'"$SHARE"'/reads-'"$1"'"
	}' >"$SHARE/wrong-$1"
}

reader one &
reader two &
for round in $(seq 12); do
	{
		for n in $(seq 30); do
			echo "$round $n" >&9 || exit
		done
	} 9>"$CHECKPOINT/create"
	measure "round-$round"
	tpm2_pcrextend "10:sha1=$(printf '%040d' "$round"),sha256=$(printf '%064d' "$round")" || exit
	seal broken >/dev/null || exit
	[ $((round % 4)) -ne 0 ] || cut_to $((round * 31 - 100)) || exit
done
echo yes >/tmp/done
wait
snapshot end
