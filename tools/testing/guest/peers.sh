#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A host over some days: it measures, archives, truncates, is quoted, and goes on in another kernel.
# What others verify later is left in the share.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
measure_owner

disk=/tmp/disk
archive=$disk/archive
views=/tmp/views
mkdir -p $disk $views
mount -t ext4 /dev/vda $disk || exit

# several NAME: ten records
several()
{
	for n in 0 1 2 3 4 5 6 7 8 9; do
		measure "$1-$n"
	done
}

# day NAME: ten records, a quoted checkpoint; what is sealed goes to the archive, and but for the last is freed
day()
{
	several "$1"
	ima-checkpoint checkpoint --label "$1" --quote --key 0x81010012 &&
		ima-checkpoint archive --archive $archive --host guest --keep-segments 1
}

# make_key NAME HANDLE ALGORITHM SCHEME: an attestation key that outlives a kexec
make_key()
{
	tpm2_createak -C /tmp/ek.ctx -c /tmp/ak.ctx -G "$3" -g sha256 -s "$4" -u "$SHARE/$1.pub" &&
		tpm2_evictcontrol -c /tmp/ak.ctx "$2" &&
		tpm2_readpublic -c "$2" -f pem -o "$SHARE/$1.pem" &&
		tpm2_flushcontext -t
}

# quote NAME HANDLE NONCE
quote()
{
	tpm2_quote -c "$2" -l sha1:10+sha256:10 -g sha256 -q "$3" -m "$SHARE/$1.msg" -s "$SHARE/$1.sig"
}

# give_back DIR: the whole list, by both ways, and all PCRs as evmctl reads them
give_back()
{
	mkdir -p "$SHARE/$1"
	for bank in sha1 sha256; do
		ima-checkpoint cat --archive $archive --host guest --bank $bank >"$SHARE/$1/binary-$bank" &&
			ima-checkpoint cat --archive $archive --host guest --bank $bank --ascii >"$SHARE/$1/ascii-$bank" ||
			return
		for pcr in $(seq 0 23); do
			printf 'PCR-%02d:%s\n' "$pcr" "$(cat "/sys/class/tpm/tpm0/pcr-$bank/$pcr")"
		done >"$SHARE/$1/pcrs-$bank"
	done
	snapshot "$1/kernel"
}

# read_mounted DIR: what a program finds that knows of files only
read_mounted()
{
	ima-checkpoint mount $views --archive $archive --host guest &
	wait_for test -e $views/ascii_runtime_measurements
	cp $views/* "$SHARE/$1/"
	umount $views
	wait $!
}

case ${1:-first} in
first)
	{
		tpm2_createek -G rsa -c /tmp/ek.ctx && tpm2_flushcontext -t &&
			make_key rsa 0x81010011 rsa rsassa &&
			make_key ecc 0x81010012 ecc ecdsa &&
			make_key other 0x81010013 ecc ecdsa
	} >/dev/null || exit
	day monday && day tuesday && day wednesday || exit
	several thursday
	give_back early || exit
	quote early 0x81010012 00000001 >/dev/null || exit
	load_kernel second || exit
	start_kernel ;;
second)
	day friday && day saturday || exit
	several sunday
	ima-checkpoint archive --archive $archive --host guest --keep-segments 1 --follow &
	stop_following $! || exit
	give_back late && read_mounted late || exit
	quote rsa 0x81010011 00000002 >/dev/null && quote ecc 0x81010012 00000003 >/dev/null || exit
	cp -r $archive "$SHARE/archive"
	exec 5>>/tmp/writer # open for writing while it is read
	chown 4242 /tmp/writer
	cat /tmp/writer >/dev/null
	exec 5>&-
	give_back violated || exit
	load_kernel third || exit
	start_kernel ;;
third)
	day monday-again && day tuesday-again || exit
	# the archive proves itself, up to here
	ima-checkpoint archive --archive $archive --host guest || exit
	cp -r $archive "$SHARE/archive-quoted"
	snapshot end
	umount $disk ;;
esac
