/*
 * sha256.c
 *	  HMAC-SHA256 by its specification, to check that of libcrypto.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/sha256.c
 */
#include "sha256.h"

#include <string.h>

#include "fuzz.h"

/* The first 32 bits of the fractions of the cube roots of the first 64 primes, and of the square roots of eight */
static const uint32_t constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static const uint32_t initial[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static uint32_t
rotate(uint32_t word, int bits)
{
	return word >> bits | word << (32 - bits);
}

static void
add_block(uint32_t hash[8], const uint8_t *block)
{
	uint32_t	w[64];
	uint32_t	v[8];
	int			i;

	for (i = 0; i < 16; i++)
		w[i] = (uint32_t) block[4 * i] << 24 | (uint32_t) block[4 * i + 1] << 16 |
			(uint32_t) block[4 * i + 2] << 8 | block[4 * i + 3];
	for (; i < 64; i++)
		w[i] = w[i - 16] + (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3) +
			w[i - 7] + (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(v, hash, sizeof(v));
	for (i = 0; i < 64; i++)
	{
		uint32_t	first = v[7] + (rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25)) +
			((v[4] & v[5]) ^ (~v[4] & v[6])) + constants[i] + w[i];
		uint32_t	second = (rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22)) +
			((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += first;
		v[0] = first + second;
	}
	for (i = 0; i < 8; i++)
		hash[i] += v[i];
}

void
plain_sha256(const void *data, size_t len, uint8_t digest[32])
{
	size_t		padded = (len + 9 + 63) / 64 * 64;
	uint8_t    *message = calloc(padded, 1);
	uint32_t	hash[8];
	size_t		at;
	int			i;

	CHECK(message != NULL);
	memcpy(message, data, len);
	message[len] = 0x80;
	for (i = 0; i < 8; i++)
		message[padded - 1 - (size_t) i] = (uint8_t) ((uint64_t) len * 8 >> (8 * i));
	memcpy(hash, initial, sizeof(hash));
	for (at = 0; at < padded; at += 64)
		add_block(hash, message + at);
	for (i = 0; i < 32; i++)
		digest[i] = (uint8_t) (hash[i / 4] >> (24 - 8 * (i % 4)));
	free(message);
}

/* The hash of one block of key, each byte changed by "pad", and of "data" */
static void
keyed(const uint8_t key[64], uint8_t pad, const void *data, size_t len, uint8_t digest[32])
{
	uint8_t    *message = malloc(64 + len);
	int			i;

	CHECK(message != NULL);
	for (i = 0; i < 64; i++)
		message[i] = key[i] ^ pad;
	memcpy(message + 64, data, len);
	plain_sha256(message, 64 + len, digest);
	free(message);
}

void
plain_signature(const char *secret, const char *text, char signature[45])
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t		key[64] = {0};
	uint8_t		inner[32];
	uint8_t		mac[33];
	int			i;

	if (strlen(secret) > 64)
		plain_sha256(secret, strlen(secret), key);
	else
		memcpy(key, secret, strlen(secret));
	keyed(key, 0x36, text, strlen(text), inner);
	keyed(key, 0x5C, inner, sizeof(inner), mac);
	mac[32] = 0;
	for (i = 0; i < 44; i++)
	{
		const uint8_t *three = mac + i / 4 * 3;
		uint32_t	bits = (uint32_t) three[0] << 16 | (uint32_t) three[1] << 8 | three[2];

		signature[i] = alphabet[bits >> (18 - 6 * (i % 4)) & 63];
	}
	signature[43] = '=';
	signature[44] = '\0';
}
