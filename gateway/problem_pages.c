#include "gateway/problem_pages.h"

enum { PAGE_MAX = 64 * 1024 };

static void answer(struct call *call, struct buf *page)
{
	if (page->error)
		call_problem(call, PROBLEM_INTERNAL, NULL, "The document could not be made.");
	else
		call_answer_json(call, 200, buf_slice(page));
	buf_done(page);
}

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
	answer(call, &page);
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
	answer(call, &page);
}
