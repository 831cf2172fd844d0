/*
 * listener_tls.c
 *	  The certificate and key of the listener.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_tls.c
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/hashfn.h"
#include "miscadmin.h"

#include "base/settings.h"
#include "inbound/listener_internal.h"

#define PEM_MAX (256 * 1024)

static char *read_pem_file(const char *setting, const char *path, bool secret, char *error, size_t error_size);
static bool is_open_to_others(const struct stat *file);

bool
mf_listener_tls_read(MfListenerTls *tls, char *error, size_t error_size)
{
	memset(tls, 0, sizeof(MfListenerTls));
	tls->enabled = mf_ssl_cert_file[0] != '\0' || mf_ssl_key_file[0] != '\0';
	if (!tls->enabled)
		return true;
	if (mf_ssl_key_file[0] == '\0')
		strlcpy(error, "myfatoorah.ssl_cert_file is set, but myfatoorah.ssl_key_file is not", error_size);
	else if (mf_ssl_cert_file[0] == '\0')
		strlcpy(error, "myfatoorah.ssl_key_file is set, but myfatoorah.ssl_cert_file is not", error_size);
	else
		tls->certificate = read_pem_file("myfatoorah.ssl_cert_file", mf_ssl_cert_file, false, error, error_size);
	if (tls->certificate != NULL)
		tls->key = read_pem_file("myfatoorah.ssl_key_file", mf_ssl_key_file, true, error, error_size);
	if (tls->key == NULL)
		return false;
	tls->identity = hash_bytes_extended((const unsigned char *) tls->certificate, (int) strlen(tls->certificate), 1) ^
		hash_bytes_extended((const unsigned char *) tls->key, (int) strlen(tls->key), 2);
	return true;
}

void
mf_listener_tls_wipe(MfListenerTls *tls)
{
	if (tls->key != NULL)
		explicit_bzero(tls->key, strlen(tls->key));
}

/* A whole file, palloc'd; NULL with one line in "error" */
static char *
read_pem_file(const char *setting, const char *path, bool secret, char *error, size_t error_size)
{
	char		full[MAXPGPATH];
	struct stat file;
	char	   *text = NULL;
	ssize_t		length;
	int			fd;

	if (is_absolute_path(path))
		strlcpy(full, path, sizeof(full));
	else
		snprintf(full, sizeof(full), "%s/%s", DataDir, path);

	fd = open(full, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &file) != 0)
		snprintf(error, error_size, "could not open the file of %s: %s", setting, strerror(errno));
	else if (!S_ISREG(file.st_mode) || file.st_size > PEM_MAX)
		snprintf(error, error_size, "the file of %s is not a PEM file", setting);
	else if (secret && is_open_to_others(&file))
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
			text[		length] = '\0';
	}
	if (fd >= 0)
		close(fd);
	return text;
}

/* As the server treats its own key: a file of root may be readable by a group. */
static bool
is_open_to_others(const struct stat *file)
{
	mode_t		forbidden = file->st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;

	return (file->st_mode & forbidden) != 0;
}
