/* promql_bench: how fast the query engine is alone: a synthetic source that costs nothing, so what is
 * measured is evaluation. Series are made on the fly from a few shared columns (15 s apart).
 *
 *   promql_bench [repetitions]
 *
 * Prints one line per query: milliseconds of CPU (the best of the repetitions), series, samples read, and
 * million samples per second.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "promql/engine.h"

enum { STEP_MS = 15000, SAMPLES = 6 * 240, COLUMNS = 64, HOUR_MS = 3600000 };

/* ---- the source ---- */

struct mrd_source_set {
    const struct mrd_select *select;
    size_t at;
    size_t count;
    char texts[3][32];
    struct mrd_label labels[4];
};

struct bench_source {
    mrd_time_ms times_ms[SAMPLES];
    double columns[COLUMNS][SAMPLES]; /* counters with a reset now and then */
    size_t series;
};

static void source_fill(struct bench_source *source)
{
    for (size_t i = 0; i < SAMPLES; i++) {
        source->times_ms[i] = (mrd_time_ms)i * STEP_MS;
    }
    uint64_t state = 88172645463325252ULL;
    for (size_t c = 0; c < COLUMNS; c++) {
        double value = 0;
        for (size_t i = 0; i < SAMPLES; i++) {
            state ^= state << 13; /* xorshift64 */
            state ^= state >> 7;
            state ^= state << 17;
            value = state % 500 == 0 ? 0 : value + (double)(state % 1000) / 10;
            source->columns[c][i] = value;
        }
    }
}

static enum mrd_status source_open(void *context, const struct mrd_select *select,
                                   const struct mrd_query_scope *scope,
                                   struct mrd_source_set **out_set, struct mrd_error *err)
{
    const struct bench_source *source = context;
    struct mrd_source_set *set = mrd_arena_alloc(scope->arena, sizeof(*set));
    if (set == NULL) {
        return mrd_arena_fail(scope->arena, err);
    }
    set->select = select;
    set->count = source->series;
    *out_set = set;
    return MRD_OK;
}

/* name{device="d<i / 10>", le="<i % 10>", zone="z<i % 50>"} */
static void source_labels(struct mrd_source_set *set)
{
    const size_t i = set->at;
    static const char *const bounds[] = {"0.1", "0.2", "0.5", "1",  "2",
                                         "5",   "10",  "20",  "50", "+Inf"};
    (void)snprintf(set->texts[0], sizeof(set->texts[0]), "device-%zu", i / 10);
    (void)snprintf(set->texts[1], sizeof(set->texts[1]), "%s", bounds[i % 10]);
    (void)snprintf(set->texts[2], sizeof(set->texts[2]), "zone-%zu", i % 50);
    set->labels[0] = (struct mrd_label){MRD_BYTES(MRD_METRIC_NAME), set->select->matchers[0].value};
    set->labels[1] = (struct mrd_label){MRD_BYTES("device"), mrd_bytes_of(set->texts[0])};
    set->labels[2] = (struct mrd_label){MRD_BYTES("le"), mrd_bytes_of(set->texts[1])};
    set->labels[3] = (struct mrd_label){MRD_BYTES("zone"), mrd_bytes_of(set->texts[2])};
}

static struct bench_source bench;

static enum mrd_status source_next(struct mrd_source_set *set, struct mrd_source_series *out,
                                   bool *out_more, struct mrd_error *err)
{
    (void)err;
    *out_more = set->at < set->count;
    if (!*out_more) {
        return MRD_OK;
    }
    source_labels(set);
    const mrd_time_ms min_ms = set->select->min_ms < 0 ? 0 : set->select->min_ms;
    const size_t from = (size_t)((min_ms + STEP_MS - 1) / STEP_MS);
    const size_t to = (size_t)(set->select->max_ms / STEP_MS) + 1;
    out->labels = (struct mrd_labels){set->labels, 4};
    out->samples = (struct mrd_samples){bench.times_ms + from,
                                        bench.columns[set->at % COLUMNS] + from, to - from, NULL};
    set->at++;
    return MRD_OK;
}

static void source_close(struct mrd_source_set *set) { (void)set; }

/* ---- the queries ---- */

static const struct {
    const char *text;
    size_t series;
    mrd_time_ms range_ms;
    mrd_time_ms step_ms;
} queries[] = {
    {"sum(rate(m_total[5m]))",                                           3125,   HOUR_MS,     15000},
    {"sum by (zone) (rate(m_total[5m]))",                                3125,   HOUR_MS,     15000},
    {"sum by (zone) (rate(m_total[5m]))",                                100000, 2 * HOUR_MS, 60000},
    {"sum by (device) (rate(m_total[5m]))",                              100000, 2 * HOUR_MS, 60000},
    {"histogram_quantile(0.99, sum by (le) (rate(m_bucket[5m])))",       28000,  HOUR_MS,     15000},
    {"histogram_quantile(0.99, sum by (le, zone) (rate(m_bucket[5m])))", 28000,  HOUR_MS,     15000},
    {"topk(10, rate(m_total[5m]))",                                      100000, HOUR_MS,     60000},
    {"avg by (zone) (avg_over_time(m[1h]))",                             10000,  HOUR_MS,     60000},
    {"max by (zone) (max_over_time(m[5m]))",                             100000, HOUR_MS,     60000},
    {"quantile by (zone) (0.9, m)",                                      20000,  HOUR_MS,     60000},
    {"m_total / m_other",                                                10000,  HOUR_MS,     60000},
    {"sum by (zone) (m_total) / sum by (zone) (m_other)",                100000, HOUR_MS,     60000},
    {"count(m)",                                                         100000, 0,           0    },
    {"max_over_time(sum(rate(m_total[1m]))[1h:1m])",                     10000,  HOUR_MS,     60000},
};

/* CPU time of this thread: others share the machine. */
static double now_ms(void)
{
    struct timespec now;
    mrd_assert(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double run_once(size_t index, struct mrd_promql_stats *stats, size_t *arena_bytes)
{
    const struct mrd_source source = {
        .context = &bench, .open = source_open, .next = source_next, .close = source_close};
    const struct mrd_promql_options options = {0};
    const struct mrd_promql_request request = {
        .text = mrd_bytes_of(queries[index].text),
        .start_ms = 2 * HOUR_MS,
        .end_ms = 2 * HOUR_MS + queries[index].range_ms,
        .step_ms = queries[index].step_ms,
        .instant = queries[index].step_ms == 0,
    };
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", (size_t)8 << 30);
    struct mrd_promql_result result;
    struct mrd_error err;
    bench.series = queries[index].series;
    const double begin_ms = now_ms();
    if (mrd_promql_query(&options, &request, &source, NULL, arena, &result, &err) != MRD_OK) {
        (void)fprintf(stderr, "%s: %s\n", queries[index].text, err.text);
        exit(1);
    }
    *stats = result.stats;
    *arena_bytes = mrd_arena_used(arena);
    return now_ms() - begin_ms;
}

int main(int argc, char **argv)
{
    const int repetitions = argc > 1 ? atoi(argv[1]) : 3;
    source_fill(&bench);
    printf("%10s %8s %12s %9s %9s  query\n", "ms", "series", "samples", "Ms/s", "arena MB");
    for (size_t i = 0; i < MRD_ARRAY_LEN(queries); i++) {
        struct mrd_promql_stats stats = {0};
        size_t arena_bytes = 0;
        double best_ms = 0;
        for (int r = 0; r < repetitions; r++) {
            const double ms = run_once(i, &stats, &arena_bytes);
            best_ms = r == 0 || ms < best_ms ? ms : best_ms;
        }
        printf("%10.1f %8" PRIu64 " %12" PRIu64 " %9.1f %9.1f  %s\n", best_ms, stats.series_read,
               stats.samples_read, (double)stats.samples_read / best_ms / 1000,
               (double)arena_bytes / 1e6, queries[i].text);
    }
    return 0;
}
