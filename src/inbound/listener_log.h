/*
 * listener_log.h
 *	  What the listener logs, and shows in mf_listener_status.
 *
 * How often requests are refused or fail is up to those who send them, so the
 * same line is logged at most once a minute.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_log.h
 */
#ifndef MF_LISTENER_LOG_H
#define MF_LISTENER_LOG_H

#include "datatype/timestamp.h"

#include "inbound/listener_internal.h"

/* Why a message was refused; the kinds of the HTTP server come first. */
typedef enum MfRefusal
{
	MF_REFUSAL_UNSIGNED = MF_ABUSE_KINDS,
	MF_REFUSAL_MALFORMED,
	MF_REFUSAL_NOT_FOUND,
	MF_REFUSAL_KINDS
} MfRefusal;

/* A word for a kind, as in mf_metrics() */
extern const char *mf_refusal_name(int kind);

/* Counts a refused message, for the log and mf_listener_status. */
extern void mf_listener_count_refusal(MfListener *listener, MfRefusal kind, const char *peer);

/*
 * Logs what was refused, by us or by the HTTP server, if it is time.  Returns when
 * something is to be logged next, 0 = not before something is refused.
 */
extern TimestampTz mf_listener_log_refusals(MfListener *listener, MfHttpd *httpd);

/* For the transactions of the listener: logs an error once a minute, and shows it. */
extern void mf_listener_failed(MfListenerState *state, const ErrorData *error);

/* Shows an error in mf_listener_status. */
extern void mf_listener_show_error(MfListenerState *state, const char *error);

#endif							/* MF_LISTENER_LOG_H */
