#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Readers of every kind while others measure, seal and truncate.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
measure_owner
mkdir /tmp/load "$SHARE/reads"

# reader NAME FILE: reads until the end of the load, a file a pass
reader()
{
	pass=0
	while [ ! -e /tmp/done ]; do
		pass=$((pass + 1))
		fileop r="$2" read="$SHARE/reads/$1-$pass" >"$SHARE/reads/$1-$pass.result"
	done
}

# exporter: the oldest segment, as long as there is one
exporter()
{
	pass=0
	while [ ! -e /tmp/done ]; do
		pass=$((pass + 1))
		read -r line <"$CHECKPOINT/segments"
		seq=${line%% *}
		fileop rw="$CHECKPOINT/export" write="${seq#seq=}" read="$SHARE/reads/export-$pass" \
			>"$SHARE/reads/export-$pass.result"
		# refused: it was freed meanwhile
		! grep -q '^write ESTALE' "$SHARE/reads/export-$pass.result" || rm "$SHARE/reads/export-$pass"*
	done
}

reader binary "$IMA/binary_runtime_measurements_sha1" &
reader binary256 "$IMA/binary_runtime_measurements_sha256" &
reader ascii "$IMA/ascii_runtime_measurements_sha1" &
exporter &
load /tmp/load 2 1000 &
load=$!
n=0
while kill -0 $load 2>/dev/null; do
	n=$((n + 1))
	seal >/dev/null || exit
	export_segment $((n - 1)) "$SHARE/segment-$((n - 1))" || exit
	[ $((n % 3)) -ne 0 ] || cut_to $n || exit
done
wait $load || exit
touch /tmp/done
wait
echo $n >"$SHARE/count"
snapshot end
