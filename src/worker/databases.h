/*
 * databases.h
 *	  Reads pg_database for the launcher, which is connected to no database.
 *
 * Each function runs a transaction of its own.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/databases.h
 */
#ifndef MF_DATABASES_H
#define MF_DATABASES_H

#include "nodes/pg_list.h"

/* The OIDs of all databases, or of those that a worker may connect to; in the current memory context */
extern List *mf_databases(bool connectable);

/* Whether a database exists, or a worker may connect to it */
extern bool mf_is_database(Oid database, bool connectable);

#endif							/* MF_DATABASES_H */
