# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Sourced by the jobs of the benchmark, from the share. Results are lines in a file there: a word, and
# key=value pairs. A line "note" says what is true of the lines that follow it.
# shellcheck source=/dev/null
. /mnt/share/lib.sh

BINARY=$IMA/binary_runtime_measurements
ASCII=$IMA/ascii_runtime_measurements
STAGED=${BINARY}_staged
results=$SHARE/results

note()
{
	echo "note $*" >>"$results"
}

# b STEP...: a step of the program "bench"; the job ends if it fails
b()
{
	bench "$@" >>"$results" || exit 1
}

count()
{
	cat "$IMA/runtime_measurements_count"
}

# grow N: append until the list has N records, if it has not
grow()
{
	[ $(($1 - $(count))) -lt 2 ] || b append $(($1 - $(count))) 1
}

# memory: what is in use; what the allocator only keeps for later is not
memory()
{
	for cache in /sys/kernel/slab/kmalloc-[0-9]*/shrink; do
		echo 1 >"$cache"
	done
	b memory
}

# views BANK BUFFER TIMES: the list whole, binary and ASCII
views()
{
	b read "${BINARY}_$1" "$2" "$3"
	b read "${ASCII}_$1" "$2" "$3"
}

# tmpfs BYTES BUFFER TIMES: what reading as much takes that is just there
tmpfs()
{
	head -c "$1" /dev/zero >/tmp/tmpfs
	b read /tmp/tmpfs "$2" "$3"
	rm /tmp/tmpfs
}

# bytes: of the binary sha1 list, in which a record has 158, but the first, boot_aggregate, 101
bytes()
{
	echo $((($(count) - 1) * 158 + 101))
}

# warm: run once what is about to be measured, so that the emulator has translated it
warm()
{
	bench append 300 1 >/dev/null || exit 1
	for size in 65536 4096; do
		for file in "${BINARY}_sha1" "${ASCII}_sha1"; do
			bench read "$file" $size 3 >/dev/null
		done
		head -c 500000 /dev/zero >/tmp/warm
		bench read /tmp/warm $size 3 >/dev/null
	done
	bench pread "${BINARY}_sha1" 40000 3 >/dev/null
	rm /tmp/warm
}

# last_checkpoint: what truncates to it
last_checkpoint()
{
	sed -n '$s/^seq=\([0-9]*\) .* digest=\([0-9a-f]*\) .*/\1 \2/p' "$CHECKPOINT/segments"
}

# free_all: seal or stage what there is, free it, and the memory in use after each step
free_all()
{
	if [ -e "$CHECKPOINT" ]; then
		seal bench >/dev/null
		note state=sealed
		memory
		b write "$CHECKPOINT/truncate" "$(last_checkpoint)"
		b settle
	else
		b write "$STAGED" A
		note state=sealed
		memory
		b write "$STAGED" D
	fi
	note state=freed
	memory
}
