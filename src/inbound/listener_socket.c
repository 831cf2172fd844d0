/*
 * listener_socket.c
 *	  The sockets and files of the listener, and the settings that name them.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_socket.c
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "storage/fd.h"

#include "base/settings.h"
#include "inbound/listener.h"

#define LISTEN_BACKLOG 128

/* Connections accepted before those that are there are looked at again */
#define ACCEPT_AT_ONCE 32

#define PEM_MAX (256 * 1024)

typedef struct ListenAddress
{
	union
	{
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	}			address;
	socklen_t	length;
	bool		optional;		/* one of the two that a word stands for */
} ListenAddress;

static int	parse_addresses(const char *text, ListenAddress *addresses, char *wrong, size_t wrong_size);
static bool parse_address(const char *text, ListenAddress *address);
static int	open_socket(ListenAddress *address, int port);
static const char *address_name(const ListenAddress *address, char *buffer, size_t size);

/*
 * The addresses that a setting names; -1 with what is wrong.  A database may
 * have two of a word, because not every machine has IPv6.
 */
static int
parse_addresses(const char *text, ListenAddress *addresses, char *wrong, size_t wrong_size)
{
	static const struct
	{
		const char *word;
		const char *addresses[2];
	}			words[] = {{"localhost", {"127.0.0.1", "::1"}}, {"*", {"0.0.0.0", "::"}}};
	int			count = 0;

	for (;;)
	{
		size_t		length;
		char		item[INET6_ADDRSTRLEN + 1];
		bool		found = false;
		int			w;

		text += strspn(text, " \t");
		length = strcspn(text, ",");
		while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
			length--;
		if (length >= sizeof(item) || count + 2 > MF_LISTEN_MAX)
		{
			snprintf(wrong, wrong_size, length >= sizeof(item) ?
					 "An address is too long." : "There are too many addresses.");
			return -1;
		}
		memcpy(item, text, length);
		item[length] = '\0';

		for (w = 0; w < (int) lengthof(words) && !found; w++)
		{
			int			i;

			found = strcmp(item, words[w].word) == 0;
			for (i = 0; i < 2 && found; i++)
			{
				(void) parse_address(words[w].addresses[i], &addresses[count]);
				addresses[count++].optional = true;
			}
		}
		if (!found && !parse_address(item, &addresses[count++]))
		{
			snprintf(wrong, wrong_size, "\"%s\" is no address.", item);
			return -1;
		}
		text += strcspn(text, ",");
		if (*text++ == '\0')
			return count;
	}
}

static bool
parse_address(const char *text, ListenAddress *address)
{
	memset(address, 0, sizeof(ListenAddress));
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

static const char *
address_name(const ListenAddress *address, char *buffer, size_t size)
{
	const void *source = address->address.any.sa_family == AF_INET ?
		(const void *) &address->address.in.sin_addr : (const void *) &address->address.in6.sin6_addr;

	return inet_ntop(address->address.any.sa_family, source, buffer, size) ? buffer : "?";
}

/* Check hook of myfatoorah.listen_addresses */
bool
mf_check_listen_addresses(char **newval, void **extra, GucSource source)
{
	ListenAddress addresses[MF_LISTEN_MAX];
	char		wrong[128];

	if (parse_addresses(*newval, addresses, wrong, sizeof(wrong)) > 0)
		return true;
	GUC_check_errdetail("%s", wrong);
	GUC_check_errhint("Give numeric IPv4 or IPv6 addresses separated by commas, \"localhost\", or \"*\"; port 0 switches the listener off.");
	return false;
}

/* Check hook of the settings that name a file */
bool
mf_check_file_name(char **newval, void **extra, GucSource source)
{
	if (strlen(*newval) < MAXPGPATH / 2 && strpbrk(*newval, "\r\n") == NULL)
		return true;
	GUC_check_errdetail("This is no name of a file.");
	return false;
}

/* A listening socket, or -1 with errno */
static int
open_socket(ListenAddress *address, int port)
{
	int			family = address->address.any.sa_family;
	int			fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int			on = 1;
	int			save_errno;

	if (fd < 0)
		return -1;
	if (family == AF_INET)
		address->address.in.sin_port = pg_hton16((uint16) port);
	else
		address->address.in6.sin6_port = pg_hton16((uint16) port);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		(family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
		bind(fd, &address->address.any, address->length) == 0 &&
		listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	save_errno = errno;
	close(fd);
	errno = save_errno;
	return -1;
}

bool
mf_listen_open(MfListenSockets *sockets, const char *text, int port, char *error, size_t error_size)
{
	ListenAddress addresses[MF_LISTEN_MAX];
	char		name[INET6_ADDRSTRLEN];
	int			count = parse_addresses(text, addresses, error, error_size);
	int			i;

	memset(sockets, 0, sizeof(MfListenSockets));
	for (i = 0; i < count; i++)
	{
		int			fd = open_socket(&addresses[i], port);

		if (fd >= 0)
		{
			sockets->fd[sockets->count++] = fd;
			if (sockets->names[0] != '\0')
				strlcat(sockets->names, ", ", sizeof(sockets->names));
			strlcat(sockets->names, address_name(&addresses[i], name, sizeof(name)), sizeof(sockets->names));
			continue;
		}
		snprintf(error, error_size, "could not listen on %s, port %d: %s",
				 address_name(&addresses[i], name, sizeof(name)), port, strerror(errno));
		if (!addresses[i].optional || (errno != EADDRNOTAVAIL && errno != EAFNOSUPPORT))
		{
			mf_listen_close(sockets);
			return false;
		}
	}
	return sockets->count > 0;
}

void
mf_listen_close(MfListenSockets *sockets)
{
	while (sockets->count > 0)
		close(sockets->fd[--sockets->count]);
	sockets->names[0] = '\0';
}

bool
mf_listen_accept(const MfListenSockets *sockets, MfHttpd *httpd)
{
	int			i;

	for (i = 0; i < sockets->count; i++)
	{
		int			accepted = 0;

		/* each has its share */
		while (accepted < ACCEPT_AT_ONCE / sockets->count)
		{
			struct sockaddr_storage address;
			socklen_t	length = sizeof(address);
			int			on = 1;
			int			fd = accept4(sockets->fd[i], (struct sockaddr *) &address, &length,
									 SOCK_NONBLOCK | SOCK_CLOEXEC);

			if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
				return false;
			if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
				continue;
			if (fd < 0)
				break;
			(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			mf_httpd_add(httpd, fd, (struct sockaddr *) &address, length);
			accepted++;
		}
	}
	return true;
}

char *
mf_listen_read_pem(const char *setting, const char *path, bool secret, char *error, size_t error_size)
{
	char		full[MAXPGPATH];
	struct stat st;
	char	   *text = NULL;
	ssize_t		length;
	int			fd;

	if (is_absolute_path(path))
		strlcpy(full, path, sizeof(full));
	else
		snprintf(full, sizeof(full), "%s/%s", DataDir, path);

	fd = open(full, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		snprintf(error, error_size, "could not open the file of %s: %s", setting, strerror(errno));
	else if (!S_ISREG(st.st_mode) || st.st_size > PEM_MAX)
		snprintf(error, error_size, "the file of %s is no PEM file", setting);
	else if (secret && (st.st_mode & (st.st_uid == 0 ? (S_IWGRP | S_IXGRP | S_IRWXO) : (S_IRWXG | S_IRWXO))) != 0)
		snprintf(error, error_size, "the file of %s can be used by others; run: chmod 0600", setting);
	else
	{
		text = palloc(PEM_MAX + 1);
		length = read(fd, text, PEM_MAX);
		if (length < 0)
		{
			snprintf(error, error_size, "could not read the file of %s: %s", setting, strerror(errno));
			pfree(text);
			text = NULL;
		}
		else
			text[length] = '\0';
	}
	if (fd >= 0)
		close(fd);
	return text;
}
