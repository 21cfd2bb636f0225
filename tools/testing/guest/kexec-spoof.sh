#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What the next kernel makes of a list that was forged or damaged: one hand-over after the other, each
# by kexec_load(2) with a buffer made here.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
measure_owner
stage=${1:-first}
list=$IMA/binary_runtime_measurements

le64()
{
	number=$1
	for _ in 1 2 3 4 5 6 7 8; do
		# shellcheck disable=SC2059 # the format is an escape
		printf "\\$(printf %03o $((number & 255)))"
		number=$((number >> 8))
	done
}

# with_header MORE-BYTES MORE-RECORDS [VERSION]: the list behind a header that says that it has more
with_header()
{
	cat "$list" >/tmp/list # read once: size and contents belong together
	le64 "${3:-1}"         # version and padding
	le64 $((24 + $(wc -c </tmp/list) + $1))
	le64 $(($(cat "$IMA/runtime_measurements_count") + $2))
	cat /tmp/list
}

# hand_over NEXT: start the next kernel with what is on stdin
hand_over()
{
	cat >/tmp/buffer
	handover /boot/bzImage /boot/initrd "$(cat /proc/cmdline) resume=$1" /tmp/buffer || exit
	start_kernel
}

snapshot "$stage"
case $stage in
first)
	measure a
	seal real >/dev/null || exit
	measure b
	snapshot before-true
	with_header 0 0 | hand_over true ;;
true) # two records that are only named like a checkpoint, and truly extended
	for record in 1 2; do
		tpm2_pcrextend "10:$(cat "$SHARE/forged-$record.digests")" || exit
	done
	{
		with_header "$(wc -c <"$SHARE/forged")" 2
		cat "$SHARE/forged"
	} | hand_over spoofed ;;
spoofed) # damaged ones from here on
	seal after-the-forged >/dev/null || exit
	snapshot spoofed-end
	with_header -10 0 | head -c -10 | hand_over torn ;;
torn) with_header 0 0 | sed 's/boot_aggregate/boot_aggregatX/' | hand_over changed ;;
changed) with_header 0 1000 | hand_over too-many ;;
too-many) with_header $((1 << 40)) 0 | hand_over too-long ;;
too-long) with_header 0 0 2 | hand_over version ;;
version) head -c 10 /dev/zero | hand_over short ;;
short) { with_header 0 0 | head -c 24 && yes 0123456 | head -c 4096; } | hand_over garbage ;;
garbage) hand_over no-room <"$SHARE/head-no-room" ;;
no-room | no-pcr)
	measure last
	seal last >/dev/null || exit
	snapshot "$stage-end"
	cut_to "$(count checkpoints)"
	echo $? >"$SHARE/$stage-cut"
	[ "$stage" = no-pcr ] || hand_over no-pcr <"$SHARE/head-no-pcr" ;;
esac
