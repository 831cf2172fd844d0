/*
 * log_event.h
 *	  Names of the events in the server log.
 *
 * Each line that a person must know begins with "myfatoorah: " and the name of its
 * event, which no translation and no rewording changes.  docs/operations.md lists
 * them; t/118_log_events.pl compares.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/log_event.h
 */
#ifndef MF_LOG_EVENT_H
#define MF_LOG_EVENT_H

/*
 * In ereport(), in place of errmsg(): the message, translated, behind the name of
 * its event.  pg_attribute_printf() would name the format of the compiler that
 * PostgreSQL was built with, which the present one may not know.
 */
extern int	mf_log_event(const char *event, const char *fmt,...) __attribute__((format(printf, 2, 3)));

/* In PG_CATCH(), before EmitErrorReport(): puts the name of an event before the message of the error. */
extern void mf_log_error_event(const char *event, const ErrorData *error);

#endif							/* MF_LOG_EVENT_H */
