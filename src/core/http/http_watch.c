/*
 * http_watch.c
 *	  Sockets: what epoll watches for libcurl.
 *
 * Callbacks here write into epoll and into our table of descriptors only.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_watch.c
 */
#include "core/http/http_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static MfHttpSocket *find_socket(const MfHttp *http, int fd);
static MfHttpSocket *make_socket(MfHttp *http, int fd);
static bool watch(MfHttp *http, int fd, uint32_t events, bool watched);
static void start_resting(MfHttp *http, MfHttpSocket *sock, int fd);
static void stop_resting(MfHttp *http, MfHttpSocket *sock);

/* NULL if it is not the socket of a connection: libcurl has others for name lookups. */
static MfHttpSocket *
find_socket(const MfHttp *http, int fd)
{
	if (fd < 0 || fd >= http->socket_count || !http->sockets[fd].connection)
		return NULL;
	return &http->sockets[fd];
}

/* The place of a descriptor; NULL without memory. */
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

/* Whether an address is one of this machine's own. */
static bool
is_this_machine(const struct sockaddr *address)
{
	struct ifaddrs *interfaces;
	struct ifaddrs *entry;
	const unsigned char *ip;
	size_t		length;
	bool		found = false;

	if (address->sa_family == AF_INET)
	{
		ip = (const unsigned char *) &((const struct sockaddr_in *) address)->sin_addr;
		length = 4;
	}
	else if (address->sa_family == AF_INET6)
	{
		const struct in6_addr *six = &((const struct sockaddr_in6 *) address)->sin6_addr;

		if (IN6_IS_ADDR_LOOPBACK(six) || IN6_IS_ADDR_UNSPECIFIED(six))
			return true;
		ip = (const unsigned char *) six;
		length = 16;
		if (IN6_IS_ADDR_V4MAPPED(six))
		{
			ip += 12;
			length = 4;
		}
	}
	else
		return true;
	if (length == 4 && (ip[0] == 127 || ip[0] == 0))
		return true;

	/* not to be told which these are counts as being one */
	if (getifaddrs(&interfaces) != 0)
		return true;
	for (entry = interfaces; entry != NULL && !found; entry = entry->ifa_next)
	{
		if (entry->ifa_addr == NULL)
			continue;
		if (length == 4 && entry->ifa_addr->sa_family == AF_INET)
			found = memcmp(ip, &((struct sockaddr_in *) entry->ifa_addr)->sin_addr, length) == 0;
		else if (length == 16 && entry->ifa_addr->sa_family == AF_INET6)
			found = memcmp(ip, &((struct sockaddr_in6 *) entry->ifa_addr)->sin6_addr, length) == 0;
	}
	freeifaddrs(interfaces);
	return found;
}

bool
mf_http_ip_is_ours(const char *ip)
{
	struct sockaddr_in four = {.sin_family = AF_INET};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};

	if (ip != NULL && inet_pton(AF_INET, ip, &four.sin_addr) == 1)
		return is_this_machine((const struct sockaddr *) &four);
	if (ip != NULL && inet_pton(AF_INET6, ip, &six.sin6_addr) == 1)
		return is_this_machine((const struct sockaddr *) &six);
	return true;
}

/*
 * Opens a socket, if the target wants that to another machine only.  An open port of
 * this one cannot be told from a closed one: neither is tried.
 */
curl_socket_t
mf_http_socket_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	MfHttpTransfer *transfer = arg;

	(void) purpose;
	transfer->begun = true;
	if (!transfer->target->remote_only || !is_this_machine(&address->addr))
	{
		int			fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

		if (fd < 0 && mf_http_is_shortage(errno))
		{
			transfer->starved = true;
			if (transfer->record != NULL)
				mf_http_error(transfer->record->exchange.curl_error, sizeof(transfer->record->exchange.curl_error),
							  "could not create a socket: %s", strerror(errno));
		}
		return fd;
	}
	if (transfer->record != NULL)
		mf_http_error(transfer->record->exchange.curl_error, sizeof(transfer->record->exchange.curl_error),
				  "%s", MF_HTTP_OWN_MACHINE);
	return CURL_SOCKET_BAD;
}

/*
 * A connection gets its socket.  Whatever was noted of that descriptor is
 * over.  Without memory the table does not have it, which costs time only.
 */
int
mf_http_socket_made(void *arg, curl_socket_t fd, curlsocktype purpose)
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

/* The kernel stops to watch a closed descriptor by itself. */
int
mf_http_socket_close(void *arg, curl_socket_t fd)
{
	MfHttp	   *http = arg;
	MfHttpSocket *sock = find_socket(http, fd);

	if (sock != NULL)
	{
		if (sock->resting)
			stop_resting(http, sock);
		sock->connection = false;
	}
	return close(fd);
}

int
mf_http_watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	MfHttp	   *http = arg;
	MfHttpSocket *sock = find_socket(http, fd);
	uint32_t	events = 0;
	bool		watched = sock != NULL ? sock->events != 0 : known != NULL;

	(void) easy;
	if (what == CURL_POLL_REMOVE)
	{
		if (sock != NULL && sock->events == EPOLLIN)
			start_resting(http, sock, fd);
		else
			mf_http_unwatch(http, fd);
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
	 * The transfers on this socket would never hear of it again.  Returning an
	 * error would leave the multi handle dead, so they are failed in order.
	 */
	http->watch_failed = true;
	return 0;
}

/* Tells epoll; "watched" is what we believe of it now. */
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

/* Whether nobody wants to hear of it now. */
bool
mf_http_socket_is_resting(const MfHttp *http, int fd)
{
	const MfHttpSocket *sock = find_socket(http, fd);

	return sock != NULL && sock->resting;
}

/* From now on epoll is silent about it. */
void
mf_http_unwatch(MfHttp *http, int fd)
{
	struct epoll_event event = {0};
	MfHttpSocket *sock = find_socket(http, fd);

	/* it may be closed already */
	(void) epoll_ctl(http->epoll, EPOLL_CTL_DEL, fd, &event);
	if (sock == NULL)
		return;
	if (sock->resting)
		stop_resting(http, sock);
	sock->events = 0;
}

/* So that nobody is woken when the remote closes idle connections. */
void
mf_http_unwatch_resting(MfHttp *http)
{
	while (http->first_resting >= 0)
		mf_http_unwatch(http, http->first_resting);
}
