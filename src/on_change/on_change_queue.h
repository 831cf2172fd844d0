/*
 * on_change_queue.h
 *	  The changes and times for which registered functions are still to be called:
 *	  the table mf_reaction_queue.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_queue.h
 */
#ifndef MF_ON_CHANGE_QUEUE_H
#define MF_ON_CHANGE_QUEUE_H

#include "datatype/timestamp.h"

#include "database/sql.h"

/*
 * Adds a change to the queue of every registered function, without those of payments if it
 * is a change of sending; they are called after the commit.
 */
extern void mf_reaction_queue_add(Oid schema, int64 invoice, Datum before, Datum after, bool of_sending);

/* Has a function of mf_on_time() called at that time or earlier, after the commit. */
extern void mf_reaction_call_at(Oid schema, const char *function, TimestampTz at);

/* What this transaction has asked for was deleted. */
extern void mf_reaction_forget_calls(void);

/* Makes all of the queue, or that of one function, due at once. */
extern void mf_reaction_queue_retry(const MfSqlScope *scope, const char *function);

/* The clock was set back: has functions of extensions called now, which have seen later times. */
extern void mf_reaction_call_timed(const MfSqlScope *scope);

/*
 * Deletes some calls of functions that are not registered any more: a transaction that
 * ends beside mf_off_change() may leave them.  Returns their number; for retention, which gives
 * a time that is not used.
 */
extern uint64 mf_reaction_queue_purge(const MfSqlScope *scope, TimestampTz before);

/* When the worker has to read the queue next; 0 = not before something changes */
#define MF_REACTION_NOW 1
extern TimestampTz mf_reaction_alarm;

/*
 * *next is when something in the queue is due, 0 = never.  False if the queue
 * cannot be read, which is logged once.
 */
extern bool mf_reaction_queue_next(MfRunTransaction run, TimestampTz *next);

/*
 * Calls a function for one change or time, or records why the call failed.  False if
 * nothing was due; *next is when something will be, 0 = never.  *under_way, which
 * is to outlive the process, is the id of the row while a function is called,
 * else 0.
 */
extern bool mf_reaction_call_next(MfRunTransaction run, int64 *under_way, TimestampTz *next);

/* Records that the process ended during a call; false if that failed. */
extern bool mf_reaction_record_ended(MfRunTransaction run, int64 id);

#endif							/* MF_ON_CHANGE_QUEUE_H */
