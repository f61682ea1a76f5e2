#include "gateway/problem_pages.h"

#include "gateway/answer.h"

enum { PAGE_MAX = 64 * 1024 };

void problem_pages_list(struct call *call, void *arg)
{
	struct buf page;

	buf_init(&page, PAGE_MAX);
	buf_append_text(&page, "{\"problems\":[");
	for (int p = 0; p < PROBLEMS; p++) {
		if (p > 0)
			buf_append_byte(&page, ',');
		problem_describe((enum problem)p, &page);
	}
	buf_append_text(&page, "]}");
	answer_document(call, 200, &page);
}

void problem_pages_get(struct call *call, void *arg)
{
	enum problem problem;
	struct buf page;

	if (problem_parse(call_segment(call, "name"), &problem) < 0) {
		call_problem(call, PROBLEM_NOT_FOUND, NULL, "There is no such problem.");
		return;
	}
	buf_init(&page, PAGE_MAX);
	problem_describe(problem, &page);
	answer_document(call, 200, &page);
}
