/* tiers_rig.h: for tests: a log of writes that are cut up at random over an ingester's head and blocks of a real catalog in a folder,
 * and a querier's source over both. The ingester answers over real NATS from the writes that its head is said to have. Test programs
 * include it; nothing else does.
 *
 * Of each partition's log sequence n has a sample of every series at one time; some samples are written twice with
 * other values, far from each other, or late.
 */
#ifndef QRY_TIERS_RIG_H
#define QRY_TIERS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "block/writer.h"
#include "bus/nats_fixture.h"
#include "codec/chunk.h"
#include "codec/frame.h"
#include "model/series_order.h"
#include "objstore/fault_store.h"
#include "objstore/folder_fixture.h"
#include "querier/json.h"
#include "querier/tiers.h"
#include "wire/query.h"

enum { PARTITIONS = 3, SERIES = 24, SEQUENCES = 240, STEP_MS = 15000, IDS_MAX = 64 };
static const mrd_time_ms T0 = 1700000000000;
static const struct mrd_log_identity RIG_LOG = {.created_ns = 1700000000000000000};
#define TENANT MRD_BYTES("t")

static inline int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

static uint64_t random_state = 1;
static inline size_t below(size_t limit)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return (size_t)(random_state >> 33) % limit;
}

/* ---- the log ---- */

struct rig_series {
    char texts[2][16];
    struct mrd_label items[3];
    struct mrd_labels labels;
    struct mrd_buf canonical;
    mrd_series_id id;
    uint32_t partition;
    /* Of time T0 + n * STEP_MS: the write that counts, and one before it; sequence 0: there is none. */
    uint64_t sequences[SEQUENCES];
    double values[SEQUENCES];
    uint64_t older_sequences[SEQUENCES];
};

static struct rig_series rig_series[SERIES]; /* in the order of series_order.h */

static inline int rig_compare(const void *a, const void *b)
{
    return mrd_series_order(((const struct rig_series *)a)->labels,
                            ((const struct rig_series *)b)->labels);
}

static inline void rig_series_name(struct rig_series *series, size_t number)
{
    (void)snprintf(series->texts[0], sizeof(series->texts[0]), "%zu", number);
    (void)snprintf(series->texts[1], sizeof(series->texts[1]), "zone-%zu", number % 3);
    series->items[0] =
        (struct mrd_label){MRD_BYTES(MRD_METRIC_NAME),
                           number % 2 == 0 ? MRD_BYTES("gauge") : MRD_BYTES("counter_total")};
    series->items[1] = (struct mrd_label){MRD_BYTES("device"), mrd_bytes_of(series->texts[0])};
    series->items[2] = (struct mrd_label){MRD_BYTES("zone"), mrd_bytes_of(series->texts[1])};
    series->labels = (struct mrd_labels){series->items, 3};
}

static inline void rig_log_make(void)
{
    struct mrd_labels sorted[SERIES];
    for (size_t i = 0; i < SERIES; i++) {
        mrd_buf_fini(&rig_series[i].canonical);
        rig_series[i] = (struct rig_series){.partition = 0};
        rig_series_name(&rig_series[i], i);
    }
    qsort(rig_series, SERIES, sizeof(rig_series[0]), rig_compare);
    for (size_t i = 0; i < SERIES; i++) { /* pointers into what was moved */
        struct rig_series *series = &rig_series[i];
        rig_series_name(series, strtoul(series->texts[0], NULL, 10));
        sorted[i] = series->labels;
        mrd_labels_encode(sorted[i], &series->canonical);
        series->id = mrd_series_id_of(mrd_tenant_seed(TENANT), mrd_buf_view(&series->canonical));
        series->partition = mrd_series_partition(series->id, PARTITIONS);
        const bool brief = below(6) == 0; /* there for a part of the time only */
        for (size_t n = 0; n < SEQUENCES; n++) {
            const bool there = !(brief && n / 60 % 2 == 1) && below(40) != 0;
            const size_t late = below(10) == 0 ? below(SEQUENCES - n) : 0;
            series->sequences[n] = there ? n + 1 + late : 0;
            series->older_sequences[n] = there && late > 0 && below(2) == 0 ? n + 1 : 0;
            series->values[n] = (double)below(1000000) / 997.0;
        }
    }
}

/* The sample of a time as writes in [first, last] have it. */
static inline bool rig_value(const struct rig_series *series, size_t n, uint64_t first,
                             uint64_t last, double *out)
{
    if (series->sequences[n] >= first && series->sequences[n] <= last &&
        series->sequences[n] != 0) {
        *out = series->values[n];
        return true;
    }
    *out = -series->values[n] - 1;
    return series->older_sequences[n] >= MRD_MAX(first, (uint64_t)1) &&
           series->older_sequences[n] <= last;
}

static inline size_t rig_samples(const struct rig_series *series, uint64_t first, uint64_t last,
                                 mrd_time_ms times_ms[SEQUENCES], double values[SEQUENCES])
{
    size_t count = 0;
    for (size_t n = 0; n < SEQUENCES; n++) {
        if (rig_value(series, n, first, last, &values[count])) {
            times_ms[count++] = T0 + (mrd_time_ms)n * STEP_MS;
        }
    }
    return count;
}

/* ---- the ingester ---- */

struct rig_ingester {
    struct mrd_bus *bus;
    struct mrd_members *members;
    struct mrd_rpc_server *server;
    struct mrd_member self;
    struct mrd_member_partition serves[PARTITIONS];
    _Atomic uint64_t first[PARTITIONS];
};

static inline void rig_frame(const struct rig_series *series, const mrd_time_ms *times_ms,
                             const double *values, size_t count, struct mrd_buf *out)
{
    uint8_t bytes[SEQUENCES * 24];
    struct mrd_chunk chunk = {.count = (uint32_t)count, .bytes = {.data = bytes}};
    mrd_frame_write_head(out, mrd_buf_view(&series->canonical), count > 0 ? 1 : 0);
    if (count > 0) {
        chunk.bytes.size =
            mrd_chunk_encode(times_ms, values, (uint32_t)count, bytes, &chunk.encoding);
        mrd_frame_write_chunk(out, &chunk);
    }
}

static inline void rig_texts(const struct mrd_query_request *request,
                             const struct rig_series *series, struct mrd_buf *out)
{
    for (size_t i = 0; i < series->labels.count; i++) {
        const struct mrd_label *item = &series->labels.items[i];
        if (request->kind == MRD_QUERY_LABEL_NAMES) {
            mrd_query_text_write(out, item->name);
        } else if (mrd_bytes_equal(item->name, request->label)) {
            mrd_query_text_write(out, item->value);
        }
    }
}

/* What the head has of one series, if the question is for it. */
static inline void rig_answer_series(const struct mrd_query_request *request,
                                     const struct rig_series *series, uint64_t first,
                                     struct mrd_buf *out)
{
    mrd_time_ms times_ms[SEQUENCES];
    double values[SEQUENCES];
    if (!mrd_matchers_match(request->matchers, request->matcher_count, series->labels)) {
        return;
    }
    const size_t count = rig_samples(series, first, SEQUENCES, times_ms, values);
    bool any = false;
    for (size_t i = 0; i < count && !any; i++) {
        any = times_ms[i] >= request->time_min_ms && times_ms[i] <= request->time_max_ms;
    }
    if (!any) {
        return;
    }
    if (request->kind == MRD_QUERY_SELECT) {
        rig_frame(series, times_ms, values, count, out);
    } else if (request->kind == MRD_QUERY_SERIES) {
        rig_frame(series, NULL, NULL, 0, out);
    } else {
        rig_texts(request, series, out);
    }
}

static inline enum mrd_status rig_on_call(void *context, struct mrd_rpc_call *call,
                                          struct mrd_error *err)
{
    struct rig_ingester *ingester = context;
    struct mrd_query_request request;
    struct mrd_buf out = {0};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("test", 1 << 20);
    MRD_TRY(mrd_query_request_decode(mrd_rpc_call_request(call), arena, &request, err));
    const enum mrd_status status = request.kind == MRD_QUERY_FRAGMENT
                                       ? mrd_fail(err, MRD_E_UNSUPPORTED, "no fragments")
                                       : MRD_OK;
    for (size_t p = 0; p < request.partition_count && status == MRD_OK; p++) {
        struct mrd_buf data = {0};
        const uint32_t number = request.partitions[p].number;
        for (size_t i = 0; i < SERIES; i++) {
            if (rig_series[i].partition == number) {
                rig_answer_series(&request, &rig_series[i], atomic_load(&ingester->first[number]),
                                  &data);
            }
        }
        if (data.size > 0) {
            mrd_query_part_data(&out, number, mrd_buf_view(&data));
        }
        mrd_query_part_end(&out, number, &(struct mrd_query_trailer){.series = 1});
        mrd_buf_fini(&data);
    }
    mrd_query_request_fini(&request);
    if (status == MRD_OK) {
        mrd_rpc_call_last_take(call, &out);
    }
    return status;
}

static inline void rig_ingester_start(struct rig_ingester *ingester,
                                      const struct nats_fixture *nats)
{
    char subject[MRD_QUERY_SUBJECT_MAX];
    ingester->bus = nats_fixture_connect(nats);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        ingester->first[p] = 1;
        ingester->serves[p] =
            (struct mrd_member_partition){p, MRD_PARTITION_SERVING, SEQUENCES, 1, RIG_LOG};
    }
    ingester->self = (struct mrd_member){.kind = MRD_MEMBER_INGESTER,
                                         .instance = "one",
                                         .incarnation = 1,
                                         .partitions = ingester->serves,
                                         .partition_count = PARTITIONS};
    const struct mrd_rpc_server_options options = {.subject = mrd_query_subject("one", subject),
                                                   .workers = 2,
                                                   .handle = rig_on_call,
                                                   .context = ingester};
    assert_int_equal(mrd_rpc_server_create(ingester->bus, &options, &ingester->server, NULL),
                     MRD_OK);
    assert_int_equal(mrd_bus_flush(ingester->bus, 5000, NULL), MRD_OK);
    assert_int_equal(mrd_members_create(ingester->bus,
                                        &(struct mrd_members_options){.self = &ingester->self},
                                        &ingester->members, NULL),
                     MRD_OK);
}

static inline void rig_ingester_stop(struct rig_ingester *ingester)
{
    mrd_members_destroy(&ingester->members);
    mrd_rpc_server_destroy(&ingester->server, 1000);
    mrd_bus_close(&ingester->bus);
}

/* ---- the world ---- */

struct rig {
    struct nats_fixture nats;
    struct rig_ingester ingester;
    struct mrd_metrics *metrics;
    struct qry_cluster cluster;

    char folder[FOLDER_FIXTURE_PATH_MAX];
    struct mrd_objstore *files;
    struct mrd_objstore *faults;   /* what the querier reads through */
    struct mrd_catalog *catalog;   /* the builder's */
    struct mrd_arena *entries;     /* of blocks written */
    struct mrd_bytes ids[IDS_MAX]; /* of blocks in the catalog */
    size_t id_count;

    struct qry_blocks *blocks;
    struct qry_erasures *erasures; /* NULL: queries go by what is known */
    _Atomic int64_t ahead_ns;      /* of the querier's clock */
    struct mrd_clock clock;
    _Atomic int changes; /* on_change was called */
    bool partial;
};

static inline int64_t rig_monotonic(void *context)
{
    return now_ns() + atomic_load((const _Atomic int64_t *)context);
}
static inline mrd_time_ms rig_now_ms(void *context)
{
    (void)context;
    return mrd_clock_now_ms(mrd_clock_system());
}

static inline void rig_on_change(void *context, bool known, const struct mrd_error *why)
{
    (void)known;
    (void)why;
    atomic_fetch_add((_Atomic int *)context, 1);
}

static inline struct mrd_counter *rig_counter(struct rig *rig, const char *name)
{
    return mrd_metrics_counter(rig->metrics, name, "Test.", MRD_NO_LABELS);
}

static inline void rig_cluster_start(struct rig *rig)
{
    struct qry_cluster *cluster = &rig->cluster;
    cluster->bus = nats_fixture_connect(&rig->nats);
    cluster->partition_count = PARTITIONS;
    cluster->unavailable_wait_ms = 20000;
    cluster->retries = rig_counter(rig, "retries");
    cluster->partial = rig_counter(rig, "partial");
    cluster->selects_plain = rig_counter(rig, "plain");
    cluster->selects_pushed = rig_counter(rig, "pushed");
    cluster->fragments_refused = rig_counter(rig, "refused");
    assert_int_equal(mrd_rpc_client_create(cluster->bus, &cluster->rpc, NULL), MRD_OK);
    assert_int_equal(mrd_members_create(cluster->bus, &(struct mrd_members_options){.self = NULL},
                                        &cluster->members, NULL),
                     MRD_OK);
}

/* A querier's blocks; refresh_ms is so long that only what asks for a refresh gets one. */
static inline void rig_blocks_start(struct rig *rig)
{
    const struct qry_blocks_options options = {
        .store = rig->faults,
        .cache_memory_bytes_max = 1 << 20,
        .reads = 4,
        .refresh_ms = 3600000,
        .stale_ms_max = 1800000,
        .partition_count = PARTITIONS,
        .clock = &rig->clock,
        .metrics = rig->metrics,
        .on_change = rig_on_change,
        .context = &rig->changes,
    };
    atomic_store(&rig->changes, 0);
    assert_int_equal(qry_blocks_create(&options, &rig->blocks, NULL), MRD_OK);
    while (atomic_load(&rig->changes) == 0) {
        usleep(1000);
    }
}

static inline int rig_setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    rig->clock = (struct mrd_clock){rig_now_ms, rig_monotonic, &rig->ahead_ns};
    rig->metrics = mrd_metrics_create();
    nats_fixture_start(&rig->nats);
    rig_ingester_start(&rig->ingester, &rig->nats);
    rig_cluster_start(rig);
    *state = rig;
    return 0;
}

static inline int rig_teardown(void **state)
{
    struct rig *rig = *state;
    mrd_rpc_client_destroy(&rig->cluster.rpc);
    mrd_members_destroy(&rig->cluster.members);
    mrd_bus_close(&rig->cluster.bus);
    rig_ingester_stop(&rig->ingester);
    nats_fixture_stop(&rig->nats);
    mrd_metrics_destroy(&rig->metrics);
    for (size_t i = 0; i < SERIES; i++) {
        mrd_buf_fini(&rig_series[i].canonical);
    }
    free(rig);
    return 0;
}

/* A catalog without blocks, and a querier that has read it. */
static inline void rig_open(struct rig *rig)
{
    rig->files = folder_fixture_open(rig->folder, NULL);
    rig->faults = mrd_fault_store_create(rig->files);
    rig->entries = mrd_arena_create("entries", SIZE_MAX);
    rig->id_count = 0;
    rig->partial = false;
    atomic_store(&rig->ahead_ns, 0);
    assert_int_equal(mrd_catalog_open(&(struct mrd_catalog_options){.store = rig->files}, NULL,
                                      &rig->catalog, NULL),
                     MRD_OK);
    rig_blocks_start(rig);
}

static inline void rig_close(struct rig *rig)
{
    qry_blocks_destroy(&rig->blocks);
    mrd_catalog_close(&rig->catalog);
    mrd_arena_destroy(&rig->entries);
    mrd_objstore_close(&rig->faults);
    mrd_objstore_close(&rig->files);
    folder_fixture_remove(rig->folder);
}

/* ---- what heads and blocks have ---- */

static inline bool rig_is_seen(const struct rig *rig)
{
    bool seen = true;
    const struct mrd_members_snapshot *members = mrd_members_acquire(rig->cluster.members);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        struct qry_held held;
        qry_cluster_held(members, p, RIG_LOG, &held);
        seen &= held.first == atomic_load(&rig->ingester.first[p]);
    }
    mrd_members_release(&members);
    return seen;
}

/* The heads begin there from now on, and the querier knows. */
static inline void rig_heads_set(struct rig *rig, const uint64_t first[PARTITIONS])
{
    const int64_t deadline_ns = now_ns() + (int64_t)60 * 1000000000;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        atomic_store(&rig->ingester.first[p], first[p]);
        rig->ingester.serves[p].sequence_first = first[p];
    }
    mrd_members_update(rig->ingester.members, &rig->ingester.self);
    while (!rig_is_seen(rig)) {
        assert_true(now_ns() < deadline_ns);
        usleep(1000);
    }
}

/* Writes [first, last] of a partition (or up to last of all, of level 1) as a block; false if nothing is in it. */
static inline bool rig_block_write(struct rig *rig, unsigned level, uint32_t partition,
                                   uint64_t first, const uint64_t last[PARTITIONS],
                                   struct mrd_block_entry *out)
{
    static unsigned number;
    char stem[64];
    struct mrd_block_writer *writer = NULL;
    struct mrd_error err = {0};
    (void)snprintf(stem, sizeof(stem), "blocks/%u", number++);
    const struct mrd_block_writer_options options = {.store = rig->files,
                                                     .stem = stem,
                                                     .id = mrd_bytes_of(stem + 7),
                                                     .level = level,
                                                     .memory_bytes_max = (size_t)64 << 20};
    assert_int_equal(mrd_block_writer_create(&options, &writer, NULL), MRD_OK);
    for (size_t i = 0; i < SERIES; i++) {
        mrd_time_ms times_ms[SEQUENCES];
        double values[SEQUENCES];
        const struct rig_series *series = &rig_series[i];
        if (level == 0 && series->partition != partition) {
            continue;
        }
        const struct mrd_block_series added = {
            .tenant = TENANT,
            .labels = series->labels,
            .id = series->id,
            .samples = {times_ms, values,
                        rig_samples(series, first, last[series->partition], times_ms, values),
                        NULL}
        };
        if (mrd_block_writer_add(writer, &added, &err) != MRD_OK) {
            fail_msg("%s", err.text);
        }
    }
    const bool any = mrd_block_writer_size(writer).series > 0;
    struct mrd_block_origin origin = {.residency_class = MRD_BYTES("eu")};
    if (level == 0) {
        origin.partition = partition;
        origin.first_sequence = first;
        origin.last_sequence = last[partition];
    } else {
        origin.parents = rig->ids;
        origin.parent_count = rig->id_count;
    }
    if (any && mrd_block_writer_finish(writer, &origin, rig->entries, out, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    mrd_block_writer_destroy(&writer);
    return any;
}

static inline void rig_commit(struct rig *rig, const struct mrd_catalog_change *change)
{
    struct mrd_error err = {0};
    if (mrd_catalog_commit(rig->catalog, change, NULL, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
}

/* Builds the partition's log up to `to` into blocks of random sizes. */
static inline void rig_build(struct rig *rig, uint32_t partition, uint64_t from, uint64_t to)
{
    while (from < to) {
        uint64_t last[PARTITIONS] = {0};
        struct mrd_block_entry entry;
        last[partition] = MRD_MIN(to, from + 20 + below(100));
        const bool any = rig_block_write(rig, 0, partition, from + 1, last, &entry);
        const struct mrd_catalog_built_change built = {
            .partition = partition, .from = from, .to = last[partition], .log = RIG_LOG};
        rig_commit(rig, &(struct mrd_catalog_change){
                            .add = &entry, .add_count = any, .built = &built, .built_count = 1});
        if (any) {
            assert_true(rig->id_count < IDS_MAX);
            rig->ids[rig->id_count++] = entry.id;
        }
        from = last[partition];
    }
}

/* All blocks, which end at `built`, become one of level 1. */
static inline void rig_merge(struct rig *rig, const uint64_t built[PARTITIONS])
{
    struct mrd_block_entry entry;
    assert_true(rig_block_write(rig, 1, 0, 1, built, &entry));
    rig_commit(
        rig, &(struct mrd_catalog_change){
                 .add = &entry, .add_count = 1, .remove = rig->ids, .remove_count = rig->id_count});
    rig->ids[0] = entry.id;
    rig->id_count = 1;
}

static inline void rig_refresh(struct rig *rig)
{
    struct mrd_error err = {0};
    if (qry_blocks_refresh(rig->blocks, NULL, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
}

/* ---- asking ---- */

/* A query's source, as a call of the API has it. */
struct rig_query {
    struct mrd_arena *arena;
    struct mrd_annotations annotations;
    struct mrd_query_control control;
    struct mrd_query_scope scope;
    struct qry_remote remote;
    struct qry_tiers tiers;
    struct mrd_source source;
};

static inline enum mrd_status rig_query_open(struct rig *rig, struct rig_query *query,
                                             struct mrd_error *err)
{
    *query = (struct rig_query){.arena = mrd_arena_create("query", (size_t)256 << 20)};
    mrd_annotations_init(&query->annotations, query->arena, MRD_BYTES_NONE);
    query->control = (struct mrd_query_control){.clock = mrd_clock_system(),
                                                .deadline_ns = now_ns() + (int64_t)60 * 1000000000};
    query->scope = (struct mrd_query_scope){query->arena, &query->annotations, &query->control};
    query->remote.options = (struct qry_remote_options){.cluster = &rig->cluster,
                                                        .tenant = TENANT,
                                                        .partial = rig->partial,
                                                        .push_down = true,
                                                        .floor_ms = INT64_MIN};
    query->tiers.remote = &query->remote;
    query->tiers.erasures = rig->erasures;
    query->tiers.floors = (struct qry_tiers_floors){.lookback_ms = INT64_MIN};
    return qry_tiers_open(&query->tiers, rig->blocks, &query->scope, &query->source, err);
}

static inline void rig_query_close(struct rig_query *query)
{
    qry_tiers_close(&query->tiers);
    mrd_arena_destroy(&query->arena);
}

/* The answer to a query over all the time there is, as JSON; instant where step_ms is 0. */
static inline enum mrd_status rig_ask(struct rig *rig, const char *text, mrd_time_ms step_ms,
                                      struct mrd_buf *out, struct mrd_error *err)
{
    struct rig_query query;
    const mrd_time_ms end_ms = T0 + (mrd_time_ms)SEQUENCES * STEP_MS;
    const struct mrd_promql_request request = {.text = mrd_bytes_of(text),
                                               .start_ms = step_ms == 0 ? end_ms : T0,
                                               .end_ms = end_ms,
                                               .step_ms = step_ms,
                                               .instant = step_ms == 0};
    const struct mrd_promql_options options = {.lookback_ms = 300000};
    struct mrd_promql_result result;
    enum mrd_status status = rig_query_open(rig, &query, err);
    if (status == MRD_OK) {
        status = mrd_promql_query(&options, &request, &query.source, &query.control, query.arena,
                                  &result, err);
    }
    mrd_buf_clear(out);
    if (status == MRD_OK) {
        qry_json_result(&result, request.start_ms, NULL, out);
    }
    rig_query_close(&query);
    return status;
}

#endif
