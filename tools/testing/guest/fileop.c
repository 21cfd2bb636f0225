// SPDX-License-Identifier: GPL-2.0
/*
 * fileop STEP...: steps on one open file, a line of output for each: its name
 * and "ok", a number, or the name of the error. What a shell cannot say: which
 * errno, one write() exactly, pread(), poll(), who opened and who uses.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int fd = -1;

/* Copy to the file @name until the end of the list, by pread() if @offset is not negative. */
static long copy(const char *name, long offset, size_t size)
{
	int out = open(name, O_WRONLY | O_CREAT | O_APPEND, 0644);
	char *buf = malloc(size);
	long total = 0;
	ssize_t n;

	if (out < 0 || !buf)
		exit(2);
	do {
		n = offset < 0 ? read(fd, buf, size) : pread(fd, buf, size, offset + total);
		if (n > 0 && write(out, buf, n) != n)
			exit(2);
		if (n > 0)
			total += n;
	} while (n > 0);
	free(buf);
	close(out);
	return n < 0 ? n : total;
}

/* Open in a child that is root of a user namespace of its own; the descriptor is shared. */
static long open_in_user_namespace(const char *path)
{
	int status, highest = dup(0);
	pid_t pid;

	close(highest);
	pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		if (unshare(CLONE_NEWUSER))
			_exit(255);
		_exit(open(path, O_RDWR) < 0 && open(path, O_WRONLY) < 0 ? errno : 0);
	}
	waitpid(pid, &status, 0);
	if (WEXITSTATUS(status)) {
		errno = WEXITSTATUS(status);
		return -1;
	}
	fd = highest;
	return 0;
}

static long wait_for(const char *path)
{
	for (int i = 0; i < 6000; i++) {
		if (access(path, F_OK) == 0)
			return 0;
		usleep(10000);
	}
	errno = ETIMEDOUT;
	return -1;
}

static long opened(int new)
{
	fd = new;
	return new < 0 ? -1 : 0;
}

/* The bytes of the file @name in one write(). */
static long put(const char *name)
{
	static char buf[65536];
	int in = open(name, O_RDONLY);
	ssize_t size = read(in, buf, sizeof(buf)), n;

	if (size < 0)
		exit(2);
	close(in);
	n = write(fd, buf, size);
	return n == size ? 0 : n;
}

static long perform(const char *name, char *value)
{
	if (!strcmp(name, "r"))
		return opened(open(value, O_RDONLY));
	if (!strcmp(name, "w"))
		return opened(open(value, O_WRONLY));
	if (!strcmp(name, "rw"))
		return opened(open(value, O_RDWR));
	if (!strcmp(name, "newuser"))
		return open_in_user_namespace(value);
	if (!strcmp(name, "write")) {
		ssize_t n = write(fd, value, strlen(value));

		return n == (ssize_t)strlen(value) ? 0 : n;
	}
	if (!strcmp(name, "put"))
		return put(value);
	if (!strcmp(name, "read"))
		return copy(value, -1, 65536);
	if (!strcmp(name, "pread"))
		return copy(strchr(value, ':') + 1, atol(value), 4096);
	if (!strcmp(name, "seek"))
		return lseek(fd, atol(value), SEEK_SET);
	if (!strcmp(name, "drop"))
		return setresgid(atoi(value), atoi(value), atoi(value)) ?:
		       setresuid(atoi(value), atoi(value), atoi(value));
	if (!strcmp(name, "unshare"))
		return unshare(CLONE_NEWUSER);
	if (!strcmp(name, "wait"))
		return wait_for(value);
	if (!strcmp(name, "touch"))
		return close(open(value, O_WRONLY | O_CREAT, 0644));
	if (!strcmp(name, "run"))
		return system(value);
	if (!strcmp(name, "poll")) {
		struct pollfd p = { .fd = fd, .events = POLLPRI };
		int n = poll(&p, 1, atoi(value));

		return n <= 0 ? n : p.revents & POLLPRI;
	}
	fprintf(stderr, "fileop: unknown step %s\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');
		long result;

		if (!value)
			return 2;
		*value++ = '\0';
		result = perform(argv[i], value);
		if (result < 0)
			printf("%s %s\n", argv[i], strerrorname_np(errno));
		else if (result > 0)
			printf("%s %ld\n", argv[i], result);
		else
			printf("%s ok\n", argv[i]);
	}
	return 0;
}
