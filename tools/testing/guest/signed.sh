#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Truncations that must be signed: which signature is taken, which is not, and that nothing is
# freed without. The kernel has truncate_needs_signature=1 and retention; with a file `loose` in the
# share, it is one that was told something else.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
truncate=$CHECKPOINT/truncate
measure_owner
cd /tmp || exit

# digest K
digest()
{
	value digest "$CHECKPOINT/segments" "$1"
}

# trust NAME: add a certificate to the keyring .ima
trust()
{
	keyctl padd asymmetric '' %:.ima <"$SHARE/$1.der" >/dev/null
}

# hex FILE
hex()
{
	od -An -v -tx1 "$1" | tr -d ' \n'
}

# line LOGID K DIGEST: what is signed, as the documentation says
line()
{
	echo "ima-checkpoint truncate 1 $1 $2 $3"
}

# sign FILE KEY [OPTION...]: with evmctl; the signature is printed
sign()
{
	file=$1 key=$2
	shift 2
	rm -f "$file.sig"
	evmctl ima_sign --sigfile "$@" --key "$SHARE/$key.key" "$file" >/dev/null \
		2>"$SHARE/evmctl.log" || return
	hex "$file.sig"
}

# Without evmctl: header VERSION HASH KEY-NAME, then the bytes that openssl signed.
header()
{
	size=$(wc -c <"$4")
	printf '03%s%s%s%04x%s' "$1" "$2" "$(cat "$SHARE/$3.keyid")" "$size" "$(hex "$4")"
}

# try NAME COMMAND: one write, its result
try()
{
	result "try-$1" w="$truncate" write="$2"
}

for label in one two three four; do
	measure "$label-a" "$label-b"
	seal "$label" >/dev/null || exit
done
measure last
cat "$CHECKPOINT/config" >"$SHARE/config"
cat /sys/module/ima_checkpoint/parameters/truncate_needs_signature >"$SHARE/parameter"
log=$(value log_id "$CHECKPOINT/status")
for k in 1 2 3 4; do
	line "$log" "$k" "$(digest "$k")" >"m$k"
done

if [ -e "$SHARE/loose" ]; then
	# Nobody demands anything here, but what is given must be right.
	snapshot whole
	result switch-on w="$CHECKPOINT/config" write=truncate_needs_signature=1
	trust rsa || exit
	try loose-wrong "1 $(digest 1) $(sign m2 rsa -a sha256)"
	snapshot refused
	try loose-right "1 $(digest 1) $(sign m1 rsa -a sha256)"
	try loose-none "2 $(digest 2)"
	snapshot end
	exit
fi

# What the settings allow.
for setting in truncate_needs_signature=0 retain_segments=1 retain_bytes=1 \
	"checkpoint_records=5
truncate_needs_signature=0"; do
	fileop w="$CHECKPOINT/config" write="$setting"
done >"$SHARE/settings"
result parameter-write w=/sys/module/ima_checkpoint/parameters/truncate_needs_signature write=0
result same w="$CHECKPOINT/config" write="$(cat "$CHECKPOINT/config")"
configure truncate_needs_digest=0
cat "$CHECKPOINT/config" >"$SHARE/config.after"
snapshot whole

# Nothing is freed without a signature, nor with one by a key that is not in .ima (yet).
try unsigned "2 $(digest 2)"
try number 2
try newest "4 $(digest 4)
"
good=$(sign m2 rsa -a sha256) || exit
try no-key "2 $(digest 2) $good"
trust rsa && trust ec || exit
trust stranger 2>/dev/null && echo trusted >"$SHARE/stranger"
keyctl list %:.ima >"$SHARE/keyring"

# With the right key, but not over this.
try other-key "2 $(digest 2) $(sign m2 stranger -a sha256)"
try other-number "3 $(digest 3) $good"
try number-alone "1 $(digest 2) $good"
try digest-alone "2 $(digest 3) $good"
line 00112233445566778899aabbccddeeff 2 "$(digest 2)" >other-log
try other-log "2 $(digest 2) $(sign other-log rsa -a sha256)"
printf %s "$(cat m2)" >no-newline
try no-newline "2 $(digest 2) $(sign no-newline rsa -a sha256)"
line "$log" 02 "$(digest 2)" >zero
try zero "2 $(digest 2) $(sign zero rsa -a sha256)"
# Signed, and no checkpoint of this log.
line "$log" 9 "$(digest 2)" >later
try later "9 $(digest 2) $(sign later rsa -a sha256)"
line "$log" 2 "$(printf '%064d' 7)" >forged
try forged "2 $(printf '%064d' 7) $(sign forged rsa -a sha256)"

# Not in this form.
try sha1 "2 $(digest 2) $(sign m2 rsa -a sha1)"
try sha512 "2 $(digest 2) $(sign m2 rsa -a sha512)"
v1=$(sign m2 rsa --rsa -a sha256) || exit
try v1 "2 $(digest 2) $v1"
echo "${v1%"${v1#????}"}" >"$SHARE/v1"
# SHA-256 in the header, made of a SHA-1
sha1=$(sign m2 rsa -a sha1)
try relabelled "2 $(digest 2) 030204${sha1#??????}"
try evm "2 $(digest 2) 05${good#??}"
try cut "2 $(digest 2) ${good%??}"
try more "2 $(digest 2) ${good}00"
try header "2 $(digest 2) ${good%"${good#??????????????????}"}"
try flipped "2 $(digest 2) ${good%????}$(printf '%04x' $((0x${good#"${good%????}"} ^ 1)))"
try type-only "2 $(digest 2) 03"
try garbage "2 $(digest 2) $(head -c 265 /dev/urandom >noise && hex noise)"
try zeros "2 $(digest 2) 030204$(printf '%0518d' 0)"
head -c 4700 /dev/zero >zeros
try oversized "2 $(digest 2) 030204$(cat "$SHARE/rsa.keyid")1212$(hex zeros)"
head -c 4627 /dev/zero >zeros
try longest "2 $(digest 2) 030204$(cat "$SHARE/rsa.keyid")1213$(hex zeros)"
for bad in "2 $(digest 2) " "2 $(digest 2) x" "2 $(digest 2) ${good%?}" "2 $(digest 2) $good more" \
	"2 $(digest 2)  $good" "2  $good" "2 $good" "2 $(digest 2) ${good%?}g" \
	"0 $(printf '%064d' 0) $good"; do
	fileop w="$truncate" write="$bad"
done >"$SHARE/malformed"
snapshot refused

# The program says what to sign, and what is missing.
for k in 1 2 3 4; do
	ima-checkpoint truncate --message "$k"
done >"$SHARE/message" 2>&1
cat m1 m2 m3 m4 >"$SHARE/message.wanted"
ima-checkpoint truncate 2 >"$SHARE/tool-unsigned" 2>&1
echo $? >>"$SHARE/tool-unsigned"
printf junk >junk
ima-checkpoint truncate --signature junk 2 >"$SHARE/tool-junk" 2>&1
echo $? >>"$SHARE/tool-junk"
sign m1 stranger -a sha256 >/dev/null || exit
ima-checkpoint truncate --signature m1.sig 1 >"$SHARE/tool-stranger" 2>&1
echo $? >>"$SHARE/tool-stranger"
# The archiver archives all the same, and ends well.
ima-checkpoint archive --archive "$SHARE/archive" --host guest --keep-segments 0 \
	>"$SHARE/archiver" 2>&1
echo $? >>"$SHARE/archiver"
sleep 2 # for retention, which has nothing to do
snapshot kept

# What is signed is freed: by evmctl with RSA ...
sign m1 rsa -a sha256 >/dev/null || exit
ima-checkpoint truncate --signature m1.sig 1 >"$SHARE/tool-signed" 2>&1
echo $? >>"$SHARE/tool-signed"
snapshot first
# ... of a list of hashes, as sign_hash reads them, in capital letters,
signature=$(sha256sum m2 |
	evmctl sign_hash -a sha256 --key "$SHARE/rsa.key" 2>/dev/null | tail -n 1)
try sign-hash "2 $(digest 2) $(echo "${signature##* }" | tr a-f A-F)
"
snapshot second
# ... by openssl with ECDSA,
openssl dgst -sha256 -sign "$SHARE/ec.key" -out ec.sig m3 || exit
try ec "3 $(digest 3) $(header 02 04 ec ec.sig)"
snapshot third
# ... and in version 3, of a type, a hash and a digest.
{
	printf '\003\004'
	openssl dgst -sha256 -binary m4
} >v3
openssl dgst -sha256 -sign "$SHARE/rsa.key" -out v3.sig v3 || exit
try v3-of-file "4 $(digest 4) $(header 02 04 rsa v3.sig)"
try v3 "4 $(digest 4) $(header 03 04 rsa v3.sig)"
snapshot fourth
# A second time it changes nothing, and what is freed stays freed.
try twice "4 $(digest 4) $(header 03 04 rsa v3.sig)"
try past "2 $(sed -n 's/^seq=2 .* digest=\([^ ]*\).*/\1/p' "$SHARE/whole/segments") $good"
snapshot end
# Who verified the log and endorses that can let it go.
measure more
seal five >/dev/null || exit
ima-checkpoint endorse --archive "$SHARE/archive" --host guest --live --tpm \
	--signing-key "$SHARE/ec.key" --output endorsement \
	--truncate consent.sig --truncate-key "$SHARE/rsa.key" >"$SHARE/tool-endorse" 2>&1
echo $? >>"$SHARE/tool-endorse"
ima-checkpoint truncate --signature consent.sig 5 >"$SHARE/tool-consent" 2>&1
echo $? >>"$SHARE/tool-consent"
snapshot endorsed
dmesg | grep -E 'type=180[0-9]' >"$SHARE/audit"
