/*
 * queue_origin.h
 *	  Which database has made an entry of the agenda, and which servers are known.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_origin.h
 */
#ifndef MF_QUEUE_ORIGIN_H
#define MF_QUEUE_ORIGIN_H

#include "utils/timestamp.h"

/* A server, and where its data are; see database_identity.c */
typedef struct MfIdentity
{
	const char *system_identifier;
	const char *data_directory;
	const char *marker;			/* the file that the last start of a worker has put there; empty before the first */
	const char *backup_label;	/* of the base backup that the server has started from last; empty if none */
	int			timeline;
	TimestampTz since;			/* rows made before it another server may have sent, too */
	int64		origin;			/* read only: of the entries that this database made */
} MfIdentity;

/* What is remembered */
typedef enum MfIdentityKnown
{
	MF_IDENTITY_NONE,			/* no database was served yet */
	MF_IDENTITY_OTHERS,			/* others only */
	MF_IDENTITY_OURS			/* this one, of this server */
} MfIdentityKnown;

/* What is remembered of this database and server, in *identity if it is ours. Own scope. */
extern MfIdentityKnown mf_queue_identity(Oid schema, const char *system_identifier, MfIdentity *identity);
extern void mf_queue_set_identity(Oid schema, const MfIdentity *identity);

/* Entries that this database has made before it was copied, or its server promoted, are its own still. Own scope. */
extern void mf_queue_replace_origin(Oid schema, int64 origin);

/* How many entries another database has made. Own scope. */
extern int64 mf_queue_count_foreign(Oid schema);

/* Makes them our own; what was to be sent is to be looked up first, as by mf_queue_verify_all(). Own scope. */
extern void mf_queue_take_over_entries(Oid schema);

/*
 * Every entry that was to be sent is to be looked up first, once another server
 * that sends it when it is due can be done with it. Own scope.
 */
extern void mf_queue_verify_all(Oid schema);

#endif							/* MF_QUEUE_ORIGIN_H */
