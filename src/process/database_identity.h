/*
 * database_identity.h
 *	  Numbers that distinguish this database from others, and from its copies; a file in
 *	  the data directory that shows whether the directory was restored from a backup.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/database_identity.h
 */
#ifndef MF_DATABASE_IDENTITY_H
#define MF_DATABASE_IDENTITY_H

/*
 * Identifies our tables in a database of a server: those of an extension that is dropped
 * and created again have another number, as if it were another database.  Standbys have
 * the same number, also after a promotion.
 */
extern int64 mf_database_number(Oid schema);

/*
 * Identifies the database in its data directory since the latest promotion of the
 * server.  An agenda entry has the number of the database that made it, and no other
 * database processes it.  So a subscriber does not send what its publisher queues
 * and replicates.  The upper half is the same for all servers that this database has
 * been on.
 */
extern int64 mf_database_origin(Oid schema);

/* Describes the data directory, palloc'd; differs for a copy, as far as the file system shows it. */
extern char *mf_data_directory(void);

/* Describes a file, palloc'd; differs for a copy, as far as the file system shows it.  NULL if it does not exist. */
extern char *mf_file_identity(const char *path);

/* Whether two descriptions can be of the same file; those of other versions are compared as far as possible. */
extern bool mf_same_file(const char *old, const char *now);

/* The path of the marker, relative to the data directory, palloc'd */
extern char *mf_directory_marker_path(Oid database);

/*
 * Describes the marker that exists, NULL if none does.  "known" is the description
 * that the database has stored: if that marker was created but not installed, it is
 * installed first.
 */
extern char *mf_directory_marker_read(const char *known);

/*
 * mf_directory_marker_create() creates a new marker beside the old one and describes
 * it.  Once the database has stored that, mf_directory_marker_install() replaces the
 * old one.
 */
extern char *mf_directory_marker_create(void);
extern void mf_directory_marker_install(void);

/* Removes the marker of a database that was dropped. */
extern void mf_directory_marker_remove(Oid database);

#endif							/* MF_DATABASE_IDENTITY_H */
