/*
 * http_watch.c
 *	  The sockets of libcurl under the watch of epoll.
 *
 * The callbacks of libcurl in this file change epoll and the table of sockets
 * (MfHttpSocket), and nothing else.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_watch.c
 */
#include "core/http/http_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static bool watch(MfHttp *http, int fd, uint32_t events, bool watched);
static void start_resting(MfHttp *http, MfHttpSocket *sock, int fd);
static void stop_resting(MfHttp *http, MfHttpSocket *sock);
static void note_use(MfHttpSocket *sock, CURL *easy, bool ends);
static void note_closing(MfHttp *http, const MfHttpSocket *sock, int fd);

/* NULL for a descriptor that is no connection: libcurl has others for name lookups. */
static MfHttpSocket *
find_socket(const MfHttp *http, int fd)
{
	if (fd < 0 || fd >= http->socket_count || !http->sockets[fd].connection)
		return NULL;
	return &http->sockets[fd];
}

/* The entry of a descriptor, made if there is none; NULL without memory. */
static MfHttpSocket *
make_socket(MfHttp *http, int fd)
{
	if (fd >= http->socket_count)
	{
		int			count = http->socket_count > 0 ? http->socket_count : 64;
		MfHttpSocket *grown;

		while (count <= fd)
			count *= 2;
		grown = realloc(http->sockets, (size_t) count * sizeof(MfHttpSocket));
		if (grown == NULL)
			return NULL;
		memset(grown + http->socket_count, 0, (size_t) (count - http->socket_count) * sizeof(MfHttpSocket));
		http->sockets = grown;
		http->socket_count = count;
	}
	return &http->sockets[fd];
}

/*
 * Creates a socket, unless the target allows connections to other machines only
 * and the address is one of this machine.  Then nothing is tried: whether a port
 * of this machine is open must not show.
 */
curl_socket_t
mf_http_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	MfHttpTransfer *transfer = arg;
	MfHttpExchange *exchange = &transfer->record->exchange;
	int			fd;

	(void) purpose;
	transfer->begun = true;
	if (transfer->record->target->remote_only && mf_http_address_is_local(&address->addr))
	{
		snprintf(exchange->curl_error, sizeof(exchange->curl_error), "%s", MF_HTTP_OWN_MACHINE);
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd < 0 && mf_http_is_shortage(errno))
	{
		transfer->starved = true;
		snprintf(exchange->curl_error, sizeof(exchange->curl_error), "could not create a socket: %s", strerror(errno));
	}
	return fd;
}

/*
 * A connection has a new socket: the entry of that descriptor starts anew.
 * Without memory there is no entry, which costs time only.
 */
int
mf_http_on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	MfHttp	   *http = arg;
	int			flags = fcntl(fd, F_GETFD);
	MfHttpSocket *sock;

	(void) purpose;
	if (flags >= 0)
		(void) fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
	sock = make_socket(http, fd);
	if (sock != NULL)
	{
		if (sock->resting)
			stop_resting(http, sock);
		memset(sock, 0, sizeof(*sock));
		sock->connection = true;
	}
	return CURL_SOCKOPT_OK;
}

/* epoll forgets a closed descriptor by itself. */
int
mf_http_close_socket(void *arg, curl_socket_t fd)
{
	MfHttp	   *http = arg;
	MfHttpSocket *sock = find_socket(http, fd);

	if (sock != NULL)
	{
		note_closing(http, sock, fd);
		if (sock->resting)
			stop_resting(http, sock);
		sock->connection = false;
	}
	return close(fd);
}

/* The watch stays when a transfer ends, so that the next one on this connection needs no system call. */
int
mf_http_watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	MfHttp	   *http = arg;
	MfHttpSocket *sock = find_socket(http, fd);
	uint32_t	events = 0;
	bool		watched = sock != NULL ? sock->events != 0 : known != NULL;

	if (sock != NULL)
		note_use(sock, easy, what == CURL_POLL_REMOVE);
	if (what == CURL_POLL_REMOVE)
	{
		if (sock != NULL && sock->events == EPOLLIN)
			start_resting(http, sock, fd);
		else
			mf_http_unwatch_socket(http, fd);
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	if (sock != NULL)
	{
		if (sock->resting)
			stop_resting(http, sock);
		if (sock->events == events)
			return 0;
	}

	if (watch(http, fd, events, watched))
	{
		if (sock != NULL)
			sock->events = events;
		else if (known == NULL)
			curl_multi_assign(http->multi, fd, http);
		return 0;
	}

	/*
	 * No event of this socket would be seen.  Returning an error would make the
	 * multi handle useless, so all transfers are failed in order.
	 */
	http->watch_failed = true;
	return 0;
}

/* "watched": whether epoll should know the descriptor already. */
static bool
watch(MfHttp *http, int fd, uint32_t events, bool watched)
{
	struct epoll_event event = {0};

	event.events = events;
	event.data.fd = fd;
	if (watched && epoll_ctl(http->epoll, EPOLL_CTL_MOD, fd, &event) == 0)
		return true;
	return epoll_ctl(http->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ||
		(errno == EEXIST && epoll_ctl(http->epoll, EPOLL_CTL_MOD, fd, &event) == 0);
}

static void
start_resting(MfHttp *http, MfHttpSocket *sock, int fd)
{
	if (sock->resting)
		return;
	sock->resting = true;
	sock->prev = -1;
	sock->next = http->first_resting;
	if (sock->next >= 0)
		http->sockets[sock->next].prev = fd;
	http->first_resting = fd;
}

static void
stop_resting(MfHttp *http, MfHttpSocket *sock)
{
	if (sock->prev >= 0)
		http->sockets[sock->prev].next = sock->next;
	else
		http->first_resting = sock->next;
	if (sock->next >= 0)
		http->sockets[sock->next].prev = sock->prev;
	sock->resting = false;
}

bool
mf_http_socket_is_closed(int fd)
{
	char		byte;

	if (fd < 0)
		return false;
	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ||
		(errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/* A transfer begins or ends to use a connection. */
static void
note_use(MfHttpSocket *sock, CURL *easy, bool ends)
{
	MfHttpTransfer *transfer = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &transfer);
	if (transfer == NULL || transfer->record == NULL || !transfer->record->exchange.gate_passed)
		return;
	sock->host_slot = transfer->record->target->host_slot;
	sock->answered = ends && !transfer->closing_announced ? mf_http_clock() : 0;
}

/*
 * Remembers a server that has closed a connection soon after its answer without
 * having announced it.
 */
static void
note_closing(MfHttp *http, const MfHttpSocket *sock, int fd)
{
	int64_t		now;

	if (sock->answered == 0)
		return;
	now = mf_http_clock();
	if (now - sock->answered < CLOSED_SOON && mf_http_socket_is_closed(fd))
		http->closes_until[sock->host_slot] = now + CLOSING_REMEMBERED;
}

bool
mf_http_socket_is_resting(const MfHttp *http, int fd)
{
	const MfHttpSocket *sock = find_socket(http, fd);

	return sock != NULL && sock->resting;
}

void
mf_http_unwatch_socket(MfHttp *http, int fd)
{
	struct epoll_event event = {0};
	MfHttpSocket *sock = find_socket(http, fd);

	/* fails if it is closed already */
	(void) epoll_ctl(http->epoll, EPOLL_CTL_DEL, fd, &event);
	if (sock == NULL)
		return;
	if (sock->resting)
		stop_resting(http, sock);
	sock->events = 0;
}

void
mf_http_unwatch_resting(MfHttp *http)
{
	while (http->first_resting >= 0)
		mf_http_unwatch_socket(http, http->first_resting);
}
