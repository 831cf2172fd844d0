/*
 * archive_month.h
 *	  Partitions of mf_invoice_archive.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/archive_month.h
 */
#ifndef MF_ARCHIVE_MONTH_H
#define MF_ARCHIVE_MONTH_H

#include "utils/timestamp.h"

/*
 * Makes the partition of the month of that time, by UTC, unless there is one.
 * Whoever makes one keeps others from doing so until the end of the transaction;
 * nobody who reads or writes rows waits.
 */
extern void mf_archive_make_month(Oid schema, TimestampTz created_at);

#endif							/* MF_ARCHIVE_MONTH_H */
