/*
 * progress.h
 *	  How far work is that takes long, for mf_progress.
 *
 * One entry in shared memory for each process and command.  If there is no room, the
 * work goes on unseen.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/progress.h
 */
#ifndef MF_PROGRESS_H
#define MF_PROGRESS_H

typedef enum MfProgressCommand
{
	MF_PROGRESS_ARCHIVE,		/* invoices, up to max_invoices */
	MF_PROGRESS_UNARCHIVE,		/* invoices */
	MF_PROGRESS_REPAIR,			/* steps */
	MF_PROGRESS_WEBHOOK_LOG,	/* pages of the log of missed webhooks, all accounts together */
	MF_PROGRESS_CATCH_UP,		/* inquiries about invoices sent while polling was off */
	MF_PROGRESS_COMMANDS
} MfProgressCommand;

/* As in mf_progress.command, and what it counts */
extern const char *mf_progress_name(MfProgressCommand command);
extern const char *mf_progress_unit(MfProgressCommand command);

/*
 * Reports how much is done, of "total" (-1 = unknown), and makes the entry if there is none.
 * In a session it lasts until the end of the transaction, in our processes until mf_progress_end().
 */
extern void mf_progress_report(MfProgressCommand command, int64 done, int64 total);
extern void mf_progress_end(MfProgressCommand command);

#endif							/* MF_PROGRESS_H */
