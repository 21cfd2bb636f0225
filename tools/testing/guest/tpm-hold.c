// SPDX-License-Identifier: GPL-2.0
/*
 * tpm-hold take|release: another locality of the TPM is in use meanwhile, so that every command of
 * the kernel fails, and works again afterwards.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The TIS interface: the access register of locality 1, which the kernel does not use. */
#define ACCESS_1	0xfed41000
#define REQUEST_USE	0x02
#define ACTIVE_LOCALITY	0x20

int main(int argc, char **argv)
{
	int fd = open("/dev/mem", O_RDWR | O_SYNC);
	volatile uint8_t *access;

	if (argc != 2)
		return 2;
	access = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, ACCESS_1);
	if (fd < 0 || access == MAP_FAILED) {
		perror("/dev/mem");
		return 1;
	}
	if (!strcmp(argv[1], "release")) {
		*access = ACTIVE_LOCALITY;
		return 0;
	}
	/* The kernel's command, if there is one, ends first. */
	*access = REQUEST_USE;
	for (int i = 0; i < 6000; i++) {
		if (*access & ACTIVE_LOCALITY)
			return 0;
		usleep(10000);
	}
	fprintf(stderr, "the TPM does not give locality 1\n");
	return 1;
}
