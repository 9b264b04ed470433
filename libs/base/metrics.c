#include "base/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/number.h"

/* One metric: a family's name with one set of label values. */
struct metric {
    struct metric *next;
    char *labels; /* `a="x",b="y"`, escaped; "" if none */
    enum { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_CALLBACK } kind;
    union {
        struct mrd_counter counter;
        struct mrd_gauge gauge;
        struct mrd_metrics_histogram histogram;
        struct {
            double (*read)(void *context);
            void *context;
        } callback;
    };
};

struct family {
    struct family *next;
    char *name;
    char *help;
    enum mrd_metric_type type;
    struct metric *metrics; /* in order of registration */
};

struct mrd_counter_vec {
    struct mrd_counter_vec *next;
    struct mrd_metrics *registry;
    struct family *family;
    char *label_name;
    char *labels;
    size_t value_max;
    size_t value_count;
};

struct mrd_metrics {
    pthread_mutex_t lock;    /* guards the lists; not the values */
    struct family *families; /* sorted by name */
    struct mrd_counter_vec *vecs;
};

const double mrd_bounds_seconds[] = {0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01,
                                     0.015,  0.02,  0.03,  0.05,  0.075, 0.1,    0.2,
                                     0.5,    1,     2,     5,     10,    30,     60};
const size_t mrd_bounds_seconds_count = MRD_ARRAY_LEN(mrd_bounds_seconds);
_Static_assert(MRD_ARRAY_LEN(mrd_bounds_seconds) <= MRD_HISTOGRAM_BUCKETS_MAX, "fit a histogram");

static const char *const type_names[] = {
    [MRD_METRIC_COUNTER] = "counter",
    [MRD_METRIC_GAUGE] = "gauge",
    [MRD_METRIC_HISTOGRAM] = "histogram",
};

/* ---- small helpers; memory at start-up may abort ---- */

static void *take_memory(size_t size_bytes)
{
    void *memory = calloc(1, size_bytes);
    mrd_assert(memory != NULL);
    return memory;
}

static char *take_copy(const char *text)
{
    char *copy = strdup(text);
    mrd_assert(copy != NULL);
    return copy;
}

static void append_escaped(struct mrd_buf *out, struct mrd_bytes text, bool quotes)
{
    for (size_t i = 0; i < text.size; i++) {
        const char c = (char)text.data[i];
        if (c == '\\' || (quotes && c == '"')) {
            mrd_buf_append(out, (const char[]){'\\', c}, 2);
        } else if (c == '\n') {
            mrd_buf_append(out, "\\n", 2);
        } else {
            mrd_buf_append(out, &c, 1);
        }
    }
}

static void append_label(struct mrd_buf *out, const char *name, struct mrd_bytes value)
{
    if (out->size > 0) {
        mrd_buf_append(out, ",", 1);
    }
    mrd_buf_printf(out, "%s=\"", name);
    append_escaped(out, value, true);
    mrd_buf_append(out, "\"", 1);
}

/* The labels as they stand in the text, owned by the caller. */
static char *labels_text(const struct mrd_metric_label *labels, const char *more_name,
                         struct mrd_bytes more_value)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    for (; labels != NULL && labels->name != NULL; labels++) {
        append_label(&text, labels->name, mrd_bytes_of(labels->value));
    }
    if (more_name != NULL) {
        append_label(&text, more_name, more_value);
    }
    mrd_buf_append_u8(&text, 0);
    return take_copy((const char *)text.data);
}

/* ---- registering ---- */

struct mrd_metrics *mrd_metrics_create(void)
{
    struct mrd_metrics *metrics = take_memory(sizeof(*metrics));
    mrd_assert(pthread_mutex_init(&metrics->lock, NULL) == 0);
    return metrics;
}

static void family_destroy(struct family *family)
{
    while (family->metrics != NULL) {
        struct metric *metric = family->metrics;
        family->metrics = metric->next;
        free(metric->labels);
        free(metric);
    }
    free(family->name);
    free(family->help);
    free(family);
}

void mrd_metrics_destroy(struct mrd_metrics **metrics)
{
    if (*metrics == NULL) {
        return;
    }
    while ((*metrics)->families != NULL) {
        struct family *family = (*metrics)->families;
        (*metrics)->families = family->next;
        family_destroy(family);
    }
    while ((*metrics)->vecs != NULL) {
        struct mrd_counter_vec *vec = (*metrics)->vecs;
        (*metrics)->vecs = vec->next;
        free(vec->label_name);
        free(vec->labels);
        free(vec);
    }
    pthread_mutex_destroy(&(*metrics)->lock);
    free(*metrics);
    *metrics = NULL;
}

/* Under the lock. */
static struct family *family_at(struct mrd_metrics *metrics, const char *name, const char *help,
                                enum mrd_metric_type type)
{
    struct family **at = &metrics->families;
    while (*at != NULL && strcmp((*at)->name, name) < 0) {
        at = &(*at)->next;
    }
    if (*at != NULL && strcmp((*at)->name, name) == 0) {
        mrd_assert((*at)->type == type);
        mrd_assert(strcmp((*at)->help, help) == 0);
        return *at;
    }
    struct family *family = take_memory(sizeof(*family));
    family->name = take_copy(name);
    family->help = take_copy(help);
    family->type = type;
    family->next = *at;
    *at = family;
    return family;
}

/* Under the lock. Takes `labels_take`; finds the metric or adds a zeroed one at the end. */
static struct metric *metric_at(struct family *family, char *labels_take, int kind,
                                size_t size_bytes)
{
    struct metric **at = &family->metrics;
    for (; *at != NULL; at = &(*at)->next) {
        if (strcmp((*at)->labels, labels_take) == 0) {
            mrd_assert((int)(*at)->kind == kind);
            free(labels_take);
            return *at;
        }
    }
    struct metric *metric = take_memory(size_bytes);
    metric->labels = labels_take;
    metric->kind = (__typeof__(metric->kind))kind;
    *at = metric;
    return metric;
}

static struct metric *register_metric(struct mrd_metrics *metrics, enum mrd_metric_type type,
                                      int kind, const char *name, const char *help,
                                      const struct mrd_metric_label *labels)
{
    char *text = labels_text(labels, NULL, MRD_BYTES_NONE);
    pthread_mutex_lock(&metrics->lock);
    struct family *family = family_at(metrics, name, help, type);
    struct metric *metric = metric_at(family, text, kind, sizeof(*metric));
    pthread_mutex_unlock(&metrics->lock);
    return metric;
}

struct mrd_counter *mrd_metrics_counter(struct mrd_metrics *metrics, const char *name,
                                        const char *help, const struct mrd_metric_label *labels)
{
    return &register_metric(metrics, MRD_METRIC_COUNTER, METRIC_COUNTER, name, help, labels)
                ->counter;
}

struct mrd_gauge *mrd_metrics_gauge(struct mrd_metrics *metrics, const char *name, const char *help,
                                    const struct mrd_metric_label *labels)
{
    return &register_metric(metrics, MRD_METRIC_GAUGE, METRIC_GAUGE, name, help, labels)->gauge;
}

struct mrd_metrics_histogram *mrd_metrics_histogram(struct mrd_metrics *metrics, const char *name,
                                                    const char *help,
                                                    const struct mrd_metric_label *labels,
                                                    const double *bounds, size_t bound_count)
{
    mrd_assert(bound_count <= MRD_HISTOGRAM_BUCKETS_MAX);
    char *text = labels_text(labels, NULL, MRD_BYTES_NONE);
    pthread_mutex_lock(&metrics->lock);
    struct family *family = family_at(metrics, name, help, MRD_METRIC_HISTOGRAM);
    struct metric *metric = metric_at(family, text, METRIC_HISTOGRAM, sizeof(*metric));
    if (metric->histogram.bound_count == 0) {
        for (size_t i = 0; i < bound_count; i++) {
            mrd_assert(i == 0 || bounds[i] > bounds[i - 1]);
            metric->histogram.bounds[i] = bounds[i];
        }
        metric->histogram.bound_count = bound_count;
    }
    pthread_mutex_unlock(&metrics->lock);
    return &metric->histogram;
}

void mrd_metrics_callback(struct mrd_metrics *metrics, enum mrd_metric_type type, const char *name,
                          const char *help, const struct mrd_metric_label *labels,
                          double (*read)(void *context), void *context)
{
    mrd_assert(type != MRD_METRIC_HISTOGRAM);
    char *text = labels_text(labels, NULL, MRD_BYTES_NONE);
    pthread_mutex_lock(&metrics->lock);
    struct family *family = family_at(metrics, name, help, type);
    struct metric *metric = metric_at(family, text, METRIC_CALLBACK, sizeof(*metric));
    metric->callback.read = read;
    metric->callback.context = context;
    pthread_mutex_unlock(&metrics->lock);
}

void mrd_metrics_forget(struct mrd_metrics *metrics, const void *context)
{
    pthread_mutex_lock(&metrics->lock);
    for (struct family *family = metrics->families; family != NULL; family = family->next) {
        for (struct metric **at = &family->metrics; *at != NULL;) {
            struct metric *metric = *at;
            if (metric->kind == METRIC_CALLBACK && metric->callback.context == context) {
                *at = metric->next;
                free(metric->labels);
                free(metric);
            } else {
                at = &metric->next;
            }
        }
    }
    pthread_mutex_unlock(&metrics->lock);
}

struct mrd_counter_vec *mrd_metrics_counter_vec(struct mrd_metrics *metrics, const char *name,
                                                const char *help, const char *label_name,
                                                const struct mrd_metric_label *labels,
                                                size_t value_max)
{
    struct mrd_counter_vec *vec = take_memory(sizeof(*vec));
    vec->registry = metrics;
    vec->label_name = take_copy(label_name);
    vec->labels = labels_text(labels, NULL, MRD_BYTES_NONE);
    vec->value_max = value_max;
    pthread_mutex_lock(&metrics->lock);
    vec->family = family_at(metrics, name, help, MRD_METRIC_COUNTER);
    vec->next = metrics->vecs;
    metrics->vecs = vec;
    pthread_mutex_unlock(&metrics->lock);
    return vec;
}

static char *vec_labels(const struct mrd_counter_vec *vec, struct mrd_bytes value)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    mrd_buf_append_text(&text, vec->labels);
    append_label(&text, vec->label_name, value);
    mrd_buf_append_u8(&text, 0);
    return take_copy((const char *)text.data);
}

static bool family_has(const struct family *family, const char *labels)
{
    for (const struct metric *metric = family->metrics; metric != NULL; metric = metric->next) {
        if (strcmp(metric->labels, labels) == 0) {
            return true;
        }
    }
    return false;
}

struct mrd_counter *mrd_counter_vec_at(struct mrd_counter_vec *vec, struct mrd_bytes value)
{
    char *labels = vec_labels(vec, value);
    pthread_mutex_lock(&vec->registry->lock);
    if (!family_has(vec->family, labels)) {
        if (vec->value_count >= vec->value_max) {
            free(labels);
            labels = vec_labels(vec, MRD_BYTES("other"));
        } else {
            vec->value_count++;
        }
    }
    struct metric *metric = metric_at(vec->family, labels, METRIC_COUNTER, sizeof(struct metric));
    pthread_mutex_unlock(&vec->registry->lock);
    return &metric->counter;
}

/* ---- counting ---- */

void mrd_metrics_histogram_observe(struct mrd_metrics_histogram *histogram, double value)
{
    size_t i = 0;
    while (i < histogram->bound_count && !(value <= histogram->bounds[i])) {
        i++;
    }
    atomic_fetch_add_explicit(&histogram->counts[i], 1, memory_order_relaxed);
    uint64_t old_bits = atomic_load_explicit(&histogram->sum_bits, memory_order_relaxed);
    uint64_t new_bits;
    do {
        double sum;
        memcpy(&sum, &old_bits, sizeof(sum));
        sum += value;
        memcpy(&new_bits, &sum, sizeof(sum));
    } while (!atomic_compare_exchange_weak_explicit(&histogram->sum_bits, &old_bits, new_bits,
                                                    memory_order_relaxed, memory_order_relaxed));
}

uint64_t mrd_metrics_histogram_observations(const struct mrd_metrics_histogram *histogram)
{
    uint64_t count = 0;
    for (size_t i = 0; i <= histogram->bound_count; i++) {
        count += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
    }
    return count;
}

/* ---- the text ---- */

static void write_name(struct mrd_buf *out, const char *name, const char *suffix,
                       const char *labels, const char *le)
{
    mrd_buf_printf(out, "%s%s", name, suffix);
    if (labels[0] != 0 || le != NULL) {
        mrd_buf_printf(out, "{%s", labels);
        if (le != NULL) {
            mrd_buf_printf(out, "%sle=\"%s\"", labels[0] != 0 ? "," : "", le);
        }
        mrd_buf_append(out, "}", 1);
    }
    mrd_buf_append(out, " ", 1);
}

static void write_double(struct mrd_buf *out, double value)
{
    char text[MRD_DOUBLE_TEXT_MAX];
    const size_t size = mrd_double_format_g(value, text);
    mrd_buf_append(out, text, size);
    mrd_buf_append(out, "\n", 1);
}

/* The buckets are read one by one while others count, so the count is their sum, not a value of its
 * own: it always agrees with the +Inf bucket. */
static void write_histogram(struct mrd_buf *out, const char *name, const struct metric *metric)
{
    const struct mrd_metrics_histogram *histogram = &metric->histogram;
    uint64_t count = 0;
    for (size_t i = 0; i <= histogram->bound_count; i++) {
        char le[MRD_DOUBLE_TEXT_MAX] = "+Inf";
        if (i < histogram->bound_count) {
            (void)mrd_double_format_g(histogram->bounds[i], le);
        }
        count += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        write_name(out, name, "_bucket", metric->labels, le);
        mrd_buf_printf(out, "%llu\n", (unsigned long long)count);
    }
    const uint64_t bits = atomic_load_explicit(&histogram->sum_bits, memory_order_relaxed);
    double sum;
    memcpy(&sum, &bits, sizeof(sum));
    write_name(out, name, "_sum", metric->labels, NULL);
    write_double(out, sum);
    write_name(out, name, "_count", metric->labels, NULL);
    mrd_buf_printf(out, "%llu\n", (unsigned long long)count);
}

static void write_metric(struct mrd_buf *out, const char *name, const struct metric *metric)
{
    switch (metric->kind) {
    case METRIC_COUNTER:
        write_name(out, name, "", metric->labels, NULL);
        mrd_buf_printf(out, "%llu\n", (unsigned long long)mrd_counter_value(&metric->counter));
        break;
    case METRIC_GAUGE:
        write_name(out, name, "", metric->labels, NULL);
        mrd_buf_printf(out, "%lld\n", (long long)mrd_gauge_value(&metric->gauge));
        break;
    case METRIC_CALLBACK:
        write_name(out, name, "", metric->labels, NULL);
        write_double(out, metric->callback.read(metric->callback.context));
        break;
    case METRIC_HISTOGRAM:
        write_histogram(out, name, metric);
        break;
    }
}

void mrd_metrics_write(struct mrd_metrics *metrics, struct mrd_buf *out)
{
    pthread_mutex_lock(&metrics->lock);
    for (const struct family *family = metrics->families; family != NULL; family = family->next) {
        if (family->metrics == NULL) {
            continue;
        }
        mrd_buf_printf(out, "# HELP %s ", family->name);
        append_escaped(out, mrd_bytes_of(family->help), false);
        mrd_buf_printf(out, "\n# TYPE %s %s\n", family->name, type_names[family->type]);
        for (const struct metric *metric = family->metrics; metric != NULL; metric = metric->next) {
            write_metric(out, family->name, metric);
        }
    }
    pthread_mutex_unlock(&metrics->lock);
}
