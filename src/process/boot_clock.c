/*
 * boot_clock.c
 *	  The time since the machine was started, beside which a moved wall clock is noticed.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/boot_clock.c
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/hashfn.h"

#include "core/http/http.h"
#include "process/boot_clock.h"

/* A random UUID that the kernel makes when it starts */
#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

static int64 read_boot(void);

bool
mf_boot_clock(int64 *boot, int64 *microseconds)
{
	static int64 number = 0;

	if (number == 0)
		number = read_boot();
	*boot = number;
	*microseconds = mf_http_clock() / 1000;
	return number != 0;
}

/* 0 if it cannot be read */
static int64
read_boot(void)
{
	unsigned char text[64];
	int			file = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t		len = file >= 0 ? read(file, text, sizeof(text)) : -1;

	if (file >= 0)
		close(file);
	return len > 0 ? (int64) hash_bytes_extended(text, (int) len, 0) : 0;
}
