#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A host attests to a monitor outside, while its list is sealed, quoted, archived and truncated; then it
# runs what it should not.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
measure_owner

export LD_LIBRARY_PATH="$SHARE/lib"
SERVER=$(cat "$SHARE/server")
tty=/dev/ttyS1
[ -e $tty ] || tty=/dev/tty1
relay /tmp/monitor $tty &

# agent COMMAND OPTION...
agent()
{
	command=$1
	shift
	ima-attest "$command" --server "$SERVER" --ca "$SHARE/cert.pem" --socket /tmp/monitor --state /tmp/agent "$@"
}

# once NAME: one round, what it says and how it ends
once()
{
	agent run --once --archive "$SHARE/archive" >"$SHARE/$1.out" 2>&1
	status=$?
	# the monitor does not want one yet
	while [ $status -ne 0 ] && grep -q 'status 429' "$SHARE/$1.out"; do
		sleep 0.5
		agent run --once --archive "$SHARE/archive" >"$SHARE/$1.out" 2>&1
		status=$?
	done
	echo $status >"$SHARE/$1.status"
	count records_total >"$SHARE/$1.records"
	count records_live >"$SHARE/$1.live"
	return $status
}

# free: what is sealed goes to the archive, and nothing of it stays in the kernel
free()
{
	ima-checkpoint checkpoint --label "$1" >/dev/null &&
		ima-checkpoint archive --archive "$SHARE/archive" --host guest --keep-segments 0 >"$SHARE/$1.archive" 2>&1
}

wait_for test -S /tmp/monitor || exit
mkdir -m 700 "$SHARE/archive"
measure a b
agent init >"$SHARE/init" || exit
wait_for once first || exit

measure c
free truncated || exit
measure d
once truncated || exit

# between two rounds, several segments come and go
measure e
free gone || exit
measure f
free gone-too || exit
{
	tpm2_createek -G ecc -c /tmp/ek.ctx && tpm2_flushcontext -t &&
		tpm2_createak -C /tmp/ek.ctx -c /tmp/ak.ctx -G ecc -g sha256 -s ecdsa && tpm2_flushcontext -t &&
		tpm2_evictcontrol -c /tmp/ak.ctx 0x81010002
} >/dev/null || exit
ima-checkpoint checkpoint --quote >"$SHARE/quote.out" || exit
measure g
once quoted || exit

# by itself, for as long as it runs
agent run --archive "$SHARE/archive" 2>"$SHARE/run.out" &
measure h
sleep 3
measure unknown
touch "$SHARE/ran"
wait_for test -e "$SHARE/acted" || exit
free after || exit
wait_for test -e "$SHARE/proven" || exit
kill $!
snapshot end
