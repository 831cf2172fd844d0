/*
 * load.c
 *	  How many requests a second the stand-in API answers.
 *
 * N kept-alive connections, one request in flight on each, one thread with
 * epoll. Every answer is checked for its status and, for SendPayment, for
 * "IsSuccess":true. Build: make load. Usage: load PORT CONNECTIONS SECONDS
 * [status]; with "status" it asks for the status of one invoice instead.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct Connection
{
	int fd;
	size_t got;
	char answer[16384];
	double sent_at;
} Connection;

static long done;
static long wrong;
static long sequence;
static bool status_only;
static double worst;
static double total_latency;

/*
 * now
 *		Seconds of the monotonic clock.
 */
static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

/*
 * dial
 *		A connection to the sandbox, or the end.
 */
static int
dial(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int one = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *) &a, sizeof(a)) != 0)
	{
		perror("connect");
		exit(1);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/*
 * send_request
 *		One more request on a connection.
 */
static void
send_request(Connection *c)
{
	char body[512];
	char text[1024];
	int n;
	int m;

	if (status_only)
		n = snprintf(body, sizeof(body), "{\"Key\":\"load-1\",\"KeyType\":\"CustomerReference\"}");
	else
		n = snprintf(
			body, sizeof(body),
			"{\"CustomerName\":\"Ahmad Al-Sabah\",\"InvoiceValue\":250.000,\"NotificationOption\":\"EML\","
			"\"CustomerEmail\":\"ahmad@example.com\",\"CustomerReference\":\"load-%ld\","
			"\"DisplayCurrencyIso\":\"KWD\",\"Language\":\"en\",\"CallBackUrl\":\"https://shop.example.com/ok\","
			"\"ErrorUrl\":\"https://shop.example.com/no\",\"UserDefinedField\":\"tenant 17\"}",
			++sequence);
	m = snprintf(text, sizeof(text),
				 "POST /v2/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer SK_KWT_sandbox\r\n"
				 "Content-Type: application/json\r\nAccept: application/json\r\nContent-Length: %d\r\n\r\n%s",
				 status_only ? "GetPaymentStatus" : "SendPayment", n, body);
	c->got = 0;
	c->sent_at = now();
	if (send(c->fd, text, (size_t) m, MSG_NOSIGNAL) != m)
	{
		perror("send");
		exit(1);
	}
}

/*
 * take_answer
 *		Read what is there; true when the answer is whole.
 */
static bool
take_answer(Connection *c)
{
	ssize_t n = recv(c->fd, c->answer + c->got, sizeof(c->answer) - 1 - c->got, 0);
	char *end;
	char *length;
	double latency;

	if (n <= 0)
	{
		fprintf(stderr, "connection lost\n");
		exit(1);
	}
	c->got += (size_t) n;
	c->answer[c->got] = '\0';
	end = strstr(c->answer, "\r\n\r\n");
	length = end != NULL ? strcasestr(c->answer, "Content-Length: ") : NULL;
	if (length == NULL || c->got < (size_t) (end + 4 - c->answer) + strtoul(length + 16, NULL, 10))
		return false;
	if (strncmp(c->answer, "HTTP/1.1 200", 12) != 0 || strstr(end, "\"IsSuccess\":true") == NULL)
		wrong++;
	latency = now() - c->sent_at;
	total_latency += latency;
	if (latency > worst)
		worst = latency;
	done++;
	return true;
}

int
main(int argc, char **argv)
{
	int port = argc > 1 ? atoi(argv[1]) : 0;
	int count = argc > 2 ? atoi(argv[2]) : 16;
	double seconds = argc > 3 ? atof(argv[3]) : 3;
	Connection *c = calloc((size_t) count, sizeof(Connection));
	int ep = epoll_create1(0);
	double start;
	double elapsed;
	struct epoll_event events[256];

	if (port == 0 || c == NULL)
	{
		fprintf(stderr, "usage: load PORT [CONNECTIONS [SECONDS [status]]]\n");
		return 1;
	}
	for (int i = 0; i < count; i++)
	{
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = &c[i]};

		c[i].fd = dial(port);
		epoll_ctl(ep, EPOLL_CTL_ADD, c[i].fd, &e);
	}
	if (argc > 4)
	{
		send_request(&c[0]);
		while (!take_answer(&c[0]))
			;
		status_only = true;
		done = 0;
	}
	start = now();
	for (int i = 0; i < count; i++)
		send_request(&c[i]);
	while (now() - start < seconds)
	{
		int n = epoll_wait(ep, events, 256, 100);

		for (int i = 0; i < n; i++)
			if (take_answer(events[i].data.ptr))
				send_request(events[i].data.ptr);
	}
	elapsed = now() - start;
	printf("%s: %.0f requests/s, %d connections, %ld answers in %.2f s, %ld wrong, "
		   "mean %.0f us, worst %.1f ms\n",
		   status_only ? "GetPaymentStatus" : "SendPayment", (double) done / elapsed, count, done, elapsed,
		   wrong, total_latency / (double) (done > 0 ? done : 1) * 1e6, worst * 1e3);
	for (int i = 0; i < count; i++)
		close(c[i].fd);
	close(ep);
	free(c);
	return wrong > 0;
}
