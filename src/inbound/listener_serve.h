/*
 * listener_serve.h
 *	  Stores the requests that have come to the listener, and answers them.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_serve.h
 */
#ifndef MF_LISTENER_SERVE_H
#define MF_LISTENER_SERVE_H

#include "core/httpd/httpd.h"
#include "inbound/listener_internal.h"

/*
 * Takes a list of complete requests, stores them, and answers them; customers may
 * have to wait, see listener_customers.h.  False if the list is empty.  Raises no
 * error: requests that cannot be stored are answered so.
 */
extern bool mf_listener_serve(MfListener *listener, MfHttpdRequest *requests);

#endif							/* MF_LISTENER_SERVE_H */
