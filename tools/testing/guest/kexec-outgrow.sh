#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The list outgrows the buffer that was sized at load. outgrow=COUNT on the command line: how many
# records; busy: others go on measuring while the next kernel is started.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
measure_owner
count=$(sed 's/.*outgrow=\([0-9]*\).*/\1/' /proc/cmdline)

if [ "${1:-}" = second ]; then
	snapshot second
	measure after
	seal after >/dev/null || exit
	snapshot end
	exit
fi

measure a b
seal loaded >/dev/null || exit
load_kernel second on || exit
mkdir /tmp/load
load /tmp/load 2 $((count / 4)) early || exit
seal half >/dev/null || exit
load /tmp/load 2 $((count / 4)) late || exit
snapshot first
if grep -q busy /proc/cmdline; then
	load /tmp/load 4 100000 busy &
	sleep 1
fi
start_kernel
