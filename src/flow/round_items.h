/*
 * round_items.h
 *	  The items of a round, and how the one that makes a round fail is found.
 *
 * An item is an entry of the agenda, of sending or of inquiries, or an answer about
 * it.  One item may make the whole round fail, such as at the commit, by a constraint
 * of a user that its row breaks.  The rounds that follow take half as many items each
 * time, down to a single one, which is to blame: it is put off, and the others go on.
 * A round that succeeds lets the next one take twice as many.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/flow/round_items.h
 */
#ifndef MF_ROUND_ITEMS_H
#define MF_ROUND_ITEMS_H

#include "datatype/timestamp.h"

struct MfFlight;

typedef enum MfItemKind
{
	MF_ITEM_INVOICE,			/* an entry of mf_queue */
	MF_ITEM_INQUIRY,			/* an entry of mf_inquiry */
	MF_ITEM_EVENT,				/* an event whose invoice is to be found out */
	MF_ITEM_REPETITION,			/* an invoice of a recurring payment that is to get a row */
	MF_ITEM_LOG,				/* MyFatoorah's log of webhooks of an account */
	MF_ITEM_DEPOSIT,			/* a deposit that is to be read */
	MF_ITEM_OPERATION			/* a row of mf_operation */
} MfItemKind;

#define MF_ITEM_KINDS (MF_ITEM_OPERATION + 1)

typedef struct MfItem
{
	MfItemKind	kind;
	int64		id;				/* of the invoice, event or deposit, InvoiceId, or mf_items_account_id() */
	struct MfFlight *flight;	/* with its answer; NULL = the item was claimed */
	bool		sends;			/* the answer is to a request that sends the invoice */
} MfItem;

/* How an item is put off */
typedef struct MfPutOff
{
	TimestampTz until;
	bool		at_fault;		/* so tables and log are to name the item */
	bool		is_new_error;	/* the log has no line about this error yet */
} MfPutOff;

/* Starts a round, without items. */
extern void mf_items_begin(void);

/* The number of items in the round */
extern int	mf_items_count(void);

/* How many of "wanted" items the round may add */
extern int	mf_items_room(int wanted);

/* The id of the log of an account */
extern int64 mf_items_account_id(const char *account);

/* Adds an item that was claimed, or an answer.  The last one can be removed again. */
extern void mf_items_add(MfItemKind kind, int64 id);
extern void mf_items_add_answer(MfItemKind kind, int64 id, bool sends, struct MfFlight *flight);
extern void mf_items_remove_last(void);

/* Whether the item has failed lately, or may be the cause of a failed round. */
extern bool mf_items_is_suspect(MfItemKind kind, int64 id);

/* Ends a round that has committed.  Returns true if it had an item. */
extern bool mf_items_done(void);

/*
 * Ends a round that has failed.  Returns the item to blame if the round had only this
 * one, else NULL.  *smaller: it had several, and the next round will take fewer.
 */
extern const MfItem *mf_items_failed(bool *smaller);

/*
 * Puts an item off, longer each time.  "own_fault": the item itself is the likely
 * cause of the error.  If not, it counts as at fault once it has failed several times.
 */
extern MfPutOff mf_items_put_off(const MfItem *item, const char *error, bool own_fault, TimestampTz now);

/* The tables have stored until when the item is put off, so claims need not skip it here. */
extern void mf_items_set_stored(const MfItem *item);

/*
 * The ids that claims of that kind must skip, an int8[].  Makes *due earlier if one of
 * them may be claimed again before.
 */
extern Datum mf_items_left_out(MfItemKind kind, TimestampTz now, TimestampTz *due);

/* Until when claims must skip one of them; 0 = they need not */
extern TimestampTz mf_items_put_off_until(MfItemKind kind, int64 id);

/* The number of items at fault that the tables do not show, for mf_check() */
extern int	mf_items_count_unstored(TimestampTz now);

/* Has claims skip nothing any more, on request of a person. */
extern void mf_items_try_now(void);

#endif							/* MF_ROUND_ITEMS_H */
