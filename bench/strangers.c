/*
 * strangers.c
 *	  Those who mean the listener no good, for bench/webhook.pl.
 *
 * Posts that nobody has signed, and customers who all come back to the address
 * of one invoice, each with another PaymentId, each on a connection of its own,
 * so many a second.  Prints how many of both were answered, how many
 * connections ended without an answer, and how many were open at the end.
 *
 *	strangers --port N --token TOKEN --seconds N --junk N --customers N
 *
 * Copyright (c) 2026, the myfatoorah authors
 * bench/strangers.c
 */
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPEN_MAX_HERE 600 /* more than the listener takes */
#define EVENTS 256

typedef enum Kind
{
	JUNK,
	CUSTOMER,
	KINDS
} Kind;

/* A connection; the request leaves as soon as it is there */
typedef struct Stranger
{
	int fd;
	Kind kind;
	int asked;
	struct Stranger *next; /* of those that are free */
} Stranger;

static Stranger strangers[OPEN_MAX_HERE];
static Stranger *unused;
static struct sockaddr_in listener;
static const char *token;
static int epoll;
static long open_now;
static long answered[KINDS];
static long lost;

static int most_behind(int64_t elapsed, const long *rate, const long *begun);
static void begin(Kind kind);
static void go_on(Stranger *stranger, uint32_t events);
static int ask(const Stranger *stranger);
static void end(Stranger *stranger);

int
main(int argc, char **argv)
{
	static const struct option options[] = {{"port", required_argument, NULL, 'p'},
											{"token", required_argument, NULL, 't'},
											{"seconds", required_argument, NULL, 's'},
											{"junk", required_argument, NULL, 'j'},
											{"customers", required_argument, NULL, 'c'},
											{NULL, 0, NULL, 0}};
	struct epoll_event events[EVENTS];
	long rate[KINDS] = {0, 0};
	long begun[KINDS] = {0, 0};
	long port = 0;
	long seconds = 0;
	int64_t start;
	int option;
	int i;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option == 'p')
			port = parse_number("--port", optarg, 1);
		else if (option == 't')
			token = optarg;
		else if (option == 's')
			seconds = parse_number("--seconds", optarg, 1);
		else if (option == 'j')
			rate[JUNK] = parse_number("--junk", optarg, 0);
		else if (option == 'c')
			rate[CUSTOMER] = parse_number("--customers", optarg, 0);
		else
			return 2;
	}
	if (port == 0 || seconds == 0 || token == NULL)
		die("usage: strangers --port N --token TOKEN --seconds N --junk N --customers N");
	listener.sin_family = AF_INET;
	listener.sin_port = htons((uint16_t) port);
	listener.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	for (i = 0; i < OPEN_MAX_HERE; i++)
	{
		strangers[i].next = unused;
		unused = &strangers[i];
	}

	for (start = now(); now() < start + seconds * SECOND;)
	{
		int kind;
		int count;

		while (unused != NULL && (kind = most_behind(now() - start, rate, begun)) != KINDS)
		{
			begin((Kind) kind);
			begun[kind]++;
		}
		count = epoll_wait(epoll, events, EVENTS, 1);
		for (i = 0; i < count; i++)
			go_on((Stranger *) events[i].data.ptr, events[i].events);
	}
	printf("%ld %ld %ld %ld\n", answered[JUNK], answered[CUSTOMER], lost, open_now);
	return 0;
}

/*
 * The kind that has the greatest part of its connections still to begin after
 * that time, so that none takes all that are free; KINDS if all have begun.
 */
static int
most_behind(int64_t elapsed, const long *rate, const long *begun)
{
	double most = 0;
	int found = KINDS;
	int kind;

	for (kind = 0; kind < KINDS; kind++)
	{
		double due = (double) (elapsed / 1000 * rate[kind] / 1000000);

		if (begun[kind] < (long) due && (due - (double) begun[kind]) / due > most)
		{
			most = (due - (double) begun[kind]) / due;
			found = kind;
		}
	}
	return found;
}

/* Opens a connection, which is not waited for. */
static void
begin(Kind kind)
{
	Stranger *stranger = unused;
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = stranger};

	stranger->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (stranger->fd < 0)
		die("socket: %s", strerror(errno));
	unused = stranger->next;
	stranger->kind = kind;
	stranger->asked = 0;
	open_now++;
	if ((connect(stranger->fd, (struct sockaddr *) &listener, sizeof(listener)) != 0 &&
		 errno != EINPROGRESS) ||
		epoll_ctl(epoll, EPOLL_CTL_ADD, stranger->fd, &event) != 0)
	{
		lost++;
		end(stranger);
	}
}

/* The connection is there, or the answer is, or neither will be. */
static void
go_on(Stranger *stranger, uint32_t events)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = stranger};
	char answer[4096];

	if (!stranger->asked && (events & EPOLLERR) == 0 && ask(stranger) &&
		epoll_ctl(epoll, EPOLL_CTL_MOD, stranger->fd, &event) == 0)
	{
		stranger->asked = 1;
		return;
	}
	if (stranger->asked && read(stranger->fd, answer, sizeof(answer)) > 0)
		answered[stranger->kind]++;
	else
		lost++;
	end(stranger);
}

/* Sends the request, which any socket has room for. */
static int
ask(const Stranger *stranger)
{
	static long payment;
	char request[512];
	int len =
		stranger->kind == JUNK
			? snprintf(
				  request, sizeof(request),
				  "POST /webhook HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\njunk")
			: snprintf(request, sizeof(request),
					   "GET /callback/%.200s?paymentId=9%ld HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
					   token, ++payment);

	return send(stranger->fd, request, (size_t) len, MSG_NOSIGNAL) == len;
}

static void
end(Stranger *stranger)
{
	close(stranger->fd);
	stranger->next = unused;
	unused = stranger;
	open_now--;
}
