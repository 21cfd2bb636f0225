#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Everything at once for as long as the share's file "seconds" says, in a kernel that looks for faults,
# with allocations that fail. Before that, each allocation of each command fails once, by itself.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
DEBUG=/sys/kernel/debug
TIMES=1000000000
mount -t debugfs debugfs $DEBUG || exit
measure_owner
mkdir /tmp/load "$SHARE/segments"

# range PATTERN: first and last address of the functions whose names match, those of the boot and of
# unloading excepted, which are elsewhere
range()
{
	sort /proc/kallsyms | awk -v pattern="$1" '$2 ~ /[tT]/ && $3 ~ pattern && $3 !~ /(init|exit)$/ {
		if (!first) first = $1
		last = $1
	}
	END { print "0x" first, "0x" last }'
}

# faults PROBABILITY: percent of the allocations of tasks that want it. Never in the TPM's driver:
# an extend that fails leaves a list that does not replay, as it should.
faults()
{
	for fault in $DEBUG/failslab $DEBUG/fail_page_alloc $DEBUG/fail_usercopy; do
		echo Y >"$fault/task-filter"
		echo 0 >"$fault/verbose"
		echo $TIMES >"$fault/times"
		echo "$TPM_START" >"$fault/reject-start"
		echo "$TPM_END" >"$fault/reject-end" || exit
	done
	for fault in $DEBUG/failslab $DEBUG/fail_page_alloc; do
		echo "$1" >"$fault/probability"
		echo N >"$fault/ignore-gfp-wait" || exit
	done
	echo 0 >$DEBUG/fail_page_alloc/min-order
}

# injected: how many have failed
injected()
{
	echo $((2 * TIMES - $(cat $DEBUG/failslab/times) - $(cat $DEBUG/fail_page_alloc/times)))
}

# scan: leave what nobody can free any more in the share; it takes two scans to be sure
scan()
{
	sleep 6
	echo scan >$DEBUG/kmemleak
	sleep 6
	echo scan >$DEBUG/kmemleak
	cat $DEBUG/kmemleak >"$SHARE/leaks-$1"
	echo clear >$DEBUG/kmemleak
}

# shellcheck disable=SC2046 # two words
set -- $(range '^tpm')
TPM_START=$1 TPM_END=$2
echo "$TPM_START $TPM_END" >"$SHARE/reject"
scan boot

faults 0
for what in create truncate export read config; do
	fail-nth $what >"$SHARE/nth-$what" || exit
done
snapshot nth
configure checkpoint_seconds=0

# start ROLE...: a task of the stress
tasks=
start()
{
	stress "$@" >>"$SHARE/done" &
	tasks="$tasks $!"
}

faults 5
start archive "$SHARE/segments"
start measure plain
start measure faulty-1 faults
start measure faulty-2 faults
start seal faults
start truncate "$SHARE/segments" faults
start hold
start hold faults
start read "$IMA/binary_runtime_measurements_sha1" 20
start read "$IMA/binary_runtime_measurements_sha256" 32 faults
start read "$IMA/ascii_runtime_measurements_sha1" 0 faults
start configure faults

end=$(($(cut -d. -f1 /proc/uptime) + $(cat "$SHARE/seconds")))
while [ "$(cut -d. -f1 /proc/uptime)" -lt $end ]; do
	for task in $tasks; do
		kill -0 "$task" 2>/dev/null || { wait "$task"; echo "a task ended early: $?" >&2; exit 1; }
	done
	sleep 1
done
touch /tmp/done
for task in $tasks; do
	wait "$task" || exit
done
injected >"$SHARE/injected"
configure checkpoint_records=0 checkpoint_bytes=0 checkpoint_seconds=0 retain_segments=0 duplicate_scope=live
wait_for is bytes_pinned 0 || exit
snapshot end
first=$(sed -n '1s/^seq=\([0-9]*\) .*/\1/p' "$CHECKPOINT/segments")
ima-checkpoint verify --live --tpm --json --accept-start="$first:$(value digest "$CHECKPOINT/segments" "$first")" \
	>"$SHARE/verdict"
echo $? >"$SHARE/verdict.status"
scan end
