// SPDX-License-Identifier: GPL-2.0
/*
 * fail-nth create|truncate|export|read|config: do this again and again, and
 * let the first of all that can fail in it fail, then the second, until there
 * is none left: allocations, and copies from and to user memory. Nobody else
 * may measure meanwhile. A line for each that failed: its number and the
 * answer. What was refused must have changed nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include "faults.h"

#define DIR "/sys/kernel/security/ima/checkpoint/"

static int nth;

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static size_t contents(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY);
	size_t total = 0;
	ssize_t n;

	if (fd < 0)
		die(path);
	while ((n = read(fd, buf + total, size - 1 - total)) > 0)
		total += n;
	if (n < 0)
		die(path);
	buf[total] = '\0';
	close(fd);
	return total;
}

/* What a refused command must leave as it was: no clock, no memory in use, no error. */
static void state(char *buf, size_t size)
{
	static const char * const keys[] = {
		"records_", "bytes_live", "bytes_freed", "segments_", "checkpoints=",
	};
	static char status[65536];
	size_t used;

	contents(DIR "status", status, sizeof(status));
	*buf = '\0';
	for (char *line = strtok(status, " \n"); line; line = strtok(NULL, " \n"))
		for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
			if (!strncmp(line, keys[i], strlen(keys[i])))
				strncat(strncat(buf, line, size - strlen(buf) - 2), " ", 2);
	used = strlen(buf);
	contents(DIR "config", buf + used, size - used);
}

static void write_once(const char *name, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), DIR "%s", name);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(path);
	close(fd);
}

/* "K DIGEST" of a checkpoint made on the spot. */
static void newest(char *buf, size_t size)
{
	static char segments[1 << 20];
	char *line, *digest;

	write_once("create", "");
	contents(DIR "segments", segments, sizeof(segments));
	segments[strlen(segments) - 1] = '\0';
	line = strrchr(segments, '\n');
	line = line ? line + 1 : segments;
	digest = strstr(line, "digest=");
	if (!digest)
		exit(2);
	snprintf(buf, size, "%lu %.64s", strtoul(line + 4, NULL, 10), digest + 7);
}

/* What export takes: the active segment, with a record in it. */
static void newest_segment(char *buf, size_t size)
{
	char checkpoint[128];

	newest(checkpoint, sizeof(checkpoint));
	snprintf(buf, size, "%lu ascii sha256", strtoul(checkpoint, NULL, 10));
}

/* Let the @n-th fail from here on. */
static void arm(int n)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", n);

	/* if this is what fails, it is the last that did */
	if (pwrite(nth, text, length, 0) != length && pwrite(nth, text, length, 0) != length)
		die("fail-nth");
}

/* Whether something was made to fail. */
static int disarm(void)
{
	char text[16] = "";
	int hit;

	/* this copies to user memory, too: if that fails, nothing before did */
	hit = pread(nth, text, sizeof(text) - 1, 0) > 0 && atoi(text) == 0;
	arm(0);
	return hit;
}

int main(int argc, char **argv)
{
	static char before[8192], after[8192], data[128], buf[4096];
	const char *what = argc == 2 ? argv[1] : "";
	int reading = !strcmp(what, "read"), hit = 1;
	char path[128];

	nth = open("/proc/thread-self/fail-nth", O_RDWR);
	if (nth < 0)
		die("fail-nth");
	snprintf(path, sizeof(path), DIR "%s", reading ? "export" : what);
	for (int n = 1; hit; n++) {
		int fd = open(path, strcmp(what, "truncate") ? O_RDWR : O_WRONLY), error;
		ssize_t result;

		if (fd < 0)
			die(path);
		if (!strcmp(what, "truncate"))
			newest(data, sizeof(data));
		else if (!strcmp(what, "config"))
			snprintf(data, sizeof(data),
				 "checkpoint_seconds=%d\ntruncate_needs_digest=%d", 10000 + n, n % 2);
		else if (!strcmp(what, "create"))
			snprintf(data, sizeof(data), "number %d", n);
		else
			newest_segment(data, sizeof(data));
		if (reading && write(fd, data, strlen(data)) < 0)
			die(path);
		state(before, sizeof(before));
		arm(n);
		result = reading ? read(fd, buf, sizeof(buf)) : write(fd, data, strlen(data));
		error = errno;
		hit = disarm();
		state(after, sizeof(after));
		if (hit)
			printf("%d %s\n", n, result < 0 ? strerrorname_np(error) : "ok");
		if (result < 0 && !hit) {
			fprintf(stderr, "%s: %s although nothing failed\n", what, strerror(error));
			return 1;
		}
		if (result < 0 && strcmp(before, after)) {
			fprintf(stderr, "%s %d: refused, but changed:\n%s\n%s\n", what, n, before,
				after);
			return 1;
		}
		close(fd);
	}
	return 0;
}
