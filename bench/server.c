/*
 * server.c
 *	  The smallest server that answers SendPayment plausibly, with a delay.
 *
 * One thread, epoll, kept-alive HTTP/1.1 connections with one request at a
 * time on each.  It costs as little as such a server can, so that a client's
 * speed is measured and not the server's.  The CustomerReference is echoed,
 * every InvoiceId is new.  It checks neither key nor fields: for anything but
 * speed there is the stand-in API.
 *
 *	server --stats FILE --port-file FILE [--certificate FILE --key FILE]
 *											serve until SIGTERM, over TLS 1.3
 *											with a certificate
 *	server --stats FILE --delay MS			tell a running server its delay
 *	server --stats FILE --show				print what it has counted
 *
 * Copyright (c) 2026, the myfatoorah authors
 * bench/server.c
 */
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 256
#define REQUEST_SIZE 16384
#define REFERENCE_SIZE 128

typedef struct Connection
{
	int fd;
	SSL *tls; /* NULL: plain */
	size_t got;
	int64_t due; /* of the answer; 0: none is waiting */
	struct Connection *next_due;
	char reference[REFERENCE_SIZE];
	char request[REQUEST_SIZE];
} Connection;

static ServerStats *stats;
static int epoll;
static int listener;
static int timer;
static SSL_CTX *tls_context;
static uint64_t invoice = 6000000;

/* Answers that wait, in order: the delay is the same for all of them */
static Connection *first_due;
static Connection *last_due;

static void serve(const char *port_file);
static void use_certificate(const char *certificate, const char *key);
static ssize_t read_some(Connection *c);
static void watch(int fd, void *what);
static void write_port(const char *path, int port);
static void take_connections(void);
static void take_request(Connection *c);
static size_t request_length(Connection *c, const char **body);
static void keep_reference(Connection *c, const char *body, const char *end);
static void answer_later(Connection *c, int delay_ms);
static void answer_due(void);
static void set_timer(void);
static void answer(Connection *c);
static void drop(Connection *c);

int
main(int argc, char **argv)
{
	static const struct option options[] = {{"stats", required_argument, NULL, 's'},
											{"port-file", required_argument, NULL, 'p'},
											{"certificate", required_argument, NULL, 'c'},
											{"key", required_argument, NULL, 'k'},
											{"delay", required_argument, NULL, 'd'},
											{"show", no_argument, NULL, 'w'},
											{NULL, 0, NULL, 0}};
	const char *stats_file = NULL;
	const char *port_file = NULL;
	const char *certificate = NULL;
	const char *key = NULL;
	long delay = -1;
	int show = 0;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option == 's')
			stats_file = optarg;
		else if (option == 'p')
			port_file = optarg;
		else if (option == 'c')
			certificate = optarg;
		else if (option == 'k')
			key = optarg;
		else if (option == 'd')
			delay = parse_number("--delay", optarg, 0);
		else if (option == 'w')
			show = 1;
		else
			return 2;
	}
	if (stats_file == NULL || (port_file != NULL) + (delay >= 0) + show != 1 ||
		(certificate == NULL) != (key == NULL))
		die("usage: server --stats FILE (--port-file FILE [--certificate FILE --key FILE] | --delay MS | --show)");

	stats = map_stats(stats_file, port_file != NULL);
	if (delay >= 0)
		atomic_store(&stats->delay_ms, (int) delay);
	else if (show)
	{
		report("pid", atomic_load(&stats->pid));
		report("requests", (double) atomic_load(&stats->requests));
		report("answered", (double) atomic_load(&stats->answered));
		report("connections", (double) atomic_load(&stats->connections));
		report("body_bytes", (double) atomic_load(&stats->body_bytes));
	}
	else
	{
		if (certificate != NULL)
			use_certificate(certificate, key);
		serve(port_file);
	}
	return 0;
}

/* TLS 1.3 and nothing else, as between us and the real API. */
static void
use_certificate(const char *certificate, const char *key)
{
	(void) signal(SIGPIPE, SIG_IGN);
	tls_context = SSL_CTX_new(TLS_server_method());
	if (tls_context == NULL || SSL_CTX_set_min_proto_version(tls_context, TLS1_3_VERSION) != 1 ||
		SSL_CTX_use_certificate_chain_file(tls_context, certificate) != 1 ||
		SSL_CTX_use_PrivateKey_file(tls_context, key, SSL_FILETYPE_PEM) != 1)
		die("could not use the certificate %s", certificate);
	SSL_CTX_set_mode(tls_context, SSL_MODE_RELEASE_BUFFERS);
}

/* Listens on a free port and serves until it is killed. */
static void
serve(const char *port_file)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (epoll < 0 || timer < 0 || listener < 0 ||
		bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0 || listen(listener, 4096) != 0 ||
		getsockname(listener, (struct sockaddr *) &address, &size) != 0)
		die("could not listen: %s", strerror(errno));
	watch(listener, &listener);
	watch(timer, &timer);
	atomic_store(&stats->pid, (int) getpid());
	write_port(port_file, ntohs(address.sin_port));

	for (;;)
	{
		struct epoll_event events[EVENTS_AT_ONCE];
		int count = epoll_wait(epoll, events, EVENTS_AT_ONCE, -1);
		int i;

		if (count < 0 && errno != EINTR)
			die("epoll_wait: %s", strerror(errno));
		for (i = 0; i < count; i++)
		{
			if (events[i].data.ptr == &listener)
				take_connections();
			else if (events[i].data.ptr == &timer)
				answer_due();
			else
				take_request(events[i].data.ptr);
		}
	}
}

/* Wants to hear when it can be read. */
static void
watch(int fd, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		die("epoll_ctl: %s", strerror(errno));
}

/* The file appears with its contents. */
static void
write_port(const char *path, int port)
{
	char temporary[4096];
	FILE *file;

	snprintf(temporary, sizeof(temporary), "%s.new", path);
	file = fopen(temporary, "w");
	if (file == NULL || fprintf(file, "%d\n", port) < 0 || fclose(file) != 0 || rename(temporary, path) != 0)
		die("could not write %s: %s", path, strerror(errno));
}

/* Everybody who wants in. */
static void
take_connections(void)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
	{
		Connection *c = calloc(1, sizeof(Connection));
		int one = 1;

		if (c == NULL)
			die("out of memory");
		(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c->fd = fd;
		if (tls_context != NULL)
		{
			c->tls = SSL_new(tls_context);
			if (c->tls == NULL || SSL_set_fd(c->tls, fd) != 1)
				die("out of memory");
			SSL_set_accept_state(c->tls);
		}
		watch(fd, c);
		atomic_fetch_add_explicit(&stats->connections, 1, memory_order_relaxed);
	}
	if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		die("accept: %s", strerror(errno));
}

/* Reads what is there, and answers a request that is whole. */
static void
take_request(Connection *c)
{
	ssize_t count = read_some(c);
	const char *body;
	size_t length;
	int delay;

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (count <= 0 || c->due != 0)
	{
		/* gone; or sends more before it is answered, which we do not serve */
		drop(c);
		return;
	}
	c->got += (size_t) count;
	c->request[c->got] = '\0';
	length = request_length(c, &body);
	if (length == 0)
	{
		if (c->got == sizeof(c->request) - 1)
			drop(c);
		return;
	}

	atomic_fetch_add_explicit(&stats->requests, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&stats->body_bytes, (unsigned long long) (c->request + length - body),
							  memory_order_relaxed);
	keep_reference(c, body, c->request + length);
	c->got = 0;
	delay = atomic_load_explicit(&stats->delay_ms, memory_order_relaxed);
	if (delay == 0)
		answer(c);
	else
		answer_later(c, delay);
}

/*
 * What has come, up to the room that is left; as recv().  The handshake takes
 * place in passing, and what it has to write always fits into the socket.
 */
static ssize_t
read_some(Connection *c)
{
	char *to = c->request + c->got;
	size_t room = sizeof(c->request) - 1 - c->got;
	size_t sum = 0;
	size_t count;

	if (c->tls == NULL)
		return recv(c->fd, to, room, 0);
	ERR_clear_error();
	while (sum < room && SSL_read_ex(c->tls, to + sum, room - sum, &count) == 1)
		sum += count;
	if (sum > 0)
		return (ssize_t) sum;
	errno = EAGAIN;
	return SSL_get_error(c->tls, 0) == SSL_ERROR_WANT_READ ? -1 : 0;
}

/* Whether all of it could be written at once. */
static int
write_all(Connection *c, const char *data, int length)
{
	if (c->tls == NULL)
		return send(c->fd, data, (size_t) length, MSG_NOSIGNAL) == length;
	return SSL_write(c->tls, data, length) == length;
}

/* Bytes of a whole request with its body, 0 if it is not all there. */
static size_t
request_length(Connection *c, const char **body)
{
	const char *end = strstr(c->request, "\r\n\r\n");
	const char *line = c->request;
	size_t length = 0;

	if (end == NULL)
		return 0;
	*body = end + 4;
	while ((line = strstr(line, "\r\n")) != NULL && line < end)
	{
		line += 2;
		if (strncasecmp(line, "Content-Length:", 15) == 0)
			length = strtoul(line + 15, NULL, 10);
	}
	length += (size_t) (*body - c->request);
	return length <= c->got ? length : 0;
}

/* The CustomerReference, for the answer; the benchmark's have nothing to escape. */
static void
keep_reference(Connection *c, const char *body, const char *end)
{
	static const char member[] = "\"CustomerReference\":\"";
	const char *start = strstr(body, member);
	const char *quote;

	c->reference[0] = '\0';
	if (start == NULL || start >= end)
		return;
	start += sizeof(member) - 1;
	quote = strchr(start, '"');
	if (quote == NULL || quote - start >= REFERENCE_SIZE)
		return;
	memcpy(c->reference, start, (size_t) (quote - start));
	c->reference[quote - start] = '\0';
}

/* To the end of the line. */
static void
answer_later(Connection *c, int delay_ms)
{
	c->due = now() + delay_ms * (SECOND / 1000);
	c->next_due = NULL;
	if (first_due == NULL)
	{
		first_due = c;
		set_timer();
	}
	else
		last_due->next_due = c;
	last_due = c;
}

/* Answers all whose time has come. */
static void
answer_due(void)
{
	uint64_t expirations;

	if (read(timer, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
		die("timer: %s", strerror(errno));
	while (first_due != NULL && first_due->due <= now())
	{
		Connection *c = first_due;

		first_due = c->next_due;
		c->due = 0;
		answer(c);
	}
	if (first_due != NULL)
		set_timer();
}

/* Wakes us for the first answer that waits. */
static void
set_timer(void)
{
	struct itimerspec when = {{0, 0}, {first_due->due / SECOND, first_due->due % SECOND}};

	if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL) != 0)
		die("timer: %s", strerror(errno));
}

/* The invoice was created. */
static void
answer(Connection *c)
{
	char body[BODY_SIZE];
	char text[2 * BODY_SIZE];
	int body_length;
	int length;

	if (c->fd < 0)
	{
		free(c);
		return;
	}
	invoice++;
	body_length = snprintf(body, sizeof(body),
						   "{\"IsSuccess\":true,\"Message\":\"Invoice Created Successfully!\","
						   "\"ValidationErrors\":null,\"Data\":{\"InvoiceId\":%llu,"
						   "\"InvoiceURL\":\"https://demo.MyFatoorah.com/KWT/ie/0107%llu38-1732339e\","
						   "\"CustomerReference\":\"%s\",\"UserDefinedField\":\"tenant 17\"}}",
						   (unsigned long long) invoice, (unsigned long long) invoice, c->reference);
	length = snprintf(text, sizeof(text),
					  "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
					  "Content-Length: %d\r\n\r\n%s",
					  body_length, body);
	if (!write_all(c, text, length))
	{
		/* not freed here, where an event of it may be in hand: reading will tell that it is gone */
		(void) shutdown(c->fd, SHUT_RDWR);
		return;
	}
	atomic_fetch_add_explicit(&stats->answered, 1, memory_order_relaxed);
}

/* Ends a connection; one whose answer waits is freed when that is due. */
static void
drop(Connection *c)
{
	SSL_free(c->tls);
	c->tls = NULL;
	close(c->fd);
	c->fd = -1;
	if (c->due == 0)
		free(c);
}
