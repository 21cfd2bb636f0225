#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A list of nearly half of memory: records of 60,000 bytes, made of large signatures. An emulator takes
# its time to read so much, so that each view is read once, if at all.
# shellcheck source=/dev/null
. /mnt/share/lib.sh

if [ "${1:-}" = second ]; then
	snapshot second binary_runtime_measurements_sha1
	exit
fi
echo "measure func=FILE_CHECK mask=MAY_READ fowner=4242 template=ima-sig" >"$IMA/policy" || exit
memory=$(sed -n 's/MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
file=/tmp/large
: >$file
setfattr -n security.ima -v "0x03$(printf '%0120000d' 0)" $file || exit
chown 4242 $file
number=0
until [ "$((number * 60))" -gt "$((memory * 45 / 100))" ]; do
	number=$((number + 1))
	echo $number >$file
	read -r _ <$file
	[ $((number % 500)) -ne 0 ] || seal "$number" >/dev/null || exit
done
seal last >/dev/null || exit
measure a
sync
cat /proc/meminfo >"$SHARE/meminfo"
value bytes_total "$CHECKPOINT/status" >"$SHARE/bytes"
load_kernel second || exit
cat /sys/kernel/kexec_loaded >"$SHARE/loaded"
newest=$(value seq "$CHECKPOINT/segments")
export_segment $((newest - 1)) "$SHARE/newest" || exit # the last one was made at the load, and is active
start_kernel
