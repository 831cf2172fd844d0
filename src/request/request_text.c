/*
 * request_text.c
 *	  Text fields of a SendPayment request: reads, cleans and checks them.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/request/request_text.c
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "request/request_private.h"

MfTextView
mf_field_view(const MfRequest *request, MfSendPaymentField field)
{
	MfTextView	view = {NULL, 0};

	if (!request->isnull[field])
	{
		text	   *value = DatumGetTextPP(request->values[field]);

		view.data = VARDATA_ANY(value);
		view.len = VARSIZE_ANY_EXHDR(value);
	}
	return view;
}

char *
mf_field_text(const MfRequest *request, MfSendPaymentField field)
{
	if (request->isnull[field])
		return NULL;
	return TextDatumGetCString(request->values[field]);
}

void
mf_field_set_text(MfRequest *request, MfSendPaymentField field, const char *value)
{
	request->isnull[field] = value == NULL;
	request->values[field] = value ? CStringGetTextDatum(value) : (Datum) 0;
}

void
mf_field_clean(MfRequest *request, MfSendPaymentField field, MfCleaning cleaning)
{
	MfTextView	text = mf_field_view(request, field);
	size_t		plain = 0;

	if (text.data == NULL)
		return;

	/* printable ASCII needs no cleaning, except in numbers */
	while (plain < text.len && text.data[plain] > ' ' && (unsigned char) text.data[plain] < 0x7f)
		plain++;
	if (text.len == 0 || plain < text.len || cleaning == MF_CLEAN_NUMBER)
	{
		char	   *before = mf_field_text(request, field);
		char	   *after = mf_clean_text(before, cleaning);

		if (strcmp(before, after) != 0 || after[0] == '\0')
			mf_field_set_text(request, field, after[0] != '\0' ? after : NULL);
	}
}

bool
mf_view_find_unseen(MfTextView text, uint32 *code)
{
	const char *utf8 = pg_server_to_any(text.data, (int) text.len, PG_UTF8);

	return mf_text_find_unseen(utf8, utf8 == text.data ? text.len : strlen(utf8), code);
}

void
mf_field_check_length(const MfRequest *request, MfSendPaymentField field, int limit)
{
	MfTextView	text = mf_field_view(request, field);
	int			length;

	/* no character has less than a byte */
	if (text.len <= (size_t) limit)
		return;
	length = pg_mbstrlen_with_len(text.data, (int) text.len);
	if (length > limit)
		ereport(ERROR,
				(mf_err_field(request, field),
				 errmsg("%s is too long", mf_field_name(field)),
				 errdetail("It has %d characters; the limit is %d.", length, limit),
				 errhint("Shorten it.")));
}

void
mf_field_check_word(MfRequest *request, MfSendPaymentField field, const char *const *words)
{
	MfTextView	text = mf_field_view(request, field);
	StringInfoData list;
	int			i;

	if (text.data == NULL)
		return;
	for (i = 0; words[i] != NULL; i++)
	{
		if (text.len != strlen(words[i]) || pg_strncasecmp(text.data, words[i], text.len) != 0)
			continue;
		if (memcmp(text.data, words[i], text.len) != 0)
			mf_field_set_text(request, field, words[i]);
		return;
	}

	initStringInfo(&list);
	for (i = 0; words[i] != NULL; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", words[i]);
	ereport(ERROR,
			(mf_err_field(request, field),
			 errmsg("invalid value for %s: \"%.40s\"", mf_field_name(field), mf_field_text(request, field)),
			 errhint("Valid values are: %s.", list.data)));
}
