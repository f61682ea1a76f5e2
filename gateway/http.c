#include "gateway/http.h"

#include <stdio.h>
#include <time.h>

#include "runtime/clock.h"

static const struct {
	int status;
	const char *phrase;
} reasons[] = {
	{101, "Switching Protocols"},
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{204, "No Content"},
	{304, "Not Modified"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{410, "Gone"},
	{413, "Content Too Large"},
	{415, "Unsupported Media Type"},
	{417, "Expectation Failed"},
	{422, "Unprocessable Content"},
	{426, "Upgrade Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{505, "HTTP Version Not Supported"},
};

static const struct {
	enum call_method method;
	const char *name;
} methods[] = {
	{CALL_GET, "GET"},
	{CALL_HEAD, "HEAD"},
	{CALL_POST, "POST"},
	{CALL_PUT, "PUT"},
	{CALL_PATCH, "PATCH"},
	{CALL_DELETE, "DELETE"},
	{CALL_OPTIONS, "OPTIONS"},
};

const char *http_reason(int status)
{
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (reasons[i].status == status)
			return reasons[i].phrase;
	return "Status";
}

const char *http_method_name(enum call_method method)
{
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (methods[i].method == method)
			return methods[i].name;
	return "";
}

void http_method_list(unsigned set, char text[HTTP_METHODS_LEN])
{
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (set & methods[i].method)
			len += (size_t)snprintf(
				text + len, HTTP_METHODS_LEN - len, "%s%s", len ? ", " : "", methods[i].name);
}

void http_date(char text[HTTP_DATE_LEN + 1])
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t now = (time_t)(clock_wall_ms() / 1000);
	struct tm tm = {0};

	gmtime_r(&now, &tm);
	snprintf(text, HTTP_DATE_LEN + 1, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[tm.tm_wday % 7],
		(unsigned)tm.tm_mday % 100, months[tm.tm_mon % 12], (unsigned)(tm.tm_year + 1900) % 10000,
		(unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

void request_id_make(char id[REQUEST_ID_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[REQUEST_ID_LEN / 2];

	random_fill(bytes, sizeof bytes);
	for (size_t i = 0; i < REQUEST_ID_LEN; i++)
		id[i] = digits[bytes[i / 2] >> (i % 2 ? 0 : 4) & 15];
	id[REQUEST_ID_LEN] = '\0';
}

bool request_id_is_sane(struct slice id)
{
	for (size_t i = 0; i < id.len; i++) {
		uint8_t c = id.data[i];

		if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
			    (c != 0 && strchr("._:/+=@-", c))))
			return false;
	}
	return id.len > 0 && id.len <= REQUEST_ID_MAX_LEN;
}
