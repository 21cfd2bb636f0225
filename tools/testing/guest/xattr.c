// SPDX-License-Identifier: GPL-2.0
/*
 * xattr FILE HEX: set security.ima of a file.
 */
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

int main(int argc, char **argv)
{
	unsigned char value[128];
	size_t length = 0;

	if (argc != 3)
		return 2;
	for (const char *hex = argv[2]; length < sizeof(value); hex += 2) {
		if (sscanf(hex, "%2hhx", &value[length]) != 1)
			break;
		length++;
	}
	if (setxattr(argv[1], "security.ima", value, length, 0)) {
		perror(argv[1]);
		return 1;
	}
	return 0;
}
