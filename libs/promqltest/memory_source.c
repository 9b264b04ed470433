#include "promqltest/memory_source.h"

#include <stdlib.h>

#include "model/series_order.h"
#include "promql/fragment.h"

struct memory_series {
    struct mrd_buf label_bytes; /* canonical; `labels` points into it */
    struct mrd_arena *arena;
    struct mrd_labels labels;
    mrd_time_ms *times_ms;
    double *values;
    mrd_time_ms *start_times_ms; /* 0: unknown */
    size_t count;
    size_t capacity;
    bool started; /* a start time is known, of a histogram too */

    mrd_time_ms *histogram_times_ms;
    mrd_time_ms *histogram_starts_ms;
    struct mrd_histogram *histograms; /* their parts are in the arena */
    struct mrd_float_histogram *last_histogram;
    size_t histogram_count;
    size_t histogram_capacity;
};

struct mrd_memory_source {
    struct mrd_source source;
    struct memory_series **series; /* sorted by labels */
    size_t count;
    size_t capacity;
    size_t last;                  /* index of the series put to last */
    struct memory_series **order; /* of sets; NULL: that of `series` */
    size_t order_count;
    _Atomic size_t calls_left;
    _Atomic size_t open_sets;
    struct mrd_memory_layout layout;
    size_t fragments;
};

struct mrd_source_set {
    struct mrd_memory_source *source;
    const struct mrd_select *select;
    size_t at;
    uint32_t segment;
    bool one_segment; /* of which `segment` is the only one */

    /* Of a fragment. */
    const struct mrd_query_control *control;
    size_t bytes_max;
    struct mrd_buf fragment;
    struct mrd_buf states;
};

/* ---- filling ---- */

static void *must_grow(void *items, size_t *capacity, size_t item_size)
{
    *capacity = *capacity == 0 ? 16 : *capacity * 2;
    void *grown = realloc(items, *capacity * item_size);
    mrd_assert(grown != NULL);
    return grown;
}

static struct memory_series *series_create(struct mrd_labels labels)
{
    struct memory_series *series = calloc(1, sizeof(*series));
    mrd_assert(series != NULL);
    series->arena = mrd_arena_create("memory series", SIZE_MAX);
    mrd_labels_encode(labels, &series->label_bytes);
    const enum mrd_status status =
        mrd_labels_decode(mrd_buf_view(&series->label_bytes), series->arena, &series->labels, NULL);
    mrd_assert(status == MRD_OK);
    return series;
}

static void series_destroy(struct memory_series *series)
{
    mrd_arena_destroy(&series->arena);
    mrd_buf_fini(&series->label_bytes);
    free(series->times_ms);
    free(series->values);
    free(series->start_times_ms);
    free(series->histogram_starts_ms);
    free(series->histogram_times_ms);
    free(series->histograms);
    free(series);
}

/* Index of the first series not before `labels`. */
static size_t lower_bound(const struct mrd_memory_source *source, struct mrd_labels labels)
{
    size_t low = 0;
    size_t high = source->count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (mrd_labels_compare(source->series[middle]->labels, labels) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct memory_series *find_or_create(struct mrd_memory_source *source,
                                            struct mrd_labels labels)
{
    if (source->last < source->count &&
        mrd_labels_equal(source->series[source->last]->labels, labels)) {
        return source->series[source->last];
    }
    const size_t at = lower_bound(source, labels);
    source->last = at;
    if (at < source->count && mrd_labels_equal(source->series[at]->labels, labels)) {
        return source->series[at];
    }
    if (source->count == source->capacity) {
        source->series = must_grow(source->series, &source->capacity, sizeof(*source->series));
    }
    memmove(source->series + at + 1, source->series + at,
            (source->count - at) * sizeof(*source->series));
    source->series[at] = series_create(labels);
    source->count++;
    return source->series[at];
}

void mrd_memory_source_put(struct mrd_memory_source *source, struct mrd_labels labels,
                           struct mrd_sample sample)
{
    struct memory_series *series = find_or_create(source, labels);
    size_t at = series->count;
    while (at > 0 && series->times_ms[at - 1] >= sample.time_ms) {
        at--;
    }
    if (at < series->count && series->times_ms[at] == sample.time_ms) {
        series->values[at] = sample.value;
        series->start_times_ms[at] = 0;
        return;
    }
    if (series->count == series->capacity) {
        size_t capacity = series->capacity;
        series->times_ms = must_grow(series->times_ms, &capacity, sizeof(*series->times_ms));
        capacity = series->capacity;
        series->start_times_ms =
            must_grow(series->start_times_ms, &capacity, sizeof(*series->start_times_ms));
        series->values = must_grow(series->values, &series->capacity, sizeof(*series->values));
    }
    const size_t rest = series->count - at;
    memmove(series->times_ms + at + 1, series->times_ms + at, rest * sizeof(*series->times_ms));
    memmove(series->values + at + 1, series->values + at, rest * sizeof(*series->values));
    memmove(series->start_times_ms + at + 1, series->start_times_ms + at,
            rest * sizeof(*series->start_times_ms));
    series->times_ms[at] = sample.time_ms;
    series->start_times_ms[at] = 0;
    series->values[at] = sample.value;
    series->count++;
}

/* ---- histograms ---- */

static void *must_alloc(struct mrd_arena *arena, size_t count, size_t size)
{
    void *items = mrd_arena_alloc_array(arena, count + 1, size);
    mrd_assert(items != NULL);
    return items;
}

static struct mrd_histogram_side store_side(struct mrd_arena *arena,
                                            const struct mrd_float_buckets *from)
{
    struct mrd_histogram_span *spans = must_alloc(arena, from->count, sizeof(*spans));
    union mrd_histogram_count *counts = must_alloc(arena, from->count, sizeof(*counts));
    size_t span_count = 0;
    int32_t next = 0;
    for (size_t i = 0; i < from->count; i++) {
        if (i == 0 || from->indexes[i] != next) {
            spans[span_count++] = (struct mrd_histogram_span){from->indexes[i] - next, 0};
        }
        spans[span_count - 1].length++;
        counts[i].real = from->counts[i];
        next = from->indexes[i] + 1;
    }
    return (struct mrd_histogram_side){spans, counts, span_count, from->count};
}

/* What a storage knows about resets: that there was none since the sample before, or nothing (after a gap of
 * any kind, and where the histogram seems to have been reset: who reads it finds that out). What was said of them is
 * not looked at. */
static enum mrd_histogram_reset known_reset(const struct memory_series *series,
                                            const struct mrd_float_histogram *histogram)
{
    const struct mrd_float_histogram *before = series->last_histogram;
    struct mrd_float_histogram unmarked = *histogram;
    bool reset = false;
    if (histogram->reset == MRD_HISTOGRAM_GAUGE) {
        return MRD_HISTOGRAM_GAUGE;
    }
    const bool follows =
        before != NULL && before->reset != MRD_HISTOGRAM_GAUGE &&
        histogram->schema == before->schema &&
        histogram->zero_threshold == before->zero_threshold &&
        (series->count == 0 || series->times_ms[series->count - 1] <
                                   series->histogram_times_ms[series->histogram_count - 1]);
    if (!follows) {
        return MRD_HISTOGRAM_RESET_UNKNOWN;
    }
    unmarked.reset = MRD_HISTOGRAM_RESET_UNKNOWN;
    const enum mrd_status status =
        mrd_float_histogram_was_reset(&unmarked, before, series->arena, &reset, NULL);
    mrd_assert(status == MRD_OK);
    return reset ? MRD_HISTOGRAM_RESET_UNKNOWN : MRD_HISTOGRAM_NO_RESET;
}

bool mrd_memory_source_put_histogram(struct mrd_memory_source *source, struct mrd_labels labels,
                                     mrd_time_ms time_ms,
                                     const struct mrd_float_histogram *histogram)
{
    struct memory_series *series = find_or_create(source, labels);
    struct mrd_float_histogram *kept = NULL;
    const size_t count = series->histogram_count;
    const bool again = count > 0 && series->histogram_times_ms[count - 1] == time_ms;
    const size_t at = again ? count - 1 : count;
    if (count > 0 && series->histogram_times_ms[count - 1] > time_ms) {
        return false;
    }
    const enum mrd_histogram_reset reset =
        again ? series->last_histogram->reset : known_reset(series, histogram);
    const enum mrd_status status = mrd_float_histogram_clone(histogram, series->arena, &kept, NULL);
    mrd_assert(status == MRD_OK);
    if (at == series->histogram_capacity) {
        size_t capacity = series->histogram_capacity;
        series->histogram_times_ms =
            must_grow(series->histogram_times_ms, &capacity, sizeof(*series->histogram_times_ms));
        capacity = series->histogram_capacity;
        series->histogram_starts_ms =
            must_grow(series->histogram_starts_ms, &capacity, sizeof(*series->histogram_starts_ms));
        series->histograms =
            must_grow(series->histograms, &series->histogram_capacity, sizeof(*series->histograms));
    }
    kept->reset = reset;
    series->last_histogram = kept;
    series->histogram_times_ms[at] = time_ms;
    series->histogram_starts_ms[at] = 0;
    series->histograms[at] = (struct mrd_histogram){
        .is_float = true,
        .reset = reset,
        .schema = kept->schema,
        .zero_threshold = kept->zero_threshold,
        .sum = kept->sum,
        .count.real = kept->count,
        .zero_count.real = kept->zero_count,
        .positive = store_side(series->arena, &kept->positive),
        .negative = store_side(series->arena, &kept->negative),
        .custom_values = kept->custom_values,
        .custom_value_count = kept->custom_value_count,
    };
    series->histogram_count = at + 1;
    return true;
}

/* ---- reading ---- */

static enum mrd_status count_call(struct mrd_memory_source *source, struct mrd_error *err)
{
    if (source->calls_left > 0 && --source->calls_left == 0) {
        return mrd_fail(err, MRD_E_UNAVAILABLE, "memory source: told to fail here");
    }
    return MRD_OK;
}

static enum mrd_status source_open(void *context, const struct mrd_select *select,
                                   const struct mrd_query_scope *scope,
                                   struct mrd_source_set **out_set, struct mrd_error *err)
{
    struct mrd_memory_source *source = context;
    MRD_TRY(count_call(source, err));
    struct mrd_source_set *set = mrd_arena_alloc(scope->arena, sizeof(*set));
    if (set == NULL) {
        return mrd_arena_fail(scope->arena, err);
    }
    *set = (struct mrd_source_set){.source = source, .select = select};
    source->open_sets++;
    *out_set = set;
    return MRD_OK;
}

/* The index of the first time >= time_ms. */
static size_t first_at(const mrd_time_ms *times_ms, size_t count, mrd_time_ms time_ms)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (times_ms[middle] < time_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Behind the last one at or before time_ms. */
static size_t first_after(const mrd_time_ms *times_ms, size_t count, mrd_time_ms time_ms)
{
    return time_ms == INT64_MAX ? count : first_at(times_ms, count, time_ms + 1);
}

bool mrd_memory_source_start(struct mrd_memory_source *source, struct mrd_labels labels,
                             mrd_time_ms time_ms, mrd_time_ms start_ms)
{
    struct memory_series *series = find_or_create(source, labels);
    const size_t at = first_at(series->times_ms, series->count, time_ms);
    const size_t histogram = first_at(series->histogram_times_ms, series->histogram_count, time_ms);
    if (at < series->count && series->times_ms[at] == time_ms) {
        series->start_times_ms[at] = start_ms;
    } else if (histogram < series->histogram_count &&
               series->histogram_times_ms[histogram] == time_ms) {
        series->histogram_starts_ms[histogram] = start_ms;
    } else {
        return false;
    }
    series->started |= start_ms != 0;
    return true;
}

static struct mrd_samples samples_in(const struct memory_series *series, mrd_time_ms min_ms,
                                     mrd_time_ms max_ms)
{
    const size_t from = first_at(series->times_ms, series->count, min_ms);
    const size_t to = first_after(series->times_ms, series->count, max_ms);
    if (from == to) {
        return (struct mrd_samples){0};
    }
    return (struct mrd_samples){series->times_ms + from, series->values + from, to - from,
                                series->started ? series->start_times_ms + from : NULL};
}

static struct mrd_histograms histograms_in(const struct memory_series *series, mrd_time_ms min_ms,
                                           mrd_time_ms max_ms)
{
    const mrd_time_ms *times_ms = series->histogram_times_ms;
    const size_t from = first_at(times_ms, series->histogram_count, min_ms);
    const size_t to = first_after(times_ms, series->histogram_count, max_ms);
    if (from == to) {
        return (struct mrd_histograms){0};
    }
    return (struct mrd_histograms){times_ms + from, series->histograms + from, to - from,
                                   series->started ? series->histogram_starts_ms + from : NULL};
}

static uint32_t segment_of(const struct mrd_memory_source *source,
                           const struct memory_series *series)
{
    const struct mrd_memory_layout *layout = &source->layout;
    return layout->segments == 1
               ? 0
               : mrd_series_partition(
                     mrd_series_id_of(layout->salt, mrd_buf_view(&series->label_bytes)),
                     layout->segments);
}

/* The next series that the select finds in the set's segment, NULL at its end. */
static const struct memory_series *segment_next(struct mrd_source_set *set)
{
    const struct mrd_select *select = set->select;
    const struct mrd_memory_source *source = set->source;
    struct memory_series *const *order = source->order == NULL ? source->series : source->order;
    mrd_assert(source->order == NULL || source->order_count == source->count);
    while (set->at < source->count) {
        const struct memory_series *series = order[set->at++];
        if (segment_of(source, series) == set->segment &&
            mrd_matchers_match(select->matchers, select->matcher_count, series->labels)) {
            return series;
        }
    }
    return NULL;
}

static enum mrd_status source_next(struct mrd_source_set *set, struct mrd_source_series *out,
                                   bool *out_more, struct mrd_error *err)
{
    const struct mrd_select *select = set->select;
    MRD_TRY(count_call(set->source, err));
    for (;;) {
        const struct memory_series *series = segment_next(set);
        if (series == NULL &&
            (set->one_segment || ++set->segment >= set->source->layout.segments)) {
            break;
        }
        if (series == NULL) {
            set->at = 0;
            continue;
        }
        out->segment = set->one_segment ? 0 : set->segment;
        out->labels = series->labels;
        out->samples = samples_in(series, select->min_ms, select->max_ms);
        out->histograms = histograms_in(
            series, mrd_time_earlier(select->min_ms, select->histograms_before_ms), select->max_ms);
        if (out->samples.count + out->histograms.count > 0) {
            *out_more = true;
            return MRD_OK;
        }
    }
    *out_more = false;
    return MRD_OK;
}

static void source_close(struct mrd_source_set *set)
{
    set->source->open_sets--;
    mrd_buf_fini(&set->fragment);
    mrd_buf_fini(&set->states);
}

/* ---- fragments: each segment is read by a source of its own, as another process would ---- */

struct segment_source {
    struct mrd_memory_source *source;
    uint32_t segment;
};

static enum mrd_status segment_open(void *context, const struct mrd_select *select,
                                    const struct mrd_query_scope *scope,
                                    struct mrd_source_set **out_set, struct mrd_error *err)
{
    const struct segment_source *segment = context;
    MRD_TRY(source_open(segment->source, select, scope, out_set, err));
    (*out_set)->segment = segment->segment;
    (*out_set)->one_segment = true;
    return MRD_OK;
}

static enum mrd_status source_open_fragment(void *context, const struct mrd_select *select,
                                            const struct mrd_fragment *fragment,
                                            const struct mrd_query_scope *scope,
                                            struct mrd_source_set **out_set, struct mrd_error *err)
{
    struct mrd_memory_source *source = context;
    if (!source->layout.pushes || source->layout.declines > 0) {
        source->layout.declines -= source->layout.declines > 0;
        return MRD_OK;
    }
    MRD_TRY(source_open(source, select, scope, out_set, err));
    (*out_set)->control = scope->control;
    (*out_set)->bytes_max = mrd_arena_limit(scope->arena);
    mrd_fragment_encode(fragment, &(*out_set)->fragment);
    source->fragments++;
    return MRD_OK;
}

static enum mrd_status source_next_states(struct mrd_source_set *set, struct mrd_bytes *out,
                                          bool *out_more, struct mrd_error *err)
{
    struct segment_source segment = {set->source, set->segment};
    const struct mrd_source source = {
        .context = &segment, .open = segment_open, .next = source_next, .close = source_close};
    struct mrd_fragment fragment;
    *out_more = set->segment++ < set->source->layout.segments;
    if (!*out_more) {
        return MRD_OK;
    }
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("fragment", set->bytes_max);
    mrd_buf_clear(&set->states);
    MRD_TRY(mrd_fragment_decode(mrd_buf_view(&set->fragment), &fragment, err));
    MRD_TRY(mrd_fragment_run(&fragment, &source, set->control, arena, &set->states, err));
    *out = mrd_buf_view(&set->states);
    return MRD_OK;
}

/* ---- the API's questions ---- */

static bool series_matches(const struct memory_series *series, const struct mrd_label_query *query)
{
    if (samples_in(series, query->min_ms, query->max_ms).count == 0 &&
        histograms_in(series, query->min_ms, query->max_ms).count == 0) {
        return false;
    }
    for (size_t i = 0; i < query->matcher_set_count; i++) {
        if (mrd_matchers_match(query->matcher_sets[i], query->matcher_counts[i], series->labels)) {
            return true;
        }
    }
    return query->matcher_set_count == 0;
}

static int by_bytes(const void *a, const void *b)
{
    return mrd_bytes_compare(*(const struct mrd_bytes *)a, *(const struct mrd_bytes *)b);
}

/* Sorts them and drops repeated ones; returns how many are left. */
static size_t sort_unique(struct mrd_bytes *items, size_t count)
{
    size_t kept = 0;
    qsort(items, count, sizeof(*items), by_bytes);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !mrd_bytes_equal(items[kept - 1], items[i])) {
            items[kept++] = items[i];
        }
    }
    return kept;
}

static void cut_texts(struct mrd_texts *texts, size_t limit)
{
    if (limit != 0 && texts->count > limit) {
        texts->count = limit;
        texts->truncated = true;
    }
}

static enum mrd_status source_label_names(void *context, const struct mrd_label_query *query,
                                          const struct mrd_query_scope *scope,
                                          struct mrd_texts *out, struct mrd_error *err)
{
    const struct mrd_memory_source *source = context;
    size_t capacity = 1;
    for (size_t i = 0; i < source->count; i++) {
        capacity += source->series[i]->labels.count;
    }
    struct mrd_bytes *items = mrd_arena_alloc_array(scope->arena, capacity, sizeof(*items));
    if (items == NULL) {
        return mrd_arena_fail(scope->arena, err);
    }
    size_t count = 0;
    for (size_t i = 0; i < source->count; i++) {
        const struct mrd_labels labels = source->series[i]->labels;
        for (size_t j = 0; series_matches(source->series[i], query) && j < labels.count; j++) {
            items[count++] = labels.items[j].name;
        }
    }
    *out = (struct mrd_texts){.items = items, .count = sort_unique(items, count)};
    cut_texts(out, query->limit);
    return MRD_OK;
}

static enum mrd_status source_label_values(void *context, struct mrd_bytes name,
                                           const struct mrd_label_query *query,
                                           const struct mrd_query_scope *scope,
                                           struct mrd_texts *out, struct mrd_error *err)
{
    const struct mrd_memory_source *source = context;
    struct mrd_bytes *items =
        mrd_arena_alloc_array(scope->arena, source->count + 1, sizeof(*items));
    if (items == NULL) {
        return mrd_arena_fail(scope->arena, err);
    }
    size_t count = 0;
    for (size_t i = 0; i < source->count; i++) {
        const struct mrd_bytes value = mrd_labels_get(source->series[i]->labels, name);
        if (value.size > 0 && series_matches(source->series[i], query)) {
            items[count++] = value;
        }
    }
    *out = (struct mrd_texts){.items = items, .count = sort_unique(items, count)};
    cut_texts(out, query->limit);
    return MRD_OK;
}

static enum mrd_status source_series(void *context, const struct mrd_label_query *query,
                                     const struct mrd_query_scope *scope,
                                     struct mrd_label_sets *out, struct mrd_error *err)
{
    const struct mrd_memory_source *source = context;
    struct mrd_labels *items =
        mrd_arena_alloc_array(scope->arena, source->count + 1, sizeof(*items));
    if (items == NULL) {
        return mrd_arena_fail(scope->arena, err);
    }
    *out = (struct mrd_label_sets){.items = items};
    for (size_t i = 0; i < source->count; i++) {
        if (!series_matches(source->series[i], query)) {
            continue;
        }
        if (query->limit != 0 && out->count == query->limit) {
            out->truncated = true;
            return MRD_OK;
        }
        items[out->count++] = source->series[i]->labels;
    }
    return MRD_OK;
}

/* ---- life ---- */

struct mrd_memory_source *mrd_memory_source_create(void)
{
    struct mrd_memory_source *source = calloc(1, sizeof(*source));
    mrd_assert(source != NULL);
    source->layout = (struct mrd_memory_layout){.segments = 1};
    source->source = (struct mrd_source){
        .context = source,
        .open = source_open,
        .next = source_next,
        .open_fragment = source_open_fragment,
        .next_states = source_next_states,
        .close = source_close,
        .label_names = source_label_names,
        .label_values = source_label_values,
        .series = source_series,
    };
    return source;
}

void mrd_memory_source_clear(struct mrd_memory_source *source)
{
    for (size_t i = 0; i < source->count; i++) {
        series_destroy(source->series[i]);
    }
    source->count = 0;
    source->last = 0;
}

void mrd_memory_source_destroy(struct mrd_memory_source **source)
{
    if (*source == NULL) {
        return;
    }
    mrd_memory_source_clear(*source);
    free((*source)->series);
    free((*source)->order);
    free(*source);
    *source = NULL;
}

static int compare_order(const void *a, const void *b)
{
    return mrd_series_order((*(struct memory_series *const *)a)->labels,
                            (*(struct memory_series *const *)b)->labels);
}

static void put_in_order(struct mrd_memory_source *source)
{
    source->order = calloc(source->count + 1, sizeof(struct memory_series *));
    mrd_assert(source->order != NULL);
    source->order_count = source->count;
    if (source->count > 0) {
        memcpy(source->order, source->series, source->count * sizeof(struct memory_series *));
        qsort(source->order, source->count, sizeof(struct memory_series *), compare_order);
    }
}

void mrd_memory_source_arrange(struct mrd_memory_source *source,
                               const struct mrd_memory_layout *layout)
{
    mrd_assert(layout->segments > 0);
    source->layout = *layout;
    free(source->order);
    source->order = NULL;
    if (layout->in_order) {
        put_in_order(source);
    }
}

size_t mrd_memory_source_fragments(const struct mrd_memory_source *source)
{
    return source->fragments;
}

void mrd_memory_source_fail_at(struct mrd_memory_source *source, size_t call)
{
    source->calls_left = call;
}

size_t mrd_memory_source_open_sets(const struct mrd_memory_source *source)
{
    return source->open_sets;
}

const struct mrd_source *mrd_memory_source_get(struct mrd_memory_source *source)
{
    return &source->source;
}
