#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A list of many templates, with strange names and a violation, in all forms that the kernel shows.
# shellcheck source=/dev/null
. /mnt/share/lib.sh

number=4242
policy=
for template in ima-ng ima-sig ima-ngv2 ima-sigv2 ima evm-sig ima-modsig; do
	policy="$policy
measure func=FILE_CHECK mask=MAY_READ fowner=$number template=$template"
	number=$((number + 1))
done
echo "$policy" >"$IMA/policy" || exit

# read_as TEMPLATE'S-OWNER NAME
read_as()
{
	echo "contents of $2" >"/tmp/$2"
	chown "$1" "/tmp/$2"
	cat "/tmp/$2" >/dev/null
}

for owner in $(seq 4242 4248); do
	read_as "$owner" "a $owner"
done
seal first >/dev/null || exit
read_as 4242 "new
line"
read_as 4242 "10 $(head -n 1 "$IMA/ascii_runtime_measurements")
$(head -n 1 "$IMA/ascii_runtime_measurements")
"
read_as 4243 "$(printf 'raw \377 byte')"
exec 7>>"/tmp/a 4242"
echo more >&7
cat "/tmp/a 4242" >/dev/null
exec 7>&-
seal second >/dev/null || exit
read_as 4242 last
snapshot whole
