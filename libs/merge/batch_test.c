/* Batches: blocks of many tenants and days, brought to files of one tenant and day, and these to months. */
#include <time.h>

#include "block/testing_internal.h"
#include "merge/batch.h"

enum { TENANTS = 3, SERIES = 4, BLOCKS = 4, DAY_MS = 86400000, STEP_MS = 600000 };

static const mrd_time_ms base_ms =
    INT64_C(1706659200000); /* 2024-01-31: two days on it is February */

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fail_msg("status %s: %s", mrd_status_name(status), err->text);
    }
}

static void periods_are_the_calendars(void **state)
{
    (void)state;
    for (int64_t day = -200000; day < 200000; day++) {
        const time_t at = (time_t)(day * 86400);
        struct tm date;
        struct tm then;
        assert_non_null(gmtime_r(&at, &date));
        const struct mrd_merge_range got =
            mrd_merge_period_of(MRD_MERGE_MONTH, day * DAY_MS + DAY_MS - 1);
        const time_t first = (time_t)(got.first_ms / 1000);
        const time_t after = (time_t)((got.last_ms + 1) / 1000);
        assert_non_null(gmtime_r(&first, &then));
        assert_true(then.tm_mday == 1 && then.tm_mon == date.tm_mon &&
                    then.tm_year == date.tm_year);
        assert_non_null(gmtime_r(&after, &then));
        assert_true(then.tm_mday == 1 && then.tm_mon == (date.tm_mon + 1) % 12);
        assert_int_equal(mrd_merge_period_of(MRD_MERGE_DAY, day * DAY_MS).first_ms, day * DAY_MS);
        assert_int_equal(mrd_merge_period_of(MRD_MERGE_DAY, day * DAY_MS - 1).last_ms,
                         day * DAY_MS - 1);
    }
}

/* ---- a small catalog ---- */

struct catalog {
    const struct mrd_block_entry *blocks[256];
    size_t count;
    unsigned level; /* that is asked for */
    const struct mrd_block_entry *rollups[512];
    size_t rollup_count;
};

/* The tenant of a block above level 0. */
static bool is_of(const struct mrd_block_entry *entry, struct mrd_bytes tenant)
{
    return entry->tenant_count == 1 && mrd_bytes_equal(entry->tenants[0].name, tenant);
}

static enum mrd_status find(void *context, struct mrd_bytes tenant, struct mrd_merge_range range,
                            struct mrd_buf *out, struct mrd_error *err)
{
    struct catalog *catalog = context;
    (void)err;
    for (size_t i = 0; i < catalog->count; i++) {
        const struct mrd_block_entry *entry = catalog->blocks[i];
        if (entry->level == catalog->level && is_of(entry, tenant) &&
            entry->counts.min_ms >= range.first_ms && entry->counts.max_ms <= range.last_ms) {
            mrd_buf_append(out, (const void *)&entry, sizeof(entry));
        }
    }
    return MRD_OK;
}

static enum mrd_status prefix(void *context, struct mrd_bytes tenant, struct mrd_merge_range range,
                              struct mrd_buf *out, struct mrd_error *err)
{
    char text[128];
    (void)context;
    (void)err;
    const int size = snprintf(text, sizeof(text), "%.*s/%lld/", MRD_FMT(tenant),
                              (long long)(range.first_ms / DAY_MS));
    mrd_buf_append(out, text, (size_t)size);
    return MRD_OK;
}

static enum mrd_status rollup_prefix(void *context, struct mrd_bytes tenant,
                                     struct mrd_merge_range range, mrd_time_ms resolution_ms,
                                     struct mrd_buf *out, struct mrd_error *err)
{
    MRD_TRY(prefix(context, tenant, range, out, err));
    mrd_buf_append_bytes(out, resolution_ms == MRD_ROLLUP_1H_MS ? MRD_BYTES("hours/")
                                                                : MRD_BYTES("days/"));
    return MRD_OK;
}

/* Rollups go with the blocks that they stand for. */
static void commit_rollups(struct catalog *catalog, const struct mrd_merge_batch_result *result)
{
    size_t kept = 0;
    for (size_t i = 0; i < catalog->rollup_count; i++) {
        bool goes = false;
        for (size_t k = 0; k < result->replaced_count; k++) {
            goes |= mrd_merge_stands_for(catalog->rollups[i], &result->replaced[k]->id, 1);
        }
        if (!goes) {
            catalog->rollups[kept++] = catalog->rollups[i];
        }
    }
    catalog->rollup_count = kept;
    for (size_t i = 0; i < result->rollup_count; i++) {
        catalog->rollups[catalog->rollup_count++] = result->rollups[i];
    }
}

/* Every block above level 0 has one of each resolution, and none stands for what is gone. */
static void expect_rollups(const struct catalog *catalog)
{
    size_t found = 0;
    for (size_t i = 0; i < catalog->count; i++) {
        size_t hours = 0;
        size_t days = 0;
        for (size_t k = 0; k < catalog->rollup_count; k++) {
            const struct mrd_block_entry *rollup = catalog->rollups[k];
            if (mrd_merge_stands_for(rollup, &catalog->blocks[i]->id, 1)) {
                assert_int_equal(rollup->level, catalog->blocks[i]->level);
                hours += rollup->resolution_ms == MRD_ROLLUP_1H_MS;
                days += rollup->resolution_ms == MRD_ROLLUP_1D_MS;
                found++;
            }
        }
        assert_int_equal(hours, catalog->blocks[i]->level > 0);
        assert_int_equal(days, catalog->blocks[i]->level > 0);
    }
    assert_int_equal(found, catalog->rollup_count); /* each output is one block here */
}

/* Replaced blocks go, outputs come: outputs with the same ids as something that is there would be lost otherwise. */
static void commit(struct catalog *catalog, const struct mrd_merge_batch_result *result)
{
    size_t kept = 0;
    for (size_t i = 0; i < catalog->count; i++) {
        bool goes = false;
        for (size_t k = 0; k < result->replaced_count; k++) {
            goes |= mrd_bytes_equal(catalog->blocks[i]->id, result->replaced[k]->id);
        }
        if (!goes) {
            catalog->blocks[kept++] = catalog->blocks[i];
        }
    }
    assert_int_equal(catalog->count - kept, result->replaced_count);
    catalog->count = kept;
    for (size_t i = 0; i < result->output_count; i++) {
        catalog->blocks[catalog->count++] = result->outputs[i];
    }
    commit_rollups(catalog, result);
    expect_rollups(catalog);
}

/* ---- blocks of level 0 ---- */

/* Which times a block has of a series: bits of a hash, denser in the days that are its own. */
static bool has(size_t block, size_t tenant, size_t series, size_t at)
{
    return (block * 7919 + tenant * 104729 + series * 1299709 + at * 15485863) % 5 < 2;
}

enum { TIMES = 3 * DAY_MS / STEP_MS };

static mrd_time_ms time_of(size_t at)
{
    return at == TIMES ? -5 * (mrd_time_ms)DAY_MS : base_ms + (mrd_time_ms)at * STEP_MS;
}

static const struct mrd_block_entry *write_block(size_t block)
{
    struct mrd_error err = {0};
    struct mrd_block_writer_options options = testing_options(testing_store, 0);
    struct mrd_block_entry *entry = mrd_arena_alloc(testing_arena, sizeof(*entry));
    mrd_auto(mrd_block_writer_destroy)
    struct mrd_block_writer *writer = NULL;
    const char *name = mrd_arena_printf(testing_arena, "l0-%zu", block);
    options.stem = name;
    options.id = mrd_bytes_of(name);
    options.keep_hlc = false;
    must(mrd_block_writer_create(&options, &writer, &err), &err);
    for (size_t t = 0; t < TENANTS; t++) {
        for (size_t s = 0; s < SERIES; s++) {
            mrd_time_ms times[TIMES + 1];
            double values[TIMES + 1];
            char tenant[16];
            char instance[16];
            size_t count = 0;
            (void)snprintf(tenant, sizeof(tenant), "tenant-%zu", t);
            (void)snprintf(instance, sizeof(instance), "host-%zu", s);
            const struct mrd_label items[] = {
                {MRD_BYTES("__name__"), MRD_BYTES("m")        },
                {MRD_BYTES("instance"), mrd_bytes_of(instance)}
            };
            struct mrd_block_series series = {
                .tenant = mrd_bytes_of(tenant), .labels = {items, 2}
            };
            series.id = testing_id(&series);
            if (has(block, t, s, TIMES)) { /* one that is very late */
                times[count] = time_of(TIMES);
                values[count++] = (double)block;
            }
            for (size_t i = 0; i < TIMES; i++) {
                if (has(block, t, s, i)) {
                    times[count] = time_of(i);
                    values[count++] = (double)block;
                }
            }
            series.samples = (struct mrd_samples){times, values, count, NULL};
            must(mrd_block_writer_add(writer, &series, &err), &err);
        }
    }
    const struct mrd_block_origin origin = {
        .residency_class = MRD_BYTES("eu"), .hlc_min = 10 * block + 1, .hlc_fence = 10 * block + 9};
    must(mrd_block_writer_finish(writer, &origin, testing_arena, entry, &err), &err);
    return entry;
}

/* ---- what is there in the end ---- */

/* The value that a block of the level says a series has at a time; -1: none. Fails if two do. */
static double value_in(const struct catalog *catalog, unsigned level, size_t tenant, size_t series,
                       mrd_time_ms time_ms)
{
    double found = -1;
    char name[16];
    char instance[16];
    (void)snprintf(name, sizeof(name), "tenant-%zu", tenant);
    (void)snprintf(instance, sizeof(instance), "host-%zu", series);
    struct mrd_matcher matcher;
    must(mrd_matcher_init(&matcher, MRD_MATCH_EQ, MRD_BYTES("instance"), mrd_bytes_of(instance),
                          NULL),
         NULL);
    for (size_t i = 0; i < catalog->count; i++) {
        struct mrd_error err = {0};
        struct mrd_block *block = NULL;
        struct mrd_block_cursor *cursor = NULL;
        const struct mrd_block_series *got = NULL;
        const struct mrd_block_select select = {.tenant = mrd_bytes_of(name),
                                                .matchers = &matcher,
                                                .matcher_count = 1,
                                                .min_ms = time_ms,
                                                .max_ms = time_ms};
        if (catalog->blocks[i]->level != level || catalog->blocks[i]->counts.min_ms > time_ms ||
            catalog->blocks[i]->counts.max_ms < time_ms) {
            continue;
        }
        must(mrd_block_open(testing_store, catalog->blocks[i], &(struct mrd_block_open_options){0},
                            &block, &err),
             &err);
        must(mrd_block_select(block, &select, &(struct mrd_block_cursor_options){0}, &cursor, &err),
             &err);
        must(mrd_block_cursor_next(cursor, &got, &err), &err);
        if (got != NULL) {
            assert_true(found < 0);
            found = got->samples.values[0];
        }
        mrd_block_cursor_close(&cursor);
        mrd_block_close(&block);
    }
    mrd_matcher_fini(&matcher);
    return found;
}

/* The greatest of blocks [0, blocks) but `without` wins. */
static void expect_values(const struct catalog *catalog, unsigned level, size_t blocks,
                          size_t without)
{
    for (size_t t = 0; t < TENANTS; t++) {
        for (size_t s = 0; s < SERIES; s++) {
            for (size_t i = s; i <= TIMES; i += i < TIMES - 53 ? 53 : (i < TIMES ? TIMES - i : 1)) {
                double want = -1;
                for (size_t b = 0; b < blocks; b++) {
                    want = b != without && has(b, t, s, i) ? (double)b : want;
                }
                assert_true(value_in(catalog, level, t, s, time_of(i)) == want);
            }
        }
    }
}

static void expect_periods(const struct catalog *catalog, unsigned level,
                           enum mrd_merge_period period)
{
    for (size_t i = 0; i < catalog->count; i++) {
        const struct mrd_block_entry *entry = catalog->blocks[i];
        if (entry->level == level) {
            const struct mrd_merge_range range = mrd_merge_period_of(period, entry->counts.min_ms);
            assert_true(entry->counts.max_ms <= range.last_ms);
            assert_int_equal(entry->tenant_count, 1);
        }
    }
}

static struct mrd_merge_batch_options options_of(struct catalog *catalog, unsigned level,
                                                 const struct mrd_block_entry *const *blocks,
                                                 size_t count)
{
    static const mrd_time_ms resolutions_ms[] = {MRD_ROLLUP_1H_MS, MRD_ROLLUP_1D_MS};
    catalog->level = level;
    return (struct mrd_merge_batch_options){
        .merge = {.store = testing_store,
                  .level = level,
                  .memory_bytes_max = 2 * (MRD_MERGE_MEMORY_MIN + 2 * MRD_MERGE_ROLLUP_MEMORY_MIN),
                  .resolutions_ms = resolutions_ms,
                  .resolution_count = 2},
        .blocks = blocks,
        .block_count = count,
        .period = level == 1 ? MRD_MERGE_DAY : MRD_MERGE_MONTH,
        .find = find,
        .prefix = prefix,
        .rollup_prefix = rollup_prefix,
        .context = catalog,
    };
}

static struct mrd_merge_batch_result merge(struct catalog *catalog, unsigned level,
                                           const struct mrd_block_entry *const *blocks,
                                           size_t count)
{
    struct mrd_error err = {0};
    struct mrd_merge_batch_result result;
    const struct mrd_merge_batch_options options = options_of(catalog, level, blocks, count);
    must(mrd_merge_batch(&options, testing_arena, &result, &err), &err);
    assert_int_equal(result.samples_in, result.samples_out + result.duplicates + result.overridden);
    assert_int_equal(result.unordered, 0);
    commit(catalog, &result);
    expect_periods(catalog, level, level == 1 ? MRD_MERGE_DAY : MRD_MERGE_MONTH);
    return result;
}

/* ---- what is owed ---- */

static struct mrd_erasure request;

/* Everything that is there in the beginning, but the last block, which came later. */
static size_t owed(void *context, struct mrd_bytes block_id, const struct mrd_erasure **out,
                   size_t most)
{
    (void)context;
    assert_true(most > 0);
    out[0] = &request;
    return block_id.data[0] == 'l' && block_id.data[3] != '0' + BLOCKS - 1 ? 1 : 0;
}

static void expect_erased_values(const struct catalog *catalog, uint64_t *out_gone)
{
    for (size_t t = 0; t < TENANTS; t++) {
        for (size_t s = 0; s < SERIES; s++) {
            for (size_t i = 0; i <= TIMES; i += 7) {
                double want = -1;
                for (size_t b = 0; b < BLOCKS; b++) {
                    const bool gone = b < BLOCKS - 1 && t == 1 && s == 2 &&
                                      mrd_erasure_has_time(&request, time_of(i));
                    want = !gone && has(b, t, s, i) ? (double)b : want;
                    *out_gone += gone && has(b, t, s, i);
                }
                assert_true(value_in(catalog, 1, t, s, time_of(i)) == want);
            }
        }
    }
}

static void write_blocks(struct catalog *catalog, const struct mrd_block_entry **out)
{
    *catalog = (struct catalog){0};
    for (size_t i = 0; i < BLOCKS; i++) {
        out[i] = catalog->blocks[catalog->count++] = write_block(i);
    }
}

/* Of a block that owes it is gone, over all its days; a later write of the same time stays. Each replaced block says what it gave. */
static void what_is_owed_is_left_out_of_all_days(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct catalog catalog;
    const struct mrd_block_entry *blocks[BLOCKS];
    struct mrd_merge_batch_result result;
    struct mrd_matcher matcher;
    uint64_t gone = 0;
    uint64_t sum = 0;
    must(mrd_matcher_init(&matcher, MRD_MATCH_EQ, MRD_BYTES("instance"), MRD_BYTES("host-2"), &err),
         &err);
    const struct mrd_erasure_selector selector = {&matcher, 1};
    request = (struct mrd_erasure){
        .id = {1, 2},
        .tenant = MRD_BYTES("tenant-1"),
        .time_min_ms = base_ms + DAY_MS / 2,
        .time_max_ms = base_ms + DAY_MS * 5 / 2,
        .selectors = &selector,
        .selector_count = 1
    };
    write_blocks(&catalog, blocks);
    struct mrd_merge_batch_options options = options_of(&catalog, 1, blocks, BLOCKS);
    const struct mrd_merge_erasures erasures = {owed, 1, NULL};
    options.merge.erasures = &erasures;
    must(mrd_merge_batch(&options, testing_arena, &result, &err), &err);
    assert_int_equal(result.samples_in,
                     result.samples_out + result.duplicates + result.overridden + result.erased);
    assert_int_equal(result.settled_count, BLOCKS - 1);
    for (size_t i = 0; i < result.settled_count; i++) {
        assert_true(mrd_bytes_equal(result.settled[i].input, blocks[i]->id));
        assert_true(mrd_id128_equal(result.settled[i].erasure, request.id));
        sum += result.settled[i].samples;
    }
    assert_true(result.erased > 0);
    assert_int_equal(sum, result.erased);
    commit(&catalog, &result);
    expect_erased_values(&catalog, &gone);
    assert_true(gone > 10);
    mrd_matcher_fini(&matcher);
}

static void days_then_late_data_then_months(void **state)
{
    (void)state;
    struct catalog catalog;
    const struct mrd_block_entry *blocks[BLOCKS];
    const struct mrd_block_entry *days[256];
    size_t day_count = 0;
    write_blocks(&catalog, blocks);
    struct mrd_merge_batch_result result = merge(&catalog, 1, blocks, 2);
    assert_int_equal(result.replaced_count, 2);
    assert_true(result.merges <= 4 * TENANTS); /* not one for each day since the late one */
    assert_true(result.output_count >= 3 * TENANTS && result.output_count <= 4 * TENANTS);
    expect_values(&catalog, 1, 2, SIZE_MAX);
    result = merge(&catalog, 1, blocks + 2, 2); /* of the same days */
    assert_true(result.replaced_count > 2 + 3 * TENANTS - 1);
    expect_values(&catalog, 1, BLOCKS, SIZE_MAX);
    for (size_t i = 0; i < catalog.count; i++) {
        assert_int_equal(catalog.blocks[i]->level, 1);
        days[day_count++] = catalog.blocks[i];
    }
    result = merge(&catalog, 2, days, day_count);
    assert_int_equal(result.replaced_count, day_count);
    assert_int_equal(result.samples_in, result.samples_out);
    for (size_t i = 0; i < catalog.count; i++) {
        assert_int_equal(catalog.blocks[i]->level, 2);
    }
    expect_values(&catalog, 2, BLOCKS, SIZE_MAX);
}

/* It stays where it is, and the others go on. */
static void a_bad_block_is_not_replaced(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct catalog catalog;
    const struct mrd_block_entry *blocks[BLOCKS];
    for (size_t file = 0; file < 2; file++) {
        write_blocks(&catalog, blocks);
        must(
            mrd_objstore_delete(testing_store, file == 0 ? "l0-1.mbx" : "l0-1.parquet", NULL, &err),
            &err);
        const struct mrd_merge_batch_result result = merge(&catalog, 1, blocks, BLOCKS);
        assert_int_equal(result.bad_count, 1);
        assert_ptr_equal(result.bad[0].input, blocks[1]);
        assert_int_equal(result.replaced_count, BLOCKS - 1);
        expect_values(&catalog, 1, BLOCKS, 1);
        assert_ptr_equal(catalog.blocks[0], blocks[1]);
    }
}

/* An entry that claims more than its block has: nothing may be replaced. */
static void what_was_not_read_is_not_replaced(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct catalog catalog;
    const struct mrd_block_entry *blocks[BLOCKS];
    write_blocks(&catalog, blocks);
    struct mrd_block_entry wrong = *blocks[2];
    struct mrd_merge_batch_result result;
    wrong.counts.samples++;
    blocks[2] = &wrong;
    const struct mrd_merge_batch_options options = options_of(&catalog, 1, blocks, BLOCKS);
    assert_int_equal(mrd_merge_batch(&options, testing_arena, &result, &err), MRD_E_CORRUPT);
    assert_non_null(strstr(err.text, "nothing is changed"));
}

/* ---- many tenants ---- */

enum { CROWD = 120, CROWD_BLOCKS = 5, CROWD_SAMPLES = 150 };

/* Tenants that are in some of the blocks, some with samples of two days, one that is larger than the rest together. */
static const struct mrd_block_entry *write_crowd(size_t block)
{
    static mrd_time_ms times[8 * 8192];
    static double values[8 * 8192];
    struct mrd_error err = {0};
    struct mrd_block_writer_options options = testing_options(testing_store, 0);
    struct mrd_block_entry *entry = mrd_arena_alloc(testing_arena, sizeof(*entry));
    mrd_auto(mrd_block_writer_destroy)
    struct mrd_block_writer *writer = NULL;
    const char *name = mrd_arena_printf(testing_arena, "crowd-%zu", block);
    options.stem = name;
    options.id = mrd_bytes_of(name);
    options.keep_hlc = false;
    must(mrd_block_writer_create(&options, &writer, &err), &err);
    for (size_t t = 0; t < CROWD; t++) {
        const size_t series_count = t == 50 ? 3 : 1 + t % 3;
        const size_t samples = t == 50 ? MRD_ARRAY_LEN(times) : CROWD_SAMPLES;
        for (size_t s = 0; s < series_count && (t + block) % 4 != 0; s++) {
            const char *tenant = mrd_arena_printf(testing_arena, "crowd-%04zu", t);
            const char *metric = mrd_arena_printf(testing_arena, "metric_%zu", s);
            const struct mrd_label items[] = {
                {MRD_BYTES("__name__"), mrd_bytes_of(metric)}
            };
            struct mrd_block_series series = {
                .tenant = mrd_bytes_of(tenant), .labels = {items, 1}
            };
            const mrd_time_ms begin_ms =
                base_ms + (t % 10 == 3 ? DAY_MS - 20000 : 1000 * (mrd_time_ms)t);
            series.id = testing_id(&series);
            for (size_t i = 0; i < samples; i++) {
                times[i] = begin_ms + (mrd_time_ms)((i * CROWD_BLOCKS + block) / 2) * 500;
                values[i] = (double)(testing_next() >> 20); /* which make most of the file */
            }
            size_t count = 1; /* times rise */
            for (size_t i = 1; i < samples; i++) {
                if (times[i] > times[count - 1]) {
                    times[count] = times[i];
                    values[count++] = values[i];
                }
            }
            series.samples = (struct mrd_samples){times, values, count, NULL};
            must(mrd_block_writer_add(writer, &series, &err), &err);
        }
    }
    const struct mrd_block_origin origin = {
        .residency_class = MRD_BYTES("eu"), .hlc_min = 10 * block + 1, .hlc_fence = 10 * block + 9};
    must(mrd_block_writer_finish(writer, &origin, testing_arena, entry, &err), &err);
    return entry;
}

static struct mrd_merge_batch_result merge_crowd(const struct mrd_block_entry *const *blocks,
                                                 size_t workers, size_t worker_bytes)
{
    struct mrd_error err = {0};
    struct catalog catalog = {0};
    struct mrd_merge_batch_result result;
    struct mrd_merge_batch_options options = options_of(&catalog, 1, blocks, CROWD_BLOCKS);
    options.workers = workers;
    options.merge.memory_bytes_max = workers * worker_bytes;
    must(mrd_merge_batch(&options, testing_arena, &result, &err), &err);
    assert_int_equal(result.samples_in, result.samples_out + result.duplicates + result.overridden);
    return result;
}

static void expect_same_entries(const struct mrd_block_entry *const *a,
                                const struct mrd_block_entry *const *b, size_t count, bool names)
{
    for (size_t i = 0; i < count; i++) {
        assert_true(!names || mrd_bytes_equal(a[i]->id, b[i]->id));
        assert_true(!names || mrd_bytes_equal(a[i]->data.key, b[i]->data.key));
        assert_true(!names || a[i]->data.crc32c == b[i]->data.crc32c);
        assert_true(!names || a[i]->sidecar.crc32c == b[i]->sidecar.crc32c);
        assert_memory_equal(&a[i]->counts, &b[i]->counts, sizeof(a[i]->counts));
    }
}

static void expect_same_results(const struct mrd_merge_batch_result *a,
                                const struct mrd_merge_batch_result *b, bool names)
{
    assert_int_equal(a->output_count, b->output_count);
    assert_int_equal(a->rollup_count, b->rollup_count);
    assert_int_equal(a->replaced_count, b->replaced_count);
    assert_int_equal(a->bad_count, b->bad_count);
    assert_int_equal(a->merges, b->merges);
    assert_int_equal(a->samples_in, b->samples_in);
    assert_int_equal(a->samples_out, b->samples_out);
    assert_int_equal(a->overridden, b->overridden);
    assert_int_equal(a->duplicates, b->duplicates);
    expect_same_entries(a->outputs, b->outputs, a->output_count, names);
    expect_same_entries(a->rollups, b->rollups, a->rollup_count, names);
    for (size_t i = 0; i < a->replaced_count; i++) {
        assert_ptr_equal(a->replaced[i], b->replaced[i]);
    }
    for (size_t i = 0; i < a->bad_count; i++) {
        assert_ptr_equal(a->bad[i].input, b->bad[i].input);
    }
}

/* In every byte, whoever merges which tenant. With less memory, and so without readers, the files have the same samples. */
static void several_workers_make_what_one_makes(void **state)
{
    (void)state;
    const size_t least = MRD_MERGE_MEMORY_MIN + 2 * MRD_MERGE_ROLLUP_MEMORY_MIN;
    const struct mrd_block_entry *blocks[CROWD_BLOCKS];
    uint64_t samples = 0;
    testing_state = 21;
    for (size_t i = 0; i < CROWD_BLOCKS; i++) {
        blocks[i] = write_crowd(i);
        samples += blocks[i]->counts.samples;
    }
    const struct mrd_merge_batch_result one = merge_crowd(blocks, 1, 2 * least);
    const struct mrd_merge_batch_result four = merge_crowd(blocks, 4, 2 * least);
    const struct mrd_merge_batch_result poor = merge_crowd(blocks, 1, least);
    assert_int_equal(one.samples_in, samples);
    assert_true(one.output_count > CROWD);
    assert_int_equal(one.replaced_count, CROWD_BLOCKS);
    expect_same_results(&one, &four, true);
    expect_same_results(&one, &poor, false);
}

/* A page that is wrong is so for those tenants that need it, for each worker alike. */
static void several_workers_find_the_same_bad(void **state)
{
    (void)state;
    const size_t least = MRD_MERGE_MEMORY_MIN + 2 * MRD_MERGE_ROLLUP_MEMORY_MIN;
    struct mrd_error err = {0};
    const struct mrd_block_entry *blocks[CROWD_BLOCKS];
    testing_state = 22;
    for (size_t i = 0; i < CROWD_BLOCKS; i++) {
        blocks[i] = write_crowd(i);
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    must(mrd_objstore_get(testing_store, "crowd-2.parquet", 1 << 28, NULL, &bytes, &err), &err);
    for (size_t i = bytes.size / 2; i < bytes.size / 2 + 64; i++) {
        bytes.data[i] ^= 0x55;
    }
    must(mrd_objstore_put(testing_store, "crowd-2.parquet", mrd_buf_view(&bytes), NULL, &err),
         &err);
    const struct mrd_merge_batch_result one = merge_crowd(blocks, 1, 2 * least);
    const struct mrd_merge_batch_result four = merge_crowd(blocks, 4, 2 * least);
    assert_int_equal(one.bad_count, 1);
    assert_ptr_equal(one.bad[0].input, blocks[2]);
    assert_int_equal(one.replaced_count, CROWD_BLOCKS - 1);
    expect_same_results(&one, &four, true);
    must(mrd_objstore_delete(testing_store, "crowd-3.parquet", NULL, &err), &err);
    const struct mrd_merge_batch_result gone = merge_crowd(blocks, 4, 2 * least);
    assert_int_equal(gone.bad_count, 2);
    assert_int_equal(gone.replaced_count, CROWD_BLOCKS - 2);
}

static void a_canceled_batch_ends(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    struct catalog catalog = {0};
    const struct mrd_block_entry *blocks[1] = {write_crowd(0)};
    struct mrd_merge_batch_result result;
    _Atomic bool canceled = true;
    const struct mrd_objstore_control control = {.canceled = &canceled};
    struct mrd_merge_batch_options options = options_of(&catalog, 1, blocks, 1);
    options.merge.control = &control;
    options.workers = 4;
    assert_int_equal(mrd_merge_batch(&options, testing_arena, &result, &err), MRD_E_CANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(periods_are_the_calendars),
        cmocka_unit_test(days_then_late_data_then_months),
        cmocka_unit_test(what_is_owed_is_left_out_of_all_days),
        cmocka_unit_test(a_bad_block_is_not_replaced),
        cmocka_unit_test(what_was_not_read_is_not_replaced),
        cmocka_unit_test(several_workers_make_what_one_makes),
        cmocka_unit_test(several_workers_find_the_same_bad),
        cmocka_unit_test(a_canceled_batch_ends),
    };
    return cmocka_run_group_tests(tests, testing_open, testing_close);
}
