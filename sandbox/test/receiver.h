/*
 * receiver.h
 *	  A merchant's server: takes webhooks and answers as it is told.
 */
#ifndef SANDBOX_RECEIVER_H
#define SANDBOX_RECEIVER_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* A webhook that came in. */
typedef struct Hook
{
	char *head; /* request line and headers */
	char *body;
	size_t body_len;
	cJSON *json; /* of the body, or NULL */
	int connection; /* a number from 1 */
} Hook;

extern int receiver_port;

extern void receiver_start(void);
extern void receiver_stop(void);
extern void receiver_clear(void);
extern void receiver_plan(const char *statuses);
extern bool receiver_wait(int count, int timeout_ms);
extern int receiver_count(void);
extern const Hook *receiver_hook(int i);
extern const char *hook_header(const Hook *h, const char *name);

#endif
