#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Quotes in the log: by the program, with keys of several kinds, and by hand.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
quote=$CHECKPOINT/quote
measure_owner
echo "measure func=FILE_CHECK mask=MAY_READ fowner=4011 pcr=11" >"$IMA/policy"

# note NAME COMMAND...: its exit status and what it says are left in the share
note()
{
	name=$1
	shift
	"$@" >"$SHARE/$name.out" 2>&1
	echo $? >"$SHARE/$name.status"
}

# make_key NAME HANDLE ALGORITHM HASH SCHEME
make_key()
{
	tpm2_createak -C /tmp/ek.ctx -c "/tmp/$1.ctx" -G "$3" -g "$4" -s "$5" -u "$SHARE/$1.pub" -n "$SHARE/$1.name" &&
		tpm2_evictcontrol -c "/tmp/$1.ctx" "$2" && tpm2_flushcontext -t &&
		tpm2_readpublic -c "$2" -f pem -o "$SHARE/$1.pem"
}

# by_hand NAME: what tpm2_quote signs over what `quote` names, as the kernel takes it
by_hand()
{
	value digest "$quote" >"/tmp/$1.digest"
	tpm2_quote -c 0x81010002 -l sha256:10,11 -g sha256 -q "$(cat "/tmp/$1.digest")" -m "/tmp/$1.msg" -s "/tmp/$1.sig" \
		>/dev/null || return
	{
		size "$SHARE/ecc.name" && size "/tmp/$1.msg" && cat "/tmp/$1.sig"
	} >"$SHARE/$1.evidence"
}

# size FILE: its size in two bytes, and its bytes
size()
{
	length=$(wc -c <"$1")
	printf '%b' "\\0$(printf '%03o' $((length / 256)))\\0$(printf '%03o' $((length % 256)))"
	cat "$1"
}

measure a b
result none rw="$quote" read="$SHARE/none.read"
{
	tpm2_createek -G ecc -c /tmp/ek.ctx -u /tmp/ek.pub && tpm2_flushcontext -t &&
		make_key ecc 0x81010002 ecc sha256 ecdsa && make_key rsa 0x81010003 rsa sha256 rsassa &&
		make_key pss 0x81010004 rsa sha256 rsapss && make_key p384 0x81010005 ecc384 sha384 ecdsa
} >/dev/null || exit

# by the program
note first ima-checkpoint checkpoint --quote
measure c
echo eleven >/tmp/eleven
chown 4011 /tmp/eleven
cat /tmp/eleven >/dev/null
note rsa ima-checkpoint checkpoint --quote --key 0x81010003 --label "by rsa" --json
note pss ima-checkpoint checkpoint --quote --key 0x81010004
note p384 ima-checkpoint checkpoint --quote --key /tmp/p384.ctx
measure d
note nonce ima-checkpoint checkpoint --quote --nonce 00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff
measure e
snapshot quoted

# nothing is appended for what is wrong with the command
note no-key ima-checkpoint checkpoint --quote --key 0x81010099
note ek ima-checkpoint checkpoint --quote --key /tmp/ek.ctx
note long ima-checkpoint checkpoint --quote --nonce "$(printf '%066d' 0)"
note without ima-checkpoint checkpoint --nonce 00
note both ima-checkpoint checkpoint --quote --nonce 00 --label x
snapshot refused

# by hand: the kernel checks the form, and over which checkpoint it is
cat "$quote" >"$SHARE/named"
by_hand good || exit
result good w="$quote" put="$SHARE/good.evidence"
result again w="$quote" put="$SHARE/good.evidence"
head -c 100 "$SHARE/good.evidence" >"$SHARE/cut.evidence"
result cut w="$quote" put="$SHARE/cut.evidence"
{
	cat "$SHARE/good.evidence" && printf x
} >"$SHARE/longer.evidence"
result longer w="$quote" put="$SHARE/longer.evidence"
head -c 3897 /dev/zero >"$SHARE/huge.evidence"
result huge w="$quote" put="$SHARE/huge.evidence"
# it checks no signature
end=$(($(wc -c <"$SHARE/good.evidence") - 4))
{
	head -c $end "$SHARE/good.evidence" && printf XXXX
} >"$SHARE/forged.evidence"
result forged w="$quote" put="$SHARE/forged.evidence"
snapshot hand
seal later >/dev/null
result late w="$quote" put="$SHARE/good.evidence"
measure f
snapshot end

# the host verifies itself
note verify ima-checkpoint verify --live --key "$SHARE/ecc.pub"
