#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Lists with records of many templates, and what verify says of them on the spot, with the firmware's
# event log too if there is one. If the share has a file "kexec", the list is truncated and goes
# through one.
# shellcheck source=/dev/null
. /mnt/share/lib.sh

EVENTS=/sys/kernel/security/tpm0/binary_bios_measurements

# verify NAME OPTION...: exit status and JSON are left in the share
verify()
{
	name=$1
	shift
	ima-checkpoint verify --live --tpm --json "$@" >"$SHARE/$name.json" 2>"$SHARE/$name.err"
	echo $? >"$SHARE/$name.status"
}

# measure_of UID: a record by the rule for that owner
measure_of()
{
	echo "of $1" >"/tmp/of-$1"
	chown "$1" "/tmp/of-$1"
	cat "/tmp/of-$1" >/dev/null
}

# accepted: the option that lets the list start with checkpoint 1
accepted()
{
	echo "--accept-start=1:$(value digest "$CHECKPOINT/segments" 1)"
}

if [ "$1" != second ]; then
	cat >"$IMA/policy" <<-END || exit
		measure func=FILE_CHECK mask=MAY_READ fowner=4242
		measure func=FILE_CHECK mask=MAY_READ fowner=4243 template=ima-sig
		measure func=FILE_CHECK mask=MAY_READ fowner=4244 template=ima-ngv2
		measure func=FILE_CHECK mask=MAY_READ fowner=4245 template=ima-sigv2
		measure func=FILE_CHECK mask=MAY_READ fowner=4246 template=evm-sig
		measure func=FILE_CHECK mask=MAY_READ fowner=4247 pcr=11
		measure func=KEXEC_CMDLINE
	END
	if [ ! -e "$SHARE/kexec" ]; then
		# the kernel carries none of this template over a kexec
		echo "measure func=FILE_CHECK mask=MAY_READ fowner=4248 template=ima" >"$IMA/policy"
	fi
	measure a b
	for owner in 4243 4244 4245 4246 4247 4248; do
		measure_of $owner
	done
	echo violated >/tmp/writer
	chown 4242 /tmp/writer
	exec 5>>/tmp/writer
	cat /tmp/writer >/dev/null # a violation
	exec 5>&-
	if [ -e "$CHECKPOINT" ]; then
		seal one >/dev/null || exit
		measure c
		seal two >/dev/null || exit
	fi
	measure d
	load_kernel second # and an ima-buf record of its command line
	snapshot whole
	verify whole
	if [ -e "$EVENTS" ]; then # it has no size there
		cat "$EVENTS" >"$SHARE/events"
		for pcr in $(seq 0 9); do
			echo "sha256:$pcr=$(cat "/sys/class/tpm/tpm0/pcr-sha256/$pcr")"
		done >"$SHARE/firmware"
		verify events --event-log="$EVENTS"
	fi
	[ -e "$SHARE/kexec" ] || exit 0
	export_segment 0 "$SHARE/export-0" || exit
	cut_to 1 || exit
	measure e
	snapshot cut
	verify cut
	verify accepted "$(accepted)"
	start_kernel
fi
measure_owner
measure f
snapshot carried
verify carried "$(accepted)"
