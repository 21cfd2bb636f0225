# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by checks that are scripts: each command is a test, printed as TAP.

count=0
failed=0

# check NAME COMMAND...: one test. The output of the command is shown if it fails.
check()
{
	local name=$1 output
	shift
	count=$((count + 1))
	if output=$("$@" 2>&1); then
		echo "ok $count - $name"
	else
		failed=1
		echo "not ok $count - $name"
		echo "# ${output//$'\n'/$'\n'# }"
	fi
}

# Print the plan, and exit with the status that the tests deserve.
finish()
{
	echo "1..$count"
	exit "$failed"
}
