#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/call.h"
#include "gateway/router.h"

static struct router_path path;

static void parse(const char *raw)
{
	assert_int_equal(router_path_parse(slice_text(raw), &path), 0);
}

static const char *found(struct router *r, unsigned method, const char *raw)
{
	struct router_match m;

	parse(raw);
	router_find(r, method, &path, &m);
	return m.target;
}

static void paths_are_split_and_then_decoded_once(void **state)
{
	parse("/a%2Fb/%25%32%35/c%C3%A9/");
	assert_int_equal(path.len, 3);
	assert_true(slice_is_text(path.segments[0], "a/b"));
	assert_true(slice_is_text(path.segments[1], "%25"));
	assert_true(slice_is_text(path.segments[2], "c\xc3\xa9"));
	assert_string_equal(path.text, "/a/b/%25/c\xc3\xa9");
	parse("/");
	assert_string_equal(path.text, "/");
}

static void paths_that_are_none_are_refused(void **state)
{
	static const struct {
		const char *raw;
		int rc;
	} cases[] = {
		{"", -EBADMSG},
		{"a", -EBADMSG},
		{"*", -EBADMSG},
		{"//", -EBADMSG},
		{"//a", -EBADMSG},
		{"/a//b", -EBADMSG},
		{"/a//", -EBADMSG},
		{"/%", -EBADMSG},
		{"/%a", -EBADMSG},
		{"/%ag", -EBADMSG},
		{"/%00", -EBADMSG},
		{"/%0a", -EBADMSG},
		{"/%7f", -EBADMSG},
		{"/%80", -EBADMSG},
		{"/%ed%a0%80", -EBADMSG},
		{"/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q", -EMSGSIZE},
	};
	char text[ROUTER_PATH_MAX + 3];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(router_path_parse(slice_text(cases[i].raw), &path), cases[i].rc);
	memset(text, 'a', sizeof text);
	text[0] = '/';
	assert_int_equal(router_path_parse(slice_of(text, ROUTER_PATH_MAX), &path), 0);
	for (size_t more = 1; more <= 3; more++)
		assert_int_equal(router_path_parse(slice_of(text, ROUTER_PATH_MAX + more), &path), -EMSGSIZE);
}

static void literals_win_over_names_from_the_left(void **state)
{
	struct router *r;

	assert_int_equal(router_new(&r), 0);
	assert_int_equal(router_add(r, CALL_GET, "/{a}/x", "name-x"), 0);
	assert_int_equal(router_add(r, CALL_GET, "/a/{b}", "a-name"), 0);
	assert_int_equal(router_add(r, CALL_GET, "/{a}/{b}", "names"), 0);
	assert_int_equal(router_add(r, CALL_GET, "/", "root"), 0);
	assert_string_equal(found(r, CALL_GET, "/a/x"), "a-name");
	assert_string_equal(found(r, CALL_GET, "/b/x/"), "name-x");
	assert_string_equal(found(r, CALL_GET, "/b/c"), "names");
	assert_string_equal(found(r, CALL_GET, "/"), "root");
	assert_null(found(r, CALL_GET, "/a"));
	assert_null(found(r, CALL_GET, "/a/b/c"));
	router_free(r);
}

static void methods_are_told_apart(void **state)
{
	struct router *r;
	struct router_match m;

	assert_int_equal(router_new(&r), 0);
	assert_int_equal(router_add(r, CALL_GET, "/a", "get"), 0);
	assert_int_equal(router_add(r, CALL_POST, "/{any}", "post"), 0);
	assert_string_equal(found(r, CALL_HEAD, "/a"), "get");
	assert_string_equal(found(r, CALL_POST, "/a"), "post");
	parse("/a");
	router_find(r, CALL_DELETE, &path, &m);
	assert_null(m.target);
	assert_int_equal(m.allowed, CALL_GET | CALL_HEAD | CALL_POST);
	router_free(r);
}

static void names_never_match_reserved_words(void **state)
{
	struct router *r;

	assert_int_equal(router_new(&r), 0);
	assert_int_equal(router_add(r, CALL_ANY_METHOD, "/{a}", "route"), 0);
	assert_int_equal(router_add(r, CALL_ANY_METHOD, "/{a}/tasks", "route"), 0);
	assert_int_equal(router_add(r, CALL_GET, "/v1/tasks", "api"), 0);
	assert_null(found(r, CALL_GET, "/livez"));
	assert_null(found(r, CALL_PUT, "/v1/tasks"));
	assert_null(found(r, CALL_PUT, "/%761/tasks"));
	assert_string_equal(found(r, CALL_GET, "/v1/tasks"), "api");
	assert_string_equal(found(r, CALL_PUT, "/v2/tasks"), "route");
	router_free(r);
}

static void one_shape_has_one_owner_a_method(void **state)
{
	struct router *r;

	assert_int_equal(router_new(&r), 0);
	assert_int_equal(router_add(r, CALL_GET, "/a/{b}", ""), 0);
	assert_int_equal(router_add(r, CALL_GET | CALL_POST, "/a/{c}/", ""), -EEXIST);
	assert_int_equal(router_add(r, CALL_HEAD, "/a/{c}", ""), -EEXIST);
	assert_int_equal(router_add(r, CALL_POST, "/a/{c}", ""), 0);
	assert_int_equal(router_add(r, CALL_GET, "/a/b", ""), 0);
	router_free(r);
}

static void patterns_are_checked(void **state)
{
	static const char *const wrong[] = {"", "a", "/{", "/}", "/{}", "/a{b}", "/{a}b", "/{a b}",
		"/{a}/{a}", "//", "/a//b", "/a b", "/%41", "/a?b", "/a#b", "/\xff", "/{a}/b/{c}/{a}"};
	static const char *const right[] = {
		"/", "/a", "/a/", "/{a}", "/{a}/{b}", "/a.b-c_d~", "/\xc3\xa9/{task_id}"};
	const char *why;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		assert_int_equal(router_check_pattern(wrong[i], &why), -EINVAL);
		assert_non_null(why);
	}
	for (size_t i = 0; i < sizeof right / sizeof *right; i++)
		assert_int_equal(router_check_pattern(right[i], &why), 0);
}

static void segments_are_found_by_name(void **state)
{
	parse("/x/1/y/%32");
	assert_true(slice_is_text(router_segment("/x/{a}/y/{b}", &path, "a"), "1"));
	assert_true(slice_is_text(router_segment("/x/{a}/y/{b}", &path, "b"), "2"));
	assert_false(slice_is_set(router_segment("/x/{a}/y/{b}", &path, "x")));
	assert_true(router_has_name("/x/{a}", "a"));
	assert_false(router_has_name("/x/{a}", "x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_split_and_then_decoded_once),
		cmocka_unit_test(paths_that_are_none_are_refused),
		cmocka_unit_test(literals_win_over_names_from_the_left),
		cmocka_unit_test(methods_are_told_apart),
		cmocka_unit_test(names_never_match_reserved_words),
		cmocka_unit_test(one_shape_has_one_owner_a_method),
		cmocka_unit_test(patterns_are_checked),
		cmocka_unit_test(segments_are_found_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
