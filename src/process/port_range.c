/*
 * port_range.c
 *	  Ports that the system may give to outgoing connections.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/port_range.c
 */
#include "postgres.h"

#include "storage/fd.h"

#include "process/port_range.h"

#define PORT_RANGE_FILE "/proc/sys/net/ipv4/ip_local_port_range"
#define RESERVED_PORTS_FILE "/proc/sys/net/ipv4/ip_local_reserved_ports"

/* The list of reserved ports may have any length; what is longer is read in part. */
#define FILE_MAX 4096

static bool read_file(const char *path, char *text, size_t size);
static bool is_reserved(int port);

bool
mf_port_is_ephemeral(int port, int *first, int *last)
{
	char		text[FILE_MAX];

	if (!read_file(PORT_RANGE_FILE, text, sizeof(text)) || sscanf(text, "%d %d", first, last) != 2)
		return false;
	return port >= *first && port <= *last && !is_reserved(port);
}

/* Whether the administrator has taken the port out of the range: "8088,9000-9010" */
static bool
is_reserved(int port)
{
	char		text[FILE_MAX];
	char	   *item;
	char	   *rest;

	if (!read_file(RESERVED_PORTS_FILE, text, sizeof(text)))
		return false;
	for (item = strtok_r(text, ",\n", &rest); item != NULL; item = strtok_r(NULL, ",\n", &rest))
	{
		int			from;
		int			to;
		int			count = sscanf(item, "%d-%d", &from, &to);

		if (count >= 1 && port >= from && port <= (count == 2 ? to : from))
			return true;
	}
	return false;
}

/* The beginning of a file as a string; false if it cannot be read */
static bool
read_file(const char *path, char *text, size_t size)
{
	FILE	   *file = AllocateFile(path, "r");
	size_t		length;

	if (file == NULL)
		return false;
	length = fread(text, 1, size - 1, file);
	text[length] = '\0';
	FreeFile(file);
	return length > 0;
}
