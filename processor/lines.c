#include "processor/lines.h"

#include "runtime/clock.h"
#include "runtime/log.h"

static bool may_log(struct lines *l)
{
	int64_t second = clock_mono_ms() / 1000;

	if (second != l->second) {
		l->second = second;
		l->logged = 0;
	}
	return l->logged++ < LINES_A_SECOND;
}

static void end_line(struct lines *l, const char *task, int64_t pid)
{
	struct slice text = slice_of(l->line, l->len);

	l->len = 0;
	if (text.len == 0)
		return;
	if (!may_log(l)) {
		l->left_out++;
		return;
	}
	log_info("handler_says", LOG_TEXT("task", task), LOG_INT("pid", pid), LOG_SLICE("text", text),
		LOG_INT("left_out", l->left_out));
	l->left_out = 0;
}

void lines_add(struct lines *l, struct slice bytes, const char *task, int64_t pid)
{
	for (size_t i = 0; i < bytes.len; i++) {
		if (bytes.data[i] == '\n')
			end_line(l, task, pid);
		else if (l->len < sizeof l->line)
			l->line[l->len++] = bytes.data[i];
	}
}

void lines_finish(struct lines *l, const char *task, int64_t pid)
{
	end_line(l, task, pid);
}
