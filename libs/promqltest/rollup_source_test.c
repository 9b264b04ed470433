/* Rollup blocks in object storage as rows of a query, beside the blocks of samples that they stand for, late blocks and a head: a query
 * has the answer that it has over all samples. Random series, cuts and queries; a failure prints what it takes to see it again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "block/writer.h"
#include "blockread/rollup_source.h"
#include "codec/resets.h"
#include "promql/tiers.h"
#include "promqltest/answers.h"
#include "promqltest/memory_source.h"
#include "promqltest/random_queries.h"
#include "promqltest/rollup_rig.h"
#include "rollup/builder.h"

enum {
    ROUNDS = 16,
    QUERIES_PER_ROUND = 30,
    PERIODS = 3,
    PERIOD_MS = 3600000,
    STEP_MS = 15000,
    SERIES = 6,
    ENTRIES_MAX = 64,
    ERASURES_MAX = 3,
    RULES_MAX = 2,
    SEGMENTS = 3,
    SAMPLES_MAX = PERIODS * PERIOD_MS / STEP_MS + 1,
};

static const mrd_time_ms resolutions_ms[] = {300000, 1800000};
/* ---- series ---- */

/* One series: what every sample was before and is now, and where it is. */
enum place { NOWHERE, MERGED, LATE, HEAD };

struct sample {
    mrd_time_ms time_ms;
    double value;
    enum place place; /* where the value is that counts */
    bool outdated;    /* the merged block has another value of that time */
    bool in_head_too; /* as well as in blocks, the same */
};

struct series {
    struct mrd_label items[2];
    char texts[2][16];
    struct mrd_labels labels;
    mrd_series_id id;
    struct sample samples[SAMPLES_MAX];
    size_t count;
};

static void name_series(struct series *series, size_t index)
{
    struct mrd_buf canonical = {0};
    (void)snprintf(series->texts[0], sizeof(series->texts[0]), index % 2 == 0 ? "m" : "m_total");
    (void)snprintf(series->texts[1], sizeof(series->texts[1]), "%zu", index);
    series->items[0] =
        (struct mrd_label){MRD_BYTES(MRD_METRIC_NAME), mrd_bytes_of(series->texts[0])};
    series->items[1] = (struct mrd_label){MRD_BYTES("i"), mrd_bytes_of(series->texts[1])};
    series->labels = (struct mrd_labels){series->items, 2};
    mrd_labels_encode(series->labels, &canonical);
    series->id = mrd_series_id_of(mrd_tenant_seed(tenant), mrd_buf_view(&canonical));
    mrd_buf_fini(&canonical);
}

static void fill_series(struct series *series, size_t late_periods)
{
    const size_t style = below(3);
    double value = 0;
    series->count = 0;
    for (size_t i = 0; i < SAMPLES_MAX; i++) {
        const mrd_time_ms time_ms =
            (mrd_time_ms)i * STEP_MS + (style == 2 ? (mrd_time_ms)below(2000) : 0);
        const size_t period = (size_t)(time_ms / PERIOD_MS);
        if (one_in(20)) {
            continue;
        }
        value = style == 1 ? (double)below(1000) / 8
                           : (i % 101 == 100 ? (double)below(3) : value + (double)below(50));
        struct sample *sample = &series->samples[series->count++];
        *sample = (struct sample){
            .time_ms = time_ms, .value = one_in(80) ? mrd_stale_nan() : value, .place = MERGED};
        const bool late = period < PERIODS && (late_periods >> period & 1) != 0;
        if (time_ms > PERIODS * PERIOD_MS - 1200000) {
            sample->place = HEAD;
        } else if (late && one_in(200)) {
            sample->place = one_in(2) ? LATE : HEAD;
            sample->outdated = one_in(2);
        } else if (time_ms > PERIODS * PERIOD_MS - 1500000) {
            sample->in_head_too = true;
        }
    }
}

/* ---- blocks ---- */

struct region {
    struct series series[SERIES];
    struct mrd_arena *arena;
    struct mrd_block_entry entries[ENTRIES_MAX];
    size_t entry_count;
    struct mrd_block_index *index;
    struct mrd_block_cover covers[SEGMENTS];
    struct mrd_block_source blocks;
    struct mrd_source block_source;
    struct mrd_memory_source *whole;
    struct mrd_memory_source *head;
    struct mrd_tiers tiers;
    struct mrd_rollup_source rollups;
    struct mrd_source source;
    struct erased {
        struct mrd_matcher matcher;
        struct mrd_erasure_selector selector;
        struct mrd_erasure erasure;
    } erased
        [ERASURES_MAX]; /* merged blocks and rollups owe them; what is late or in heads came after */
    size_t erased_count;

    /* Rules of retention: hide samples of some series before a time, and rows before that or a later one. */
    struct mrd_matcher rule_matchers[RULES_MAX];
    struct mrd_erasure_selector rule_selectors[RULES_MAX];
    struct mrd_erasure hidden[RULES_MAX];
    struct mrd_hidden_rule rules[RULES_MAX];
    mrd_time_ms rows_before_ms[RULES_MAX];
    mrd_time_ms finest_before_ms[RULES_MAX]; /* the same for those of the finest resolution */
    size_t rule_count;
    struct mrd_hidden hidden_head;
    struct mrd_source head_source;
};

struct cut {
    mrd_time_ms times_ms[SAMPLES_MAX];
    double values[SAMPLES_MAX];
    size_t count;
};

/* The samples of a series in a period: what the merged block has, or the late one. */
static void cut_samples(const struct series *series, size_t period, bool late, struct cut *out)
{
    out->count = 0;
    for (size_t i = 0; i < series->count; i++) {
        const struct sample *sample = &series->samples[i];
        const bool merged = sample->place == MERGED || sample->outdated;
        if ((size_t)(sample->time_ms / PERIOD_MS) != period ||
            !(late ? sample->place == LATE : merged)) {
            continue;
        }
        out->times_ms[out->count] = sample->time_ms;
        out->values[out->count++] =
            !late && sample->outdated ? sample->value / 2 + 1 : sample->value;
    }
}

static struct mrd_block_writer *writer_of(unsigned level, mrd_time_ms resolution_ms)
{
    static unsigned number;
    char stem[64];
    struct mrd_block_writer *writer = NULL;
    (void)snprintf(stem, sizeof(stem), "blocks/%u", number++);
    const struct mrd_block_writer_options options = {.store = store,
                                                     .stem = stem,
                                                     .id = mrd_bytes_of(stem),
                                                     .level = level,
                                                     .resolution_ms = resolution_ms,
                                                     .memory_bytes_max = (size_t)64 << 20};
    assert_int_equal(mrd_block_writer_create(&options, &writer, NULL), MRD_OK);
    return writer;
}

static void finish(struct region *region, struct mrd_block_writer **writer,
                   const struct mrd_block_origin *origin)
{
    struct mrd_error err = {0};
    assert_true(region->entry_count < ENTRIES_MAX);
    if (mrd_block_writer_finish(*writer, origin, region->arena,
                                &region->entries[region->entry_count++], &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    mrd_block_writer_destroy(writer);
}

struct sink {
    struct mrd_block_writer **writers;
    const struct mrd_block_series *series;
};

static enum mrd_status add_row(void *context, size_t level, const struct mrd_rollup_row *row,
                               struct mrd_error *err)
{
    const struct sink *sink = context;
    return mrd_block_writer_add_rows(sink->writers[level], sink->series, row, 1, err);
}

static void add_series(struct mrd_block_writer **writers, bool rollups,
                       const struct mrd_block_series *series)
{
    struct mrd_error err = {0};
    struct sink sink = {writers + 1, series};
    const struct mrd_rollup_builder_options options = {
        .resolutions_ms = resolutions_ms, .resolution_count = 2, .emit = add_row, .context = &sink};
    assert_int_equal(mrd_block_writer_add(writers[0], series, &err), MRD_OK);
    if (rollups) {
        struct mrd_rollup_builder *builder = mrd_rollup_builder_create(&options);
        assert_int_equal(
            mrd_rollup_builder_add(builder, &series->samples, &series->histograms, &err), MRD_OK);
        assert_int_equal(mrd_rollup_builder_end(builder, &err), MRD_OK);
        mrd_rollup_builder_destroy(&builder);
    }
}

static int compare_series(const void *a, const void *b)
{
    return mrd_labels_compare(((const struct series *)a)->labels,
                              ((const struct series *)b)->labels);
}

/* A merged block and its rollups. */
static void write_period(struct region *region, size_t period, bool rollups)
{
    struct mrd_block_writer *writers[3] = {writer_of(1, 0), NULL, NULL};
    struct cut *cut = calloc(1, sizeof(*cut));
    size_t written = 0;
    assert_non_null(cut);
    for (size_t k = 0; rollups && k < 2; k++) {
        writers[k + 1] = writer_of(1, resolutions_ms[k]);
    }
    for (size_t i = 0; i < SERIES; i++) {
        const struct series *series = &region->series[i];
        cut_samples(series, period, false, cut);
        if (cut->count > 0) {
            const struct mrd_block_series block = {
                .tenant = tenant,
                .labels = series->labels,
                .id = series->id,
                .samples = {cut->times_ms, cut->values, cut->count, NULL}
            };
            add_series(writers, rollups, &block);
            written++;
        }
    }
    const struct mrd_block_origin origin = {.first_sequence = 1 + period,
                                            .last_sequence = 1 + period};
    const size_t first = region->entry_count;
    if (written > 0) {
        finish(region, &writers[0], &origin);
        for (size_t k = 1; rollups && k < 3; k++) {
            const struct mrd_block_origin parents = {.parents = &region->entries[first].id,
                                                     .parent_count = 1};
            finish(region, &writers[k], &parents);
        }
    }
    for (size_t k = 0; k < 3; k++) {
        mrd_block_writer_destroy(&writers[k]);
    }
    free(cut);
}

/* Late samples: a block of level 0 of each partition. */
static void write_late(struct region *region, size_t period)
{
    for (uint32_t partition = 0; partition < SEGMENTS; partition++) {
        struct mrd_block_writer *writer = writer_of(0, 0);
        struct cut *cut = calloc(1, sizeof(*cut));
        size_t written = 0;
        assert_non_null(cut);
        for (size_t i = 0; i < SERIES; i++) {
            const struct series *series = &region->series[i];
            cut_samples(series, period, true, cut);
            if (cut->count == 0 || mrd_series_partition(series->id, SEGMENTS) != partition) {
                continue;
            }
            const struct mrd_block_series block = {
                .tenant = tenant,
                .labels = series->labels,
                .id = series->id,
                .samples = {cut->times_ms, cut->values, cut->count, NULL}
            };
            assert_int_equal(mrd_block_writer_add(writer, &block, NULL), MRD_OK);
            written++;
        }
        if (written > 0) {
            finish(region, &writer,
                   &(struct mrd_block_origin){.partition = partition,
                                              .first_sequence = 100 + period,
                                              .last_sequence = 100 + period});
        }
        mrd_block_writer_destroy(&writer);
        free(cut);
    }
}

/* ---- a region ---- */

static void make_erasures(struct region *region, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct erased *erased = &region->erased[region->erased_count++];
        char text[32];
        (void)snprintf(text, sizeof(text), one_in(2) ? "%zu" : "%zu|1", below(SERIES));
        assert_int_equal(mrd_matcher_init(&erased->matcher, MRD_MATCH_RE, MRD_BYTES("i"),
                                          mrd_bytes_of(text), NULL),
                         MRD_OK);
        erased->selector = (struct mrd_erasure_selector){&erased->matcher, 1};
        erased->erasure = (struct mrd_erasure){
            .tenant = tenant, .selectors = &erased->selector, .selector_count = 1};
        erased->erasure.time_min_ms = (mrd_time_ms)below(PERIODS * PERIOD_MS);
        erased->erasure.time_max_ms = erased->erasure.time_min_ms + (mrd_time_ms)below(PERIOD_MS);
    }
}

static bool is_erased(const struct region *region, const struct series *series,
                      const struct sample *sample)
{
    for (size_t i = 0; i < region->erased_count && sample->place == MERGED; i++) {
        const struct mrd_erasure *erasure = &region->erased[i].erasure;
        if (mrd_erasure_has_time(erasure, sample->time_ms) &&
            mrd_erasure_selects(erasure, series->labels)) {
            return true;
        }
    }
    return false;
}

static void add_rule(struct region *region, const char *pattern, mrd_time_ms samples_ms,
                     mrd_time_ms rows_ms)
{
    const size_t at = region->rule_count++;
    struct mrd_matcher *matcher = &region->rule_matchers[at];
    assert_int_equal(
        mrd_matcher_init(matcher, MRD_MATCH_RE, MRD_BYTES("i"), mrd_bytes_of(pattern), NULL),
        MRD_OK);
    region->rules[at] = (struct mrd_hidden_rule){matcher, 1, samples_ms};
    region->rows_before_ms[at] = rows_ms;
    region->finest_before_ms[at] = rows_ms;
    region->rule_selectors[at] = (struct mrd_erasure_selector){matcher, 1};
    region->hidden[at] = (struct mrd_erasure){.tenant = tenant,
                                              .time_min_ms = INT64_MIN,
                                              .time_max_ms = samples_ms - 1,
                                              .selectors = &region->rule_selectors[at],
                                              .selector_count = 1};
}

static void make_rules(struct region *region, size_t count)
{
    static char texts[RULES_MAX][8];
    for (size_t i = 0; i < count; i++) {
        const mrd_time_ms samples_ms = (mrd_time_ms)below(PERIODS * PERIOD_MS);
        const char *more = one_in(2) ? "" : "|1";
        (void)snprintf(texts[i], sizeof(texts[i]), "%zu%s", below(SERIES), more);
        add_rule(region, texts[i], samples_ms,
                 samples_ms + (one_in(2) ? 0 : (mrd_time_ms)below(PERIOD_MS)));
    }
}

static bool is_hidden(const struct region *region, const struct series *series,
                      const struct sample *sample)
{
    bool hidden = false;
    for (size_t i = 0; i < region->rule_count; i++) {
        hidden |= sample->time_ms < region->rules[i].before_ms &&
                  mrd_matchers_match(region->rules[i].matchers, 1, series->labels);
    }
    return hidden;
}

static mrd_time_ms rows_before(const void *context, size_t rule, mrd_time_ms resolution_ms)
{
    const struct region *region = context;
    return resolution_ms == resolutions_ms[0] ? region->finest_before_ms[rule]
                                              : region->rows_before_ms[rule];
}

/* Which of the region's blocks owe which. */
static size_t find_owing(const struct region *region, struct mrd_block_owing *out)
{
    size_t count = 0;
    for (size_t k = 0; k < region->entry_count; k++) {
        const struct mrd_block_entry *entry = &region->entries[k];
        for (size_t i = 0; i < region->erased_count && entry->level > 0; i++) {
            const struct mrd_erasure *erasure = &region->erased[i].erasure;
            if (entry->counts.max_ms >= erasure->time_min_ms &&
                entry->counts.min_ms - entry->resolution_ms <= erasure->time_max_ms) {
                out[count++] = (struct mrd_block_owing){entry->id, erasure};
            }
        }
    }
    return count;
}

static const struct mrd_block_entry *entry_at(const void *entries, size_t index)
{
    return &((const struct mrd_block_entry *)entries)[index];
}

static void fill_memory(struct region *region)
{
    const struct mrd_memory_layout layout = {
        .segments = SEGMENTS, .salt = mrd_tenant_seed(tenant), .in_order = true};
    for (size_t i = 0; i < SERIES; i++) {
        const struct series *series = &region->series[i];
        for (size_t k = 0; k < series->count; k++) {
            const struct sample *sample = &series->samples[k];
            const struct mrd_sample put = {sample->time_ms, sample->value};
            if (is_erased(region, series, sample)) {
                continue;
            }
            if (!is_hidden(region, series, sample)) {
                mrd_memory_source_put(region->whole, series->labels, put);
            }
            if (sample->place == HEAD || sample->in_head_too) {
                mrd_memory_source_put(region->head, series->labels, put);
            }
        }
    }
    mrd_memory_source_arrange(region->whole, &layout);
    mrd_memory_source_arrange(region->head, &layout);
}

static void wire(struct region *region)
{
    struct mrd_block_owing owing[ENTRIES_MAX * ERASURES_MAX];
    const size_t owing_count = find_owing(region, owing);
    mrd_block_index_destroy(&region->index);
    region->index =
        mrd_block_index_create(entry_at, region->entries, region->entry_count, owing, owing_count);
    region->blocks.options = (struct mrd_block_source_options){.store = store,
                                                               .pool = pool,
                                                               .index = region->index,
                                                               .covers = region->covers,
                                                               .partition_count = SEGMENTS,
                                                               .tenant = tenant,
                                                               .floor_ms = INT64_MIN,
                                                               .hidden = region->hidden,
                                                               .hidden_count = region->rule_count};
    region->hidden_head = (struct mrd_hidden){
        mrd_memory_source_get(region->head), {region->rules, region->rule_count}
    };
    region->head_source = mrd_hidden_source(&region->hidden_head);
    region->block_source = mrd_block_source_get(&region->blocks);
    region->tiers = (struct mrd_tiers){.head = &region->head_source,
                                       .blocks = &region->block_source,
                                       .merge = {.find_resets = mrd_histograms_find_resets}};
    region->source = mrd_tiers_source(&region->tiers);
    region->rollups.options = (struct mrd_rollup_source_options){
        .blocks = &region->blocks,
        .heads = &region->head_source,
        .hidden = region->hidden_head.rules,
        .hidden_ms = rows_before,
        .hidden_context = region,
    };
    region->source.coarse = mrd_rollup_source_init(&region->rollups);
}

static struct region *region_with_rules(size_t late_periods, size_t without_rollups,
                                        size_t erasures, size_t rules)
{
    struct region *region = calloc(1, sizeof(*region));
    assert_non_null(region);
    region->arena = mrd_arena_create("entries", SIZE_MAX);
    region->whole = mrd_memory_source_create();
    region->head = mrd_memory_source_create();
    for (size_t i = 0; i < SEGMENTS; i++) {
        region->covers[i] = (struct mrd_block_cover){UINT64_MAX, 0};
    }
    for (size_t i = 0; i < SERIES; i++) {
        name_series(&region->series[i], i);
    }
    qsort(region->series, SERIES, sizeof(region->series[0]), compare_series);
    for (size_t i = 0; i < SERIES; i++) { /* they have moved */
        struct series *series = &region->series[i];
        series->items[0].value = mrd_bytes_of(series->texts[0]);
        series->items[1].value = mrd_bytes_of(series->texts[1]);
        series->labels.items = series->items;
        fill_series(series, late_periods);
    }
    for (size_t period = 0; period < PERIODS; period++) {
        write_period(region, period, (without_rollups >> period & 1) == 0);
        write_late(region, period);
    }
    make_erasures(region, erasures);
    make_rules(region, rules);
    fill_memory(region);
    wire(region);
    return region;
}

static struct region *region_create(size_t late_periods, size_t without_rollups, size_t erasures)
{
    return region_with_rules(late_periods, without_rollups, erasures, 0);
}

static void region_destroy(struct region **region)
{
    mrd_memory_source_destroy(&(*region)->whole);
    mrd_memory_source_destroy(&(*region)->head);
    mrd_block_index_destroy(&(*region)->index);
    for (size_t i = 0; i < (*region)->erased_count; i++) {
        mrd_matcher_fini(&(*region)->erased[i].matcher);
    }
    for (size_t i = 0; i < (*region)->rule_count; i++) {
        mrd_matcher_fini(&(*region)->rule_matchers[i]);
    }
    mrd_arena_destroy(&(*region)->arena);
    free(*region);
    *region = NULL;
}

/* ---- queries ---- */

static void make_query(struct mrd_random_text *text)
{
    static const struct {
        const char *before;
        const char *after;
    } queries[] = {
        {"rate(m_total",                          ")"        },
        {"increase(m_total",                      ")"        },
        {"delta(m",                               ")"        },
        {"sum_over_time(m",                       ")"        },
        {"avg_over_time(m",                       ")"        },
        {"min_over_time(m",                       ")"        },
        {"max_over_time(m",                       ")"        },
        {"count_over_time(m",                     ")"        },
        {"last_over_time(m",                      ")"        },
        {"changes(m",                             ")"        },
        {"resets(m_total",                        ")"        },
        {"sum(rate(m_total",                      "))"       },
        {"count_over_time({i=\"2\"}",             ")"        },
        {"max(max_over_time({__name__=~\"m.*\"}", ")) by (i)"},
    };
    static const char *const ranges[] = {"10m", "30m", "1h", "2h", "45m", "90m1s"};
    static const char *const offsets[] = {"", "", "", " offset 5m", " offset 30m"};
    const size_t query = below(MRD_ARRAY_LEN(queries));
    int size = 0;
    if (one_in(5)) {
        const bool times = one_in(2);
        size = snprintf(text->bytes, sizeof(text->bytes), "%s%s%s",
                        times ? "sum(timestamp(m_total" : "m", PICK(offsets), times ? "))" : "");
    } else {
        size = snprintf(text->bytes, sizeof(text->bytes), "%s[%s]%s%s", queries[query].before,
                        PICK(ranges), PICK(offsets), queries[query].after);
    }
    text->size = (size_t)size;
}

static struct mrd_promql_request make_request(const struct mrd_random_text *text)
{
    static const mrd_time_ms grids_ms[] = {300000, 600000, 1800000, 1000};
    const mrd_time_ms grid_ms = PICK(grids_ms);
    struct mrd_promql_request request = {
        .text = {(const uint8_t *)text->bytes, text->size},
          .instant = one_in(4)
    };
    request.end_ms = (mrd_time_ms)below(PERIODS * PERIOD_MS / (size_t)grid_ms + 2) * grid_ms;
    request.start_ms = request.instant ? request.end_ms : request.end_ms / 2 / grid_ms * grid_ms;
    request.step_ms = request.instant ? 0 : MRD_MAX(grid_ms, (mrd_time_ms)300000);
    return request;
}

static size_t by_rows;
static size_t with_points;

static void ask(const struct mrd_source *source, mrd_time_ms resolution_ms,
                const struct mrd_promql_request *request, struct mrd_arena *arena,
                struct mrd_answer *out)
{
    const struct mrd_promql_options options = {.resolution_ms_max = resolution_ms};
    *out = (struct mrd_answer){0};
    out->status = mrd_promql_query(&options, request, source, NULL, arena, &out->result, &out->err);
}

static void compare(struct region *region, const struct mrd_promql_request *request,
                    mrd_time_ms resolution_ms)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("one", SIZE_MAX);
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *other = mrd_arena_create("other", SIZE_MAX);
    struct mrd_answer want;
    struct mrd_answer got;
    ask(mrd_memory_source_get(region->whole), 0, request, arena, &want);
    ask(&region->source, resolution_ms, request, other, &got);
    assert_int_equal(mrd_memory_source_open_sets(region->head), 0);
    assert_int_equal(region->blocks.memory_used, 0);
    by_rows += got.result.stats.rows_read > 0;
    with_points += want.result.series_count > 0;
    mrd_answers_bring_near(&got, &want);
    got.result.stats = want.result.stats;
    const char *what = mrd_answers_compare(&want, &got);
    if (what != NULL) {
        fail_msg("%s differ: %.*s, %lld to %lld ms step %lld, rows up to %lld ms; \"%s\", \"%s\"",
                 what, MRD_FMT(request->text), (long long)request->start_ms,
                 (long long)request->end_ms, (long long)request->step_ms, (long long)resolution_ms,
                 want.err.text, got.err.text);
    }
}

/* Whatever the seed: of a region with all its rollups, without late samples and erasures, rows answer this. */
static void compare_certain(struct region *region)
{
    const size_t rows_before = by_rows;
    const struct mrd_promql_request request = {.text = MRD_BYTES("sum(count_over_time(m[1h]))"),
                                               .start_ms = 2 * PERIOD_MS,
                                               .end_ms = 2 * PERIOD_MS,
                                               .instant = true};
    compare(region, &request, 300000);
    assert_int_equal(by_rows, rows_before + 1);
}

static void rollups_answer_as_all_samples_do(void **state)
{
    (void)state;
    mrd_random_seed_for_test(20261128);
    for (size_t round = 0; round < ROUNDS; round++) {
        const bool whole = round % 4 == 0;
        struct region *region =
            region_with_rules(whole || one_in(2) ? 0 : below(8), whole || one_in(2) ? 0 : below(8),
                              whole || one_in(2) ? 0 : below(ERASURES_MAX + 1),
                              whole || one_in(2) ? 0 : 1 + below(RULES_MAX));
        for (size_t q = 0; q < QUERIES_PER_ROUND; q++) {
            struct mrd_random_text text = {0};
            make_query(&text);
            const struct mrd_promql_request request = make_request(&text);
            compare(region, &request, one_in(3) ? 300000 : 86400000);
        }
        if (whole) {
            compare_certain(region);
        }
        region_destroy(&region);
    }
    print_message("%d queries: %zu have points, %zu read rows\n", ROUNDS * QUERIES_PER_ROUND,
                  with_points, by_rows);
    assert_true(by_rows >=
                ROUNDS / 4); /* these are certain; of the random ones it is every third */
}

/* ---- finer rows that a rule keeps for longer ---- */

enum { HALF_HOUR_MS = 1800000 };

/* How many samples a series has in each half hour of the region. */
static void count_series(struct region *region, double counts[PERIODS * 2])
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
    const struct mrd_promql_request request = {.text = MRD_BYTES("count_over_time({i=\"2\"}[30m])"),
                                               .start_ms = HALF_HOUR_MS,
                                               .end_ms = (mrd_time_ms)PERIODS * PERIOD_MS,
                                               .step_ms = HALF_HOUR_MS};
    struct mrd_answer answer;
    ask(&region->source, 86400000, &request, arena, &answer);
    assert_int_equal(answer.status, MRD_OK);
    memset(counts, 0, PERIODS * 2 * sizeof(*counts));
    for (size_t i = 0; i < answer.result.series_count; i++) {
        const struct mrd_promql_series *series = &answer.result.series[i];
        for (size_t k = 0; k < series->count; k++) {
            counts[series->times_ms[k] / HALF_HOUR_MS - 1] += series->values[k];
        }
    }
    assert_true(answer.result.stats.rows_read > 0);
}

static void finer_rows_answer_where_a_rule_keeps_them_for_longer(void **state)
{
    (void)state;
    mrd_random_seed_for_test(20261129);
    for (size_t gone = 0; gone < 3; gone++) { /* half hours of which there are no fine rows */
        struct region *region = region_create(0, 0, 0);
        double whole[PERIODS * 2];
        double ruled[PERIODS * 2];
        count_series(region, whole);
        add_rule(region, "2", 2 * PERIOD_MS, 2 * PERIOD_MS);
        region->finest_before_ms[0] = (mrd_time_ms)gone * HALF_HOUR_MS;
        wire(region);
        count_series(region, ruled);
        for (size_t i = 0; i < PERIODS * 2; i++) {
            assert_true(whole[i] > 0);
            assert_true(ruled[i] == (i < gone ? 0 : whole[i]));
        }
        region_destroy(&region);
    }
}

/* ---- which rollups are of use ---- */

/* With what blocks owe, instead of the region's. */
static struct mrd_coarse_spans spans_owing(struct region *region, mrd_time_ms resolution_ms,
                                           const struct mrd_block_owing *owing, size_t count)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("spans", SIZE_MAX);
    const struct mrd_query_scope scope = {.arena = arena};
    const struct mrd_select select = {.min_ms = 1, .max_ms = PERIODS * PERIOD_MS};
    struct mrd_coarse_spans spans;
    struct mrd_error err = {0};
    wire(region);
    mrd_block_index_destroy(&region->index);
    region->index =
        mrd_block_index_create(entry_at, region->entries, region->entry_count, owing, count);
    region->blocks.options.index = region->index;
    const struct mrd_coarse *coarse = region->source.coarse;
    assert_int_equal(coarse->spans(coarse->context, &select, resolution_ms, &scope, &spans, &err),
                     MRD_OK);
    return spans;
}

static struct mrd_coarse_spans spans_of(struct region *region, mrd_time_ms resolution_ms)
{
    return spans_owing(region, resolution_ms, NULL, 0);
}

static void rollups_are_used_only_with_what_they_stand_for(void **state)
{
    (void)state;
    mrd_random_seed(7);
    struct region *region = region_create(0, 0, 0);
    const mrd_time_ms end_ms = PERIODS * PERIOD_MS - 1500000; /* heads have what follows */
    struct mrd_coarse_spans spans = spans_of(region, 300000);
    assert_int_equal(spans.count, 1);
    assert_int_equal(spans.items[0].begin_ms, 0);
    assert_int_equal(spans.items[0].end_ms, end_ms);
    assert_int_equal(region->rollups.coarse.resolution_count, 2);

    /* What owes an erasure is not used, be it the rows or what they stand for. */
    for (size_t k = 0; k < region->entry_count; k++) {
        const struct mrd_block_entry *entry = &region->entries[k];
        const bool parent = entry->resolution_ms == 0 && entry->counts.min_ms >= PERIOD_MS &&
                            entry->counts.max_ms < 2 * PERIOD_MS;
        const bool rows = entry->resolution_ms == 300000 && entry->counts.max_ms == PERIOD_MS;
        if (parent || rows) {
            const struct mrd_erasure erasure = {.tenant = tenant};
            const struct mrd_block_owing owing = {entry->id, &erasure};
            spans = spans_owing(region, 300000, &owing, 1);
            assert_int_equal(spans.count, parent ? 2 : 1);
            assert_int_equal(spans.items[0].begin_ms, parent ? 0 : PERIOD_MS);
            assert_int_equal(spans.items[0].end_ms, parent ? PERIOD_MS - 300000 : end_ms);
        }
    }

    /* Samples that have expired: their rows stay. */
    assert_int_equal(region->entries[0].resolution_ms, 0);
    const struct mrd_block_entry first = region->entries[0];
    region->entries[0] = region->entries[--region->entry_count];
    spans = spans_of(region, 300000);
    assert_int_equal(spans.count, 1);
    assert_int_equal(spans.items[0].begin_ms, 0);

    /* One of two parents has gone: rows for both are not those of the other. */
    const struct mrd_bytes parents[2] = {first.id, MRD_BYTES("gone")};
    region->entries[region->entry_count++] = first;
    for (size_t i = 0; i < region->entry_count; i++) {
        struct mrd_block_entry *entry = &region->entries[i];
        if (entry->resolution_ms == 300000 && entry->origin.parent_count == 1 &&
            mrd_bytes_equal(entry->origin.parents[0], first.id)) {
            entry->origin.parents = parents;
            entry->origin.parent_count = 2;
        }
    }
    spans = spans_of(region, 300000);
    assert_int_equal(spans.count, 1);
    assert_int_equal(spans.items[0].begin_ms, PERIOD_MS);

    /* Before the floor nobody knows anything. */
    wire(region);
    region->blocks.options.floor_ms = 2 * PERIOD_MS + 1000;
    const struct mrd_query_scope scope = {.arena = region->arena};
    const struct mrd_select select = {.min_ms = 1, .max_ms = PERIODS * PERIOD_MS};
    const struct mrd_coarse *coarse = region->source.coarse;
    assert_int_equal(coarse->spans(coarse->context, &select, 300000, &scope, &spans, NULL), MRD_OK);
    assert_int_equal(spans.count, 1);
    assert_int_equal(spans.items[0].begin_ms, 2 * PERIOD_MS + 300000);
    region_destroy(&region);
}

/* The count of a series, asked of rows. -1: there is no such series. */
static double count_in(const struct region *region, struct mrd_coarse_span range, const char *index,
                       mrd_time_ms resolution_ms)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("one", SIZE_MAX);
    struct mrd_answer got;
    const char *text = mrd_arena_printf(arena, "count_over_time({i=\"%s\"}[%lldms])", index,
                                        (long long)(range.end_ms - range.begin_ms));
    const struct mrd_promql_request request = {.text = mrd_bytes_of(text),
                                               .start_ms = range.end_ms,
                                               .end_ms = range.end_ms,
                                               .instant = true};
    ask(&region->source, resolution_ms, &request, arena, &got);
    if (got.status != MRD_OK) {
        fail_msg("%s", got.err.text);
    }
    return got.result.series_count == 0 ? -1 : got.result.series[0].values[0];
}

/* The same over the last hour. */
static double count_at(const struct region *region, mrd_time_ms at_ms, const char *index,
                       mrd_time_ms resolution_ms)
{
    return count_in(region, (struct mrd_coarse_span){at_ms - PERIOD_MS, at_ms}, index,
                    resolution_ms);
}

/* Rows that are kept for longer than samples answer alone then; what is kept of neither is in no answer. */
static void rules_hide_samples_and_rows_at_times_of_their_own(void **state)
{
    (void)state;
    mrd_random_seed(8);
    struct region *region = region_create(0, 0, 0);
    const double first = count_at(region, PERIOD_MS, "2", 86400000);
    const double second = count_at(region, 2 * PERIOD_MS, "2", 86400000);
    const double other = count_at(region, PERIOD_MS, "3", 86400000);
    assert_true(first > 0 && second > 0 && other > 0);
    add_rule(region, "2", 3 * PERIOD_MS, PERIOD_MS + 1);
    wire(region);
    assert_true(count_at(region, PERIOD_MS, "2", 86400000) == -1);
    assert_true(count_at(region, 2 * PERIOD_MS, "2", 86400000) == second);
    assert_true(count_at(region, 2 * PERIOD_MS, "2", 0) == -1);
    assert_true(count_at(region, PERIOD_MS, "3", 86400000) == other);
    assert_true(count_at(region, PERIOD_MS, "3", 0) == other);
    region_destroy(&region);
}

/* How many samples of series 2 a range has that come after a time; -1: none. */
static double shown_in(const struct region *region, struct mrd_coarse_span range,
                       mrd_time_ms after_ms)
{
    size_t count = 0;
    for (size_t i = 0; i < SERIES; i++) {
        const struct series *series = &region->series[i];
        const bool ruled = mrd_bytes_equal(series->items[1].value, MRD_BYTES("2"));
        for (size_t k = 0; ruled && k < series->count; k++) {
            const mrd_time_ms time_ms = series->samples[k].time_ms;
            count += time_ms > after_ms && time_ms > range.begin_ms && time_ms <= range.end_ms &&
                     !mrd_is_stale(series->samples[k].value);
        }
    }
    return count == 0 ? -1 : (double)count;
}

/* Ranges on one side of a rule's time, and on both: nothing counts that is hidden, and all that comes after the row in which the time lies, which
 * is one of the coarser ones where these and finer ones answer together. */
static void count_ranges(const struct region *region, mrd_time_ms resolution_ms)
{
    const mrd_time_ms before_ms = region->rows_before_ms[0];
    const mrd_time_ms row_end_ms = mrd_rollup_window_end(before_ms - 1, resolution_ms);
    const mrd_time_ms grid_ms = resolutions_ms[0];
    size_t over = 0;
    for (mrd_time_ms end_ms = PERIOD_MS; end_ms <= 2 * PERIOD_MS; end_ms += grid_ms) {
        for (mrd_time_ms length_ms = grid_ms; length_ms <= 2 * PERIOD_MS; length_ms += grid_ms) {
            const struct mrd_coarse_span range = {end_ms - length_ms, end_ms};
            const double got = count_in(region, range, "2", resolution_ms);
            const double least = shown_in(region, range, row_end_ms);
            assert_true(got <= shown_in(region, range, before_ms - 1));
            assert_true(got >= least);
            over += least > 0 && range.begin_ms < before_ms;
        }
    }
    assert_true(over > 0);
}

/* What comes before the time from which on a rule keeps rows is in no row that is joined of others. */
static void no_row_goes_over_the_time_of_a_rule(void **state)
{
    (void)state;
    static const mrd_time_ms times_ms[] = {
        PERIOD_MS + 1,           /* between blocks */
        PERIOD_MS + 1800000 + 1, /* between rows */
        PERIOD_MS + 600000 + 1,  /* within those of 30 minutes */
        PERIOD_MS + 700000,      /* within both */
    };
    mrd_random_seed(9);
    struct region *region = region_create(0, 0, 0);
    add_rule(region, "2", PERIODS * PERIOD_MS, 0);
    wire(region);
    for (size_t i = 0; i < MRD_ARRAY_LEN(times_ms) * MRD_ARRAY_LEN(resolutions_ms); i++) {
        region->rows_before_ms[0] = times_ms[i % MRD_ARRAY_LEN(times_ms)];
        region->finest_before_ms[0] = region->rows_before_ms[0];
        count_ranges(region, resolutions_ms[i / MRD_ARRAY_LEN(times_ms)]);
    }
    region_destroy(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rollups_answer_as_all_samples_do),
        cmocka_unit_test(rollups_are_used_only_with_what_they_stand_for),
        cmocka_unit_test(finer_rows_answer_where_a_rule_keeps_them_for_longer),
        cmocka_unit_test(rules_hide_samples_and_rows_at_times_of_their_own),
        cmocka_unit_test(no_row_goes_over_the_time_of_a_rule),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
