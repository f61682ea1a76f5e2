#include "tests/unit/torture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The linker fixes these names. NOLINTBEGIN(bugprone-reserved-identifier) */
void *__real_malloc(size_t len);
void *__real_calloc(size_t n, size_t len);
void *__real_realloc(void *old, size_t len);
void *__real_reallocarray(void *old, size_t n, size_t len);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t n, size_t len);
void *__wrap_realloc(void *old, size_t len);
void *__wrap_reallocarray(void *old, size_t n, size_t len);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);

static long countdown; /* the allocation that fails; 0: none */

static bool fails(void)
{
	return countdown > 0 && --countdown == 0;
}

void *__wrap_malloc(size_t len)
{
	return fails() ? NULL : __real_malloc(len);
}

void *__wrap_calloc(size_t n, size_t len)
{
	return fails() ? NULL : __real_calloc(n, len);
}

void *__wrap_realloc(void *old, size_t len)
{
	return fails() ? NULL : __real_realloc(old, len);
}

void *__wrap_reallocarray(void *old, size_t n, size_t len)
{
	return fails() ? NULL : __real_reallocarray(old, n, len);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t len)
{
	return fails() ? NULL : __real_strndup(text, len);
}
/* NOLINTEND(bugprone-reserved-identifier) */

int torture(int (*run)(void))
{
	for (int nth = 1;; nth++) {
		int rc;

		countdown = nth;
		rc = run();
		if (countdown > 0) {
			countdown = 0;
			assert_int_equal(rc, 0);
			return nth - 1;
		}
		if (rc != 0)
			assert_int_equal(rc, -ENOMEM);
	}
}
