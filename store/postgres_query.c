#include "store/postgres.h"

#include <assert.h>
#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	SILENCE_MAX_MS = 15000, /* longer than the server's own limits of a statement */
	SENT_CAP_FIRST = 256,
	ON_THEIR_WAY_MAX = 1024,
	SQL_MAX = 16384,
	IDS_MAX = 1 << 20,
	OID_INT8 = 20,
	OID_UUID = 2950,
	OID_UUID_ARRAY = 2951,
};

/* ---- text ---- */

static const char *copy_parameter(const char *at, unsigned *highest, struct buf *out)
{
	unsigned number = 0;

	for (at++; isdigit((unsigned char)*at); at++)
		number = number * 10 + (unsigned)(*at - '0');
	if (number == 0)
		number = *highest + 1;
	if (number > *highest)
		*highest = number;
	buf_printf(out, "$%u", number);
	return at;
}

static const char *skip_name(const char *at)
{
	while (isalnum((unsigned char)*at) || *at == '_')
		at++;
	return at;
}

int postgres_rewrite(const char *text, struct buf *out)
{
	static const char hint[] = "INDEXED BY ", note[] = "/*pg:";
	bool is_quoted = false;
	unsigned highest = 0;

	while (*text) {
		is_quoted ^= *text == '\'';
		if (!is_quoted && *text == '?')
			text = copy_parameter(text, &highest, out);
		else if (strncmp(text, hint, strlen(hint)) == 0)
			text = skip_name(text + strlen(hint));
		else if (strncmp(text, note, strlen(note)) == 0)
			text += strlen(note);
		else if (strncmp(text, "*/", 2) == 0)
			text += 2;
		else
			buf_append_byte(out, (uint8_t)*text++);
	}
	return out->error;
}

static bool gives_rows(const char *sql)
{
	return strncmp(sql, "SELECT", 6) == 0 || strncmp(sql, "WITH", 4) == 0 || strstr(sql, " RETURNING ");
}

static struct postgres_statement *statement_new(struct postgres *p, const char *text)
{
	struct postgres_statement *st = calloc(1, sizeof *st);
	struct buf sql;
	size_t len;

	if (!st)
		return NULL;
	buf_init(&sql, SQL_MAX);
	postgres_rewrite(text, &sql);
	buf_append_byte(&sql, '\0');
	if (buf_take(&sql, (uint8_t **)&st->sql, &len) < 0) {
		buf_done(&sql);
		free(st);
		return NULL;
	}
	st->text = text;
	st->has_rows = gives_rows(st->sql);
	buf_init(&st->ids, IDS_MAX);
	snprintf(st->name, sizeof st->name, "s%u", p->statements_len++);
	return st;
}

void postgres_forget_statements(struct postgres *p)
{
	for (size_t i = 0; i < POSTGRES_STATEMENTS_MAX; i++) {
		struct postgres_statement *st = p->statements[i];

		if (!st)
			continue;
		PQclear(st->rows);
		buf_done(&st->ids);
		free(st->sql);
		free(st);
		p->statements[i] = NULL;
	}
	free(p->sent);
	p->sent = NULL;
}

static int out_of_memory(struct postgres *p)
{
	snprintf(p->sql.base.why, sizeof p->sql.base.why, "%s: out of memory: give the process more",
		p->place);
	return -ENOMEM;
}

static int prepare(struct sql *s, const char *text, void **out)
{
	struct postgres *p = postgres_of(&s->base);
	size_t i = ((uintptr_t)text >> 3) * 0x9e3779b97f4a7c15u >> 55;

	for (size_t n = 0; n < POSTGRES_STATEMENTS_MAX; n++, i = (i + 1) % POSTGRES_STATEMENTS_MAX) {
		if (!p->statements[i]) {
			p->statements[i] = statement_new(p, text);
			if (!p->statements[i])
				return out_of_memory(p);
		}
		if (p->statements[i]->text == text) {
			*out = p->statements[i];
			return 0;
		}
	}
	assert(!"more statements than POSTGRES_STATEMENTS_MAX");
	return -EIO;
}

/* ---- parameters, all binary ---- */

static int bind_value(void *statement, int index, const void *value, size_t len, Oid type)
{
	struct postgres_statement *st = statement;

	assert(index <= POSTGRES_PARAMETERS_MAX && len <= INT_MAX);
	st->values[index - 1] = value;
	st->lengths[index - 1] = (int)len;
	st->types[index - 1] = type;
	if (index > st->bound)
		st->bound = index;
	return 0;
}

static int bind_null(struct sql *s, void *statement, int index)
{
	return bind_value(statement, index, NULL, 0, 0);
}

static int bind_int(struct sql *s, void *statement, int index, int64_t value)
{
	struct postgres_statement *st = statement;
	uint64_t big = htobe64((uint64_t)value);

	memcpy(st->numbers[index - 1], &big, sizeof big);
	return bind_value(statement, index, st->numbers[index - 1], sizeof big, OID_INT8);
}

/* Text, bytes and ids look alike: the statement's place for them says which it is. */
static int bind_bytes(struct sql *s, void *statement, int index, struct slice bytes)
{
	return bind_value(statement, index, bytes.data, bytes.len, 0);
}

static void append_number(struct buf *out, uint32_t value)
{
	uint32_t big = htobe32(value);

	buf_append(out, &big, sizeof big);
}

/* An array of one dimension without NULLs, counted from 1. */
static int bind_ids(struct sql *s, void *statement, int index, const struct id *ids, size_t len)
{
	struct postgres_statement *st = statement;
	struct buf *out = &st->ids;

	buf_reset(out);
	append_number(out, 1);
	append_number(out, 0);
	append_number(out, OID_UUID);
	append_number(out, (uint32_t)len);
	append_number(out, 1);
	for (size_t i = 0; i < len; i++) {
		append_number(out, ID_LEN);
		buf_append(out, ids[i].bytes, ID_LEN);
	}
	if (out->error)
		return out_of_memory(postgres_of(&s->base));
	return bind_value(statement, index, out->data, out->len, OID_UUID_ARRAY);
}

/* ---- what is on its way ---- */

static int grow_sent(struct postgres *p)
{
	size_t cap = p->sent_cap ? 2 * p->sent_cap : SENT_CAP_FIRST;
	struct postgres_sent *grown = calloc(cap, sizeof *grown);

	if (!grown)
		return -ENOMEM;
	for (size_t i = 0; i < p->sent_len; i++)
		grown[i] = p->sent[(p->sent_first + i) % p->sent_cap];
	free(p->sent);
	p->sent = grown;
	p->sent_first = 0;
	p->sent_cap = cap;
	return 0;
}

static int note_sent(struct postgres *p, enum postgres_sent_kind kind, struct postgres_statement *st)
{
	size_t at;

	if (p->sent_len == p->sent_cap && grow_sent(p) < 0)
		return -ENOMEM;
	at = p->sent_first + p->sent_len++;
	p->sent[at < p->sent_cap ? at : at - p->sent_cap] = (struct postgres_sent){
		.kind = kind, .statement = st, .changes_to = st ? st->changes_to : NULL};
	return 0;
}

static int stick(struct postgres *p, int rc)
{
	if (rc < 0 && p->rc == 0)
		p->rc = rc;
	if (p->is_dead)
		p->sent_len = 0;
	return rc;
}

/* Until libpq has the next result whole. A server that says nothing at all for so long is taken for dead. */
static int await_result(struct postgres *p)
{
	for (;;) {
		int left = PQflush(p->connection);
		struct pollfd fd = {.fd = PQsocket(p->connection), .events = POLLIN};

		if (left < 0)
			return postgres_fail_connection(p, NULL);
		if (!PQisBusy(p->connection))
			return 0;
		if (left > 0)
			fd.events |= POLLOUT;
		if (poll(&fd, 1, SILENCE_MAX_MS) == 0)
			return postgres_fail_connection(p, "the server does not answer");
		if (fd.revents && !PQconsumeInput(p->connection))
			return postgres_fail_connection(p, NULL);
	}
}

static int next_result(struct postgres *p, PGresult **out)
{
	int rc = await_result(p);

	if (rc == 0)
		*out = PQgetResult(p->connection);
	return rc;
}

static int take_result(struct postgres *p, const struct postgres_sent *sent, PGresult *result)
{
	struct postgres_statement *st = sent->statement;

	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK: break;
	case PGRES_PIPELINE_SYNC: return 0;
	/* The failure before it is the one that counts. */
	case PGRES_PIPELINE_ABORTED:
		if (sent->kind == POSTGRES_PREPARE)
			st->is_sent = false;
		return p->rc < 0 ? p->rc : postgres_fail(p, result);
	default:
		if (sent->kind == POSTGRES_PREPARE)
			st->is_sent = false;
		return postgres_fail(p, result);
	}
	if (sent->kind == POSTGRES_PREPARE)
		return 0;
	st->changes = strtoll(PQcmdTuples(result), NULL, 10);
	if (sent->changes_to)
		*sent->changes_to = st->changes;
	return 0;
}

/* The answer to one thing sent; between two of them libpq gives a NULL, but for those to a sync. */
static int receive(struct postgres *p)
{
	struct postgres_sent sent = p->sent[p->sent_first];
	PGresult *result = NULL, *end = NULL;
	int rc = next_result(p, &result);

	if (rc == 0 && !result)
		rc = next_result(p, &result);
	if (rc == 0 && sent.kind != POSTGRES_SYNC)
		rc = next_result(p, &end);
	PQclear(end);
	p->sent_first = (p->sent_first + 1) % p->sent_cap;
	p->sent_len--;
	if (rc == 0)
		rc = take_result(p, &sent, result);
	if (rc == 0 && sent.kind == POSTGRES_ROWS) {
		sent.statement->rows = result;
		result = NULL;
	}
	PQclear(result);
	return stick(p, rc);
}

static int receive_all(struct postgres *p)
{
	while (p->sent_len > 0 && !p->is_dead)
		(void)receive(p);
	return p->rc;
}

int postgres_drain(struct postgres *p)
{
	if (p->sent_len > 0 && !p->is_dead && !PQsendFlushRequest(p->connection))
		stick(p, postgres_fail_connection(p, NULL));
	return receive_all(p);
}

int postgres_send_sync(struct postgres *p)
{
	if (p->is_dead)
		return -EIO;
	if (note_sent(p, POSTGRES_SYNC, NULL) < 0)
		return stick(p, out_of_memory(p));
	if (!PQpipelineSync(p->connection))
		return stick(p, postgres_fail_connection(p, NULL));
	return 0;
}

int postgres_flush(struct postgres *p)
{
	return PQflush(p->connection) < 0 ? stick(p, postgres_fail_connection(p, NULL)) : 0;
}

void postgres_recover(struct postgres *p)
{
	if (postgres_send_sync(p) == 0)
		(void)receive_all(p);
	if (!p->is_dead)
		p->rc = 0;
}

/* ---- execution ---- */

static int send_prepare(struct postgres *p, struct postgres_statement *st)
{
	if (st->is_sent)
		return 0;
	if (note_sent(p, POSTGRES_PREPARE, st) < 0)
		return out_of_memory(p);
	if (!PQsendPrepare(p->connection, st->name, st->sql, st->bound, st->types))
		return postgres_fail_connection(p, NULL);
	st->is_sent = true;
	return 0;
}

static int send_query(struct postgres *p, struct postgres_statement *st)
{
	static const int binary[POSTGRES_PARAMETERS_MAX] = {[0 ... POSTGRES_PARAMETERS_MAX - 1] = 1};
	int rc = p->rc < 0 ? p->rc : send_prepare(p, st);

	if (rc < 0)
		return rc;
	if (note_sent(p, st->has_rows ? POSTGRES_ROWS : POSTGRES_QUIET, st) < 0)
		return out_of_memory(p);
	if (!PQsendQueryPrepared(p->connection, st->name, st->bound, st->values, st->lengths, binary, 1))
		return postgres_fail_connection(p, NULL);
	return 0;
}

static void reset(struct sql *s, void *statement)
{
	struct postgres_statement *st = statement;

	PQclear(st->rows);
	st->rows = NULL;
	st->row = 0;
	st->bound = 0;
	st->changes_to = NULL;
}

static int execute(struct postgres *p, struct postgres_statement *st)
{
	int rc = stick(p, send_query(p, st));

	if (rc < 0)
		return rc;
	if (st->has_rows || p->sent_len >= ON_THEIR_WAY_MAX)
		rc = postgres_drain(p);
	st->row = -1;
	return rc;
}

static int step(struct sql *s, void *statement)
{
	struct postgres_statement *st = statement;
	int rc = st->rows ? 0 : execute(postgres_of(&s->base), st);

	if (rc == 0 && st->rows && ++st->row < PQntuples(st->rows))
		return 1;
	reset(s, st);
	return rc;
}

static void count_into(void *statement, int64_t *changes)
{
	((struct postgres_statement *)statement)->changes_to = changes;
}

static int64_t changes(struct sql *s, void *statement)
{
	int rc = postgres_drain(postgres_of(&s->base));

	return rc < 0 ? rc : ((const struct postgres_statement *)statement)->changes;
}

static int settle(struct sql *s)
{
	return postgres_drain(postgres_of(&s->base));
}

/* ---- rows ---- */

static bool is_null(void *statement, int column)
{
	const struct postgres_statement *st = statement;

	return PQgetisnull(st->rows, st->row, column);
}

/* Any kind of integer, and booleans. */
static int64_t column_int(void *statement, int column)
{
	const struct postgres_statement *st = statement;
	const uint8_t *bytes = (const uint8_t *)PQgetvalue(st->rows, st->row, column);
	int len = PQgetlength(st->rows, st->row, column);
	uint64_t value = len > 1 && (bytes[0] & 0x80) ? UINT64_MAX : 0;

	for (int i = 0; i < len; i++)
		value = value << 8 | bytes[i];
	return (int64_t)value;
}

static struct slice column_slice(void *statement, int column)
{
	const struct postgres_statement *st = statement;

	return slice_of(
		PQgetvalue(st->rows, st->row, column), (size_t)PQgetlength(st->rows, st->row, column));
}

const struct sql_driver postgres_driver = {
	.is_shared = true,
	.prepare = prepare,
	.bind_null = bind_null,
	.bind_int = bind_int,
	.bind_text = bind_bytes,
	.bind_blob = bind_bytes,
	.bind_ids = bind_ids,
	.step = step,
	.reset = reset,
	.changes = changes,
	.count_into = count_into,
	.settle = settle,
	.is_null = is_null,
	.column_int = column_int,
	.column_slice = column_slice,
};

/* ---- outside of the pipeline ---- */

static int ask(struct postgres *p, const char *text, PGresult **last)
{
	PGresult *result = NULL;
	int rc = 0;

	*last = NULL;
	if (!PQsendQuery(p->connection, text))
		return postgres_fail_connection(p, NULL);
	while (!p->is_dead) {
		int failed = next_result(p, &result);

		if (failed < 0)
			rc = failed;
		if (failed < 0 || !result)
			break;
		if (rc == 0 && PQresultStatus(result) != PGRES_COMMAND_OK &&
			PQresultStatus(result) != PGRES_TUPLES_OK)
			rc = postgres_fail(p, result);
		PQclear(*last);
		*last = result;
	}
	return rc;
}

int postgres_execute(struct postgres *p, const char *text)
{
	PGresult *last;
	int rc = ask(p, text, &last);

	PQclear(last);
	return rc;
}

int postgres_ask_text(struct postgres *p, const char *text, char *answer, size_t len)
{
	PGresult *last;
	int rc = ask(p, text, &last);

	if (rc == 0)
		snprintf(answer, len, "%s", PQntuples(last) > 0 ? PQgetvalue(last, 0, 0) : "");
	PQclear(last);
	return rc;
}

int postgres_ask_number(struct postgres *p, const char *text, int64_t *answer)
{
	char digits[32];
	int rc = postgres_ask_text(p, text, digits, sizeof digits);

	if (rc == 0)
		*answer = strtoll(digits, NULL, 10);
	return rc;
}
