/*
 * listener_routes.h
 *	  Pages that functions of mf_on_request() answer, as the listener sees them.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_routes.h
 */
#ifndef MF_LISTENER_ROUTES_H
#define MF_LISTENER_ROUTES_H

#include "core/httpd/httpd.h"
#include "datatype/timestamp.h"
#include "inbound/listener_internal.h"

/* Reads the prefixes if they have changed, and tells the HTTP servers, of which either may be NULL. */
extern void mf_routes_attend(MfListener *listener, MfHttpd *httpd, MfHttpd *former);

/* Tells a new HTTP server the prefixes. */
extern void mf_routes_install(MfHttpd *httpd);

/* Takes over a request for a page, and answers it now or later. */
extern void mf_routes_add(MfListener *listener, MfHttpdRequest *request);

/* Passes requests and answers on; true if any was answered. */
extern bool mf_routes_run(void);

/* When mf_routes_run() is needed next; 0 = not before something happens. */
extern TimestampTz mf_routes_alarm(void);

/* Answers all requests for pages, with an error. */
extern void mf_routes_answer_all(void);

#endif							/* MF_LISTENER_ROUTES_H */
