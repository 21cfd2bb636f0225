#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# An appraised file whose security.ima is an MD5 hash, among others, with the template "ima".
# shellcheck source=/dev/null
. /mnt/share/lib.sh

cat >"$IMA/policy" <<'POLICY' || exit
measure func=FILE_CHECK mask=MAY_READ fowner=4242
appraise func=FILE_CHECK mask=MAY_READ fowner=4242
POLICY
measure before
echo "contents of md5" >/tmp/md5
hash=$(md5sum /tmp/md5)
setfattr -n security.ima -v "0x01${hash%% *}" /tmp/md5 || exit
chown 4242 /tmp/md5
cat /tmp/md5 >/dev/null
measure after
snapshot lists
