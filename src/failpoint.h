/*
 * failpoint.h
 *	  Places where a test can stop the worker; nothing at all in normal builds.
 *
 * Built with FAILPOINTS=1, the setting myfatoorah.failpoint names one place.
 * The first time the worker gets there it logs "failpoint NAME reached" and
 * waits, deaf to everything but signals that end it, until the file
 * "myfatoorah.continue" appears in the data directory.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/failpoint.h
 */
#ifndef MF_FAILPOINT_H
#define MF_FAILPOINT_H

#ifdef MF_FAILPOINTS
extern void mf_failpoint_define(void);
extern void mf_failpoint(const char *name);

#define MF_FAILPOINT(name) mf_failpoint(name)
#else
#define mf_failpoint_define() ((void) 0)
#define MF_FAILPOINT(name) ((void) 0)
#endif

#endif							/* MF_FAILPOINT_H */
