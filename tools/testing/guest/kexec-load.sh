#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Loads that fail, are undone, or are not kexec_file_load(2).
# shellcheck source=/dev/null
. /mnt/share/lib.sh
measure_owner

case ${1:-first} in
first) # a load that fails after IMA added its buffer leaves the loaded image as it was
	measure a
	load_kernel second on || exit
	mkdir /tmp/load
	load /tmp/load 1 300 || exit # another load would need another size
	kexec -s -l /boot/bzImage --initrd=/boot/initrd --command-line="$(printf '%03000d' 0)" \
		2>"$SHARE/failed-load" && exit 1
	seal one >/dev/null || exit
	snapshot first
	start_kernel ;;
second) # a load that is undone, then kexec_load(2): no stale buffer, nothing carried
	snapshot second
	load_kernel wrong on || exit
	kexec -s -u || exit
	measure b
	snapshot second-end
	kexec -c -l /boot/bzImage-on --initrd=/boot/initrd \
		--command-line="$(cat /proc/cmdline) resume=third" || exit
	start_kernel ;;
third) # kexec_load(2) in place of a loaded image
	snapshot third
	measure c
	seal c >/dev/null || exit
	measure d
	load_kernel wrong on || exit
	kexec -c -l /boot/bzImage-on --initrd=/boot/initrd \
		--command-line="$(cat /proc/cmdline) resume=fourth" || exit
	snapshot third-end
	start_kernel ;;
fourth)
	snapshot fourth
	seal fourth >/dev/null || exit
	measure e
	snapshot end
	load_kernel fifth on || exit
	# a TPM that cannot be read when the kexec begins
	tpm=$(readlink -f /sys/class/tpm/tpm0/device)
	echo "${tpm##*/}" >"$tpm/driver/unbind"
	start_kernel ;;
fifth)
	snapshot fifth ;;
*) exit 1 ;;
esac
