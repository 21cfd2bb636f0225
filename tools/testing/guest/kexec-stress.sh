#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Everything at once in each of several kernels, up to the moment in which the next one is started. The
# share's files say how long each lives, "seconds", and how many kexecs there are, "kexecs".
# shellcheck source=/dev/null
. /mnt/share/lib.sh
stage=${1:-0}
snapshot "boot-$stage"
seconds=$(cat "$SHARE/seconds")
if [ "$stage" -ge "$(cat "$SHARE/kexecs")" ]; then
	first=$(sed -n '1s/^seq=\([0-9]*\) .*/\1/p' "$CHECKPOINT/segments")
	ima-checkpoint verify --live --tpm --json \
		--accept-start="$first:$(value digest "$CHECKPOINT/segments" "$first")" >"$SHARE/verdict"
	echo $? >"$SHARE/verdict.status"
	exit
fi
measure_owner
mkdir -p /tmp/load "$SHARE/segments"

# start ROLE...: a task of the stress
tasks=
start()
{
	stress "$@" &
	tasks="$tasks $!"
}

start measure "first-$stage"
start measure "second-$stage"
start archive "$SHARE/segments"
start seal
start truncate "$SHARE/segments"
start hold
start read "$IMA/binary_runtime_measurements_sha1" 20
start read "$IMA/binary_runtime_measurements_sha256" 32
start read "$IMA/ascii_runtime_measurements_sha1" 0
start configure
sleep "$seconds"
load_kernel $((stage + 1)) || exit
sleep "$((seconds / 4))"
for task in $tasks; do
	kill -0 "$task" 2>/dev/null || { wait "$task"; echo "stage $stage: a task ended early: $?" >&2; exit 1; }
done
count records_total >"$SHARE/total-$stage"
start_kernel
