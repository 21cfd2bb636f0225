#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The template ima: files with an MD5 and with a SHA-1 digest in security.ima, and a violation, over a
# truncation.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
cat >"$IMA/policy" <<END
appraise func=FILE_CHECK mask=MAY_READ fowner=4242
measure func=FILE_CHECK mask=MAY_READ fowner=4242
END

# labelled NAME SUM XATTR: a file with this digest in security.ima, and what is read of it
labelled()
{
	echo "contents of $1" >"/tmp/$1"
	digest=$("$2" "/tmp/$1" | cut -d' ' -f1)
	chown 4242 "/tmp/$1"
	xattr "/tmp/$1" "$3$digest" || exit
	cat "/tmp/$1" >>"$SHARE/read"
	echo "$1 $digest" >>"$SHARE/digests"
}

labelled md5 md5sum 0401
labelled sha1 sha1sum 0402
snapshot before
seal >/dev/null || exit
labelled behind md5sum 0401
exec 8<>/tmp/behind # open for writing while it is read
cat /tmp/behind >/dev/null
exec 8<&-
snapshot whole
cut_to 1 || exit
snapshot end
