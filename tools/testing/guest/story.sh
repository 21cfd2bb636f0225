#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Types what getting-started.rst says, while the host goes on measuring.
# shellcheck source=/dev/null
. /mnt/share/lib.sh

ARCHIVE=/var/lib/ima-checkpoint

# follow NAME: the lines of that file; ends with the first that fails
follow()
{
	number=0
	while read -r line; do
		number=$((number + 1))
		echo "# $line" >>"$SHARE/said"
		eval "$line" </dev/null >>"$SHARE/said" 2>&1 || exit
		measure "$1-$number"
	done <"$SHARE/$1"
}

hostname somehost
measure_owner
mkdir -p $ARCHIVE /tmp/here
mke2fs /dev/vda >/dev/null && mount -t ext4 /dev/vda $ARCHIVE && chmod 700 $ARCHIVE || exit
rmdir $ARCHIVE/lost+found
cd /tmp/here || exit
measure a b
follow archive
seal second >/dev/null
measure c
follow proof
cp -r $ARCHIVE "$SHARE/copy"
cp quote signature ak.pub ak.name "$SHARE"

# what was freed without being archived is missing, and the rest is judged all the same
measure d
seal lost >/dev/null
measure e
seal late >/dev/null
cut_to "$(value seq "$CHECKPOINT/segments")" || exit
ima-checkpoint verify --archive $ARCHIVE --live --tpm --json >"$SHARE/gap.json"
echo $? >"$SHARE/gap.status"
