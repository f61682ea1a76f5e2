#include "notifier/response.h"

static bool has_status(const struct http_response *r)
{
	return r->result == HTTP_ANSWERED || r->result == HTTP_TOO_LARGE;
}

enum response_verdict response_verdict(const struct http_response *r)
{
	if (!has_status(r))
		return RESPONSE_FAILED;
	if (r->status >= 200 && r->status < 300)
		return RESPONSE_DELIVERED;
	return r->status == 410 ? RESPONSE_GONE : RESPONSE_FAILED;
}

enum response_host response_host(const struct http_response *r)
{
	switch (r->result) {
	case HTTP_ANSWERED:
	case HTTP_TOO_LARGE: return RESPONSE_HOST_ANSWERED;
	case HTTP_REFUSED: return RESPONSE_HOST_UNASKED;
	case HTTP_TIMED_OUT:
	case HTTP_FAILED: break;
	}
	return RESPONSE_HOST_FAILED;
}

int64_t response_asked_ms(const struct http_response *r, struct slice retry_after, int64_t now_ms)
{
	return has_status(r) ? http_retry_after_ms(retry_after, now_ms) : 0;
}
