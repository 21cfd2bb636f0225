// SPDX-License-Identifier: GPL-2.0
/*
 * relay SOCKET PORT: connections of the guest to the host, one after another, through a serial port.
 *
 * Listens on the Unix socket SOCKET. What is said there goes through the terminal PORT to
 * tools/testing/relay.py, in frames of a letter, a length of two bytes, and so many bytes: O opens a
 * connection, D is data, and C closes it. Each side closes once.
 */
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#define MOST 1024

static int port;
static int connection = -1;
static bool sent_close, got_close;

static void write_all(int to, const uint8_t *data, size_t size)
{
	while (size) {
		ssize_t done = write(to, data, size);

		if (done <= 0) {
			if (to == port)
				err(1, "the port");
			return; /* the program that connected is gone, and reading tells so, too */
		}
		data += done;
		size -= done;
	}
}

static void frame(char kind, const uint8_t *data, size_t size)
{
	uint8_t out[3 + MOST] = { kind, size & 0xff, size >> 8 };

	if (size)
		memcpy(out + 3, data, size);
	write_all(port, out, 3 + size);
}

static void read_all(uint8_t *data, size_t size)
{
	while (size) {
		ssize_t done = read(port, data, size);

		if (done <= 0)
			err(1, "the port");
		data += done;
		size -= done;
	}
}

static void close_once(void)
{
	if (!sent_close)
		frame('C', NULL, 0);
	sent_close = true;
}

static void from_host(void)
{
	uint8_t head[3], data[UINT16_MAX];
	size_t size;

	read_all(head, sizeof(head));
	size = head[1] | head[2] << 8;
	read_all(data, size);
	if (head[0] == 'D' && connection >= 0) {
		write_all(connection, data, size);
	} else if (head[0] == 'C') {
		got_close = true;
		close_once();
	}
}

static void from_guest(void)
{
	uint8_t data[MOST];
	ssize_t size = read(connection, data, sizeof(data));

	if (size > 0)
		frame('D', data, size);
	else
		close_once();
}

static int listening(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	if (listener < 0 || strlen(path) >= sizeof(address.sun_path))
		err(1, "%s", path);
	strcpy(address.sun_path, path);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 8))
		err(1, "%s", path);
	return listener;
}

static void make_raw(void)
{
	struct termios settings;

	if (tcgetattr(port, &settings))
		err(1, "the port");
	cfmakeraw(&settings);
	settings.c_cflag |= CLOCAL;
	cfsetspeed(&settings, B115200);
	if (tcsetattr(port, TCSAFLUSH, &settings))
		err(1, "the port");
}

int main(int argc, char **argv)
{
	int listener;

	if (argc != 3)
		errx(2, "usage: relay SOCKET PORT");
	signal(SIGPIPE, SIG_IGN);
	port = open(argv[2], O_RDWR | O_NOCTTY);
	if (port < 0)
		err(1, "%s", argv[2]);
	make_raw();
	listener = listening(argv[1]);
	for (;;) {
		bool speaks = connection >= 0 && !sent_close;
		struct pollfd wait[] = {
			{ .fd = port, .events = POLLIN },
			{ .fd = connection < 0 ? listener : -1, .events = POLLIN },
			{ .fd = speaks ? connection : -1, .events = POLLIN },
		};

		if (poll(wait, 3, -1) < 0)
			err(1, "poll");
		if (wait[0].revents)
			from_host();
		if (wait[2].revents)
			from_guest();
		if (wait[1].revents) {
			connection = accept(listener, NULL, NULL);
			sent_close = got_close = false;
			if (connection >= 0)
				frame('O', NULL, 0);
		}
		if (connection >= 0 && sent_close && got_close) {
			close(connection);
			connection = -1;
		}
	}
}
