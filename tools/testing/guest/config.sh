#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The configuration: as it booted, what is taken and what is not, by whom, and that it counts at once.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
config=$CHECKPOINT/config
parameters=/sys/module/ima_checkpoint/parameters
measure_owner

# parameters DIR: what /sys/module shows
parameters()
{
	mkdir "$SHARE/$1"
	for file in "$parameters"/*; do
		cat "$file" >"$SHARE/$1/${file##*/}"
	done
}

cat "$config" >"$SHARE/boot"
parameters boot-parameters
stat -c '%a %n' "$config" "$parameters"/* >"$SHARE/modes"
result parameter-write w="$parameters/checkpoint_records" write=5
configure checkpoint_records=0 checkpoint_bytes=0 duplicate_scope=log truncate_needs_digest=1 || exit
cat "$config" >"$SHARE/default"

# What is taken. A file for each: the answer, and what is read then.
n=0
while IFS= read -r lines; do
	n=$((n + 1))
	result "good-$n" w="$config" write="$(printf '%b' "$lines")"
	cat "$config" >"$SHARE/good-$n.after"
done <<'END'
checkpoint_records=1000000000000
checkpoint_records=0012\n
checkpoint_bytes=1000000000000\ncheckpoint_seconds=1000000000
checkpoint_kexec_load=0\nduplicate_scope=live\ntruncate_needs_digest=0\n
kexec_reserve_percent=1000
retain_segments=7\nretain_bytes=1000000000000\n
checkpoint_records=1\ncheckpoint_records=2
END
parameters good-parameters
result whole w="$config" write="$(cat "$SHARE/default")"
cat "$config" >"$SHARE/whole.after"
result same-file rw="$config" read="$SHARE/same-file.before" write=checkpoint_bytes=9 seek=0 \
	read="$SHARE/same-file.after" pread="1:$SHARE/same-file.pieces"
configure checkpoint_bytes=0

# What is not taken. The kernel's messages are between marks.
n=0
while IFS= read -r lines; do
	n=$((n + 1))
	echo "mark $n" >/dev/kmsg
	fileop w="$config" write="$(printf '%b' "$lines")"
	cmp -s "$config" "$SHARE/default" || echo "changed $n"
done >"$SHARE/bad" <<'END'
checkpoint_records
checkpoint_records=
checkpoint_records=-1
checkpoint_records=+1
checkpoint_records=0x10
checkpoint_records= 1
checkpoint_records=1 
 checkpoint_records=1
checkpoint_records=1000000000001
checkpoint_bytes=99999999999999999999999
checkpoint_seconds=1000000001
checkpoint_kexec_load=2
checkpoint_kexec_load=yes
kexec_reserve_percent=1001
duplicate_scope=
duplicate_scope=all
duplicate_scope=LIVE
truncate_needs_digest=2
retain_segments=many
retain_bytes=1k
no_such=1
Checkpoint_records=1
checkpoint_records=5\ncheckpoint_bytes=5\nduplicate_scope=none
duplicate_scope=none\ncheckpoint_records=5
checkpoint_records=5\n\ncheckpoint_bytes=5
\n
\ncheckpoint_records=5
\t=5
END
echo "mark long" >/dev/kmsg
result long w="$config" write="$(for _ in $(seq 25); do echo checkpoint_records=5; done)"
echo "mark end" >/dev/kmsg
result empty w="$config" write=
cat "$config" >"$SHARE/bad.after"
dmesg >"$SHARE/bad-messages"

# Who may: root of the host opens, whoever it was given to uses.
result container newuser="$config" write=checkpoint_records=5
result user drop=1000 r="$config" rw="$config"
result user-parameter drop=1000 r="$parameters/checkpoint_records"
result handed rw="$config" drop=1000 write=checkpoint_bytes=77 seek=0 read=/tmp/handed.after
cp /tmp/handed.after "$SHARE"
configure checkpoint_bytes=0 checkpoint_seconds=100000
ima-checkpoint status >"$SHARE/tool" && ima-checkpoint status --json >"$SHARE/tool.json" || exit
chgrp 1000 "$CHECKPOINT/status" "$CHECKPOINT/segments"
result tool-user drop=1000 run="ima-checkpoint status >/tmp/tool-user"
cp /tmp/tool-user "$SHARE/tool-user.out"
configure checkpoint_seconds=0

# A setting counts at once: three records are new when they become enough.
base=$(count checkpoints)
measure a b c
sleep 1
echo $(($(count checkpoints) - base)) >"$SHARE/before-records"
configure checkpoint_records=3
wait_for reaches checkpoints $((base + 1)) || exit
configure checkpoint_records=0
measure d e f g
sleep 1
echo $(($(count checkpoints) - base)) >"$SHARE/after-records"
configure checkpoint_bytes=1
wait_for reaches checkpoints $((base + 2)) || exit
configure checkpoint_bytes=0
measure h i
configure checkpoint_seconds=1
wait_for reaches checkpoints $((base + 3)) || exit
configure checkpoint_seconds=0
seal four >/dev/null && measure j && seal five >/dev/null || exit
snapshot sealed

# A truncation with a number alone.
digest=$(value digest "$CHECKPOINT/segments" 2)
other=$(value digest "$CHECKPOINT/segments" 3)
result alone w="$CHECKPOINT/truncate" write=1
snapshot strict
configure truncate_needs_digest=0
{
	for bad in '' 0 x '1 ' " 1" "1 $(printf '%063d' 0)" "1 $(printf '%064d' 0) more"; do
		fileop w="$CHECKPOINT/truncate" write="$bad"
	done
} >"$SHARE/malformed"
result absent w="$CHECKPOINT/truncate" write=99
result other w="$CHECKPOINT/truncate" write="2 $other"
snapshot refused
result by-number w="$CHECKPOINT/truncate" write=1
snapshot number
result digest w="$CHECKPOINT/truncate" write="2 $digest"
result gone w="$CHECKPOINT/truncate" write=1
configure truncate_needs_digest=1
result again w="$CHECKPOINT/truncate" write=3
snapshot end
