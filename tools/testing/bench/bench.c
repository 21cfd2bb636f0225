// SPDX-License-Identifier: GPL-2.0
/*
 * bench: what the benchmark does in the guest. Prints a line for each result: what it is, and
 * key=value pairs. Times are in nanoseconds.
 *
 *   append COUNT RECORDS        rewrite one file and read it again, COUNT times; RECORDS (0 or 1)
 *                               records must come of each
 *   read FILE SIZE TIMES        read FILE whole, SIZE bytes at once
 *   pread FILE END TIMES        a page of FILE, opened anew each time: the last before END, and
 *                               others before it
 *   write FILE TEXT             one write of a line
 *   memory                      what memory is in use, after the caches were dropped
 *   exec MARK                   start the kernel that is loaded, MARK in the kernel's log before it
 *   settle                      wait until the store has given back what it frees in the background
 *   latency OPERATION TIMES     append in one thread while another performs OPERATION: "none", or
 *                               FILE=TEXT, FILE=TEXT|TEXT, one and the other in turn, or FILE=@,
 *                               truncation to the first TIMES checkpoints, one after the other
 *   profile COUNT               append, and where the time goes
 *   profile FILE                the same of reading FILE
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define IMA "/sys/kernel/security/ima/"
#define CHECKPOINT IMA "checkpoint/"
/* A path of 71 bytes: the record has 158 in the sha1 view. */
#define DIRECTORY "/tmp/bench"
#define MEASURED DIRECTORY "/012345678901234567890123456789012345678901234567890123456789"
#define MS 1000000ull

_Static_assert(sizeof(MEASURED) == 72, "the path has 71 bytes");

static void die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint64_t cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static bool starts(const char *line, const char *with)
{
	return !strncmp(line, with, strlen(with));
}

/* A small file, whole. */
static char *text(const char *path)
{
	static char buffer[65536];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer) - 1);

	if (n < 0)
		die(path);
	buffer[n] = '\0';
	close(fd);
	return buffer;
}

static const char *base_name(const char *path)
{
	return strrchr(path, '/') + 1;
}

static long records(void)
{
	return atol(text(IMA "runtime_measurements_count"));
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Have new contents measured; when that began, and how long it took. */
static uint64_t measure(uint64_t *began)
{
	static uint64_t contents[2];
	uint64_t end;
	char byte;
	int fd;

	if (!contents[0]) {
		struct timespec t;

		clock_gettime(CLOCK_REALTIME, &t);
		contents[0] = t.tv_sec * 1000000000ull + t.tv_nsec;
		mkdir(DIRECTORY, 0755);
		fd = open(MEASURED, O_WRONLY | O_CREAT, 0644);
		if (fd < 0 || fchown(fd, 4242, 0))
			die(MEASURED);
		close(fd);
	}
	contents[1]++;
	fd = open(MEASURED, O_WRONLY);
	if (fd < 0 || write(fd, contents, sizeof(contents)) != sizeof(contents))
		die(MEASURED);
	close(fd);
	*began = now();
	fd = open(MEASURED, O_RDONLY);
	end = now();
	if (fd < 0 || read(fd, &byte, 1) != 1)
		die(MEASURED);
	close(fd);
	return end - *began;
}

/* Percentiles of times, which get sorted. */
static void print_spread(uint64_t *took, long count)
{
	qsort(took, count, sizeof(*took), compare);
	printf("p50=%lu p99=%lu p999=%lu max=%lu\n", took[count / 2], took[count * 99 / 100],
	       took[count * 999 / 1000], took[count - 1]);
}

static void append(long count, long expected)
{
	uint64_t *took = malloc(count * sizeof(*took)), began, wall, used;
	long before = records(), after;

	if (count < 2 || !took)
		die("append");
	memset(took, 0, count * sizeof(*took)); /* no page faults later */
	measure(&began); /* makes the file, and is not counted */
	used = cpu();
	wall = now();
	for (long i = 0; i < count - 1; i++)
		took[i] = measure(&began);
	wall = now() - wall;
	used = cpu() - used;
	after = records();
	if (after - before != count * expected) {
		fprintf(stderr, "bench: %ld records of %ld measurements\n", after - before, count);
		exit(1);
	}
	count--;
	printf("append count=%ld records=%ld wall=%lu cpu=%lu ", count, after, wall, used);
	print_spread(took, count);
}

static void read_whole(const char *path, size_t size, long times)
{
	char *buffer = malloc(size);

	if (!buffer)
		die("memory");
	memset(buffer, 1, size);
	while (times--) {
		uint64_t used = cpu(), wall = now(), total = 0, calls = 0;
		int fd = open(path, O_RDONLY);
		ssize_t n;

		if (fd < 0)
			die(path);
		while ((n = read(fd, buffer, size)) > 0) {
			total += n;
			calls++;
		}
		if (n < 0)
			die(path);
		close(fd);
		wall = now() - wall;
		used = cpu() - used;
		printf("read file=%s buffer=%zu bytes=%lu calls=%lu wall=%lu cpu=%lu\n",
		       base_name(path), size, total, calls, wall, used);
	}
}

static void pread_page(const char *path, off_t end, long times)
{
	char page[4096];

	for (long i = 0; i < times; i++) {
		off_t offset = (end - (off_t)sizeof(page) - i * 9973 % end + end) % end;
		int fd = open(path, O_RDONLY);
		uint64_t wall = now();
		ssize_t n = fd < 0 ? -1 : pread(fd, page, sizeof(page), offset);

		wall = now() - wall;
		if (n <= 0)
			die(path);
		close(fd);
		printf("pread file=%s offset=%ld bytes=%zd wall=%lu\n", base_name(path), (long)offset, n,
		       wall);
	}
}

static void write_line(const char *path, const char *line)
{
	uint64_t used, wall;
	char command[512];
	int fd = open(path, O_WRONLY);
	int length = snprintf(command, sizeof(command), "%s\n", line);
	ssize_t n;

	if (fd < 0)
		die(path);
	used = cpu();
	wall = now();
	n = write(fd, command, length);
	wall = now() - wall;
	used = cpu() - used;
	if (n != length)
		die(path);
	printf("write file=%s wall=%lu cpu=%lu\n", base_name(path), wall, used);
}

static void exec_kernel(const char *mark)
{
	int fd = open("/dev/kmsg", O_WRONLY);

	sync();
	if (fd < 0 || write(fd, mark, strlen(mark)) < 0)
		die("/dev/kmsg");
	reboot(LINUX_REBOOT_CMD_KEXEC);
	die("kexec");
}

/* Free pages that each processor keeps, which MemFree leaves out. */
static uint64_t kept_pages(void)
{
	uint64_t pages = 0;

	for (const char *at = text("/proc/zoneinfo"); (at = strstr(at, "  count:")); at++)
		pages += strtoul(at + 8, NULL, 10);
	return pages << 12;
}

static void memory(void)
{
	static const char *const names[] = { "free", "MemFree", "MemAvailable", "Slab", "SUnreclaim",
					     "VmallocUsed", "KernelStack", "PageTables", "Percpu" };
	enum { NAMES = sizeof(names) / sizeof(*names), SAMPLES = 5 };
	uint64_t seen[NAMES][SAMPLES];

	for (int sample = 0; sample < SAMPLES; sample++) {
		int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
		const char *all;

		if (fd < 0 || write(fd, "3", 1) != 1)
			die("drop_caches");
		close(fd);
		usleep(30000);
		seen[0][sample] = kept_pages();
		all = text("/proc/meminfo");
		for (int i = 1; i < NAMES; i++) {
			const char *found = strstr(all, names[i]);

			found = found ? strchr(found, ':') : NULL;
			seen[i][sample] = found ? strtoul(found + 1, NULL, 10) << 10 : 0;
		}
	}
	for (int sample = 0; sample < SAMPLES; sample++)
		seen[0][sample] += seen[1][sample];
	printf("memory records=%ld", records());
	for (int i = 0; i < NAMES; i++) {
		qsort(seen[i], SAMPLES, sizeof(seen[i][0]), compare);
		printf(" %s=%lu", names[i], seen[i][SAMPLES / 2]);
	}
	if (!access(CHECKPOINT "status", R_OK)) {
		char *line = strtok(text(CHECKPOINT "status"), "\n");

		for (; line; line = strtok(NULL, "\n"))
			if (starts(line, "memory_") || starts(line, "bytes_") || starts(line, "records_"))
				printf(" %s", line);
	}
	printf("\n");
}

/* Only the lines of memory, which change until all is given back; appends nothing itself. */
static void settle(void)
{
	uint64_t start = now(), changed = start;
	char last[4096] = "";

	while (now() - changed < 500 * MS) {
		char used[4096] = "";
		bool pinned = false;
		char *line = strtok(text(CHECKPOINT "status"), "\n");

		for (; line; line = strtok(NULL, "\n")) {
			pinned |= starts(line, "bytes_pinned=") && !starts(line, "bytes_pinned=0");
			if (starts(line, "memory_") && strlen(used) + strlen(line) < sizeof(used))
				strcat(used, line);
		}
		if (pinned || strcmp(used, last)) {
			changed = now();
			strcpy(last, used);
		}
		if (now() - start > 60000 * MS) {
			errno = ETIMEDOUT;
			die("memory of freed segments");
		}
		usleep(2000);
	}
	printf("settle wall=%lu\n", changed - start);
}

/* --- latency --- */

struct span {
	uint64_t from, to;
};

#define MAX_SPANS (4 << 20)
#define MAX_COMMANDS 256
static struct span *appends;
static atomic_long nr_appends;
static atomic_bool stop;
static int processors;

/*
 * On one processor the appends go first, in real time: the other thread runs while they sleep or wait
 * for it, and how long an append takes is its own work and the wait. On two they just go on.
 */
static void *appender(void *unused)
{
	struct sched_param first = { .sched_priority = 10 };
	uint64_t random = 88172645463325252ull;

	(void)unused;
	if (processors == 1 && sched_setscheduler(0, SCHED_FIFO, &first))
		die("sched_setscheduler");
	while (!stop && nr_appends < MAX_SPANS) {
		uint64_t began, took = measure(&began);

		appends[nr_appends].from = began;
		appends[nr_appends].to = began + took;
		nr_appends++;
		if (processors == 1) {
			struct timespec pause = { 0 };

			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			pause.tv_nsec = 5000 + random % 60000;
			nanosleep(&pause, NULL);
		}
	}
	return NULL;
}

/* The commands that truncate to each of the first checkpoints. */
static int truncations(char commands[][128], int most)
{
	int found = 0;

	char *line = strtok(text(CHECKPOINT "segments"), "\n");

	for (; line && found < most; line = strtok(NULL, "\n")) {
		char *seq = strstr(line, "seq="), *digest = strstr(line, "digest=");

		if (!seq || !digest || !strncmp(seq, "seq=0 ", 6))
			continue;
		snprintf(commands[found++], 128, "%ld %.64s\n", atol(seq + 4), digest + 7);
	}
	return found;
}

/* The longest append that ran at some time within a span. */
static uint64_t longest(struct span within)
{
	uint64_t most = 0;

	for (long i = 0; i < nr_appends; i++)
		if (appends[i].to >= within.from && appends[i].from <= within.to &&
		    appends[i].to - appends[i].from > most)
			most = appends[i].to - appends[i].from;
	return most;
}

static void latency(char *operation, int times)
{
	char *command = strchr(operation, '=');
	static char commands[MAX_COMMANDS][128];
	struct span *spans;
	uint64_t *quiet;
	pthread_t thread;
	int fd = -1;
	long n = 0;

	processors = sysconf(_SC_NPROCESSORS_ONLN);
	if (command) {
		*command++ = '\0';
		fd = open(operation, O_WRONLY);
		if (fd < 0)
			die(operation);
		if (times > MAX_COMMANDS)
			times = MAX_COMMANDS;
		if (*command == '@') {
			times = truncations(commands, times);
		} else {
			char *other = strchr(command, '|');

			if (other)
				*other++ = '\0';
			for (int i = 0; i < times; i++)
				snprintf(commands[i], sizeof(commands[i]), "%s\n",
					 other && i % 2 ? other : command);
		}
	}
	spans = calloc(times, sizeof(*spans));
	appends = mmap(NULL, MAX_SPANS * sizeof(*appends), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!spans || appends == MAP_FAILED || pthread_create(&thread, NULL, appender, NULL))
		die("latency");
	usleep(10000);
	for (int i = 0; i < times; i++) {
		usleep(3000);
		spans[i].from = now();
		if (!command)
			usleep(1000);
		else if (write(fd, commands[i], strlen(commands[i])) < 0)
			die(operation);
		spans[i].to = now();
		usleep(3000);
	}
	stop = true;
	pthread_join(thread, NULL);
	/* what is not within any operation tells what there is without */
	quiet = calloc(nr_appends, sizeof(*quiet));
	for (long i = 1; i < nr_appends; i++) {
		bool busy = false;

		for (int s = 0; s < times; s++)
			busy |= appends[i].to >= spans[s].from && appends[i].from <= spans[s].to;
		if (!busy)
			quiet[n++] = appends[i].to - appends[i].from;
	}
	if (!n)
		die("no append but during operations");
	printf("quiet count=%ld ", n);
	print_spread(quiet, n);
	for (int i = 0; i < times; i++) {
		uint64_t took = spans[i].to - spans[i].from;
		struct span control = { spans[i].to + MS, spans[i].to + MS + took };

		printf("operation took=%lu longest=%lu control=%lu\n", took, longest(spans[i]),
		       longest(control));
	}
}

/* --- profile --- */

struct symbol {
	uint64_t address, samples;
	char name[256];
};

static int by_address(const void *a, const void *b)
{
	return compare(&((const struct symbol *)a)->address, &((const struct symbol *)b)->address);
}

static int by_samples(const void *a, const void *b)
{
	return compare(&((const struct symbol *)b)->samples, &((const struct symbol *)a)->samples);
}

static struct symbol *symbols;
static long nr_symbols;

static void read_symbols(void)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	struct symbol symbol = { .name = "(user)" };

	symbols = calloc(200000, sizeof(*symbols));
	if (!file || !symbols)
		die("/proc/kallsyms");
	do {
		symbols[nr_symbols++] = symbol;
	} while (nr_symbols < 200000 &&
		 fscanf(file, "%lx %*c %255s%*[^\n]", &symbol.address, symbol.name) == 2);
	fclose(file);
	qsort(symbols, nr_symbols, sizeof(*symbols), by_address);
}

static void count_sample(uint64_t address)
{
	long low = 0, high = nr_symbols;

	while (high - low > 1) {
		long middle = (low + high) / 2;

		if (symbols[middle].address <= address)
			low = middle;
		else
			high = middle;
	}
	symbols[low].samples++;
}

static struct perf_event_mmap_page *ring;

#define PAGES 512

static long take_samples(void)
{
	char *data = (char *)ring + 4096;
	long taken = 0;

	while (ring->data_tail < __atomic_load_n(&ring->data_head, __ATOMIC_ACQUIRE)) {
		struct perf_event_header *header = (void *)(data + ring->data_tail % (PAGES * 4096));

		if (header->type == PERF_RECORD_SAMPLE) {
			count_sample(*(uint64_t *)(data + (ring->data_tail + sizeof(*header)) % (PAGES * 4096)));
			taken++;
		}
		ring->data_tail += header->size;
	}
	return taken;
}

static void profile(const char *what)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 100003, /* ns */
		.sample_type = PERF_SAMPLE_IP,
	};
	static char buffer[65536];
	const char *name = what[0] == '/' ? strrchr(what, '/') + 1 : "append";
	long count = atol(what), total = 0;
	uint64_t began;
	int fd;

	read_symbols();
	measure(&began);
	fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
	if (fd < 0)
		die("perf_event_open");
	ring = mmap(NULL, (PAGES + 1) * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED)
		die("mmap");
	if (what[0] == '/') {
		int list = open(what, O_RDONLY);

		if (list < 0)
			die(what);
		while (read(list, buffer, sizeof(buffer)) > 0)
			total += take_samples();
	}
	for (long i = 0; i < count; i++) {
		measure(&began);
		total += take_samples();
	}
	qsort(symbols, nr_symbols, sizeof(*symbols), by_samples);
	for (long i = 0; i < 30 && symbols[i].samples; i++)
		printf("profile of=%s samples=%lu total=%ld symbol=%s\n", name, symbols[i].samples, total,
		       symbols[i].name);
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (!strcmp(command, "append") && argc == 4)
		append(atol(argv[2]), atol(argv[3]));
	else if (!strcmp(command, "read") && argc == 5)
		read_whole(argv[2], atol(argv[3]), atol(argv[4]));
	else if (!strcmp(command, "pread") && argc == 5)
		pread_page(argv[2], atol(argv[3]), atol(argv[4]));
	else if (!strcmp(command, "write") && argc == 4)
		write_line(argv[2], argv[3]);
	else if (!strcmp(command, "memory") && argc == 2)
		memory();
	else if (!strcmp(command, "exec") && argc == 3)
		exec_kernel(argv[2]);
	else if (!strcmp(command, "settle") && argc == 2)
		settle();
	else if (!strcmp(command, "latency") && argc == 4)
		latency(argv[2], atoi(argv[3]));
	else if (!strcmp(command, "profile") && argc == 3)
		profile(argv[2]);
	else
		return 2;
	return 0;
}
