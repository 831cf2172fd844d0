/*
 * account.c
 *	  The merchants' accounts: one for each country, its keys, and how
 *	  MyFatoorah has set it up.
 */
#include "store.h"

#include <stdlib.h>

#define MAX_KEYS 64

static const Currency currencies[] = {
	{"KWD", "KD", {100000000, 8}},   {"SAR", "SR", {1235100000, 8}}, {"BHD", "BD", {123600000, 8}},
	{"AED", "AED", {1203300000, 8}}, {"QAR", "QR", {1221800000, 8}}, {"OMR", "OR", {126100000, 8}},
	{"JOD", "JD", {235000000, 8}},   {"USD", "USD", {324000000, 8}}, {"EUR", "EUR", {308000000, 8}},
	{"EGP", "LE", {8535100000, 8}},
};

static Account accounts[ACCOUNTS] = {
	{"KWT", "KWD", "+965", NULL}, {"BHR", "BHD", "+973", NULL}, {"OMN", "OMR", "+968", NULL},
	{"JOR", "JOD", "+962", NULL}, {"SAU", "SAR", "+966", NULL}, {"ARE", "AED", "+971", NULL},
	{"QAT", "QAR", "+974", NULL}, {"EGY", "EGP", "+20", NULL},
};

static struct
{
	char *text;
	size_t len;
	const Account *account;
	KeyState state;
} keys[MAX_KEYS];
static int key_count;

static AccountSettings settings[ACCOUNTS];

static const AccountSettings usual_settings = {.idempotency = true, .idempotency_minutes = 250};

/*
 * currency_by_iso
 *		The currency with that ISO code, case ignored; NULL if MyFatoorah does
 *		not display it.
 */
const Currency *
currency_by_iso(Str iso)
{
	for (size_t i = 0; i < sizeof(currencies) / sizeof(currencies[0]); i++)
		if (str_is_nocase(iso, currencies[i].iso))
			return &currencies[i];
	return NULL;
}

/*
 * currency_number
 *		The currencies by number from 0; NULL past the last.
 */
const Currency *
currency_number(int i)
{
	return i >= 0 && i < (int) (sizeof(currencies) / sizeof(currencies[0])) ? &currencies[i] : NULL;
}

/*
 * store_add_key
 *		Accept an API key, given as KEY or KEY=COUNTRY. Without a country a key
 *		of the form SK_<ISO3>_... tells it, any other belongs to Kuwait. False
 *		if the country is unknown or there are too many.
 */
bool
store_add_key(const char *spec)
{
	const char *equals = strrchr(spec, '=');
	const Account *account = &accounts[0];
	char iso3[4] = "";
	size_t len = strlen(spec);
	bool explicit_country = equals != NULL && strlen(equals + 1) == 3;

	for (size_t i = 0; i < sizeof(accounts) / sizeof(accounts[0]); i++)
		accounts[i].currency = currency_by_iso(str_of(accounts[i].currency_iso));
	if (explicit_country)
	{
		memcpy(iso3, equals + 1, 4);
		len = (size_t) (equals - spec);
	}
	else if (strncmp(spec, "SK_", 3) == 0 && len > 7 && spec[6] == '_')
		memcpy(iso3, spec + 3, 3);
	if (iso3[0] != '\0')
	{
		bool known = false;

		for (size_t i = 0; i < sizeof(accounts) / sizeof(accounts[0]); i++)
			if (strcmp(accounts[i].iso3, iso3) == 0)
			{
				account = &accounts[i];
				known = true;
			}
		if (!known && explicit_country)
			return false;
	}
	if (key_count == MAX_KEYS || len == 0)
		return false;
	keys[key_count].text = xstrndup(spec, len);
	keys[key_count].len = len;
	keys[key_count].account = account;
	key_count++;
	return true;
}

/*
 * store_account_for_key
 *		The account a key belongs to and the key's position on the command
 *		line; NULL and -1 if it is not accepted.
 */
const Account *
store_account_for_key(Str key, int *index)
{
	for (int i = 0; i < key_count; i++)
		if (keys[i].len == key.len && memcmp(keys[i].text, key.data, key.len) == 0)
		{
			*index = i;
			return keys[i].account;
		}
	*index = -1;
	return NULL;
}

/*
 * store_account_of
 *		The account of a country, KWT or the like; NULL if there is none.
 */
const Account *
store_account_of(Str iso3)
{
	for (size_t i = 0; i < sizeof(accounts) / sizeof(accounts[0]); i++)
		if (str_is_nocase(iso3, accounts[i].iso3))
			return &accounts[i];
	return NULL;
}

/*
 * store_text_holds_key
 *		Does an accepted key occur in that text? It has no business outside the
 *		Authorization header.
 */
bool
store_text_holds_key(Str text)
{
	for (int i = 0; i < key_count; i++)
		if (text.len >= keys[i].len && memmem(text.data, text.len, keys[i].text, keys[i].len) != NULL)
			return true;
	return false;
}

/*
 * key_state, key_set_state
 *		Whether a key works, by its position on the command line; false if
 *		there is none. Locked.
 */
KeyState
key_state(int index)
{
	return index >= 0 && index < key_count ? keys[index].state : KEY_WORKS;
}

bool
key_set_state(int64_t index, KeyState state)
{
	if (index < 0 || index >= key_count)
		return false;
	keys[index].state = state;
	return true;
}

/*
 * account_settings
 *		How an account is set up. Locked.
 */
AccountSettings *
account_settings(const Account *account)
{
	return &settings[account - accounts];
}

/*
 * accounts_reset
 *		Set all accounts up as usual; all keys work again. Locked.
 */
void
accounts_reset(void)
{
	for (int i = 0; i < ACCOUNTS; i++)
		settings[i] = usual_settings;
	for (int i = 0; i < key_count; i++)
		keys[i].state = KEY_WORKS;
}

/*
 * account_number
 *		The accounts by number from 0; NULL past the last.
 */
const Account *
account_number(int i)
{
	return i >= 0 && i < ACCOUNTS ? &accounts[i] : NULL;
}
