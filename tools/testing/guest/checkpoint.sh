#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Checkpoints: labels, the values of every PCR in use, foreign extends, a TPM that fails.
# shellcheck source=/dev/null
. /mnt/share/lib.sh
create=$CHECKPOINT/create
measure_owner
echo "measure func=FILE_CHECK mask=MAY_READ fowner=4011 pcr=11" >"$IMA/policy"

measure a b
seal first >"$SHARE/answer-first" || exit
snapshot first
measure c writer
exec 5>>/tmp/writer
cat /tmp/writer >/dev/null # a violation
exec 5>&-
seal second >"$SHARE/answer-second" || exit

for bank in sha1 sha256; do
	for pcr in $(seq 0 23); do
		printf 'PCR-%02d: %s\n' "$pcr" "$(cat "/sys/class/tpm/tpm0/pcr-$bank/$pcr")"
	done >"/tmp/$bank"
	evmctl ima_measurement --ignore-violations --verify-bank=$bank --pcrs "$bank,/tmp/$bank" \
		"$IMA/binary_runtime_measurements" >"$SHARE/evmctl-$bank" 2>&1
	echo $? >"$SHARE/evmctl-$bank.status"
done

# Labels.
result early rw="$create" read="$SHARE/nothing" write=label read="$SHARE/answer-early"
result twice rw="$create" write=one read="$SHARE/answer-one" write=two read="$SHARE/answer-two"
result empty rw="$create" write=
result newline rw="$create" write='
'
result longest rw="$create" write="$(printf '%064d' 0)"
result longest-newline rw="$create" write="$(printf '%064d' 1)
"
snapshot labels
result long rw="$create" write="$(printf '%065d' 0)"
result huge rw="$create" write="$(printf '%0300d' 0)"
result lines rw="$create" write='two
lines'
result tab rw="$create" write='a	b'
result delete rw="$create" write="$(printf 'a\177')"
result utf8 rw="$create" write="$(printf 'caf\303\251')"
snapshot refused

# A PCR that was not zero when IMA first used it.
tpm2_pcrextend "11:sha1=$(printf '%040d' 11),sha256=$(printf '%064d' 11)" || exit
snapshot before-eleven
echo eleven >/tmp/eleven
chown 4011 /tmp/eleven
cat /tmp/eleven >/dev/null
seal eleven >/dev/null || exit
measure after-eleven
snapshot eleven

# Someone extends PCR 10 behind IMA's back.
tpm2_pcrextend "10:sha1=$(printf '%040d' 10),sha256=$(printf '%064d' 10)" || exit
snapshot before-foreign
measure in-the-broken-segment
seal foreign >/dev/null || exit
snapshot foreign
measure after-foreign
seal healed >/dev/null || exit
measure later
snapshot healed

# Many at once: the n-th open file gives the n-th answer.
for n in 1 2 3 4 5 6 7 8; do
	seal "parallel $n" >"$SHARE/answer-parallel-$n" &
done
wait
snapshot parallel

# A TPM that is gone cannot be read.
tpm=$(readlink -f /sys/class/tpm/tpm0/device)
echo "${tpm##*/}" >"$tpm/driver/unbind"
snapshot unbound
result eio rw="$create" write=unreadable
snapshot unreadable
result truncate-eio w="$CHECKPOINT/truncate" \
	write="1 $(value digest "$CHECKPOINT/segments" 1)"
snapshot still-there
