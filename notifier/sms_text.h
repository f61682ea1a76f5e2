/*
 * How much of a text fits into a short message, and in which alphabet it travels. A text of the GSM 03.38 alphabet alone
 * (with its extension, whose characters take two septets) has 160 septets in one message, 153 in each part of several;
 * any other is UCS-2: 70 units in one, 67 in each part, a character beyond U+FFFF taking two. Pure.
 *
 * No character is ever split, neither at the end of the text nor, in the counting, between two parts, so that a sender
 * that splits anywhere needs no more parts than are counted here.
 */
#ifndef NOTIFIER_SMS_TEXT_H
#define NOTIFIER_SMS_TEXT_H

#include "base/buf.h"

#define SMS_TEXT_SEGMENTS_MAX 10

enum sms_alphabet { SMS_GSM, SMS_UCS2 };
const char *sms_alphabet_name(enum sms_alphabet alphabet);

struct sms_text {
	struct slice text; /* of what was measured: its longest beginning that fits */
	enum sms_alphabet alphabet;
	size_t units;	 /* septets or UCS-2 units */
	size_t segments; /* 0 for an empty text */
};

/*
 * What of `text`, valid UTF-8, fits into `segments_max` (1 to SMS_TEXT_SEGMENTS_MAX) messages. It is cut between what a
 * reader takes for characters (a letter with its accents, a flag, a family); only where a single one of them is longer
 * than all that fits, between code points. Borrows the text.
 */
struct sms_text sms_text_fit(struct slice text, size_t segments_max);

/*
 * Appends `text` as a telephone can show it: valid UTF-8, its line ends "\n", other control characters spaces, no white
 * space at either end. 0 or the buffer's error.
 */
int sms_text_clean(struct slice text, struct buf *out);

#endif
