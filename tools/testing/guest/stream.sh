#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The untruncated list, by cat and mount, over truncations, restarts of the archiver and a kexec.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
hostname guest
measure_owner
archive=$SHARE/archive
log=$SHARE/archiver
pcr=/sys/class/tpm/tpm0/pcr-sha256/10
banks=$(sed -n '1s/ /\n/gp' "$CHECKPOINT/segments" | sed -n 's/^base_\(.*\)=.*/\1/p')
view=/tmp/view
mkdir -p "$view" /tmp/ima "$SHARE/reference" "$SHARE/seen"

cat_whole()
{
	ima-checkpoint cat --archive "$archive" "$@"
}

# show STAGE: mount, and wait until it is
show()
{
	ima-checkpoint mount "$view" --archive "$archive" 2>>"$SHARE/$1-mount" &
	mounter=$!
	wait_for test -e "$view/violations"
}

# keep: what the kernel shows of each segment that was not kept yet, the active one excepted,
# becomes part of what a list would be that was never truncated
keep()
{
	sed -n 's/^seq=\([0-9]*\) state=sealed .*/\1/p' "$CHECKPOINT/segments" |
		while read -r seq; do
			[ ! -e "$SHARE/kept-$seq" ] || continue
			for bank in $banks; do
				export_segment "$seq" /tmp/part binary "$bank" || return
				cat /tmp/part >>"$SHARE/reference/binary-$bank"
				export_segment "$seq" /tmp/part ascii "$bank" || return
				cat /tmp/part >>"$SHARE/reference/ascii-$bank"
			done
			touch "$SHARE/kept-$seq"
		done
}

# cut: seal, archive, free all but the newest segment; each time another archiver
cut()
{
	seal "$1" >/dev/null || return
	keep
	ima-checkpoint archive --archive "$archive" --keep-segments 1 >>"$log" 2>&1 || return
	sed -n '1s/ .*//p' "$CHECKPOINT/segments" >>"$SHARE/heads"
}

# whole STAGE: what cat and mount give, everywhere, while nothing is measured
whole()
{
	keep || return
	for bank in $banks; do
		cat_whole --bank "$bank" >"$SHARE/seen/$1-cat-binary-$bank" || return
		cat_whole --bank "$bank" --ascii >"$SHARE/seen/$1-cat-ascii-$bank" || return
		cat "$view/binary_runtime_measurements_$bank" >"$SHARE/seen/$1-mount-binary-$bank" || return
		cat "$view/ascii_runtime_measurements_$bank" >"$SHARE/seen/$1-mount-ascii-$bank" || return
		# what is kept plus the live segments of this moment
		for kind in binary ascii; do
			cp "$SHARE/reference/$kind-$bank" "$SHARE/seen/$1-wanted-$kind-$bank"
			live=$(sed -n 's/^seq=\([0-9]*\) state=active .*/\1/p' "$CHECKPOINT/segments")
			export_segment "$live" /tmp/part "$kind" "$bank" || return
			cat /tmp/part >>"$SHARE/seen/$1-wanted-$kind-$bank"
		done
	done
	cat "$view/runtime_measurements_count" "$view/violations" >"$SHARE/$1-numbers"
	value records_total "$CHECKPOINT/status" >"$SHARE/$1-numbers-wanted"
	cat "$IMA/violations" >>"$SHARE/$1-numbers-wanted"
	cmp "$view/binary_runtime_measurements" "$SHARE/seen/$1-wanted-binary-sha1" || return
	cmp "$view/ascii_runtime_measurements" "$SHARE/seen/$1-wanted-ascii-sha1"
}

# start_agent STAGE
start_agent()
{
	rm -f /tmp/stop
	agent "$view/ascii_runtime_measurements_sha256" "$pcr" 1000 /tmp/stop >"$SHARE/$1-agent" &
	agent_pid=$!
	wait_for grep -qs ready "$SHARE/$1-agent"
}

# stop STAGE: the agent, then the file system
stop()
{
	touch /tmp/stop
	wait "$agent_pid"
	echo "$?" >"$SHARE/$1-agent-status"
	kill "$mounter"
	wait "$mounter"
	echo "$? $(find "$view" | wc -l)" >"$SHARE/$1-unmounted"
}

first()
{
	measure one 'two words' three writer
	exec 5>>/tmp/writer
	cat /tmp/writer >/dev/null # a violation
	exec 5>&-
	show first || exit
	ls -ln "$view" >"$SHARE/listing"
	start_agent first || exit
	# an open file over the truncations, read a bit before and the rest after them
	exec 7<"$view/binary_runtime_measurements_sha1"
	dd bs=100 count=1 <&7 >"$SHARE/held" 2>/dev/null

	for round in 1 2 3; do
		measure "a$round" "b$round" "c$round"
		cut "round $round" || exit
		measure "d$round"
	done
	whole first || exit
	cat <&7 >>"$SHARE/held"
	exec 7<&-
	for from in 0 1 7 12; do
		cat_whole --from $from --bank sha256 >"$SHARE/from-$from" || exit
		cat_whole --from $from --ascii >"$SHARE/from-$from-ascii" || exit
	done
	cat_whole --from 4000 >/dev/null 2>"$SHARE/from-too-far"
	echo $? >>"$SHARE/from-too-far"
	cat_whole | head -c 10 >/dev/null
	cat_whole --no-live >"$SHARE/no-live"
	for offset in 1 333 1000 1500; do
		fileop r="$view/binary_runtime_measurements_sha256" seek=$offset read="$SHARE/seek-$offset" >/dev/null
		fileop r="$view/ascii_runtime_measurements" pread="$offset:$SHARE/pread-$offset" >/dev/null
	done
	fileop w="$view/violations" >"$SHARE/open-for-writing"

	# writers and an archiver all the time
	writing=/tmp/writing
	touch $writing
	(
		n=0
		while [ -e $writing ]; do
			measure "w$n"
			n=$((n + 1))
		done
	) &
	writer=$!
	(
		n=0
		while [ -e $writing ]; do
			cut "busy $n" || touch "$SHARE/cut-failed"
			n=$((n + 1))
		done
	) &
	archiver=$!
	for n in 1 2 3 4 5 6; do
		cat_whole >"$SHARE/busy-$n" || touch "$SHARE/busy-failed"
		cat "$view/ascii_runtime_measurements_sha256" >"$SHARE/busy-mount-$n" || touch "$SHARE/busy-failed"
	done
	rm $writing
	wait $writer $archiver
	whole busy || exit
	gap
	stop first
	refused
	load_kernel second || exit
	start_kernel
}

# gap: the archive lacks a segment, then has it again
gap()
{
	lost=$(find "$archive" -name '0000000001.zst')
	mv "$lost" /tmp/lost
	for options in '' '--ascii --bank sha256' '--from 3'; do
		# shellcheck disable=SC2086 # several options
		cat_whole $options >"$SHARE/gap-output" 2>>"$SHARE/gap-message"
		echo "$? $(stat -c %s "$SHARE/gap-output")" >>"$SHARE/gap"
	done
	first=$(value first "$CHECKPOINT/segments")
	cat_whole --from "$first" >"$SHARE/behind-gap" || exit
	# a new mount has nothing in memory
	mkdir -p /tmp/other
	ima-checkpoint mount /tmp/other --archive "$archive" 2>"$SHARE/gap-mount"
	echo $? >>"$SHARE/gap-mount"
	mv /tmp/lost "$lost"
	ima-checkpoint mount /tmp/other --archive "$archive" 2>"$SHARE/damaged-mount" &
	other=$!
	wait_for test -e /tmp/other/violations
	mv "$lost" /tmp/lost
	fileop r=/tmp/other/binary_runtime_measurements read=/tmp/nothing >"$SHARE/damaged-read"
	mv /tmp/lost "$lost"
	fileop r=/tmp/other/binary_runtime_measurements read="$SHARE/repaired-read" >/dev/null
	umount /tmp/other
	wait $other
	echo $? >"$SHARE/unmounted-from-outside"
}

# refused: where nothing is mounted
refused()
{
	mkdir /tmp/full
	touch /tmp/full/file
	ima-checkpoint mount /tmp/full --archive "$archive"
	echo $?
	ima-checkpoint mount /tmp/absent --archive "$archive"
	echo $?
	show refused
	ima-checkpoint mount "$view" --archive "$archive"
	echo $?
	kill -9 $mounter
	wait $mounter 2>/dev/null
	ima-checkpoint mount "$view" --archive "$archive"
	echo $?
	umount "$view"
	su user -c "PATH=$PATH ima-checkpoint cat --archive $archive"
	echo $?
} >"$SHARE/refused" 2>&1

second()
{
	measure one again
	show second || exit
	start_agent second || exit
	for round in 1 2; do
		measure "a$round" "e$round"
		cut "second $round" || exit
	done
	measure last
	whole second || exit
	# another user, with --allow-other and the group of the folder
	mkdir -p /tmp/group
	chown 0:1000 /tmp/group
	ima-checkpoint mount /tmp/group --archive "$archive" --allow-other &
	other=$!
	wait_for test -e /tmp/group/violations
	su user -c "cat /tmp/group/runtime_measurements_count" >"$SHARE/as-user" 2>&1
	su user -c "cat $view/runtime_measurements_count" >"$SHARE/as-user-refused" 2>&1
	kill $other
	wait $other
	stop second
}

"${1:-first}"
