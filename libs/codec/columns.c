#include "codec/columns.h"

#include <stdlib.h>

#include "codec/histogram.h"
#include "codec/resets.h"

enum { HISTOGRAM_BYTES_MAX = 64 << 20, HISTOGRAMS_PER_LOOK = 1024 };

void mrd_columns_fini(struct mrd_columns *columns)
{
    mrd_arena_destroy(&columns->histograms.arena);
    free(columns->histograms.times_ms);
    free(columns->histograms.start_times_ms);
    free(columns->histograms.items);
    free(columns->times_ms);
    free(columns->values);
    free(columns->start_times_ms);
    free(columns->runs);
    *columns = (struct mrd_columns){0};
}

struct mrd_columns_run {
    size_t start;
    size_t end;
};

static enum mrd_status out_of_memory(struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_LIMIT,
                    "out of memory for the samples of one series (querier.memory_bytes_max)");
}

static enum mrd_status columns_reserve(struct mrd_columns *columns, size_t capacity,
                                       struct mrd_error *err)
{
    if (capacity <= columns->capacity) {
        return MRD_OK;
    }
    capacity = MRD_MAX(capacity, columns->capacity * 2);
    mrd_time_ms *times_ms = realloc(columns->times_ms, capacity * sizeof(*times_ms));
    if (times_ms == NULL) {
        return out_of_memory(err);
    }
    columns->times_ms = times_ms;
    double *values = realloc(columns->values, capacity * sizeof(*values));
    if (values == NULL) {
        return out_of_memory(err);
    }
    columns->values = values;
    columns->capacity = capacity;
    return MRD_OK;
}

/* Start times of the samples that were decoded last, `count` of them behind the others. Nothing for a series that has
 * shown none so far. */
static enum mrd_status add_starts(struct mrd_columns *columns, const struct mrd_chunk *chunk,
                                  struct mrd_error *err)
{
    if (!columns->started && !mrd_chunk_has_starts(chunk->encoding)) {
        return MRD_OK;
    }
    if (columns->start_capacity < columns->capacity) {
        mrd_time_ms *bigger = reallocarray(columns->start_times_ms, columns->capacity,
                                           sizeof(*columns->start_times_ms));
        if (bigger == NULL) {
            return out_of_memory(err);
        }
        columns->start_times_ms = bigger;
        columns->start_capacity = columns->capacity;
    }
    if (!columns->started) {
        memset(columns->start_times_ms, 0, columns->count * sizeof(*columns->start_times_ms));
        columns->started = true;
    }
    return mrd_chunk_decode_starts(chunk->encoding, chunk->bytes, chunk->count,
                                   columns->times_ms + columns->count,
                                   columns->start_times_ms + columns->count, err);
}

/* Notes a decoded run; one that follows the last in time is joined to it at once. */
static enum mrd_status add_run(struct mrd_columns *columns, struct mrd_columns_run run,
                               struct mrd_error *err)
{
    if (columns->run_count > 0) {
        struct mrd_columns_run *last = &columns->runs[columns->run_count - 1];
        if (columns->times_ms[last->end - 1] < columns->times_ms[run.start]) {
            last->end = run.end;
            return MRD_OK;
        }
    }
    if (columns->run_count == columns->run_capacity) {
        const size_t capacity = MRD_MAX(columns->run_capacity * 2, (size_t)8);
        struct mrd_columns_run *runs = realloc(columns->runs, capacity * sizeof(*runs));
        if (runs == NULL) {
            return out_of_memory(err);
        }
        columns->runs = runs;
        columns->run_capacity = capacity;
    }
    columns->runs[columns->run_count++] = run;
    return MRD_OK;
}

void mrd_columns_begin(struct mrd_columns *columns)
{
    struct mrd_histogram_column *histograms = &columns->histograms;
    columns->count = 0;
    columns->run_count = 0;
    columns->started = false;
    histograms->started = false;
    histograms->count = 0;
    histograms->weight = 0;
    histograms->unordered = false;
    if (histograms->arena != NULL) {
        mrd_arena_reset(histograms->arena);
    }
}

/* ---- histograms ---- */

static enum mrd_status histograms_reserve(struct mrd_columns *columns, size_t capacity,
                                          struct mrd_error *err)
{
    struct mrd_histogram_column *column = &columns->histograms;
    if (column->arena == NULL) {
        const size_t limit = columns->histogram_bytes_max;
        column->arena = mrd_arena_create("histograms of one series",
                                         limit == 0 ? (size_t)HISTOGRAM_BYTES_MAX : limit);
    }
    if (capacity <= column->capacity) {
        return MRD_OK;
    }
    capacity = MRD_MAX(capacity, column->capacity * 2);
    mrd_time_ms *times_ms = reallocarray(column->times_ms, capacity, sizeof(*times_ms));
    if (times_ms == NULL) {
        return out_of_memory(err);
    }
    column->times_ms = times_ms;
    mrd_time_ms *start_times_ms =
        reallocarray(column->start_times_ms, capacity, sizeof(*start_times_ms));
    if (start_times_ms == NULL) {
        return out_of_memory(err);
    }
    column->start_times_ms = start_times_ms;
    struct mrd_histogram *items = reallocarray(column->items, capacity, sizeof(*items));
    if (items == NULL) {
        return out_of_memory(err);
    }
    column->items = items;
    column->capacity = capacity;
    return MRD_OK;
}

static enum mrd_status too_many(const struct mrd_columns *columns, size_t samples_max,
                                struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_LIMIT,
                    "a selector finds more than %zu samples, each 16 bytes of a histogram counted "
                    "as one (querier.samples_max)",
                    columns->samples_limit != 0 ? columns->samples_limit : samples_max);
}

static enum mrd_status add_histograms(struct mrd_columns *columns, const struct mrd_chunk *chunk,
                                      size_t samples_max, struct mrd_error *err)
{
    struct mrd_histogram_column *column = &columns->histograms;
    MRD_TRY(histograms_reserve(columns, column->count + chunk->count, err));
    struct mrd_histogram_arrays arrays = {column->times_ms + column->count,
                                          column->start_times_ms + column->count,
                                          column->items + column->count, false};
    MRD_TRY(mrd_histogram_chunk_decode(chunk->bytes, chunk->count, column->arena, &arrays, err));
    column->started |= arrays.any_start;
    if (column->count > 0 &&
        column->times_ms[column->count] <= column->times_ms[column->count - 1]) {
        column->unordered = true;
    }
    for (size_t i = 0; i < chunk->count; i++) {
        column->weight += mrd_histogram_weight(&column->items[column->count + i]);
    }
    column->count += chunk->count;
    const size_t left = samples_max - MRD_MIN(columns->count, samples_max);
    return column->weight > left ? too_many(columns, samples_max, err) : MRD_OK;
}

struct histogram_place {
    mrd_time_ms time_ms;
    mrd_time_ms start_ms;
    size_t index;
};

static int compare_places(const void *a, const void *b)
{
    const struct histogram_place *x = a;
    const struct histogram_place *y = b;
    if (x->time_ms != y->time_ms) {
        return x->time_ms < y->time_ms ? -1 : 1;
    }
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Brings the histograms into the order of their times; of equal ones the last added stays. */
static enum mrd_status sort_histograms(struct mrd_histogram_column *column, struct mrd_error *err)
{
    struct histogram_place *places =
        mrd_arena_alloc_array(column->arena, column->count, sizeof(*places));
    struct mrd_histogram *items =
        mrd_arena_alloc_array(column->arena, column->count, sizeof(*items));
    if (places == NULL || items == NULL) {
        return mrd_arena_fail(column->arena, err);
    }
    for (size_t i = 0; i < column->count; i++) {
        places[i] = (struct histogram_place){column->times_ms[i], column->start_times_ms[i], i};
        items[i] = column->items[i];
    }
    qsort(places, column->count, sizeof(*places), compare_places);
    size_t kept = 0;
    for (size_t i = 0; i < column->count; i++) {
        if (i + 1 < column->count && places[i + 1].time_ms == places[i].time_ms) {
            continue;
        }
        column->times_ms[kept] = places[i].time_ms;
        column->start_times_ms[kept] = places[i].start_ms;
        column->items[kept++] = items[places[i].index];
    }
    column->count = kept;
    column->unordered = false;
    return MRD_OK;
}

/* Takes the samples away that have the time of a histogram. */
static void drop_hidden(struct mrd_columns *columns)
{
    const struct mrd_histogram_column *histograms = &columns->histograms;
    size_t kept = 0;
    size_t at = 0;
    for (size_t i = 0; i < columns->count; i++) {
        while (at < histograms->count && histograms->times_ms[at] < columns->times_ms[i]) {
            at++;
        }
        if (at < histograms->count && histograms->times_ms[at] == columns->times_ms[i]) {
            continue;
        }
        columns->times_ms[kept] = columns->times_ms[i];
        if (columns->started) {
            columns->start_times_ms[kept] = columns->start_times_ms[i];
        }
        columns->values[kept++] = columns->values[i];
    }
    columns->count = kept;
}

/* ---- samples ---- */

enum mrd_status mrd_columns_add(struct mrd_columns *columns, struct mrd_frame *frame,
                                size_t samples_max, struct mrd_error *err)
{
    struct mrd_chunk chunk;
    while (mrd_frame_read_chunk(frame, &chunk)) {
        if (chunk.encoding == MRD_CHUNK_HISTOGRAMS) {
            MRD_TRY(add_histograms(columns, &chunk, samples_max, err));
            continue;
        }
        const size_t taken = columns->count + columns->histograms.weight;
        if (chunk.count > samples_max - MRD_MIN(taken, samples_max)) {
            return too_many(columns, samples_max, err);
        }
        MRD_TRY(columns_reserve(columns, columns->count + chunk.count, err));
        MRD_TRY(mrd_chunk_decode(chunk.encoding, chunk.bytes, chunk.count,
                                 columns->times_ms + columns->count,
                                 columns->values + columns->count, err));
        MRD_TRY(add_starts(columns, &chunk, err));
        const struct mrd_columns_run run = {columns->count, columns->count + chunk.count};
        columns->count += chunk.count;
        MRD_TRY(add_run(columns, run, err));
    }
    return MRD_OK;
}

/* Where merged runs go; start_times_ms is NULL for a series without any. */
struct merged {
    mrd_time_ms *times_ms;
    double *values;
    mrd_time_ms *start_times_ms;
};

/* Merges two runs of the columns into `to` at `at`; the newer one wins. The merged run. */
static enum mrd_status merge_two(const struct mrd_columns *columns, struct mrd_columns_run older,
                                 struct mrd_columns_run newer, const struct merged *to, size_t at,
                                 struct mrd_pace *pace, struct mrd_columns_run *out,
                                 struct mrd_error *err)
{
    const mrd_time_ms *times_ms = columns->times_ms;
    const size_t start = at;
    while (older.start < older.end || newer.start < newer.end) {
        size_t take;
        if (newer.start == newer.end ||
            (older.start < older.end && times_ms[older.start] < times_ms[newer.start])) {
            take = older.start++;
        } else {
            if (older.start < older.end && times_ms[older.start] == times_ms[newer.start]) {
                older.start++;
            }
            take = newer.start++;
        }
        to->times_ms[at] = times_ms[take];
        to->values[at] = columns->values[take];
        if (to->start_times_ms != NULL) {
            to->start_times_ms[at] = columns->start_times_ms[take];
        }
        at++;
        MRD_TRY(mrd_pace(pace, 1, err));
    }
    *out = (struct mrd_columns_run){start, at};
    return MRD_OK;
}

static void merged_free(struct merged *merged)
{
    free(merged->times_ms);
    free(merged->values);
    free(merged->start_times_ms);
    *merged = (struct merged){0};
}

static enum mrd_status merged_alloc(const struct mrd_columns *columns, struct merged *out,
                                    struct mrd_error *err)
{
    const size_t size = columns->capacity * sizeof(mrd_time_ms);
    *out = (struct merged){malloc(size), malloc(columns->capacity * sizeof(double)),
                           columns->started ? malloc(size) : NULL};
    if (out->times_ms != NULL && out->values != NULL &&
        (out->start_times_ms != NULL) == columns->started) {
        return MRD_OK;
    }
    merged_free(out);
    return out_of_memory(err);
}

/* The arrays of the columns change places with the merged ones. */
static void merged_swap(struct mrd_columns *columns, struct merged *merged)
{
    const struct merged old = {columns->times_ms, columns->values,
                               columns->started ? columns->start_times_ms : NULL};
    columns->times_ms = merged->times_ms;
    columns->values = merged->values;
    if (columns->started) {
        columns->start_times_ms = merged->start_times_ms;
        columns->start_capacity = columns->capacity;
    }
    *merged = old;
}

/* One pass: neighbours are merged into new arrays, which replace the old ones. */
static enum mrd_status merge_pass(struct mrd_columns *columns, struct mrd_pace *pace,
                                  struct mrd_error *err)
{
    mrd_auto(merged_free)
    struct merged to = {0};
    MRD_TRY(merged_alloc(columns, &to, err));
    size_t at = 0;
    size_t merged = 0;
    for (size_t i = 0; i < columns->run_count; i += 2) {
        const struct mrd_columns_run none = {0, 0};
        const struct mrd_columns_run newer =
            i + 1 < columns->run_count ? columns->runs[i + 1] : none;
        struct mrd_columns_run run;
        MRD_TRY(merge_two(columns, columns->runs[i], newer, &to, at, pace, &run, err));
        columns->runs[merged++] = run;
        at = run.end;
    }
    merged_swap(columns, &to);
    columns->count = at;
    columns->run_count = merged;
    return MRD_OK;
}

/* Index of the first time that is at least (or, with `after`, greater than) time_ms. */
static size_t find_time(const mrd_time_ms *times_ms, size_t count, mrd_time_ms time_ms, bool after)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const mrd_time_ms at = times_ms[middle];
        if (after ? at <= time_ms : at < time_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct range {
    size_t first;
    size_t count;
};
static struct range find_range(const mrd_time_ms *times_ms, size_t count, mrd_time_ms min_ms,
                               mrd_time_ms max_ms)
{
    const size_t first = find_time(times_ms, count, min_ms, false);
    const size_t end = find_time(times_ms, count, max_ms, true);
    return (struct range){first, end > first ? end - first : 0};
}

static enum mrd_status finish_histograms(struct mrd_columns *columns, mrd_time_ms min_ms,
                                         mrd_time_ms max_ms, struct mrd_histograms *out,
                                         struct mrd_error *err)
{
    struct mrd_histogram_column *column = &columns->histograms;
    if (column->unordered) {
        MRD_TRY(sort_histograms(column, err));
    }
    drop_hidden(columns);
    struct range range = find_range(column->times_ms, column->count, min_ms, max_ms);
    if (range.count > 0 && range.first > 0 &&
        column->times_ms[range.first - 1] >=
            mrd_time_earlier(min_ms, columns->histograms_before_ms)) {
        range = (struct range){range.first - 1, range.count + 1};
    }
    const size_t end = range.first + range.count;
    for (size_t first = range.first; first < end; first += HISTOGRAMS_PER_LOOK) {
        mrd_histograms_find_resets(column->items, first, MRD_MIN(first + HISTOGRAMS_PER_LOOK, end),
                                   column->arena);
        MRD_TRY(mrd_look(&columns->look, err));
    }
    *out = (struct mrd_histograms){column->times_ms + range.first, column->items + range.first,
                                   range.count,
                                   column->started ? column->start_times_ms + range.first : NULL};
    return MRD_OK;
}

enum mrd_status mrd_columns_finish(struct mrd_columns *columns, mrd_time_ms min_ms,
                                   mrd_time_ms max_ms, struct mrd_samples *out,
                                   struct mrd_histograms *out_histograms, struct mrd_error *err)
{
    *out = (struct mrd_samples){0};
    *out_histograms = (struct mrd_histograms){0};
    struct mrd_pace pace = {.look = &columns->look};
    while (columns->run_count > 1) {
        MRD_TRY(merge_pass(columns, &pace, err));
    }
    if (columns->histograms.count > 0) {
        MRD_TRY(finish_histograms(columns, min_ms, max_ms, out_histograms, err));
    }
    if (columns->count > 0) {
        const struct range range = find_range(columns->times_ms, columns->count, min_ms, max_ms);
        *out = (struct mrd_samples){
            columns->times_ms + range.first, columns->values + range.first, range.count,
            columns->started ? columns->start_times_ms + range.first : NULL};
    }
    return MRD_OK;
}
