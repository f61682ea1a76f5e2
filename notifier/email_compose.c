#include "notifier/email_compose.h"

#include <errno.h>
#include <stdio.h>

#include "notifier/email_message.h"
#include "notifier/template.h"
#include "proto/name.h"
#include "runtime/email_address.h"
#include "service/status.h"

enum {
	DOCUMENT_MAX = 64 << 20,
	PART_MAX = 1 << 20,
	FILE_NAME_MAX = NAME_MAX_LEN + 8,
};

struct parts {
	struct buf document, subject, text, html;
	char file_name[FILE_NAME_MAX];
};

bool email_attaches(const struct email_options *o, const struct store_task *task)
{
	return slice_is_set(task->content_type) && !task->result_is_json && task->result_len > 0 &&
	       task->result_len <= o->attachment_max;
}

static void name_file(const struct store_task *task, char name[FILE_NAME_MAX])
{
	char type[EMAIL_MEDIA_TYPE_MAX + 1];

	email_media_type(task->content_type, type);
	snprintf(name, FILE_NAME_MAX, "%.*s.%s", SLICE_ARG(task->task), email_file_suffix(type));
}

static int render_parts(struct parts *p, const struct email_wish *wish)
{
	const struct template_value values[] = {
		{"attachment", slice_text(p->file_name)},
		{"to", wish->to},
	};
	struct template_source source = {
		.document = buf_slice(&p->document),
		.values = values,
		.values_len = sizeof values / sizeof values[0],
		.value_max = EMAIL_SUBJECT_MAX,
	};
	const struct email_texts *t = &wish->texts;
	int rc = template_render(slice_text(t->subject), TEMPLATE_LINE, &source, &p->subject);

	source.value_max = EMAIL_VALUE_MAX;
	if (rc == 0)
		rc = template_render(slice_text(t->text), TEMPLATE_TEXT, &source, &p->text);
	if (rc == 0)
		rc = template_render(slice_text(t->html), TEMPLATE_HTML, &source, &p->html);
	return rc;
}

static int append_message(const struct email_options *o, const struct email_wish *wish,
	const struct store_task *task, const struct parts *p, struct buf *out)
{
	struct email_message m = {
		.id = wish->row,
		.task_id = task->id,
		.date_ms = wish->now_ms,
		.to = wish->to,
		.subject = buf_slice(&p->subject),
		.text = buf_slice(&p->text),
		.html = buf_slice(&p->html),
	};
	const char *why;

	if (email_mailbox_parse(slice_text(o->from), &m.from_name, &m.from, &why) < 0)
		return -EINVAL;
	if (p->file_name[0])
		m.attachment =
			(struct email_attachment){task->result, task->content_type, slice_text(p->file_name)};
	return email_message_render(&m, out);
}

int email_compose(const struct email_options *o, const struct email_wish *wish, const struct store_task *task,
	struct buf *out)
{
	struct parts p = {0};
	int rc;

	buf_init(&p.document, DOCUMENT_MAX);
	buf_init(&p.subject, PART_MAX);
	buf_init(&p.text, PART_MAX);
	buf_init(&p.html, PART_MAX);
	if (email_attaches(o, task) && slice_is_set(task->result))
		name_file(task, p.file_name);
	status_render(task, &p.document);
	rc = p.document.error ? p.document.error : render_parts(&p, wish);
	if (rc == 0)
		rc = append_message(o, wish, task, &p, out);
	buf_done(&p.html);
	buf_done(&p.text);
	buf_done(&p.subject);
	buf_done(&p.document);
	return rc;
}
