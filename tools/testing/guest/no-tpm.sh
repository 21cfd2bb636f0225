#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Checkpoints and truncation without a TPM.
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
cut_to 1 || exit
snapshot cut
