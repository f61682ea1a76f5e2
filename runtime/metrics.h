/*
 * Metrics in the Prometheus text format. A service has one table of definitions; series are made as label values turn
 * up, bounded for each metric (the 1,001st series and all later ones count under "other").
 * Loop thread only; threads hand their numbers over with their mail.
 */
#ifndef RUNTIME_METRICS_H
#define RUNTIME_METRICS_H

#include "base/buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

#define METRIC_LABELS_MAX 3

struct metric_definition {
	const char *name; /* postback_…; counters end in _total, histograms in _seconds */
	enum metric_type type;
	const char *labels[METRIC_LABELS_MAX + 1]; /* names, NULL terminated */
	const char *help;
};

struct metrics;

/*
 * Borrows: `definitions` (a table); a metric is named by its index there. Metrics without labels are there from the
 * start with 0. Beside them every process tells of itself: process_..., postback_build_info.
 */
int metrics_new(const struct metric_definition *definitions, size_t len, struct metrics **out);
void metrics_free(struct metrics *m);

/*
 * Label values (const char *, NULL is "") in the order of the definition's names, as many as there are. Foreign text is
 * fine: it is cut at METRIC_VALUE_MAX bytes, and what is not UTF-8 becomes U+FFFD. Out of memory loses the number and
 * nothing else. metrics_set is for gauges, and for counters that are counted elsewhere.
 */
#define METRIC_VALUE_MAX  128
#define METRIC_SERIES_MAX 1000
void metrics_add(struct metrics *m, size_t metric, double by, ...);
void metrics_set(struct metrics *m, size_t metric, double value, ...);
void metrics_observe(struct metrics *m, size_t metric, double seconds, ...);

/* Called before every rendering, to set gauges that are cheap to compute only then. */
typedef void metrics_collect_cb(void *arg);
void metrics_on_collect(struct metrics *m, metrics_collect_cb *cb, void *arg);

/* Appends the document, of this content type. 0 or the buffer's error. */
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
int metrics_render(struct metrics *m, struct buf *out);
/* The reference as a Markdown table; what docs/metrics.md is held against. */
int metrics_reference(const struct metric_definition *definitions, size_t len, struct buf *out);

#endif
