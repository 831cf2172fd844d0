/*
 * no_resources.c
 *	  Preloaded into a server, it takes memory and disk space from one process.
 *
 * The file that MF_NO_RESOURCES names is shared between all processes and the
 * test: five numbers of eight bytes.  In the process of that id so many
 * allocations succeed, then so many fail; how many have failed is counted.
 * While "full" is not 0, no file of a table can grow there.  The write-ahead
 * log is left alone: where that cannot be written, PostgreSQL itself stops.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/chaos/no_resources.c
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct Control
{
	volatile int64_t pid;
	volatile int64_t let_pass;
	volatile int64_t to_fail;
	volatile int64_t failed;
	volatile int64_t full;
} Control;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *pointer, size_t size);

static Control *control = NULL;

__attribute__((constructor)) static void
attach(void)
{
	const char *path = getenv("MF_NO_RESOURCES");
	int			fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void	   *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		control = (Control *) map;
}

static int
fails(void)
{
	if (control == NULL || control->to_fail <= 0 || control->pid != getpid())
		return 0;
	if (control->let_pass > 0)
	{
		control->let_pass--;
		return 0;
	}
	control->to_fail--;
	control->failed++;
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *pointer, size_t size)
{
	return fails() ? NULL : __libc_realloc(pointer, size);
}

/* Whether writing there would make a table's file larger, on a full disk. */
static int
no_space(int fd, off_t end)
{
	char		link[64];
	char		path[4096];
	struct stat st;
	ssize_t		len;

	if (control == NULL || control->full == 0 || control->pid != getpid())
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < 0 || fstat(fd, &st) != 0)
		return 0;
	path[len] = '\0';
	return strstr(path, "/base/") != NULL && end > st.st_size;
}

ssize_t
pwrite64(int fd, const void *data, size_t size, off_t offset)
{
	static ssize_t (*next) (int, const void *, size_t, off_t) = NULL;

	if (next == NULL)
		next = (ssize_t (*) (int, const void *, size_t, off_t)) dlsym(RTLD_NEXT, "pwrite64");
	if (no_space(fd, offset + (off_t) size))
	{
		errno = ENOSPC;
		return -1;
	}
	return next(fd, data, size, offset);
}

ssize_t
pwrite(int fd, const void *data, size_t size, off_t offset)
{
	return pwrite64(fd, data, size, offset);
}

ssize_t
pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
	static ssize_t (*next) (int, const struct iovec *, int, off_t) = NULL;
	off_t		end = offset;
	int			i;

	if (next == NULL)
		next = (ssize_t (*) (int, const struct iovec *, int, off_t)) dlsym(RTLD_NEXT, "pwritev64");
	for (i = 0; i < count; i++)
		end += (off_t) parts[i].iov_len;
	if (no_space(fd, end))
	{
		errno = ENOSPC;
		return -1;
	}
	return next(fd, parts, count, offset);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	return pwritev64(fd, parts, count, offset);
}

int
posix_fallocate64(int fd, off_t offset, off_t size)
{
	static int	(*next) (int, off_t, off_t) = NULL;

	if (next == NULL)
		next = (int (*) (int, off_t, off_t)) dlsym(RTLD_NEXT, "posix_fallocate64");
	return no_space(fd, offset + size) ? ENOSPC : next(fd, offset, size);
}

int
posix_fallocate(int fd, off_t offset, off_t size)
{
	return posix_fallocate64(fd, offset, size);
}
