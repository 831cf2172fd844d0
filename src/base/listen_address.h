/*
 * listen_address.h
 *	  The socket addresses that myfatoorah.listen_addresses names.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/listen_address.h
 */
#ifndef MF_LISTEN_ADDRESS_H
#define MF_LISTEN_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

#define MF_LISTEN_MAX 16

typedef struct MfListenAddress
{
	union
	{
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	}			address;		/* without port */
	socklen_t	length;
	bool		optional;		/* from a word that means IPv4 and IPv6: this machine may lack one of them */
} MfListenAddress;

/*
 * Parses a list separated by commas.  Fills up to MF_LISTEN_MAX addresses and returns
 * their number, or returns -1 with a sentence in "error".
 */
extern int	mf_listen_parse_addresses(const char *list, MfListenAddress *addresses, char *error, size_t error_size);

/* The numeric form of an address, in "buffer" */
extern const char *mf_listen_address_name(const MfListenAddress *address, char *buffer, size_t size);

#endif							/* MF_LISTEN_ADDRESS_H */
