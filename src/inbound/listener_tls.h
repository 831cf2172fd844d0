/*
 * listener_tls.h
 *	  The certificate and key of the listener.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_tls.h
 */
#ifndef MF_LISTENER_TLS_H
#define MF_LISTENER_TLS_H

typedef struct MfListenerTls
{
	bool		enabled;		/* else the other members are not set */
	char	   *certificate;	/* PEM, palloc'd */
	char	   *key;
	uint64		identity;		/* differs if one of the files differs */
} MfListenerTls;

/*
 * Reads the files that the settings name.  False with one line in "error" if one of
 * them is missing, not readable, or readable by others.
 */
extern bool mf_listener_tls_read(MfListenerTls *tls, char *error, size_t error_size);

/* Wipes the key. */
extern void mf_listener_tls_wipe(MfListenerTls *tls);

#endif							/* MF_LISTENER_TLS_H */
