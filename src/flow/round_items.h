/*
 * round_items.h
 *	  The items that a round has in hand, and those that are put off.
 *
 * An item is an entry of the agenda of sending or of inquiries, or the answer
 * that has come about it.  What one item does to a round, such as a user's
 * constraint that its row breaks at the commit, fails the round as a whole.
 * The next rounds then take half as many items, down to a single one, which is
 * the one to blame: it is put off, and the others go on.  A round that succeeds
 * lets the next one take twice as many.  Which step of the round has failed
 * makes no difference.
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
	MF_ITEM_EVENT,				/* an event whose PaymentId is asked for */
	MF_ITEM_LOG					/* the log of deliveries of an account */
} MfItemKind;

typedef struct MfItem
{
	MfItemKind	kind;
	int64		id;				/* of the invoice or event; for a log, of the
								 * account */
	struct MfFlight *flight;	/* with its answer; NULL: it was claimed */
	bool		sends;			/* the answer is to a request that sends the invoice */
} MfItem;

/* How an item is put off */
typedef struct MfPutOff
{
	TimestampTz until;
	bool		named;			/* the tables are to say so, and the log */
	bool		news;			/* the log has not told of this error yet */
} MfPutOff;

/* A round begins: nothing is in hand. */
extern void mf_items_begin(void);

/* Items in hand. */
extern int	mf_items_count(void);

/* The id of an account's log. */
extern int64 mf_items_account_id(const char *account);

/* How many of so many items the round may take yet. */
extern int	mf_items_room(int wanted);

/*
 * Takes an item that was claimed, or an answer.  mf_items_untake() gives back the
 * one that was taken last, to be taken another way.
 */
extern void mf_items_take(MfItemKind kind, int64 id);
extern void mf_items_take_answer(MfItemKind kind, int64 id, bool sends, struct MfFlight *flight);
extern void mf_items_untake(void);

/* Whether the item has failed lately, or any that was in hand with others. */
extern bool mf_items_doubts(MfItemKind kind, int64 id);

/* The round has committed; true if it had an item in hand. */
extern bool mf_items_done(void);

/*
 * The round has failed.  Returns the item to blame, if it was the only one in
 * hand.  Else NULL, and *smaller tells whether the next round takes fewer.
 */
extern const MfItem *mf_items_failed(bool *smaller);

/*
 * Puts an item off, longer each time.  "own_fault": the error can hardly have
 * another cause than the item itself.  If not, the item is named only once it
 * has failed several times.
 */
extern MfPutOff mf_items_put_off(const MfItem *item, const char *error, bool own_fault, TimestampTz now);

/* The tables tell now until when the item is put off: claims need not leave it out. */
extern void mf_items_noted(const MfItem *item);

/* Ids of that kind that claims leave out, as an int8[]; moves *again forward to when one of them comes back. */
extern Datum mf_items_left_out(MfItemKind kind, TimestampTz now, TimestampTz *again);

/* How many named items the tables do not tell of. */
extern int	mf_items_unnoted(TimestampTz now);

/* A person has mended something: nothing is left out any more. */
extern void mf_items_try_now(void);

#endif							/* MF_ROUND_ITEMS_H */
