#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The log over five boots: twice into a kernel with the option on, then into one with it off, and back.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
measure_owner
echo "measure func=FILE_CHECK mask=MAY_READ fowner=4011 pcr=11" >"$IMA/policy"

case ${1:-first} in
first) # nothing truncated
	measure a writer
	exec 5>>/tmp/writer
	cat /tmp/writer >/dev/null # a violation
	exec 5>&-
	echo eleven >/tmp/eleven
	chown 4011 /tmp/eleven
	cat /tmp/eleven >/dev/null
	seal one >/dev/null || exit
	measure b
	load_kernel second on || exit
	snapshot first-end
	start_kernel ;;
second) # checkpoint and truncation between load and execution
	snapshot second
	measure a b # in this boot for the first time
	load_kernel third on || exit
	seal two >/dev/null || exit
	measure c
	seal three >/dev/null || exit
	measure d
	last=$(value seq "$CHECKPOINT/segments")
	seq=0
	while [ $seq -lt "$last" ]; do
		export_segment $seq "$SHARE/second-segment-$seq" || exit
		seq=$((seq + 1))
	done
	cut_to "$last" || exit
	measure e
	snapshot second-end
	start_kernel ;;
third) # truncation before the load
	snapshot third
	measure f
	seal four >/dev/null || exit
	last=$(value seq "$CHECKPOINT/segments")
	seq=$(sed -n '1s/^seq=\([0-9]*\) .*/\1/p' "$CHECKPOINT/segments")
	while [ "$seq" -lt "$last" ]; do
		export_segment "$seq" "$SHARE/third-segment-$seq" || exit
		seq=$((seq + 1))
	done
	cut_to "$last" || exit
	measure g
	load_kernel without off || exit
	snapshot third-end
	start_kernel ;;
without)
	[ ! -e "$CHECKPOINT" ] || exit
	snapshot without
	measure h
	snapshot without-end
	load_kernel fifth on || exit
	start_kernel ;;
fifth)
	snapshot fifth
	measure i
	seal five >/dev/null || exit
	measure j
	snapshot fifth-end ;;
esac
