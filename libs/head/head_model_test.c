/* A head against a naive map (series, time) -> last write, over random operations. The seed is printed;
 * MRD_TEST_SEED sets it, MRD_TEST_ROUNDS how many heads are tried. */
#include <time.h>

#include "head/testing_internal.h"

enum {
    MODEL_SERIES = 300,
    MODEL_OPERATIONS = 400,
    MODEL_BUCKET_MS = 60000,
    MODEL_STEP_MS = 1000,
    MODEL_TAKEN_MAX = 50,
};

struct model_sample {
    mrd_time_ms time_ms;
    uint64_t bits;
    mrd_hlc hlc;
    uint32_t origin;
    mrd_time_ms start_ms; /* 0: unknown */
};

struct model_series {
    const char *tenant;
    char labels[160];
    uint32_t ordinal; /* MRD_HEAD_ORDINAL_NONE: unknown to the head */
    mrd_time_ms next_ms;
    double last;
    int shape;
    int starts; /* their pattern */
    size_t count;
    size_t capacity;
    struct model_sample *samples; /* ascending */
};

struct model {
    struct mrd_head *head;
    struct model_series series[MODEL_SERIES];
    mrd_hlc hlc;
    uint64_t random;
    uint64_t focus;    /* series that most rows go to */
    uint64_t compared; /* samples */
    uint64_t started;  /* of them, with a start time */
    uint64_t settled;
    uint64_t erased;
    struct mrd_head_contested taken[MODEL_TAKEN_MAX];
    struct mrd_head_verdict verdicts[MODEL_TAKEN_MAX]; /* of the moment when they were taken */
    size_t taken_count;
};

static uint64_t next_random(struct model *model)
{
    uint64_t z = (model->random += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static uint64_t below(struct model *model, uint64_t bound) { return next_random(model) % bound; }

static size_t position_of(const struct model_series *series, mrd_time_ms time_ms)
{
    size_t at = series->count;
    while (at > 0 && series->samples[at - 1].time_ms >= time_ms) {
        at--;
    }
    return at;
}

static void model_write(struct model_series *series, const struct model_sample *sample)
{
    const size_t at = position_of(series, sample->time_ms);
    if (at < series->count && series->samples[at].time_ms == sample->time_ms) {
        struct model_sample *old = &series->samples[at];
        const bool later = sample->hlc != old->hlc         ? sample->hlc > old->hlc
                           : sample->origin != old->origin ? sample->origin > old->origin
                           : sample->bits != old->bits     ? sample->bits > old->bits
                                                           : sample->start_ms > old->start_ms;
        if (later) {
            *old = *sample;
        }
        return;
    }
    if (series->count == series->capacity) {
        series->capacity = series->capacity * 2 + 16;
        series->samples = realloc(series->samples, series->capacity * sizeof(series->samples[0]));
        assert_non_null(series->samples);
    }
    memmove(&series->samples[at + 1], &series->samples[at],
            (series->count - at) * sizeof(series->samples[0]));
    series->samples[at] = *sample;
    series->count++;
}

static double model_value(struct model *model, struct model_series *series)
{
    switch (series->shape) {
    case 0:
        series->last += (double)below(model, 50);
        break;
    case 1:
        series->last = (double)below(model, 1000) / 10;
        break;
    case 2:
        series->last = (double)(next_random(model) >> 11) * 0x1p-53;
        break;
    case 3:
        series->last = below(model, 10) == 0 ? mrd_stale_nan() : 1;
        break;
    default:
        series->last = mrd_double_from_bits(next_random(model));
    }
    return series->last;
}

/* Of a sample at the end, mostly; elsewhere it is as good as any. Half of the series have none, some begin late. */
static mrd_time_ms model_start(struct model *model, const struct model_series *series,
                               mrd_time_ms time_ms)
{
    const mrd_time_ms last_ms =
        series->count == 0 ? time_ms - 5 : series->samples[series->count - 1].time_ms;
    switch (series->starts) {
    case 1: /* a counter, now and then reset */
        return time_ms - time_ms % (40 * MODEL_STEP_MS);
    case 2: /* deltas */
        return below(model, 20) == 0 ? 0 : last_ms;
    case 3:
        return time_ms - 1;
    case 4: /* any, and unknown now and then */
        return below(model, 3) == 0 ? 0 : (mrd_time_ms)next_random(model);
    case 5: /* a writer that has learnt it and one that has not */
        return below(model, 2) == 0 ? 0 : MODEL_STEP_MS;
    default:
        return 0;
    }
}

/* ---- operations ---- */

enum { ROWS_MAX = 64, SAMPLES_PER_ROW_MAX = 5 };

struct rows {
    uint32_t ordinals[ROWS_MAX];
    uint32_t counts[ROWS_MAX];
    mrd_time_ms times_ms[ROWS_MAX * SAMPLES_PER_ROW_MAX];
    double values[ROWS_MAX * SAMPLES_PER_ROW_MAX];
    mrd_time_ms start_times_ms[ROWS_MAX * SAMPLES_PER_ROW_MAX];
    bool started;
    size_t row_count;
    size_t sample_count;
};

static mrd_time_ms pick_time(struct model *model, struct model_series *series, bool orderly)
{
    const uint64_t kind = orderly ? 0 : below(model, 10);
    if (kind < 6 || series->count == 0) {
        series->next_ms += MODEL_STEP_MS + (mrd_time_ms)below(model, 20);
        if (below(model, 40) == 0) {
            series->next_ms += (mrd_time_ms)below(model, 3 * MODEL_BUCKET_MS);
        }
        return series->next_ms;
    }
    if (kind < 8) {
        return series->samples[below(model, series->count)].time_ms; /* again */
    }
    return series->next_ms - (mrd_time_ms)below(model, 20 * MODEL_BUCKET_MS);
}

static void ensure_series(struct model *model, struct model_series *series)
{
    if (series->ordinal == MRD_HEAD_ORDINAL_NONE) {
        series->ordinal =
            testing_need_series(model->head, series->tenant, series->labels, model->hlc);
        for (size_t i = 0; i < MODEL_SERIES; i++) {
            const struct model_series *other = &model->series[i];
            assert_true(other == series || other->ordinal != series->ordinal);
        }
    }
}

/* One row: samples go to the model as they are made, so a batch may repeat a time. */
static void add_row(struct model *model, struct rows *rows, size_t index,
                    const struct model_sample *stamp, bool orderly)
{
    struct model_series *series = &model->series[index];
    ensure_series(model, series);
    const size_t count = 1 + below(model, SAMPLES_PER_ROW_MAX);
    rows->ordinals[rows->row_count] = series->ordinal;
    rows->counts[rows->row_count++] = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        const mrd_time_ms time_ms = pick_time(model, series, orderly);
        double value = model_value(model, series);
        mrd_time_ms start_ms = model_start(model, series, time_ms);
        const size_t at = position_of(series, time_ms);
        /* A retry; and what the head does not promise: a batch that has a sample twice meets another
         * writer's of the very same stamp. */
        if (at < series->count && series->samples[at].time_ms == time_ms &&
            (below(model, 2) == 0 || (series->samples[at].hlc == stamp->hlc &&
                                      series->samples[at].origin != stamp->origin))) {
            value = mrd_double_from_bits(series->samples[at].bits);
            start_ms = series->samples[at].start_ms;
        }
        rows->times_ms[rows->sample_count] = time_ms;
        rows->start_times_ms[rows->sample_count] = start_ms;
        rows->started |= start_ms != 0;
        rows->values[rows->sample_count++] = value;
        model_write(series, &(struct model_sample){time_ms, mrd_double_bits(value), stamp->hlc,
                                                   stamp->origin, start_ms});
    }
}

static void append_rows(struct model *model)
{
    struct rows rows = {.row_count = 0};
    model->hlc += 1 + below(model, 1000);
    /* Now and then a batch comes after others with greater stamps, or with the same one. */
    const uint64_t behind = below(model, 4) == 0 ? below(model, 20000) : 0;
    const struct model_sample stamp = {.hlc = (model->hlc - behind) & ~(mrd_hlc)511,
                                       .origin = (uint32_t)below(model, 3)};
    const size_t row_count = 1 + below(model, ROWS_MAX);
    const bool orderly = below(model, 3) > 0;
    for (size_t i = 0; i < row_count; i++) {
        const size_t span = below(model, 4) == 0 ? MODEL_SERIES : model->focus;
        add_row(model, &rows, below(model, span), &stamp, orderly);
    }
    const struct mrd_head_batch batch = {
        rows.ordinals, rows.counts,  rows.row_count,
        rows.times_ms, rows.values,  rows.sample_count,
        stamp.hlc,     stamp.origin, rows.started ? rows.start_times_ms : NULL};
    struct mrd_head_append_result result = {0};
    assert_int_equal(mrd_head_append(model->head, &batch, &result, NULL), MRD_OK);
    assert_int_equal(result.appended + result.out_of_order + result.duplicates + result.overrides +
                         result.outdated + result.contested,
                     rows.sample_count);
    assert_int_equal(result.rows_dead, 0);
}

static struct model_sample *model_find(struct model *model, const struct mrd_head_contested *sample)
{
    for (size_t i = 0; i < MODEL_SERIES; i++) {
        struct model_series *series = &model->series[i];
        if (series->ordinal == sample->ordinal) {
            const size_t at = position_of(series, sample->time_ms);
            assert_true(at < series->count && series->samples[at].time_ms == sample->time_ms);
            return &series->samples[at];
        }
    }
    fail_msg("a contested sample of no series");
    return NULL;
}

static void take_contested(struct model *model)
{
    if (model->taken_count > 0) {
        return;
    }
    model->taken_count = mrd_head_contested_take(model->head, model->taken, MODEL_TAKEN_MAX);
    for (size_t i = 0; i < model->taken_count; i++) {
        const struct model_sample *sample = model_find(model, &model->taken[i]);
        model->verdicts[i] = (struct mrd_head_verdict){
            sample->hlc, sample->origin, mrd_double_from_bits(sample->bits), sample->start_ms};
    }
}

/* With the verdicts of when they were taken, old as they may be by now. */
static void settle_taken(struct model *model)
{
    for (size_t i = 0; i < model->taken_count; i++) {
        const bool unknown = below(model, 10) == 0; /* the caller could not find out */
        mrd_head_settle(model->head, &model->taken[i], unknown ? NULL : &model->verdicts[i]);
    }
    model->settled += model->taken_count;
    model->taken_count = 0;
}

static void settle_all(struct model *model)
{
    settle_taken(model);
    while (mrd_head_contested_count(model->head) > 0) {
        take_contested(model);
        settle_taken(model);
    }
    struct mrd_head_contested_stats stats;
    mrd_head_contested_stats(model->head, &stats);
    assert_int_equal(stats.dropped, 0);
}

static struct mrd_labels split(const char *text, struct mrd_label *items)
{
    size_t count = 0;
    while (*text != 0) {
        const char *equal = strchr(text, '=');
        const char *end = strchrnul(equal, ',');
        items[count].name = (struct mrd_bytes){(const uint8_t *)text, (size_t)(equal - text)};
        items[count++].value =
            (struct mrd_bytes){(const uint8_t *)equal + 1, (size_t)(end - equal - 1)};
        text = *end == 0 ? end : end + 1;
    }
    return (struct mrd_labels){items, count};
}

static const struct {
    enum mrd_match_type type;
    const char *name;
    const char *value;
} model_matchers[] = {
    {MRD_MATCH_EQ,  "__name__", "metric_1"         },
    {MRD_MATCH_EQ,  "__name__", "none"             },
    {MRD_MATCH_EQ,  "job",      "a"                },
    {MRD_MATCH_EQ,  "rare",     ""                 },
    {MRD_MATCH_EQ,  "rare",     "5"                },
    {MRD_MATCH_NE,  "rare",     ""                 },
    {MRD_MATCH_NE,  "job",      "a"                },
    {MRD_MATCH_NE,  "absent",   ""                 },
    {MRD_MATCH_NE,  "absent",   "x"                },
    {MRD_MATCH_RE,  "__name__", "metric_[0-3]"     },
    {MRD_MATCH_RE,  "__name__", "metric_1|metric_5"},
    {MRD_MATCH_RE,  "instance", "host-1.*"         },
    {MRD_MATCH_RE,  "rare",     "|5"               },
    {MRD_MATCH_RE,  "rare",     ".*"               },
    {MRD_MATCH_RE,  "rare",     ".+"               },
    {MRD_MATCH_NRE, "__name__", "metric_1|metric_5"},
    {MRD_MATCH_NRE, "instance", "host-.[2-8]"      },
    {MRD_MATCH_NRE, "rare",     "5|10|"            },
    {MRD_MATCH_NRE, "rare",     "1.+"              },
};

static void compare_series(struct model *model, const struct model_series *series,
                           const struct mrd_head_query *query,
                           const struct testing_results *results, size_t *expected)
{
    const struct testing_result *got = testing_find(results, series->labels);
    size_t at = 0;
    for (size_t i = 0; i < series->count; i++) {
        const struct model_sample *want = &series->samples[i];
        if (want->time_ms < query->time_min_ms || want->time_ms > query->time_max_ms) {
            continue;
        }
        if (got == NULL || at >= got->count) {
            fail_msg("%s: sample at %ld is missing", series->labels, (long)want->time_ms);
        }
        if (got->times_ms[at] != want->time_ms || got->bits[at] != want->bits) {
            fail_msg("%s: wanted %lx at %ld, got %lx at %ld", series->labels, (long)want->bits,
                     (long)want->time_ms, (long)got->bits[at], (long)got->times_ms[at]);
        }
        if (got->start_times_ms[at] != want->start_ms) {
            fail_msg("%s: wanted start %ld at %ld, got %ld", series->labels, (long)want->start_ms,
                     (long)want->time_ms, (long)got->start_times_ms[at]);
        }
        model->started += want->start_ms != 0;
        at++;
    }
    if (got != NULL && at != got->count) {
        fail_msg("%s: %zu samples too many", series->labels, got->count - at);
    }
    *expected += got != NULL;
    model->compared += at;
}

static void select_and_compare(struct model *model)
{
    settle_all(model);
    struct mrd_matcher matchers[3];
    const size_t count = below(model, 4);
    for (size_t i = 0; i < count; i++) {
        const size_t pick = below(model, MRD_ARRAY_LEN(model_matchers));
        assert_int_equal(mrd_matcher_init(&matchers[i], model_matchers[pick].type,
                                          mrd_bytes_of(model_matchers[pick].name),
                                          mrd_bytes_of(model_matchers[pick].value), NULL),
                         MRD_OK);
    }
    static const char *const tenants[] = {"big", "small", "other"};
    const char *tenant = tenants[below(model, 3)];
    mrd_time_ms min_ms = INT64_MIN;
    mrd_time_ms max_ms = INT64_MAX;
    if (below(model, 2) == 0) {
        const struct model_series *series = &model->series[below(model, 20)];
        min_ms = series->next_ms - (mrd_time_ms)below(model, 30 * MODEL_BUCKET_MS);
        max_ms = min_ms + (mrd_time_ms)below(model, 5 * MODEL_BUCKET_MS);
    }
    const struct mrd_head_query query = {.tenant = mrd_bytes_of(tenant),
                                         .matchers = matchers,
                                         .matcher_count = count,
                                         .time_min_ms = min_ms,
                                         .time_max_ms = max_ms};
    struct testing_results results;
    testing_select(model->head, &query, 1 + below(model, 20000), &results);
    size_t expected = 0;
    for (size_t i = 0; i < MODEL_SERIES; i++) {
        struct mrd_label items[16];
        const struct model_series *series = &model->series[i];
        if (strcmp(series->tenant, tenant) == 0 &&
            mrd_matchers_match(matchers, count, split(series->labels, items))) {
            compare_series(model, series, &query, &results, &expected);
        }
    }
    assert_int_equal(expected, results.count);
    testing_results_fini(&results);
    for (size_t i = 0; i < count; i++) {
        mrd_matcher_fini(&matchers[i]);
    }
}

/* Drops whole buckets before a time; everything counts as covered. */
static void drop_old(struct model *model)
{
    const mrd_time_ms before_ms =
        model->series[below(model, 20)].next_ms - (mrd_time_ms)below(model, 30 * MODEL_BUCKET_MS);
    const struct mrd_head_sweep sweep = {before_ms, UINT64_MAX, 0, 1 + below(model, 500)};
    struct mrd_head_sweep_result result = {0};
    while (!result.pass_done) {
        mrd_head_sweep(model->head, &sweep, &result);
        assert_int_equal(result.dead_count, 0);
    }
    const mrd_time_ms bound_ms = before_ms - before_ms % MODEL_BUCKET_MS;
    for (size_t i = 0; i < MODEL_SERIES; i++) {
        struct model_series *series = &model->series[i];
        const size_t gone = position_of(series, bound_ms);
        series->count -= gone;
        if (gone > 0) {
            memmove(series->samples, series->samples + gone,
                    series->count * sizeof(series->samples[0]));
        }
    }
}

/* Removes series without samples, now and then with their neighbours' last samples. */
static void remove_idle(struct model *model)
{
    const bool all = below(model, 4) == 0;
    const struct mrd_head_sweep sweep = {all ? INT64_MAX : INT64_MIN, UINT64_MAX, UINT64_MAX,
                                         1 + below(model, 500)};
    struct mrd_head_sweep_result result = {0};
    while (!result.pass_done) {
        mrd_head_sweep(model->head, &sweep, &result);
        for (size_t i = 0; i < result.dead_count; i++) {
            for (size_t k = 0; k < MODEL_SERIES; k++) {
                struct model_series *series = &model->series[k];
                if (series->ordinal == result.dead[i]) {
                    assert_true(series->count == 0 || all);
                    series->ordinal = MRD_HEAD_ORDINAL_NONE;
                }
            }
        }
    }
    for (size_t k = 0; all && k < MODEL_SERIES; k++) {
        model->series[k].count = 0;
        assert_int_equal(model->series[k].ordinal, MRD_HEAD_ORDINAL_NONE);
    }
    if (below(model, 2) == 0) {
        mrd_head_recycle(model->head);
    }
}

/* Erases a range of what random matchers select. */
static void erase_some(struct model *model)
{
    const size_t pick = below(model, MRD_ARRAY_LEN(model_matchers));
    struct mrd_matcher matcher;
    assert_int_equal(mrd_matcher_init(&matcher, model_matchers[pick].type,
                                      mrd_bytes_of(model_matchers[pick].name),
                                      mrd_bytes_of(model_matchers[pick].value), NULL),
                     MRD_OK);
    const bool all = below(model, 4) == 0;
    const mrd_time_ms min_ms =
        model->series[below(model, 20)].next_ms - (mrd_time_ms)below(model, 30 * MODEL_BUCKET_MS);
    const struct mrd_head_query query = {
        .tenant = MRD_BYTES("big"),
        .matchers = &matcher,
        .matcher_count = 1,
        .time_min_ms = all ? INT64_MIN : min_ms,
        .time_max_ms = all ? INT64_MAX : min_ms + (mrd_time_ms)below(model, 5 * MODEL_BUCKET_MS)};
    struct mrd_head_erased erased = {0};
    mrd_head_erase(model->head, &query, &erased);
    uint64_t samples = 0;
    for (size_t i = 0; i < MODEL_SERIES; i++) {
        struct mrd_label items[16];
        struct model_series *series = &model->series[i];
        if (strcmp(series->tenant, "big") != 0 ||
            !mrd_matchers_match(&matcher, 1, split(series->labels, items))) {
            continue;
        }
        const size_t from = position_of(series, query.time_min_ms);
        const size_t to =
            all ? series->count : position_of(series, query.time_max_ms + 1); /* both included */
        if (to > from) {
            memmove(series->samples + from, series->samples + to,
                    (series->count - to) * sizeof(series->samples[0]));
        }
        series->count -= to - from;
        samples += to - from;
    }
    model->erased += samples;
    assert_int_equal(erased.samples, samples);
    mrd_matcher_fini(&matcher);
}

static void check_counts(struct model *model)
{
    struct mrd_head_stats stats;
    mrd_head_stats(model->head, &stats);
    uint64_t samples = 0;
    uint64_t series = 0;
    for (size_t i = 0; i < MODEL_SERIES; i++) {
        samples += model->series[i].count;
        series += model->series[i].ordinal != MRD_HEAD_ORDINAL_NONE;
    }
    assert_int_equal(stats.sample_count, samples);
    assert_int_equal(stats.series_count, series);
}

static void model_init(struct model *model, uint64_t seed)
{
    memset(model, 0, sizeof(*model));
    model->random = seed;
    model->hlc = mrd_hlc_make(1790000000000, 0);
    model->focus = seed % 3 == 0 ? 2 : 20;
    const struct mrd_head_options options = {.bucket_ms = MODEL_BUCKET_MS};
    assert_int_equal(mrd_head_create(&options, &model->head, NULL), MRD_OK);
    for (size_t i = 0; i < MODEL_SERIES; i++) {
        struct model_series *series = &model->series[i];
        series->tenant = i % 3 != 0 ? "big" : i % 2 == 0 ? "small" : "other";
        series->ordinal = MRD_HEAD_ORDINAL_NONE;
        series->shape = (int)(i % 5);
        series->starts = i % 2 == 0 ? 0 : (int)(i / 2 % 6);
        series->next_ms = 1790000000000 + (mrd_time_ms)below(model, MODEL_BUCKET_MS);
        char rare[32] = "";
        if (i % 5 == 0) {
            (void)snprintf(rare, sizeof(rare), ",rare=%zu", i % 20);
        }
        (void)snprintf(series->labels, sizeof(series->labels),
                       "__name__=metric_%zu,instance=host-%zu,job=%c%s", i % 7, i,
                       (int)('a' + i % 3), rare);
    }
}

static void model_fini(struct model *model)
{
    mrd_head_destroy(&model->head);
    for (size_t i = 0; i < MODEL_SERIES; i++) {
        free(model->series[i].samples);
    }
}

static void run_model(uint64_t seed)
{
    static struct model model;
    model_init(&model, seed);
    for (size_t i = 0; i < MODEL_OPERATIONS; i++) {
        const uint64_t kind = below(&model, 100);
        if (kind < 70) {
            append_rows(&model);
        } else if (kind < 73) {
            take_contested(&model);
        } else if (kind < 75) {
            settle_taken(&model);
        } else if (kind < 93) {
            select_and_compare(&model);
        } else if (kind < 95) {
            erase_some(&model);
        } else if (kind < 98) {
            drop_old(&model);
        } else {
            remove_idle(&model);
        }
        check_counts(&model);
    }
    for (size_t i = 0; i < 10; i++) {
        select_and_compare(&model);
    }
    print_message("%lu samples compared, %lu of them with start times, %lu verdicts, %lu erased\n",
                  (unsigned long)model.compared, (unsigned long)model.started,
                  (unsigned long)model.settled, (unsigned long)model.erased);
    assert_true(model.started > 0);
    model_fini(&model);
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void the_head_answers_like_a_map_with_last_writer_wins(void **state)
{
    (void)state;
    const uint64_t seed = number_from("MRD_TEST_SEED", (uint64_t)time(NULL));
    const uint64_t rounds = number_from("MRD_TEST_ROUNDS", 20);
    for (uint64_t i = 0; i < rounds; i++) {
        print_message("MRD_TEST_SEED=%lu MRD_TEST_ROUNDS=1: ", (unsigned long)(seed + i));
        run_model(seed + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_head_answers_like_a_map_with_last_writer_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
