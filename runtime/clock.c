#include "runtime/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z */
#define WALL_MIN_MS (-62167219200000)
#define WALL_MAX_MS 253402300799999

enum { POOL_LEN = 256, POOL_TAKE_MAX = 16 };

static _Atomic int64_t shift_ms;

static int64_t read_us(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000 + atomic_load_explicit(&shift_ms, memory_order_relaxed);
}

int64_t clock_mono_ms(void)
{
	return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_mono_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

void clock_shift(int64_t ms)
{
	atomic_store_explicit(&shift_ms, ms, memory_order_relaxed);
}

static void ask_kernel(void *out, size_t len)
{
	uint8_t *at = out;

	while (len > 0) {
		ssize_t got = getrandom(at, len, 0);

		if (got < 0) {
			/* Going on with bytes that are not random would forge ids and secrets. */
			if (errno != EINTR)
				abort();
			continue;
		}
		at += got;
		len -= (size_t)got;
	}
}

/* Asking the kernel costs more than most uses of a few bytes; what was given away is forgotten here. */
static void take_from_pool(void *out, size_t len)
{
	static _Thread_local uint8_t pool[POOL_LEN];
	static _Thread_local size_t left;

	if (left < len) {
		ask_kernel(pool, sizeof pool);
		left = sizeof pool;
	}
	left -= len;
	memcpy(out, pool + left, len);
	memset(pool + left, 0, len);
}

void random_fill(void *out, size_t len)
{
	if (len <= POOL_TAKE_MAX)
		take_from_pool(out, len);
	else
		ask_kernel(out, len);
}

uint32_t random_u32(void)
{
	uint32_t value;

	random_fill(&value, sizeof value);
	return value;
}

/* `width` digits ending before `end`. */
static void put_digits(char *end, int width, int value)
{
	while (width-- > 0) {
		*--end = (char)('0' + value % 10);
		value /= 10;
	}
}

void clock_format(int64_t wall_ms, char text[CLOCK_TEXT_LEN + 1])
{
	static const char shape[CLOCK_TEXT_LEN + 1] = "0000-00-00T00:00:00.000Z";
	int64_t ms = wall_ms < WALL_MIN_MS ? WALL_MIN_MS : wall_ms > WALL_MAX_MS ? WALL_MAX_MS : wall_ms;
	int milli = (int)((ms % 1000 + 1000) % 1000);
	time_t seconds = (ms - milli) / 1000;
	struct tm tm;

	gmtime_r(&seconds, &tm);
	for (size_t i = 0; i < sizeof shape; i++)
		text[i] = shape[i];
	put_digits(text + 4, 4, tm.tm_year + 1900);
	put_digits(text + 7, 2, tm.tm_mon + 1);
	put_digits(text + 10, 2, tm.tm_mday);
	put_digits(text + 13, 2, tm.tm_hour);
	put_digits(text + 16, 2, tm.tm_min);
	put_digits(text + 19, 2, tm.tm_sec);
	put_digits(text + 23, 3, milli);
}

struct cursor {
	const char *at, *end;
};

static bool take_digits(struct cursor *c, int width, int max, int *out)
{
	int value = 0;

	for (; width > 0; width--) {
		if (c->at == c->end || *c->at < '0' || *c->at > '9')
			return false;
		value = value * 10 + (*c->at++ - '0');
	}
	*out = value;
	return value <= max;
}

static bool take_one_of(struct cursor *c, char a, char b)
{
	if (c->at == c->end || (*c->at != a && *c->at != b))
		return false;
	c->at++;
	return true;
}

static bool take_date(struct cursor *c, struct tm *tm)
{
	if (!take_digits(c, 4, 9999, &tm->tm_year) || !take_one_of(c, '-', '-') ||
		!take_digits(c, 2, 12, &tm->tm_mon) || !take_one_of(c, '-', '-') ||
		!take_digits(c, 2, 31, &tm->tm_mday))
		return false;
	tm->tm_year -= 1900;
	tm->tm_mon -= 1;
	return tm->tm_mon >= 0 && tm->tm_mday >= 1;
}

static bool take_time(struct cursor *c, struct tm *tm)
{
	return take_digits(c, 2, 23, &tm->tm_hour) && take_one_of(c, ':', ':') &&
	       take_digits(c, 2, 59, &tm->tm_min) && take_one_of(c, ':', ':') &&
	       take_digits(c, 2, 60, &tm->tm_sec);
}

static bool take_fraction(struct cursor *c, int *milli)
{
	int digit;
	int weight = 100;

	*milli = 0;
	if (!take_one_of(c, '.', '.'))
		return true;
	if (!take_digits(c, 1, 9, &digit))
		return false;
	do {
		*milli += digit * weight;
		weight /= 10;
	} while (take_digits(c, 1, 9, &digit));
	return true;
}

static bool take_offset(struct cursor *c, int *minutes)
{
	int sign;
	int hour, minute;

	*minutes = 0;
	if (take_one_of(c, 'Z', 'z'))
		return true;
	sign = c->at < c->end && *c->at == '-' ? -1 : 1;
	if (!take_one_of(c, '+', '-') || !take_digits(c, 2, 23, &hour) || !take_one_of(c, ':', ':') ||
		!take_digits(c, 2, 59, &minute))
		return false;
	*minutes = sign * (hour * 60 + minute);
	return true;
}

int clock_parse(const char *text, size_t len, int64_t *wall_ms)
{
	struct cursor c = {text, text + len};
	struct tm tm = {0};
	struct tm normal;
	int milli, minutes;
	int64_t seconds;

	if (!take_date(&c, &tm) || !take_one_of(&c, 'T', 't') || !take_time(&c, &tm) ||
		!take_fraction(&c, &milli) || !take_offset(&c, &minutes) || c.at != c.end)
		return -EINVAL;
	/* timegm makes the 3rd of March out of the 31st of February. */
	normal = (struct tm){.tm_year = tm.tm_year, .tm_mon = tm.tm_mon, .tm_mday = tm.tm_mday};
	timegm(&normal);
	if (normal.tm_mday != tm.tm_mday)
		return -EINVAL;
	seconds = (int64_t)timegm(&tm) - (int64_t)minutes * 60;
	*wall_ms = seconds * 1000 + milli;
	return 0;
}
