# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034 # what the scripts share is used by them
# Sourced by the scripts: where things are kept, the toolchain, messages, progress.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scripts=$root/scripts
cache=${IMA_CHECKPOINT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ima-checkpoint}
logs=$cache/log
patches=$root/patches/7.3
mapfile -t series < <(find "$patches/fixes" -name '*.patch' | sort; find "$patches" -maxdepth 1 -name '*.patch' | sort)
mkdir -p "$logs"

# The distribution's toolchain, whatever else PATH offers (a rustup toolchain has no library source).
export PATH=$cache/tools/bin:/usr/bin:/usr/sbin:/bin:/sbin:$PATH
export CCACHE_DIR=$cache/ccache CCACHE_BASEDIR=$cache CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=5G
export LC_ALL=C.UTF-8
llvm=19
toolchain=(LLVM=-"$llvm" CC="ccache clang-$llvm"
	RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTFMT=/usr/bin/rustfmt)

# cargo_here COMMAND...: the distribution's cargo, with what was built before kept in the cache
cargo_here()
{
	local command=$1
	shift
	RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc CARGO_TARGET_DIR=$cache/target \
		/usr/bin/cargo "$command" --locked "$@"
}

say()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die()
{
	say "$*"
	exit 1
}

# os_release KEY: what this distribution says of itself
os_release()
{
	sed -n "s/^$1=\"\?\([^\"]*\)\"\?\$/\1/p" /etc/os-release
}

# The mirror that this machine uses already.
mirror()
{
	# shellcheck disable=SC2016 # apt's fields, not the shell's
	apt-get indextargets --format '$(RELEASE) $(ORIGIN) $(REPO_URI)' \
		'Created-By: Packages' 'Component: main' |
		awk -v release="$(os_release VERSION_CODENAME)" '
			$1 == release && ($2 == "Debian" || NF == 2) { print $NF; exit }' | grep . ||
		die "apt has no Debian mirror configured: configure one"
}

# apt_source MIRROR SUITE: the line of a sources.list
apt_source()
{
	local keyring
	for keyring in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
		[ ! -r "$keyring" ] || break
	done
	echo "deb [signed-by=$keyring] $1 $2 main"
}

lock_fd=

# Several scripts may run at once: wait for the one that holds this lock.
lock()
{
	mkdir -p "${1%/*}"
	exec {lock_fd}>"$1"
	flock -n "$lock_fd" && return
	say "waiting for another run that holds $1"
	flock "$lock_fd"
}

unlock()
{
	exec {lock_fd}>&-
	lock_fd=
}

# Show how far LOG has grown until killed: in place on a terminal, else a line now and then.
show_progress()
{
	local what=$1 log=$2 expected=$3 lines
	[ -z "$lock_fd" ] || unlock
	while sleep 1 && kill -0 $$; do
		[ -t 2 ] || [ $((SECONDS % 30)) -eq 0 ] || continue
		lines=$(wc -l <"$log")
		[ ! -t 2 ] || printf '\r\033[K' >&2
		printf '  %s: %d:%02d' "$what" $((SECONDS / 60)) $((SECONDS % 60)) >&2
		[ "$expected" -eq 0 ] || printf ', %d steps of about %d (%d%%)' "$lines" "$expected" \
			$((lines < expected ? lines * 100 / expected : 99)) >&2
		[ -t 2 ] || echo >&2
	done
}

# logged WHAT LOG EXPECTED COMMAND...: run a long command, its output in LOG, of which EXPECTED
# lines are expected (0: unknown).
logged()
{
	local what=$1 log=$2 expected=$3 monitor status
	shift 3
	say "$what (log: $log)"
	: >"$log"
	SECONDS=0
	show_progress "$what" "$log" "$expected" &
	monitor=$!
	set +e
	(set -e; "$@") >>"$log" 2>&1 </dev/null
	status=$?
	set -e
	kill "$monitor" 2>/dev/null || :
	wait "$monitor" 2>/dev/null || :
	[ ! -t 2 ] || printf '\r\033[K' >&2
	[ "$status" -eq 0 ] && return
	tail -n 20 "$log" >&2
	die "$what failed; the full log is $log"
}
