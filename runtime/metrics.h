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

/* `definitions` is kept (a table); a metric is named by its index there. */
int metrics_new(const struct metric_definition *definitions, size_t len, struct metrics **out);
void metrics_free(struct metrics *m);

/* Label values in the order of the definition's names, as many as there are. Foreign text is fine. */
void metrics_add(struct metrics *m, size_t metric, double by, ...);
void metrics_set(struct metrics *m, size_t metric, double value, ...);
void metrics_observe(struct metrics *m, size_t metric, double seconds, ...);

/* Called before every rendering, to set gauges that are cheap to compute only then. */
typedef void metrics_collect_cb(void *arg);
void metrics_on_collect(struct metrics *m, metrics_collect_cb *cb, void *arg);

int metrics_render(struct metrics *m, struct buf *out);
/* The reference as a Markdown table; what docs/metrics.md is held against. */
int metrics_reference(const struct metric_definition *definitions, size_t len, struct buf *out);

#endif
