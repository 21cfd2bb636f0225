// SPDX-License-Identifier: GPL-2.0
/*
 * hammer FILE DATA FILE DATA: write for ever, and tell the kernel log when the answer changes.
 * It runs until the machine stops, so that it sees what holds between the reboot notifiers and
 * that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void report(int kmsg, const char *file, int error)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "hammer: %s: %s\n", file,
			 error ? strerrorname_np(error) : "ok");

	if (write(kmsg, line, n) < 0)
		_exit(1);
}

int main(int argc, char **argv)
{
	int kmsg = open("/dev/kmsg", O_WRONLY), last[2] = { -1, -1 }, fd[2];

	if (argc != 5 || kmsg < 0)
		return 2;
	for (int i = 0; i < 2; i++) {
		fd[i] = open(argv[1 + 2 * i], O_WRONLY);
		if (fd[i] < 0)
			return 2;
	}
	for (;;) {
		for (int i = 0; i < 2; i++) {
			const char *data = argv[2 + 2 * i];
			int result = write(fd[i], data, strlen(data)) < 0 ? errno : 0;

			if (result != last[i])
				report(kmsg, strrchr(argv[1 + 2 * i], '/') + 1, result);
			last[i] = result;
		}
	}
}
