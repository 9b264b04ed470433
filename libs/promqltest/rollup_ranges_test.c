/* Ranges of a few rows each, whose answers come alone: the same query over the same blocks has the same answer to the last bit when rows come
 * with their columns and are joined by the query, and when none are joined before. Random series: with resets, gaps, odd values, native
 * histograms, start times, rows that were deleted or that a rule hides; a failure prints what it takes to see it again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "block/writer.h"
#include "blockread/rollup_set.h"
#include "blockread/rollup_source.h"
#include "codec/resets.h"
#include "promqltest/answers.h"
#include "promqltest/memory_source.h"
#include "promqltest/random_queries.h"
#include "promqltest/rollup_rig.h"
#include "rollup/builder.h"

enum {
    ROUNDS = 12,
    QUERIES_PER_ROUND = 60,
    PERIODS = 4,
    PERIOD_MS = 7200000,
    WINDOW_MS = 300000,
    STEP_MS = 60000,
    SERIES = 8,
};

/* ---- series ---- */

struct series {
    struct mrd_label items[2];
    char text[8];
    struct mrd_labels labels;
    mrd_series_id id;
    size_t resets_in; /* one sample in so many is lower; 0: none */
    size_t odd_in;    /* is anything */
    size_t gap_in;    /* is followed by some that are missing */
    bool gauge;
    bool regular;        /* as far from the window's begin in each */
    unsigned histograms; /* periods that have some */
    unsigned starts;     /* periods whose samples have start times */
};

struct region {
    struct series series[SERIES];
    struct mrd_memory_source *samples[SERIES]; /* of each series, all */
    struct mrd_memory_source *head;            /* what comes after the last block */
    struct mrd_arena *arena;
    struct mrd_block_entry entries[PERIODS];
    size_t entry_count;
    mrd_time_ms end_ms; /* of the blocks */
    struct mrd_block_index *index;
    struct mrd_block_source blocks;
    struct mrd_rollup_source rollups;
    struct mrd_matcher matcher; /* of the rule, if there is one */
    struct mrd_hidden_rule rule;
    mrd_time_ms rows_before_ms;
};

static void make_series(struct series *series, size_t number)
{
    static const size_t rates[] = {0, 0, 7, 50, 400};
    struct mrd_buf canonical = {0};
    (void)snprintf(series->text, sizeof(series->text), "%zu", number);
    series->items[0] = (struct mrd_label){MRD_BYTES(MRD_METRIC_NAME), MRD_BYTES("m_total")};
    series->items[1] = (struct mrd_label){MRD_BYTES("i"), mrd_bytes_of(series->text)};
    series->labels = (struct mrd_labels){series->items, 2};
    mrd_labels_encode(series->labels, &canonical);
    series->id = mrd_series_id_of(mrd_tenant_seed(tenant), mrd_buf_view(&canonical));
    mrd_buf_fini(&canonical);
    series->regular = number < 2 || one_in(2);
    if (number < 2) { /* whatever the seed, there are some whose ranges are all alike */
        return;
    }
    series->resets_in = PICK(rates);
    series->odd_in = one_in(3) ? PICK(rates) : 0;
    series->gap_in = PICK(rates);
    series->gauge = one_in(4);
    series->histograms = one_in(3) ? (unsigned)below(1U << PERIODS) : 0;
    series->starts = one_in(3) ? (unsigned)below(1U << PERIODS) : 0;
}

static double odd_value(void)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY, 1e308, -1e308, -0.0, 1e-300, 5e290};
    return one_in(6) ? mrd_stale_nan() : PICK(odd);
}

static void put_histogram(struct mrd_memory_source *to, struct mrd_labels labels,
                          mrd_time_ms time_ms, double value)
{
    static const int32_t indexes[] = {0, 2};
    double counts[] = {value, value * 2};
    const struct mrd_float_histogram histogram = {
        .schema = 1,
        .zero_threshold = 0.001,
        .count = value * 3,
        .sum = value / 4,
        .positive = {indexes, counts, 2}
    };
    assert_true(mrd_memory_source_put_histogram(to, labels, time_ms, &histogram));
}

/* A sample to the series, and if it is behind the blocks to the head. */
static void put(struct region *region, size_t number, mrd_time_ms time_ms, double value,
                mrd_time_ms start_ms)
{
    const struct series *series = &region->series[number];
    struct mrd_memory_source *to[] = {region->samples[number],
                                      time_ms >= region->end_ms ? region->head : NULL};
    const size_t period = (size_t)(time_ms / PERIOD_MS);
    const bool histogram = (series->histograms >> period & 1) != 0 && one_in(3);
    for (size_t i = 0; i < 2 && to[i] != NULL; i++) {
        if (histogram) {
            put_histogram(to[i], series->labels, time_ms, floor(fabs(value)));
        } else {
            mrd_memory_source_put(to[i], series->labels, (struct mrd_sample){time_ms, value});
        }
        if ((series->starts >> period & 1) != 0) {
            assert_true(mrd_memory_source_start(to[i], series->labels, time_ms, start_ms));
        }
    }
}

static void fill(struct region *region, size_t number)
{
    const struct series *series = &region->series[number];
    mrd_time_ms start_ms = 1;
    double value = (double)below(1000);
    for (mrd_time_ms at_ms = 0; at_ms < (PERIODS + 1) * (mrd_time_ms)PERIOD_MS; at_ms += STEP_MS) {
        const mrd_time_ms phase_ms =
            series->regular ? (mrd_time_ms)number * 7001 : (mrd_time_ms)below(STEP_MS);
        const bool reset = series->resets_in > 0 && one_in(series->resets_in);
        value = series->gauge ? (double)below(100000) / 8 - 5000
                : reset       ? (double)below(3)
                              : value + (double)below(1000) / 8;
        start_ms = reset ? at_ms + phase_ms : start_ms;
        put(region, number, at_ms + phase_ms % STEP_MS,
            series->odd_in > 0 && one_in(series->odd_in) ? odd_value() : value, start_ms);
        if (series->gap_in > 0 && one_in(series->gap_in)) {
            at_ms += (mrd_time_ms)below(40) * STEP_MS;
        }
    }
}

/* ---- blocks ---- */

struct sink {
    struct mrd_block_writer *writer;
    const struct mrd_block_series *series;
    size_t deleted_in; /* one row in so many is left out, with some that follow */
    size_t deleted;    /* that are to follow */
    size_t written;
};

static enum mrd_status add_row(void *context, size_t level, const struct mrd_rollup_row *row,
                               struct mrd_error *err)
{
    struct sink *sink = context;
    (void)level;
    if (sink->deleted_in > 0 && sink->deleted == 0 && one_in(sink->deleted_in)) {
        sink->deleted = 1 + below(8);
    }
    if (sink->deleted > 0) {
        sink->deleted--;
        return MRD_OK;
    }
    sink->written++;
    return mrd_block_writer_add_rows(sink->writer, sink->series, row, 1, err);
}

/* The samples of [from, to). */
static struct mrd_block_series cut(const struct series *series, const struct mrd_source_series *all,
                                   mrd_time_ms from_ms, mrd_time_ms to_ms)
{
    struct mrd_block_series out = {.tenant = tenant, .labels = series->labels, .id = series->id};
    size_t from = 0;
    size_t to = 0;
    while (to < all->samples.count && all->samples.times_ms[to] < to_ms) {
        from += all->samples.times_ms[to++] < from_ms;
    }
    if (from < to) {
        const mrd_time_ms *starts_ms = all->samples.start_times_ms;
        out.samples = (struct mrd_samples){all->samples.times_ms + from, all->samples.values + from,
                                           to - from, starts_ms == NULL ? NULL : starts_ms + from};
    }
    from = to = 0;
    while (to < all->histograms.count && all->histograms.times_ms[to] < to_ms) {
        from += all->histograms.times_ms[to++] < from_ms;
    }
    if (from < to) {
        const mrd_time_ms *starts_ms = all->histograms.start_times_ms;
        out.histograms =
            (struct mrd_histograms){all->histograms.times_ms + from, all->histograms.items + from,
                                    to - from, starts_ms == NULL ? NULL : starts_ms + from};
    }
    return out;
}

static void write_rows(struct region *region, struct mrd_block_writer *writer, size_t number,
                       mrd_time_ms from_ms, mrd_time_ms to_ms, size_t *written)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("samples", SIZE_MAX);
    const struct mrd_source *source = mrd_memory_source_get(region->samples[number]);
    const struct mrd_query_scope scope = {.arena = arena};
    const struct mrd_select select = {.min_ms = 0, .max_ms = INT64_MAX / 2};
    struct mrd_source_set *set = NULL;
    struct mrd_source_series all;
    struct mrd_error err = {0};
    bool more = false;
    assert_int_equal(source->open(source->context, &select, &scope, &set, &err), MRD_OK);
    assert_int_equal(source->next(set, &all, &more, &err), MRD_OK);
    assert_true(more);
    const struct mrd_block_series series = cut(&region->series[number], &all, from_ms, to_ms);
    struct sink sink = {writer, &series, number > 1 && one_in(3) ? 20 : 0, 0, 0};
    static const mrd_time_ms resolution_ms = WINDOW_MS;
    struct mrd_rollup_builder *builder = mrd_rollup_builder_create(
        &(struct mrd_rollup_builder_options){.resolutions_ms = &resolution_ms,
                                             .resolution_count = 1,
                                             .emit = add_row,
                                             .context = &sink});
    assert_int_equal(mrd_rollup_builder_add(builder, &series.samples, &series.histograms, &err),
                     MRD_OK);
    assert_int_equal(mrd_rollup_builder_end(builder, &err), MRD_OK);
    mrd_rollup_builder_destroy(&builder);
    source->close(set);
    *written += sink.written;
}

static void write_block(struct region *region, mrd_time_ms from_ms, mrd_time_ms to_ms)
{
    static unsigned count;
    static const struct mrd_bytes gone = {(const uint8_t *)"expired", 7};
    char stem[64];
    struct mrd_error err = {0};
    struct mrd_block_writer *writer = NULL;
    size_t written = 0;
    (void)snprintf(stem, sizeof(stem), "blocks/%u", count++);
    const struct mrd_block_writer_options options = {.store = store,
                                                     .stem = stem,
                                                     .id = mrd_bytes_of(stem),
                                                     .level = 1,
                                                     .resolution_ms = WINDOW_MS,
                                                     .memory_bytes_max = (size_t)64 << 20};
    assert_int_equal(mrd_block_writer_create(&options, &writer, &err), MRD_OK);
    for (size_t i = 0; i < SERIES; i++) {
        write_rows(region, writer, i, from_ms, to_ms, &written);
    }
    assert_true(written > 0);
    const struct mrd_block_origin origin = {.parents = &gone, .parent_count = 1};
    assert_int_equal(mrd_block_writer_finish(writer, &origin, region->arena,
                                             &region->entries[region->entry_count++], &err),
                     MRD_OK);
    mrd_block_writer_destroy(&writer);
}

static const struct mrd_block_entry *entry_at(const void *entries, size_t index)
{
    return &((const struct mrd_block_entry *)entries)[index];
}

static mrd_time_ms rows_before(const void *context, size_t rule, mrd_time_ms resolution_ms)
{
    (void)rule;
    (void)resolution_ms;
    return ((const struct region *)context)->rows_before_ms;
}

/* A rule that keeps rows of some series for longer than samples: from the begin of a window on, or from within one. */
static void add_rule(struct region *region)
{
    static const char *const patterns[] = {"0|1|2|3", "1|5|6", ".+"};
    const mrd_time_ms window = (mrd_time_ms)below(PERIODS * PERIOD_MS / WINDOW_MS);
    const mrd_time_ms within_ms = one_in(2) ? 1 : (mrd_time_ms)below(WINDOW_MS);
    assert_int_equal(mrd_matcher_init(&region->matcher, MRD_MATCH_RE, MRD_BYTES("i"),
                                      mrd_bytes_of(PICK(patterns)), NULL),
                     MRD_OK);
    region->rule = (struct mrd_hidden_rule){&region->matcher, 1, region->end_ms};
    region->rows_before_ms = window * WINDOW_MS + within_ms;
    region->rollups.options.hidden = (struct mrd_hidden_rules){&region->rule, 1};
    region->rollups.options.hidden_ms = rows_before;
    region->rollups.options.hidden_context = region;
}

/* Blocks that begin and end at windows, or anywhere else that ranges may not. */
static struct region *region_create(void)
{
    struct region *region = calloc(1, sizeof(*region));
    mrd_time_ms from_ms = 0;
    assert_non_null(region);
    region->arena = mrd_arena_create("entries", SIZE_MAX);
    region->head = mrd_memory_source_create();
    region->end_ms = PERIODS * (mrd_time_ms)PERIOD_MS - (mrd_time_ms)below(6) * WINDOW_MS;
    for (size_t i = 0; i < SERIES; i++) {
        region->samples[i] = mrd_memory_source_create();
        make_series(&region->series[i], i);
        fill(region, i);
    }
    for (mrd_time_ms period = 0; period < PERIODS; period++) {
        const mrd_time_ms to_ms =
            period == PERIODS - 1 ? region->end_ms
                                  : (period + 1) * PERIOD_MS + (mrd_time_ms)below(3) * WINDOW_MS;
        write_block(region, from_ms, to_ms);
        from_ms = to_ms;
    }
    region->index = mrd_block_index_create(entry_at, region->entries, region->entry_count, NULL, 0);
    region->blocks.options = (struct mrd_block_source_options){.store = store,
                                                               .pool = pool,
                                                               .index = region->index,
                                                               .tenant = tenant,
                                                               .floor_ms = INT64_MIN};
    region->rollups.options = (struct mrd_rollup_source_options){
        .blocks = &region->blocks, .heads = mrd_memory_source_get(region->head)};
    if (one_in(2)) {
        add_rule(region);
    }
    (void)mrd_rollup_source_init(&region->rollups);
    return region;
}

static void region_destroy(struct region **region)
{
    for (size_t i = 0; i < SERIES; i++) {
        mrd_memory_source_destroy(&(*region)->samples[i]);
    }
    mrd_memory_source_destroy(&(*region)->head);
    mrd_block_index_destroy(&(*region)->index);
    mrd_arena_destroy(&(*region)->arena);
    if ((*region)->rule.matcher_count > 0) {
        mrd_matcher_fini(&(*region)->matcher);
    }
    free(*region);
    *region = NULL;
}

/* ---- three ways to ask ---- */

enum way { AS_ASKED, WITH_COLUMNS, ROW_BY_ROW, WAYS };

/* How series came where answers may come alone. */
static struct counted {
    size_t alone;    /* of answers alone */
    size_t together; /* beside rows with columns */
    size_t cut;      /* where a block ends within a range */
} counted;

static struct mrd_rollup_asked asked;

static enum mrd_status open_as(enum way way, void *context, const struct mrd_select *select,
                               const struct mrd_coarse_wanted *wanted,
                               const struct mrd_query_scope *scope, struct mrd_coarse_set **out_set,
                               struct mrd_error *err)
{
    const struct region *region = context;
    struct mrd_coarse_wanted changed = *wanted;
    asked = wanted->asked;
    if (way != AS_ASKED) {
        changed.asked = (struct mrd_rollup_asked){.function = wanted->asked.function};
    }
    if (way == ROW_BY_ROW) {
        changed.edges = (struct mrd_rollup_edges){NULL, 0};
    }
    const struct mrd_coarse *coarse = &region->rollups.coarse;
    return coarse->open(coarse->context, select, &changed, scope, out_set, err);
}

static enum mrd_status open_as_asked(void *context, const struct mrd_select *select,
                                     const struct mrd_coarse_wanted *wanted,
                                     const struct mrd_query_scope *scope,
                                     struct mrd_coarse_set **out_set, struct mrd_error *err)
{
    return open_as(AS_ASKED, context, select, wanted, scope, out_set, err);
}

static enum mrd_status open_with_columns(void *context, const struct mrd_select *select,
                                         const struct mrd_coarse_wanted *wanted,
                                         const struct mrd_query_scope *scope,
                                         struct mrd_coarse_set **out_set, struct mrd_error *err)
{
    return open_as(WITH_COLUMNS, context, select, wanted, scope, out_set, err);
}

static enum mrd_status open_row_by_row(void *context, const struct mrd_select *select,
                                       const struct mrd_coarse_wanted *wanted,
                                       const struct mrd_query_scope *scope,
                                       struct mrd_coarse_set **out_set, struct mrd_error *err)
{
    return open_as(ROW_BY_ROW, context, select, wanted, scope, out_set, err);
}

static enum mrd_status spans(void *context, const struct mrd_select *select,
                             mrd_time_ms resolution_ms, const struct mrd_query_scope *scope,
                             struct mrd_coarse_spans *out, struct mrd_error *err)
{
    const struct mrd_coarse *coarse = &((const struct region *)context)->rollups.coarse;
    return coarse->spans(coarse->context, select, resolution_ms, scope, out, err);
}

static enum mrd_status next(struct mrd_coarse_set *set, struct mrd_coarse_series *out,
                            bool *out_more, struct mrd_error *err)
{
    size_t alone = 0;
    size_t cut = 0;
    MRD_TRY(mrd_rollup_set_next(set, out, out_more, err));
    for (size_t i = 0; *out_more && i < out->piece_count && asked.alone; i++) {
        const struct mrd_rollup_columns *rows = out->pieces[i];
        const mrd_time_ms last_ms = rows->ends_ms[rows->count - 1];
        alone += rows->borders != NULL;
        cut += rows->borders != NULL && i + 1 < out->piece_count && rows->count > 1 &&
               last_ms - rows->ends_ms[rows->count - 2] < asked.window_ms;
    }
    counted.alone += alone > 0;
    counted.together += alone > 0 && alone < out->piece_count;
    counted.cut += cut;
    return MRD_OK;
}

static void ask(struct region *region, enum way way, const struct mrd_promql_request *request,
                bool use_starts, struct mrd_arena *arena, struct mrd_answer *out)
{
    struct mrd_coarse coarse = region->rollups.coarse;
    struct mrd_source source = *mrd_memory_source_get(region->head);
    const struct mrd_promql_options options = {.use_start_timestamps = use_starts,
                                               .resolution_ms_max = WINDOW_MS};
    coarse.context = region;
    coarse.spans = spans;
    coarse.open = way == AS_ASKED       ? open_as_asked
                  : way == WITH_COLUMNS ? open_with_columns
                                        : open_row_by_row;
    coarse.next = next;
    source.coarse = &coarse;
    *out = (struct mrd_answer){0};
    out->status =
        mrd_promql_query(&options, request, &source, NULL, arena, &out->result, &out->err);
    assert_int_equal(region->blocks.memory_used, 0);
}

/* ---- queries ---- */

struct query {
    char text[128];
    struct mrd_promql_request request;
};

static void make_query(struct query *query)
{
    static const char *const functions[] = {"rate",
                                            "rate",
                                            "increase",
                                            "delta",
                                            "sum_over_time",
                                            "avg_over_time",
                                            "min_over_time",
                                            "max_over_time",
                                            "count_over_time",
                                            "present_over_time",
                                            "last_over_time",
                                            "first_over_time",
                                            "changes",
                                            "resets"};
    static const mrd_time_ms windows[] = {2, 2, 2, 3, 4, 6, 12, 24};
    const mrd_time_ms range = PICK(windows);
    const mrd_time_ms step = one_in(2) ? range : range + (mrd_time_ms)below(6);
    const mrd_time_ms offset = (mrd_time_ms)below(5);
    const mrd_time_ms last = PERIODS * PERIOD_MS / WINDOW_MS + (mrd_time_ms)below(30);
    char selector[32];
    (void)snprintf(selector, sizeof(selector), "m_total{i=\"%zu\"}", below(SERIES));
    (void)snprintf(query->text, sizeof(query->text), "%s(%s[%lldm] offset %lldm)", PICK(functions),
                   one_in(3) ? "m_total" : selector, (long long)range * 5, (long long)offset * 5);
    query->request = (struct mrd_promql_request){.text = mrd_bytes_of(query->text),
                                                 .start_ms = (mrd_time_ms)below(24) * WINDOW_MS,
                                                 .end_ms = last * WINDOW_MS,
                                                 .step_ms = step * WINDOW_MS,
                                                 .instant = one_in(8)};
    if (query->request.instant) {
        query->request.start_ms = query->request.end_ms =
            (mrd_time_ms)below((size_t)last) * WINDOW_MS;
    }
}

static void same_answers(const struct query *query, const struct mrd_answer *want,
                         struct mrd_answer *got, const char *way)
{
    got->result.stats = want->result.stats;
    const char *what = mrd_answers_compare(want, got);
    if (what != NULL) {
        fail_msg("%s differ %s: %s, %lld to %lld ms step %lld; \"%s\", \"%s\"", what, way,
                 query->text, (long long)query->request.start_ms, (long long)query->request.end_ms,
                 (long long)query->request.step_ms, want->err.text, got->err.text);
    }
}

static size_t with_points;

static void compare(struct region *region)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("answers", SIZE_MAX);
    struct mrd_answer answers[WAYS];
    struct query query;
    const bool use_starts = one_in(3);
    make_query(&query);
    for (unsigned way = 0; way < WAYS; way++) {
        const struct counted before = counted;
        ask(region, (enum way)way, &query.request, use_starts, arena, &answers[way]);
        assert_true(way == AS_ASKED || counted.alone == before.alone);
    }
    same_answers(&query, &answers[WITH_COLUMNS], &answers[AS_ASKED], "where answers come alone");
    mrd_answers_bring_near(&answers[ROW_BY_ROW], &answers[AS_ASKED]); /* sums in another order */
    same_answers(&query, &answers[ROW_BY_ROW], &answers[AS_ASKED], "where rows come one by one");
    with_points += answers[AS_ASKED].result.series_count > 0;
}

static void answers_alone_are_those_of_rows(void **state)
{
    (void)state;
    mrd_random_seed_for_test(6);
    for (size_t round = 0; round < ROUNDS; round++) {
        struct region *region = region_create();
        for (size_t q = 0; q < QUERIES_PER_ROUND; q++) {
            compare(region);
        }
        region_destroy(&region);
    }
    print_message("%d queries: %zu have points; series of answers alone %zu, together with rows "
                  "%zu, cut ranges %zu\n",
                  ROUNDS * QUERIES_PER_ROUND, with_points, counted.alone, counted.together,
                  counted.cut);
    assert_true(with_points > ROUNDS * QUERIES_PER_ROUND / 2);
    assert_true(counted.alone > ROUNDS * QUERIES_PER_ROUND / 4);
    assert_true(counted.together > ROUNDS);
    assert_true(counted.cut > ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_alone_are_those_of_rows),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
