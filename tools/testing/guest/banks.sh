#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Checkpoints and truncation, whatever banks the TPM has.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
measure_owner
measure a b
seal one >/dev/null || exit
measure c
seal two >/dev/null || exit
measure d
snapshot whole
export_segment 0 "$SHARE/export-0" || exit
for file in "$IMA"/binary_runtime_measurements_*; do
	export_segment 1 "$SHARE/export-1-${file##*_}" binary "${file##*_}" || exit
done
cut_to 1 || exit
snapshot cut
