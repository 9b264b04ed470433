/* Blocks of random rows, merged, against a model that keeps the greatest of what was said about each time. */
#include "block/testing_internal.h"
#include "merge/merge_internal.h"
#include "merge/rollups.h"
#include "objstore/fault_store.h"

enum { BLOCKS_MAX = 12, DAY_MS = 86400000 };

static void must(enum mrd_status status, const struct mrd_error *err)
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
};

/* A subset of a series' rows. Stamps of a block that keeps none are those of the block, so they do not overlap. */
static bool derive(struct testing_set *set, const struct mrd_block_series *from,
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

static void write_block(struct world *world, size_t index)
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

static void make_world(struct world *world, uint64_t seed, size_t count, bool keeps_hlc,
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

/* ---- what is to come out ---- */

struct expectation {
    uint64_t in;
    uint64_t out;
    uint64_t duplicates;
    uint64_t overridden;
};

static const struct mrd_block_series *find_series(const struct testing_set *set,
                                                  const struct mrd_block_series *which)
{
    for (size_t i = 0; i < set->count; i++) {
        if (mrd_block_series_compare(&set->items[i], which) == 0) {
            return &set->items[i];
        }
    }
    return NULL;
}

static bool row_at(const struct world *world, size_t block, const struct mrd_block_series *series,
                   mrd_time_ms time_ms, struct mrd_merge_row *out)
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
static bool expect_row(const struct world *world, size_t without,
                       const struct mrd_block_series *series, mrd_time_ms time_ms,
                       struct expectation *sum, struct mrd_merge_row *out)
{
    struct mrd_merge_row rows[BLOCKS_MAX];
    size_t count = 0;
    size_t best = 0;
    for (size_t b = 0; b < world->count; b++) {
        const struct mrd_block_series *found = find_series(&world->blocks[b], series);
        if (b != without && found != NULL && row_at(world, b, found, time_ms, &rows[count])) {
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
static void next_series(struct output_reader *reader)
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

static void expect_next_row(struct output_reader *reader, mrd_time_ms time_ms,
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

static void expect_outputs(const struct world *world, const struct mrd_merge_options *options,
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
    assert_int_equal(result->samples_in, sum.in);
    assert_int_equal(result->samples_out, sum.out);
    assert_int_equal(result->duplicates + result->overridden, sum.duplicates + sum.overridden);
    if (result->passes == 1) { /* who loses to whom is another matter when some are merged first */
        assert_int_equal(result->duplicates, sum.duplicates);
    }
}

static struct mrd_merge_options options_of(const struct world *world)
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

static void add_rollups(struct mrd_merge_options *options)
{
    options->series_prefix = "out/series/";
    options->resolutions_ms = level_ms;
    options->rollup_prefixes = level_prefixes;
    options->resolution_count = LEVELS;
    options->memory_bytes_max = MRD_MERGE_MEMORY_MIN + LEVELS * MRD_MERGE_ROLLUP_MEMORY_MIN;
}

static size_t temporary_objects;
static bool count_temporary(void *context, const struct mrd_objstore_entry *entry)
{
    (void)context;
    temporary_objects += strstr(entry->key, "tmp-") != NULL;
    return true;
}

static void merges_keep_the_greatest_of_each_time(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct world world;
        make_world(&world, seed, 1 + seed % BLOCKS_MAX, seed % 3 != 0, seed % 4 == 0 ? 3000 : 200);
        struct mrd_merge_options options = options_of(&world);
        struct mrd_merge_result result;
        options.keep_hlc = seed % 2 == 0;
        options.fan_in_max = seed % 5 == 0 ? 0 : 2 + seed % 4;
        options.shard_bytes_max = seed % 3 == 1 ? 2000 : 0;
        if (seed % 4 == 1) { /* a day, as the outputs have it */
            options.min_ms = INT64_C(1700000000000);
            options.max_ms = options.min_ms + 400000;
        }
        must(mrd_merge_run(&options, testing_arena, &result, &err), &err);
        assert_int_equal(result.bad_count, 0);
        assert_int_equal(result.unordered, 0);
        expect_outputs(&world, &options, &result, SIZE_MAX);
        testing_set_fini(&world.all);
    }
    assert_int_equal(
        mrd_objstore_list(testing_store, "out/", "", count_temporary, NULL, NULL, &err), MRD_OK);
    assert_int_equal(temporary_objects, 0);
}

static void expect_same_entries(const struct mrd_block_entry *a, const struct mrd_block_entry *b,
                                size_t count)
{
    struct mrd_error err = {0};
    for (size_t i = 0; i < count; i++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf x = {0};
        mrd_auto(mrd_buf_fini)
        struct mrd_buf y = {0};
        must(mrd_block_entry_encode(&a[i], &x, &err), &err);
        must(mrd_block_entry_encode(&b[i], &y, &err), &err);
        assert_true(mrd_bytes_equal(mrd_buf_view(&x), mrd_buf_view(&y)));
    }
}

static void expect_same_outputs(const struct mrd_merge_result *a, const struct mrd_merge_result *b)
{
    assert_int_equal(a->output_count, b->output_count);
    assert_int_equal(a->rollup_count, b->rollup_count);
    expect_same_entries(a->outputs, b->outputs, a->output_count);
    expect_same_entries(a->rollups, b->rollups, a->rollup_count);
}

static void the_order_of_inputs_changes_nothing(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct world world;
    make_world(&world, 77, 7, true, 300);
    struct mrd_merge_options options = options_of(&world);
    struct mrd_merge_result first;
    struct mrd_merge_result again;
    must(mrd_merge_run(&options, testing_arena, &first, &err), &err);
    for (size_t i = 0; i < world.count / 2; i++) {
        const struct mrd_block_entry *kept = world.inputs[i];
        world.inputs[i] = world.inputs[world.count - 1 - i];
        world.inputs[world.count - 1 - i] = kept;
    }
    options.fan_in_max = 2; /* nor does merging some of them first, or what is cached */
    const struct mrd_block_cache_options cached = {.memory_bytes_max = 64 << 20};
    must(mrd_block_cache_create(&cached, &options.cache, &err), &err);
    must(mrd_merge_run(&options, testing_arena, &again, &err), &err);
    expect_same_outputs(&first, &again);
    must(mrd_merge_run(&options, testing_arena, &again, &err), &err);
    assert_true(mrd_block_cache_stats(options.cache).memory_hits > 0);
    mrd_block_cache_destroy(&options.cache);
    expect_same_outputs(&first, &again);
    testing_set_fini(&world.all);
}

/* Merges the outputs of a merge with the blocks that it did not have. */
static void what_was_merged_merges_on(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct world world;
    make_world(&world, 5, 6, true, 300);
    struct mrd_merge_options options = options_of(&world);
    struct mrd_merge_result some;
    struct mrd_merge_result rest;
    const struct mrd_block_entry *inputs[64];
    options.keep_hlc = true;
    options.input_count = 3;
    options.shard_bytes_max = 3000;
    must(mrd_merge_run(&options, testing_arena, &some, &err), &err);
    assert_in_range(some.output_count, 2, 60);
    for (size_t i = 0; i < some.output_count; i++) {
        inputs[i] = &some.outputs[i];
    }
    for (size_t i = 3; i < 6; i++) {
        inputs[some.output_count + i - 3] = world.inputs[i];
    }
    options.inputs = inputs;
    options.input_count = some.output_count + 3;
    must(mrd_merge_run(&options, testing_arena, &rest, &err), &err);
    rest.samples_in += some.samples_in - some.samples_out;
    rest.duplicates += some.duplicates;
    rest.overridden += some.overridden;
    rest.passes++;
    expect_outputs(&world, &options, &rest, SIZE_MAX);
    testing_set_fini(&world.all);
}

/* ---- bad days ---- */

static void a_bad_input_is_left_out_and_named(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    static const struct {
        const char *key;
        size_t at; /* 0: the middle of the data file, where samples are */
    } damages[] = {
        {"in/2.mbx",     9},
        {"in/2.parquet", 0},
        {NULL,           0},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(damages); i++) {
        struct world world;
        make_world(&world, 31 + i, 5, true, 400);
        struct mrd_merge_options options = options_of(&world);
        struct mrd_merge_result result;
        options.fan_in_max = 2 + i;
        if (damages[i].key == NULL) {
            must(mrd_objstore_delete(testing_store, "in/2.parquet", NULL, &err), &err);
        } else {
            folder_fixture_flip(testing_folder, damages[i].key,
                                damages[i].at == 0 ? world.entries[2].data.size / 2 : damages[i].at,
                                0x10);
        }
        for (size_t t = 0; t < 3; t++) { /* whichever tenant's page it is */
            options.tenant = mrd_bytes_of(mrd_arena_printf(testing_arena, "tenant-%02zu", t));
            must(mrd_merge_run(&options, testing_arena, &result, &err), &err);
            if (result.bad_count > 0) {
                break;
            }
        }
        assert_int_equal(result.bad_count, 1);
        assert_ptr_equal(result.bad[0].input, &world.entries[2]);
        assert_int_equal(result.bad[0].status,
                         damages[i].key == NULL ? MRD_E_NOT_FOUND : MRD_E_CORRUPT);
        assert_true(strlen(result.bad[0].reason) > 10);
        assert_int_equal(result.input_samples[2], 0);
        expect_outputs(&world, &options, &result, 2);
        for (size_t k = 0; k < result.output_count; k++) {
            assert_int_equal(result.outputs[k].origin.parent_count, 4);
        }
        testing_set_fini(&world.all);
    }
}

/* Fails each call of the store in turn: the merge says so, and made again it writes the same. */
static void any_call_may_fail(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct world world;
    make_world(&world, 9, 5, true, 100);
    struct mrd_objstore *faults = mrd_fault_store_create(testing_store);
    struct mrd_merge_options options = options_of(&world);
    struct mrd_merge_result want;
    struct mrd_merge_result got;
    options.fan_in_max = 2;
    add_rollups(&options);
    must(mrd_merge_run(&options, testing_arena, &want, &err), &err);
    options.store = faults;
    uint64_t failures = 0;
    for (uint64_t nth = 1;; nth += 1 + nth * 7 % 5) { /* a third of all calls */
        mrd_fault_store_arm(
            faults, &(struct mrd_fault){.nth = nth,
                                        .when = nth % 2 == 0 ? MRD_FAULT_AFTER : MRD_FAULT_BEFORE,
                                        .crash = nth % 3 == 0});
        struct mrd_arena *arena = mrd_arena_create("test", 64 << 20);
        const enum mrd_status status = mrd_merge_run(&options, arena, &got, &err);
        const bool happened = mrd_fault_store_disarm(faults);
        assert_true(status == MRD_OK || status == MRD_E_UNAVAILABLE);
        failures += status != MRD_OK;
        if (status == MRD_OK) {
            expect_same_outputs(&want, &got);
        } else {
            must(mrd_merge_run(&options, arena, &got, &err), &err);
            expect_same_outputs(&want, &got);
        }
        mrd_arena_destroy(&arena);
        if (!happened) {
            break;
        }
    }
    assert_true(failures > 10);
    mrd_objstore_close(&faults);
    testing_set_fini(&world.all);
}

static void what_cannot_be_merged_is_refused(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct world world;
    make_world(&world, 3, 3, true, 20);
    struct mrd_merge_result result;
    struct mrd_merge_options options = options_of(&world);
    options.level = 0;
    assert_int_equal(mrd_merge_run(&options, testing_arena, &result, &err), MRD_E_INVALID);
    options = options_of(&world);
    options.input_count = 0;
    assert_int_equal(mrd_merge_run(&options, testing_arena, &result, &err), MRD_E_INVALID);
    options = options_of(&world);
    options.memory_bytes_max = MRD_MERGE_MEMORY_MIN - 1;
    assert_int_equal(mrd_merge_run(&options, testing_arena, &result, &err), MRD_E_INVALID);
    add_rollups(&options);
    options.memory_bytes_max--;
    assert_int_equal(mrd_merge_run(&options, testing_arena, &result, &err), MRD_E_INVALID);
    add_rollups(&options);
    options.resolutions_ms = (const mrd_time_ms[]){60000, 90000};
    assert_int_equal(mrd_merge_run(&options, testing_arena, &result, &err), MRD_E_INVALID);
    options = options_of(&world);
    world.entries[1].resolution_ms = 60000;
    assert_int_equal(mrd_merge_run(&options, testing_arena, &result, &err), MRD_E_INVALID);
    assert_non_null(strstr(err.text, "made anew"));
    world.entries[1].resolution_ms = 0;
    world.inputs[1] = world.inputs[0];
    assert_int_equal(mrd_merge_run(&options, testing_arena, &result, &err), MRD_E_INVALID);
    world.inputs[1] = &world.entries[1];
    world.entries[1].origin.residency_class = MRD_BYTES("us");
    assert_int_equal(mrd_merge_run(&options, testing_arena, &result, &err), MRD_E_INVALID);
    assert_non_null(strstr(err.text, "must not meet"));
    testing_set_fini(&world.all);
}

/* Blocks without stamps that may have been written at the same time. */
static void blocks_without_order_are_counted(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct world world;
    make_world(&world, 6, 3, false, 50);
    struct mrd_merge_options options = options_of(&world);
    struct mrd_merge_result result;
    must(mrd_merge_run(&options, testing_arena, &result, &err), &err);
    assert_int_equal(result.unordered, 0);
    world.entries[2].origin.hlc_min = 5;
    must(mrd_merge_run(&options, testing_arena, &result, &err), &err);
    assert_int_equal(result.unordered, 2);
    testing_set_fini(&world.all);
}

/* ---- rollups on the way ---- */

/* A digest of rows: what each says, in order. */
struct digest {
    size_t rows[LEVELS];
    size_t restarts;
    uint64_t samples[LEVELS];
    uint64_t hash[LEVELS];
};

static void digest_number(uint64_t *hash, uint64_t number)
{
    *hash = (*hash ^ number) * 0x9e3779b97f4a7c15ULL;
    *hash ^= *hash >> 29;
}

static enum mrd_status digest_row(void *context, const struct mrd_block_series *series,
                                  size_t level, const struct mrd_rollup_row *row,
                                  struct mrd_error *err)
{
    struct digest *digest = context;
    uint64_t *hash = &digest->hash[level];
    (void)err;
    digest->rows[level]++;
    digest->samples[level] += row->floats.count + row->histograms.count;
    digest_number(hash, series->id.low);
    digest_number(hash, (uint64_t)row->end_ms);
    digest_number(hash, (uint64_t)row->stale_ms);
    if (row->floats.count > 0) {
        digest_number(hash, row->floats.count);
        digest_number(hash, mrd_double_bits(row->floats.first));
        digest_number(hash, mrd_double_bits(row->floats.last));
        digest_number(hash, row->floats.resets[MRD_ROLLUP_BY_START]);
        digest_number(hash, row->floats.changes);
        digest_number(hash, mrd_double_bits(row->floats.sum.sum));
    }
    if (row->histograms.count > 0) {
        digest_number(hash, row->histograms.count);
        digest_number(hash, mrd_double_bits(row->histograms.last->sum));
        digest_number(hash, mrd_double_bits(row->histograms.first->count));
        digest_number(hash, row->histograms.resets[MRD_ROLLUP_BY_VALUE]);
    }
    return MRD_OK;
}

static enum mrd_status digest_restart(void *context, struct mrd_error *err)
{
    struct digest *digest = context;
    (void)err;
    *digest = (struct digest){.restarts = digest->restarts + 1};
    return MRD_OK;
}

static struct mrd_merge_rollups *digest_rollups(struct digest *digest)
{
    const struct mrd_merge_rollups_sink sink = {digest_row, digest_restart, digest};
    return mrd_merge_rollups_create(level_ms, LEVELS, &sink);
}

/* The same rows, made of whole series read from the outputs. */
static struct digest digest_outputs(const struct mrd_merge_result *result)
{
    struct mrd_error err = {0};
    struct digest digest = {0};
    struct mrd_merge_rollups *rollups = digest_rollups(&digest);
    const struct mrd_merge_tap *tap = mrd_merge_rollups_tap(rollups);
    struct output_reader reader = {.result = result};
    for (next_series(&reader); reader.series != NULL; next_series(&reader)) {
        must(tap->take(tap->context, reader.series, &err), &err);
    }
    must(mrd_merge_rollups_end(rollups, &err), &err);
    mrd_merge_rollups_destroy(&rollups);
    return digest;
}

static size_t level_of(const struct mrd_block_entry *rollup)
{
    size_t level = 0;
    while (level < LEVELS && level_ms[level] != rollup->resolution_ms) {
        level++;
    }
    assert_true(level < LEVELS);
    return level;
}

static void digest_rollup(struct digest *digest, const struct mrd_block_entry *rollup)
{
    struct mrd_error err = {0};
    struct mrd_block *block;
    struct mrd_block_cursor *cursor;
    const struct mrd_block_verify_options verify = {0};
    must(mrd_block_verify(testing_store, rollup, &verify, &err), &err);
    must(mrd_block_open(testing_store, rollup, &(struct mrd_block_open_options){0}, &block, &err),
         &err);
    must(mrd_block_scan(block, &(struct mrd_block_cursor_options){0}, &cursor, &err), &err);
    for (;;) {
        const struct mrd_block_series *got;
        must(mrd_block_cursor_next(cursor, &got, &err), &err);
        if (got == NULL) {
            break;
        }
        for (size_t i = 0; i < got->rows->count; i++) {
            struct mrd_rollup_row row;
            mrd_rollup_columns_row(got->rows, i, &row);
            must(digest_row(digest, got, level_of(rollup), &row, &err), &err);
        }
    }
    mrd_block_cursor_close(&cursor);
    mrd_block_close(&block);
}

/* The same rows in files, which stand for all outputs. */
static struct digest digest_rollups_of(const struct mrd_merge_result *result)
{
    struct digest digest = {0};
    for (size_t i = 0; i < result->rollup_count; i++) {
        const struct mrd_block_entry *rollup = &result->rollups[i];
        assert_int_equal(rollup->origin.parent_count, result->output_count);
        for (size_t k = 0; k < result->output_count; k++) {
            assert_true(mrd_bytes_equal(rollup->origin.parents[k], result->outputs[k].id));
            assert_true(mrd_merge_stands_for(rollup, &result->outputs[k].id, 1));
            assert_false(mrd_merge_stands_for(&result->outputs[k], &result->outputs[k].id, 1));
        }
        assert_int_equal(rollup->origin.hlc_fence, result->outputs[0].origin.hlc_fence);
        digest_rollup(&digest, rollup);
    }
    return digest;
}

static void rollup_rows_are_made_of_what_is_written(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    for (uint64_t seed = 50; seed < 54; seed++) {
        struct world world;
        make_world(&world, seed, 5, true, 2000);
        struct mrd_merge_options options = options_of(&world);
        struct mrd_merge_result result;
        struct digest digest = {0};
        struct mrd_merge_rollups *rollups = digest_rollups(&digest);
        const bool bad = seed % 2 == 1;
        if (bad) {
            must(mrd_objstore_delete(testing_store, "in/3.parquet", NULL, &err), &err);
        }
        options.fan_in_max = seed < 52 ? 0 : 2;
        options.tap = mrd_merge_rollups_tap(rollups);
        add_rollups(&options);
        options.shard_bytes_max = seed % 2 == 0 ? 0 : 4096;
        must(mrd_merge_run(&options, testing_arena, &result, &err), &err);
        must(mrd_merge_rollups_end(rollups, &err), &err);
        const struct digest want = digest_outputs(&result);
        assert_int_equal(digest.restarts, bad);
        assert_true(digest.rows[0] > 100 && digest.rows[1] > 10);
        assert_int_equal(digest.rows[0], want.rows[0]);
        assert_int_equal(digest.rows[1], want.rows[1]);
        assert_int_equal(digest.samples[0], digest.samples[1]);
        assert_true(digest.samples[0] <= result.samples_out); /* markers are no samples of rows */
        const struct digest stored = digest_rollups_of(&result);
        assert_int_equal(stored.rows[0], want.rows[0]);
        assert_int_equal(stored.rows[1], want.rows[1]);
        for (size_t i = 0; i < LEVELS; i++) {
            assert_true(digest.hash[i] == want.hash[i]);
            assert_true(stored.hash[i] == want.hash[i]);
        }
        assert_true(result.rollup_count > (seed % 2 == 0 ? 1 : 2));
        mrd_merge_rollups_destroy(&rollups);
        testing_set_fini(&world.all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_keep_the_greatest_of_each_time),
        cmocka_unit_test(the_order_of_inputs_changes_nothing),
        cmocka_unit_test(what_was_merged_merges_on),
        cmocka_unit_test(a_bad_input_is_left_out_and_named),
        cmocka_unit_test(any_call_may_fail),
        cmocka_unit_test(what_cannot_be_merged_is_refused),
        cmocka_unit_test(blocks_without_order_are_counted),
        cmocka_unit_test(rollup_rows_are_made_of_what_is_written),
    };
    return cmocka_run_group_tests(tests, testing_open, testing_close);
}
