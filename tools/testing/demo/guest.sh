# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# The guest's half of the demonstration. $1 is empty, or "second" after the kexec.

ima=/sys/kernel/security/ima
share=/mnt/share
disk=/tmp/disk
views=/tmp/views
archive=$disk/archive
key=0x81010011

title()
{
	printf '\n%s\n' "$*"
}

fail()
{
	echo "FAILED: $*"
	exit 1
}

# show COMMAND...: print the command as it would be typed, and its output
show()
{
	echo "  # $*"
	"$@" >/tmp/said 2>&1 || fail "$(cat /tmp/said)"
	sed 's/^./    &/' /tmp/said
}

# securityfs, the disk with the archive and the host's share are not measured, because otherwise
# reading the list would add to it
load_policy()
{
	cat - /etc/ima/policy.test >/tmp/policy <<-END
		dont_measure fsmagic=0x73636673
		dont_measure fsmagic=0xef53
		dont_measure fsmagic=0x65735546
		dont_measure fsmagic=0x01021997
	END
	cat /tmp/policy >$ima/policy || fail "IMA refused the policy"
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

# replay BANK: let evmctl verify the list on standard input
replay()
{
	for pcr in $(seq 0 23); do
		printf 'PCR-%02d: %s\n' "$pcr" "$(cat "/sys/class/tpm/tpm0/pcr-$1/$pcr")"
	done >/tmp/pcrs
	cat >/tmp/full
	evmctl ima_measurement --verify-bank="$1" --pcrs "$1,/tmp/pcrs" /tmp/full >/tmp/evmctl 2>&1
	grep Matched /tmp/evmctl || fail "evmctl matched nothing: $(cat /tmp/evmctl)"
}

# mount the disk for the archive, and create a key in the TPM that only signs quotes
prepare()
{
	hostname machine
	mkdir -p $disk $views
	mount -t ext4 /dev/vda $disk || fail "cannot mount the disk"
	[ -e "$share/key.pub" ] ||
		{
			tpm2_createek -G rsa -c /tmp/ek && tpm2_flushcontext -t &&
				tpm2_createak -C /tmp/ek -c /tmp/ak -G ecc -g sha256 -s ecdsa &&
				tpm2_evictcontrol -c /tmp/ak $key && tpm2_readpublic -c $key -o $share/key.pub -n $share/key.name
		} >/dev/null || fail "the TPM did not create a key"
}

first_kernel()
{
	title "1. Files are measured: each is a record in kernel memory, extended into PCR 10 of the TPM"
	measure one 3000
	cat /usr/bin/* /usr/sbin/* /lib/x86_64-linux-gnu/* >/dev/null 2>&1
	show ima-checkpoint status

	title "2. A checkpoint puts the value of the PCR into the list, and seals what came before"
	show ima-checkpoint checkpoint --label "monday"
	measure two 3000
	show ima-checkpoint checkpoint --label "tuesday"
	measure three 100

	title "3. Sealed segments go to the archive, and all but the last are freed"
	show ima-checkpoint archive --archive $archive --keep-segments 1
	show ima-checkpoint status

	title "4. kexec: another kernel starts, while the TPM keeps its PCRs"
	kexec -s -l /boot/bzImage --initrd=/boot/initrd \
		--command-line="$(cat /proc/cmdline) resume=second" || fail "kexec could not load the kernel"
	sync
	kexec -e
	fail "kexec did not start the kernel"
}

second_kernel()
{
	measure four 100
	show ima-checkpoint checkpoint --label "wednesday"
	show ima-checkpoint archive --archive $archive --keep-segments 1

	title "5. Programs that know nothing of checkpoints get the full list: evmctl, and one that reads a file"
	for bank in sha1 sha256; do
		echo "  # ima-checkpoint cat --archive $archive | evmctl ima_measurement, $bank"
		ima-checkpoint cat --archive $archive | replay $bank | sed 's/^/    /'
	done
	ima-checkpoint mount $views --archive $archive &
	for _ in $(seq 100); do
		[ ! -e $views/ascii_runtime_measurements ] || break
		sleep 0.05
	done
	show wc -l $ima/ascii_runtime_measurements $views/ascii_runtime_measurements
	umount $views
	wait

	title "6. A verifier sent a nonce: the TPM signs it together with PCR 10"
	nonce=$(cat $share/nonce)
	echo "  # tpm2_quote -c $key -l sha256:10 -q $nonce -m quote -s signature"
	tpm2_quote -c $key -l sha256:10 -q "$nonce" -m $share/quote -s $share/signature >/dev/null ||
		fail "the TPM did not make a quote"
	show ima-checkpoint checkpoint --label "quoted"
	show ima-checkpoint archive --archive $archive --keep-segments 1
	cp -r $archive $share/archive
	umount $disk
}

[ -d $ima/checkpoint ] || fail "this kernel has no $ima/checkpoint"
prepare
load_policy
if [ "$1" = second ]; then
	second_kernel
else
	first_kernel
fi
