/*
 * encoding.c
 *	  Conversion of text between the encoding of the database and UTF-8.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/encoding.c
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "base/compat.h"
#include "base/encoding.h"

char *
mf_to_utf8(const char *text)
{
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

char *
mf_from_utf8(const char *utf8)
{
	return pg_any_to_server(utf8, strlen(utf8), PG_UTF8);
}

char *
mf_from_utf8_lossy(const char *utf8)
{
	int			encoding = GetDatabaseEncoding();
	Oid			proc;
	StringInfoData buf;
	const char *p = utf8;

	if (utf8 == NULL)
		return NULL;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pstrdup(utf8);

	proc = FindDefaultConversionProc(PG_UTF8, encoding);
	initStringInfo(&buf);
	while (*p != '\0')
	{
		int			length = pg_utf_mblen((const unsigned char *) p);
		unsigned char out[MAX_CONVERSION_GROWTH * 4 + 1];

		if ((unsigned char) *p < 0x80)
			appendStringInfoChar(&buf, *p);
		else if (OidIsValid(proc) &&
				 pg_do_encoding_conversion_buf(proc, PG_UTF8, encoding,
											   (unsigned char *) unconstify(char *, p), length,
											   out, sizeof(out), true) == length)
			appendStringInfoString(&buf, (char *) out);
		else
			appendStringInfoChar(&buf, '?');
		p += length;
	}
	return buf.data;
}
