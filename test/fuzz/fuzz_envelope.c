/*
 * fuzz_envelope.c
 *	  The envelope of an answer, whatever came.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/fuzz_envelope.c
 */
#include "fuzz.h"

#include "core/api/api.h"
#include "core/text/json.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		input = {data, size};
	size_t		len;
	char	   *body = take_rest(&input, &len);
	MfEnvelope	envelope;

	memset(&envelope, 0xA5, sizeof(envelope));
	CHECK(mf_envelope_read(&mf_endpoints[MF_SEND_PAYMENT], body, len, NULL, &envelope));
	CHECK(envelope.is_success >= -1 && envelope.is_success <= 1);
	CHECK((envelope.error == NULL) == (envelope.is_success == 1));
	if (envelope.error != NULL)
		CHECK(judge_line(envelope.error, 1000));
	if (envelope.root == NULL)
		CHECK(envelope.data == NULL && envelope.is_success == -1);
	else
	{
		const cJSON *success = mf_json_get(envelope.root, "IsSuccess");

		CHECK(judge_json(body, len));
		CHECK(envelope.data == mf_json_get(envelope.root, "Data"));
		CHECK((envelope.is_success == 1) == (success != NULL && cJSON_IsTrue(success)));
		CHECK((envelope.is_success == 0) == (success != NULL && cJSON_IsFalse(success)));
	}
	mf_envelope_free(&envelope);
	CHECK(envelope.root == NULL && envelope.error == NULL && envelope.is_success == -1);
	mf_envelope_free(&envelope);
	free(body);
	return 0;
}
