/* SPDX-License-Identifier: GPL-2.0 */
/* Failing allocations of this task: the kernel has CONFIG_FAULT_INJECTION. */
#ifndef FAULTS_H
#define FAULTS_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void faults_write(const char *name, unsigned int value)
{
	char path[64], text[16];
	int fd, length;

	snprintf(path, sizeof(path), "/proc/thread-self/%s", name);
	length = snprintf(text, sizeof(text), "%u", value);
	/* with faults on, this may be what fails */
	for (int tries = 0; tries < 1000; tries++) {
		fd = open(path, O_WRONLY);
		if (fd >= 0 && write(fd, text, length) == length) {
			close(fd);
			return;
		}
		if (fd >= 0)
			close(fd);
	}
	perror(path);
	exit(2);
}

/* Whether what this task asks for fails now and then, as /sys/kernel/debug says. */
static inline void faults_enable(int enable)
{
	faults_write("make-it-fail", enable);
}

#endif
