#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# 100 times: measure 1000 files, seal, truncate. What memory is used after each.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
measure_owner

# usage CYCLE: a line of key=value
usage()
{
	echo 3 >/proc/sys/vm/drop_caches
	{
		echo "cycle=$1"
		sed -n 's/^\(Slab\|VmallocUsed\|MemFree\): *\([0-9]*\) kB/\1=\2/p' /proc/meminfo
		grep -E '^(memory_|bytes_|records_)' "$CHECKPOINT/status"
		echo "vmalloc_pages=$(awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^pages=/) n += substr($i, 7) }
			END { print n + 0 }' /proc/vmallocinfo)"
	} | tr '\n' ' '
	echo
}

mkdir /tmp/load
n=0
while [ $n -lt 100 ]; do
	n=$((n + 1))
	load "/tmp/load" 1 1000 $n || exit
	[ $n -ne 10 ] || usage before >"$SHARE/full"
	seal >/dev/null && cut_to $n || exit
	wait_for is bytes_pinned 0 || exit
	usage $n >>"$SHARE/usage"
done
