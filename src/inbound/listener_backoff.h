/*
 * listener_backoff.h
 *	  Requests that are not stored for a while, because they have met locks.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_backoff.h
 */
#ifndef MF_LISTENER_BACKOFF_H
#define MF_LISTENER_BACKOFF_H

#include "datatype/timestamp.h"

#include "core/httpd/httpd.h"

/*
 * A request could not be stored because of a lock.  From the second time on, the
 * same webhook, or callbacks of the same invoice, are on back-off, which grows.
 */
extern void mf_listener_back_off(const MfHttpdRequest *request);

/* Whether the request is not to be stored yet */
extern bool mf_listener_is_on_backoff(const MfHttpdRequest *request, TimestampTz now);

#endif							/* MF_LISTENER_BACKOFF_H */
