/*
 * listen_address.c
 *	  The socket addresses that myfatoorah.listen_addresses names.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/listen_address.c
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "base/listen_address.h"

/* Words that stand for an IPv4 and an IPv6 address */
static const struct
{
	const char *word;
	const char *addresses[2];
}			address_words[] = {
	{"localhost", {"127.0.0.1", "::1"}},
	{"*", {"0.0.0.0", "::"}}
};

static int	parse_item(const char *item, MfListenAddress addresses[2]);
static bool parse_address(const char *text, MfListenAddress *address);

int
mf_listen_parse_addresses(const char *list, MfListenAddress *addresses, char *error, size_t error_size)
{
	int			count = 0;

	for (;;)
	{
		char		item[INET6_ADDRSTRLEN + 1];
		MfListenAddress found[2];
		size_t		length;
		int			found_count;

		list += strspn(list, " \t");
		length = strcspn(list, ",");
		while (length > 0 && (list[length - 1] == ' ' || list[length - 1] == '\t'))
			length--;
		if (length >= sizeof(item))
		{
			strlcpy(error, "An address is too long.", error_size);
			return -1;
		}
		memcpy(item, list, length);
		item[length] = '\0';
		found_count = parse_item(item, found);
		if (found_count == 0)
		{
			snprintf(error, error_size, "\"%s\" is not an address.", item);
			return -1;
		}
		if (count + found_count > MF_LISTEN_MAX)
		{
			snprintf(error, error_size, "There are more than %d addresses; a word stands for two.", MF_LISTEN_MAX);
			return -1;
		}
		memcpy(&addresses[count], found, found_count * sizeof(MfListenAddress));
		count += found_count;
		list += strcspn(list, ",");
		if (*list++ == '\0')
			return count;
	}
}

/* An address, or a word that stands for two; returns their number, 0 if it is neither. */
static int
parse_item(const char *item, MfListenAddress addresses[2])
{
	int			i;
	int			j;

	for (i = 0; i < (int) lengthof(address_words); i++)
	{
		if (strcmp(item, address_words[i].word) != 0)
			continue;
		for (j = 0; j < 2; j++)
		{
			(void) parse_address(address_words[i].addresses[j], &addresses[j]);
			addresses[j].optional = true;
		}
		return 2;
	}
	return parse_address(item, &addresses[0]) ? 1 : 0;
}

/* A numeric IPv4 or IPv6 address, without a port */
static bool
parse_address(const char *text, MfListenAddress *address)
{
	memset(address, 0, sizeof(MfListenAddress));
	if (inet_pton(AF_INET, text, &address->address.in.sin_addr) == 1)
	{
		address->address.in.sin_family = AF_INET;
		address->length = sizeof(struct sockaddr_in);
		return true;
	}
	if (inet_pton(AF_INET6, text, &address->address.in6.sin6_addr) == 1)
	{
		address->address.in6.sin6_family = AF_INET6;
		address->length = sizeof(struct sockaddr_in6);
		return true;
	}
	return false;
}

const char *
mf_listen_address_name(const MfListenAddress *address, char *buffer, size_t size)
{
	int			family = address->address.any.sa_family;
	const void *source = family == AF_INET ?
		(const void *) &address->address.in.sin_addr : (const void *) &address->address.in6.sin6_addr;

	return inet_ntop(family, source, buffer, size) ? buffer : "?";
}
