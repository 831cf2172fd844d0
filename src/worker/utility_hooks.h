/*
 * utility_hooks.h
 *	  Hooks on commands that concern the workers, and on functions that are called.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/utility_hooks.h
 */
#ifndef MF_UTILITY_HOOKS_H
#define MF_UTILITY_HOOKS_H

/* Installs the hooks; from _PG_init() under shared_preload_libraries. */
extern void mf_hooks_init(void);

#endif							/* MF_UTILITY_HOOKS_H */
