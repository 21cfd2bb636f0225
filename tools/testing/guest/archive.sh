#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The archiver through truncations, a restart, receipts, a fork, a gap and a kexec.
# shellcheck source=/dev/null
. /mnt/share/lib.sh

A=/mnt/archive
HOST=guest

# archive NAME OPTION...: one run; its exit status and what it said are left in the share
archive()
{
	name=$1
	shift
	ima-checkpoint archive --archive "$A" --host "$HOST" "$@" >"$SHARE/$name.out" 2>&1
	echo $? >"$SHARE/$name.status"
}

# note NAME COMMAND...: the same for any command
note()
{
	name=$1
	shift
	"$@" >"$SHARE/$name.out" 2>&1
	echo $? >"$SHARE/$name.status"
}

first() { sed -n '1s/^seq=\([0-9]*\).*/\1/p' "$CHECKPOINT/segments"; }
first_is() { [ "$(first)" = "$1" ]; }
newest() { value seq "$CHECKPOINT/segments"; }
newest_is() { [ "$(newest)" = "$1" ]; }
keep_copy() { cp -r "$A/$HOST" "$SHARE/archive-$1"; }
log_dir() { echo "$A/$HOST/$(value log_id "$CHECKPOINT/status")"; }

mkdir -p $A
if [ "$1" != second ]; then
	measure_owner
	mount -t ext4 /dev/vda $A && chmod 700 $A || exit

	# refused places
	mkdir /tmp/volatile
	note tmpfs ima-checkpoint archive --archive /tmp/volatile --host $HOST
	mkdir -m 777 $A/open
	note open ima-checkpoint archive --archive $A/open --host $HOST
	rmdir $A/open

	measure a b
	archive nothing
	note label ima-checkpoint checkpoint --label "the first"
	measure c d
	seal two >/dev/null
	measure e

	# truncating by hand: an agent that reads the list keeps it
	note dry-run ima-checkpoint truncate --dry-run 1
	note no-such ima-checkpoint truncate 7
	exec 6<"$IMA/ascii_runtime_measurements"
	echo $$ >"$SHARE/agent.pid"
	note held ima-checkpoint truncate 1
	first >"$SHARE/held.first"
	archive two
	archive waits --keep-segments 0
	first >"$SHARE/waits.first"
	note forced ima-checkpoint truncate --force 1
	first >"$SHARE/forced.first"
	exec 6<&-
	note freed-already ima-checkpoint truncate 0
	archive again
	find $A/$HOST -exec stat -c '%a %F %n' {} + >"$SHARE/modes"
	mkdir $A/shared
	ima-checkpoint archive --archive $A/shared/of-group --host $HOST --group 1000 >"$SHARE/group.out"
	find $A/shared/of-group -exec stat -c '%a %g %F' {} + >"$SHARE/group.modes"
	rm -r $A/shared
	archive dry --keep-segments 0 --dry-run
	first >"$SHARE/dry.first"
	archive keep-one --keep-segments 1
	first >"$SHARE/keep-one.first"
	snapshot keep-one
	archive keep-bytes --keep-bytes 100K
	first >"$SHARE/keep-bytes.first"
	archive keep-age --keep-age 1h --keep-segments 0
	first >"$SHARE/keep-age.first"

	# a service, a second one, receipts
	mkdir -m 777 /tmp/receipts
	ima-checkpoint archive --archive $A --host $HOST --follow --keep-segments 0 --require-ack /tmp/receipts \
		--endorser "$SHARE/auditor.pub" --checkpoint-every 2s >"$SHARE/follow.out" 2>&1 &
	pid=$!
	echo $pid >"$SHARE/follow.pid"
	wait_for grep -q $pid /proc/locks
	archive second
	wait_for newest_is 3
	sleep 0.5
	first >"$SHARE/unacknowledged.first"
	# signed by somebody else, then by whom the host listens to
	for key in other auditor; do
		note endorse-$key ima-checkpoint endorse --archive $A --host $HOST --live --tpm --signing-key "$SHARE/$key.pem" \
			--output /tmp/receipts/$key
		[ $key = auditor ] || sleep 6
		first >"$SHARE/endorsed-by-$key.first"
	done
	wait_for first_is 3
	first >"$SHARE/acknowledged.first"
	measure f g
	sleep 5
	newest >"$SHARE/idle-1.newest"
	sleep 3
	newest >"$SHARE/idle-2.newest"
	measure h
	seal three >/dev/null
	measure i
	kill $pid
	wait $pid
	echo $? >"$SHARE/follow.status"
	note stopped-fsck ima-checkpoint fsck --archive $A
	keep_copy stopped
	snapshot stopped

	# the tail grows, then is sealed
	measure j
	ima-checkpoint archive --archive $A --host $HOST --follow --keep-segments 0 >"$SHARE/restart.out" 2>&1 &
	pid=$!
	stop_following $pid INT
	echo $? >"$SHARE/restart.status"
	note status ima-checkpoint status --archive $A --host $HOST
	note status-json ima-checkpoint status --archive $A --host $HOST --json
	measure k
	load_kernel second
	measure l
	umount $A
	start_kernel
fi

mount -t ext4 /dev/vda $A || exit
measure_owner
measure m
note kexec-before ima-checkpoint fsck --archive $A
archive kexec --keep-segments 0
snapshot kexec
keep_copy kexec
note kexec-fsck ima-checkpoint fsck --archive $A

# an index that is lost
mv "$(log_dir)/index" /tmp/index
note no-index ima-checkpoint fsck --archive $A
note reindex ima-checkpoint reindex --archive $A
note reindexed ima-checkpoint fsck --archive $A

# a damaged segment is not freed
seal damage >/dev/null
measure n
seal damaged >/dev/null
archive intact
last=$(($(newest) - 1))
file=$(log_dir)/$(printf %010d $last).zst
cp "$file" /tmp/intact
printf X | dd of="$file" bs=1 seek=1100 conv=notrunc 2>/dev/null
archive damaged --keep-segments 0
first >"$SHARE/damaged.first"
echo $last >"$SHARE/damaged.seq"
note damaged-fsck ima-checkpoint fsck --archive $A
cp /tmp/intact "$file"
archive mended --keep-segments 0
first >"$SHARE/mended.first"

# a fork: a segment that claims the number of the next one
measure o
next=$(newest)
sed "s/\"seq\":$last,/\"seq\":$next,/" "$file" >"$(log_dir)/$(printf %010d "$next").zst"
seal fork >/dev/null
archive fork --keep-segments 0
first >"$SHARE/fork.first"
echo "$next" >"$SHARE/fork.seq"
archive forked --keep-segments 0
ls "$(log_dir)" >"$SHARE/fork.files"
note fork-fsck ima-checkpoint fsck --archive $A
mv "$(log_dir)/$(printf %010d "$next")".fork-*.zst "$(log_dir)/$(printf %010d "$next").zst"
note settle ima-checkpoint reindex --archive $A
archive settled --keep-segments 0
first >"$SHARE/settled.first"
note settled-fsck ima-checkpoint fsck --archive $A

# removing from the archive
cp -r $A/$HOST /tmp/before-removal
archive remove --remove-age 0
ls "$(log_dir)" >"$SHARE/remove.files"
note remove-fsck ima-checkpoint fsck --archive $A

# a gap: somebody else truncates
measure p
seal gap >/dev/null
newest >"$SHARE/gap.to"
cut_to "$(newest)"
measure q
seal behind >/dev/null
archive gap --keep-segments 0
archive gap-again
note gap-fsck ima-checkpoint fsck --archive $A
snapshot end
