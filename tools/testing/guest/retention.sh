#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A machine that nobody looks after: no program archives or truncates, the kernel keeps what its
# settings say. How many records, and what is asked of the kernel before, is in the share.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
# shellcheck source=/dev/null
. "$SHARE/plan" # RECORDS, SETTINGS
measure_owner
mkdir /tmp/load
STEPS=50

# usage STEP: a line of key=value
usage()
{
	sync
	echo 3 >/proc/sys/vm/drop_caches
	{
		echo "step=$1 uptime=$(cut -d' ' -f1 /proc/uptime)"
		sed -n 's/^\(Slab\|VmallocUsed\|MemFree\): *\([0-9]*\) kB/\1=\2/p' /proc/meminfo
		grep -E '^(memory_|bytes_|records_|segments_|checkpoints)' "$CHECKPOINT/status"
	} | tr '\n' ' '
	echo
}

# idle: the worker has done all
idle()
{
	wait_for is bytes_pinned 0 || exit
	sleep 2
}

# Without the settings nothing is freed.
if [ "$SETTINGS" ]; then
	configure checkpoint_records=100
	load /tmp/load 1 2000 unset || exit
	seal >/dev/null || exit
	idle
	snapshot unset
	# shellcheck disable=SC2086 # words
	configure $SETTINGS
	wait_for reaches records_freed 1 || exit
	idle
	snapshot set
fi

n=0
while [ $n -lt $STEPS ]; do
	n=$((n + 1))
	load /tmp/load 2 $((RECORDS / STEPS / 2)) $n || exit
	usage $n >>"$SHARE/usage"
done
idle
usage end >>"$SHARE/usage"
snapshot end
dmesg | grep -E 'type=1804.*truncate' | tail -n 3 >"$SHARE/audit"
cp /proc/meminfo "$SHARE"
