# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # what run-guest knows, and what it uses
# Sourced by run-guest: the guest is a process of this system, a kernel for User-Mode Linux.

# not_here OPTION VALUE WHY
not_here()
{
	[ -z "$2" ] || bad "$1: the bed uml has $3; use --bed qemu"
}

bed_check()
{
	not_here --drive "${drives[*]}" 'no disks'
	not_here --root "$root_image" 'no disks'
	not_here --icount "$icount" 'no clock but that of this system'
	case $kernel in
	on | off | debug) ;;
	without) bad "--kernel without: the bed uml has on, off and debug only; use --bed qemu" ;;
	*) [ -e "$kernel/linux" ] || bad "--kernel must be on, off, debug, or a folder with a program 'linux', not '$kernel'" ;;
	esac
}

# bed_kernel: the kernel to run
bed_kernel()
{
	case $kernel in
	on) kernel=$("$scripts/build-kernel" uml) ;;
	off)
		kernel=$("$scripts/build-kernel" uml)
		append="ima_checkpoint=off $append"
		;;
	debug) kernel=$("$scripts/build-kernel" uml-debug) ;;
	esac
	printf '#!/bin/sh\necho "kexec: the bed uml has none; use run-guest --bed qemu" >&2\nexit 1\n' >"$dir/host/bin/kexec"
	chmod +x "$dir/host/bin/kexec"
}

# bed_machine: the command that runs the guest, and what its TPM listens to
bed_machine()
{
	[ "$share" = "$dir/share" ] || ln -s "$(realpath "$share")" "$dir/share"
	# Several processors need the guest's processes to run under seccomp instead of ptrace.
	machine=("$kernel/linux" "mem=${memory}M" "ncpus=$cpus" seccomp=on "initrd=$initrd"
		"umid=${dir##*/}" "uml_dir=$dir" "host=$dir" noreboot
		"con=null" "con0=null,fd:1" stderr=1 panic=-1 oops=panic)
	[ -z "$port" ] || machine+=("con1=fd:8,fd:9")
	if [ "$tpm" ]; then
		swtpm=(--server "type=unixio,path=$dir/tpm.sock" --flags "not-need-init,startup-clear")
		machine+=("tpm_uml.socket=$dir/tpm.sock")
	fi
	# shellcheck disable=SC2206 # words
	machine+=($append)
}

# bed_run LOG
bed_run()
{
	# both ends of each, so that opening does not wait for the other side
	[ -z "$port" ] || exec 8<>"$port.in" 9<>"$port.out"
	with_us "${machine[@]}" &>"$1"
}
