/*
 * qr.c
 *	  QR codes as text: for paper and pages (SVG), and for terminals (half blocks).
 *
 * Copyright (c) 2026, the myfatoorah authors
 * billing/src/qr.c
 */
#include "postgres.h"

#include <errno.h>
#include <qrencode.h>

#include "common/string.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

/* Light modules around a code, by ISO/IEC 18004; an even number, because a line of a terminal has two rows of them */
#define QUIET_ZONE 4

/* The number of UTF-8 among the extended channel interpretations, and how much less a code with that mark holds */
#define ECI_UTF8 26
#define MARK_BYTES 1

typedef struct Level
{
	const char *name;
	QRecLevel	level;
	int			capacity;		/* bytes of ASCII in the largest code */
} Level;

static const Level levels[] = {
	{"L", QR_ECLEVEL_L, 2953},
	{"M", QR_ECLEVEL_M, 2331},
	{"Q", QR_ECLEVEL_Q, 1663},
	{"H", QR_ECLEVEL_H, 1273}
};

static const Level *find_level(const char *name);
static QRcode *encode(const char *content, const Level *level);
static QRcode *encode_marked(const char *content, const Level *level);
static int	capacity_for(const char *content, const Level *level);
static void draw_svg(StringInfo out, const QRcode *code);
static void draw_blocks(StringInfo out, const QRcode *code, bool inverted);

PG_FUNCTION_INFO_V1(mf_qr);

/* mf_qr(text, format, level): the text is encoded in UTF-8, whatever the encoding of the database */
Datum
mf_qr(PG_FUNCTION_ARGS)
{
	char	   *content = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *format = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const Level *level = find_level(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	bool		inverted = strcmp(format, "utf8i") == 0;
	StringInfoData out;
	QRcode	   *code;

	if (strcmp(format, "svg") != 0 && strcmp(format, "utf8") != 0 && !inverted)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for format: \"%.60s\"", format),
				 errhint("Give svg, utf8 (light on a dark terminal) or utf8i (dark on a light one)."),
				 err_generic_string(PG_DIAG_COLUMN_NAME, "format")));
	if (content[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", "text"),
				 err_generic_string(PG_DIAG_COLUMN_NAME, "text")));

	initStringInfo(&out);
	code = encode(pg_server_to_any(content, (int) strlen(content), PG_UTF8), level);
	PG_TRY();
	{
		if (strcmp(format, "svg") == 0)
			draw_svg(&out, code);
		else
			draw_blocks(&out, code, inverted);
	}
	PG_FINALLY();
	{
		QRcode_free(code);
	}
	PG_END_TRY();
	PG_RETURN_TEXT_P(cstring_to_text(pg_any_to_server(out.data, out.len, PG_UTF8)));
}

static const Level *
find_level(const char *name)
{
	int			i;

	for (i = 0; i < (int) lengthof(levels); i++)
	{
		if (strcmp(levels[i].name, name) == 0)
			return &levels[i];
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for level: \"%.60s\"", name),
			 errhint("Give L, M, Q or H: how much of the code may be damaged, about 7, 15, 25 or 30 percent."),
			 err_generic_string(PG_DIAG_COLUMN_NAME, "level")));
	return NULL;				/* keep compiler quiet */
}

/*
 * The smallest code that holds the content; to be freed by QRcode_free().  What
 * is not ASCII is marked as UTF-8: readers guess otherwise, and some take it for
 * Chinese.
 */
static QRcode *
encode(const char *content, const Level *level)
{
	QRcode	   *code;

	if (pg_is_ascii(content))
		code = QRcode_encodeString(content, 0, level->level, QR_MODE_8, 1);
	else
		code = encode_marked(content, level);
	if (code != NULL)
		return code;
	if (errno == ERANGE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s is too long for a QR code", "text"),
				 errdetail("It has %d bytes in UTF-8; at level %s a code holds %d.", (int) strlen(content), level->name,
						   capacity_for(content, level)),
				 (int) strlen(content) > capacity_for(content, &levels[0]) ? errhint("Shorten it.") :
				 errhint("Shorten it, or choose level L."),
				 err_generic_string(PG_DIAG_COLUMN_NAME, "text")));
	if (errno == ENOMEM)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	elog(ERROR, "could not make a QR code: %m");
	return NULL;				/* keep compiler quiet */
}

/* The same with a mark; NULL, with errno set, if it cannot be made. */
static QRcode *
encode_marked(const char *content, const Level *level)
{
	QRinput    *input = QRinput_new2(0, level->level);
	QRcode	   *code = NULL;

	if (input == NULL)
		return NULL;
	if (QRinput_appendECIheader(input, ECI_UTF8) == 0 &&
		QRinput_append(input, QR_MODE_8, (int) strlen(content), (const unsigned char *) content) == 0)
		code = QRcode_encodeInput(input);
	QRinput_free(input);
	return code;
}

/* How many bytes of such a text the largest code holds */
static int
capacity_for(const char *content, const Level *level)
{
	return level->capacity - (pg_is_ascii(content) ? 0 : MARK_BYTES);
}

/* Coordinates count from the edge of the quiet zone. */
static bool
is_dark(const QRcode *code, int x, int y)
{
	x -= QUIET_ZONE;
	y -= QUIET_ZONE;
	return x >= 0 && y >= 0 && x < code->width && y < code->width && (code->data[y * code->width + x] & 1) != 0;
}

/* A picture without a size of its own, in units of one module; a run of dark modules is one rectangle. */
static void
draw_svg(StringInfo out, const QRcode *code)
{
	int			size = code->width + 2 * QUIET_ZONE;
	int			x;
	int			y;
	int			run;

	appendStringInfo(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" shape-rendering=\"crispEdges\">"
					 "<path fill=\"#fff\" d=\"M0 0h%dv%dh-%dz\"/><path d=\"", size, size, size, size, size);
	for (y = 0; y < size; y++)
	{
		for (x = 0; x < size; x += run + 1)
		{
			for (run = 0; is_dark(code, x + run, y); run++)
				;
			if (run > 0)
				appendStringInfo(out, "M%d %dh%dv1h-%dz", x, y, run, run);
		}
	}
	appendStringInfoString(out, "\"/></svg>");
}

/* A line has two rows of modules: what is drawn are the light ones, or the dark ones if inverted. */
static void
draw_blocks(StringInfo out, const QRcode *code, bool inverted)
{
	static const char *const blocks[] = {" ", "\xe2\x96\x80", "\xe2\x96\x84", "\xe2\x96\x88"};
	int			size = code->width + 2 * QUIET_ZONE;
	int			x;
	int			y;

	for (y = 0; y < size; y += 2)
	{
		if (y > 0)
			appendStringInfoChar(out, '\n');
		for (x = 0; x < size; x++)
		{
			bool		upper = is_dark(code, x, y) == inverted;
			bool		lower = is_dark(code, x, y + 1) == inverted;

			/* the number of rows is odd, and nothing stands below the last one */
			if (y + 1 == size && inverted)
				lower = false;
			appendStringInfoString(out, blocks[(upper ? 1 : 0) + (lower ? 2 : 0)]);
		}
	}
}
