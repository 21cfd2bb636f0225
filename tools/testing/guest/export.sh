#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The files export, segments and status, and who may use them.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
export=$CHECKPOINT/export
measure_owner
measure a
seal one >/dev/null || exit
measure b c
seal two >/dev/null || exit
measure d
snapshot start

for seq in 0 1 2; do
	for bank in sha1 sha256; do
		for kind in binary ascii; do
			export_segment $seq "$SHARE/$seq-$kind-$bank" $kind $bank || exit
		done
	done
done
result seq-only rw="$export" write=1 read="$SHARE/seq-only.data"
result newline rw="$export" write='1
' read="$SHARE/newline.data"
result ascii-only rw="$export" write='1 ascii' read="$SHARE/ascii-only.data"
result bank-only rw="$export" write='1 sha256' read="$SHARE/bank-only.data"
result again rw="$export" write=0 read="$SHARE/again-0.data" write=1 read="$SHARE/again-1.data"
result seek rw="$export" write=1 seek=100 read="$SHARE/seek.data" seek=0 read="$SHARE/rewound.data"
result pread rw="$export" write=1 pread="100:$SHARE/pread.data"
result active rw="$export" write=2 read="$SHARE/active.data" \
	run='. /mnt/share/lib.sh; measure grown' read="$SHARE/active.data"
snapshot grown

result unwritten rw="$export" read="$SHARE/nothing"
for bad in '' ' ' x 1x -1 +1 0x1 18446744073709551616 '1 text' '1 binary md5' '1 binary sha512' \
	'1 binary sha1 more' "$(printf '%0300d' 1)"; do
	fileop rw="$export" write="$bad" read="$SHARE/nothing"
done >"$SHARE/malformed"
result absent rw="$export" write=99
result largest rw="$export" write=18446744073709551615

# Who may: the opener's credentials count, not the user's.
for file in create export truncate segments status; do
	stat -c '%a' "$CHECKPOINT/$file"
done >"$SHARE/modes"
result user drop=1000 rw="$CHECKPOINT/create" rw="$export" w="$CHECKPOINT/truncate" \
	r="$CHECKPOINT/segments" r="$CHECKPOINT/status" r="$IMA/binary_runtime_measurements_sha1"
result handed-create rw="$CHECKPOINT/create" drop=1000 write=handed read=/tmp/handed
result handed-export rw="$export" drop=1000 write=1 read=/tmp/handed-export
cp /tmp/handed-export "$SHARE/handed-export.data"
result handed-truncate w="$CHECKPOINT/truncate" drop=1000 write=99
result handed-new-user rw="$CHECKPOINT/create" unshare= write=handed
snapshot allowed
chmod 666 "$CHECKPOINT"/*
result no-capability-create drop=1000 rw="$CHECKPOINT/create" write=no
result no-capability-export drop=1000 rw="$export" write=0
result no-capability-truncate drop=1000 w="$CHECKPOINT/truncate" \
	write="1 $(value digest "$CHECKPOINT/segments" 1)"
result container-create newuser="$CHECKPOINT/create" write=no
result container-export newuser="$export" write=0
result container-truncate newuser="$CHECKPOINT/truncate" \
	write="1 $(value digest "$CHECKPOINT/segments" 1)"
result inside unshare= rw="$CHECKPOINT/create" write=no
snapshot denied

# poll: a change since the last read.
segments=$CHECKPOINT/segments
result poll r="$segments" read="$SHARE/nothing" poll=0 \
	run='. /mnt/share/lib.sh; seal p >/dev/null' poll=0 poll=0 seek=0 read="$SHARE/nothing" poll=0 \
	run='. /mnt/share/lib.sh; cut_to 1' poll=0 seek=0 read="$SHARE/nothing" poll=0 \
	run='. /mnt/share/lib.sh; measure unsealed' poll=0
result poll-opened r="$segments" poll=0
fileop r="$segments" read="$SHARE/nothing" touch=/tmp/waiting poll=20000 touch=/tmp/woken >"$SHARE/poll-wakes" &
poller=$!
fileop wait=/tmp/waiting >/dev/null
sleep 1
[ ! -e /tmp/woken ] || echo 'poll returned with no reason' >>"$SHARE/poll-wakes"
seal wake >/dev/null
wait $poller
snapshot end
