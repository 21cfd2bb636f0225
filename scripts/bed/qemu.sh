# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # what run-guest knows, and what it uses
# Sourced by run-guest: the guest is a PC that QEMU emulates, or that KVM runs where it can.

bed_check()
{
	[[ $kernel =~ ^(on|off|debug|without)$ ]] || [ -e "$kernel/bzImage" ] ||
		bad "--kernel must be on, off, debug, without, or a folder with a bzImage, not '$kernel'"
	[[ $icount =~ ^[0-9]?$ ]] || bad "--icount must be from 0 to 9, not '$icount'"
	if [ "$root_image" ]; then
		[ -w "$root_image" ] || bad "--root: cannot write $root_image"
		drives=("$root_image" "${drives[@]}")
		append="root=/dev/vda $append"
	fi
}

# bed_kernel: the kernel to boot, and those to kexec
bed_kernel()
{
	local variant built
	cp "$initrd" "$dir/host/boot/initrd"
	for variant in on off debug without; do
		built=
		if [ "$variant" = "$kernel" ] || grep -q "bzImage-$variant" "$script"; then
			built=$("$scripts/build-kernel" "$variant")
		elif built=$("$scripts/build-kernel" --built "$variant"); then
			:
		fi
		[ -n "$built" ] || continue
		cp "$built/bzImage" "$dir/host/boot/bzImage-$variant"
		cp "$built/cmdline" "$dir/host/boot/cmdline-$variant"
		[ "$variant" != "$kernel" ] || kernel=$built
	done
	cp "$kernel/bzImage" "$dir/host/boot/bzImage"
	append="$(cat "$kernel/cmdline" 2>/dev/null || :) $append"
}

# /dev/kvm may open where no guest ever starts: only a boot tells. Asked once a boot of this machine.
kvm_works()
{
	local answer
	answer=$cache/kvm-$(cat /proc/sys/kernel/random/boot_id)
	[ -w /dev/kvm ] || return
	if [ ! -e "$answer" ]; then
		# in a subshell, which keeps to itself how qemu ends
		if (timeout -s KILL 20 qemu-system-x86_64 -accel kvm -cpu host -m 512 -nodefaults -display none -no-reboot \
			-kernel "$dir/host/boot/bzImage" -initrd "$initrd" -append 'console=ttyS0 panic=-1 kvm-probe' \
			-serial "file:$dir/probe.log"; true) </dev/null &>/dev/null &&
			grep -q 'Power down' "$dir/probe.log"; then
			echo yes >"$answer"
		else
			echo no >"$answer"
		fi
	fi
	[ "$(cat "$answer")" = yes ]
}

# bed_machine: the command that runs the guest, and what its TPM listens to
bed_machine()
{
	local drive
	machine=(qemu-system-x86_64 -smp "$cpus" -m "$memory" -nodefaults -display none -no-reboot
		-kernel "$dir/host/boot/bzImage" -initrd "$initrd"
		-device virtio-rng-pci
		-fsdev "local,id=host,path=$dir/host,security_model=none,multidevs=remap"
		-device "virtio-9p-pci,fsdev=host,mount_tag=host"
		-fsdev "local,id=share,path=$share,security_model=none,multidevs=remap"
		-device "virtio-9p-pci,fsdev=share,mount_tag=share")
	for drive in "${drives[@]}"; do
		machine+=(-drive "file=$drive,format=raw,if=virtio")
	done
	if [ "$icount" ]; then
		machine+=(-accel tcg -cpu max -icount "shift=$icount,sleep=off")
	elif kvm_works; then
		machine+=(-accel kvm -cpu host)
	else
		machine+=(-accel tcg -cpu max)
		# The kernel waits for some ticks of the timer, by the processor's own clock. On a busy host the
		# emulator is late with them, and the kernel panics: "IO-APIC + timer doesn't work!".
		append="no_timer_check $append"
	fi
	if [ "$tpm" ]; then
		swtpm=(--ctrl "type=unixio,path=$dir/tpm.sock" --terminate)
		machine+=(-chardev "socket,id=tpm,path=$dir/tpm.sock" -tpmdev "emulator,id=tpm,chardev=tpm"
			-device "tpm-tis,tpmdev=tpm")
	fi
	machine+=(-append "console=ttyS0 panic=-1 oops=panic $append")
}

# bed_run LOG
bed_run()
{
	machine+=(-serial "file:$1")
	[ -z "$port" ] || machine+=(-chardev "pipe,id=port,path=$port" -serial chardev:port)
	with_us "${machine[@]}"
}
