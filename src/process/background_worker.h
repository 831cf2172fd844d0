/*
 * background_worker.h
 *	  Registers the background workers of the extension.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/background_worker.h
 */
#ifndef MF_BACKGROUND_WORKER_H
#define MF_BACKGROUND_WORKER_H

#include "postmaster/bgworker.h"

/*
 * Registers a process that the server starts, and restarts; from _PG_init()
 * under shared_preload_libraries.  "kind" follows "myfatoorah" in the type and
 * name of the process.
 */
extern void mf_background_worker_register(const char *function, const char *kind);

/*
 * Starts a process for a database, whose OID is its argument, and the process id
 * of the caller its bgw_extra.  *handle is in TopMemoryContext; it may be NULL.
 * Returns false if no slot is free, after logging that if "log".
 */
extern bool mf_background_worker_start(const char *function, const char *kind, Oid database,
									   BackgroundWorkerHandle **handle, bool log);

#endif							/* MF_BACKGROUND_WORKER_H */
