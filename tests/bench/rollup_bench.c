/* rollup_bench: queries over months of rollups, through a store in a folder.
 *
 *   rollup_bench SERIES MONTHS RESOLUTION_HOURS FOLDER [REPETITIONS [THREADS [QUERY [STEP_HOURS [END_HOURS]]]]]
 *
 * Writes MONTHS blocks of rows (30 days each; half of the series counters, a quarter of which
 * reset once a month, half gauges, as of a scrape every 15 s) unless the folder has
 * them, of each resolution if these are several (1,24), then asks some queries (or the one that is given) in steps of a day (of STEP_HOURS; 0: the
 * last alone), up to END_HOURS before the end, each REPETITIONS times over the same open cache. Seconds of
 * wall clock: the first, the best; of CPU: the least of all threads, and of the query's own in that run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench_tools.h"
#include "block/writer.h"
#include "blockread/rollup_source.h"
#include "objstore/file_store.h"
#include "promql/engine.h"

enum {
    DAYS = 30,
    DAY_MS = 86400000,
    HOUR_MS = 3600000,
    MONTHS_MAX = 24,
    RESOLUTIONS_MAX = 3,
    SAMPLE_MS = 15000
};

static const mrd_time_ms base_ms = INT64_C(1672531200000); /* 2023-01-01 */
static const struct mrd_bytes tenant = {(const uint8_t *)"t", 1};

/* ---- blocks ---- */

struct bench {
    struct mrd_objstore *store;
    struct mrd_arena *arena;
    size_t series;
    size_t months;
    mrd_time_ms resolution_ms;     /* of the blocks that are written */
    mrd_time_ms resolution_ms_max; /* of all */
    mrd_time_ms step_ms;
    mrd_time_ms end_ms;
    struct mrd_block_entry entries[RESOLUTIONS_MAX * MONTHS_MAX];
    size_t entry_count;
    double *counters; /* where each series has come to */
    struct mrd_block_index *index;
    struct mrd_read_pool *pool;
    struct mrd_block_cache *cache;
};

/* A counter begins anew somewhere in the window. */
static void reset_counter(struct mrd_rollup_floats *floats)
{
    for (size_t kind = 0; kind < MRD_ROLLUP_RESET_KINDS; kind++) {
        floats->resets[kind] = 1;
        floats->lost[kind] = floats->last;
    }
    floats->last = (double)(bench_chance() % 1000);
    floats->min = 0;
}

/* A window's row as a counter or a gauge would have it; nothing of it is looked at twice. */
static struct mrd_rollup_row make_row(struct bench *bench, size_t series, bool counter,
                                      mrd_time_ms end_ms)
{
    struct mrd_rollup_row row = mrd_rollup_row_empty(end_ms);
    struct mrd_rollup_floats *floats = &row.floats;
    const mrd_time_ms phase_ms = (mrd_time_ms)(series * 7919 % SAMPLE_MS);
    const double first = counter ? bench->counters[series] : (double)(bench_chance() % 10000) / 100;
    const double by = counter ? (double)(bench_chance() % 5000) : 0;
    floats->count = (uint64_t)(bench->resolution_ms / SAMPLE_MS);
    floats->first = first;
    floats->last = counter ? first + by : (double)(bench_chance() % 10000) / 100;
    floats->min = counter ? first : 0.25;
    floats->max = counter ? floats->last : 99.5;
    floats->sum.sum = (floats->first + floats->last) / 2 * (double)floats->count;
    floats->changes = floats->count / 2;
    floats->first_at.time_ms = end_ms - bench->resolution_ms + 1 + phase_ms;
    floats->last_at.time_ms =
        floats->first_at.time_ms + (mrd_time_ms)(floats->count - 1) * SAMPLE_MS;
    if (counter && series % 4 == 0 && end_ms % (DAYS * (mrd_time_ms)DAY_MS) == 0) {
        reset_counter(floats);
    }
    if (counter) {
        bench->counters[series] = floats->last + (double)(bench_chance() % 20);
    }
    return row;
}

static void write_series(struct bench *bench, struct mrd_block_writer *writer, size_t month,
                         bool counter, size_t number, struct mrd_rollup_row *rows)
{
    const size_t count = (size_t)(DAYS * (mrd_time_ms)DAY_MS / bench->resolution_ms);
    const mrd_time_ms from_ms = base_ms + (mrd_time_ms)month * DAYS * DAY_MS;
    char device[32];
    char zone[16];
    struct mrd_buf canonical = {0};
    struct mrd_error err = {0};
    (void)snprintf(device, sizeof(device), "device-%07zu", number);
    (void)snprintf(zone, sizeof(zone), "z%zu", number % 10);
    const struct mrd_label items[] = {
        {MRD_BYTES("__name__"), counter ? MRD_BYTES("b_total") : MRD_BYTES("a_gauge")},
        {MRD_BYTES("device"),   mrd_bytes_of(device)                                 },
        {MRD_BYTES("job"),      MRD_BYTES("fleet")                                   },
        {MRD_BYTES("zone"),     mrd_bytes_of(zone)                                   },
    };
    struct mrd_block_series series = {
        .tenant = tenant, .labels = {items, 4}
    };
    mrd_labels_encode(series.labels, &canonical);
    series.id = mrd_series_id_of(mrd_tenant_seed(tenant), mrd_buf_view(&canonical));
    mrd_buf_fini(&canonical);
    for (size_t i = 0; i < count; i++) {
        rows[i] = make_row(bench, number + (counter ? bench->series / 2 : 0), counter,
                           from_ms + (mrd_time_ms)(i + 1) * bench->resolution_ms);
    }
    bench_must(mrd_block_writer_add_rows(writer, &series, rows, count, &err), &err);
}

static void name_month(const struct bench *bench, size_t month, char *out, size_t size)
{
    (void)snprintf(out, size, "h%lld-m%zu", (long long)(bench->resolution_ms / HOUR_MS), month);
}

static void write_month(struct bench *bench, size_t month)
{
    struct mrd_error err = {0};
    char stem[64];
    name_month(bench, month, stem, sizeof(stem));
    struct mrd_block_writer *writer = NULL;
    const struct mrd_block_writer_options options = {.store = bench->store,
                                                     .stem = stem,
                                                     .id = mrd_bytes_of(stem),
                                                     .level = 2,
                                                     .resolution_ms = bench->resolution_ms,
                                                     .memory_bytes_max = (size_t)1 << 30};
    struct mrd_rollup_row *rows =
        calloc((size_t)(DAYS * (mrd_time_ms)DAY_MS / bench->resolution_ms), sizeof(*rows));
    mrd_assert(rows != NULL);
    bench_must(mrd_block_writer_create(&options, &writer, &err), &err);
    for (size_t half = 0; half < 2; half++) {
        for (size_t i = 0; i < bench->series / 2; i++) {
            write_series(bench, writer, month, half == 1, i, rows);
        }
    }
    const struct mrd_bytes gone = MRD_BYTES("expired");
    const struct mrd_block_origin origin = {.parents = &gone, .parent_count = 1};
    bench_must(mrd_block_writer_finish(writer, &origin, bench->arena,
                                       &bench->entries[bench->entry_count], &err),
               &err);
    mrd_block_writer_destroy(&writer);
    free(rows);
    struct mrd_buf bytes = {0};
    char key[80];
    (void)snprintf(key, sizeof(key), "%s.entry", stem);
    bench_must(mrd_block_entry_encode(&bench->entries[bench->entry_count], &bytes, &err), &err);
    bench_must(mrd_objstore_put(bench->store, key, mrd_buf_view(&bytes), NULL, &err), &err);
    mrd_buf_fini(&bytes);
}

static bool load_month(struct bench *bench, size_t month)
{
    char stem[64];
    char key[80];
    struct mrd_buf bytes = {0};
    struct mrd_error err = {0};
    name_month(bench, month, stem, sizeof(stem));
    (void)snprintf(key, sizeof(key), "%s.entry", stem);
    if (mrd_objstore_get(bench->store, key, MRD_BLOCK_ENTRY_SIZE_MAX, NULL, &bytes, &err) !=
        MRD_OK) {
        return false;
    }
    struct mrd_block_entry entry;
    bench_must(mrd_block_entry_decode(mrd_buf_view(&bytes), bench->arena, &entry, &err), &err);
    bench_must(
        mrd_block_entry_copy(&entry, bench->arena, &bench->entries[bench->entry_count], &err),
        &err);
    mrd_buf_fini(&bytes);
    return true;
}

/* ---- queries ---- */

static const struct mrd_block_entry *entry_at(const void *entries, size_t index)
{
    return &((const struct mrd_block_entry *)entries)[index];
}

struct cpu {
    double all; /* threads */
    double query;
};

static double ask(struct bench *bench, const char *text, struct mrd_promql_stats *out_stats,
                  double *out_sum, struct cpu *out_cpu)
{
    struct mrd_error err = {0};
    struct mrd_block_source blocks = {
        .options = {.store = bench->store,
                    .cache = bench->cache,
                    .pool = bench->pool,
                    .index = bench->index,
                    .tenant = tenant,
                    .floor_ms = INT64_MIN,
                    .memory_max = (size_t)1 << 30}
    };
    struct mrd_source source = mrd_block_source_get(&blocks);
    struct mrd_rollup_source rollups = {.options = {.blocks = &blocks}};
    source.coarse = mrd_rollup_source_init(&rollups);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", (size_t)4 << 30);
    const struct mrd_promql_options options = {.resolution_ms_max = bench->resolution_ms_max};
    const struct mrd_promql_request request = {
        .text = mrd_bytes_of(text),
        .start_ms = bench->step_ms == 0 ? bench->end_ms
                                        : bench->end_ms % bench->step_ms +
                                              (base_ms / bench->step_ms + 1) * bench->step_ms,
        .end_ms = bench->end_ms,
        .step_ms = bench->step_ms,
        .instant = bench->step_ms == 0};
    struct mrd_promql_result result;
    const double began = bench_seconds(CLOCK_MONOTONIC);
    const double worked = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
    const double evaluated = bench_seconds(CLOCK_THREAD_CPUTIME_ID);
    bench_must(mrd_promql_query(&options, &request, &source, NULL, arena, &result, &err), &err);
    const double took = bench_seconds(CLOCK_MONOTONIC) - began;
    out_cpu->query = bench_seconds(CLOCK_THREAD_CPUTIME_ID) - evaluated;
    out_cpu->all = bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - worked;
    *out_stats = result.stats;
    *out_sum = result.series_count > 0 ? result.series[0].values[result.series[0].count / 2] : 0;
    return took;
}

static void run(struct bench *bench, const char *text, size_t repetitions)
{
    struct mrd_promql_stats stats;
    double sum;
    struct cpu least;
    const double first = ask(bench, text, &stats, &sum, &least);
    double best = first;
    for (size_t i = 1; i < repetitions; i++) {
        struct cpu worked;
        const double again = ask(bench, text, &stats, &sum, &worked);
        best = again < best ? again : best;
        least = worked.all < least.all ? worked : least;
    }
    printf("%-55s first %7.3f s, best %7.3f s, CPU %7.3f s (query's thread %7.3f s); %llu series, "
           "%llu rows (%.17g)\n",
           text, first, best, least.all, least.query, (unsigned long long)stats.series_read,
           (unsigned long long)stats.rows_read, sum);
    fflush(stdout);
}

static void run_all(struct bench *bench, size_t repetitions)
{
    static const char *const queries[] = {
        "sum(rate(b_total[1d]))",
        "sum by (zone) (rate(b_total[1d]))",
        "max(max_over_time(a_gauge[1d]))",
        "avg(avg_over_time(a_gauge[1d]))",
        "sum(count_over_time(a_gauge[1d]))",
        "avg by (zone) (a_gauge)",
        "sum(increase(b_total[30d]))",
        "sum(rate(b_total[1h]))", /* of rows of an hour: one in 24 */
        "avg(avg_over_time(a_gauge[1h]))",
        "max_over_time(a_gauge{device=\"device-0000077\"}[1d])",
    };
    for (size_t q = 0; q < MRD_ARRAY_LEN(queries); q++) {
        const bool needs_hours = strstr(queries[q], "[1h]") != NULL;
        if (!needs_hours || bench->entries[0].resolution_ms == HOUR_MS) {
            run(bench, queries[q], repetitions);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: rollup_bench SERIES MONTHS RESOLUTION_HOURS FOLDER [REPETITIONS "
                        "[THREADS [QUERY [STEP_HOURS [END_HOURS]]]]]\n");
        return 2;
    }
    struct bench bench = {.series = strtoull(argv[1], NULL, 10),
                          .months = strtoull(argv[2], NULL, 10),
                          .step_ms = argc > 8 ? strtoll(argv[8], NULL, 10) * HOUR_MS : DAY_MS};
    struct mrd_error err = {0};
    mrd_assert(bench.months <= MONTHS_MAX);
    bench.arena = mrd_arena_create("entries", (size_t)1 << 30);
    bench.counters = calloc(bench.series + 1, sizeof(double));
    mrd_assert(bench.counters != NULL);
    bench_must(mrd_file_store_open(argv[4], NULL, &bench.store, &err), &err);
    uint64_t bytes = 0;
    uint64_t sidecars = 0;
    const double began = bench_seconds(CLOCK_MONOTONIC);
    for (char *at = argv[3]; *at != 0; at += *at == ',') {
        bench.resolution_ms = strtoll(at, &at, 10) * HOUR_MS;
        bench.resolution_ms_max = MRD_MAX(bench.resolution_ms_max, bench.resolution_ms);
        mrd_assert(bench.resolution_ms > 0 && bench.entry_count < RESOLUTIONS_MAX * bench.months);
        for (size_t month = 0; month < bench.months; month++) {
            if (!load_month(&bench, month)) {
                write_month(&bench, month);
            }
            bytes += bench.entries[bench.entry_count].data.size;
            sidecars += bench.entries[bench.entry_count].sidecar.size;
            bench.entry_count++;
        }
    }
    bench.end_ms = base_ms + (mrd_time_ms)bench.months * DAYS * DAY_MS -
                   (argc > 9 ? strtoll(argv[9], NULL, 10) * HOUR_MS : 0);
    printf("%zu months in %.1f s: data %.1f MB, sidecars %.1f MB\n", bench.months,
           bench_seconds(CLOCK_MONOTONIC) - began, (double)bytes / 1e6, (double)sidecars / 1e6);
    bench.index = mrd_block_index_create(entry_at, bench.entries, bench.entry_count, NULL, 0);
    bench_must(mrd_read_pool_create(argc > 6 ? (unsigned)strtoul(argv[6], NULL, 10) : 2,
                                    &bench.pool, &err),
               &err);
    const struct mrd_block_cache_options caching = {.memory_bytes_max = (size_t)2 << 30};
    bench_must(mrd_block_cache_create(&caching, &bench.cache, &err), &err);
    const size_t repetitions = argc > 5 ? strtoull(argv[5], NULL, 10) : 3;
    if (argc > 7) {
        run(&bench, argv[7], repetitions);
    } else {
        run_all(&bench, repetitions);
    }
    mrd_block_cache_destroy(&bench.cache);
    mrd_read_pool_destroy(&bench.pool);
    mrd_block_index_destroy(&bench.index);
    mrd_objstore_close(&bench.store);
    mrd_arena_destroy(&bench.arena);
    free(bench.counters);
    return 0;
}
