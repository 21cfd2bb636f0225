// SPDX-License-Identifier: GPL-2.0
/*
 * handover BZIMAGE INITRD CMDLINE BUFFER: load a kernel by kexec_load(2) and hand it BUFFER as if
 * it were the measurement list of this one, for `kexec -e` to start. The kernel is entered by the
 * 64-bit boot protocol, with the boot parameters of the running one.
 */
#include <fcntl.h>
#include <linux/kexec.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where things go: in the memory of a guest with 1 GiB. */
#define KERNEL_AT	0x10000000UL
#define INITRD_AT	0x20000000UL
#define BUFFER_AT	0x2c000000UL
#define PARAMS_AT	0x30000000UL

#define PAGE		4096UL
#define SETUP_IMA	8

/* Offsets in struct boot_params, Documentation/arch/x86/boot.rst. */
enum {
	EXT_RAMDISK_IMAGE = 0x0c0,
	SETUP_SECTS = 0x1f1,
	TYPE_OF_LOADER = 0x210,
	CODE32_START = 0x214,
	RAMDISK_IMAGE = 0x218,
	RAMDISK_SIZE = 0x21c,
	CMD_LINE_PTR = 0x228,
	SETUP_DATA = 0x250,
};

/* What is needed to start, a page each. */
struct start {
	uint8_t params[PAGE];
	char cmdline[PAGE];
	struct {
		uint64_t next;
		uint32_t type, len;
		uint64_t addr, size;
	} ima;
	uint8_t code[64];
} __attribute__((aligned(PAGE)));

static struct start start;

static void *content(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY);
	size_t room = 64 << 20;
	char *data = malloc(room);
	ssize_t n;

	*size = 0;
	if (fd < 0 || !data) {
		perror(path);
		exit(1);
	}
	while ((n = read(fd, data + *size, room - *size)) > 0)
		*size += n;
	close(fd);
	return data;
}

static void put32(size_t offset, uint32_t value)
{
	memcpy(start.params + offset, &value, sizeof(value));
}

static void put64(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, sizeof(value));
}

/* movabs $params, %rsi; movabs $entry, %rax; jmp *%rax */
static void trampoline(void)
{
	memcpy(start.code, "\x48\xbe........\x48\xb8........\xff\xe0", 22);
	put64(start.code + 2, PARAMS_AT);
	put64(start.code + 12, KERNEL_AT + 0x200);
}

static struct kexec_segment segment(void *data, size_t size, unsigned long at)
{
	return (struct kexec_segment) {
		.buf = data,
		.bufsz = size,
		.mem = (void *)at,
		.memsz = (size + PAGE - 1) / PAGE * PAGE,
	};
}

int main(int argc, char **argv)
{
	size_t kernel_size, initrd_size, buffer_size, params_size, setup;
	uint8_t *kernel, *params;
	void *initrd, *buffer;

	if (argc != 5)
		return 2;
	kernel = content(argv[1], &kernel_size);
	initrd = content(argv[2], &initrd_size);
	buffer = content(argv[4], &buffer_size);
	params = content("/sys/kernel/boot_params/data", &params_size);
	setup = ((kernel[SETUP_SECTS] ?: 4) + 1) * 512;

	memcpy(start.params, params, PAGE);
	snprintf(start.cmdline, PAGE, "%s", argv[3]);
	start.ima.type = SETUP_IMA;
	start.ima.len = 2 * sizeof(uint64_t);
	start.ima.addr = BUFFER_AT;
	start.ima.size = buffer_size;
	trampoline();
	put64(start.params + EXT_RAMDISK_IMAGE, 0); /* and ext_ramdisk_size */
	start.params[TYPE_OF_LOADER] = 0xff;
	put32(CODE32_START, KERNEL_AT);
	put32(RAMDISK_IMAGE, INITRD_AT);
	put32(RAMDISK_SIZE, initrd_size);
	put32(CMD_LINE_PTR, PARAMS_AT + offsetof(struct start, cmdline));
	put64(start.params + SETUP_DATA, PARAMS_AT + offsetof(struct start, ima));

	struct kexec_segment segments[] = {
		segment(kernel + setup, kernel_size - setup, KERNEL_AT),
		segment(initrd, initrd_size, INITRD_AT),
		segment(buffer, buffer_size, BUFFER_AT),
		segment(&start, sizeof(start), PARAMS_AT),
	};

	if (syscall(SYS_kexec_load, PARAMS_AT + offsetof(struct start, code), 4UL, segments,
		    KEXEC_ARCH_DEFAULT)) {
		perror("kexec_load");
		return 1;
	}
	return 0;
}
