#include "notifier/email_message.h"

#include <ctype.h>
#include <errno.h>
#include <time.h>

#include "base/utf8.h"
#include "notifier/email_encode.h"
#include "runtime/email_address.h"

#define OCTETS "application/octet-stream"

/* ---- the header ---- */

static void append_address(struct buf *out, struct slice address)
{
	buf_append_byte(out, '<');
	buf_append_slice(out, address);
	buf_append_byte(out, '>');
}

static void append_date(struct buf *out, int64_t at_ms)
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t at = (time_t)(at_ms / 1000);
	struct tm tm;

	gmtime_r(&at, &tm);
	buf_printf(out, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday], tm.tm_mday,
		months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static bool is_words(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.data[i] >= 0x80 || !(isalnum(name.data[i]) || name.data[i] == ' '))
			return false;
	return true;
}

/* A name of plain words stands bare; anything else as encoded words, which are never read as more than words. */
static void append_from(struct buf *out, const struct email_message *m)
{
	buf_append_text(out, "From: ");
	if (is_words(m->from_name))
		email_encode_header(out, m->from_name);
	else
		email_encode_words(out, m->from_name);
	if (m->from_name.len > 0)
		buf_append_text(out, "\r\n ");
	append_address(out, m->from);
	buf_append_text(out, "\r\n");
}

static void append_head(struct buf *out, const struct email_message *m)
{
	char id[ID_TEXT_LEN + 1], task[ID_TEXT_LEN + 1];

	id_format(&m->id, id);
	id_format(&m->task_id, task);
	append_date(out, m->date_ms);
	append_from(out, m);
	buf_append_text(out, "To: ");
	append_address(out, m->to);
	buf_append_text(out, "\r\nSubject: ");
	email_encode_header(out, slice_of(m->subject.data, utf8_cut(m->subject, EMAIL_SUBJECT_MAX)));
	buf_printf(out, "\r\nMessage-ID: <%s@", id);
	buf_append_slice(out, email_address_domain(m->from));
	buf_printf(out,
		">\r\n"
		"Auto-Submitted: auto-generated\r\n"
		"X-Postback-Task: %s\r\n"
		"MIME-Version: 1.0\r\n",
		task);
}

/* ---- parts ---- */

/* "=_" stands in no encoded part, so no content looks like a boundary. The line's end before one belongs to it. */
static void append_boundary(struct buf *out, const struct email_message *m, const char *level)
{
	char id[ID_TEXT_LEN + 1];

	id_format(&m->id, id);
	buf_printf(out, "=_%s-%s", level, id);
}

static void open_multipart(struct buf *out, const struct email_message *m, const char *level)
{
	buf_printf(out, "Content-Type: multipart/%s;\r\n boundary=\"", level);
	append_boundary(out, m, level);
	buf_append_text(out, "\"\r\n");
}

static void begin_part(struct buf *out, const struct email_message *m, const char *level)
{
	buf_append_text(out, "\r\n--");
	append_boundary(out, m, level);
	buf_append_text(out, "\r\n");
}

static void close_multipart(struct buf *out, const struct email_message *m, const char *level)
{
	buf_append_text(out, "\r\n--");
	append_boundary(out, m, level);
	buf_append_text(out, "--\r\n");
}

static void append_text(struct buf *out, const char *type, struct slice text)
{
	bool is_quoted = email_encode_prefers_quoted(text);

	buf_printf(out, "Content-Type: %s; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n", type,
		is_quoted ? "quoted-printable" : "base64");
	if (is_quoted)
		email_encode_quoted(out, text);
	else
		email_encode_base64_text(out, text);
}

static void append_body(struct buf *out, const struct email_message *m)
{
	static const char level[] = "alternative";

	if (m->html.len == 0) {
		append_text(out, "text/plain", m->text);
		return;
	}
	open_multipart(out, m, level);
	begin_part(out, m, level);
	append_text(out, "text/plain", m->text);
	begin_part(out, m, level);
	append_text(out, "text/html", m->html);
	close_multipart(out, m, level);
}

static void append_file_name(struct buf *out, struct slice name)
{
	for (size_t i = 0; i < name.len && i < EMAIL_FILE_NAME_MAX; i++) {
		uint8_t c = name.data[i];

		buf_append_byte(out, isalnum(c) || (c && strchr("._-", c)) ? c : '_');
	}
}

static void append_attachment(struct buf *out, const struct email_attachment *a)
{
	char type[EMAIL_MEDIA_TYPE_MAX + 1];

	email_media_type(a->content_type, type);
	buf_printf(out, "Content-Type: %s\r\nContent-Transfer-Encoding: base64\r\n", type);
	buf_append_text(out, "Content-Disposition: attachment;\r\n filename=\"");
	append_file_name(out, a->name);
	buf_append_text(out, "\"\r\n\r\n");
	email_encode_base64(out, a->bytes);
}

int email_message_render(const struct email_message *m, struct buf *out)
{
	static const char level[] = "mixed";
	const char *why;

	if (email_address_check(m->from, &why) < 0 || email_address_check(m->to, &why) < 0)
		return -EINVAL;
	append_head(out, m);
	if (!slice_is_set(m->attachment.bytes)) {
		append_body(out, m);
		return out->error;
	}
	open_multipart(out, m, level);
	begin_part(out, m, level);
	append_body(out, m);
	begin_part(out, m, level);
	append_attachment(out, &m->attachment);
	close_multipart(out, m, level);
	return out->error;
}

/* ---- content types ---- */

static bool is_token(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] >= 0x80 ||
			!(isalnum(s.data[i]) || (s.data[i] && strchr("!#$&^_.+-", s.data[i]))))
			return false;
	return s.len > 0;
}

static struct slice without_parameters(struct slice type)
{
	size_t len = 0;

	while (len < type.len && type.data[len] != ';' && type.data[len] != ' ')
		len++;
	return slice_of(type.data, len);
}

/* Composite types may not be sent in base64. */
static bool is_sendable(struct slice type)
{
	const uint8_t *slash = type.len ? memchr(type.data, '/', type.len) : NULL;
	size_t len = slash ? (size_t)(slash - type.data) : 0;

	return slash && type.len <= EMAIL_MEDIA_TYPE_MAX && is_token(slice_of(type.data, len)) &&
	       is_token(slice_of(slash + 1, type.len - len - 1)) &&
	       strncasecmp((const char *)type.data, "multipart/", 10) != 0 &&
	       strncasecmp((const char *)type.data, "message/", 8) != 0;
}

void email_media_type(struct slice content_type, char out[EMAIL_MEDIA_TYPE_MAX + 1])
{
	struct slice type = without_parameters(content_type);

	if (!is_sendable(type))
		type = slice_text(OCTETS);
	for (size_t i = 0; i < type.len; i++)
		out[i] = (char)tolower(type.data[i]);
	out[type.len] = '\0';
}

const char *email_file_suffix(const char *media_type)
{
	static const struct {
		const char *type, *suffix;
	} known[] = {
		{"application/gzip", "gz"},
		{"application/msword", "doc"},
		{"application/pdf", "pdf"},
		{"application/vnd.ms-excel", "xls"},
		{"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"},
		{"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"},
		{"application/xml", "xml"},
		{"application/zip", "zip"},
		{"audio/mpeg", "mp3"},
		{"image/gif", "gif"},
		{"image/jpeg", "jpg"},
		{"image/png", "png"},
		{"image/svg+xml", "svg"},
		{"image/webp", "webp"},
		{"text/calendar", "ics"},
		{"text/csv", "csv"},
		{"text/html", "html"},
		{"text/markdown", "md"},
		{"text/plain", "txt"},
		{"video/mp4", "mp4"},
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strcmp(media_type, known[i].type) == 0)
			return known[i].suffix;
	return "bin";
}
