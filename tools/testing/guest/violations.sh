#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Checkpoints while three processes cause violations and one measures.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
measure_owner
mkdir /tmp/violated

# violate NAME: open one new file after the other for reading, and then for writing too
violate()
{
	number=0
	while [ ! -e /tmp/done ]; do
		number=$((number + 1))
		file=/tmp/violated/$1
		echo "$number" >"$file"
		chown 4242 "$file"
		exec 3<"$file"
		exec 4>>"$file"
		exec 3<&- 4>&-
		rm "$file"
	done
}

# writer: measure one new file after the other
writer()
{
	number=0
	while [ ! -e /tmp/done ]; do
		number=$((number + 1))
		measure "file-$number"
		rm "/tmp/file-$number"
	done
}

configure checkpoint_records=50 || exit
for name in one two three; do
	violate $name &
done
writer &
for number in $(seq 300); do
	seal "number $number" >/dev/null || exit
done
touch /tmp/done
wait
snapshot end
ima-checkpoint verify --live --tpm >"$SHARE/verify.out" 2>&1
echo $? >"$SHARE/verify.status"
