# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The guest's half of the demonstration. $1 is empty, or "second" after the kexec.

ima=/sys/kernel/security/ima
checkpoint=$ima/checkpoint
share=/mnt/share

title()
{
	printf '\n%s\n' "$*"
}

fail()
{
	echo "FAILED: $*"
	exit 1
}

# securityfs and the host's share are left out, or looking at the list would add to it
load_policy()
{
	cat - /etc/ima/policy.test >/tmp/policy <<-END
		dont_measure fsmagic=0x73636673
		dont_measure fsmagic=0x01021997
	END
	cat /tmp/policy >$ima/policy || fail "the policy was refused"
}

# measure DIR COUNT: make files, and have them measured by reading them
measure()
{
	mkdir -p "/tmp/$1"
	n=0
	while [ $n -lt "$2" ]; do
		n=$((n + 1))
		echo "$1 $n" >"/tmp/$1/some-program-with-a-name-of-usual-length-$n"
	done
	cat "/tmp/$1"/* >/dev/null
}

# value KEY [SEQ]: a value of status, or of a segment
value()
{
	if [ $# -eq 1 ]; then
		sed -n "s/^$1=//p" "$checkpoint/status"
	else
		sed -n "/^seq=$2 /s/.* $1=\\([^ ]*\\).*/\\1/p" "$checkpoint/segments"
	fi
}

# figures NAME: a row of the table whose head is figures_head
figures_head()
{
	printf '  %-22s %10s %14s %22s\n' '' 'records' 'list' 'kernel memory for it'
}

figures()
{
	printf '  %-22s %10s %10s KiB %18s KiB\n' "$1" "$(value records_live)" \
		$(($(value bytes_live) / 1024)) $((($(value memory_chunks) + $(value memory_known)) / 1024))
}

segments()
{
	printf '  %-8s %-8s %8s %8s %10s  %s\n' segment state first records bytes 'digest of its checkpoint'
	while read -r seq state first records bytes digest _; do
		printf '  %-8s %-8s %8s %8s %10s  %.24s\n' "${seq#*=}" "${state#*=}" "${first#*=}" \
			"${records#*=}" "${bytes#*=}" "${digest#*=}"
	done <"$checkpoint/segments"
}

# save NAME: the live list, and the PCRs that it must replay to
save()
{
	cat "$ima/binary_runtime_measurements" >"$share/$1.list" || fail "the list cannot be read"
	for bank in sha1 sha256; do
		for pcr in $(seq 0 23); do
			printf 'PCR-%02d: %s\n' "$pcr" "$(cat "/sys/class/tpm/tpm0/pcr-$bank/$pcr")"
		done >"$share/$1.$bank"
	done
}

seal()
{
	{
		echo "$1" >&3 && read -r answer <&3
	} 3<>"$checkpoint/create" || fail "no checkpoint could be made"
	echo "  $answer"
}

export_segments()
{
	for seq in "$@"; do
		{
			echo "$seq" >&3 && cat <&3 >"$share/segment-$seq"
		} 3<>"$checkpoint/export" || fail "segment $seq could not be exported"
	done
}

first_kernel()
{
	[ -d "$checkpoint" ] || fail "this kernel has no $checkpoint"
	load_policy

	title "1. Files are measured: each is a record in kernel memory, extended into PCR 10 of the TPM"
	measure one 3000
	cat /usr/bin/* /usr/sbin/* /lib/x86_64-linux-gnu/* >/dev/null 2>&1
	figures_head
	figures "now"

	title "2. A checkpoint puts the value of the PCR into the list and seals what came before"
	seal "nightly 1"
	measure two 3000
	seal "nightly 2"
	measure three 100
	segments

	title "3. evmctl, which knows nothing of this, replays the list with checkpoints in it"
	save whole
	for bank in sha1 sha256; do
		evmctl ima_measurement --verify-bank=$bank --pcrs "$bank,$share/whole.$bank" \
			"$share/whole.list" >/tmp/evmctl 2>&1 || fail "evmctl: $(cat /tmp/evmctl)"
		grep -q Matched /tmp/evmctl || fail "evmctl anchored nothing: $(cat /tmp/evmctl)"
		echo "  $bank: $(grep Matched /tmp/evmctl)"
	done

	title "4. The sealed segments are exported, then freed"
	figures_head
	figures "before"
	export_segments 0 1
	echo "2 $(value digest 2)" >"$checkpoint/truncate" || fail "truncation was refused"
	figures "after truncating to 2"
	segments
	save first

	title "5. kexec: another kernel starts, the TPM goes on"
	kexec -s -l /boot/bzImage --initrd=/boot/initrd \
		--command-line="$(cat /proc/cmdline) resume=second" || fail "kexec could not load the kernel"
	kexec -e
	fail "kexec did not start the kernel"
}

second_kernel()
{
	title "6. The second kernel has the list: new measurements follow the old ones"
	[ "$(value generation)" -eq 1 ] || fail "the list was not carried over"
	load_policy
	measure four 100
	figures_head
	figures "second kernel"
	segments
	save second
}

if [ "$1" = second ]; then
	second_kernel
else
	first_kernel
fi
