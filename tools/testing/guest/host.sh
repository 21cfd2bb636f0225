# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# The package on a Debian with systemd: installed, started, stopped by a kexec, upgraded, stopped by
# a reboot; then, after a cold boot, removed and purged.
set -eu
# shellcheck source=/dev/null
. /mnt/share/lib.sh

ARCHIVE=/var/lib/ima-checkpoint

archived()
{
	ls "$ARCHIVE"/guest/*/"$1"*
}

freed()
{
	[ "$(value records_freed "$CHECKPOINT/status")" -gt 0 ]
}

# state MOMENT: of the units, as systemd sees them
state()
{
	for unit in ima-checkpoint ima-checkpoint-mount; do
		echo "$1 $unit $(systemctl is-enabled $unit 2>/dev/null || :) $(systemctl is-active $unit || :)"
	done >>"$SHARE/states"
}

# keep MOMENT: the whole list at this moment, and what the PCR held
keep()
{
	ima-checkpoint cat >"$SHARE/list.$1"
	cat /sys/class/tpm/tpm0/pcr-sha256/10 >"$SHARE/pcr.$1"
	value log_id "$CHECKPOINT/status" >"$SHARE/log-id.$1"
}

# journal: what an administrator would look at
journal()
{
	journalctl -b -u 'ima-checkpoint*' --no-pager
}

trap '[ $? -eq 0 ] || journal >&2' EXIT

# go_on MOMENT ACTION
go_on()
{
	journal >"$SHARE/journal.$1"
	sync
	systemctl --no-block "$2"
}

case ${1:-} in
'')
	measure_owner
	measure first second third
	dpkg -i "$SHARE/first.deb"
	state installed
	wait_for systemctl -q is-active ima-checkpoint
	ima-checkpoint checkpoint --label installed
	wait_for archived 0000000000
	systemd-analyze security ima-checkpoint.service --no-pager >"$SHARE/security"
	systemd-analyze security ima-checkpoint-mount.service --no-pager >"$SHARE/security-mount"
	measure fourth fifth
	keep kexec
	load_kernel kexeced
	go_on kexec kexec
	;;
kexeced)
	measure_owner
	state kexeced
	measure sixth
	echo 'ARCHIVE_OPTIONS="--checkpoint-every 24h --keep-segments 1 --group adm"' >/etc/default/ima-checkpoint
	echo 'MOUNT_OPTIONS=' >>/etc/default/ima-checkpoint
	dpkg -i "$SHARE/second.deb"
	state upgraded
	wait_for systemctl -q is-active ima-checkpoint
	chgrp -R adm "$ARCHIVE"
	chmod -R g+rX "$ARCHIVE"
	cat /etc/default/ima-checkpoint >"$SHARE/default"
	measure seventh
	ima-checkpoint checkpoint --label upgraded
	wait_for freed
	stat -c '%U %G %a' "$ARCHIVE" "$ARCHIVE"/guest/*/0000000004.zst >"$SHARE/access"
	setpriv --reuid=nobody --regid=adm --clear-groups cat "$ARCHIVE"/guest/*/000000000*.zst >/dev/null
	systemctl start ima-checkpoint-mount
	state mounted
	cat /run/ima-checkpoint/binary_runtime_measurements >"$SHARE/mounted"
	ima-checkpoint cat >"$SHARE/whole"
	kill -KILL "$(systemctl show -P MainPID ima-checkpoint-mount)"
	wait_for test -e /run/ima-checkpoint/violations
	state killed
	measure eighth
	keep reboot
	go_on reboot reboot
	;;
booted)
	state booted
	systemctl start ima-checkpoint-mount
	cp -a "$ARCHIVE" "$SHARE/archive"
	journalctl -b -1 -u ima-checkpoint -o cat --no-pager >"$SHARE/journal.shutdown"
	journalctl -b -1 -u ima-checkpoint -p warning -q --no-pager >"$SHARE/journal.warnings"
	dpkg -r ima-checkpoint
	state removed
	dpkg -P ima-checkpoint >"$SHARE/purge"
	ls -d "$ARCHIVE" >>"$SHARE/purge"
	dpkg -i "$SHARE/second.deb"
	systemctl stop ima-checkpoint
	rm -r "$ARCHIVE"
	mkdir "$ARCHIVE"
	dpkg -P ima-checkpoint
	for left in "$ARCHIVE" /etc/default/ima-checkpoint /usr/bin/ima-checkpoint \
		/lib/systemd/system/ima-checkpoint* /etc/systemd/system/*/ima-checkpoint*; do
		[ ! -e "$left" ] || echo "$left"
	done >"$SHARE/left"
	;;
esac
