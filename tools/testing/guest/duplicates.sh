#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The duplicate check: the same files, made and measured again and again, over truncations, with
# both scopes, and over a kexec.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
measure_owner
mkdir /tmp/load
FILES=50

# again NAME SERIES: how many of the files of a series are recorded, left in the share
again()
{
	before=$(count records_total)
	load /tmp/load 1 $FILES "$2" || exit
	echo $(($(count records_total) - before)) >"$SHARE/$1"
}

# free_all: all that was measured until now goes
free_all()
{
	seal >/dev/null && cut_to "$(count checkpoints)" || exit
}

# settled: the worker has done what a truncation left to it
settled()
{
	wait_for is bytes_pinned 0 || exit
	sleep 1
}

# keep NAME: snapshot, before something is freed
keep()
{
	seal >/dev/null || exit
	snapshot "$1"
}

case ${1:-first} in
first)
	again log-first a
	again log-live a
	keep one
	free_all
	again log-at-once a # the worker may not be done
	settled
	again log-freed a
	again log-other b
	free_all
	settled
	again log-freed-twice a
	again log-freed-other b
	count memory_known >"$SHARE/memory-log"

	configure duplicate_scope=live
	settled
	count memory_known >"$SHARE/memory-live"
	again live-freed a
	again live-live a
	free_all
	again live-freed-again a
	settled

	# a is live, b was freed and forgotten
	configure duplicate_scope=log
	again log-again-live a
	again log-again-forgotten b
	free_all
	settled
	again log-again-freed a
	again log-again-freed-other b

	# freed while the scope was another, between what is remembered and what is live
	again gap-before c
	free_all
	configure duplicate_scope=live
	again gap-in d
	free_all
	configure duplicate_scope=log
	again gap-behind e
	free_all
	settled
	again gap-in-log e
	again gap-forgotten d

	# nothing is known of what is gone, and not much memory is used
	configure duplicate_scope=live
	for series in 1 2 3 4 5; do
		load /tmp/load 1 1000 $series || exit
	done
	count memory_known >"$SHARE/memory-5000"
	free_all
	settled
	count memory_known >"$SHARE/memory-freed"
	configure duplicate_scope=log
	again before-kexec-freed f
	free_all
	again before-kexec-live g
	snapshot first
	load_kernel second on || exit
	start_kernel ;;
second)
	count memory_known >"$SHARE/memory-restored"
	again restored g # live, but another kernel's
	again restored-twice g
	again restored-freed f
	keep second
	free_all
	settled
	again restored-log g
	again restored-log-freed f
	configure duplicate_scope=live
	settled
	again restored-live g
	snapshot end ;;
*) exit 1 ;;
esac
