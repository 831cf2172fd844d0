/*
 * queue_origin.h
 *	  SQL of which database has made an agenda entry, and of known servers.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/queue_origin.h
 */
#ifndef MF_QUEUE_ORIGIN_H
#define MF_QUEUE_ORIGIN_H

#include "utils/timestamp.h"

/* A server and its data directory, as process/database_identity.c and sending/copy_guard.c compare them */
typedef struct MfIdentity
{
	const char *system_identifier;
	const char *data_directory;
	const char *marker;			/* of the file that the latest start of a worker has left there; "" = none */
	const char *backup_label;	/* of the base backup that the server was last started from; "" = none */
	int			timeline;
	TimestampTz since;			/* another server may have sent rows that were created until then */
	int64		origin;			/* mf_queue.origin of entries of this database; read only */
} MfIdentity;

/* What mf_identity holds */
typedef enum MfIdentityKnown
{
	MF_IDENTITY_NONE,			/* nothing: no worker has served this database yet */
	MF_IDENTITY_OTHERS,			/* other servers or databases only */
	MF_IDENTITY_OURS			/* this server and database */
} MfIdentityKnown;

/* Reads what is known of this server and database: *identity, if MF_IDENTITY_OURS is returned. Own scope. */
extern MfIdentityKnown mf_queue_identity(Oid schema, const char *system_identifier, MfIdentity *identity);

/* Stores what is known of this server and database from now on, with its present origin. Own scope. */
extern void mf_queue_set_identity(Oid schema, const MfIdentity *identity);

/*
 * Until when rows were created that another server may send: until now, or the latest row of the agenda,
 * since that server's clock may be ahead.  Reads the whole agenda.  Own scope.
 */
extern TimestampTz mf_queue_twins_before(Oid schema);

/* Until when that is, as it is stored.  Own scope. */
extern TimestampTz mf_queue_since(Oid schema);

/* Stores that as it is now: rows may have come here without the worker.  Own scope. */
extern void mf_queue_raise_since(Oid schema);

/* Stores that this server, whose identity is known, was promoted now, until mf_resume('*'). Own scope. */
extern void mf_queue_note_promotion(Oid schema, const char *system_identifier);

/* Makes entries of that origin ours: this database made them before it was moved or promoted. Own scope. */
extern void mf_queue_replace_origin(Oid schema, int64 origin);

/*
 * Makes ours what this database has made on primaries before this one, which the upper
 * half of the origin tells.  So it also finds what was made on one that ended before its
 * worker had stored its origin.  Own scope.
 */
extern void mf_queue_inherit_entries(Oid schema);

/* Number of entries, refunds, captures and releases that another database has made, and that are not finished. Own scope. */
extern int64 mf_queue_count_foreign(Oid schema);

/*
 * Makes ours what mf_queue_count_foreign() counts.  What was to be sent is looked up
 * first, as by mf_queue_verify_all().  Own scope.
 */
extern void mf_queue_take_over_entries(Oid schema);

/*
 * Has every entry that was to be sent looked up first, or looked up anew, and not before MyFatoorah has
 * finished the request that another server may send when the entry is due.  "promoted":
 * without those that this server has made since its promotion, which no other one can
 * know.  Own scope.
 */
extern void mf_queue_verify_all(Oid schema, bool promoted);

#endif							/* MF_QUEUE_ORIGIN_H */
