/*
 * test_webhook_text.c
 *	  Webhooks: which text is signed, and which bodies are refused.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_webhook_text.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----------
 * What is signed, V1
 * ----------
 */

static void
test_v1_text(void **state)
{
	(void) state;
	/* in any case of ASCII letters; a prefix sorts first */
	check_signed(__LINE__, DEPOSIT("\"DepositFor\":\"b\",\"DepositedAmount\":\"a\",\"DepositReference\":\"c\""),
				 "DepositedAmount=a,DepositFor=b,DepositReference=c", MF_WEBHOOK_VALID, "");
	check_signed(__LINE__, DEPOSIT("\"depositreference\":1,\"DepositReference2\":2,\"b\":3,\"A\":4,\"_\":5,\"Z\":6,\"\xC3\x89\":7,\"\xC3\xA9\":8,\"DEPOSITREFERENC\":9"),
				 "", MF_WEBHOOK_MALFORMED, "a member is missing: DepositReference");
	check_signed(__LINE__, DEPOSIT("\"DepositReference\":1,\"DepositReference2\":2,\"b\":3,\"A\":4,\"_\":5,\"Z\":6,\"\xC3\xA9\":8,\"\xC3\x89\":7,\"DEPOSITREFERENC\":9"),
				 "_=5,A=4,b=3,DEPOSITREFERENC=9,DepositReference=1,DepositReference2=2,Z=6,\xC3\x89=7,\xC3\xA9=8",
				 MF_WEBHOOK_VALID, "");
	/*
	 * null and empty text sign as nothing; numbers as they are written, to
	 * the last zero
	 */
	check_signed(__LINE__, DEPOSIT("\"DepositReference\":\"1\",\"a\":null,\"b\":\"\",\"c\":2.000,\"d\":-0.0E+1,\"e\":1234567890123456789012"),
				 "a=,b=,c=2.000,d=-0.0E+1,DepositReference=1,e=1234567890123456789012", MF_WEBHOOK_VALID, "");
	check_signed(__LINE__, DEPOSIT("\"DepositReference\":\"1\",\"c\":2.000"), "c=2,DepositReference=1",
				 MF_WEBHOOK_FORGED, "fits no secret");
	/* strings unescaped, in UTF-8 */
	check_signed(__LINE__, PAID("\"InvoiceId\":7,\"CustomerName\":\"\\u0623\\u062d\\u0645\\u062f \\\"x\\\" \\/,=\""),
				 "CustomerName=\xD8\xA3\xD8\xAD\xD9\x85\xD8\xAF \"x\" /,=,InvoiceId=7", MF_WEBHOOK_VALID, "");
	check_signed(__LINE__, PAID("\"InvoiceId\":\"7\",\"CustomerName\":\"\xD8\xA3\xD8\xAD\xD9\x85\xD8\xAF\""),
				 "CustomerName=\xD8\xA3\xD8\xAD\xD9\x85\xD8\xAF,InvoiceId=7", MF_WEBHOOK_VALID, "");
	/* what is left out of which event */
	check_signed(__LINE__, V1("2", "RefundStatusChanged", "\"InvoiceId\":7,\"GatewayReference\":{\"a\":[true]},\"KycFeedback\":1,\"RefundStatus\":\"\""),
				 "InvoiceId=7,KycFeedback=1,RefundStatus=", MF_WEBHOOK_VALID, "");
	check_signed(__LINE__, V1("4", "SupplierStatusChanged", "\"SupplierCode\":7,\"KycFeedback\":{},\"GatewayReference\":1,\"SupplierStatus\":\"A\""),
				 "GatewayReference=1,SupplierCode=7,SupplierStatus=A", MF_WEBHOOK_VALID, "");
	check_signed(__LINE__, PAID("\"InvoiceId\":7,\"GatewayReference\":{}"), "InvoiceId=7",
				 MF_WEBHOOK_MALFORMED, "neither text nor number: GatewayReference");
	check_signed(__LINE__, V1("2", "RefundStatusChanged", "\"InvoiceId\":7,\"gatewayReference\":1"), "gatewayReference=1,InvoiceId=7",
				 MF_WEBHOOK_MALFORMED, "wrong case: gatewayReference");
}

static void
test_v1_refused(void **state)
{
	static const char *const values[] = {"true", "false", "{}", "[]", "{\"a\":1}", "[1]"};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(values); i++)
	{
		char	   *body = text(PAID("\"InvoiceId\":7,\"Z\":%s"), values[i]);
		char	   *as_printed = text("InvoiceId=7,Z=%s", values[i]);

		check_signed(__LINE__, body, as_printed, MF_WEBHOOK_MALFORMED, "neither text nor number: Z");
		check_signed(__LINE__, body, "InvoiceId=7,Z=", MF_WEBHOOK_MALFORMED, "neither text nor number: Z");
		check_signed(__LINE__, body, "InvoiceId=7", MF_WEBHOOK_MALFORMED, "neither text nor number: Z");
		free(body);
		free(as_printed);
	}
	check_signed(__LINE__, PAID("\"InvoiceId\":7,\"invoiceId\":8"), "InvoiceId=7,invoiceId=8", MF_WEBHOOK_MALFORMED, "differ only in case");
	check_signed(__LINE__, PAID("\"InvoiceId\":7,\"a\":1,\"b\":2,\"A\":3"), "a=1,A=3,b=2,InvoiceId=7", MF_WEBHOOK_MALFORMED, "differ only in case");
	check_signed(__LINE__, PAID("\"InvoiceId\":7,\"InvoiceId\":8"), "InvoiceId=8", MF_WEBHOOK_MALFORMED, "duplicate member name");
	check_signed(__LINE__, PAID("\"InvoiceId\":7,\"Invoice\\u0049d\":8"), "InvoiceId=8", MF_WEBHOOK_MALFORMED, "duplicate member name");
	check_signed(__LINE__, PAID("\"InvoiceId\":7") "x", "InvoiceId=7", MF_WEBHOOK_MALFORMED, "text after the end");
	/* names that could stand for something else */
	check_signed(__LINE__, PAID("\"InvoiceId\":7,\"a=b\":1"), "a=b=1,InvoiceId=7", MF_WEBHOOK_MALFORMED, "not the name of a member: a=b");
	check_signed(__LINE__, PAID("\"InvoiceId\":7,\"a,b\":1"), "a,b=1,InvoiceId=7", MF_WEBHOOK_MALFORMED, "not the name of a member: a,b");
	check_signed(__LINE__, PAID("\"InvoiceId\":7,\"\":1"), "=1,InvoiceId=7", MF_WEBHOOK_MALFORMED, "not the name of a member");
	check_signed(__LINE__, PAID("\"InvoiceId\":7,\"a.b\":1"), "a.b=1,InvoiceId=7", MF_WEBHOOK_MALFORMED, "not the name of a member: a.b");
	/* of which event what must be there */
	check_signed(__LINE__, PAID(""), "", MF_WEBHOOK_MALFORMED, "missing: InvoiceId");
	check_signed(__LINE__, PAID("\"PaymentId\":\"1\""), "PaymentId=1", MF_WEBHOOK_MALFORMED, "missing: InvoiceId");
	check_signed(__LINE__, PAID("\"InvoiceId\":null"), "InvoiceId=", MF_WEBHOOK_MALFORMED, "missing: InvoiceId");
	check_signed(__LINE__, PAID("\"InvoiceId\":\"\""), "InvoiceId=", MF_WEBHOOK_MALFORMED, "missing: InvoiceId");
	check_signed(__LINE__, PAID("\"InvoiceID\":7"), "InvoiceID=7", MF_WEBHOOK_MALFORMED, "missing: InvoiceId");
	check_signed(__LINE__, V1("2", "RefundStatusChanged", "\"RefundId\":7"), "RefundId=7", MF_WEBHOOK_MALFORMED, "missing: InvoiceId");
	check_signed(__LINE__, DEPOSIT("\"InvoiceId\":7"), "InvoiceId=7", MF_WEBHOOK_MALFORMED, "missing: DepositReference");
	check_signed(__LINE__, V1("4", "SupplierStatusChanged", "\"InvoiceId\":7"), "InvoiceId=7", MF_WEBHOOK_MALFORMED, "missing: SupplierCode");
	check_signed(__LINE__, V1("5", "RecurringStatusChanged", "\"RecurringId\":7"), "RecurringId=7", MF_WEBHOOK_MALFORMED, "missing: InvoiceId");
	check_signed(__LINE__, V1("6", "DisputeStatusChanged", "\"DisputeStatus\":7"), "DisputeStatus=7", MF_WEBHOOK_MALFORMED, "missing: InvoiceId");
	check_signed(__LINE__, V1("7", "SupplierUpdateRequestChanged", "\"InvoiceId\":7"), "InvoiceId=7", MF_WEBHOOK_MALFORMED, "missing: SupplierCode");
}

static void
test_invoice_id(void **state)
{
	static const char *const good[] = {"1", "\"1\"", "999999999999999999", "\"123456789012345678\""};
	static const char *const bad[] = {
		"0", "\"0\"", "\"007\"", "-1", "1.0", "1e3", "\"1 \"", "\" 1\"", "\"x\"", "\"1x\"", "\"+1\"", "\"\xD9\xA1\"",
		"1234567890123456789", "\"1234567890123456789\"", "\"1\\u0000\"",
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(good) + LENGTH(bad); i++)
	{
		bool		is_good = (i < LENGTH(good));
		const char *id = is_good ? good[i] : bad[i - LENGTH(good)];
		char	   *plain = text("%.*s", (int) strcspn(id + (*id == '"'), "\""), id + (*id == '"'));
		char	   *body = text(PAID("\"InvoiceId\":%s"), id);
		char	   *signed_text = text("InvoiceId=%s", plain);

		check_signed(__LINE__, body, signed_text, is_good ? MF_WEBHOOK_VALID : MF_WEBHOOK_MALFORMED, "not the number of an invoice");
		free(body);
		free(signed_text);
		body = text("{\"Event\":{\"Code\":1,\"Name\":\"PAYMENT_STATUS_CHANGED\"},\"Data\":{\"Invoice\":{\"Id\":%s}}}", id);
		signed_text = text(ONLY_ID2("%s"), plain);
		check_signed(__LINE__, body, signed_text, is_good ? MF_WEBHOOK_VALID : MF_WEBHOOK_MALFORMED, "not the number of an invoice");
		free(body);
		free(signed_text);
		free(plain);
	}
}

/* ----------
 * What is signed, V2
 * ----------
 */

static void
test_v2_text(void **state)
{
	(void) state;
	check_signed(__LINE__, PAID2("{\"Transaction\":null,\"Invoice\":{\"ExternalIdentifier\":null,\"Status\":2.000,\"Id\":7}}"),
				 "Invoice.Id=7,Invoice.Status=2.000,Transaction.Status=,Transaction.PaymentId=,Invoice.ExternalIdentifier=",
				 MF_WEBHOOK_VALID, "");
	check_signed(__LINE__, PAID2("{\"Invoice\":{\"Id\":7,\"ExternalIdentifier\":\"a,b=\xC3\xA9\\n\"},\"Transaction\":{\"PaymentId\":\"0707640998832399887512\"}}"),
				 "Invoice.Id=7,Invoice.Status=,Transaction.Status=,Transaction.PaymentId=0707640998832399887512,Invoice.ExternalIdentifier=a,b=\xC3\xA9\n",
				 MF_WEBHOOK_VALID, "");
	check_signed(__LINE__, V2("6", "DISPUTE_STATUS_CHANGED", "{\"Dispute\":{\"DisputeTransactionId\":5,\"Status\":\"OPEN\"},"
							  "\"Invoice\":{\"Id\":\"7\",\"Status\":\"PAID\",\"ExternalIdentifier\":\"r\"},\"Transaction\":{\"Status\":\"SUCCESS\",\"PaymentId\":\"08\"}}"),
				 "Dispute.DisputeTransactionId=5,Dispute.Status=OPEN,Invoice.Id=7,Invoice.Status=PAID,Transaction.Status=SUCCESS,"
				 "Transaction.PaymentId=08,Invoice.ExternalIdentifier=r", MF_WEBHOOK_VALID, "");

	check_signed(__LINE__, PAID2("{\"Invoice\":{\"Id\":7,\"Status\":true}}"), EMPTY2, MF_WEBHOOK_MALFORMED, "neither text nor number: Invoice.Status");
	check_signed(__LINE__, PAID2("{\"Invoice\":{\"Id\":7,\"Status\":{}}}"), EMPTY2, MF_WEBHOOK_MALFORMED, "neither text nor number: Invoice.Status");
	check_signed(__LINE__, PAID2("{\"Invoice\":{\"Id\":[7]}}"), EMPTY2, MF_WEBHOOK_MALFORMED, "neither text nor number: Invoice.Id");
	check_signed(__LINE__, PAID2("{\"Invoice\":{\"Id\":7},\"Transaction\":[]}"), EMPTY2, MF_WEBHOOK_MALFORMED, "no object: Transaction");
	check_signed(__LINE__, PAID2("{\"Invoice\":\"7\"}"), EMPTY2, MF_WEBHOOK_MALFORMED, "no object: Invoice");
	check_signed(__LINE__, PAID2("[]"), EMPTY2, MF_WEBHOOK_MALFORMED, "Data is no object");
	check_signed(__LINE__, PAID2("null"), EMPTY2, MF_WEBHOOK_MALFORMED, "Data is no object");
	/* what must be there, of each event */
	check_signed(__LINE__, PAID2("{\"invoice\":{\"Id\":7}}"), EMPTY2, MF_WEBHOOK_MALFORMED, "missing: Invoice.Id");
	check_signed(__LINE__, PAID2("{\"Invoice.Id\":7}"), EMPTY2, MF_WEBHOOK_MALFORMED, "missing: Invoice.Id");
	check_signed(__LINE__, V2("2", "REFUND_STATUS_CHANGED", "{\"Refund\":{\"Id\":1,\"InvoiceId\":7}}"),
				 "Refund.Id=1,Refund.Status=,Amount.ValueInBaseCurrency=,ReferencedInvoice.Id=", MF_WEBHOOK_MALFORMED, "missing: ReferencedInvoice.Id");
	check_signed(__LINE__, V2("3", "BALANCE_TRANSFERRED", "{\"Deposit\":{\"NumberOfTransactions\":1}}"),
				 "Deposit.Reference=,Deposit.ValueInBaseCurrency=,Deposit.NumberOfTransactions=1", MF_WEBHOOK_MALFORMED, "missing: Deposit.Reference");
	check_signed(__LINE__, V2("4", "SUPPLIER_STATUS_CHANGED", "{}"), "Supplier.Code=,KycDecision.Status=", MF_WEBHOOK_MALFORMED, "missing: Supplier.Code");
	check_signed(__LINE__, V2("5", "RECURRING_UPDATES", "{\"Recurring\":{\"Id\":\"RECUR1\"}}"),
				 "Recurring.Id=RECUR1,Recurring.Status=,Recurring.InitialInvoiceId=", MF_WEBHOOK_MALFORMED, "missing: Recurring.InitialInvoiceId");
	check_signed(__LINE__, V2("6", "DISPUTE_STATUS_CHANGED", "{}"), EMPTY2, MF_WEBHOOK_MALFORMED, "missing: Invoice.Id");
	check_signed(__LINE__, V2("7", "SUPPLIER_UPDATE_REQUEST_CHANGED", "{\"RequestStatus\":{\"Status\":\"x\"}}"),
				 "Supplier.Code=,RequestStatus.Status=x", MF_WEBHOOK_MALFORMED, "missing: Supplier.Code");
}

/* ----------
 * Attacks
 * ----------
 */

/*
 * Members beside Data are not members of Data.  A message without signed
 * members is refused: it does not count as "all empty".
 */
static void
test_root_members(void **state)
{
	(void) state;
	check_signed(__LINE__, "{\"Event\":{\"Code\":1,\"Name\":\"PAYMENT_STATUS_CHANGED\"},\"Data\":{},"
				 "\"Invoice\":{\"Id\":7,\"Status\":\"PAID\"},\"Transaction\":{\"Status\":\"SUCCESS\",\"PaymentId\":\"1\"}}",
				 EMPTY2, MF_WEBHOOK_MALFORMED, "missing: Invoice.Id");
	check_signed(__LINE__, "{\"Event\":{\"Code\":1,\"Name\":\"PAYMENT_STATUS_CHANGED\"},\"Data\":{},"
				 "\"Invoice\":{\"Id\":7,\"Status\":\"PAID\"},\"Transaction\":{\"Status\":\"SUCCESS\",\"PaymentId\":\"1\"}}",
				 "Invoice.Id=7,Invoice.Status=PAID,Transaction.Status=SUCCESS,Transaction.PaymentId=1,Invoice.ExternalIdentifier=",
				 MF_WEBHOOK_MALFORMED, "missing: Invoice.Id");
	check_signed(__LINE__, "{\"Event\":{\"Code\":1,\"Name\":\"PAYMENT_STATUS_CHANGED\"},\"Invoice\":{\"Id\":7}}",
				 EMPTY2, MF_WEBHOOK_MALFORMED, "Data is no object");
	check_signed(__LINE__, "{\"EventType\":1,\"Event\":\"TransactionsStatusChanged\",\"Data\":{},\"InvoiceId\":7}",
				 "", MF_WEBHOOK_MALFORMED, "missing: InvoiceId");
}

/* A text that was signed for V2, split into members of V1 in every way */
static void
test_v2_as_v1(void **state)
{
	static const char *const headers[] = {NULL, "v1", "v2"};
	size_t		i;
	size_t		header;
	int			mask;

	(void) state;
	for (i = 0; i < LENGTH(samples); i++)
	{
		Sample		sample;
		const char *commas[8];
		const char *comma;
		int			count = 0;

		if (samples[i].version != 2)
			continue;
		open_sample(samples[i].name, &sample);
		for (comma = sample.signed_text; (comma = strchr(comma, ',')) != NULL; comma++)
			commas[count++] = comma;
		/* each comma ends a member, or is part of its value */
		for (mask = 0; mask < 1 << count; mask++)
		{
			char		members[1000] = "\"";
			char	   *out = members + 1;
			const char *in;
			bool		in_name = true;
			int			code;

			for (in = sample.signed_text; *in != '\0'; in++)
			{
				int			n;

				for (n = 0; n < count && commas[n] != in; n++)
					;
				if (in_name && *in == '=')
				{
					out = stpcpy(out, "\":\"");
					in_name = false;
				}
				else if (n < count && (mask & (1 << n)))
				{
					out = stpcpy(out, "\",\"");
					in_name = true;
				}
				else
					*out++ = *in;
			}
			strcpy(out, "\"");
			for (code = 1; code <= 7; code++)
			{
				static const char *const names[] = {
					"", "TransactionsStatusChanged", "RefundStatusChanged", "BalanceTransferred", "SupplierStatusChanged",
					"RecurringStatusChanged", "DisputeStatusChanged", "SupplierUpdateRequestChanged",
				};
				char	   *body = text("{\"EventType\":%d,\"Event\":\"%s\",\"Data\":{%s}}", code, names[code], members);

				for (header = 0; header < LENGTH(headers); header++)
					assert_int_equal(verdict_of(body, strlen(body), sample.signature, headers[header]), MF_WEBHOOK_MALFORMED);
				free(body);
			}
		}
		close_sample(&sample);
	}

	/* even with a reference that was chosen for this attack */
	check_signed(__LINE__, PAID("\"Invoice.Id\":\"6409988,Invoice.Status=PAID,Transaction.Status=SUCCESS,Transaction.PaymentId=07,Invoice.ExternalIdentifier=x\",\"InvoiceId\":5"),
				 "Invoice.Id=6409988,Invoice.Status=PAID,Transaction.Status=SUCCESS,Transaction.PaymentId=07,Invoice.ExternalIdentifier=x,InvoiceId=5",
				 MF_WEBHOOK_MALFORMED, "not the name of a member: Invoice.Id");
}

/* A genuine message with another event number: other members are signed */
static void
test_other_event(void **state)
{
	Sample		sample;
	char	   *body;

	(void) state;
	open_sample("webhook-v2.payment-status.paid", &sample);
	body = text("{\"Event\":{\"Code\":6,\"Name\":\"DISPUTE_STATUS_CHANGED\"%s", strstr(sample.body, "PAYMENT_STATUS_CHANGED\"") + strlen("PAYMENT_STATUS_CHANGED\""));
	assert_int_equal(verdict_of(body, strlen(body), sample.signature, "v2"), MF_WEBHOOK_FORGED);
	free(body);
	body = text("{\"Event\":{\"Code\":3,\"Name\":\"BALANCE_TRANSFERRED\"%s", strstr(sample.body, "PAYMENT_STATUS_CHANGED\"") + strlen("PAYMENT_STATUS_CHANGED\""));
	assert_int_equal(verdict_of(body, strlen(body), sample.signature, "v2"), MF_WEBHOOK_MALFORMED);
	free(body);
	close_sample(&sample);
}

/* In V1 everything is signed, whatever the number: a member shows the kind */
static void
test_other_kind_v1(void **state)
{
	static const char *const names[] = {
		"", "TransactionsStatusChanged", "RefundStatusChanged", "BalanceTransferred", "SupplierStatusChanged",
		"RecurringStatusChanged", "DisputeStatusChanged", "SupplierUpdateRequestChanged",
	};
	size_t		i;

	(void) state;
	for (i = 0; i < SAMPLES; i++)
	{
		const char *body_name = samples[i].name;
		Sample		sample;
		int			code;

		if (samples[i].version != 1)
			continue;
		open_sample(body_name, &sample);
		for (code = 1; code <= 7; code++)
		{
			char	   *body = text("{\"EventType\":%d,\"Event\":\"%s\",%s", code, names[code], strstr(sample.body, "\"Data\""));

			assert_int_equal(verdict_of(body, strlen(body), sample.signature, "v1"),
							 code == samples[i].code ? MF_WEBHOOK_VALID : MF_WEBHOOK_MALFORMED);
			free(body);
		}
		close_sample(&sample);
	}

	/* nor does it help to hide the member inside a value, or to remove it */
	check_signed(__LINE__, V1("6", "DisputeStatusChanged", "\"InvoiceId\":7,\"TrackId\":\"1,TransactionStatus=SUCCESS\""),
				 "InvoiceId=7,TrackId=1,TransactionStatus=SUCCESS", MF_WEBHOOK_MALFORMED, "shows the kind");
	check_signed(__LINE__, V1("6", "DisputeStatusChanged", "\"DisputeStatus\":\"OPEN\",\"InvoiceId\":7,\"TransactionStatus\":\"SUCCESS\""),
				 "DisputeStatus=OPEN,InvoiceId=7,TransactionStatus=SUCCESS", MF_WEBHOOK_VALID, "");

	/* nor to make a dispute of a payment whose customer has such a name */
	check_signed(__LINE__, V1("6", "DisputeStatusChanged",
							  "\"CustomerName\":\"x\",\"DisputeStatus\":\"LOST\",\"InvoiceId\":7,\"Z\":\"1,CustomerReference=r,InvoiceId=7,TransactionStatus=SUCCESS\""),
				 "CustomerName=x,DisputeStatus=LOST,InvoiceId=7,Z=1,CustomerReference=r,InvoiceId=7,TransactionStatus=SUCCESS",
				 MF_WEBHOOK_MALFORMED, "cut in several ways: Z");
	check_signed(__LINE__, V1("6", "DisputeStatusChanged", "\"CustomerName\":\"a, b = c\",\"DisputeStatus\":\"LOST\",\"InvoiceId\":7"),
				 "CustomerName=a, b = c,DisputeStatus=LOST,InvoiceId=7", MF_WEBHOOK_MALFORMED, "cut in several ways: CustomerName");
	check_signed(__LINE__, V1("6", "DisputeStatusChanged", "\"CustomerName\":\"a=b, c\",\"DisputeStatus\":\"LOST\",\"InvoiceId\":7"),
				 "CustomerName=a=b, c,DisputeStatus=LOST,InvoiceId=7", MF_WEBHOOK_VALID, "");
	check_signed(__LINE__, V1("2", "RefundStatusChanged", "\"Comments\":\"a,b=c\",\"InvoiceId\":7,\"RefundStatus\":\"REFUNDED\""),
				 "Comments=a,b=c,InvoiceId=7,RefundStatus=REFUNDED", MF_WEBHOOK_VALID, "");
}

static void
test_event(void **state)
{
	static const char *const codes[] = {
		"0", "8", "-1", "10", "1.0", "01", "null", "true", "\"\"", "\"1 \"", "\"01\"", "{}", "[1]", "1e0", "12345678901234567890123",
	};
	static const char *const names[] = {
		"null", "1", "\"\"", "\"payment_status_changed\"", "\"TransactionsStatusChanged\"", "\"REFUND_STATUS_CHANGED\"", "\"PAYMENT_STATUS_CHANGED \"", "[]",
	};
	size_t		i;

	(void) state;
	for (i = 0; i < LENGTH(codes); i++)
	{
		char	   *body = text("{\"Event\":{\"Code\":%s,\"Name\":\"PAYMENT_STATUS_CHANGED\"},\"Data\":{\"Invoice\":{\"Id\":7}}}", codes[i]);

		check_signed(__LINE__, body, ONLY_ID2("7"), MF_WEBHOOK_MALFORMED, "");
		free(body);
		body = text("{\"EventType\":%s,\"Event\":\"TransactionsStatusChanged\",\"Data\":{\"InvoiceId\":7}}", codes[i]);
		check_signed(__LINE__, body, "InvoiceId=7", MF_WEBHOOK_MALFORMED, "");
		free(body);
	}
	for (i = 0; i < LENGTH(names); i++)
	{
		char	   *body = text("{\"Event\":{\"Code\":1,\"Name\":%s},\"Data\":{\"Invoice\":{\"Id\":7}}}", names[i]);

		check_signed(__LINE__, body, ONLY_ID2("7"),
					 MF_WEBHOOK_MALFORMED, "the name of the event does not go with its number");
		free(body);
	}
	check_signed(__LINE__, V1("1", "RefundStatusChanged", "\"InvoiceId\":7"), "InvoiceId=7", MF_WEBHOOK_MALFORMED, "does not go with its number: RefundStatusChanged");
	check_signed(__LINE__, V1("1", "PAYMENT_STATUS_CHANGED", "\"InvoiceId\":7"), "InvoiceId=7", MF_WEBHOOK_MALFORMED, "does not go with its number");
	/* the number as text is the same number */
	check_signed(__LINE__, V1("\"1\"", "TransactionsStatusChanged", "\"InvoiceId\":7"), "InvoiceId=7", MF_WEBHOOK_VALID, "");
}

static void
test_version(void **state)
{
	static const struct
	{
		const char *header;
		int			version;	/* 0: none of ours */
	}			cases[] = {
		{"v1", 1}, {"V1", 1}, {"v2", 2}, {"V2", 2}, {"\tv2 ", 2}, {"v3", 0}, {"v0", 0}, {"1", 0}, {"2", 0}, {"v", 0},
		{"v22", 0}, {"v1,v2", 0}, {"v 1", 0}, {"x", 0},
	};
	Sample		v1;
	Sample		v2;
	size_t		i;

	(void) state;
	open_sample("webhook-v1.transaction.success", &v1);
	open_sample("webhook-v2.payment-status.paid", &v2);
	for (i = 0; i < LENGTH(cases); i++)
	{
		assert_int_equal(verdict_of(v1.body, strlen(v1.body), v1.signature, cases[i].header),
						 cases[i].version == 1 ? MF_WEBHOOK_VALID : MF_WEBHOOK_MALFORMED);
		assert_int_equal(verdict_of(v2.body, strlen(v2.body), v2.signature, cases[i].header),
						 cases[i].version == 2 ? MF_WEBHOOK_VALID : MF_WEBHOOK_MALFORMED);
	}
	close_sample(&v1);
	close_sample(&v2);

	/* shapes of no version, or of both */
	check_signed(__LINE__, "{\"Event\":\"TransactionsStatusChanged\",\"Data\":{\"InvoiceId\":7}}", "InvoiceId=7", MF_WEBHOOK_MALFORMED, "shape");
	check_signed(__LINE__, "{\"EventType\":1,\"Data\":{\"InvoiceId\":7}}", "InvoiceId=7", MF_WEBHOOK_MALFORMED, "shape");
	check_signed(__LINE__, "{\"EventType\":1,\"Event\":{\"Code\":1,\"Name\":\"PAYMENT_STATUS_CHANGED\"},\"Data\":{\"Invoice\":{\"Id\":7}}}",
				 ONLY_ID2("7"), MF_WEBHOOK_MALFORMED, "shape");
	check_signed(__LINE__, "{\"EventType\":1,\"Event\":[],\"Data\":{\"InvoiceId\":7}}", "InvoiceId=7", MF_WEBHOOK_MALFORMED, "shape");
	check_signed(__LINE__, "[]", "", MF_WEBHOOK_MALFORMED, "shape");
	check_signed(__LINE__, "null", "", MF_WEBHOOK_MALFORMED, "shape");
	check_signed(__LINE__, "", "", MF_WEBHOOK_MALFORMED, "not valid JSON");
	check_signed(__LINE__, "<html>", "", MF_WEBHOOK_MALFORMED, "not valid JSON");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v1_text),
		cmocka_unit_test(test_v1_refused),
		cmocka_unit_test(test_invoice_id),
		cmocka_unit_test(test_v2_text),
		cmocka_unit_test(test_root_members),
		cmocka_unit_test(test_v2_as_v1),
		cmocka_unit_test(test_other_event),
		cmocka_unit_test(test_other_kind_v1),
		cmocka_unit_test(test_event),
		cmocka_unit_test(test_version),
	};

	return cmocka_run_group_tests_name("webhook text", tests, NULL, NULL);
}
