# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Sourced by the guest scripts, from the share.

IMA=/sys/kernel/security/ima
CHECKPOINT=$IMA/checkpoint
SHARE=/mnt/share
PATH=$SHARE:$PATH

# measure_owner: measure what is read of files that belong to uid 4242, nothing else,
# so that a list holds only what the script decides.
measure_owner()
{
	echo "measure func=FILE_CHECK mask=MAY_READ fowner=4242" >"$IMA/policy"
}

# measure NAME...: one record for each file, made on the spot
measure()
{
	for name; do
		echo "contents of $name" >"/tmp/$name"
		chown 4242 "/tmp/$name"
		cat "/tmp/$name" >/dev/null
	done
}

# seal [LABEL]: make a checkpoint, print the answer
seal()
{
	{
		printf '%s\n' "${1:-}" >&9 && cat <&9
	} 9<>"$CHECKPOINT/create"
}

# result NAME STEP...: steps of fileop, their results left in the share
result()
{
	name=$1
	shift
	fileop "$@" >"$SHARE/$name"
}

# wait_for COMMAND...: until it succeeds, at most a minute
wait_for()
{
	for _ in $(seq 600); do
		! "$@" || return 0
		sleep 0.1
	done
	echo "not after a minute: $*" >&2
	return 1
}

# stop_following PID: an archiver, which has its lock when it heeds signals
stop_following()
{
	wait_for grep -q "$1" /proc/locks && kill "-${2:-TERM}" "$1" && wait "$1"
}

# value KEY FILE [SEQ]: one value of status, or of a segment
value()
{
	sed -n "${3:+/^seq=$3 /}s/.*\\b$1=\\([^ ]*\\).*/\\1/p" "$2" | tail -n 1
}

# export_segment SEQ FILE [binary|ascii [BANK]]
export_segment()
{
	{
		echo "$1 ${3:-binary} ${4:-sha1}" >&8 && cat <&8 >"$2"
	} 8<>"$CHECKPOINT/export"
}

# cut_to SEQ: truncate to that checkpoint
cut_to()
{
	echo "$1 $(value digest "$CHECKPOINT/segments" "$1")" >"$CHECKPOINT/truncate"
}

# configure SETTING=VALUE...: all in one write
configure()
{
	printf '%s\n' "$@" >"$CHECKPOINT/config"
}

# count KEY: a number of status
count()
{
	value "$1" "$CHECKPOINT/status"
}

# reaches KEY NUMBER, is KEY VALUE: for wait_for
reaches()
{
	[ "$(count "$1")" -ge "$2" ]
}

is()
{
	[ "$(count "$1")" = "$2" ]
}

# said TIMES TEXT: by the kernel, for wait_for
said()
{
	[ "$(dmesg | grep -c "$2")" -ge "$1" ]
}

# snapshot DIR [LIST]: leave lists, or only that one, tables and PCRs in the share
snapshot()
{
	mkdir -p "$SHARE/$1"
	for file in "$IMA"/${2:-*_runtime_measurements_*} "$IMA/runtime_measurements_count" \
		"$IMA/violations" "$CHECKPOINT/segments" "$CHECKPOINT/status"; do
		[ ! -e "$file" ] || cat "$file" >"$SHARE/$1/${file##*/}" || return
	done
	for file in /sys/class/tpm/tpm0/pcr-*/10 /sys/class/tpm/tpm0/pcr-*/11; do
		[ -e "$file" ] || continue
		bank=${file%/*}
		cat "$file" >"$SHARE/$1/pcr-${bank##*/pcr-}-${file##*/}"
	done
}

# load_kernel STAGE [on|off]: the next kernel, in which the script runs again as STAGE
load_kernel()
{
	kexec -s -l "/boot/bzImage${2:+-$2}" --initrd=/boot/initrd \
		--command-line="$(cat /proc/cmdline) ${2:+$(cat "/boot/cmdline-$2")} resume=$1"
}

# start_kernel: does not return
start_kernel()
{
	sync
	kexec -e
	exit 1
}
