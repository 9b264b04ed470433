/* block_bench: how fast blocks are written and read and how small they get, through a store in a folder.
 *
 *   block_bench [repetitions [folder]]
 *
 * Two mixes of series, each as a day of one tenant (level 1, with labels) and as two hours of it (level 0):
 *   k8s  constants, histogram buckets, counters, gauges, cpu seconds, ...; every 15 s, 1% of scrapes missing
 *   iot  quantised sensors, gauges, booleans, counters; every 30 s, half of the devices off by up to a second
 * and 100,000 tenants of one series, and 100,000 series of two samples, for what the sidecar costs; each in both layouts. CPU seconds, the best of the repetitions.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "bench_tools.h"
#include "block/reader.h"
#include "block/writer.h"
#include "objstore/file_store.h"

enum { MEMORY_BYTES = 512 << 20 };

static double part(void) { return (double)(bench_chance() % 1000000) / 1e6; }

/* ---- values ---- */

enum class {
    CONSTANT,
    BUCKET,
    SLOW_COUNTER,
    COUNTER,
    MEMORY,
    CPU,
    GAUGE,
    BOOLEAN,
    RATIO,
    NOISE,
    SENSOR,
};

struct weight {
    enum class class;
    double share;
};

static const struct weight k8s[] = {
    {CONSTANT,     .25},
    {BUCKET,       .30},
    {SLOW_COUNTER, .15},
    {COUNTER,      .10},
    {MEMORY,       .05},
    {CPU,          .04},
    {GAUGE,        .05},
    {BOOLEAN,      .03},
    {RATIO,        .02},
    {NOISE,        .01},
};
static const struct weight iot[] = {
    {SENSOR,  .70},
    {GAUGE,   .14},
    {BOOLEAN, .08},
    {COUNTER, .06},
    {RATIO,   .02},
};

static double rounded(double value, double scale) { return round(value * scale) / scale; }

static void fill_values(enum class class, double *values, size_t count)
{
    double at = (double)(bench_chance() % 1000000);
    const double scale = class == SENSOR ? 10 : pow(10, (double)(1 + bench_chance() % 3));
    double level = 20 + 50 * part();
    for (size_t i = 0; i < count; i++) {
        switch (class) {
        case CONSTANT:
            break;
        case BUCKET:
            at += bench_chance() % 4 == 0 ? (double)(bench_chance() % 12) : 0;
            break;
        case SLOW_COUNTER:
            at += bench_chance() % 200 == 0;
            break;
        case COUNTER:
            at += (double)(bench_chance() % 40);
            break;
        case MEMORY:
            at += bench_chance() % 3 == 0 ? ((double)(bench_chance() % 64) - 32) * 4096 : 0;
            break;
        case CPU:
            at = rounded(at + part() * 3, 100);
            break;
        case GAUGE:
        case SENSOR:
            level += class == SENSOR && bench_chance() % 3 != 0 ? 0 : (part() - 0.5) * 0.6;
            at = rounded(level, scale);
            break;
        case BOOLEAN:
            at = bench_chance() % 300 == 0 ? at < 1 : at >= 1;
            break;
        case RATIO:
            at = part() * (double)(bench_chance() % 1000) / 997;
            break;
        case NOISE:
            at = (double)bench_chance() / 7;
            break;
        }
        values[i] = at;
    }
}

static enum class class_of(const struct weight *mix, size_t count, double share) {
    for (size_t i = 0; i + 1 < count; i++){if (share < mix[i].share){return mix[i].class;}
share -= mix[i].share;
}
return mix[count - 1].class;
}

/* ---- series ---- */

struct data {
    const char *name;
    size_t series_count;
    struct mrd_block_series *series;
    size_t samples;
};

static int compare(const void *a, const void *b) { return mrd_block_series_compare(a, b); }

static struct mrd_bytes text(const char *format, ...) MRD_PRINTF(1, 2);
static struct mrd_bytes text(const char *format, ...)
{
    char *out = NULL;
    va_list args;
    va_start(args, format);
    mrd_assert(vasprintf(&out, format, args) > 0);
    va_end(args);
    return mrd_bytes_of(out);
}

enum { LABELS = 11 };

/* Pods with some metrics each: what a Kubernetes scrape looks like. */
static void set_labels(struct mrd_block_series *series, unsigned i, unsigned metrics,
                       unsigned tenants)
{
    struct mrd_label *items = calloc(LABELS, sizeof(*items));
    mrd_assert(items != NULL);
    const unsigned pod = i / metrics;
    const struct mrd_label all[LABELS] = {
        {MRD_BYTES("__name__"),                    text("metric_number_%03u_total", i % metrics)         },
        {MRD_BYTES("cluster"),                     MRD_BYTES("eu-central-1")      },
        {MRD_BYTES("container"),                     text("container-%u",                        pod % 7)                     },
        {MRD_BYTES("image"), text("registry.example.org/team/app:%u",                       pod % 11)},
        {MRD_BYTES("instance"),                  text("10.0.%u.17:9100",                       pod % 50)                     },
        {MRD_BYTES("job"),                    MRD_BYTES("kubelet")                               },
        {MRD_BYTES("namespace"),                               text("namespace-%u",                                                              pod % 13)},
        {MRD_BYTES("node"),                               text("node-%u",                                                              pod % 50)},
        {MRD_BYTES("pod"),                                    text("app-7d9f8b6c5-%05u",                                                                   pod)     },
        {MRD_BYTES("service"),                               text("service-%u",                                                              pod % 29)      },
        {MRD_BYTES("uid"),                text("%08x-3c1d-4e5f",                                               (pod + 1) * 2654435761U)},
    };
    memcpy(items, all, sizeof(all));
    series->tenant = text("tenant-%06u", i % tenants);
    series->labels = (struct mrd_labels){items, LABELS};
    struct mrd_buf canonical = {0};
    mrd_labels_encode(series->labels, &canonical);
    series->id = mrd_series_id_of(mrd_tenant_seed(series->tenant), mrd_buf_view(&canonical));
    mrd_buf_fini(&canonical);
}

static void set_times(mrd_time_ms *times, size_t count, bool is_iot, unsigned i)
{
    int64_t at = INT64_C(1700000000000) / 86400000 * 86400000;
    for (size_t k = 0; k < count; k++) {
        if (is_iot) {
            times[k] = at + (i % 2 == 0 ? ((int64_t)(bench_chance() % 3) - 1) * 1000 : 0);
            at += 30000;
        } else {
            at += bench_chance() % 100 == 0 ? 30000 : 15000;
            times[k] = at;
        }
    }
}

static struct data make_data(const char *name, bool is_iot, unsigned tenants, size_t series,
                             size_t samples)
{
    struct data data = {.name = name, .series_count = series, .samples = series * samples};
    data.series = calloc(series, sizeof(data.series[0]));
    mrd_assert(data.series != NULL);
    for (unsigned i = 0; i < series; i++) {
        double *values = calloc(samples, sizeof(*values));
        mrd_time_ms *times = calloc(samples, sizeof(*times));
        mrd_assert(values != NULL && times != NULL);
        const double share = (double)(i * 2654435761U % 1000) / 1000;
        fill_values(is_iot ? class_of(iot, MRD_ARRAY_LEN(iot), share)
                           : class_of(k8s, MRD_ARRAY_LEN(k8s), share),
                    values, samples);
        set_times(times, samples, is_iot, i);
        set_labels(&data.series[i], i, is_iot ? 4 : 60, tenants);
        data.series[i].samples = (struct mrd_samples){times, values, samples, NULL};
    }
    qsort(data.series, series, sizeof(data.series[0]), compare);
    return data;
}

/* ---- writing and reading ---- */

struct figures {
    double write, scan, one, open;
    uint64_t data_size, sidecar_size;
};

static void write_block(struct mrd_objstore *store, const struct data *data, unsigned level,
                        bool compact, struct mrd_arena *arena, struct mrd_block_entry *entry)
{
    static const struct mrd_block_promoted promoted[] = {
        {"job",      2},
        {"instance", 3}
    };
    const struct mrd_block_writer_options options = {.store = store,
                                                     .stem = "bench/block",
                                                     .id = MRD_BYTES("bench"),
                                                     .level = level,
                                                     .compact = compact,
                                                     .promoted = promoted,
                                                     .promoted_count = level == 0 ? 0 : 2,
                                                     .memory_bytes_max = MEMORY_BYTES};
    const struct mrd_block_origin origin = {0};
    struct mrd_error err;
    struct mrd_block_writer *writer;
    bench_must(mrd_block_writer_create(&options, &writer, &err), &err);
    for (size_t i = 0; i < data->series_count; i++) {
        bench_must(mrd_block_writer_add(writer, &data->series[i], &err), &err);
    }
    bench_must(mrd_block_writer_finish(writer, &origin, arena, entry, &err), &err);
    mrd_block_writer_destroy(&writer);
}

static size_t drain(struct mrd_block_cursor *cursor)
{
    const struct mrd_block_series *series;
    struct mrd_error err;
    size_t samples = 0;
    for (;;) {
        bench_must(mrd_block_cursor_next(cursor, &series, &err), &err);
        if (series == NULL) {
            return samples;
        }
        samples += series->samples.count;
    }
}

static void read_block(struct mrd_objstore *store, const struct data *data,
                       const struct mrd_block_entry *entry, struct figures *best)
{
    struct mrd_error err;
    struct mrd_block *block;
    struct mrd_block_cursor *cursor;
    const struct mrd_block_cursor_options options = {0};
    double begin = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
    bench_must(mrd_block_open(store, entry, &(struct mrd_block_open_options){0}, &block, &err),
               &err);
    bench_must(mrd_block_scan(block, &(struct mrd_block_cursor_options){.labels_only = true},
                              &cursor, &err),
               &err);
    const struct mrd_block_series *series;
    bench_must(mrd_block_cursor_next(cursor, &series, &err), &err); /* the part is parsed */
    mrd_block_cursor_close(&cursor);
    best->open = fmin(best->open, bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - begin);
    begin = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
    bench_must(mrd_block_scan(block, &options, &cursor, &err), &err);
    mrd_assert(drain(cursor) == data->samples);
    mrd_block_cursor_close(&cursor);
    best->scan = fmin(best->scan, bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - begin);
    mrd_block_close(&block);
}

/* One series of a block whose sidecar is in the cache. */
static void read_one(struct mrd_objstore *store, const struct data *data,
                     const struct mrd_block_entry *entry, struct figures *best)
{
    struct mrd_error err;
    struct mrd_block_cache *cache;
    bench_must(
        mrd_block_cache_create(&(struct mrd_block_cache_options){.memory_bytes_max = MEMORY_BYTES},
                               &cache, &err),
        &err);
    enum { READS = 200 };
    for (int round = 0; round < 2; round++) {
        const double begin = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
        for (size_t i = 0; i < READS; i++) {
            const struct mrd_block_series *of = &data->series[bench_chance() % data->series_count];
            struct mrd_matcher matchers[2];
            for (size_t k = 0; k < 2; k++) {
                const struct mrd_label *label = &of->labels.items[k == 0 ? 0 : 8];
                bench_must(
                    mrd_matcher_init(&matchers[k], MRD_MATCH_EQ, label->name, label->value, &err),
                    &err);
            }
            const struct mrd_block_open_options open = {.cache = cache};
            const struct mrd_block_select select = {.tenant = of->tenant,
                                                    .matchers = matchers,
                                                    .matcher_count = 2,
                                                    .min_ms = INT64_MIN,
                                                    .max_ms = INT64_MAX};
            struct mrd_block *block;
            struct mrd_block_cursor *cursor;
            bench_must(mrd_block_open(store, entry, &open, &block, &err), &err);
            bench_must(mrd_block_select(block, &select, &(struct mrd_block_cursor_options){0},
                                        &cursor, &err),
                       &err);
            mrd_assert(drain(cursor) == of->samples.count);
            mrd_block_cursor_close(&cursor);
            mrd_block_close(&block);
            mrd_matcher_fini(&matchers[0]);
            mrd_matcher_fini(&matchers[1]);
        }
        best->one = fmin(best->one, (bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - begin) / READS);
    }
    mrd_block_cache_destroy(&cache);
}

static void run(struct mrd_objstore *store, const struct data *data, unsigned level, bool compact,
                int repetitions)
{
    struct figures best = {INFINITY, INFINITY, INFINITY, INFINITY, 0, 0};
    for (int i = 0; i < repetitions; i++) {
        struct mrd_arena *arena = mrd_arena_create("entry", 64 << 20);
        struct mrd_block_entry entry;
        const double begin = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
        write_block(store, data, level, compact, arena, &entry);
        best.write = fmin(best.write, bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - begin);
        best.data_size = entry.data.size;
        best.sidecar_size = entry.sidecar.size;
        read_block(store, data, &entry, &best);
        read_one(store, data, &entry, &best);
        if (i == 0) {
            for (size_t k = 0; k < entry.column_count; k++) {
                printf("    field %3d: %.4f B/sample\n", entry.columns[k].field_id,
                       (double)entry.columns[k].stored_size / (double)data->samples);
            }
        }
        mrd_arena_destroy(&arena);
    }
    const double samples = (double)data->samples;
    printf("%-14s level %u %-7s %7zu series %9zu samples  %.3f + %.3f B/sample  sidecar %.1f "
           "B/series  "
           "write %.1f M/s  scan %.0f M/s  one series %.0f us  open %.1f ms\n",
           data->name, level, compact ? "compact" : "plain", data->series_count, data->samples,
           (double)best.data_size / samples, (double)best.sidecar_size / samples,
           (double)best.sidecar_size / (double)data->series_count, samples / best.write / 1e6,
           samples / best.scan / 1e6, best.one * 1e6, best.open * 1e3);
    (void)fflush(stdout);
}

static void free_data(struct data *data)
{
    for (size_t i = 0; i < data->series_count; i++) {
        union {
            const void *lent;
            void *ours;
        } times = {data->series[i].samples.times_ms}, values = {data->series[i].samples.values};
        free(times.ours);
        free(values.ours);
    }
    free(data->series); /* texts of labels stay: few */
}

int main(int argc, char **argv)
{
    const int repetitions = argc > 1 ? atoi(argv[1]) : 3;
    char folder[256];
    (void)snprintf(folder, sizeof(folder), "%s/mrd-block-bench-XXXXXX",
                   argc > 2 ? argv[2] : "/tmp");
    struct mrd_objstore *store;
    struct mrd_error err;
    mrd_assert(mkdtemp(folder) != NULL);
    bench_must(mrd_file_store_open(folder, NULL, &store, &err), &err);
    static const struct {
        const char *name;
        bool is_iot;
        unsigned tenants;
        size_t series, samples;
        unsigned level;
    } cases[] = {
        {"k8s day",      false, 1,      1740,   5760, 1},
        {"k8s 2 hours",  false, 1,      20880,  480,  0},
        {"iot day",      true,  1,      3480,   2880, 1},
        {"iot 2 hours",  true,  1,      40000,  240,  0},
        {"100k tenants", true,  100000, 100000, 40,   0},
        {"2 samples",    false, 1,      100020, 2,    1},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct data data = make_data(cases[i].name, cases[i].is_iot, cases[i].tenants,
                                     cases[i].series, cases[i].samples);
        run(store, &data, cases[i].level, false, repetitions);
        run(store, &data, cases[i].level, true, repetitions);
        free_data(&data);
    }
    mrd_objstore_close(&store);
    (void)bench_remove_folder(folder);
    return 0;
}
