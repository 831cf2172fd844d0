/*
 * common.c
 *	  What the programs of the benchmark share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * bench/common.c
 */
#include "common.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Says why, and ends the program. */
_Noreturn void
die(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

/* See common.h. */
int64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec;
}

/* Sleeps. */
void
nap(int64_t nanoseconds)
{
	struct timespec ts = {nanoseconds / SECOND, nanoseconds % SECOND};

	nanosleep(&ts, NULL);
}

/* See common.h. */
long
parse_number(const char *option, const char *text, long least)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || number < least)
		die("%s takes a whole number of at least %ld, not \"%s\"", option, least, text);
	return number;
}

/* See common.h.  The mapping lasts as long as the program. */
ServerStats *
map_stats(const char *path, int create)
{
	ServerStats *stats;
	int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);

	if (fd < 0)
		die("could not open %s: %s", path, strerror(errno));
	if (create && ftruncate(fd, sizeof(ServerStats)) != 0)
		die("could not extend %s: %s", path, strerror(errno));
	stats = mmap(NULL, sizeof(ServerStats), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (stats == MAP_FAILED)
		die("could not map %s: %s", path, strerror(errno));
	close(fd);
	return stats;
}

/* Reads a small file of /proc. */
static void
read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);

	if (length < 0)
		die("could not read %s: %s", path, strerror(errno));
	close(fd);
	text[length] = '\0';
}

/* The number behind "name" in /proc/PID/status; else the end. */
static int64_t
status_line(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	if (line == NULL)
		die("/proc has no \"%s\"", name);
	return strtoll(line + strlen(name), NULL, 10);
}

/* Adds what one of its threads has used; the time on a CPU to the nanosecond, where the kernel keeps that. */
static void
add_thread(int pid, const char *thread, ProcessStats *stats)
{
	char path[512];
	char text[8192];

	snprintf(path, sizeof(path), "/proc/%d/task/%s/status", pid, thread);
	read_file(path, text, sizeof(text));
	stats->waits += status_line(text, "\nvoluntary_ctxt_switches:");
	stats->preempted += status_line(text, "\nnonvoluntary_ctxt_switches:");

	snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, thread);
	if (access(path, R_OK) == 0)
	{
		read_file(path, text, sizeof(text));
		stats->cpu += strtoll(text, NULL, 10);
	}
}

/* See common.h. */
void
read_process(int pid, ProcessStats *stats)
{
	char path[64];
	char text[8192];
	const char *p;
	DIR *threads;
	struct dirent *thread;
	int i;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	read_file(path, text, sizeof(text));
	stats->own_kb = status_line(text, "\nRssAnon:") + status_line(text, "\nRssFile:");

	stats->cpu = stats->waits = stats->preempted = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	threads = opendir(path);
	if (threads == NULL)
		die("could not read %s: %s", path, strerror(errno));
	while ((thread = readdir(threads)) != NULL)
	{
		if (thread->d_name[0] != '.')
			add_thread(pid, thread->d_name, stats);
	}
	closedir(threads);
	if (stats->cpu > 0)
		return;

	/* in ticks, of all threads together */
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	read_file(path, text, sizeof(text));
	p = strrchr(text, ')');
	for (i = 2; i < 14 && p != NULL; i++)
		p = strchr(p + 1, ' ');
	if (p == NULL)
		die("/proc/%d/stat is not understood", pid);
	stats->cpu = 0;
	for (i = 0; i < 2; i++)
	{
		char *end;

		stats->cpu += strtoll(p, &end, 10) * (SECOND / sysconf(_SC_CLK_TCK));
		p = end;
	}
}

/* See common.h.  The rows are made by bench_queue in bench/lib.sh; the extension's reference is as long as ours. */
int
make_body(char *body, const char *prefix, long number)
{
	int length =
		snprintf(body, BODY_SIZE,
				 "{\"CustomerName\":\"Ahmad Al-Sabah\",\"InvoiceValue\":250.000,"
				 "\"NotificationOption\":\"EML\",\"CustomerEmail\":\"ahmad@example.com\","
				 "\"DisplayCurrencyIso\":\"KWD\",\"Language\":\"EN\","
				 "\"CustomerReference\":\"%s-%08ld.0123456789ABCDEFGHJK\",\"UserDefinedField\":\"tenant 17\","
				 "\"CallBackUrl\":\"https://shop.example.com/ok\","
				 "\"ErrorUrl\":\"https://shop.example.com/no\"}",
				 prefix, number);

	if (length >= BODY_SIZE)
		die("the body is too long");
	return length;
}

/* See common.h. */
void
report(const char *metric, double value)
{
	printf("%s %.9g\n", metric, value);
}
