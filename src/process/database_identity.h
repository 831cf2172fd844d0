/*
 * database_identity.h
 *	  Numbers that distinguish this database from others, and from its copies.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/database_identity.h
 */
#ifndef MF_DATABASE_IDENTITY_H
#define MF_DATABASE_IDENTITY_H

/* Identifies the database of a server.  Standbys have the same number, also after a promotion. */
extern int64 mf_database_number(void);

/*
 * Identifies the database in its data directory since the latest promotion of the
 * server.  An agenda entry has the number of the database that made it, and no other
 * database processes it.  So a subscriber does not send what its publisher queues
 * and replicates.  The upper half is the same for all servers that this database has
 * been on.
 */
extern int64 mf_database_origin(void);

/* Describes the data directory, palloc'd; differs for a copy, as far as the file system shows it. */
extern char *mf_data_directory(void);

#endif							/* MF_DATABASE_IDENTITY_H */
