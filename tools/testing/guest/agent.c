// SPDX-License-Identifier: GPL-2.0
/*
 * agent LIST PCR UID STOP: an attestation agent and its verifier in one.
 *
 * Opens the ASCII list LIST once, becomes UID, and keeps it open. Then, until the file STOP
 * exists: reads PCR (as sysfs shows PCR 10 of the sha256 bank), and after that the entries that
 * it has not seen, by seeking to a place that it remembers strictly below. They must replay to
 * what the PCR was. Every eighth time it reads the list from its start.
 *
 * Prints what it did, or what was wrong, and ends with 0 or 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define DIGEST 32
#define PLACES 8

static const uint32_t rounds[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, int by)
{
	return x >> by | x << (32 - by);
}

static void sha256_block(uint32_t state[8], const uint8_t block[64])
{
	uint32_t w[64], s[8];

	for (int i = 0; i < 64; i++) {
		uint32_t a, b;

		if (i < 16) {
			w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 |
			       block[4 * i + 3];
			continue;
		}
		a = w[i - 15];
		b = w[i - 2];
		w[i] = w[i - 16] + w[i - 7] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) +
		       (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
	}
	memcpy(s, state, sizeof(s));
	for (int i = 0; i < 64; i++) {
		uint32_t one = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) +
			       ((s[4] & s[5]) ^ (~s[4] & s[6])) + rounds[i] + w[i];
		uint32_t two = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) +
			       ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

		memmove(s + 1, s, 7 * sizeof(*s));
		s[4] += one;
		s[0] = one + two;
	}
	for (int i = 0; i < 8; i++)
		state[i] += s[i];
}

/* SHA-256 of a PCR value and a digest after it: what the TPM does. */
static void extend(uint8_t pcr[DIGEST], const uint8_t digest[DIGEST])
{
	uint32_t state[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
	uint8_t block[64], end[64] = { 0x80, [62] = 512 >> 8 };

	memcpy(block, pcr, DIGEST);
	memcpy(block + DIGEST, digest, DIGEST);
	sha256_block(state, block);
	sha256_block(state, end);
	for (int i = 0; i < DIGEST; i++)
		pcr[i] = state[i / 4] >> (24 - i % 4 * 8);
}

static void fail(const char *what, long number)
{
	printf("failed: %s, entry %ld: %s\n", what, number, strerror(errno));
	exit(1);
}

static void parse_hex(const char *text, uint8_t out[DIGEST])
{
	for (int i = 0; i < DIGEST; i++)
		if (sscanf(text + 2 * i, "%2hhx", &out[i]) != 1)
			fail("no digest", i);
}

static void read_pcr(const char *path, uint8_t out[DIGEST])
{
	char text[2 * DIGEST + 2];
	FILE *file = fopen(path, "r");

	if (!file || !fgets(text, sizeof(text), file))
		fail("reading the PCR", 0);
	fclose(file);
	parse_hex(text, out);
}

/* What was verified: entries from the start of the list, and what they replay to. */
static long verified;
static uint8_t value[DIGEST];

/* Remembered (entry, offset) pairs, the newest last. */
static struct {
	long entry;
	off_t offset;
} places[PLACES];
static int nr_places;

static void remember(long entry, off_t offset)
{
	if (nr_places == PLACES)
		memmove(places, places + 1, --nr_places * sizeof(*places));
	places[nr_places].entry = entry;
	places[nr_places++].offset = offset;
}

/* Seek to the nearest place strictly below an entry; gives the entry there. */
static long seek_below(FILE *list, long entry)
{
	for (int i = nr_places - 1; i >= 0; i--) {
		if (places[i].entry >= entry)
			continue;
		if (fseeko(list, places[i].offset, SEEK_SET))
			fail("seeking", places[i].entry);
		return places[i].entry;
	}
	rewind(list);
	return 0;
}

/* Extend with a line of the list; entries of other PCRs count only. */
static void replay(const char *line, long entry)
{
	uint8_t digest[DIGEST];
	static const uint8_t zeros[DIGEST];
	char *end;
	long pcr = strtol(line, &end, 10);

	if (*end != ' ' || strlen(end) < 2 * DIGEST)
		fail("no entry of a sha256 list", entry);
	if (pcr != 10)
		return;
	parse_hex(end + 1, digest);
	if (!memcmp(digest, zeros, DIGEST))
		memset(digest, 0xff, DIGEST);
	extend(value, digest);
}

/* Read the entries from @from on, until they replay to @pcr. */
static void attest(FILE *list, long from, const uint8_t pcr[DIGEST])
{
	long entry = seek_below(list, from);
	static char *line;
	static size_t size;
	off_t offset = ftello(list);

	if (from != verified) {
		verified = from;
		memset(value, 0, DIGEST);
	}
	while (memcmp(value, pcr, DIGEST)) {
		ssize_t length = getline(&line, &size, list);

		if (length <= 0)
			fail("the list does not reach the PCR that was read before", entry);
		if (line[length - 1] != '\n')
			fail("half a line", entry);
		if (entry == verified) {
			replay(line, entry);
			verified++;
		}
		if (entry > 0 && entry % 5 == 0)
			remember(entry, offset);
		offset += length;
		entry++;
	}
}

int main(int argc, char **argv)
{
	long times = 0, from_start = 0;
	uid_t uid;
	FILE *list;

	if (argc != 5)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	list = fopen(argv[1], "r");
	if (!list)
		fail("opening", 0);
	uid = atoi(argv[3]);
	if (setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		fail("dropping privileges", 0);
	while (access(argv[4], F_OK)) {
		uint8_t pcr[DIGEST];

		read_pcr(argv[2], pcr);
		if (times++ % 8 == 7) {
			nr_places = 0;
			from_start++;
			attest(list, 0, pcr);
		} else {
			attest(list, verified, pcr);
		}
		if (times == 1)
			printf("ready\n");
		usleep(20000);
	}
	printf("times=%ld from-start=%ld entries=%ld\n", times, from_start, verified);
	return 0;
}
