#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# One deterministic workload with every kind of record that a guest can make.
# shellcheck source=/dev/null
. /mnt/share/lib.sh

cat >"$IMA/policy" <<'POLICY' || exit
measure func=FILE_CHECK mask=MAY_READ fowner=4001 template=ima-ng
measure func=FILE_CHECK mask=MAY_READ fowner=4002 template=ima-ngv2
measure func=FILE_CHECK mask=MAY_READ fowner=4003 template=ima-sig
measure func=FILE_CHECK mask=MAY_READ fowner=4004 template=ima-sigv2
measure func=FILE_CHECK mask=MAY_READ fowner=4005 template=evm-sig
measure func=FILE_CHECK mask=MAY_READ fowner=4011 pcr=11
measure func=FILE_CHECK mask=MAY_READ fowner=4242
measure func=KEXEC_CMDLINE
measure func=CRITICAL_DATA label=ima_policy
measure func=KEXEC_INITRAMFS_CHECK template=ima-modsig
appraise func=KEXEC_INITRAMFS_CHECK appraise_type=imasig|modsig
POLICY

# A template each, and files with signatures in their extended attributes.
signature=0204deadbeef0010000102030405060708090a0b0c0d0e0f
for owner in 4001 4002 4003 4004 4005 4011 4242; do
	for name in plain ima-signed evm-signed; do
		file=/tmp/$owner-$name
		echo "a $name file" >"$file"
		case $name in
		ima-signed) setfattr -n security.ima -v 0x03$signature "$file" ;;
		evm-signed) setfattr -n security.evm -v 0x05$signature "$file" ;;
		esac
		chown "$owner" "$file"
		cat "$file" >/dev/null
	done
done

# Names.
long=$(printf '%0255d' 0)
for name in 'two words' 'a line
break' "$(printf 'not\377utf8\376')" ' (deleted)' 'tab	100%s:' "$long" 'sha256:x'; do
	measure "$name"
done
# A path of 3 KB, then one that is too long for a path.
mkdir /tmp/deep && cd /tmp/deep || exit
for depth in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	mkdir "$long" && cd -P "$long" || exit
	case $depth in 12 | 20)
		echo "$depth" >file
		chown 4242 file
		cat file >/dev/null ;;
	esac
done
cd / || exit

# Nothing in it, the same again, the same content under another name.
: >/tmp/empty
chown 4242 /tmp/empty
cat /tmp/empty
measure again again
cp -p /tmp/again /tmp/copy
cat /tmp/copy >/dev/null

# Violations: opened for reading while open for writing, and the other way round.
measure writers readers
exec 5>>/tmp/writers
cat /tmp/writers >/dev/null
exec 5>&-
exec 6</tmp/readers
echo more >>/tmp/readers
exec 6<&-
cat /tmp/readers >/dev/null

# A buffer, and a file with an appended signature. The load itself may fail: the records stay.
kexec -s -l /boot/bzImage --initrd="$SHARE/signed" --command-line='some cmdline' 2>/dev/null
kexec -s -u 2>/dev/null

snapshot lists
list=$IMA/binary_runtime_measurements
dd if="$list" bs=1 count=3000 2>/dev/null >"$SHARE/by-1"
dd if="$list" bs=37 2>/dev/null >"$SHARE/by-37"
dd if="$list" bs=4096 2>/dev/null >"$SHARE/by-4096"
dd if="$list" bs=1M 2>/dev/null >"$SHARE/by-1M"
dd if="$list" bs=1 skip=1234 count=2000 2>/dev/null >"$SHARE/from-1234"
dd if="$IMA/ascii_runtime_measurements" bs=100 2>/dev/null >"$SHARE/ascii-by-100"
stat -c '%a %n' "$IMA"/*_runtime_measurements_* >"$SHARE/modes"
