/*
 * encoding.h
 *	  Conversion of text between the encoding of the database and UTF-8.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/encoding.h
 */
#ifndef MF_ENCODING_H
#define MF_ENCODING_H

/* Converts from or to the encoding of the database; returns the argument if nothing has to be converted, else palloc'd. */
extern char *mf_to_utf8(const char *text);
extern char *mf_from_utf8(const char *utf8);

/*
 * As mf_from_utf8(), but always palloc'd, and characters that the encoding of the database
 * lacks become "?".  NULL for NULL.
 */
extern char *mf_from_utf8_lossy(const char *utf8);

#endif							/* MF_ENCODING_H */
