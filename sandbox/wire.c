/*
 * wire.c
 *	  Answers that break off at an exact byte.
 *
 * libmicrohttpd would send whole answers and close politely, so for these the
 * socket is taken away from it: the connection is suspended (which removes the
 * socket from libmicrohttpd's epoll set), the descriptor is duplicated and its
 * old number made to mean one end of a socket pair, and libmicrohttpd is left
 * to close that. A thread of its own then writes the raw bytes and ends the
 * connection as asked. The kernel delivers exactly what was written.
 */
#include "server.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DRAIN_MS 2000

typedef struct WireJob
{
	int fd;
	Buf raw;
	FaultEnd end;
	int64_t at;
	int64_t stall_ms;
	LedgerHandle ledger;
} WireJob;

static atomic_int jobs;
static atomic_bool stopping;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int stop_fd = -1;

/*
 * wire_init
 *		Make the descriptor that wakes all threads when the server stops.
 */
static void
wire_init(void)
{
	stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (stop_fd < 0)
		abort();
}

/*
 * wire_compose
 *		Append an answer as the bytes libmicrohttpd would send for it.
 */
void
wire_compose(Buf *raw, const Answer *a)
{
	char date[64];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	buf_printf(raw, "HTTP/1.1 %d %s\r\nDate: %s\r\n", a->status,
			   MHD_get_reason_phrase_for((unsigned) a->status), date);
	if (a->content_type != NULL && a->content_type[0] != '\0')
		buf_printf(raw, "Content-Type: %s\r\n", a->content_type);
	if (a->location.len > 0)
		buf_printf(raw, "Location: %s\r\n", a->location.data);
	for (int i = 0; i < a->header_count; i++)
		buf_printf(raw, "%s: %s\r\n", a->header_names[i], a->header_values[i]);
	if (a->close)
		buf_puts(raw, "Connection: close\r\n");
	buf_printf(raw, "Content-Length: %zu\r\n\r\n", a->body.len);
	buf_put(raw, a->body.data, a->body.len);
}

/*
 * wait_for
 *		Wait until the socket is ready (true), or until the time is over, the
 *		server stops (false). A negative time is for ever.
 */
static bool
wait_for(int fd, short events, int64_t until_us)
{
	for (;;)
	{
		struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = stop_fd, .events = POLLIN}};
		int64_t left = until_us < 0 ? -1 : (until_us - monotonic_us() + 999) / 1000;

		if (until_us >= 0 && left <= 0)
			return false;
		if (poll(p, 2, left > INT32_MAX ? INT32_MAX : (int) left) < 0 && errno != EINTR)
			return false;
		if (atomic_load(&stopping))
			return false;
		if (p[0].revents != 0)
			return true;
	}
}

/*
 * send_bytes
 *		Write all bytes unless the client is gone; how many went out.
 */
static int64_t
send_bytes(int fd, const char *data, size_t len)
{
	size_t done = 0;

	while (done < len)
	{
		ssize_t n = send(fd, data + done, len - done, MSG_NOSIGNAL);

		if (n > 0)
			done += (size_t) n;
		else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		{
			if (!wait_for(fd, POLLOUT, -1))
				break;
		}
		else if (n >= 0 || errno != EINTR)
			break;
	}
	return (int64_t) done;
}

/*
 * wait_for_delivery
 *		Wait (a second at most) until the client's kernel has all that was
 *		written, so that an RST cannot overtake it.
 */
static void
wait_for_delivery(int fd)
{
	int queued = 0;

	for (int i = 0; i < 10000; i++)
	{
		if (ioctl(fd, SIOCOUTQ, &queued) != 0 || queued == 0)
			return;
		usleep(100);
	}
}

/*
 * hold_open
 *		Read and drop what the client still sends until it leaves or the time
 *		is over; says which.
 */
static const char *
hold_open(int fd, int64_t ms, bool half_closed)
{
	int64_t until = ms < 0 ? -1 : monotonic_us() + ms * 1000;
	char buffer[4096];

	while (wait_for(fd, POLLIN | POLLRDHUP, until))
	{
		ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return half_closed ? "cut" : "client left";
	}
	return half_closed ? "cut" : "closed after silence";
}

/*
 * wire_thread
 *		Write, then end the connection.
 */
static void *
wire_thread(void *arg)
{
	WireJob *job = arg;
	size_t len = job->raw.len;
	int64_t sent;
	const char *how;

	if (job->at < (int64_t) len)
		len = (size_t) job->at;
	sent = send_bytes(job->fd, job->raw.data, len);
	if (job->end == END_RESET)
	{
		struct linger linger = {.l_onoff = 1, .l_linger = 0};

		wait_for_delivery(job->fd);
		setsockopt(job->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		how = "reset";
	}
	else if (job->end == END_CUT)
	{
		/* FIN first; closing with unread bytes would turn it into an RST. */
		shutdown(job->fd, SHUT_WR);
		how = "cut";
	}
	else
		how = hold_open(job->fd, job->stall_ms, false);
	store_lock();
	ledger_ended(&job->ledger, how, sent);
	store_unlock();
	if (job->end == END_CUT)
		hold_open(job->fd, DRAIN_MS, true);
	close(job->fd);
	buf_free(&job->raw);
	free(job);
	atomic_fetch_sub(&jobs, 1);
	return NULL;
}

/*
 * wire_take
 *		Take the connection from libmicrohttpd, send the first bytes of raw
 *		(which is taken over) and end it. The request's handler must return
 *		MHD_YES now and MHD_NO when called next. False if that is impossible,
 *		with nothing done.
 */
bool
wire_take(Request *r, FaultEnd end, int64_t at, int64_t stall_ms, Buf *raw)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	WireJob *job;
	pthread_attr_t attr;
	pthread_t thread;
	int pair[2];
	int own;

	pthread_once(&once, wire_init);
	if (info == NULL || atomic_load(&stopping))
		return false;
	own = dup(info->connect_fd);
	if (own < 0)
		return false;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
	{
		close(own);
		return false;
	}
	MHD_suspend_connection(r->connection);
	dup2(pair[0], info->connect_fd);
	close(pair[0]);
	close(pair[1]);
	MHD_resume_connection(r->connection);

	job = xcalloc(1, sizeof(WireJob));
	job->fd = own;
	job->raw = *raw;
	memset(raw, 0, sizeof(*raw));
	job->end = end;
	job->at = at;
	job->stall_ms = stall_ms;
	job->ledger = r->ledger;
	atomic_fetch_add(&jobs, 1);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	if (pthread_create(&thread, &attr, wire_thread, job) != 0)
		wire_thread(job);
	pthread_attr_destroy(&attr);
	return true;
}

/*
 * wire_stop
 *		End all held connections and wait for their threads.
 */
void
wire_stop(void)
{
	uint64_t one = 1;

	pthread_once(&once, wire_init);
	atomic_store(&stopping, true);
	if (write(stop_fd, &one, sizeof(one)) < 0)
		return;
	while (atomic_load(&jobs) > 0)
		usleep(1000);
}
