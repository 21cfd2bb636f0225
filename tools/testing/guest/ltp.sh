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
chmod 1777 "$TMPDIR"
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
	$command </dev/null >"$SHARE/$name.out" 2>&1
	echo "$name status $?" >>"$SHARE/results"
	sed -n "s/^.*[:0-9] \(TPASS\|TFAIL\|TCONF\|TBROK\|TWARN\): /$name \1 /p" "$SHARE/$name.out" >>"$SHARE/results"
done <"$LTPROOT/runtest"
