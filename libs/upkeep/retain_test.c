/* Rules of retention: what they have let go leaves the blocks of every level, the rest stays, and nothing is written anew twice. */
#include "base/testing_rounds.h"
#include "upkeep/retain.h"
#include "upkeep/testing_internal.h"

static struct region region;

/* One rule for all tenants. */
struct rule {
    struct mrd_matcher matcher;
    struct mrd_erasure_selector selector;
    struct mrd_erasure erasure;
    struct mrd_upkeep_retain retain;
};

static const struct mrd_erasure *rules_of(void *context, struct mrd_bytes tenant,
                                          mrd_time_ms resolution_ms, size_t *out_count)
{
    struct rule *rule = context;
    (void)resolution_ms;
    *out_count = mrd_bytes_equal(tenant, MRD_BYTES("tenant-1")) ? 0 : 1; /* it keeps everything */
    return &rule->erasure;
}

/* Series whose instance the pattern matches go up to the end of day `days` of the region. */
static void rule_open(struct rule *rule, const char *pattern, int days)
{
    *rule = (struct rule){
        .retain = {.rules = rules_of, .context = rule, .known = mrd_upkeep_retained_create(0)}
    };
    assert_int_equal(mrd_matcher_init(&rule->matcher, MRD_MATCH_RE, MRD_BYTES("instance"),
                                      mrd_bytes_of(pattern), NULL),
                     MRD_OK);
    rule->selector = (struct mrd_erasure_selector){&rule->matcher, 1};
    rule->erasure = (struct mrd_erasure){
        .id = {1, 2},
        .time_min_ms = INT64_MIN,
        .time_max_ms = REGION_BASE_MS + days * REGION_DAY_MS - 1,
        .selectors = &rule->selector,
        .selector_count = 1
    };
    region.retain = &rule->retain;
}

static void rule_close(struct rule *rule)
{
    region.retain = NULL;
    mrd_matcher_fini(&rule->matcher);
    mrd_upkeep_retained_destroy(&rule->retain.known);
}

/* The region has nothing of series 1 up to that time any more. */
static void forget(const struct rule *rule)
{
    for (size_t t = 0; t < REGION_TENANTS; t += 2) {
        for (size_t i = 0; i < REGION_TIMES; i++) {
            if (region_time(i) <= rule->erasure.time_max_ms) {
                region.model[t][1][i] = (struct region_write){0};
            }
        }
    }
}

static void write_some(void) { (void)region_write(&region, 50, region.now_ms - 2 * 3600 * 1000); }

static void expect_all(void)
{
    struct region_found found;
    region_expect_model(&region, true);
    region_find_tables(&region, &found);
    region_same(&region, &found);
}

static void what_has_passed_goes_at_every_level(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= testing_rounds(4); seed++) {
        struct rule rule;
        region_open(&region, 300 + seed);
        region.workers = 1 + seed % 2;
        write_some();
        region_settle(&region);
        expect_all();
        rule_open(&rule, "host-1", 1); /* a file of a day */
        region_settle(&region);
        forget(&rule);
        expect_all();

        write_some(); /* some of it is late, and goes with the merge */
        rule.erasure.time_max_ms += REGION_DAY_MS;
        region_settle(&region);
        forget(&rule);
        expect_all();

        region.now_ms += 35 * REGION_DAY_MS; /* days become months; January has passed already */
        region_settle(&region);
        expect_all();
        rule.erasure.time_max_ms += REGION_DAY_MS;
        const uint64_t before = region_commits(&region);
        region_settle(&region); /* February has not as a whole */
        assert_int_equal(region_commits(&region), before);
        rule.erasure.time_max_ms = REGION_BASE_MS + 40 * REGION_DAY_MS;
        region_settle(&region);
        forget(&rule);
        expect_all();
        rule_close(&rule);
        region_close(&region);
    }
}

static size_t planned(enum mrd_upkeep_kind kind)
{
    struct mrd_error err = {0};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("plan", REGION_CHECK_BYTES);
    const struct mrd_upkeep_plan_options plan = region_plan(&region);
    struct mrd_upkeep_index index;
    const struct mrd_upkeep_unit *units;
    size_t count;
    size_t found = 0;
    struct mrd_catalog_state *state = mrd_catalog_pin(region.catalog);
    mrd_upkeep_index_init(&index, state);
    region_must(mrd_upkeep_plan(state, &index, &plan, arena, &units, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        found += units[i].kind == kind;
        assert_true(units[i].kind != kind || units[i].block_count > 0);
    }
    mrd_upkeep_index_fini(&index);
    mrd_catalog_unpin(&state);
    return found;
}

/* Files are looked at once, and written anew if they have something. */
static void what_has_nothing_of_a_rule_is_looked_at_once(void **state)
{
    (void)state;
    struct rule rule;
    region_open(&region, 5);
    write_some();
    region_settle(&region);
    const uint64_t before = region_commits(&region);

    rule_open(&rule, "nobody-1", 4); /* one value: the Bloom filter says it */
    assert_int_equal(planned(MRD_UPKEEP_RETAIN), 0);
    rule_close(&rule);

    rule_open(&rule, "nobody-.+", 4);                /* the sidecars have to */
    assert_int_equal(planned(MRD_UPKEEP_RETAIN), 4); /* two tenants, two months */
    region_settle(&region);
    assert_int_equal(planned(MRD_UPKEEP_RETAIN), 0);
    assert_int_equal(region_commits(&region), before);
    rule.erasure.id.low++; /* another rule */
    assert_int_equal(planned(MRD_UPKEEP_RETAIN), 4);
    rule_close(&rule);

    rule_open(&rule, "host-1", 0); /* no day has passed */
    assert_int_equal(planned(MRD_UPKEEP_RETAIN), 0);
    rule.erasure.time_max_ms += REGION_DAY_MS;
    assert_int_equal(planned(MRD_UPKEEP_RETAIN), 2);
    region_settle(&region);
    assert_int_equal(planned(MRD_UPKEEP_RETAIN), 0);
    assert_true(region_commits(&region) > before);
    forget(&rule);
    expect_all();
    rule_close(&rule);

    rule_open(&rule, "host-.", 4); /* all that there is */
    region_settle(&region);
    for (size_t t = 0; t < REGION_TENANTS; t += 2) {
        memset(region.model[t], 0, sizeof(region.model[t]));
    }
    expect_all();
    rule_close(&rule);
    region_close(&region);
}

/* More than fits is forgotten, and looked at anew. */
static void files_that_are_known_are_bounded(void **state)
{
    (void)state;
    struct rule rule;
    region_open(&region, 6);
    write_some();
    region_settle(&region);
    const uint64_t before = region_commits(&region);
    rule_open(&rule, "nobody-.+", 4);
    mrd_upkeep_retained_destroy(&rule.retain.known);
    rule.retain.known = mrd_upkeep_retained_create(7); /* of eight files */
    for (size_t i = 0; i < 3; i++) {
        region_settle(&region);
        assert_true(planned(MRD_UPKEEP_RETAIN) > 0);
    }
    assert_int_equal(region_commits(&region), before);
    rule_close(&rule);
    region_close(&region);
}

/* A request to erase and a rule that have the same: the request is settled all the same. */
static void a_rule_and_a_request_meet(void **state)
{
    (void)state;
    struct rule rule;
    region_open(&region, 9);
    write_some();
    region_settle(&region);
    rule_open(&rule, "host-1", 2);
    region_erase(&region,
                 (struct region_request){.tenant = 0, .series = 1, .last = REGION_TIMES - 1}, 0);
    assert_true(region_owed(&region) > 0);
    region_settle(&region);
    assert_int_equal(region_owed(&region), 0);
    forget(&rule);
    expect_all();
    rule_close(&rule);
    region_close(&region);
}

/* ---- crashes ---- */

/* Nothing that is to stay is missing. */
static void expect_nothing_lost(void)
{
    struct region_found found;
    region_find(&region, 0, MRD_BLOCK_LEVEL_MAX, &found);
    for (size_t t = 0; t < REGION_TENANTS; t++) {
        for (size_t s = 0; s < REGION_SERIES; s++) {
            for (size_t i = 0; i < REGION_TIMES; i++) {
                const struct region_write *want = &region.model[t][s][i];
                assert_true(!want->there || (found.writes[t][s][i].there &&
                                             found.writes[t][s][i].value == want->value));
            }
        }
    }
    region_expect_rollups(&region);
}

static bool fail_at(uint64_t nth, bool crash)
{
    struct mrd_error err = {0};
    struct rule rule;
    size_t done = 0;
    region_open(&region, 11);
    region.tenants = 1;
    write_some();
    region_settle(&region);
    rule_open(&rule, "host-1", 1);
    forget(&rule);
    const struct mrd_fault fault = {.nth = nth, .when = MRD_FAULT_AFTER, .crash = crash};
    mrd_fault_store_arm(region.store, &fault);
    const enum mrd_status status =
        region_round(&region, region.catalog, region.store, &done, NULL, &err);
    const bool came = mrd_fault_store_disarm(region.store);
    if (!came) {
        region_must(status, &err);
        assert_int_equal(done, 1);
    }
    expect_nothing_lost();
    if (crash) { /* a dead process has nothing left in memory */
        mrd_catalog_close(&region.catalog);
        region.catalog = region_open_catalog(&region, region.store);
        rule_close(&rule);
        rule_open(&rule, "host-1", 1);
    }
    region_settle(&region);
    expect_all();
    rule_close(&rule);
    region_close(&region);
    return came;
}

static void walk(bool crash)
{
    uint64_t nth = 1;
    while (fail_at(nth, crash)) {
        nth += testing_stride();
        assert_true(nth < 1000);
    }
    assert_true(nth > 20); /* it was a walk */
}

static void a_rewriting_may_die_anywhere(void **state)
{
    (void)state;
    walk(true);
}
static void a_rewriting_may_lose_any_call(void **state)
{
    (void)state;
    walk(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_passed_goes_at_every_level),
        cmocka_unit_test(what_has_nothing_of_a_rule_is_looked_at_once),
        cmocka_unit_test(files_that_are_known_are_bounded),
        cmocka_unit_test(a_rule_and_a_request_meet),
        cmocka_unit_test(a_rewriting_may_die_anywhere),
        cmocka_unit_test(a_rewriting_may_lose_any_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
