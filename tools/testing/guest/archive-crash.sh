#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The archiver is killed before each system call that matters, and works on disks that fail.
# shellcheck source=/dev/null
. /mnt/share/lib.sh

A=/mnt/archive
HOST=guest

archiver() { ima-checkpoint archive --archive "${DIR:-$A}" --host $HOST "$@"; }
row() { sed -n "$1s/^seq=\\([0-9]*\\).*/\\1/p" "$CHECKPOINT/segments"; }

# exports FILE [STATE]: all that the kernel has, segment by segment
exports()
{
	: >"$1"
	sed -n "s/^seq=\\([0-9]*\\) state=${2:-}.*/\\1/p" "$CHECKPOINT/segments" |
		while read -r seq; do
			export_segment "$seq" /tmp/part && cat /tmp/part >>"$1"
		done
}

# complain WHAT: the kill that is under way was not survived
complain()
{
	echo "$point: $*" >>"$SHARE/faults"
	cp -r $A "$SHARE/fault-$(wc -l <"$SHARE/faults")"
}

# whole WHEN: archive and kernel hold every record once
whole()
{
	exports /tmp/live
	size=$(stat -c %s /tmp/sealed)
	ima-checkpoint cat --archive $A --host $HOST --from "$from" >/tmp/whole 2>/tmp/message || complain "$1: cat: $(cat /tmp/message)"
	head -c "$size" /tmp/whole | cmp -s - /tmp/sealed || complain "$1: the sealed records are not those that were appended"
	tail -c "$(stat -c %s /tmp/live)" /tmp/whole | cmp -s - /tmp/live || complain "$1: the live records are not the end"
	export_segment "$(row '$')" /tmp/part
	[ "$(stat -c %s /tmp/whole)" -eq $((size + $(stat -c %s /tmp/part))) ] || complain "$1: records are there twice, or missing"
}

# remains WHEN: what the kernel did not free it has, and what the archive was not to remove is good
remains()
{
	exports /tmp/live
	[ "$(row 1)" != "$first" ] || head -c "$(stat -c %s /tmp/sealed)" /tmp/live | cmp -s - /tmp/sealed ||
		complain "$1: the kernel lost records"
	ima-checkpoint fsck --archive $A >/tmp/message 2>&1 || complain "$1: fsck: $(cat /tmp/message)"
}

# mend OPTION...: a plain run completes what the killed one began
mend()
{
	archiver "$@" >/tmp/message 2>&1 || complain "mending: $? $(cat /tmp/message)"
	[ -z "$1" ] || [ "$(row 1)" = "$(row '$')" ] || complain "mending: not freed"
	[ -z "$(find $A -name .partial)" ] || complain "a partial file is left"
}

# settled CHECK: nothing of all that is left
settled()
{
	"$1" mended
	ima-checkpoint fsck --archive $A >/tmp/message 2>&1 || complain "fsck: $(cat /tmp/message)"
}

# start_round: something new is sealed; what is to come is compared from the kernel's first segment on
start_round()
{
	measure x y
	seal round >/dev/null
	from=$(value first "$CHECKPOINT/segments" "$(row 1)")
	exports /tmp/sealed sealed
}

# traced FAULT OPTION...: only the call that fails is shown. A call that kills is not seen with a filter
# in the kernel, which makes all others as fast as ever
traced()
{
	fault=$1
	shift
	case $fault in
	*:error=*) filter=--seccomp-bpf ;;
	*) filter= ;;
	esac
	strace -f $filter -qq -e signal=none -e trace="${fault%%:*}" -e inject="$fault" -o /tmp/trace ima-checkpoint archive --archive $A --host $HOST "$@" >/tmp/message 2>&1
}

# before_archive CALL: how often it is made before the archive is touched
before_archive() { sed '1d;/\/mnt\/archive/,$d' /tmp/plan | grep -c "[0-9]* *$1("; }

# kills PHASE CHECK CALL...: at each occurrence, until a run is not killed. The call that kills is not made
# any more: what `open` leaves is seen at the next one
kills()
{
	phase=$1 check=$2
	shift 2
	for call; do
		n=$(before_archive "$call")
		while :; do
			n=$((n + 1))
			point="$phase $call $n"
			"prepare_$phase"
			# shellcheck disable=SC2086 # options
			traced "$call:signal=KILL:when=$n" $options
			status=$?
			[ "$status" -eq 137 ] || break
			echo "$point" >>"$SHARE/kills"
			"$check" killed
			# shellcheck disable=SC2086 # options
			mend $options
		done
		[ "$status" -eq 0 ] || complain "not killed, and ends with $status: $(cat /tmp/message)"
		settled "$check"
		[ "$n" -le 400 ] || exit
	done
}

prepare_new() { rm -rf ${A:?}/$HOST; }
prepare_free() { start_round; }
prepare_remove()
{
	start_round
	first=$(row 1)
}

# a call is not made when it kills: what `open` leaves is seen at the next one
if [ "$1" != second ]; then
	measure_owner
	mkdir -p $A
	mount -t ext4 /dev/vda $A && chmod 700 $A || exit

	# an archive from nothing
	measure a b
	seal one >/dev/null
	measure c
	start_round
	options=
	strace -f -qq -y -o /tmp/plan ima-checkpoint archive --archive $A --host $HOST >/dev/null
	cp /tmp/plan "$SHARE/plan-new"
	kills new whole mkdirat fchmod fsync renameat

	# one that frees as well
	options='--keep-segments 0'
	archiver --keep-segments 0 >/dev/null
	prepare_free
	strace -f -qq -y -o /tmp/plan ima-checkpoint archive --archive $A --host $HOST --keep-segments 0 >/dev/null
	cp /tmp/plan "$SHARE/plan-free"
	kills free whole write pwrite64 fsync renameat
	cp -r $A/$HOST "$SHARE/archive-killed"
	snapshot killed

	# each flush fails once; so does each renaming
	for call in fsync renameat; do
		n=$(before_archive $call)
		while :; do
			n=$((n + 1))
			point="failing $call $n"
			prepare_free
			first=$(row 1)
			traced "$call:error=EIO:when=$n" --keep-segments 0
			status=$?
			grep -q INJECTED /tmp/trace || break
			freed=no
			[ "$(row 1)" = "$first" ] || freed=yes
			echo "$point $status $freed" >>"$SHARE/failures"
			# once a flush failed, another one of the same file proves nothing
			[ $call != fsync ] || sed '1,/INJECTED/d' /tmp/trace | grep -c 'fsync(' >>"$SHARE/flushes-after"
			whole failed
			mend --keep-segments 0
		done
		settled whole
	done
	: >"$SHARE/disks"

	# disk NAME: what an archiver on that disk ends with, and whether it freed
	disk()
	{
		point="disk $1"
		start_round
		first=$(row 1)
		DIR=/mnt/other archiver --keep-segments 0 >"$SHARE/disk-$1" 2>&1
		status=$?
		freed=no
		[ "$(row 1)" = "$first" ] || freed=yes
		echo "$1 $status $freed" >>"$SHARE/disks"
	}

	mkdir /mnt/other
	mount -t ext4 /dev/vdb /mnt/other && chmod 700 /mnt/other || exit
	dd if=/dev/zero of=/mnt/other/full bs=1k 2>/dev/null
	disk full
	rm /mnt/other/full
	mount -o remount,ro /mnt/other
	disk read-only
	umount /mnt/other
	size=$(cat /sys/block/vdb/size)
	echo "0 $size linear /dev/vdb 0" | dmsetup create failing --noudevsync && dmsetup mknodes &&
		mount -t ext4 /dev/mapper/failing /mnt/other || exit
	for table in "flakey /dev/vdb 0 0 60 1 error_writes" "error"; do
		dmsetup suspend --nolockfs --noudevsync failing &&
			echo "0 $size $table" | dmsetup reload failing &&
			dmsetup resume --noudevsync failing || exit
		disk "${table%% *}"
	done
	umount /mnt/other

	# another kernel starts while the archiver works
	point=kexec
	archiver --keep-segments 0 >/dev/null
	prepare_free
	value first "$CHECKPOINT/segments" "$(row 1)" >"$A/from"
	load_kernel second
	cp /tmp/sealed "$A/sealed"
	traced "fsync:signal=KILL:when=$(($(before_archive fsync) + 1))" --keep-segments 0
	umount $A
	start_kernel
fi

mkdir -p $A
mount -t ext4 /dev/vda $A || exit
point=kexec
from=$(cat $A/from)
exports /tmp/sealed sealed
head -c "$(stat -c %s $A/sealed)" /tmp/sealed | cmp - $A/sealed || complain "the kernel lost records"
rm $A/sealed $A/from
whole killed
mend --keep-segments 0
settled whole
cp -r $A/$HOST "$SHARE/archive-kexec"
snapshot kexec

# what is freed is removed from the archive
options='--keep-segments 0 --remove-age 0'
prepare_remove
# shellcheck disable=SC2086 # options
strace -f -qq -y -o /tmp/plan ima-checkpoint archive --archive $A --host $HOST $options >/dev/null
kills remove remains unlinkat write
: >"$SHARE/end"
