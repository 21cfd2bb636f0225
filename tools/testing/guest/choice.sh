#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What there is of the list's interface, and what upstream's staging does.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
measure_owner
measure a b c

stat -c '%A %n' "$IMA"/*_runtime_measurements* | sed "s,$IMA/,," >"$SHARE/modes"
grep . /sys/module/ima_checkpoint/parameters/* | sed 's,.*/,,' >"$SHARE/parameters"
[ ! -d "$CHECKPOINT" ] || cat "$CHECKPOINT/config" >"$SHARE/config"
snapshot before
staged=$IMA/binary_runtime_measurements_sha1_staged
[ -e "$staged" ] || exit 0

echo A >"$staged" || exit
cat "$staged" >"$SHARE/staged" || exit
measure d
echo D >"$staged" || exit
snapshot after
echo 1 >"$IMA/binary_runtime_measurements_sha1" || exit
snapshot end
