#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Somebody goes on making checkpoints and truncating while the system is already rebooting.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
measure_owner

if [ "${1:-}" = second ]; then
	snapshot second
	exit
fi
measure a
seal one >/dev/null || exit
snapshot first
load_kernel second on || exit
hammer "$CHECKPOINT/create" label "$CHECKPOINT/truncate" \
	"1 $(value digest "$CHECKPOINT/segments" 1)" &
sleep 1
start_kernel
