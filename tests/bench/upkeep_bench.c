/* upkeep_bench: how fast the compactor merges, from the catalog to the catalog.
 *
 *   upkeep_bench [blocks] [tenants] [series of a tenant] [samples of a series in a block] [partitions] [memory limit, MiB] [workers]
 *
 * Writes blocks of level 0 with all their stamps, as the builder does: many tenants, each block the series of one partition, one after the
 * other in time, all within a day. Then merges them as the service does: plan, merge, tables, commit; then a second time as many blocks of the
 * same day, so that the files of the day are written anew; then, when the month is over, the days into the month. Prints for each million samples
 * read per second of CPU and of time (in a folder below TMPDIR, every file with its fsyncs), bytes a sample, and by how much the greatest resident size was above that before.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench_tools.h"
#include "block/writer.h"
#include "objstore/file_store.h"
#include "upkeep/merge.h"

#define BASE_MS INT64_C(1706745600000) /* 2024-02-01 */

struct bench {
    size_t blocks, tenants, series, samples, partitions, memory_bytes, workers;
    struct mrd_objstore *store;
    struct mrd_catalog *catalog;
    struct mrd_upkeep_tables tables;
    mrd_time_ms now_ms;
    struct mrd_clock clock;
};

static mrd_time_ms bench_now(void *context) { return ((const struct bench *)context)->now_ms; }
static int64_t bench_monotonic(void *context)
{
    (void)context;
    return mrd_clock_monotonic_ns(mrd_clock_system());
}

/* A counter of whole numbers, a gauge of two decimals, or something that never changes. */
static double value_of(size_t series, double *last)
{
    switch (series % 4) {
    case 0:
    case 1:
        return *last += (double)(bench_chance() % 100);
    case 2:
        return *last = (double)(bench_chance() % 10000) / 100;
    default:
        return 1;
    }
}

static void add_series(const struct bench *bench, struct mrd_block_writer *writer, size_t tenant,
                       size_t index, size_t step)
{
    static mrd_time_ms times_ms[1 << 16];
    static double values[1 << 16];
    static mrd_hlc hlcs[1 << 16];
    struct mrd_error err = {0};
    char name[32], texts[2][32];
    double last = (double)index;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf canonical = {0};
    (void)snprintf(name, sizeof(name), "tenant-%05zu", tenant);
    (void)snprintf(texts[0], sizeof(texts[0]), "metric_%04zu", index / 100);
    (void)snprintf(texts[1], sizeof(texts[1]), "host-%06zu", index % 100);
    const struct mrd_label items[] = {
        {MRD_BYTES("__name__"), mrd_bytes_of(texts[0])},
        {MRD_BYTES("instance"), mrd_bytes_of(texts[1])},
        {MRD_BYTES("job"),      MRD_BYTES("bench")    },
    };
    struct mrd_block_series series = {
        .tenant = mrd_bytes_of(name), .labels = {items, 3}
    };
    mrd_labels_encode(series.labels, &canonical);
    series.id = mrd_series_id_of(mrd_tenant_seed(series.tenant), mrd_buf_view(&canonical));
    for (size_t i = 0; i < bench->samples; i++) {
        times_ms[i] = BASE_MS + (mrd_time_ms)(step * bench->samples + i) * 15000 +
                      (mrd_time_ms)(index % 15000);
        values[i] = value_of(index, &last);
        hlcs[i] = mrd_hlc_make(times_ms[i] + 40, 0); /* an agent sends them all in one request */
    }
    series.samples = (struct mrd_samples){times_ms, values, bench->samples, NULL};
    series.sample_hlcs = hlcs;
    bench_must(mrd_block_writer_add(writer, &series, &err), &err);
}

static void write_block(const struct bench *bench, size_t number)
{
    struct mrd_error err = {0};
    struct mrd_block_entry entry;
    struct mrd_block_writer *writer = NULL;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("entry", 64 << 20);
    const char *id = mrd_arena_printf(arena, "l0-%06zu", number);
    const char *stem = mrd_arena_printf(arena, "blocks/l0/%s", id);
    const size_t partition = number % bench->partitions;
    const size_t step = number / bench->partitions;
    bench_must(
        mrd_block_writer_create(&(struct mrd_block_writer_options){.store = bench->store,
                                                                   .stem = stem,
                                                                   .id = mrd_bytes_of(id),
                                                                   .keep_hlc = true,
                                                                   .memory_bytes_max = 512 << 20},
                                &writer, &err),
        &err);
    for (size_t t = 0; t < bench->tenants; t++) {
        for (size_t i = partition; i < bench->series; i += bench->partitions) {
            add_series(bench, writer, t, i, step);
        }
    }
    const mrd_time_ms from_ms = BASE_MS + (mrd_time_ms)(step * bench->samples) * 15000;
    const struct mrd_block_origin origin = {
        .partition = (uint32_t)partition,
        .first_sequence = number + 1,
        .last_sequence = number + 1,
        .residency_class = MRD_BYTES("eu"),
        .hlc_min = mrd_hlc_make(from_ms, 0),
        .hlc_fence = mrd_hlc_make(from_ms + (mrd_time_ms)bench->samples * 15000 + 15040, 0)};
    bench_must(mrd_block_writer_finish(writer, &origin, arena, &entry, &err), &err);
    mrd_block_writer_destroy(&writer);
    const struct mrd_catalog_change change = {.add = &entry, .add_count = 1};
    bench_must(mrd_catalog_commit(bench->catalog, &change, NULL, &err), &err);
}

static const mrd_time_ms resolutions_ms[] = {MRD_ROLLUP_1H_MS, MRD_ROLLUP_1D_MS};

/* All that is due, as the service does it. */
static struct mrd_upkeep_merged merge_all(struct bench *bench)
{
    struct mrd_error err = {0};
    struct mrd_upkeep_merged sum = {0};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("plan", 1 << 30);
    struct mrd_upkeep_index index;
    const struct mrd_upkeep_unit *units;
    size_t count;
    const struct mrd_upkeep_plan_options plan = {.now_ms = bench->now_ms};
    const struct mrd_upkeep_merge_options options = {.store = bench->store,
                                                     .catalog = bench->catalog,
                                                     .clock = &bench->clock,
                                                     .region = "eu",
                                                     .holder = "bench",
                                                     .tables = &bench->tables,
                                                     .memory_bytes_max = bench->memory_bytes,
                                                     .workers = bench->workers,
                                                     .resolutions_ms = resolutions_ms,
                                                     .resolution_count =
                                                         MRD_ARRAY_LEN(resolutions_ms)};
    struct mrd_catalog_state *state = mrd_catalog_pin(bench->catalog);
    mrd_upkeep_index_init(&index, state);
    bench_must(mrd_upkeep_plan(state, &index, &plan, arena, &units, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        struct mrd_upkeep_merged merged;
        bench_must(mrd_upkeep_merge(&options, state, &index, &units[i], &merged, &err), &err);
        sum.samples_in += merged.samples_in;
        sum.samples_out += merged.samples_out;
        sum.bytes_in += merged.bytes_in;
        sum.bytes_out += merged.bytes_out;
        sum.blocks_in += merged.blocks_in;
        sum.blocks_out += merged.blocks_out;
        sum.tables += merged.tables;
    }
    mrd_upkeep_index_fini(&index);
    mrd_catalog_unpin(&state);
    return sum;
}

static void measure(struct bench *bench, const char *what)
{
    bench_forget_peak();
    const size_t before = bench_resident("VmRSS:");
    const double wall = bench_seconds(CLOCK_MONOTONIC);
    const double cpu = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
    const struct mrd_upkeep_merged merged = merge_all(bench);
    const double cpu_used = bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    const double wall_used = bench_seconds(CLOCK_MONOTONIC) - wall;
    const size_t peak = bench_resident("VmHWM:");
    const double samples = (double)merged.samples_in;
    printf("%s: %zu blocks to %zu, %.1f M samples in, %.1f M out, %zu tables\n", what,
           merged.blocks_in, merged.blocks_out, samples / 1e6, (double)merged.samples_out / 1e6,
           merged.tables);
    printf("  %.2f M samples per second of CPU, %.2f per second\n", samples / cpu_used / 1e6,
           samples / wall_used / 1e6);
    printf("  %.2f bytes a sample in, %.2f out; %.0f MiB above the %.0f MiB before\n",
           (double)merged.bytes_in / samples, (double)merged.bytes_out / (double)merged.samples_out,
           peak > before ? (double)(peak - before) / 1048576 : 0, (double)before / 1048576);
}

int main(int argc, char **argv)
{
    struct bench bench = {.blocks = bench_argument(argc, argv, 1, 48),
                          .tenants = bench_argument(argc, argv, 2, 1),
                          .series = bench_argument(argc, argv, 3, 10000),
                          .samples = bench_argument(argc, argv, 4, 40),
                          .partitions = bench_argument(argc, argv, 5, 4),
                          .memory_bytes = bench_argument(argc, argv, 6, 512) << 20,
                          .workers = bench_argument(argc, argv, 7, 1)};
    char folder[256];
    const char *base = getenv("TMPDIR");
    (void)snprintf(folder, sizeof(folder), "%s/mrd-upkeep-bench-XXXXXX",
                   base == NULL ? "/tmp" : base);
    struct mrd_error err = {0};
    if (bench.blocks == 0 || bench.tenants == 0 || bench.series == 0 || bench.samples == 0 ||
        bench.samples > 1 << 16 || bench.partitions == 0 || mkdtemp(folder) == NULL) {
        fprintf(stderr, "upkeep_bench: at least one of each, at most 65536 samples\n");
        return 1;
    }
    bench.now_ms = BASE_MS + INT64_C(86400000);
    bench.clock = (struct mrd_clock){bench_now, bench_monotonic, &bench};
    bench_must(mrd_file_store_open(folder, NULL, &bench.store, &err), &err);
    const struct mrd_catalog_options catalog = {.store = bench.store, .clock = &bench.clock};
    bench_must(mrd_catalog_open(&catalog, NULL, &bench.catalog, &err), &err);
    bench.tables = (struct mrd_upkeep_tables){.store = bench.store,
                                              .clock = &bench.clock,
                                              .root = "file:///bench",
                                              .region = "eu",
                                              .keep_ms = 86400000,
                                              .workers = bench.workers};
    for (size_t half = 0; half < 2; half++) {
        for (size_t i = 0; i < bench.blocks; i++) {
            write_block(&bench, half * bench.blocks + i);
        }
        measure(&bench, half == 0 ? "days" : "days again");
    }
    bench.now_ms += INT64_C(40) * 86400000;
    measure(&bench, "month");
    mrd_catalog_close(&bench.catalog);
    mrd_objstore_close(&bench.store);
    return bench_remove_folder(folder) ? 0 : 1;
}
