/* Labels, limits, the cache, and blocks that are not what they were. */
#include <pthread.h>

#include "block/testing_internal.h"

#include "base/testing_rounds.h"
#include "objstore/fault_store.h"

static void must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fail_msg("status %s: %s", mrd_status_name(status), err->text);
    }
}

static const struct testing_shape small = {
    .tenants = 1, .series = 12, .rows_max = 40, .histograms = true, .starts = true};
static const struct testing_shape many = {.tenants = 40, .series = 300, .rows_max = 10};

/* ---- labels ---- */

struct texts {
    struct mrd_buf all; /* end to end, each with a newline */
    size_t left;
};

static bool visit_text(void *context, struct mrd_bytes text)
{
    struct texts *texts = context;
    mrd_buf_append_bytes(&texts->all, text);
    mrd_buf_append_u8(&texts->all, '\n');
    return --texts->left > 0;
}

static int by_bytes(const void *a, const void *b)
{
    return mrd_bytes_compare(*(const struct mrd_bytes *)a, *(const struct mrd_bytes *)b);
}

/* Names (name empty) or values of the series of a tenant that the matcher accepts, the slow way. */
static struct mrd_buf naive(const struct testing_set *set, const struct mrd_block_select *select,
                            struct mrd_bytes name)
{
    struct mrd_bytes found[8192];
    size_t count = 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct mrd_block_series *series = &set->items[i];
        for (size_t k = 0; k < series->labels.count; k++) {
            const struct mrd_label *label = &series->labels.items[k];
            if (mrd_bytes_equal(series->tenant, select->tenant) &&
                mrd_matchers_match(select->matchers, select->matcher_count, series->labels) &&
                (name.size == 0 || mrd_bytes_equal(label->name, name))) {
                found[count++] = name.size == 0 ? label->name : label->value;
            }
        }
    }
    qsort(found, count, sizeof(found[0]), by_bytes);
    struct mrd_buf out = {0};
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || !mrd_bytes_equal(found[i - 1], found[i])) {
            mrd_buf_append_bytes(&out, found[i]);
            mrd_buf_append_u8(&out, '\n');
        }
    }
    return out;
}

static void expect_texts(struct mrd_block *block, const struct testing_set *set,
                         const struct mrd_block_select *select, struct mrd_bytes name)
{
    struct texts got = {.left = SIZE_MAX};
    struct mrd_error err = {0};
    must(name.size == 0 ? mrd_block_label_names(block, select, visit_text, &got, &err)
                        : mrd_block_label_values(block, select, name, visit_text, &got, &err),
         &err);
    struct mrd_buf want = naive(set, select, name);
    assert_true(mrd_bytes_equal(mrd_buf_view(&got.all), mrd_buf_view(&want)));
    mrd_buf_fini(&want);
    mrd_buf_fini(&got.all);
}

static void labels_come_from_the_sidecar(void **state)
{
    (void)state;
    testing_state = 5150;
    struct testing_set set = testing_set_create(&many);
    struct mrd_block_writer_options options = testing_options(testing_store, 0);
    struct mrd_block_entry entry;
    struct mrd_error err = {0};
    must(testing_write(&options, &set, false, &entry, &err), &err);
    struct mrd_objstore *faults = mrd_fault_store_create(testing_store);
    struct mrd_block *block;
    must(mrd_block_open(faults, &entry, &(struct mrd_block_open_options){0}, &block, &err), &err);
    struct mrd_matcher matcher;
    must(mrd_matcher_init(&matcher, MRD_MATCH_RE, MRD_BYTES("job"), MRD_BYTES("job[01]"), &err),
         &err);
    size_t tenants;
    const struct mrd_block_tenant *tenant = mrd_block_tenants(block, &tenants);
    assert_int_equal(tenants, entry.tenant_count);
    for (size_t i = 0; i < tenants * 2; i++) {
        const struct mrd_block_select select = {.tenant = tenant[i / 2].name,
                                                .matchers = &matcher,
                                                .matcher_count = i % 2,
                                                .min_ms = INT64_MIN,
                                                .max_ms = INT64_MAX};
        expect_texts(block, &set, &select, MRD_BYTES_NONE);
        expect_texts(block, &set, &select, MRD_BYTES("instance"));
        expect_texts(block, &set, &select, MRD_BYTES("no such label"));
    }
    struct mrd_block_cursor *cursor;
    must(mrd_block_scan(block, &(struct mrd_block_cursor_options){.labels_only = true}, &cursor,
                        &err),
         &err);
    size_t count = 0;
    const struct mrd_block_series *series;
    for (;; count++) {
        must(mrd_block_cursor_next(cursor, &series, &err), &err);
        if (series == NULL) {
            break;
        }
        assert_int_equal(mrd_block_series_compare(series, &set.items[count]), 0);
        assert_int_equal(series->samples.count, 0);
    }
    assert_int_equal(count, set.count);
    assert_int_equal(mrd_fault_store_calls(faults), 1); /* one read: the sidecar */
    mrd_block_cursor_close(&cursor);
    mrd_matcher_fini(&matcher);
    mrd_block_close(&block);
    mrd_objstore_close(&faults);
    testing_set_fini(&set);
}

/* ---- reading all of it, with a status ---- */

/* Compares what comes; stops at the first error. */
static enum mrd_status scan(struct mrd_objstore *store, const struct mrd_block_entry *entry,
                            const struct testing_set *set, struct mrd_block_cache *cache,
                            size_t whole_bytes_max, struct mrd_error *err)
{
    const struct mrd_block_open_options open = {.cache = cache, .whole_bytes_max = whole_bytes_max};
    mrd_auto(mrd_block_close)
    struct mrd_block *block = NULL;
    MRD_TRY(mrd_block_open(store, entry, &open, &block, err));
    mrd_auto(mrd_block_cursor_close)
    struct mrd_block_cursor *cursor = NULL;
    const struct mrd_block_cursor_options options = {.want_hlc = true};
    MRD_TRY(mrd_block_scan(block, &options, &cursor, err));
    for (size_t i = 0; i <= set->count; i++) {
        const struct mrd_block_series *got;
        MRD_TRY(mrd_block_cursor_next(cursor, &got, err));
        if (i == set->count) {
            assert_null(got);
            break;
        }
        assert_non_null(got);
        size_t f = 0;
        size_t h = 0;
        assert_int_equal(mrd_block_series_compare(got, &set->items[i]), 0);
        testing_same_samples(&set->items[i], got, true, &f, &h);
        assert_int_equal(f, set->items[i].samples.count);
        assert_int_equal(h, set->items[i].histograms.count);
    }
    return MRD_OK;
}

static void store_that_fails_is_an_error_or_the_right_answer(void **state)
{
    (void)state;
    testing_state = 8;
    struct testing_set set = testing_set_create(&small);
    struct mrd_block_writer_options options = testing_options(testing_store, 1);
    struct mrd_block_entry entry;
    struct mrd_error err = {0};
    must(testing_write(&options, &set, false, &entry, &err), &err);
    struct mrd_objstore *faults = mrd_fault_store_create(testing_store);
    for (uint64_t nth = 1;; nth++) {
        mrd_fault_store_arm(faults, &(struct mrd_fault){.nth = nth});
        const enum mrd_status status = scan(faults, &entry, &set, NULL, nth % 2 == 0 ? 0 : 1, &err);
        const bool happened = mrd_fault_store_disarm(faults);
        assert_int_equal(status, happened ? MRD_E_UNAVAILABLE : MRD_OK);
        if (!happened && nth % 2 == 1) { /* the way with more calls is through */
            break;
        }
    }
    _Atomic bool canceled = true;
    const struct mrd_objstore_control control = {.canceled = &canceled};
    struct mrd_block *block = NULL;
    const struct mrd_block_open_options open = {.control = &control};
    assert_int_equal(mrd_block_open(testing_store, &entry, &open, &block, &err), MRD_E_CANCELED);
    mrd_objstore_close(&faults);
    testing_set_fini(&set);
}

/* ---- wrong bytes ---- */

static void write_object(const char *key, struct mrd_bytes bytes)
{
    assert_int_equal(mrd_objstore_put(testing_store, key, bytes, NULL, NULL), MRD_OK);
}

static void expect_flips_noticed(const char *key, const struct mrd_block_entry *entry,
                                 const struct testing_set *set, size_t step)
{
    struct mrd_buf bytes = {0};
    struct mrd_error err = {0};
    must(mrd_objstore_get(testing_store, key, (size_t)1 << 30, NULL, &bytes, &err), &err);
    for (size_t at = 0; at < bytes.size; at += 1 + testing_below(step)) {
        const uint8_t before = bytes.data[at];
        bytes.data[at] ^= (uint8_t)(1U << testing_below(8));
        write_object(key, mrd_buf_view(&bytes));
        const enum mrd_status verified =
            mrd_block_verify(testing_store, entry, &(struct mrd_block_verify_options){0}, &err);
        if (verified != MRD_E_CORRUPT && verified != MRD_E_UNSUPPORTED) {
            fail_msg("%s: a wrong byte at %zu of %zu gives %s", key, at, bytes.size,
                     mrd_status_name(verified));
        }
        /* Reading either fails too, or does not need the byte: what it yields has been compared. */
        const enum mrd_status read =
            scan(testing_store, entry, set, NULL, at % 2 == 0 ? 0 : 1, &err);
        assert_true(read == MRD_OK || read == MRD_E_CORRUPT);
        bytes.data[at] = before;
    }
    write_object(key, (struct mrd_bytes){bytes.data, bytes.size - 1});
    assert_int_equal(
        mrd_block_verify(testing_store, entry, &(struct mrd_block_verify_options){0}, &err),
        MRD_E_CORRUPT);
    write_object(key, mrd_buf_view(&bytes));
    must(mrd_block_verify(testing_store, entry, &(struct mrd_block_verify_options){0}, &err), &err);
    mrd_buf_fini(&bytes);
}

static void a_wrong_byte_anywhere_is_noticed(void **state)
{
    (void)state;
    testing_state = 77;
    struct testing_set set = testing_set_create(&small);
    struct mrd_block_writer_options options = testing_options(testing_store, 1);
    struct mrd_block_entry entry;
    struct mrd_error err = {0};
    must(testing_write(&options, &set, false, &entry, &err), &err);
    expect_flips_noticed("test/blocks/one.parquet", &entry, &set, 24 * testing_stride());
    expect_flips_noticed("test/blocks/one.mbx", &entry, &set, 4 * testing_stride());
    struct mrd_block_entry other = entry;
    other.counts.samples++;
    struct mrd_block_tenant tenant = entry.tenants[0];
    other.tenants = &tenant;
    tenant.counts.samples++;
    assert_int_equal(
        mrd_block_verify(testing_store, &other, &(struct mrd_block_verify_options){0}, &err),
        MRD_E_CORRUPT);
    must(mrd_objstore_delete(testing_store, "test/blocks/one.mbx", NULL, &err), &err);
    struct mrd_block *block = NULL;
    assert_int_equal(
        mrd_block_open(testing_store, &entry, &(struct mrd_block_open_options){0}, &block, &err),
        MRD_E_NOT_FOUND);
    testing_set_fini(&set);
}

/* ---- limits ---- */

static void limits_are_named(void **state)
{
    (void)state;
    testing_state = 12;
    const struct testing_shape shape = {.tenants = 1, .series = 30, .rows_max = 3000};
    struct testing_set set = testing_set_create(&shape);
    struct mrd_block_writer_options options = testing_options(testing_store, 1);
    struct mrd_block_entry entry;
    struct mrd_error err = {0};
    must(testing_write(&options, &set, false, &entry, &err), &err);
    struct mrd_block *block;
    struct mrd_block_cursor *cursor = NULL;
    must(mrd_block_open(testing_store, &entry, &(struct mrd_block_open_options){0}, &block, &err),
         &err);
    struct mrd_block_cursor_options cursor_options = {.series_max = set.count - 1};
    assert_int_equal(mrd_block_scan(block, &cursor_options, &cursor, &err), MRD_E_LIMIT);
    assert_non_null(strstr(err.text, "limit"));
    cursor_options = (struct mrd_block_cursor_options){.series_bytes_max = 4096};
    must(mrd_block_scan(block, &cursor_options, &cursor, &err), &err);
    enum mrd_status status = MRD_OK;
    const struct mrd_block_series *series = &set.items[0];
    while (status == MRD_OK && series != NULL) {
        status = mrd_block_cursor_next(cursor, &series, &err);
    }
    assert_int_equal(status, MRD_E_LIMIT);
    mrd_block_cursor_close(&cursor);
    mrd_block_close(&block);
    /* A sidecar's memory: each limit fails or does, and says so. */
    for (size_t limit = 1; limit < (size_t)1 << 30; limit *= 2) {
        const struct mrd_block_open_options open = {.sidecar_bytes_max = limit};
        block = NULL;
        status = mrd_block_open(testing_store, &entry, &open, &block, &err);
        if (status == MRD_OK) {
            status = mrd_block_scan(block, &(struct mrd_block_cursor_options){0}, &cursor, &err);
            status = status != MRD_OK ? status : mrd_block_cursor_next(cursor, &series, &err);
            mrd_block_cursor_close(&cursor);
            mrd_block_close(&block);
        }
        assert_true(status == MRD_E_LIMIT || (status == MRD_OK && limit > 4096));
    }
    assert_int_equal(status, MRD_OK);
    testing_set_fini(&set);
}

/* ---- the cache ---- */

static void the_cache_saves_reads_and_is_not_believed(void **state)
{
    (void)state;
    testing_state = 13;
    struct testing_set set = testing_set_create(&many);
    struct mrd_block_writer_options options = testing_options(testing_store, 0);
    struct mrd_block_entry entry;
    struct mrd_error err = {0};
    must(testing_write(&options, &set, false, &entry, &err), &err);
    char folder[128];
    (void)snprintf(folder, sizeof(folder), "%s/cache", testing_folder);
    for (unsigned round = 0; round < 2; round++) { /* whole, in parts */
        const size_t whole_max = round == 0 ? 0 : 1;
        struct mrd_block_cache_options cache_options = {
            .memory_bytes_max = (size_t)64 << 20, .folder = folder, .folder_bytes_max = 64 << 20};
        struct mrd_block_cache *cache;
        must(mrd_block_cache_create(&cache_options, &cache, &err), &err);
        must(scan(testing_store, &entry, &set, cache, whole_max, &err), &err);
        const uint64_t misses = mrd_block_cache_stats(cache).misses;
        assert_true(misses > 0);
        must(scan(testing_store, &entry, &set, cache, whole_max, &err), &err);
        assert_int_equal(mrd_block_cache_stats(cache).misses, misses);
        assert_true(mrd_block_cache_stats(cache).memory_hits > 1);
        mrd_block_cache_destroy(&cache);

        must(mrd_block_cache_create(&cache_options, &cache, &err), &err); /* the process after */
        must(scan(testing_store, &entry, &set, cache, whole_max, &err), &err);
        assert_true(mrd_block_cache_stats(cache).folder_hits > 0);
        assert_int_equal(mrd_block_cache_stats(cache).misses, 0);
        mrd_block_cache_destroy(&cache);

        char command[256];
        (void)snprintf(
            command, sizeof(command),
            "for f in %s/*.mbx; do printf X | dd of=$f bs=1 seek=99 conv=notrunc 2>/dev/null; done",
            folder);
        assert_int_equal(system(command), 0);
        must(mrd_block_cache_create(&cache_options, &cache, &err), &err);
        must(scan(testing_store, &entry, &set, cache, whole_max, &err), &err);
        assert_true(mrd_block_cache_stats(cache).refused > 0);
        mrd_block_cache_destroy(&cache);

        cache_options.memory_bytes_max = 1;
        cache_options.folder_bytes_max = 1;
        must(mrd_block_cache_create(&cache_options, &cache, &err), &err);
        assert_int_equal(mrd_block_cache_stats(cache).folder_bytes, 0); /* made room */
        must(scan(testing_store, &entry, &set, cache, whole_max, &err), &err);
        assert_int_equal(mrd_block_cache_stats(cache).memory_bytes, 0);
        mrd_block_cache_destroy(&cache);
    }
    testing_set_fini(&set);
}

/* ---- threads ---- */

enum { THREADS = 4, SCANS = 12 };

struct scanner {
    pthread_t thread;
    const struct mrd_block_entry *entry;
    struct mrd_block_cache *cache;
    uint64_t samples; /* of all scans */
    bool failed;
};

/* cmocka's assertions end the test from its own thread only. */
static void *scan_often(void *context)
{
    struct scanner *scanner = context;
    for (size_t i = 0; i < SCANS && !scanner->failed; i++) {
        const struct mrd_block_open_options open = {.cache = scanner->cache,
                                                    .whole_bytes_max = i % 2 == 0 ? 0 : 1};
        struct mrd_block *block = NULL;
        struct mrd_block_cursor *cursor = NULL;
        const struct mrd_block_series *series = NULL;
        const struct mrd_block_cursor_options options = {0};
        scanner->failed =
            mrd_block_open(testing_store, scanner->entry, &open, &block, NULL) != MRD_OK ||
            mrd_block_scan(block, &options, &cursor, NULL) != MRD_OK;
        while (!scanner->failed) {
            scanner->failed = mrd_block_cursor_next(cursor, &series, NULL) != MRD_OK;
            if (series == NULL) {
                break;
            }
            scanner->samples += series->samples.count;
        }
        mrd_block_cursor_close(&cursor);
        mrd_block_close(&block);
    }
    return NULL;
}

static void same_bytes(const void *a, const void *b, size_t size)
{
    if (size > 0) {
        assert_int_equal(a == NULL, b == NULL);
        assert_true(a == NULL || memcmp(a, b, size) == 0);
    }
}

static void same_piece(const struct mrd_block_series *want, const struct mrd_block_series *got)
{
    assert_int_equal(want == NULL, got == NULL);
    if (want == NULL) {
        return;
    }
    const size_t f = want->samples.count;
    const size_t h = want->histograms.count;
    assert_int_equal(mrd_block_series_compare(want, got), 0);
    assert_int_equal(f, got->samples.count);
    assert_int_equal(h, got->histograms.count);
    same_bytes(want->samples.times_ms, got->samples.times_ms, f * sizeof(mrd_time_ms));
    same_bytes(want->samples.values, got->samples.values, f * sizeof(double));
    same_bytes(want->samples.start_times_ms, got->samples.start_times_ms, f * sizeof(mrd_time_ms));
    same_bytes(want->sample_hlcs, got->sample_hlcs, f * sizeof(mrd_hlc));
    same_bytes(want->histograms.times_ms, got->histograms.times_ms, h * sizeof(mrd_time_ms));
    same_bytes(want->histogram_hlcs, got->histogram_hlcs, h * sizeof(mrd_hlc));
    for (size_t i = 0; i < h; i++) {
        testing_same_histogram(&want->histograms.items[i], &got->histograms.items[i]);
    }
}

/* Aims the cursor and reads at most `pieces` of the selection, beside a new cursor. False if the store failed. */
static bool aim(struct mrd_block *block, struct mrd_block_cursor *aimed,
                const struct mrd_block_select *select, size_t pieces, struct mrd_objstore *failing,
                uint64_t nth)
{
    const struct mrd_block_cursor_options options = {.pieces = true, .want_hlc = true};
    const struct mrd_fault fault = {.nth = nth, .when = MRD_FAULT_BEFORE};
    struct mrd_error err = {0};
    struct mrd_block_cursor *fresh = NULL;
    const struct mrd_block_series *want = NULL;
    const struct mrd_block_series *got = NULL;
    must(mrd_block_select(block, select, &options, &fresh, &err), &err);
    mrd_fault_store_arm(failing, &fault);
    enum mrd_status status = mrd_block_cursor_aim(aimed, select, &err);
    (void)mrd_fault_store_disarm(failing);
    for (size_t i = 0; status == MRD_OK && i < pieces && (i == 0 || want != NULL); i++) {
        must(mrd_block_cursor_next(fresh, &want, &err), &err);
        mrd_fault_store_arm(failing, &fault);
        status = mrd_block_cursor_next(aimed, &got, &err);
        (void)mrd_fault_store_disarm(failing);
        if (status == MRD_OK) {
            same_piece(want, got);
        }
    }
    mrd_block_cursor_close(&fresh);
    return status == MRD_OK;
}

/* Wherever it was before, whatever was read halfway or failed to be. */
static void a_cursor_that_is_aimed_reads_what_a_new_one_does(void **state)
{
    (void)state;
    const struct testing_shape shape = {
        .tenants = 150, .series = 1200, .rows_max = 120, .histograms = true, .starts = true};
    testing_state = 15;
    struct testing_set set = testing_set_create(&shape);
    struct mrd_block_writer_options options = testing_options(testing_store, 0);
    struct mrd_block_entry entry;
    struct mrd_error err = {0};
    must(testing_write(&options, &set, false, &entry, &err), &err);
    struct mrd_objstore *failing = mrd_fault_store_create(testing_store);
    const size_t windows[] = {1, 20000, 16 << 20};
    const size_t half = testing_rounds(300); /* in order, then anywhere */
    for (size_t w = 0; w < 2 * MRD_ARRAY_LEN(windows); w++) {
        const struct mrd_block_cursor_options cursor_options = {
            .pieces = true, .want_hlc = true, .ahead = w % 2 == 0, .window_bytes = windows[w / 2]};
        struct mrd_block *block = NULL;
        struct mrd_block *other = NULL;
        struct mrd_block_cursor *aimed = NULL;
        size_t failures = 0;
        must(mrd_block_open(failing, &entry, &(struct mrd_block_open_options){0}, &block, &err),
             &err);
        must(mrd_block_open(testing_store, &entry, &(struct mrd_block_open_options){0}, &other,
                            &err),
             &err);
        const struct mrd_block_select nothing = {.tenant = MRD_BYTES("nobody")};
        must(mrd_block_select(block, &nothing, &cursor_options, &aimed, &err), &err);
        for (size_t i = 0; i < 2 * half; i++) {
            const struct mrd_block_series *series =
                i < half ? &set.items[i * set.count / half] : &set.items[testing_below(set.count)];
            const mrd_time_ms from_ms =
                INT64_C(1700000000000) + (mrd_time_ms)testing_below(3000000);
            const bool part = i >= half / 2 && testing_below(2) == 0;
            const struct mrd_block_select select = {
                .tenant = testing_below(20) == 0 ? MRD_BYTES("nobody") : series->tenant,
                .min_ms = part ? from_ms : INT64_MIN,
                .max_ms = part ? from_ms + 500000 : INT64_MAX};
            const uint64_t nth = i >= half + half / 2 && testing_below(2) == 0 ? 1 : UINT64_MAX;
            failures += !aim(other, aimed, &select, 1 + testing_below(40), failing, nth);
        }
        assert_true(failures > 0 || windows[w / 2] > 1); /* all may be at hand */
        mrd_block_cursor_close(&aimed);
        mrd_block_close(&block);
        mrd_block_close(&other);
    }
    mrd_objstore_close(&failing);
    testing_set_fini(&set);
}

/* Tenants in the order of the block: what is read once serves all. */
static void aiming_in_order_reads_each_page_once(void **state)
{
    (void)state;
    const struct testing_shape shape = {.tenants = 200, .series = 1000, .rows_max = 100};
    testing_state = 16;
    struct testing_set set = testing_set_create(&shape);
    struct mrd_block_writer_options options = testing_options(testing_store, 0);
    struct mrd_block_entry entry;
    struct mrd_error err = {0};
    must(testing_write(&options, &set, false, &entry, &err), &err);
    const struct mrd_block_cursor_options ahead = {
        .pieces = true, .want_hlc = true, .ahead = true, .window_bytes = 16 << 20};
    struct mrd_block *block = NULL;
    struct mrd_block_cursor *aimed = NULL;
    must(mrd_block_open(testing_store, &entry, &(struct mrd_block_open_options){0}, &block, &err),
         &err);
    size_t count = 0;
    uint64_t samples = 0;
    const struct mrd_block_tenant *tenants = mrd_block_tenants(block, &count);
    for (size_t i = 0; i < count; i++) {
        const struct mrd_block_select select = {
            .tenant = tenants[i].name, .min_ms = INT64_MIN, .max_ms = INT64_MAX};
        const struct mrd_block_series *piece = NULL;
        must(aimed == NULL ? mrd_block_select(block, &select, &ahead, &aimed, &err)
                           : mrd_block_cursor_aim(aimed, &select, &err),
             &err);
        do {
            must(mrd_block_cursor_next(aimed, &piece, &err), &err);
            samples += piece == NULL ? 0 : piece->samples.count;
        } while (piece != NULL);
    }
    const struct mrd_block_cursor_stats stats = mrd_block_cursor_stats(aimed);
    assert_int_equal(samples, entry.counts.samples);
    assert_true(count > 100);
    assert_true(stats.pages < 3 * (entry.counts.samples / MRD_BLOCK_PAGE_ROWS + 2));
    assert_true(stats.ranges < 20); /* a part here and there */
    assert_true(stats.bytes <= entry.data.size);
    mrd_block_cursor_close(&aimed);
    mrd_block_close(&block);
    testing_set_fini(&set);
}

static void threads_share_a_cache(void **state)
{
    (void)state;
    testing_state = 14;
    const struct testing_shape shape = {.tenants = 900, .series = 3000, .rows_max = 3};
    struct testing_set set = testing_set_create(&shape);
    struct mrd_block_writer_options options = testing_options(testing_store, 0);
    struct mrd_block_entry entry;
    struct mrd_error err = {0};
    must(testing_write(&options, &set, false, &entry, &err), &err);
    char folder[128];
    (void)snprintf(folder, sizeof(folder), "%s/shared-cache", testing_folder);
    const size_t sizes[] = {(size_t)64 << 20, 100000, 1}; /* room, hardly any, none */
    for (size_t i = 0; i < MRD_ARRAY_LEN(sizes); i++) {
        const struct mrd_block_cache_options cache_options = {
            .memory_bytes_max = sizes[i], .folder = folder, .folder_bytes_max = sizes[i]};
        struct mrd_block_cache *cache;
        struct scanner scanners[THREADS] = {0};
        must(mrd_block_cache_create(&cache_options, &cache, &err), &err);
        for (size_t k = 0; k < THREADS; k++) {
            scanners[k].entry = &entry;
            scanners[k].cache = cache;
            assert_int_equal(pthread_create(&scanners[k].thread, NULL, scan_often, &scanners[k]),
                             0);
        }
        for (size_t k = 0; k < THREADS; k++) {
            assert_int_equal(pthread_join(scanners[k].thread, NULL), 0);
            assert_false(scanners[k].failed);
            assert_int_equal(scanners[k].samples, entry.counts.samples * SCANS);
        }
        assert_true(mrd_block_cache_stats(cache).memory_bytes <= sizes[i]);
        mrd_block_cache_destroy(&cache);
    }
    testing_set_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_come_from_the_sidecar),
        cmocka_unit_test(store_that_fails_is_an_error_or_the_right_answer),
        cmocka_unit_test(a_wrong_byte_anywhere_is_noticed),
        cmocka_unit_test(limits_are_named),
        cmocka_unit_test(the_cache_saves_reads_and_is_not_believed),
        cmocka_unit_test(a_cursor_that_is_aimed_reads_what_a_new_one_does),
        cmocka_unit_test(aiming_in_order_reads_each_page_once),
        cmocka_unit_test(threads_share_a_cache),
    };
    return cmocka_run_group_tests(tests, testing_open, testing_close);
}
