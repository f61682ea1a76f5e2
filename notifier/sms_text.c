#include "notifier/sms_text.h"

#include <assert.h>
#include <unigbrk.h>
#include <unistr.h>

#include "base/utf8.h"

/* Septets of a single message and of a part; UCS-2 units likewise. */
static const struct room {
	size_t alone, part;
} rooms[] = {
	[SMS_GSM] = {160, 153},
	[SMS_UCS2] = {70, 67},
};

/* Bytes to look at; nothing longer ever fits: a septet takes two of UTF-8 at most, a unit of UCS-2 three. */
enum { WINDOW_MAX = 4096 };
static_assert(
	SMS_TEXT_SEGMENTS_MAX * 153 * 2 < WINDOW_MAX && SMS_TEXT_SEGMENTS_MAX * 67 * 3 < WINDOW_MAX, "");

/*
 * GSM 03.38: of ASCII its basic alphabet has the line's end and all that can be printed but the accent grave and these,
 * which are of its extension and take two septets.
 */
static const char extended_ascii[] = "^{}\\[~]|";
static const char basic[] = "¡£¤¥§¿ÄÅÆÇÉÑÖØÜßàäåæèéìñòöøùüΓΔΘΛΞΠΣΦΨΩ"; /* beyond ASCII */
enum { EURO = 0x20ac };

const char *sms_alphabet_name(enum sms_alphabet alphabet)
{
	switch (alphabet) {
	case SMS_GSM: return "gsm";
	case SMS_UCS2: return "ucs2";
	}
	return "?";
}

/* 0: not of the alphabet. */
static size_t septets_of(ucs4_t c)
{
	if (c == '\n' || c == '\r')
		return 1;
	if (c < 0x20 || c == 0x7f || c == '`')
		return 0;
	if (c < 0x7f)
		return strchr(extended_ascii, (int)c) ? 2 : 1;
	if (c == EURO)
		return 2;
	return u8_strchr((const uint8_t *)basic, c) ? 1 : 0;
}

static size_t units_of(ucs4_t c, enum sms_alphabet alphabet)
{
	return alphabet == SMS_GSM ? septets_of(c) : c > 0xffff ? 2 : 1;
}

/* A text so far, in one alphabet. */
struct count {
	bool is_possible; /* all its characters are of the alphabet */
	size_t units;
	size_t parts, in_part; /* as it would be split */
};

struct counts {
	struct count of[2]; /* by alphabet */
};

static const struct counts none = {{{.is_possible = true}, {.is_possible = true}}};

static void count_char(struct count *n, ucs4_t c, enum sms_alphabet alphabet)
{
	size_t units = units_of(c, alphabet);

	n->is_possible &= units > 0;
	n->units += units;
	if (n->parts == 0 || n->in_part + units > rooms[alphabet].part) {
		n->parts++;
		n->in_part = 0;
	}
	n->in_part += units;
}

static void count_text(struct counts *n, struct slice text)
{
	for (size_t at = 0; at < text.len;) {
		ucs4_t c;

		at += (size_t)u8_mbtoucr(&c, text.data + at, text.len - at);
		count_char(&n->of[SMS_GSM], c, SMS_GSM);
		count_char(&n->of[SMS_UCS2], c, SMS_UCS2);
	}
}

static enum sms_alphabet alphabet_of(const struct counts *n)
{
	return n->of[SMS_GSM].is_possible ? SMS_GSM : SMS_UCS2;
}

static size_t segments_of(const struct counts *n)
{
	enum sms_alphabet alphabet = alphabet_of(n);
	const struct count *count = &n->of[alphabet];

	return count->units <= rooms[alphabet].alone ? count->units > 0 : count->parts;
}

/* Adds the next piece of the text if all that there is then fits. */
static bool take(struct counts *n, struct slice piece, size_t segments_max)
{
	struct counts with = *n;

	count_text(&with, piece);
	if (segments_of(&with) > segments_max)
		return false;
	*n = with;
	return true;
}

/* u8_grapheme_next looks at two code points at a time and would part flags; this one knows all the rules. */
static size_t take_graphemes(struct counts *n, struct slice text, size_t segments_max)
{
	char is_break[WINDOW_MAX];
	size_t len = utf8_cut(text, WINDOW_MAX), kept = 0;

	u8_grapheme_breaks(text.data, len, is_break);
	for (size_t at = 1; at <= len; at++) {
		if (at < len && !is_break[at])
			continue;
		if (!take(n, slice_of(text.data + kept, at - kept), segments_max))
			break;
		kept = at;
	}
	return kept;
}

static size_t take_chars(struct counts *n, struct slice text, size_t segments_max)
{
	size_t at = 0;

	while (at < text.len) {
		size_t len = (size_t)u8_mblen(text.data + at, text.len - at);

		if (!take(n, slice_of(text.data + at, len), segments_max))
			break;
		at += len;
	}
	return at;
}

struct sms_text sms_text_fit(struct slice text, size_t segments_max)
{
	struct counts n = none;
	size_t len = text.len ? take_graphemes(&n, text, segments_max) : 0;

	if (len == 0)
		len = take_chars(&n, text, segments_max);
	return (struct sms_text){
		.text = slice_of(text.data, len),
		.alphabet = alphabet_of(&n),
		.units = n.of[alphabet_of(&n)].units,
		.segments = segments_of(&n),
	};
}

/* C0 and C1, of valid UTF-8. */
static bool is_control(struct slice c)
{
	return (c.len == 1 && (c.data[0] < 0x20 || c.data[0] == 0x7f)) ||
	       (c.len == 2 && c.data[0] == 0xc2 && c.data[1] < 0xa0);
}

/* What stands for the character at the start of `rest`, `len` bytes of it (0: none). */
static struct slice shown(struct slice rest, size_t len)
{
	if (len == 0)
		return slice_text("\xef\xbf\xbd");
	if (rest.data[0] == '\r')
		return slice_text(rest.len > 1 && rest.data[1] == '\n' ? "" : "\n");
	if (rest.data[0] != '\n' && is_control(slice_of(rest.data, len)))
		return slice_text(" ");
	return slice_of(rest.data, len);
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\n';
}

int sms_text_clean(struct slice text, struct buf *out)
{
	size_t from = out->len;

	for (size_t at = 0; at < text.len;) {
		struct slice rest = slice_of(text.data + at, text.len - at);
		size_t len = utf8_char_len(rest);
		struct slice c = shown(rest, len);

		at += len ? len : 1;
		if (out->len > from || c.len == 0 || !is_space(c.data[0]))
			buf_append_slice(out, c);
	}
	while (!out->error && out->len > from && is_space(out->data[out->len - 1]))
		out->len--;
	return out->error;
}
