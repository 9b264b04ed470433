#include "codec/columns.h"

#include <stdlib.h>

void mrd_columns_fini(struct mrd_columns *columns)
{
    free(columns->times_ms);
    free(columns->values);
    free(columns->runs);
    *columns = (struct mrd_columns){0};
}

struct mrd_columns_run {
    size_t start;
    size_t end;
};

static enum mrd_status out_of_memory(struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_LIMIT, "out of memory for the samples of one series");
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
    columns->count = 0;
    columns->run_count = 0;
}

enum mrd_status mrd_columns_add(struct mrd_columns *columns, struct mrd_frame *frame,
                                size_t samples_max, struct mrd_error *err)
{
    struct mrd_chunk chunk;
    while (mrd_frame_read_chunk(frame, &chunk)) {
        if (chunk.count > samples_max - MRD_MIN(columns->count, samples_max)) {
            return mrd_fail(err, MRD_E_LIMIT, "one series has more than %zu samples", samples_max);
        }
        MRD_TRY(columns_reserve(columns, columns->count + chunk.count, err));
        MRD_TRY(mrd_chunk_decode(chunk.encoding, chunk.bytes, chunk.count,
                                 columns->times_ms + columns->count,
                                 columns->values + columns->count, err));
        const struct mrd_columns_run run = {columns->count, columns->count + chunk.count};
        columns->count += chunk.count;
        MRD_TRY(add_run(columns, run, err));
    }
    return MRD_OK;
}

/* Merges two runs that stand in `from` into `to` at `at`; the newer one wins. The merged run. */
static struct mrd_columns_run merge_two(const struct mrd_columns *columns,
                                        struct mrd_columns_run older, struct mrd_columns_run newer,
                                        mrd_time_ms *to_times_ms, double *to_values, size_t at)
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
        to_times_ms[at] = times_ms[take];
        to_values[at] = columns->values[take];
        at++;
    }
    return (struct mrd_columns_run){start, at};
}

/* One pass: neighbours are merged into new arrays, which replace the old ones. */
static enum mrd_status merge_pass(struct mrd_columns *columns, struct mrd_error *err)
{
    mrd_time_ms *times_ms = malloc(columns->capacity * sizeof(*times_ms));
    double *values = malloc(columns->capacity * sizeof(*values));
    if (times_ms == NULL || values == NULL) {
        free(times_ms);
        free(values);
        return out_of_memory(err);
    }
    size_t at = 0;
    size_t merged = 0;
    for (size_t i = 0; i < columns->run_count; i += 2) {
        const struct mrd_columns_run none = {0, 0};
        const struct mrd_columns_run newer =
            i + 1 < columns->run_count ? columns->runs[i + 1] : none;
        columns->runs[merged] = merge_two(columns, columns->runs[i], newer, times_ms, values, at);
        at = columns->runs[merged++].end;
    }
    free(columns->times_ms);
    free(columns->values);
    columns->times_ms = times_ms;
    columns->values = values;
    columns->count = at;
    columns->run_count = merged;
    return MRD_OK;
}

/* Index of the first time that is at least (or, with `after`, greater than) time_ms. */
static size_t find_time(const struct mrd_columns *columns, mrd_time_ms time_ms, bool after)
{
    size_t low = 0;
    size_t high = columns->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const mrd_time_ms at = columns->times_ms[middle];
        if (after ? at <= time_ms : at < time_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

enum mrd_status mrd_columns_finish(struct mrd_columns *columns, mrd_time_ms min_ms,
                                   mrd_time_ms max_ms, struct mrd_samples *out,
                                   struct mrd_error *err)
{
    *out = (struct mrd_samples){0};
    if (columns->count == 0) {
        return MRD_OK;
    }
    while (columns->run_count > 1) {
        MRD_TRY(merge_pass(columns, err));
    }
    const size_t first = find_time(columns, min_ms, false);
    const size_t end = find_time(columns, max_ms, true);
    *out = (struct mrd_samples){
        .times_ms = columns->times_ms + first,
        .values = columns->values + first,
        .count = end > first ? end - first : 0,
    };
    return MRD_OK;
}
