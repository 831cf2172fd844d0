/*
 * database_identity.h
 *	  Numbers that tell this database from others, and from its copies.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/database_identity.h
 */
#ifndef MF_DATABASE_IDENTITY_H
#define MF_DATABASE_IDENTITY_H

/*
 * A number for this database of this server, the same on each of its standbys,
 * also when they are promoted.
 */
extern int64 mf_database_number(void);

/*
 * A number for this database in this data directory, since its server was promoted
 * last.  Entries of the agenda carry the number of the database that made them, and
 * only that one acts on them.  A promoted standby, or a copy, inherits what was
 * queued before, and nothing that its original queues afterwards and replicates by
 * logical replication.
 */
extern int64 mf_database_origin(void);

/*
 * Describes the data directory so that its copy differs, as far as the file
 * system can tell; palloc'd.
 */
extern char *mf_data_directory(void);

#endif							/* MF_DATABASE_IDENTITY_H */
