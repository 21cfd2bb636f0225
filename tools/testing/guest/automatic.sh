#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Checkpoints that nobody asks for: when they are made and when not, at a kexec load, and while the
# TPM does not answer.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
measure_owner

# off: no automatic checkpoint from here on
off()
{
	configure checkpoint_records=0 checkpoint_bytes=0 checkpoint_seconds=0 checkpoint_kexec_load=0
}

# made: one more checkpoint than was counted last
checkpoints=0
made()
{
	checkpoints=$((checkpoints + 1))
	wait_for reaches checkpoints $checkpoints
}

# still NAME: leave in the share how many checkpoints there are after a while, in which the worker
# looked at the clock more than once
still()
{
	sleep 8
	count checkpoints >"$SHARE/still-$1"
	echo "$checkpoints" >>"$SHARE/still-$1"
}

# names PREFIX COUNT
names()
{
	for n in $(seq "$2"); do
		echo "$1-$n"
	done
}

seconds()
{
	cut -d' ' -f1 /proc/uptime
}

case ${1:-first} in
first)
	# one threshold at a time
	configure checkpoint_records=10
	# shellcheck disable=SC2046 # the names are words
	measure $(names records 8) # and boot_aggregate
	sleep 1
	count checkpoints >"$SHARE/nine"
	measure records-9
	made || exit
	off
	configure checkpoint_bytes=2000
	# shellcheck disable=SC2046
	measure $(names bytes 40)
	made || exit
	off
	seal >/dev/null || exit # what is left of the 40, which may have been more than one segment
	checkpoints=$(count checkpoints)
	configure checkpoint_seconds=3
	seconds >"$SHARE/before-seconds"
	measure seconds-1
	echo $((checkpoints + 1)) >"$SHARE/seconds-seq"
	made || exit
	off

	# whichever is reached first
	configure checkpoint_records=5 checkpoint_bytes=1000000 checkpoint_seconds=100000
	# shellcheck disable=SC2046
	measure $(names first-records 5)
	made || exit
	off
	configure checkpoint_records=1000 checkpoint_bytes=300 checkpoint_seconds=100000
	# shellcheck disable=SC2046
	measure $(names first-bytes 5)
	made || exit
	off
	configure checkpoint_records=1000 checkpoint_bytes=1000000 checkpoint_seconds=1
	seal >/dev/null || exit # what is left of the five
	checkpoints=$(count checkpoints)
	measure first-seconds
	made || exit

	# nothing new, nothing to do: also when the log itself added a record
	configure checkpoint_records=1 checkpoint_bytes=1 checkpoint_seconds=1
	still idle
	seal by-hand >/dev/null && seal by-hand >/dev/null || exit
	checkpoints=$((checkpoints + 2))
	still sealed
	snapshot idle
	configure retain_segments=1
	wait_for is segments_live 2 || exit
	still retained
	snapshot retained
	measure after-retention
	made && wait_for is segments_live 2 || exit
	still again
	snapshot again
	configure retain_segments=0
	off

	# at a kexec load
	measure load-off
	load_kernel second on || exit
	still load-off
	configure checkpoint_kexec_load=1
	load_kernel second on || exit
	made || exit
	load_kernel second on || exit
	kexec -s -u || exit
	load_kernel second on || exit
	still load-on
	snapshot load
	configure checkpoint_kexec_load=0
	measure before-execution
	start_kernel ;;
second)
	checkpoints=$(count checkpoints)
	snapshot second

	# the TPM does not answer, and nothing is measured meanwhile
	measure quiet-1 quiet-2
	tpm-hold take || exit
	configure checkpoint_records=2
	wait_for said 1 'the automatic checkpoint failed: EIO' || exit
	sleep 5
	value last_error "$CHECKPOINT/status" >"$SHARE/error"
	count checkpoints >"$SHARE/quiet-count"
	tpm-hold release
	made || exit
	snapshot quiet
	dmesg >"$SHARE/messages-quiet"

	# what is measured meanwhile does not reach the TPM, but the list
	tpm-hold take || exit
	measure lost-1 lost-2 lost-3
	wait_for said 2 'the automatic checkpoint failed: EIO' || exit
	tpm-hold release
	made || exit
	measure after-lost # one is not enough
	seal healed >/dev/null || exit
	checkpoints=$(count checkpoints)
	snapshot healed

	# somebody makes a checkpoint before the worker tries again
	measure hurried-1
	tpm-hold take || exit
	configure checkpoint_records=1
	wait_for said 3 'the automatic checkpoint failed: EIO' || exit
	sleep 4
	tpm-hold release
	seal in-between >/dev/null
	sleep 8 # it finds nothing to do
	checkpoints=$(count checkpoints)
	measure hurried-2
	made || exit
	off

	# the checkpoint of a load is made up for
	measure late
	configure checkpoint_kexec_load=1
	tpm-hold take || exit
	load_kernel third on || exit
	wait_for said 4 'the automatic checkpoint failed: EIO' || exit
	count checkpoints >"$SHARE/late-count"
	tpm-hold release
	made || exit
	snapshot late
	off

	# no setting that frees counts before the TPM knows of it
	tpm-hold take || exit
	records=$(count records_total)
	result=0
	configure retain_segments=1 || result=$?
	echo "$result $(($(count records_total) - records))" >"$SHARE/not-set"
	grep retain_segments "$CHECKPOINT/config" >>"$SHARE/not-set"
	tpm-hold release
	configure retain_segments=1
	wait_for is segments_live 2 || exit
	snapshot freed
	configure retain_segments=0
	dmesg >"$SHARE/messages-held"

	# a TPM that never comes back: the worker keeps trying, and says so once
	tpm=$(readlink -f /sys/class/tpm/tpm0/device)
	echo "${tpm##*/}" >"$tpm/driver/unbind"
	before=$(count records_total)
	checkpoints=$(count checkpoints)
	configure checkpoint_records=5
	# shellcheck disable=SC2046
	measure $(names dead 20)
	wait_for said 5 'the automatic checkpoint failed: EIO' || exit
	echo $(($(count records_total) - before)) >"$SHARE/dead-records"
	still dead
	dmesg >"$SHARE/messages-dead"
	cat "$IMA/binary_runtime_measurements_sha1" >"$SHARE/dead-list" ;;
*) exit 1 ;;
esac
