/*
 * billing.c
 *	  Loading of the library, and what SQL has no function for: tokens, and who has
 *	  called a function that runs as its owner.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * billing/src/billing.c
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

/* Bytes of a token: it stands for a bill, and must not be guessed */
#define TOKEN_BYTES 16

PG_FUNCTION_INFO_V1(mf_bill_token);
PG_FUNCTION_INFO_V1(mf_caller);

/* Returns random bytes of the server's strong source as hexadecimal digits. */
Datum
mf_bill_token(PG_FUNCTION_ARGS)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char bytes[TOKEN_BYTES];
	char		token[2 * TOKEN_BYTES + 1];
	int			i;

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random token")));
	for (i = 0; i < TOKEN_BYTES; i++)
	{
		token[2 * i] = digits[bytes[i] >> 4];
		token[2 * i + 1] = digits[bytes[i] & 15];
	}
	token[2 * TOKEN_BYTES] = '\0';
	PG_RETURN_TEXT_P(cstring_to_text(token));
}

/* The role of the session, or that of SET ROLE; functions that run as their owner do not count. */
Datum
mf_caller(PG_FUNCTION_ARGS)
{
	Name		name = (Name) palloc0(NAMEDATALEN);

	if (MyBackendType == B_BG_WORKER)
		namestrcpy(name, "myfatoorah");
	else
		namestrcpy(name, GetUserNameFromId(GetOuterUserId(), false));
	PG_RETURN_NAME(name);
}
