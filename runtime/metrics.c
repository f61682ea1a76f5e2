#include "runtime/metrics.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"
#include "runtime/clock.h"

/* From a hand-over inside the process to the longest wait that a client may ask for. */
static const double bounds[] = {
	0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};

enum {
	BOUNDS = sizeof bounds / sizeof bounds[0],
	TABLE_FIRST = 64, /* slots; always a power of two */
	COLLECTORS_MAX = 8,
	NAME_MAX_LEN = 64,
	/* A byte becomes two when escaped and three when replaced. */
	LABELS_LEN = METRIC_LABELS_MAX * (NAME_MAX_LEN + 3 * METRIC_VALUE_MAX + 4),
};

struct histogram {
	uint64_t buckets[BOUNDS + 1]; /* not yet summed up; the last is beyond all bounds */
	uint64_t count;
	double sum;
};

struct series {
	struct series *next; /* of the same metric, in order of appearance */
	size_t metric;
	uint32_t hash;
	double value;
	struct histogram *histogram; /* NULL for the other types */
	char labels[];		     /* as rendered: task="echo",result="ok" */
};

struct family {
	struct series *first, *last;
	size_t len;
};

struct metrics {
	const struct metric_definition *definitions;
	size_t len;
	struct family *families;
	struct series **table;
	size_t table_cap, table_len;
	uint32_t seed;
	int64_t started_ms;
	struct {
		metrics_collect_cb *cb;
		void *arg;
	} collectors[COLLECTORS_MAX];
	size_t collectors_len;
};

static const char *const type_names[] = {
	[METRIC_COUNTER] = "counter",
	[METRIC_GAUGE] = "gauge",
	[METRIC_HISTOGRAM] = "histogram",
};

/* ---- labels ---- */

/* On the stack: labels are written for every number that is counted. */
struct text {
	char data[LABELS_LEN + 1];
	size_t len;
};

static void put(struct text *t, const char *data, size_t len)
{
	assert(len <= LABELS_LEN - t->len);
	memcpy(t->data + t->len, data, len);
	t->len += len;
}

static void put_text(struct text *t, const char *data)
{
	put(t, data, strlen(data));
}

static void put_value(struct text *t, const char *value)
{
	struct slice rest = slice_text(value ? value : "");
	size_t room = METRIC_VALUE_MAX;

	while (rest.len > 0) {
		size_t len = utf8_char_len(rest);
		size_t step = len ? len : 1;

		if (step > room)
			return;
		if (*rest.data == '\n')
			put_text(t, "\\n");
		else if (*rest.data == '"' || *rest.data == '\\')
			put(t, (const char[]){'\\', (char)*rest.data}, 2);
		else if (len)
			put(t, (const char *)rest.data, len);
		else
			put_text(t, "\xef\xbf\xbd");
		room -= step;
		rest = slice_of(rest.data + step, rest.len - step);
	}
}

static void put_labels(struct text *t, const struct metric_definition *d, const char *const *values)
{
	t->len = 0;
	for (size_t i = 0; d->labels[i]; i++) {
		if (i > 0)
			put_text(t, ",");
		put_text(t, d->labels[i]);
		put_text(t, "=\"");
		put_value(t, values[i]);
		put_text(t, "\"");
	}
	t->data[t->len] = '\0';
}

/* ---- series ---- */

/* FNV-1a, seeded: label values come from outside. */
static uint32_t hash_of(const struct metrics *m, size_t metric, const char *labels)
{
	uint32_t hash = m->seed ^ (uint32_t)metric;

	for (; *labels; labels++)
		hash = (hash ^ (uint8_t)*labels) * 16777619u;
	return hash ^ hash >> 15;
}

/* The slot where it is, or the empty one where it belongs. */
static struct series **slot_of(
	struct series **table, size_t cap, size_t metric, const char *labels, uint32_t hash)
{
	size_t i = hash & (cap - 1);

	while (table[i] && (table[i]->hash != hash || table[i]->metric != metric ||
				   strcmp(table[i]->labels, labels) != 0))
		i = (i + 1) & (cap - 1);
	return &table[i];
}

static bool grow(struct metrics *m)
{
	size_t cap = m->table_cap * 2;
	struct series **table = calloc(cap, sizeof *table);

	if (!table)
		return false;
	for (size_t i = 0; i < m->table_cap; i++) {
		struct series *s = m->table[i];

		if (s)
			*slot_of(table, cap, s->metric, s->labels, s->hash) = s;
	}
	free(m->table);
	m->table = table;
	m->table_cap = cap;
	return true;
}

static struct series *new_series(
	const struct metrics *m, size_t metric, const struct text *labels, uint32_t hash)
{
	struct series *s = calloc(1, sizeof *s + labels->len + 1);

	if (!s)
		return NULL;
	s->metric = metric;
	s->hash = hash;
	memcpy(s->labels, labels->data, labels->len + 1);
	if (m->definitions[metric].type == METRIC_HISTOGRAM) {
		s->histogram = calloc(1, sizeof *s->histogram);
		if (!s->histogram) {
			free(s);
			return NULL;
		}
	}
	return s;
}

static struct series *add_series(struct metrics *m, size_t metric, const struct text *labels, uint32_t hash)
{
	struct family *f = &m->families[metric];
	struct series *s;

	if ((m->table_len + 1) * 4 > m->table_cap * 3 && !grow(m))
		return NULL;
	s = new_series(m, metric, labels, hash);
	if (!s)
		return NULL;
	*slot_of(m->table, m->table_cap, metric, s->labels, hash) = s;
	m->table_len++;
	if (f->last)
		f->last->next = s;
	else
		f->first = s;
	f->last = s;
	f->len++;
	return s;
}

static struct series *find_series(struct metrics *m, size_t metric, const char *const *values)
{
	static const char *const other[METRIC_LABELS_MAX] = {"other", "other", "other"};
	const struct metric_definition *d = &m->definitions[metric];
	struct text labels;
	struct series *s;
	uint32_t hash;

	put_labels(&labels, d, values);
	hash = hash_of(m, metric, labels.data);
	s = *slot_of(m->table, m->table_cap, metric, labels.data, hash);
	if (s || m->families[metric].len < METRIC_SERIES_MAX)
		return s ? s : add_series(m, metric, &labels, hash);
	put_labels(&labels, d, other);
	hash = hash_of(m, metric, labels.data);
	s = *slot_of(m->table, m->table_cap, metric, labels.data, hash);
	return s ? s : add_series(m, metric, &labels, hash);
}

static struct series *find(struct metrics *m, size_t metric, va_list args)
{
	const char *values[METRIC_LABELS_MAX] = {0};

	assert(metric < m->len);
	for (size_t i = 0; m->definitions[metric].labels[i]; i++)
		/* Started by every caller, which the analyzer does not follow. */
		values[i] = va_arg(args, const char *); /* NOLINT(clang-analyzer-valist.Uninitialized) */
	return find_series(m, metric, values);
}

void metrics_add(struct metrics *m, size_t metric, double by, ...)
{
	struct series *s;
	va_list args;

	va_start(args, by);
	s = find(m, metric, args);
	va_end(args);
	if (s)
		s->value += by;
}

void metrics_set(struct metrics *m, size_t metric, double value, ...)
{
	struct series *s;
	va_list args;

	va_start(args, value);
	s = find(m, metric, args);
	va_end(args);
	if (s)
		s->value = value;
}

void metrics_observe(struct metrics *m, size_t metric, double seconds, ...)
{
	struct series *s;
	va_list args;
	size_t bucket = 0;

	va_start(args, seconds);
	s = find(m, metric, args);
	va_end(args);
	assert(m->definitions[metric].type == METRIC_HISTOGRAM);
	if (!s)
		return;
	while (bucket < BOUNDS && seconds > bounds[bucket])
		bucket++;
	s->histogram->buckets[bucket]++;
	s->histogram->count++;
	s->histogram->sum += seconds;
}

void metrics_on_collect(struct metrics *m, metrics_collect_cb *cb, void *arg)
{
	assert(m->collectors_len < COLLECTORS_MAX);
	m->collectors[m->collectors_len].cb = cb;
	m->collectors[m->collectors_len].arg = arg;
	m->collectors_len++;
}

/* ---- rendering ---- */

static void append_number(struct buf *out, double value)
{
	if (isnan(value))
		buf_append_text(out, "NaN");
	else if (isinf(value))
		buf_append_text(out, value > 0 ? "+Inf" : "-Inf");
	else if (value == floor(value) && fabs(value) < 1e15)
		buf_printf(out, "%.0f", value);
	else
		buf_printf(out, "%.15g", value);
}

/* name_suffix{labels,extra} */
static void append_name(
	struct buf *out, const char *name, const char *suffix, const char *labels, const char *extra)
{
	buf_append_text(out, name);
	buf_append_text(out, suffix);
	if (*labels || *extra)
		buf_printf(out, "{%s%s%s}", labels, *labels && *extra ? "," : "", extra);
	buf_append_byte(out, ' ');
}

static void append_histogram(struct buf *out, const char *name, const struct series *s)
{
	uint64_t below = 0;
	char le[32];

	for (size_t i = 0; i < BOUNDS; i++) {
		below += s->histogram->buckets[i];
		snprintf(le, sizeof le, "le=\"%g\"", bounds[i]);
		append_name(out, name, "_bucket", s->labels, le);
		buf_printf(out, "%llu\n", (unsigned long long)below);
	}
	append_name(out, name, "_bucket", s->labels, "le=\"+Inf\"");
	buf_printf(out, "%llu\n", (unsigned long long)s->histogram->count);
	append_name(out, name, "_sum", s->labels, "");
	append_number(out, s->histogram->sum);
	buf_append_byte(out, '\n');
	append_name(out, name, "_count", s->labels, "");
	buf_printf(out, "%llu\n", (unsigned long long)s->histogram->count);
}

static void append_head(struct buf *out, const char *name, enum metric_type type, const char *help)
{
	buf_printf(out, "# HELP %s ", name);
	for (; *help; help++) {
		if (*help == '\\' || *help == '\n')
			buf_append_byte(out, '\\');
		buf_append_byte(out, *help == '\n' ? 'n' : (uint8_t)*help);
	}
	buf_printf(out, "\n# TYPE %s %s\n", name, type_names[type]);
}

static void append_family(struct buf *out, const struct metric_definition *d, const struct family *f)
{
	if (!f->first)
		return;
	append_head(out, d->name, d->type, d->help);
	for (const struct series *s = f->first; s; s = s->next) {
		if (s->histogram) {
			append_histogram(out, d->name, s);
			continue;
		}
		append_name(out, d->name, "", s->labels, "");
		append_number(out, s->value);
		buf_append_byte(out, '\n');
	}
}

/* ---- the process itself ---- */

static double resident_bytes(const struct metrics *m)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long pages = 0;

	if (!f)
		return NAN;
	if (fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Less the one that counting takes. */
static double open_fds(const struct metrics *m)
{
	DIR *dir = opendir("/proc/self/fd");
	double count = -1;

	if (!dir)
		return NAN;
	for (struct dirent *e = readdir(dir); e; e = readdir(dir))
		count += e->d_name[0] != '.';
	closedir(dir);
	return count;
}

static double max_fds(const struct metrics *m)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return NAN;
	return limit.rlim_cur == RLIM_INFINITY ? INFINITY : (double)limit.rlim_cur;
}

static double cpu_seconds(const struct metrics *m)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static double start_seconds(const struct metrics *m)
{
	return (double)m->started_ms / 1000;
}

static double one(const struct metrics *m)
{
	return 1;
}

static const struct {
	const char *name;
	enum metric_type type;
	const char *labels;
	const char *help;
	double (*read)(const struct metrics *m); /* NAN: cannot be told now */
} process_metrics[] = {
	{"postback_build_info", METRIC_GAUGE, "version=\"" POSTBACK_VERSION "\"",
		"Always 1; the version is the label.", one},
	{"process_cpu_seconds_total", METRIC_COUNTER, "", "Processor time used, user and system.",
		cpu_seconds},
	{"process_max_fds", METRIC_GAUGE, "", "Most file descriptors that may be open.", max_fds},
	{"process_open_fds", METRIC_GAUGE, "", "File descriptors open.", open_fds},
	{"process_resident_memory_bytes", METRIC_GAUGE, "", "Memory resident.", resident_bytes},
	{"process_start_time_seconds", METRIC_GAUGE, "", "When the process started, since the epoch.",
		start_seconds},
};
enum { PROCESS_METRICS = sizeof process_metrics / sizeof process_metrics[0] };

static void append_process(const struct metrics *m, struct buf *out)
{
	for (size_t i = 0; i < PROCESS_METRICS; i++) {
		double value = process_metrics[i].read(m);

		if (isnan(value))
			continue;
		append_head(out, process_metrics[i].name, process_metrics[i].type, process_metrics[i].help);
		append_name(out, process_metrics[i].name, "", process_metrics[i].labels, "");
		append_number(out, value);
		buf_append_byte(out, '\n');
	}
}

int metrics_render(struct metrics *m, struct buf *out)
{
	for (size_t i = 0; i < m->collectors_len; i++)
		m->collectors[i].cb(m->collectors[i].arg);
	for (size_t i = 0; i < m->len; i++)
		append_family(out, &m->definitions[i], &m->families[i]);
	append_process(m, out);
	return out->error;
}

/* ---- reference ---- */

static void append_row(
	struct buf *out, const char *name, enum metric_type type, const char *const *labels, const char *help)
{
	buf_printf(out, "| `%s` | %s | ", name, type_names[type]);
	for (size_t i = 0; labels[i]; i++)
		buf_printf(out, "%s`%s`", i ? ", " : "", labels[i]);
	buf_append_text(out, " | ");
	for (; *help; help++) {
		if (*help == '|')
			buf_append_byte(out, '\\');
		buf_append_byte(out, (uint8_t)*help);
	}
	buf_append_text(out, " |\n");
}

int metrics_reference(const struct metric_definition *definitions, size_t len, struct buf *out)
{
	static const char *const none[] = {NULL};
	static const char *const version[] = {"version", NULL};

	buf_append_text(out, "| metric | type | labels | meaning |\n|---|---|---|---|\n");
	for (size_t i = 0; i < len; i++)
		append_row(out, definitions[i].name, definitions[i].type, definitions[i].labels,
			definitions[i].help);
	for (size_t i = 0; i < PROCESS_METRICS; i++)
		append_row(out, process_metrics[i].name, process_metrics[i].type,
			*process_metrics[i].labels ? version : none, process_metrics[i].help);
	return out->error;
}

/* ---- life ---- */

int metrics_new(const struct metric_definition *definitions, size_t len, struct metrics **out)
{
	static const char *const no_values[METRIC_LABELS_MAX];
	struct metrics *m = calloc(1, sizeof *m);
	int rc = -ENOMEM;

	if (!m)
		goto out;
	m->definitions = definitions;
	m->seed = random_u32();
	m->started_ms = clock_wall_ms();
	m->table_cap = TABLE_FIRST;
	m->table = calloc(m->table_cap, sizeof *m->table);
	m->families = calloc(len + 1, sizeof *m->families);
	if (!m->table || !m->families)
		goto out;
	m->len = len;
	for (size_t i = 0; i < len; i++)
		if (!definitions[i].labels[0] && !find_series(m, i, no_values))
			goto out;
	*out = m;
	m = NULL;
	rc = 0;
out:
	metrics_free(m);
	return rc;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->len; i++) {
		for (struct series *s = m->families[i].first, *next; s; s = next) {
			next = s->next;
			free(s->histogram);
			free(s);
		}
	}
	free(m->families);
	free(m->table);
	free(m);
}
