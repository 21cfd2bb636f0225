// SPDX-License-Identifier: GPL-2.0
/*
 * load DIR PROCESSES COUNT [SERIES]: each process makes COUNT new files and has them measured.
 * Another series, other contents.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void measure(const char *dir, const char *series, int process, int number)
{
	char path[256], byte;
	int fd;

	snprintf(path, sizeof(path), "%s/%s-%d-%d", dir, series, process, number);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, path, strlen(path)) < 0 || fchown(fd, 4242, 0))
		_exit(1);
	close(fd);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, &byte, 1) != 1)
		_exit(1);
	close(fd);
	unlink(path);
}

int main(int argc, char **argv)
{
	int processes, count, status, failed = 0;

	if (argc < 4)
		return 2;
	processes = atoi(argv[2]);
	count = atoi(argv[3]);
	for (int p = 0; p < processes; p++) {
		if (fork() == 0) {
			for (int i = 0; i < count; i++)
				measure(argv[1], argc > 4 ? argv[4] : "0", p, i);
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		failed |= status;
	return failed != 0;
}
