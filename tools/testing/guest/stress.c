// SPDX-License-Identifier: GPL-2.0
/*
 * stress ROLE [ARGUMENT]... [faults]: do one thing until /tmp/done exists,
 * while others do theirs. With "faults", allocations that it asks the kernel
 * for fail now and then.
 *
 *   measure NAME      files /tmp/load/NAME-N, each measured once in the end
 *   seal              checkpoints
 *   archive DIR       each segment that was sealed, in a file of its number
 *   truncate DIR      to checkpoints before which everything is in DIR
 *   hold              exports, kept for a while, read twice
 *   read FILE DIGEST  a binary list with digests of so many bytes, 0: ASCII
 *   configure         settings
 *
 * It prints how much it did. Exit status 1: the kernel gave something wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include "faults.h"

#define DIR "/sys/kernel/security/ima/checkpoint/"

static int faults;
static unsigned long done, refused;

static void wrong(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static int going_on(void)
{
	return access("/tmp/done", F_OK) != 0;
}

/* With faults, anything may be refused for lack of memory. */
static int may_fail(void)
{
	return faults && errno == ENOMEM;
}

static void nap(int most_ms)
{
	usleep(random() % (most_ms * 1000));
}

/* Call with faults on, if they are asked for. */
#define WITH_FAULTS(call) ({			\
	if (faults)				\
		faults_enable(1);		\
	__typeof__(call) result_ = (call);	\
	int errno_ = errno;			\
	if (faults)				\
		faults_enable(0);		\
	errno = errno_;				\
	result_; })

static void measure(const char *name)
{
	for (; going_on(); done++) {
		char path[128], byte;
		int fd;

		snprintf(path, sizeof(path), "/tmp/load/%s-%lu", name, done);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
		if (fd < 0 || write(fd, path, strlen(path)) < 0 || fchown(fd, 4242, 0))
			wrong(path);
		close(fd);
		fd = WITH_FAULTS(open(path, O_RDONLY));
		if (fd < 0 && !may_fail())
			wrong(path);
		refused += fd < 0;
		close(fd);
		/* what was not measured for lack of memory is measured now */
		fd = open(path, O_RDONLY);
		if (fd < 0 || read(fd, &byte, 1) != 1)
			wrong(path);
		close(fd);
		unlink(path);
	}
}

/* One command to a file; what it answers goes to @answer if there is one. */
static ssize_t command(const char *name, const char *text, char *answer, size_t size)
{
	ssize_t result = -1;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), DIR "%s", name);
	fd = open(path, answer ? O_RDWR : O_WRONLY);
	if (fd < 0)
		return -1;
	if (write(fd, text, strlen(text)) >= 0)
		result = answer ? read(fd, answer, size) : 0;
	close(fd);
	return result;
}

static void seal(void)
{
	char label[32], answer[128];

	for (; going_on(); done++) {
		snprintf(label, sizeof(label), "stress %lu", done);
		if (WITH_FAULTS(command("create", label, answer, sizeof(answer))) < 0) {
			if (!may_fail())
				wrong("create");
			refused++;
		}
		nap(40);
	}
}

struct segment {
	unsigned long seq;
	int sealed;
	char digest[65];
};

/* The live segments, oldest first. */
static int segments(struct segment *list, int most)
{
	FILE *file = fopen(DIR "segments", "r");
	char *line = NULL;
	size_t size = 0;
	int count = 0;

	if (!file)
		wrong("segments");
	while (count < most && getline(&line, &size, file) > 0) {
		char state[16], *digest = strstr(line, "digest=");

		if (!digest || sscanf(line, "seq=%lu state=%15s", &list[count].seq, state) != 2)
			wrong(line);
		list[count].sealed = !strcmp(state, "sealed");
		snprintf(list[count].digest, sizeof(list[count].digest), "%.64s", digest + 7);
		count++;
	}
	free(line);
	fclose(file);
	return count;
}

#define MOST 20000
static struct segment live[MOST];

static int open_export(unsigned long seq)
{
	int fd = open(DIR "export", O_RDWR);
	char text[32];

	snprintf(text, sizeof(text), "%lu", seq);
	if (fd < 0)
		return -1;
	if (write(fd, text, strlen(text)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void archive(const char *dir)
{
	unsigned long next = 0;
	int last;

	do {
		last = !going_on();
		int count = segments(live, MOST);

		for (int i = 0; i < count && live[i].sealed; i++) {
			char path[256], new[280], buf[65536];
			int in, out;
			ssize_t n;

			if (live[i].seq < next)
				continue;
			snprintf(path, sizeof(path), "%s/%lu", dir, live[i].seq);
			/* archived before a kexec: it may be freed any time */
			if (!access(path, F_OK))
				continue;
			snprintf(new, sizeof(new), "%s.new", path);
			in = open_export(live[i].seq);
			out = open(new, O_WRONLY | O_CREAT | O_TRUNC, 0644);
			if (in < 0 || out < 0)
				wrong(path);
			while ((n = read(in, buf, sizeof(buf))) > 0)
				if (write(out, buf, n) != n)
					wrong(path);
			if (n < 0 || rename(new, path))
				wrong(path);
			close(in);
			close(out);
			next = live[i].seq + 1;
			done++;
		}
		nap(100);
	} while (!last);
}

static void truncate_list(const char *dir)
{
	for (; going_on(); nap(600)) {
		char path[256], text[128];
		int count = segments(live, MOST), to;

		if (count < 3)
			continue;
		to = 1 + random() % (count - 1);
		snprintf(path, sizeof(path), "%s/%lu", dir, live[to].seq - 1);
		if (access(path, F_OK))
			continue;
		snprintf(text, sizeof(text), "%lu %s", live[to].seq, live[to].digest);
		if (WITH_FAULTS(command("truncate", text, NULL, 0)) == 0)
			done++;
		else if (errno == ESTALE || may_fail())
			refused++;
		else
			wrong("truncate");
	}
}

/* Read to the end, in pieces of any size, now and then with a pause: how much, and its FNV hash. */
static ssize_t read_slowly(int fd, uint64_t *hash)
{
	static unsigned char buf[9001];
	ssize_t n, total = 0;

	*hash = 0xcbf29ce484222325;
	while ((n = WITH_FAULTS(read(fd, buf, 1 + random() % sizeof(buf)))) != 0) {
		if (n < 0 && may_fail()) {
			refused++;
			continue;
		}
		if (n < 0)
			return -1;
		for (ssize_t i = 0; i < n; i++)
			*hash = (*hash ^ buf[i]) * 0x100000001b3;
		total += n;
		if (random() % 8 == 0)
			nap(50);
	}
	return total;
}

static void hold(void)
{
	while (going_on()) {
		int count = segments(live, MOST), at, fd;
		uint64_t first, second;
		ssize_t size;

		if (count < 2)
			continue;
		at = random() % (count - 1); /* the active one would grow */
		fd = WITH_FAULTS(open_export(live[at].seq));
		if (fd < 0) {
			if (errno != ESTALE && !may_fail())
				wrong("export");
			refused++;
			continue;
		}
		size = read_slowly(fd, &first);
		nap(2000);
		lseek(fd, 0, SEEK_SET);
		if (size <= 0 || read_slowly(fd, &second) != size || first != second)
			wrong("a segment that is held changed");
		close(fd);
		done++;
	}
}

/* Whether a list of whole records ends here; @buf is what is left of the last record otherwise. */
static size_t records(const unsigned char *buf, size_t size, size_t digest)
{
	size_t at = 0;

	for (;;) {
		uint32_t pcr, name, data;
		size_t need = 4 + digest + 4;

		if (size - at < need)
			return at;
		memcpy(&pcr, buf + at, 4);
		memcpy(&name, buf + at + 4 + digest, 4);
		if (pcr > 23 || !name || name > 255)
			wrong("a record has no PCR or no template");
		need += name + 4;
		if (size - at < need)
			return at;
		memcpy(&data, buf + at + need - 4, 4);
		if (size - at < need + data)
			return at;
		at += need + data;
	}
}

static void read_list(const char *path, size_t digest)
{
	static unsigned char buf[1 << 20];

	while (going_on()) {
		int fd = WITH_FAULTS(open(path, O_RDONLY));
		size_t used = 0;
		ssize_t n;

		if (fd < 0) {
			if (!may_fail())
				wrong(path);
			refused++;
			continue;
		}
		while ((n = WITH_FAULTS(read(fd, buf + used, 1 + random() % 9001))) != 0) {
			if (n < 0 && may_fail()) {
				refused++;
				continue;
			}
			if (n < 0)
				break;
			used += n;
			if (digest) {
				size_t whole = records(buf, used, digest);

				memmove(buf, buf + whole, used - whole);
				used -= whole;
			} else {
				used = 0;
			}
		}
		if (n < 0 && errno != ESTALE)
			wrong(path);
		if (n == 0 && used)
			wrong("a list ends within a record");
		close(fd);
		done++;
	}
}

static void configure(void)
{
	static const char * const settings[] = {
		"checkpoint_records=0", "checkpoint_records=40", "checkpoint_records=200",
		"checkpoint_bytes=0", "checkpoint_bytes=20000", "checkpoint_seconds=0",
		"checkpoint_seconds=1", "duplicate_scope=log", "duplicate_scope=live",
		"truncate_needs_digest=0", "truncate_needs_digest=1",
		/* so many that what it frees has been archived */
		"retain_segments=0", "retain_segments=2000",
	};

	for (; going_on(); nap(200)) {
		const char *text = settings[random() % (sizeof(settings) / sizeof(*settings))];

		if (WITH_FAULTS(command("config", text, NULL, 0)) == 0)
			done++;
		else if (may_fail())
			refused++;
		else
			wrong(text);
	}
}

int main(int argc, char **argv)
{
	const char *role = argc > 1 ? argv[1] : "";

	srandom(getpid());
	faults = !strcmp(argv[argc - 1], "faults");
	argc -= faults;
	if (!strcmp(role, "measure") && argc == 3)
		measure(argv[2]);
	else if (!strcmp(role, "seal"))
		seal();
	else if (!strcmp(role, "archive") && argc == 3)
		archive(argv[2]);
	else if (!strcmp(role, "truncate") && argc == 3)
		truncate_list(argv[2]);
	else if (!strcmp(role, "hold"))
		hold();
	else if (!strcmp(role, "read") && argc == 4)
		read_list(argv[2], atoi(argv[3]));
	else if (!strcmp(role, "configure"))
		configure();
	else
		return 2;
	printf("%s%s%s done=%lu refused=%lu\n", role, argc > 2 ? " " : "", argc > 2 ? argv[2] : "",
	       done, refused);
	return 0;
}
