/*
 * directory_marker.h
 *	  A file in the data directory by which a database that went back in time is
 *	  noticed.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/directory_marker.h
 */
#ifndef MF_DIRECTORY_MARKER_H
#define MF_DIRECTORY_MARKER_H

/* Describes a file so that its copy differs, as far as the file system can tell; NULL if it is not there. */
extern char *mf_file_identity(const char *path);

/* Whether the two describe one file; "old" may be of another form. */
extern bool mf_same_file(const char *old, const char *now);

/* Relative to the data directory, palloc'd */
extern char *mf_directory_marker_path(Oid database);

/*
 * The marker that is there, NULL if none is.  "known" is the one that the
 * database remembers: if it was made but not put into its place, it is put
 * there now.
 */
extern char *mf_directory_marker_look(const char *known);

/*
 * A new marker.  mf_directory_marker_make() makes it beside the old one and describes it;
 * once the database remembers that for good, mf_directory_marker_put() puts it in place.
 */
extern char *mf_directory_marker_make(void);
extern void mf_directory_marker_put(void);

/* The database is gone. */
extern void mf_directory_marker_remove(Oid database);

#endif							/* MF_DIRECTORY_MARKER_H */
