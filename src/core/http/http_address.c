/*
 * http_address.c
 *	  Which addresses belong to this machine.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_address.c
 */
#include "core/http/http_private.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

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
