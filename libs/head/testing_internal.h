/* testing_internal.h: what the head's tests share: making series from text, reading selections. */
#ifndef MRD_HEAD_TESTING_INTERNAL_H
#define MRD_HEAD_TESTING_INTERNAL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "head/head.h"

/* Canonical bytes of "name=value,name=value" (sorted by the writer of the test). */
static inline struct mrd_bytes testing_labels(const char *text, struct mrd_buf *buf)
{
    struct mrd_label items[64];
    size_t count = 0;
    while (*text != 0) {
        const char *equal = strchr(text, '=');
        const char *end = strchrnul(equal, ',');
        items[count].name = (struct mrd_bytes){(const uint8_t *)text, (size_t)(equal - text)};
        items[count++].value =
            (struct mrd_bytes){(const uint8_t *)equal + 1, (size_t)(end - equal - 1)};
        text = *end == 0 ? end : end + 1;
    }
    mrd_buf_clear(buf);
    mrd_labels_encode((struct mrd_labels){items, count}, buf);
    return mrd_buf_view(buf);
}

static inline enum mrd_status testing_series(struct mrd_head *head, const char *tenant,
                                             const char *labels, mrd_hlc hlc, uint32_t *out_ordinal)
{
    struct mrd_buf buf = {0};
    const struct mrd_bytes canonical = testing_labels(labels, &buf);
    const uint64_t seed = mrd_tenant_seed(mrd_bytes_of(tenant));
    const struct mrd_head_series_key key = {mrd_bytes_of(tenant), mrd_series_id_of(seed, canonical),
                                            canonical};
    const enum mrd_status status = mrd_head_series(head, &key, hlc, out_ordinal, NULL);
    mrd_buf_fini(&buf);
    return status;
}

static inline uint32_t testing_need_series(struct mrd_head *head, const char *tenant,
                                           const char *labels, mrd_hlc hlc)
{
    uint32_t ordinal = MRD_HEAD_ORDINAL_NONE;
    assert_int_equal(testing_series(head, tenant, labels, hlc, &ordinal), MRD_OK);
    return ordinal;
}

/* One sample of one series. */
static inline void testing_append_started(struct mrd_head *head, uint32_t ordinal,
                                          mrd_time_ms time_ms, mrd_time_ms start_ms, double value,
                                          mrd_hlc hlc, uint32_t origin,
                                          struct mrd_head_append_result *result)
{
    struct mrd_head_append_result ignored = {0};
    const struct mrd_head_batch batch = {
        &ordinal, NULL, 1, &time_ms, &value, 1, hlc, origin, start_ms == 0 ? NULL : &start_ms};
    assert_int_equal(mrd_head_append(head, &batch, result == NULL ? &ignored : result, NULL),
                     MRD_OK);
}
static inline void testing_append(struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_ms,
                                  double value, mrd_hlc hlc, uint32_t origin,
                                  struct mrd_head_append_result *result)
{
    testing_append_started(head, ordinal, time_ms, 0, value, hlc, origin, result);
}

/* A read series: labels as text, samples merged as a reader has to merge them. */
struct testing_result {
    char *labels;
    size_t count;
    mrd_time_ms *times_ms;
    uint64_t *bits;
    mrd_time_ms *start_times_ms; /* 0: unknown */
};

struct testing_results {
    size_t count;
    size_t slices;
    struct testing_result *items;
};

static inline void testing_results_fini(struct testing_results *results)
{
    for (size_t i = 0; i < results->count; i++) {
        free(results->items[i].labels);
        free(results->items[i].times_ms);
        free(results->items[i].bits);
        free(results->items[i].start_times_ms);
    }
    free(results->items);
    *results = (struct testing_results){0};
}

static inline char *testing_labels_text(struct mrd_bytes canonical)
{
    struct mrd_reader reader = mrd_reader_of(canonical);
    struct mrd_buf text = {0};
    while (mrd_reader_left(&reader) > 0) {
        if (text.size > 0) {
            mrd_buf_append_u8(&text, ',');
        }
        mrd_buf_append_bytes(&text, mrd_read_bytes(&reader, mrd_read_varint(&reader)));
        mrd_buf_append_u8(&text, '=');
        mrd_buf_append_bytes(&text, mrd_read_bytes(&reader, mrd_read_varint(&reader)));
    }
    assert_false(reader.failed);
    mrd_buf_append_u8(&text, 0);
    return (char *)text.data;
}

/* Puts a sample into its place; an equal time is replaced. */
static inline void testing_put(struct testing_result *result, mrd_time_ms time_ms, uint64_t bits,
                               mrd_time_ms start_ms)
{
    size_t at = result->count;
    while (at > 0 && result->times_ms[at - 1] >= time_ms) {
        at--;
    }
    if (at < result->count && result->times_ms[at] == time_ms) {
        result->bits[at] = bits;
        result->start_times_ms[at] = start_ms;
        return;
    }
    result->times_ms = realloc(result->times_ms, (result->count + 1) * sizeof(mrd_time_ms));
    result->bits = realloc(result->bits, (result->count + 1) * sizeof(uint64_t));
    result->start_times_ms =
        realloc(result->start_times_ms, (result->count + 1) * sizeof(mrd_time_ms));
    assert_non_null(result->times_ms);
    assert_non_null(result->bits);
    assert_non_null(result->start_times_ms);
    memmove(&result->start_times_ms[at + 1], &result->start_times_ms[at],
            (result->count - at) * sizeof(mrd_time_ms));
    result->start_times_ms[at] = start_ms;
    memmove(&result->times_ms[at + 1], &result->times_ms[at],
            (result->count - at) * sizeof(mrd_time_ms));
    memmove(&result->bits[at + 1], &result->bits[at], (result->count - at) * sizeof(uint64_t));
    result->times_ms[at] = time_ms;
    result->bits[at] = bits;
    result->count++;
}

static inline void testing_read_frame(struct mrd_frame *frame, const struct mrd_head_query *query,
                                      struct testing_result *out)
{
    static mrd_time_ms times[MRD_CHUNK_SAMPLES_MAX];
    static mrd_time_ms starts[MRD_CHUNK_SAMPLES_MAX];
    static double values[MRD_CHUNK_SAMPLES_MAX];
    *out = (struct testing_result){.labels = testing_labels_text(frame->labels)};
    struct mrd_chunk chunk;
    uint32_t chunks = 0;
    while (mrd_frame_read_chunk(frame, &chunk)) {
        chunks++;
        assert_int_equal(
            mrd_chunk_decode(chunk.encoding, chunk.bytes, chunk.count, times, values, NULL),
            MRD_OK);
        assert_int_equal(
            mrd_chunk_decode_starts(chunk.encoding, chunk.bytes, chunk.count, times, starts, NULL),
            MRD_OK);
        for (size_t i = 0; i < chunk.count; i++) {
            if (times[i] >= query->time_min_ms && times[i] <= query->time_max_ms) {
                testing_put(out, times[i], mrd_double_bits(values[i]), starts[i]);
            }
        }
    }
    assert_int_equal(chunks, frame->chunk_count);
}

static inline void testing_read_selection(const struct mrd_head_selection *selection,
                                          const struct mrd_head_query *query,
                                          struct testing_results *results)
{
    struct mrd_reader reader = mrd_reader_of(mrd_buf_view(&selection->frames));
    size_t count = 0;
    while (mrd_reader_left(&reader) > 0) {
        struct mrd_frame frame;
        assert_int_equal(mrd_frame_read(&reader, &frame, NULL), MRD_OK);
        results->items = realloc(results->items, (results->count + 1) * sizeof(results->items[0]));
        assert_non_null(results->items);
        testing_read_frame(&frame, query, &results->items[results->count++]);
        count++;
    }
    assert_int_equal(count, selection->series_count);
}

/* The sum of what selections say of themselves. */
struct testing_sums {
    size_t bytes;
    size_t series;
    size_t chunks;
    size_t samples;
};

static inline void testing_sum(struct testing_sums *sums,
                               const struct mrd_head_selection *selection)
{
    if (selection != NULL) {
        sums->bytes += selection->frames.size;
        sums->series += selection->series_count;
        sums->chunks += selection->chunk_count;
        sums->samples += selection->sample_count;
    }
}

/* Where the answer is small enough to be read at once, it is the same: the sums and each series' text and samples. */
static inline bool testing_small(struct mrd_head *head, const struct mrd_head_query *query,
                                 const struct testing_sums *want, struct testing_results *results)
{
    struct mrd_head_selection *selection = NULL;
    struct testing_sums got = {0};
    if (!mrd_head_select_small(head, query, SIZE_MAX, &selection)) {
        return false;
    }
    testing_sum(&got, selection);
    assert_memory_equal(&got, want, sizeof(got));
    if (selection != NULL) {
        testing_read_selection(selection, query, results);
    }
    mrd_head_selection_destroy(&selection);
    return true;
}

static inline int testing_by_labels(const void *a, const void *b)
{
    return strcmp(((const struct testing_result *)a)->labels,
                  ((const struct testing_result *)b)->labels);
}

/* Sorts both. */
static inline void testing_expect_same(struct testing_results *a, struct testing_results *b)
{
    assert_int_equal(a->count, b->count);
    if (a->count > 0) {
        qsort(a->items, a->count, sizeof(a->items[0]), testing_by_labels);
        qsort(b->items, b->count, sizeof(b->items[0]), testing_by_labels);
    }
    for (size_t i = 0; i < a->count; i++) {
        const struct testing_result *x = &a->items[i];
        const struct testing_result *y = &b->items[i];
        assert_string_equal(x->labels, y->labels);
        assert_int_equal(x->count, y->count);
        if (x->count > 0) {
            assert_memory_equal(x->times_ms, y->times_ms, x->count * sizeof(x->times_ms[0]));
            assert_memory_equal(x->bits, y->bits, x->count * sizeof(x->bits[0]));
        }
    }
}

static inline void testing_select_slices(struct mrd_head *head, const struct mrd_head_query *query,
                                         size_t slice_bytes, struct testing_results *results,
                                         struct testing_sums *sums)
{
    *results = (struct testing_results){0};
    struct mrd_head_cursor *cursor = NULL;
    assert_int_equal(mrd_head_select(head, query, &cursor, NULL), MRD_OK);
    for (;;) {
        struct mrd_head_selection *selection = NULL;
        assert_int_equal(mrd_head_cursor_next(cursor, slice_bytes, &selection, NULL), MRD_OK);
        if (selection == NULL) {
            break;
        }
        results->slices++;
        testing_sum(sums, selection);
        testing_read_selection(selection, query, results);
        mrd_head_selection_destroy(&selection);
    }
    mrd_head_cursor_destroy(&cursor);
}

static inline void testing_select(struct mrd_head *head, const struct mrd_head_query *query,
                                  size_t slice_bytes, struct testing_results *results)
{
    struct testing_sums sums = {0};
    testing_select_slices(head, query, slice_bytes, results, &sums);
    struct testing_results small = {0};
    struct testing_results again = {0};
    if (testing_small(head, query, &sums, &small)) {
        sums = (struct testing_sums){0};
        testing_select_slices(head, query, slice_bytes, &again, &sums);
        testing_expect_same(&small, &again);
    }
    testing_results_fini(&small);
    testing_results_fini(&again);
}

static inline const struct testing_result *testing_find(const struct testing_results *results,
                                                        const char *labels)
{
    for (size_t i = 0; i < results->count; i++) {
        if (strcmp(results->items[i].labels, labels) == 0) {
            return &results->items[i];
        }
    }
    return NULL;
}

/* ---- a head with the default bucket, one tenant "t" ---- */

enum { BUCKET_MS = 7200000 };

/* Start of a bucket, so that tests know where the next one is. */
static const mrd_time_ms T0 = 1789999200000 / BUCKET_MS * (mrd_time_ms)BUCKET_MS;

static inline mrd_hlc hlc_of(int64_t seconds)
{
    return mrd_hlc_make(1790000000000 + seconds * 1000, 0);
}

static inline struct mrd_head *make_head(size_t memory_bytes_limit)
{
    struct mrd_head *head = NULL;
    const struct mrd_head_options options = {.memory_bytes_limit = memory_bytes_limit};
    assert_int_equal(mrd_head_create(&options, &head, NULL), MRD_OK);
    return head;
}

static inline struct mrd_head_query everything(const char *tenant)
{
    return (struct mrd_head_query){
        .tenant = mrd_bytes_of(tenant), .time_min_ms = INT64_MIN, .time_max_ms = INT64_MAX};
}

/* Checks one series' samples against pairs of (offset from T0, value). */
static inline void expect_samples(struct mrd_head *head, const char *labels,
                                  const double (*want)[2], size_t count)
{
    struct testing_results results;
    const struct mrd_head_query query = everything("t");
    testing_select(head, &query, SIZE_MAX, &results);
    const struct testing_result *got = testing_find(&results, labels);
    assert_non_null(got);
    assert_int_equal(got->count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(got->times_ms[i], T0 + (mrd_time_ms)want[i][0]);
        assert_true(got->bits[i] == mrd_double_bits(want[i][1]));
    }
    testing_results_fini(&results);
}

static inline struct mrd_head_stats stats_of(const struct mrd_head *head)
{
    struct mrd_head_stats stats;
    mrd_head_stats(head, &stats);
    return stats;
}

#endif
