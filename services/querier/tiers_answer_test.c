/* Answers over heads and blocks: the same bytes wherever the border lies, whatever is built, merged and trimmed meanwhile; and what
 * is said where something is missing. */
#include "querier/tiers_rig.h"

enum { ROUNDS = 10 };

static const struct {
    const char *text;
    mrd_time_ms step_ms;
} queries[] = {
    {"gauge",                                                          0     },
    {"gauge",                                                          60000 },
    {"sum(gauge)",                                                     30000 },
    {"sum by (zone) (rate(counter_total[5m]))",                        30000 },
    {"avg without (device) (gauge) + on (zone) sum by (zone) (gauge)", 60000 },
    {"topk(3, sum_over_time(gauge[20m]))",                             0     },
    {"stddev(gauge offset 10m)",                                       60000 },
    {"max_over_time(rate(counter_total[2m])[20m:1m])",                 120000},
    {"count_over_time(gauge{device=~\"1.*\"}[1h])",                    0     },
    {"gauge @ 1700000900",                                             600000},
    {"absent(gauge{device=\"none\"})",                                 0     },
    {"quantile(0.9, {zone=\"zone-1\"})",                               30000 },
    {"sum(increase(counter_total[10m])) / count(counter_total)",       60000 },
    {"present_over_time({__name__=~\"gauge|counter_total\"}[30s])",    45000 },
    {"sort_desc(last_over_time(gauge[1h]))",                           0     },
};

/* ---- lists ---- */

enum list { NAMES, VALUES, SERIES_OF, LISTS };

static void ask_list(struct rig *rig, enum list list, mrd_time_ms min_ms, mrd_time_ms max_ms,
                     size_t limit, struct mrd_buf *out)
{
    struct rig_query query;
    struct mrd_error err = {0};
    struct mrd_texts texts;
    struct mrd_label_sets sets;
    const struct mrd_label_query asked = {.min_ms = min_ms, .max_ms = max_ms, .limit = limit};
    assert_int_equal(rig_query_open(rig, &query, &err), MRD_OK);
    const struct mrd_source *source = &query.source;
    const enum mrd_status status =
        list == NAMES    ? source->label_names(source->context, &asked, &query.scope, &texts, &err)
        : list == VALUES ? source->label_values(source->context, MRD_BYTES("device"), &asked,
                                                &query.scope, &texts, &err)
                         : source->series(source->context, &asked, &query.scope, &sets, &err);
    if (status != MRD_OK) {
        fail_msg("%s", err.text);
    }
    mrd_buf_clear(out);
    if (list == SERIES_OF) {
        qry_json_label_sets(&sets, &query.annotations, NULL, out);
    } else {
        qry_json_texts(&texts, &query.annotations, NULL, out);
    }
    rig_query_close(&query);
}

/* ---- all answers ---- */

enum { ANSWERS = MRD_ARRAY_LEN(queries) + 2 * LISTS };
struct answers {
    struct mrd_buf texts[ANSWERS];
};

static void answers_fini(struct answers *answers)
{
    for (size_t i = 0; i < ANSWERS; i++) {
        mrd_buf_fini(&answers->texts[i]);
    }
}

static void ask_all(struct rig *rig, struct answers *out)
{
    const mrd_time_ms end_ms = T0 + (mrd_time_ms)SEQUENCES * STEP_MS;
    for (size_t i = 0; i < MRD_ARRAY_LEN(queries); i++) {
        struct mrd_error err = {0};
        if (rig_ask(rig, queries[i].text, queries[i].step_ms, &out->texts[i], &err) != MRD_OK) {
            fail_msg("%s: %s", queries[i].text, err.text);
        }
    }
    for (size_t i = 0; i < LISTS; i++) {
        struct mrd_buf *texts = &out->texts[MRD_ARRAY_LEN(queries) + 2 * i];
        ask_list(rig, (enum list)i, T0, end_ms, 0, &texts[0]);
        ask_list(rig, (enum list)i, T0, end_ms, 2, &texts[1]);
    }
}

static void assert_same(const struct answers *want, const struct answers *got)
{
    for (size_t i = 0; i < ANSWERS; i++) {
        if (!mrd_bytes_equal(mrd_buf_view(&want->texts[i]), mrd_buf_view(&got->texts[i]))) {
            fail_msg("answer %zu (%s): wanted\n%.*s\ngot\n%.*s", i,
                     i < MRD_ARRAY_LEN(queries) ? queries[i].text : "a list",
                     MRD_FMT(want->texts[i]), MRD_FMT(got->texts[i]));
        }
    }
}

static const uint64_t all_in_heads[PARTITIONS] = {1, 1, 1};

/* What the log gives without any block. */
static void ask_whole(struct rig *rig, struct answers *out)
{
    rig_heads_set(rig, all_in_heads);
    ask_all(rig, out);
    assert_true(out->texts[1].size > 2000); /* there is something to compare */
}

static void build_all(struct rig *rig, uint64_t built[PARTITIONS])
{
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        rig_build(rig, p, 0, built[p]);
    }
}

/* ---- tests ---- */

static uint64_t counter_value(struct rig *rig, const char *name)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    char start[128];
    mrd_metrics_write(rig->metrics, &text);
    mrd_buf_append_u8(&text, 0);
    (void)snprintf(start, sizeof(start), "\n%s ", name);
    const char *at = strstr((const char *)text.data, start);
    assert_non_null(at);
    return strtoull(at + strlen(start), NULL, 10);
}

/* Blocks up to a random sequence of each partition, heads from one that is not behind it; in every other round a first part is merged. */
static void the_answer_is_that_of_heads_alone(void **state)
{
    struct rig *rig = *state;
    const char *seed = getenv("MRD_TEST_SEED");
    random_state = seed == NULL ? 20261127 : strtoull(seed, NULL, 10);
    for (size_t round = 0; round < ROUNDS; round++) {
        mrd_auto(answers_fini)
        struct answers whole = {0};
        mrd_auto(answers_fini)
        struct answers split = {0};
        uint64_t merged[PARTITIONS];
        uint64_t built[PARTITIONS];
        uint64_t first[PARTITIONS];
        rig_open(rig);
        rig_log_make();
        ask_whole(rig, &whole);
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            built[p] = 100 + below(SEQUENCES - 100);
            merged[p] = round % 2 == 0 ? 0 : 50 + below(50);
            first[p] = 1 + below(built[p] + 1);
        }
        build_all(rig, merged);
        if (round % 2 == 1) {
            rig_merge(rig, merged);
        }
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            rig_build(rig, p, merged[p], built[p]);
        }
        rig_refresh(rig);
        rig_heads_set(rig, first);
        ask_all(rig, &split);
        assert_same(&whole, &split);
        rig_close(rig);
    }
    assert_true(counter_value(rig, "meridian_querier_blocks_read_total") > ROUNDS * ANSWERS);
}

/* Heads begin where the newest blocks end, and nothing has told the querier of these: it finds out, and no answer is short. */
static void what_was_built_and_trimmed_meanwhile_is_seen(void **state)
{
    struct rig *rig = *state;
    mrd_auto(answers_fini)
    struct answers whole = {0};
    mrd_auto(answers_fini)
    struct answers after = {0};
    uint64_t built[PARTITIONS] = {150, 200, SEQUENCES};
    const uint64_t first[PARTITIONS] = {151, 201, SEQUENCES + 1};
    rig_open(rig);
    rig_log_make();
    ask_whole(rig, &whole);
    build_all(rig, built);
    rig_heads_set(rig, first);
    ask_all(rig, &after);
    assert_same(&whole, &after);
    rig_close(rig);
}

/* The log was trimmed for nothing: a warning, each time; storage is asked once. */
static void a_gap_is_told(void **state)
{
    struct rig *rig = *state;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf answer = {0};
    struct mrd_error err = {0};
    const uint64_t first[PARTITIONS] = {1, 120, 1};
    uint64_t built[PARTITIONS] = {0, 100, 0};
    rig_open(rig);
    rig_log_make();
    build_all(rig, built);
    rig_heads_set(rig, first);
    const uint64_t before = counter_value(rig, "meridian_querier_blocks_gaps_total");
    for (int i = 0; i < 3; i++) {
        (void)mrd_fault_store_disarm(rig->faults); /* counts anew */
        assert_int_equal(rig_ask(rig, "count(gauge)", 60000, &answer, &err), MRD_OK);
        mrd_buf_append_u8(&answer, 0);
        assert_non_null(strstr((const char *)answer.data,
                               "possible gap: the log of partition 1 was trimmed before blocks had "
                               "it: heads begin at sequence 120, blocks end before 101"));
    }
    assert_int_equal(counter_value(rig, "meridian_querier_blocks_gaps_total"), before + 3);
    assert_int_equal(rig_ask(rig, "1 + 1", 0, &answer, &err), MRD_OK);
    (void)mrd_fault_store_disarm(rig->faults);
    assert_int_equal(rig_ask(rig, "count(elsewhere)", 60000, &answer, &err), MRD_OK);
    assert_int_equal(mrd_fault_store_calls(rig->faults), 0);
    rig_build(rig, 1, 100, 119); /* the builder comes after all */
    rig_refresh(rig);
    assert_int_equal(rig_ask(rig, "count(gauge)", 60000, &answer, &err), MRD_OK);
    mrd_buf_append_u8(&answer, 0);
    assert_null(strstr((const char *)answer.data, "warnings"));
    rig_close(rig);
}

/* A query goes on with the blocks that it began with; their files are there until the grace is over. */
static void a_merge_under_a_query_takes_nothing_from_it(void **state)
{
    struct rig *rig = *state;
    mrd_auto(answers_fini)
    struct answers whole = {0};
    mrd_auto(answers_fini)
    struct answers after = {0};
    uint64_t built[PARTITIONS] = {SEQUENCES, SEQUENCES, SEQUENCES};
    const uint64_t first[PARTITIONS] = {SEQUENCES + 1, SEQUENCES + 1, SEQUENCES + 1};
    struct rig_query query;
    struct mrd_error err = {0};
    struct mrd_catalog_swept swept;
    rig_open(rig);
    rig_log_make();
    ask_whole(rig, &whole);
    build_all(rig, built);
    rig_heads_set(rig, first);
    rig_refresh(rig);
    const struct mrd_select select = {.min_ms = T0, .max_ms = INT64_MAX};
    struct mrd_source_set *set = NULL;
    assert_int_equal(rig_query_open(rig, &query, &err), MRD_OK);
    rig_merge(rig, built);
    assert_int_equal(mrd_catalog_sweep(rig->catalog, "blocks/", NULL, &swept, &err), MRD_OK);
    assert_int_equal(swept.gone, 0);
    rig_refresh(rig);
    assert_int_equal(query.source.open(query.source.context, &select, &query.scope, &set, &err),
                     MRD_OK);
    size_t count = 0;
    struct mrd_source_series series;
    bool more = false;
    while (query.source.next(set, &series, &more, &err) == MRD_OK && more) {
        mrd_time_ms times_ms[SEQUENCES];
        double values[SEQUENCES];
        size_t at = 0;
        while (!mrd_labels_equal(rig_series[at].labels, series.labels)) {
            assert_true(++at < SERIES);
        }
        assert_int_equal(series.samples.count,
                         rig_samples(&rig_series[at], 1, SEQUENCES, times_ms, values));
        assert_memory_equal(series.samples.values, values, series.samples.count * sizeof(double));
        count++;
    }
    assert_int_equal(count, SERIES);
    query.source.close(set);
    rig_query_close(&query);
    ask_all(rig, &after);
    assert_same(&whole, &after);
    rig_close(rig);
}

/* ---- bad days ---- */

/* Some blocks are needed, and the n-th call of the store and all behind it fail. */
static void storage_that_fails_is_an_error_or_a_warning(void **state)
{
    struct rig *rig = *state;
    uint64_t built[PARTITIONS] = {150, 200, 100};
    const uint64_t first[PARTITIONS] = {151, 201, 1};
    rig_open(rig);
    rig_log_make();
    build_all(rig, built);
    rig_heads_set(rig, first);
    rig_refresh(rig);
    for (int partial = 0; partial < 2; partial++) {
        bool happened = true;
        rig->partial = partial != 0;
        for (uint64_t nth = 1; happened; nth++) {
            mrd_auto(mrd_buf_fini)
            struct mrd_buf answer = {0};
            struct mrd_error err = {0};
            mrd_fault_store_arm(rig->faults, &(struct mrd_fault){.nth = nth, .crash = true});
            const enum mrd_status status =
                rig_ask(rig, "sum_over_time(gauge[1h])", 0, &answer, &err);
            happened = mrd_fault_store_disarm(rig->faults);
            mrd_buf_append_u8(&answer, 0);
            if (!happened) {
                assert_int_equal(status, MRD_OK);
                assert_null(strstr((const char *)answer.data, "partial answer"));
            } else if (!rig->partial) {
                assert_int_equal(status, MRD_E_UNAVAILABLE);
                assert_non_null(strstr(err.text, "which the range needs, cannot be read"));
            } else {
                assert_int_equal(status, MRD_OK);
                assert_non_null(strstr((const char *)answer.data, "partial answer: block "));
            }
        }
    }
    rig_close(rig);
}

/* Object storage is away when the querier starts: selects fail, or answer from heads with a warning; what selects nothing does not care. */
static void a_catalog_that_was_never_read_is_told(void **state)
{
    struct rig *rig = *state;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf answer = {0};
    struct mrd_error err = {0};
    rig_open(rig);
    rig_log_make();
    rig_heads_set(rig, all_in_heads);
    qry_blocks_destroy(&rig->blocks);
    mrd_fault_store_arm(rig->faults, &(struct mrd_fault){.nth = 1, .crash = true});
    rig_blocks_start(rig);
    assert_int_equal(rig_ask(rig, "count(gauge)", 60000, &answer, &err), MRD_E_UNAVAILABLE);
    assert_non_null(strstr(err.text, "the catalog of blocks in object storage was not read yet"));
    assert_int_equal(rig_ask(rig, "1 + 1", 0, &answer, &err), MRD_OK);
    rig->partial = true;
    assert_int_equal(rig_ask(rig, "count(gauge)", 60000, &answer, &err), MRD_OK);
    mrd_buf_append_u8(&answer, 0);
    assert_non_null(strstr((const char *)answer.data, "partial answer: the catalog of blocks"));
    (void)mrd_fault_store_disarm(rig->faults);
    rig->partial = false;
    rig_refresh(rig); /* it is back */
    assert_int_equal(rig_ask(rig, "count(gauge)", 60000, &answer, &err), MRD_OK);
    rig_close(rig);
}

/* ---- out of touch ---- */

/* A request to erase a device, which another querier has put into the catalog. */
static void erase_device(struct rig *rig, const char *device, uint64_t number)
{
    const uint64_t sequences[PARTITIONS] = {SEQUENCES + 9, SEQUENCES + 9, SEQUENCES + 9};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf encoded = {0};
    struct mrd_error err = {0};
    struct mrd_matcher matcher;
    struct mrd_catalog_request object;
    assert_int_equal(
        mrd_matcher_init(&matcher, MRD_MATCH_EQ, MRD_BYTES("device"), mrd_bytes_of(device), &err),
        MRD_OK);
    const struct mrd_erasure_selector selector = {&matcher, 1};
    const struct mrd_erasure erasure = {
        .id = {number, 7},
        .tenant = TENANT,
        .hlc = number,
        .time_max_ms = INT64_MAX,
        .selectors = &selector,
        .selector_count = 1
    };
    assert_int_equal(mrd_erasure_encode(&erasure, &encoded, &err), MRD_OK);
    assert_int_equal(mrd_catalog_request_put(rig->files, erasure.id, mrd_buf_view(&encoded), NULL,
                                             &object, &err),
                     MRD_OK);
    const struct mrd_catalog_erasure_change change = {
        .id = erasure.id,
        .tenant = erasure.tenant,
        .hlc = erasure.hlc,
        .time_max_ms = erasure.time_max_ms,
        .request_key = mrd_bytes_of(object.key),
        .request_digest = mrd_bytes_of(object.digest),
        .sequences = sequences,
        .partition_count = PARTITIONS,
    };
    rig_commit(rig, &(struct mrd_catalog_change){.erasures = &change, .erasure_count = 1});
    mrd_matcher_fini(&matcher);
}

static bool shows(struct rig *rig, const char *device)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf answer = {0};
    struct mrd_error err = {0};
    char quoted[32];
    (void)snprintf(quoted, sizeof(quoted), "\"device\":\"%s\"", device);
    if (rig_ask(rig, "sum_over_time(gauge[1h])", 0, &answer, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    mrd_buf_append_u8(&answer, 0);
    return strstr((const char *)answer.data, quoted) != NULL;
}

/* The querier's own membership, once its beats come back. */
static struct mrd_members *be_heard(struct rig *rig)
{
    const struct mrd_member self = {.kind = MRD_MEMBER_QUERIER, .instance = "querier-1"};
    struct mrd_members *members = NULL;
    assert_int_equal(mrd_members_create(rig->cluster.bus,
                                        &(struct mrd_members_options){.self = &self}, &members,
                                        NULL),
                     MRD_OK);
    while (!mrd_members_standing(members).heard) {
        usleep(1000);
    }
    return members;
}

static void who_is_not_heard_goes_by_the_catalog_of_now(void **state)
{
    struct rig *rig = *state;
    uint64_t built[PARTITIONS] = {SEQUENCES, SEQUENCES, SEQUENCES};
    const uint64_t first[PARTITIONS] = {SEQUENCES + 1, SEQUENCES + 1, SEQUENCES + 1};
    mrd_auto(mrd_buf_fini)
    struct mrd_buf answer = {0};
    struct mrd_error err = {0};
    struct qry_erasures *erasures = NULL;
    struct mrd_members *looking = rig->cluster.members; /* which says nothing, so nobody hears it */
    rig_open(rig);
    rig_log_make();
    build_all(rig, built);
    rig_heads_set(rig, first);
    rig_refresh(rig);
    const struct qry_erasures_options options = {.bus = rig->cluster.bus,
                                                 .partition_count = PARTITIONS,
                                                 .region = "r",
                                                 .instance = "querier-1",
                                                 .has_blocks = true,
                                                 .metrics = rig->metrics};
    assert_int_equal(qry_erasures_create(&options, &erasures, &err), MRD_OK);
    qry_erasures_set_blocks(erasures, rig->blocks);

    erase_device(rig, "0", 1);
    assert_true(shows(rig, "0")); /* by the state of before */
    rig->erasures = erasures;
    assert_false(shows(rig, "0"));
    assert_true(shows(rig, "2"));
    erase_device(rig, "2", 2);
    assert_false(shows(rig, "2"));

    /* Without storage nobody knows: what needs blocks fails, or goes without. */
    mrd_fault_store_arm(rig->faults, &(struct mrd_fault){.nth = 1, .crash = true});
    assert_int_equal(rig_ask(rig, "count(gauge)", 60000, &answer, &err), MRD_E_UNAVAILABLE);
    assert_int_equal(rig_ask(rig, "1 + 1", 0, &answer, &err), MRD_OK);
    rig->partial = true;
    assert_int_equal(rig_ask(rig, "count(gauge)", 60000, &answer, &err), MRD_OK);
    mrd_buf_append_u8(&answer, 0);
    assert_non_null(strstr((const char *)answer.data, "partial answer: the catalog of blocks"));
    (void)mrd_fault_store_disarm(rig->faults);
    rig->partial = false;

    /* Who is heard is told by the others, and reads the catalog once. */
    rig->cluster.members = be_heard(rig);
    rig_heads_set(rig, first);
    assert_false(qry_erasures_in_touch(erasures, rig->cluster.members));
    assert_false(shows(rig, "2"));
    assert_true(qry_erasures_in_touch(erasures, rig->cluster.members));
    erase_device(rig, "4", 3);
    assert_true(shows(rig, "4"));

    rig->erasures = NULL;
    mrd_members_destroy(&rig->cluster.members);
    rig->cluster.members = looking;
    qry_erasures_destroy(&erasures);
    rig_close(rig);
}

/* The state is as it was two hours ago: what heads have goes on, what needs blocks does not. */
static void a_stale_catalog_answers_what_heads_have(void **state)
{
    struct rig *rig = *state;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf answer = {0};
    struct mrd_error err = {0};
    uint64_t built[PARTITIONS] = {100, 100, 100};
    const uint64_t first[PARTITIONS] = {50, 101, 50};
    rig_open(rig);
    rig_log_make();
    build_all(rig, built);
    rig_refresh(rig);
    rig_heads_set(rig, all_in_heads);
    atomic_store(&rig->ahead_ns, (int64_t)7200 * 1000000000);
    assert_int_equal(rig_ask(rig, "count(gauge)", 60000, &answer, &err), MRD_OK);
    rig_heads_set(rig, first);
    assert_int_equal(rig_ask(rig, "count(gauge)", 60000, &answer, &err), MRD_E_UNAVAILABLE);
    assert_non_null(strstr(err.text, "was last read 2h"));
    assert_non_null(strstr(err.text, "querier.block_stale_max"));
    rig->partial = true;
    assert_int_equal(rig_ask(rig, "count(gauge)", 60000, &answer, &err), MRD_OK);
    mrd_buf_append_u8(&answer, 0);
    assert_non_null(strstr((const char *)answer.data, "partial answer: the query needs blocks"));
    rig_close(rig);
}

/* The log was trimmed further than the state says, and storage does not tell what was built. */
static void a_trimmed_log_without_storage_is_an_error(void **state)
{
    struct rig *rig = *state;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf answer = {0};
    struct mrd_error err = {0};
    const uint64_t first[PARTITIONS] = {1, 120, 1};
    rig_open(rig);
    rig_log_make();
    rig_heads_set(rig, first);
    mrd_fault_store_arm(rig->faults, &(struct mrd_fault){.nth = 1, .crash = true});
    assert_int_equal(rig_ask(rig, "count(gauge)", 60000, &answer, &err), MRD_E_UNAVAILABLE);
    assert_non_null(strstr(err.text, "the catalog of blocks in object storage cannot be read"));
    rig->partial = true;
    assert_int_equal(rig_ask(rig, "count(gauge)", 60000, &answer, &err), MRD_OK);
    mrd_buf_append_u8(&answer, 0);
    assert_non_null(strstr((const char *)answer.data, "partial answer"));
    (void)mrd_fault_store_disarm(rig->faults);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_is_that_of_heads_alone),
        cmocka_unit_test(what_was_built_and_trimmed_meanwhile_is_seen),
        cmocka_unit_test(a_gap_is_told),
        cmocka_unit_test(a_merge_under_a_query_takes_nothing_from_it),
        cmocka_unit_test(storage_that_fails_is_an_error_or_a_warning),
        cmocka_unit_test(a_catalog_that_was_never_read_is_told),
        cmocka_unit_test(who_is_not_heard_goes_by_the_catalog_of_now),
        cmocka_unit_test(a_stale_catalog_answers_what_heads_have),
        cmocka_unit_test(a_trimmed_log_without_storage_is_an_error),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
