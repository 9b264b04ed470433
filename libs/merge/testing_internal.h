/* testing_internal.h: what the tests of merges share: blocks of random rows, requests to erase some of them, and a model of what comes out,
 * which keeps the greatest of what was said about each time. */
#ifndef MRD_MERGE_TESTING_INTERNAL_H
#define MRD_MERGE_TESTING_INTERNAL_H

#include "block/testing_internal.h"
#include "merge/merge_internal.h"
#include "merge/rollups.h"
#include "objstore/fault_store.h"

enum { BLOCKS_MAX = 12, DAY_MS = 86400000 };

static inline void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fail_msg("status %s: %s", mrd_status_name(status), err->text);
    }
}

/* ---- what goes in ---- */

/* The universe's series, and what each block says of them: the same arrays, some rows left out, some changed. */
struct world {
    struct testing_set all;
    struct testing_set blocks[BLOCKS_MAX];
    struct mrd_block_entry entries[BLOCKS_MAX];
    const struct mrd_block_entry *inputs[BLOCKS_MAX];
    size_t count;
    bool keeps_hlc;
    size_t request_count; /* of requests[], that the blocks may owe */
    uint32_t owes[BLOCKS_MAX];
};

/* A subset of a series' rows. Stamps of a block that keeps none are those of the block, so they do not overlap. */
static inline bool derive(struct testing_set *set, const struct mrd_block_series *from,
                          struct mrd_block_series *to)
{
    const size_t floats = from->samples.count;
    const size_t items = from->histograms.count;
    mrd_time_ms *times = testing_take(set, floats, sizeof(*times));
    mrd_time_ms *starts = testing_take(set, floats, sizeof(*starts));
    double *values = testing_take(set, floats, sizeof(*values));
    mrd_hlc *hlcs = testing_take(set, floats, sizeof(*hlcs));
    mrd_time_ms *h_times = testing_take(set, items, sizeof(*times));
    mrd_time_ms *h_starts = testing_take(set, items, sizeof(*starts));
    struct mrd_histogram *h_items = testing_take(set, items, sizeof(*h_items));
    mrd_hlc *h_hlcs = testing_take(set, items, sizeof(*hlcs));
    const uint64_t keep = 1 + testing_below(10);
    size_t f = 0;
    size_t h = 0;
    for (size_t i = 0; i < floats; i++) {
        if (testing_below(10) < keep) {
            times[f] = from->samples.times_ms[i];
            starts[f] = testing_start(from->samples.start_times_ms, i);
            starts[f] = testing_below(9) == 0 ? times[f] - 7 : starts[f];
            values[f] = testing_below(4) == 0 ? testing_value() : from->samples.values[i];
            hlcs[f++] = 1 + testing_below(5);
        }
    }
    for (size_t i = 0; i < items; i++) {
        if (testing_below(10) < keep) {
            h_times[h] = from->histograms.times_ms[i];
            h_starts[h] = testing_start(from->histograms.start_times_ms, i);
            h_items[h] = from->histograms.items[testing_below(4) == 0 ? testing_below(items) : i];
            h_hlcs[h++] = 1 + testing_below(5);
        }
    }
    *to = *from;
    to->samples = (struct mrd_samples){times, values, f, starts};
    to->histograms = (struct mrd_histograms){h_times, h_items, h, h_starts};
    to->sample_hlcs = hlcs;
    to->histogram_hlcs = h_hlcs;
    return f + h > 0;
}

static inline void write_block(struct world *world, size_t index)
{
    struct mrd_error err = {0};
    struct testing_set *set = &world->blocks[index];
    char *stem = mrd_arena_printf(testing_arena, "in/%zu", index);
    char *id = mrd_arena_printf(testing_arena, "input-%zu", index);
    const struct mrd_block_origin origin = {
        .residency_class = MRD_BYTES("eu"),
        .hlc_min = world->keeps_hlc ? 1 : 10 * index + 1,
        .hlc_fence = world->keeps_hlc ? 5 : 10 * index + 9,
    };
    mrd_auto(mrd_block_writer_destroy)
    struct mrd_block_writer *writer = NULL;
    struct mrd_block_writer_options options = testing_options(testing_store, 0);
    options.stem = stem;
    options.id = mrd_bytes_of(id);
    options.keep_hlc = world->keeps_hlc;
    options.memory_bytes_max = MRD_BLOCK_WRITER_MEMORY_MIN;
    must(mrd_block_writer_create(&options, &writer, &err), &err);
    for (size_t i = 0; i < set->count; i++) {
        must(mrd_block_writer_add(writer, &set->items[i], &err), &err);
    }
    must(mrd_block_writer_finish(writer, &origin, testing_arena, &world->entries[index], &err),
         &err);
    world->inputs[index] = &world->entries[index];
}

static inline void make_world(struct world *world, uint64_t seed, size_t count, bool keeps_hlc,
                              size_t rows_max)
{
    *world = (struct world){.count = count, .keeps_hlc = keeps_hlc};
    testing_state = seed * 2 + 1;
    const struct testing_shape shape = {
        .tenants = 3, .series = 40, .rows_max = rows_max, .histograms = true, .starts = true};
    world->all = testing_set_create(&shape);
    for (size_t b = 0; b < count; b++) {
        struct testing_set *set = &world->blocks[b];
        set->arena = world->all.arena;
        set->items = testing_take(set, world->all.count, sizeof(set->items[0]));
        for (size_t i = 0; i < world->all.count; i++) {
            const bool any = testing_below(10) < 7 || i == 0;
            set->count += any && derive(set, &world->all.items[i], &set->items[set->count]);
        }
        if (set->count == 0) {
            set->items[set->count++] = world->all.items[0];
        }
        write_block(world, b);
    }
}

/* ---- what is to be erased ---- */

enum { REQUESTS = 4 };

static struct mrd_matcher request_matchers[REQUESTS + 1];
static struct mrd_erasure_selector request_selectors[REQUESTS + 1];
static struct mrd_erasure requests[REQUESTS]; /* the second has two selectors */

static inline void match(size_t at, enum mrd_match_type type, const char *name, const char *value)
{
    struct mrd_error err = {0};
    must(mrd_matcher_init(&request_matchers[at], type, mrd_bytes_of(name), mrd_bytes_of(value),
                          &err),
         &err);
    request_selectors[at] = (struct mrd_erasure_selector){&request_matchers[at], 1};
}

/* All of some series, parts of others, which may be the same ones; one of another tenant. */
static inline void make_requests(struct world *world)
{
    match(0, MRD_MATCH_RE, "instance", "host-0[0-3].");
    match(1, MRD_MATCH_EQ, "__name__", "m1");
    match(2, MRD_MATCH_NRE, "job", "job[01]");
    match(3, MRD_MATCH_RE, "__name__", "m[34]");
    match(4, MRD_MATCH_RE, "__name__", ".+");
    const mrd_time_ms first_ms = INT64_C(1700000000000);
    for (size_t i = 0; i < REQUESTS; i++) {
        const mrd_time_ms from_ms = first_ms + (mrd_time_ms)testing_below(600000);
        requests[i] = (struct mrd_erasure){
            .id = {7 - i, i % 2},
            .tenant = MRD_BYTES("tenant-01"),
            .time_min_ms = i == 0 ? INT64_MIN : from_ms,
            .time_max_ms = i == 0 ? INT64_MAX : from_ms + (mrd_time_ms)testing_below(900000),
            .selectors = &request_selectors[i + (i > 1)],
            .selector_count = i == 1 ? 2 : 1,
        };
    }
    requests[3].tenant = MRD_BYTES("tenant-02");
    world->request_count = REQUESTS;
    for (size_t b = 0; b < world->count; b++) {
        world->owes[b] = (uint32_t)testing_below(1U << REQUESTS);
    }
}

static inline void drop_requests(void)
{
    for (size_t i = 0; i < MRD_ARRAY_LEN(request_matchers); i++) {
        mrd_matcher_fini(&request_matchers[i]);
    }
}

static inline size_t owed(void *context, struct mrd_bytes block_id, const struct mrd_erasure **out,
                          size_t most)
{
    const struct world *world = context;
    size_t count = 0;
    for (size_t b = 0; b < world->count; b++) {
        for (size_t i = 0; i < world->request_count; i++) {
            if (mrd_bytes_equal(world->entries[b].id, block_id) && (world->owes[b] >> i & 1) != 0) {
                assert_true(count < most);
                out[count++] = &requests[i];
            }
        }
    }
    return count;
}

static inline bool has_request(const struct world *world, size_t block, size_t request,
                               const struct mrd_block_series *series, mrd_time_ms time_ms)
{
    return request < world->request_count && (world->owes[block] >> request & 1) != 0 &&
           mrd_bytes_equal(requests[request].tenant, series->tenant) &&
           mrd_erasure_has_time(&requests[request], time_ms) &&
           mrd_erasure_selects(&requests[request], series->labels);
}

/* ---- what is to come out ---- */

struct expectation {
    uint64_t erased;
    bool any[BLOCKS_MAX][REQUESTS]; /* whether the request has something of the block */
    uint64_t in;
    uint64_t out;
    uint64_t duplicates;
    uint64_t overridden;
};

static inline const struct mrd_block_series *find_series(const struct testing_set *set,
                                                         const struct mrd_block_series *which)
{
    for (size_t i = 0; i < set->count; i++) {
        if (mrd_block_series_compare(&set->items[i], which) == 0) {
            return &set->items[i];
        }
    }
    return NULL;
}

static inline bool row_at(const struct world *world, size_t block,
                          const struct mrd_block_series *series, mrd_time_ms time_ms,
                          struct mrd_merge_row *out)
{
    for (size_t i = 0; i < series->samples.count; i++) {
        if (series->samples.times_ms[i] == time_ms) {
            *out = (struct mrd_merge_row){
                .hlc = world->keeps_hlc ? series->sample_hlcs[i] : 10 * block + 9,
                .start_ms = testing_start(series->samples.start_times_ms, i),
                .value = series->samples.values[i]};
            return true;
        }
    }
    for (size_t i = 0; i < series->histograms.count; i++) {
        if (series->histograms.times_ms[i] == time_ms) {
            *out = (struct mrd_merge_row){
                .hlc = world->keeps_hlc ? series->histogram_hlcs[i] : 10 * block + 9,
                .start_ms = testing_start(series->histograms.start_times_ms, i),
                .histogram = &series->histograms.items[i]};
            return true;
        }
    }
    return false;
}

/* Whether any block that is not `without` has a row of the series there; the greatest of them. */
static inline bool expect_row(const struct world *world, size_t without,
                              const struct mrd_block_series *series, mrd_time_ms time_ms,
                              struct expectation *sum, struct mrd_merge_row *out)
{
    struct mrd_merge_row rows[BLOCKS_MAX];
    size_t count = 0;
    size_t best = 0;
    for (size_t b = 0; b < world->count; b++) {
        const struct mrd_block_series *found = find_series(&world->blocks[b], series);
        if (b == without || found == NULL || !row_at(world, b, found, time_ms, &rows[count])) {
            continue;
        }
        bool erased = false;
        for (size_t i = 0; i < REQUESTS; i++) {
            const bool has = has_request(world, b, i, series, time_ms);
            sum->any[b][i] |= has;
            erased |= has;
        }
        sum->erased += erased;
        if (!erased) {
            best = mrd_merge_compare(&rows[count], &rows[best]) > 0 ? count : best;
            count++;
        }
    }
    sum->in += count;
    sum->out += count > 0;
    for (size_t i = 0; i < count; i++) {
        const bool same = mrd_merge_compare_content(&rows[i], &rows[best]) == 0;
        sum->duplicates += i != best && same;
        sum->overridden += !same;
    }
    *out = rows[best];
    return count > 0;
}

/* ---- reading the outputs ---- */

struct output_reader {
    const struct mrd_merge_result *result;
    size_t next;
    struct mrd_block *block;
    struct mrd_block_cursor *cursor;
    const struct mrd_block_series *series;
    size_t f;
    size_t h;
};

/* The next series of all outputs, one after the other. */
static inline void next_series(struct output_reader *reader)
{
    struct mrd_error err = {0};
    reader->series = NULL;
    reader->f = reader->h = 0;
    while (reader->series == NULL) {
        if (reader->cursor == NULL) {
            if (reader->next == reader->result->output_count) {
                return;
            }
            const struct mrd_block_entry *entry = &reader->result->outputs[reader->next++];
            must(
                mrd_block_verify(testing_store, entry, &(struct mrd_block_verify_options){0}, &err),
                &err);
            must(mrd_block_open(testing_store, entry, &(struct mrd_block_open_options){0},
                                &reader->block, &err),
                 &err);
            must(mrd_block_scan(reader->block, &(struct mrd_block_cursor_options){.want_hlc = true},
                                &reader->cursor, &err),
                 &err);
        }
        must(mrd_block_cursor_next(reader->cursor, &reader->series, &err), &err);
        if (reader->series == NULL) {
            mrd_block_cursor_close(&reader->cursor);
            mrd_block_close(&reader->block);
        }
    }
}

static inline void expect_next_row(struct output_reader *reader, mrd_time_ms time_ms,
                                   const struct mrd_merge_row *want, bool hlcs)
{
    struct mrd_merge_source at = {
        .piece = reader->series, .f = reader->f, .h = reader->h, .entry = reader->result->outputs};
    assert_int_equal(mrd_merge_source_time(&at), time_ms);
    struct mrd_merge_row got = mrd_merge_source_row(&at);
    assert_int_equal(mrd_merge_compare_content(&got, want), 0);
    if (hlcs) {
        assert_int_equal(got.hlc, want->hlc);
    }
    mrd_merge_source_skip(&at);
    reader->f = at.f;
    reader->h = at.h;
}

/* In all it is what was left out, and who has any of a block is told so. */
static inline void expect_erased(const struct world *world, const struct mrd_merge_result *result,
                                 const struct expectation *want)
{
    uint64_t sum = 0;
    bool told[BLOCKS_MAX][REQUESTS] = {0};
    for (size_t i = 0; i < result->erasure_count; i++) {
        const struct mrd_merge_erased *erased = &result->erasures[i];
        assert_true(erased->samples > 0);
        sum += erased->samples;
        for (size_t b = 0; b < world->count; b++) {
            for (size_t r = 0; r < REQUESTS; r++) {
                told[b][r] |= mrd_bytes_equal(world->entries[b].id, erased->input) &&
                              mrd_id128_equal(requests[r].id, erased->erasure);
            }
        }
    }
    assert_int_equal(result->erased, want->erased);
    assert_true(sum >= want->erased && sum <= want->erased + result->erasure_count);
    for (size_t b = 0; b < world->count; b++) {
        for (size_t r = 0; r < REQUESTS; r++) {
            assert_true(told[b][r] || !want->any[b][r]);
        }
    }
}

static inline void expect_outputs(const struct world *world,
                                  const struct mrd_merge_options *options,
                                  const struct mrd_merge_result *result, size_t without)
{
    struct output_reader reader = {.result = result};
    struct expectation sum = {0};
    for (size_t i = 0; i < world->all.count; i++) {
        const struct mrd_block_series *series = &world->all.items[i];
        bool begun = false;
        size_t f = 0;
        size_t h = 0;
        while (mrd_bytes_equal(series->tenant, options->tenant) &&
               f + h < series->samples.count + series->histograms.count) {
            const mrd_time_ms f_ms =
                f < series->samples.count ? series->samples.times_ms[f] : INT64_MAX;
            const mrd_time_ms h_ms =
                h < series->histograms.count ? series->histograms.times_ms[h] : INT64_MAX;
            const mrd_time_ms time_ms = MRD_MIN(f_ms, h_ms);
            struct mrd_merge_row want;
            f += f_ms < h_ms;
            h += f_ms > h_ms;
            if (time_ms < options->min_ms || time_ms > options->max_ms ||
                !expect_row(world, without, series, time_ms, &sum, &want)) {
                continue;
            }
            if (!begun) {
                next_series(&reader);
                assert_non_null(reader.series);
                assert_int_equal(mrd_block_series_compare(reader.series, series), 0);
                begun = true;
            }
            expect_next_row(&reader, time_ms, &want, options->keep_hlc);
        }
        if (begun) {
            assert_int_equal(reader.f, reader.series->samples.count);
            assert_int_equal(reader.h, reader.series->histograms.count);
        }
    }
    next_series(&reader);
    assert_null(reader.series);
    for (size_t i = 0; i < result->output_count; i++) {
        const struct mrd_block_file *file = &result->outputs[i].series_file.file;
        assert_int_equal(file->key.size > 0, options->series_prefix != NULL);
        assert_true(options->series_prefix == NULL ||
                    memmem(file->key.data, file->key.size, options->series_prefix,
                           strlen(options->series_prefix)) == file->key.data);
        assert_int_equal(mrd_block_verify(testing_store, &result->outputs[i],
                                          &(struct mrd_block_verify_options){0}, NULL),
                         MRD_OK);
    }
    assert_int_equal(result->samples_in, sum.in + sum.erased);
    expect_erased(world, result, &sum);
    assert_int_equal(result->samples_out, sum.out);
    assert_int_equal(result->duplicates + result->overridden, sum.duplicates + sum.overridden);
    if (result->passes == 1) { /* who loses to whom is another matter when some are merged first */
        assert_int_equal(result->duplicates, sum.duplicates);
    }
}

static inline struct mrd_merge_options options_of(const struct world *world)
{
    static const struct mrd_block_promoted promoted[] = {
        {"job", 2}
    };
    return (struct mrd_merge_options){
        .store = testing_store,
        .inputs = world->inputs,
        .input_count = world->count,
        .tenant = MRD_BYTES("tenant-01"),
        .min_ms = INT64_MIN,
        .max_ms = INT64_MAX,
        .prefix = "out/",
        .level = 1,
        .promoted = promoted,
        .promoted_count = 1,
        .memory_bytes_max = MRD_MERGE_MEMORY_MIN,
    };
}

enum { LEVELS = 2 };
static const mrd_time_ms level_ms[LEVELS] = {60000, 600000};
static const char *const level_prefixes[LEVELS] = {"out/1m/", "out/10m/"};

static inline void add_rollups(struct mrd_merge_options *options)
{
    options->series_prefix = "out/series/";
    options->resolutions_ms = level_ms;
    options->rollup_prefixes = level_prefixes;
    options->resolution_count = LEVELS;
    options->memory_bytes_max = MRD_MERGE_MEMORY_MIN + LEVELS * MRD_MERGE_ROLLUP_MEMORY_MIN;
}

#endif
