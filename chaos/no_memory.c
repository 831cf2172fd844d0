/*
 * no_memory.c
 *	  Preloaded into a server, it lets allocations of one process fail.
 *
 * The file that MF_NO_MEMORY names is shared between all processes and the
 * test: four numbers of eight bytes.  In the process of that id, so many
 * allocations succeed, then so many fail; how many have failed is counted.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * chaos/no_memory.c
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct Control
{
	volatile int64_t pid;
	volatile int64_t let_pass;
	volatile int64_t to_fail;
	volatile int64_t failed;
} Control;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *pointer, size_t size);

static Control *control = NULL;

__attribute__((constructor)) static void
attach(void)
{
	const char *path = getenv("MF_NO_MEMORY");
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
