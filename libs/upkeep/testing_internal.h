/* testing_internal.h: what the tests of upkeep share: a region in a folder (store, clock, catalog), random blocks of level 0, and a model
 * of what must be there: for each series and time the write with the greatest stamp, then bits. */
#ifndef MRD_UPKEEP_TESTING_INTERNAL_H
#define MRD_UPKEEP_TESTING_INTERNAL_H

#include <pthread.h>

#include "block/testing_internal.h"
#include "catalog/request.h"
#include "objstore/fault_store.h"
#include "rollup/row.h"
#include "upkeep/merge.h"

enum {
    REGION_TENANTS = 3,
    REGION_SERIES = 3,
    REGION_TIMES = 64, /* of a series: four days, over the end of a month */
    REGION_STEP_MS = 90 * 60 * 1000,
    REGION_CHECK_BYTES = 256 << 20,
    REGION_REQUESTS = 8,
};
#define REGION_BASE_MS INT64_C(1706572800000) /* 2024-01-30 */
#define REGION_DAY_MS ((mrd_time_ms)86400000)

/* Enough for readers beside the merge (merge/batch.h). */
#define REGION_MERGE_BYTES (2 * (MRD_MERGE_MEMORY_MIN + 2 * MRD_MERGE_ROLLUP_MEMORY_MIN))
static const mrd_time_ms region_resolutions_ms[] = {MRD_ROLLUP_1H_MS, MRD_ROLLUP_1D_MS};

struct region_write {
    bool there;
    mrd_hlc hlc;
    double value;
};

/* Erases the series `series` of a tenant at times [first, last], of all blocks whose number is below `number`. */
struct region_request {
    struct mrd_id128 id;
    size_t tenant;
    size_t series; /* REGION_SERIES: one that there is not */
    size_t first;
    size_t last;
    unsigned number;
};

struct region {
    char folder[FOLDER_FIXTURE_PATH_MAX];
    struct mrd_objstore *files;
    struct mrd_objstore *store; /* over files, fails on demand */
    struct mrd_catalog *catalog;
    struct mrd_arena *arena;
    mrd_time_ms now_ms;
    struct mrd_clock clock;
    struct mrd_upkeep_tables tables;
    unsigned blocks;      /* of level 0, so far */
    size_t tenants;       /* at most REGION_TENANTS */
    size_t times;         /* at most REGION_TIMES */
    size_t workers;       /* of merges */
    uint64_t shard_bytes; /* likewise; 0: as many as fit */
    struct region_write model[REGION_TENANTS][REGION_SERIES][REGION_TIMES];
    struct region_request requests[REGION_REQUESTS];
    size_t request_count;
    const struct mrd_upkeep_retain *retain; /* rules of retention, or NULL */
};

static inline void region_must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fail_msg("status %s: %s", mrd_status_name(status), err->text);
    }
}

/* Turns a bit here and there in a file, or back: merges do not read all of it. */
static inline void region_flip(const struct region *region, struct mrd_bytes key, uint64_t size)
{
    char text[256];
    (void)snprintf(text, sizeof(text), "%.*s", MRD_FMT(key));
    for (uint64_t at = 5; at < size; at += 37) {
        folder_fixture_flip(region->folder, text, (size_t)at, 4);
    }
}

static inline mrd_time_ms region_now(void *context)
{
    return ((const struct region *)context)->now_ms;
}
static inline int64_t region_monotonic(void *context)
{
    (void)context;
    return mrd_clock_monotonic_ns(mrd_clock_system());
}

static inline struct mrd_catalog *region_open_catalog(struct region *region,
                                                      struct mrd_objstore *store)
{
    struct mrd_error err = {0};
    struct mrd_catalog *catalog = NULL;
    const struct mrd_catalog_options options = {
        .store = store, .clock = &region->clock, .writer = "test", .checkpoint_every = 4};
    region_must(mrd_catalog_open(&options, NULL, &catalog, &err), &err);
    return catalog;
}

static inline void region_open(struct region *region, uint64_t seed)
{
    *region = (struct region){.now_ms = REGION_BASE_MS + 5 * REGION_DAY_MS,
                              .tenants = REGION_TENANTS,
                              .times = REGION_TIMES};
    testing_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    region->files = folder_fixture_open_small(region->folder);
    region->store = mrd_fault_store_create(region->files);
    region->clock = (struct mrd_clock){region_now, region_monotonic, region};
    region->arena = mrd_arena_create("region", REGION_CHECK_BYTES);
    region->catalog = region_open_catalog(region, region->store);
    region->tables = (struct mrd_upkeep_tables){.store = region->store,
                                                .clock = &region->clock,
                                                .root = "file:///blocks",
                                                .region = "eu",
                                                .keep_ms = REGION_DAY_MS};
}

static inline void region_close(struct region *region)
{
    mrd_catalog_close(&region->catalog);
    mrd_objstore_close(&region->store);
    mrd_objstore_close(&region->files);
    mrd_arena_destroy(&region->arena);
    folder_fixture_remove(region->folder);
}

static inline mrd_time_ms region_time(size_t at)
{
    return REGION_BASE_MS + (mrd_time_ms)at * REGION_STEP_MS;
}

/* ---- blocks of level 0 ---- */

static inline void region_note(struct region_write *known, mrd_hlc hlc, double value)
{
    const bool wins = !known->there || hlc > known->hlc ||
                      (hlc == known->hlc && mrd_double_bits(value) > mrd_double_bits(known->value));
    if (wins) {
        *known = (struct region_write){true, hlc, value};
    }
}

static inline void region_name(size_t tenant, char out[24])
{
    (void)snprintf(out, 24, tenant == 0 ? ".tenant-%zu" : "tenant-%zu", tenant);
}

static inline bool region_erases(const struct region_request *request, size_t tenant, size_t series,
                                 size_t at)
{
    return request->tenant == tenant && request->series == series && at >= request->first &&
           at <= request->last;
}

/* Whether what the block at hand says of a time is erased already. */
static inline bool region_is_erased(const struct region *region, size_t tenant, size_t series,
                                    size_t at)
{
    bool erased = false;
    for (size_t i = 0; i < region->request_count; i++) {
        const struct region_request *request = &region->requests[i];
        erased |= region->blocks < request->number && region_erases(request, tenant, series, at);
    }
    return erased;
}

static inline void region_fill(struct region *region, struct mrd_block_writer *writer,
                               size_t tenant, size_t index, unsigned dense, mrd_hlc base)
{
    struct mrd_error err = {0};
    char name[24];
    char instance[24];
    mrd_time_ms times[REGION_TIMES];
    double values[REGION_TIMES];
    mrd_hlc hlcs[REGION_TIMES];
    size_t count = 0;
    region_name(tenant, name);
    (void)snprintf(instance, sizeof(instance), "host-%zu", index);
    const struct mrd_label items[] = {
        {MRD_BYTES("__name__"), MRD_BYTES("m")        },
        {MRD_BYTES("instance"), mrd_bytes_of(instance)}
    };
    struct mrd_block_series series = {
        .tenant = mrd_bytes_of(name), .labels = {items, 2}
    };
    series.id = testing_id(&series);
    for (size_t i = 0; i < region->times; i++) {
        if (testing_below(100) < dense) {
            times[count] = region_time(i);
            values[count] = (double)testing_below(4); /* the same value often */
            hlcs[count] = base + testing_below(3);
            if (!region_is_erased(region, tenant, index, i)) {
                region_note(&region->model[tenant][index][i], hlcs[count], values[count]);
            }
            count++;
        }
    }
    series.samples = (struct mrd_samples){times, values, count, NULL};
    series.sample_hlcs = hlcs;
    region_must(mrd_block_writer_add(writer, &series, &err), &err);
}

/* How many commits there have been, whoever made them. */
static inline uint64_t region_commits(const struct region *region)
{
    struct mrd_error err = {0};
    region_must(mrd_catalog_refresh(region->catalog, NULL, &err), &err);
    struct mrd_catalog_state *state = mrd_catalog_pin(region->catalog);
    const uint64_t number = mrd_catalog_number(state);
    mrd_catalog_unpin(&state);
    return number;
}

/* Writes a block that has about `dense` percent of the times of each series, received at received_ms, and commits it. */
static inline const struct mrd_block_entry *region_write(struct region *region, unsigned dense,
                                                         mrd_time_ms received_ms)
{
    struct mrd_error err = {0};
    struct mrd_block_writer_options options = testing_options(region->files, 0);
    struct mrd_block_entry *entry = mrd_arena_alloc(region->arena, sizeof(*entry));
    mrd_auto(mrd_block_writer_destroy)
    struct mrd_block_writer *writer = NULL;
    const unsigned number = ++region->blocks;
    const char *id = mrd_arena_printf(region->arena, "l0-%u", number);
    options.stem = mrd_arena_printf(region->arena, "blocks/l0-%u", number);
    options.id = mrd_bytes_of(id);
    region_must(mrd_block_writer_create(&options, &writer, &err), &err);
    const mrd_hlc base = mrd_hlc_make(received_ms, 0);
    for (size_t t = 0; t < region->tenants; t++) {
        for (size_t s = 0; s < REGION_SERIES; s++) {
            region_fill(region, writer, t, s, dense, base);
        }
    }
    const struct mrd_block_origin origin = {.residency_class = MRD_BYTES("eu"),
                                            .first_sequence = number,
                                            .last_sequence = number,
                                            .hlc_min = base,
                                            .hlc_fence = base + 2};
    region_must(mrd_block_writer_finish(writer, &origin, region->arena, entry, &err), &err);
    const struct mrd_catalog_change change = {.add = entry, .add_count = 1};
    region_must(mrd_catalog_commit(region->catalog, &change, NULL, &err), &err);
    return entry;
}

/* ---- erasures ---- */

static inline void region_put_request(struct region *region, const struct region_request *request,
                                      struct mrd_catalog_erasure_change *change,
                                      struct mrd_catalog_request *names)
{
    struct mrd_error err = {0};
    char name[24];
    char instance[24];
    struct mrd_matcher matcher;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    region_name(request->tenant, name);
    (void)snprintf(instance, sizeof(instance), "host-%zu", request->series);
    region_must(mrd_matcher_init(&matcher, MRD_MATCH_EQ, MRD_BYTES("instance"),
                                 mrd_bytes_of(instance), &err),
                &err);
    const struct mrd_erasure_selector selector = {&matcher, 1};
    const struct mrd_erasure erasure = {.id = request->id,
                                        .tenant = mrd_bytes_of(name),
                                        .hlc = mrd_hlc_make(region->now_ms, 0),
                                        .time_min_ms = region_time(request->first),
                                        .time_max_ms = region_time(request->last),
                                        .selectors = &selector,
                                        .selector_count = 1};
    region_must(mrd_erasure_encode(&erasure, &bytes, &err), &err);
    mrd_matcher_fini(&matcher);
    region_must(
        mrd_catalog_request_put(region->files, erasure.id, mrd_buf_view(&bytes), NULL, names, &err),
        &err);
    change->hlc = erasure.hlc;
    change->time_min_ms = erasure.time_min_ms;
    change->time_max_ms = erasure.time_max_ms;
}

/* Commits a request; `later`: how many blocks that come yet are of what stands before it. */
static inline void region_erase(struct region *region, struct region_request request,
                                unsigned later)
{
    struct mrd_error err = {0};
    struct mrd_catalog_request names;
    char name[24];
    assert_true(region->request_count < REGION_REQUESTS);
    request.id = (struct mrd_id128){testing_next(), region->request_count};
    request.number = region->blocks + later + 1;
    region_name(request.tenant, name);
    const uint64_t sequence = request.number;
    struct mrd_catalog_erasure_change change = {
        .id = request.id, .sequences = &sequence, .partition_count = 1};
    region_put_request(region, &request, &change, &names);
    change.tenant = mrd_bytes_of(name);
    change.request_key = mrd_bytes_of(names.key);
    change.request_digest = mrd_bytes_of(names.digest);
    struct mrd_catalog *catalog = region_open_catalog(region, region->files);
    const struct mrd_catalog_change commit = {.erasures = &change, .erasure_count = 1};
    region_must(mrd_catalog_commit(catalog, &commit, NULL, &err), &err);
    mrd_catalog_close(&catalog);
    region->requests[region->request_count++] = request;
    for (size_t i = 0; request.series < REGION_SERIES && i < REGION_TIMES; i++) {
        if (region_erases(&request, request.tenant, request.series, i)) {
            region->model[request.tenant][request.series][i] = (struct region_write){0};
        }
    }
}

/* How many blocks owe something. */
static inline size_t region_owed(struct region *region)
{
    size_t owed = 0;
    struct mrd_catalog *catalog = region_open_catalog(region, region->files);
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    for (size_t i = 0; i < mrd_catalog_erasure_count(state); i++) {
        owed += mrd_catalog_erasure_at(state, i)->owed_count;
    }
    mrd_catalog_unpin(&state);
    mrd_catalog_close(&catalog);
    return owed;
}

/* ---- merging ---- */

static inline struct mrd_upkeep_plan_options region_plan(const struct region *region)
{
    return (struct mrd_upkeep_plan_options){.now_ms = region->now_ms,
                                            .age_ms_max = 3600 * 1000,
                                            .tenant_rows_min = UINT64_MAX,
                                            .month_delay_ms = REGION_DAY_MS,
                                            .retain = region->retain};
}

/* Plans on the catalog and merges all that is due, once. *out_done counts units that were committed or brought something into
 * quarantine. */
static inline enum mrd_status region_round(struct region *region, struct mrd_catalog *catalog,
                                           struct mrd_objstore *store, size_t *out_done,
                                           struct mrd_upkeep_merged *out_last,
                                           struct mrd_error *err)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("round", REGION_CHECK_BYTES);
    struct mrd_upkeep_quarantine quarantine;
    struct mrd_upkeep_plan_options plan = region_plan(region);
    struct mrd_upkeep_tables tables = region->tables;
    struct mrd_upkeep_index index;
    const struct mrd_upkeep_unit *units = NULL;
    size_t count = 0;
    *out_done = 0;
    tables.store = store;
    tables.workers = region->workers;
    MRD_TRY(mrd_upkeep_quarantine_load(store, NULL, arena, &quarantine, err));
    MRD_TRY(mrd_catalog_refresh(catalog, NULL, err));
    plan.quarantine = &quarantine;
    mrd_auto(mrd_catalog_unpin)
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    mrd_auto(mrd_catalog_requests_destroy)
    struct mrd_catalog_requests *requests = NULL;
    MRD_TRY(mrd_catalog_requests_load(store, state, NULL, NULL, &requests, err));
    mrd_upkeep_index_init(&index, state);
    enum mrd_status status = mrd_upkeep_plan(state, &index, &plan, arena, &units, &count, err);
    const struct mrd_upkeep_merge_options options = {
        .store = store,
        .catalog = catalog,
        .clock = &region->clock,
        .region = "eu",
        .holder = "test",
        .tables = region->tables.root == NULL ? NULL : &tables,
        .quarantine = &quarantine,
        .requests = requests,
        .retain = region->retain,
        .memory_bytes_max = REGION_MERGE_BYTES * MRD_MAX(region->workers, (size_t)1),
        .workers = region->workers,
        .shard_bytes_max = region->shard_bytes,
        .resolutions_ms = region_resolutions_ms,
        .resolution_count = MRD_ARRAY_LEN(region_resolutions_ms),
    };
    for (size_t i = 0; i < count && status == MRD_OK; i++) {
        struct mrd_upkeep_merged merged = {0};
        status = mrd_upkeep_merge(&options, state, &index, &units[i], &merged, err);
        *out_done += merged.committed || merged.quarantined > 0 || merged.lost;
        if (out_last != NULL) {
            *out_last = merged;
        }
    }
    mrd_upkeep_index_fini(&index);
    return status;
}

/* Rounds until nothing is due, of a store that works. */
static inline void region_settle(struct region *region)
{
    struct mrd_error err = {0};
    size_t done = 1;
    for (size_t i = 0; done > 0; i++) {
        struct mrd_upkeep_merged last = {0};
        assert_true(i < 20);
        region_must(region_round(region, region->catalog, region->store, &done, &last, &err), &err);
        region_must(last.publish_error.status, &last.publish_error);
    }
}

/* A thread that does rounds of its own until nothing is due. */
struct region_racer {
    struct region *region;
    pthread_t thread;
    enum mrd_status status;
    struct mrd_error err;
};

static inline void *region_race(void *context)
{
    struct region_racer *racer = context;
    struct mrd_catalog *catalog = region_open_catalog(racer->region, racer->region->files);
    size_t done = 1;
    for (size_t i = 0; i < 50 && done > 0; i++) {
        racer->status =
            region_round(racer->region, catalog, racer->region->files, &done, NULL, &racer->err);
        if (racer->status != MRD_OK) {
            break;
        }
    }
    mrd_catalog_close(&catalog);
    return NULL;
}

/* ---- what is there ---- */

struct region_found {
    struct region_write writes[REGION_TENANTS][REGION_SERIES][REGION_TIMES];
    uint64_t rows;
    uint64_t twice; /* rows that were there already */
};

static inline void region_find_series(struct region_found *found,
                                      const struct mrd_block_entry *entry,
                                      const struct mrd_block_series *series)
{
    const size_t tenant = (size_t)(series->tenant.data[series->tenant.size - 1] - '0');
    const struct mrd_bytes host = series->labels.items[1].value;
    const size_t index = (size_t)(host.data[host.size - 1] - '0');
    assert_true(tenant < REGION_TENANTS && index < REGION_SERIES);
    for (size_t i = 0; i < series->samples.count; i++) {
        const mrd_time_ms offset = series->samples.times_ms[i] - REGION_BASE_MS;
        assert_true(offset % REGION_STEP_MS == 0 && offset / REGION_STEP_MS < REGION_TIMES);
        struct region_write *known = &found->writes[tenant][index][offset / REGION_STEP_MS];
        const mrd_hlc hlc =
            series->sample_hlcs == NULL ? entry->origin.hlc_fence : series->sample_hlcs[i];
        found->rows++;
        found->twice += known->there;
        region_note(known, hlc, series->samples.values[i]);
    }
}

static inline void region_find_block(struct region *region, struct region_found *found,
                                     const struct mrd_block_entry *entry)
{
    struct mrd_error err = {0};
    struct mrd_block *block = NULL;
    struct mrd_block_cursor *cursor = NULL;
    const struct mrd_block_series *series = NULL;
    const struct mrd_block_cursor_options options = {.want_hlc = true};
    region_must(
        mrd_block_open(region->files, entry, &(struct mrd_block_open_options){0}, &block, &err),
        &err);
    region_must(mrd_block_scan(block, &options, &cursor, &err), &err);
    region_must(mrd_block_cursor_next(cursor, &series, &err), &err);
    while (series != NULL) {
        region_find_series(found, entry, series);
        region_must(mrd_block_cursor_next(cursor, &series, &err), &err);
    }
    mrd_block_cursor_close(&cursor);
    mrd_block_close(&block);
}

/* What the blocks of a fresh look at the catalog say, of levels [from, to]. */
static inline void region_find(struct region *region, unsigned from, unsigned to,
                               struct region_found *out)
{
    struct mrd_catalog *catalog = region_open_catalog(region, region->files);
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < mrd_catalog_block_count(state); i++) {
        const struct mrd_block_entry *entry = mrd_catalog_block(state, i);
        if (entry->level >= from && entry->level <= to && entry->resolution_ms == 0) {
            region_find_block(region, out, entry);
        }
    }
    mrd_catalog_unpin(&state);
    mrd_catalog_close(&catalog);
}

static inline void region_same(const struct region *region, const struct region_found *found)
{
    for (size_t t = 0; t < REGION_TENANTS; t++) {
        for (size_t s = 0; s < REGION_SERIES; s++) {
            for (size_t i = 0; i < REGION_TIMES; i++) {
                const struct region_write *want = &region->model[t][s][i];
                const struct region_write *got = &found->writes[t][s][i];
                if (want->there != got->there ||
                    (want->there && mrd_double_bits(want->value) != mrd_double_bits(got->value))) {
                    fail_msg("tenant %zu, series %zu, time %zu: want %d %g, got %d %g", t, s, i,
                             want->there, want->value, got->there, got->value);
                }
            }
        }
    }
}

/* A rollup stands for blocks that are there, all of them. Returns how many. */
static inline size_t region_check_rollup(const struct mrd_catalog_state *state,
                                         const struct mrd_block_entry *rollup)
{
    assert_true(rollup->origin.parent_count > 0);
    for (size_t i = 0; i < rollup->origin.parent_count; i++) {
        assert_non_null(mrd_catalog_find(state, rollup->origin.parents[i]));
    }
    return rollup->origin.parent_count;
}

/* Every block above level 0 has a rollup of each resolution that stands for it, and no rollup stands for anything else. */
static inline void region_expect_rollups(struct region *region)
{
    struct mrd_catalog *catalog = region_open_catalog(region, region->files);
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    const size_t count = mrd_catalog_block_count(state);
    for (size_t i = 0; i < count; i++) {
        const struct mrd_block_entry *block = mrd_catalog_block(state, i);
        size_t found = 0;
        for (size_t k = 0; k < count && block->resolution_ms == 0; k++) {
            const struct mrd_block_entry *rollup = mrd_catalog_block(state, k);
            found += mrd_merge_stands_for(rollup, &block->id, 1) && rollup->level == block->level;
        }
        if (block->resolution_ms != 0) {
            (void)region_check_rollup(state, block);
        } else {
            assert_int_equal(found, block->level > 0 ? MRD_ARRAY_LEN(region_resolutions_ms) : 0);
        }
    }
    mrd_catalog_unpin(&state);
    mrd_catalog_close(&catalog);
}

/* Nothing is lost: all levels together are the model. With `once`, level 1 and above alone are, and have nothing twice. */
static inline void region_expect_model(struct region *region, bool once)
{
    struct region_found found;
    region_find(region, once ? 1 : 0, MRD_BLOCK_LEVEL_MAX, &found);
    region_same(region, &found);
    assert_true(!once || found.twice == 0);
    region_expect_rollups(region);
}

/* ---- tables ---- */

/* The block that a file of a table is; there must be one. */
static inline const struct mrd_block_entry *region_block_of(const struct mrd_catalog_state *state,
                                                            const struct mrd_iceberg_file *file)
{
    for (size_t b = 0; b < mrd_catalog_block_count(state); b++) {
        const struct mrd_block_entry *entry = mrd_catalog_block(state, b);
        const struct mrd_block_file *series = &entry->series_file.file;
        if (mrd_bytes_equal(entry->data.key, mrd_bytes_of(file->path))) {
            assert_true(entry->level > 0 && entry->data.size == file->size);
            return entry;
        }
        if (mrd_bytes_equal(series->key, mrd_bytes_of(file->path))) {
            assert_true(series->size == file->size && entry->counts.series == file->row_count);
            return entry;
        }
    }
    fail_msg("%s is no block", file->path);
    return NULL;
}

/* How many files a table of a tenant has, each of a block of the catalog. */
static inline size_t region_table_files(struct region *region, struct mrd_bytes tenant,
                                        const char *name)
{
    struct mrd_error err = {0};
    struct mrd_catalog_state *state = mrd_catalog_pin(region->catalog);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf path = {0};
    struct mrd_iceberg_metadata *metadata;
    struct mrd_iceberg_contents contents;
    const struct mrd_bytes key = mrd_catalog_table(state, tenant, mrd_bytes_of(name));
    assert_true(key.size > 0);
    mrd_upkeep_table_path("eu", tenant, name, &path);
    mrd_buf_append_u8(&path, 0);
    const struct mrd_iceberg_table table = {
        .store = region->files, .root = region->tables.root, .path = (const char *)path.data};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("table", REGION_CHECK_BYTES);
    const char *key_text = (const char *)mrd_arena_copy(arena, key).data;
    region_must(mrd_iceberg_load(&table, key_text, arena, &metadata, &err), &err);
    region_must(
        mrd_iceberg_contents_load(&table, metadata, metadata->snapshot_id, arena, &contents, &err),
        &err);
    for (size_t i = 0; i < contents.file_count; i++) {
        (void)region_block_of(state, &contents.files[i]);
    }
    mrd_catalog_unpin(&state);
    return contents.file_count;
}

/* The file of series of a block is what was written with it. */
static inline void region_check_series_file(struct region *region,
                                            const struct mrd_block_entry *entry, const char *path)
{
    struct mrd_error err = {0};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    assert_true(mrd_bytes_equal(entry->series_file.file.key, mrd_bytes_of(path)));
    region_must(mrd_objstore_get(region->files, path, REGION_CHECK_BYTES, NULL, &bytes, &err),
                &err);
    assert_int_equal(mrd_crc32c(0, mrd_buf_view(&bytes)), entry->series_file.file.crc32c);
}

static inline void region_find_table(struct region *region, const struct mrd_catalog_state *state,
                                     const struct mrd_catalog_table *at, struct region_found *out,
                                     size_t *rolled, size_t *listed)
{
    struct mrd_error err = {0};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("table", REGION_CHECK_BYTES);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf path = {0};
    struct mrd_iceberg_metadata *metadata;
    struct mrd_iceberg_contents contents;
    const char *name = (const char *)mrd_arena_copy(arena, at->name).data;
    mrd_upkeep_table_path("eu", at->tenant, name, &path);
    mrd_buf_append_u8(&path, 0);
    const struct mrd_iceberg_table table = {
        .store = region->files, .root = region->tables.root, .path = (const char *)path.data};
    const char *key = (const char *)mrd_arena_copy(arena, at->metadata_key).data;
    region_must(mrd_iceberg_load(&table, key, arena, &metadata, &err), &err);
    region_must(
        mrd_iceberg_contents_load(&table, metadata, metadata->snapshot_id, arena, &contents, &err),
        &err);
    for (size_t f = 0; f < contents.file_count; f++) {
        const struct mrd_block_entry *entry = region_block_of(state, &contents.files[f]);
        if (strcmp(name, MRD_UPKEEP_SERIES) == 0) {
            region_check_series_file(region, entry, contents.files[f].path);
            *listed -= 1;
            continue;
        }
        assert_string_equal(mrd_upkeep_table_name(entry->resolution_ms), name);
        if (entry->resolution_ms == 0) {
            region_find_block(region, out, entry);
            *listed += 1;
            *rolled += MRD_ARRAY_LEN(region_resolutions_ms);
        } else {
            *rolled -= region_check_rollup(state, entry);
        }
    }
}

/* What the files of all tenants' tables of samples say. No row may be there twice, every file must be a block that the catalog
 * has, and have its rollups and its file of series in their tables. */
static inline void region_find_tables(struct region *region, struct region_found *out)
{
    size_t rolled = 0; /* files of samples times resolutions, less those that rollups stand for */
    size_t listed = 0; /* files of samples, less files of series */
    struct mrd_catalog *catalog = region_open_catalog(region, region->files);
    struct mrd_catalog_state *state = mrd_catalog_pin(catalog);
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < mrd_catalog_table_count(state); i++) {
        region_find_table(region, state, mrd_catalog_table_at(state, i), out, &rolled, &listed);
    }
    assert_int_equal(out->twice, 0);
    assert_int_equal(listed, 0);
    assert_int_equal(rolled, 0);
    mrd_catalog_unpin(&state);
    mrd_catalog_close(&catalog);
}

#endif
