#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# LTP's tests of IMA, which the share has in ltp/. A line for each result is left there.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
export LTPROOT="$SHARE/ltp" TST_DATAROOT='' LTP_IMA_LOAD_POLICY=1 LTP_COLORIZE_OUTPUT=0
export PATH="$LTPROOT/testcases/bin:$PATH"
# not on a tmpfs, which IMA's usual policies do not measure
export TMPDIR="$SHARE/tmp"
mkdir -p "$TMPDIR" /var/log
[ ! -e /boot/bzImage ] || export IMA_KEXEC_IMAGE=/boot/bzImage
chmod 1777 "$TMPDIR"
chmod 755 "$SHARE" # some tests become another user
# evmctl and ima_tpm.sh ask IBM's tool for PCRs: tsspcrread -halg BANK -ha PCR -ns
cat >"$LTPROOT/testcases/bin/tsspcrread" <<'END'
#!/bin/sh
while [ $# -gt 0 ]; do
	case $1 in
	-halg) bank=$2 ;;
	-ha) pcr=$2 ;;
	esac
	shift
done
tr A-F a-f <"/sys/class/tpm/tpm0/pcr-$bank/$pcr"
END
chmod +x "$LTPROOT/testcases/bin/tsspcrread"
for name in nobody daemon bin; do
	echo "$name:x:$((65534 - $(wc -l </etc/passwd))):1000::/tmp:/bin/sh" >>/etc/passwd
done
# the tests look for audit records in a log
syslogd -O /var/log/messages
klogd

while read -r name command; do
	case $name in
	'' | '#'*) continue ;;
	esac
	# ima_keys makes a keyring in that of its session, and there is no login that has one
	# shellcheck disable=SC2086 # words
	keyctl session ltp $command </dev/null >"$SHARE/$name.out" 2>&1
	echo "$name status $?" >>"$SHARE/results"
	sed -n "s/^.*[:0-9] \(TPASS\|TFAIL\|TCONF\|TBROK\|TWARN\): /$name \1 /p" "$SHARE/$name.out" >>"$SHARE/results"
done <"$LTPROOT/runtest"
