/*
 * http_common.c
 *	  What every file of the HTTP client uses: clock, signal masks, event descriptors,
 *	  lists of requests and the addresses of this machine.
 *
 * The lowest layer: calls no other file of the client.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_common.c
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/http/http_private.h"

int64_t
mf_http_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

bool
mf_http_is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

void
mf_http_block_signals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

/* ----------
 * Event descriptors
 * ----------
 */

void
mf_http_event_set(int fd)
{
	uint64_t	one = 1;
	ssize_t		written = write(fd, &one, sizeof(one));

	(void) written;				/* fails only if it is readable already */
}

void
mf_http_event_clear(int fd)
{
	uint64_t	count;
	ssize_t		got = read(fd, &count, sizeof(count));

	(void) got;					/* fails only if it is not readable */
}

/* ----------
 * Lists
 * ----------
 */

MfHttpRecord *
mf_http_list_remove_first(MfHttpList *list)
{
	MfHttpRecord *record = STAILQ_FIRST(list);

	if (record != NULL)
		STAILQ_REMOVE_HEAD(list, link);
	return record;
}

bool
mf_http_address_is_local(const struct sockaddr *address)
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

	/* where they cannot be listed, any address may be one of them */
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
mf_http_ip_is_local(const char *ip)
{
	struct sockaddr_in four = {.sin_family = AF_INET};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};

	if (ip != NULL && inet_pton(AF_INET, ip, &four.sin_addr) == 1)
		return mf_http_address_is_local((const struct sockaddr *) &four);
	if (ip != NULL && inet_pton(AF_INET6, ip, &six.sin6_addr) == 1)
		return mf_http_address_is_local((const struct sockaddr *) &six);
	return true;
}
