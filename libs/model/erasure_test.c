#include "model/erasure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MATCHERS = 3 };

struct fixture {
    struct mrd_matcher matchers[MATCHERS];
    struct mrd_erasure_selector selectors[2];
    struct mrd_erasure erasure;
    struct mrd_arena *arena;
    struct mrd_buf encoded;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    static const struct {
        enum mrd_match_type type;
        const char *name;
        const char *value;
    } of[MATCHERS] = {
        {MRD_MATCH_EQ,  "__name__", "heart_rate"},
        {MRD_MATCH_RE,  "user",     "al.*"      },
        {MRD_MATCH_NRE, "user",     "a.*|"      },
    };
    for (size_t i = 0; i < MATCHERS; i++) {
        assert_int_equal(mrd_matcher_init(&fixture->matchers[i], of[i].type,
                                          mrd_bytes_of(of[i].name), mrd_bytes_of(of[i].value),
                                          NULL),
                         MRD_OK);
    }
    fixture->selectors[0] = (struct mrd_erasure_selector){fixture->matchers, 2};
    fixture->selectors[1] = (struct mrd_erasure_selector){fixture->matchers + 2, 1};
    fixture->erasure = (struct mrd_erasure){
        .id = {0x1122334455667788, 0x99aabbccddeeff00},
        .tenant = MRD_BYTES("farm"),
        .by = MRD_BYTES("10.0.0.7"),
        .hlc = 0x0123456789abcdef,
        .time_min_ms = -5,
        .time_max_ms = 1700000000000,
        .selectors = fixture->selectors,
        .selector_count = 2
    };
    fixture->arena = mrd_arena_create("test", 1 << 20);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < MATCHERS; i++) {
        mrd_matcher_fini(&fixture->matchers[i]);
    }
    mrd_arena_destroy(&fixture->arena);
    mrd_buf_fini(&fixture->encoded);
    free(fixture);
    return 0;
}

static void assert_is_that(const struct mrd_erasure *got, const struct mrd_erasure *want)
{
    assert_true(mrd_id128_equal(got->id, want->id));
    assert_true(mrd_bytes_equal(got->tenant, want->tenant));
    assert_true(mrd_bytes_equal(got->by, want->by));
    assert_true(got->hlc == want->hlc);
    assert_true(got->time_min_ms == want->time_min_ms && got->time_max_ms == want->time_max_ms);
    assert_int_equal(got->selector_count, want->selector_count);
    for (size_t i = 0; i < want->selector_count; i++) {
        assert_int_equal(got->selectors[i].matcher_count, want->selectors[i].matcher_count);
        for (size_t k = 0; k < want->selectors[i].matcher_count; k++) {
            const struct mrd_matcher *a = &got->selectors[i].matchers[k];
            const struct mrd_matcher *b = &want->selectors[i].matchers[k];
            assert_int_equal(a->type, b->type);
            assert_true(mrd_bytes_equal(a->name, b->name) && mrd_bytes_equal(a->value, b->value));
        }
    }
}

static void it_reads_back_as_it_was_written(void **state)
{
    struct fixture *fixture = *state;
    struct mrd_erasure got;
    assert_int_equal(mrd_erasure_encode(&fixture->erasure, &fixture->encoded, NULL), MRD_OK);
    assert_int_equal(
        mrd_erasure_decode(mrd_buf_view(&fixture->encoded), fixture->arena, &got, NULL), MRD_OK);
    assert_is_that(&got, &fixture->erasure);
    mrd_erasure_fini(&got);
}

static void one_selector_is_enough(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *name;
        const char *user;
        bool want;
    } cases[] = {
        {"heart_rate", "alice", true },
        {"heart_rate", "anna",  false},
        {"heart_rate", "bob",   true }, /* by the second */
        {"steps",      "alice", false},
        {"steps",      "bob",   true },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        const struct mrd_label items[] = {
            {MRD_BYTES("__name__"), mrd_bytes_of(cases[i].name)},
            {MRD_BYTES("user"),     mrd_bytes_of(cases[i].user)}
        };
        if (mrd_erasure_selects(&fixture->erasure, (struct mrd_labels){items, 2}) !=
            cases[i].want) {
            fail_msg("%s of %s", cases[i].name, cases[i].user);
        }
    }
    assert_true(mrd_erasure_has_time(&fixture->erasure, -5));
    assert_true(mrd_erasure_has_time(&fixture->erasure, 1700000000000));
    assert_false(mrd_erasure_has_time(&fixture->erasure, -6));
    assert_false(mrd_erasure_has_time(&fixture->erasure, 1700000000001));
}

static void what_is_beyond_the_bounds_is_not_written(void **state)
{
    struct fixture *fixture = *state;
    struct mrd_error err = {0};
    struct mrd_erasure erasure = fixture->erasure;
    erasure.selector_count = 0;
    assert_int_equal(mrd_erasure_encode(&erasure, &fixture->encoded, &err), MRD_E_INVALID);
    assert_non_null(strstr(err.text, "1 to 64 selectors"));
    erasure = fixture->erasure;
    fixture->selectors[1].matcher_count = 0;
    assert_int_equal(mrd_erasure_encode(&erasure, &fixture->encoded, &err), MRD_E_INVALID);
    fixture->selectors[1].matcher_count = 1;
    erasure.tenant = MRD_BYTES_NONE;
    assert_int_equal(mrd_erasure_encode(&erasure, &fixture->encoded, &err), MRD_E_INVALID);
    char *large = calloc(1, MRD_ERASURE_SIZE_MAX);
    assert_non_null(large);
    struct mrd_matcher matcher = {
        MRD_MATCH_EQ, MRD_BYTES("x"), {(const uint8_t *)large, MRD_ERASURE_SIZE_MAX},
          NULL
    };
    const struct mrd_erasure_selector selector = {&matcher, 1};
    erasure = fixture->erasure;
    erasure.selectors = &selector;
    erasure.selector_count = 1;
    assert_int_equal(mrd_erasure_encode(&erasure, &fixture->encoded, &err), MRD_E_INVALID);
    assert_int_equal(fixture->encoded.size, 0);
    free(large);
}

/* Every prefix and every changed byte: refused, or an erasure that can be written. */
static void wrong_bytes_are_refused_or_consistent(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(mrd_erasure_encode(&fixture->erasure, &fixture->encoded, NULL), MRD_OK);
    const struct mrd_bytes bytes = mrd_buf_view(&fixture->encoded);
    struct mrd_erasure got;
    for (size_t size = 0; size < bytes.size; size++) {
        mrd_arena_reset(fixture->arena);
        assert_int_equal(
            mrd_erasure_decode((struct mrd_bytes){bytes.data, size}, fixture->arena, &got, NULL),
            MRD_E_CORRUPT);
    }
    for (size_t i = 0; i < bytes.size; i++) {
        const uint8_t kept = fixture->encoded.data[i];
        for (unsigned value = 0; value < 256; value++) {
            fixture->encoded.data[i] = (uint8_t)value;
            mrd_arena_reset(fixture->arena);
            if (mrd_erasure_decode(bytes, fixture->arena, &got, NULL) == MRD_OK) {
                struct mrd_buf again = {0};
                assert_int_equal(mrd_erasure_encode(&got, &again, NULL), MRD_OK);
                mrd_buf_fini(&again);
                mrd_erasure_fini(&got);
            }
        }
        fixture->encoded.data[i] = kept;
    }
    fixture->encoded.data[0] = 2;
    assert_int_equal(mrd_erasure_decode(bytes, fixture->arena, &got, NULL), MRD_E_UNSUPPORTED);
}

/* docs/formats/erasure.md and the code are held together by this file. */
static const struct {
    enum mrd_match_type type;
    const char *name;
    const char *value;
    mrd_time_ms min_ms;
    mrd_time_ms max_ms;
    bool is;
} tenant_cases[] = {
    {MRD_MATCH_RE,  "__name__", ".*", MRD_ERASURE_TIME_MIN_MS,     MRD_ERASURE_TIME_MAX_MS,     true },
    {MRD_MATCH_RE,  "__name__", ".*", INT64_MIN,                   INT64_MAX,                   true },
    {MRD_MATCH_RE,  "__name__", ".*", MRD_ERASURE_TIME_MIN_MS + 1, MRD_ERASURE_TIME_MAX_MS,     false},
    {MRD_MATCH_RE,  "__name__", ".*", MRD_ERASURE_TIME_MIN_MS,     MRD_ERASURE_TIME_MAX_MS - 1, false},
    {MRD_MATCH_RE,  "__name__", ".+", MRD_ERASURE_TIME_MIN_MS,     MRD_ERASURE_TIME_MAX_MS,     false},
    {MRD_MATCH_NRE, "__name__", ".*", MRD_ERASURE_TIME_MIN_MS,     MRD_ERASURE_TIME_MAX_MS,     false},
    {MRD_MATCH_RE,  "job",      ".*", MRD_ERASURE_TIME_MIN_MS,     MRD_ERASURE_TIME_MAX_MS,     false},
    {MRD_MATCH_EQ,  "__name__", ".*", MRD_ERASURE_TIME_MIN_MS,     MRD_ERASURE_TIME_MAX_MS,     false},
};

static void one_of_all_that_there_is_deletes_the_tenant(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(tenant_cases); i++) {
        struct mrd_matcher matchers[2];
        for (size_t k = 0; k < 2; k++) {
            assert_int_equal(mrd_matcher_init(&matchers[k], tenant_cases[i].type,
                                              mrd_bytes_of(tenant_cases[i].name),
                                              mrd_bytes_of(tenant_cases[i].value), NULL),
                             MRD_OK);
        }
        const struct mrd_erasure_selector selectors[] = {
            {matchers, 1},
            {matchers, 1},
            {matchers, 2},
        };
        struct mrd_erasure erasure = {.time_min_ms = tenant_cases[i].min_ms,
                                      .time_max_ms = tenant_cases[i].max_ms,
                                      .selectors = selectors,
                                      .selector_count = 1};
        assert_int_equal(mrd_erasure_is_of_tenant(&erasure), tenant_cases[i].is);
        erasure.selector_count = 2;
        assert_false(mrd_erasure_is_of_tenant(&erasure));
        erasure.selectors = selectors + 2;
        erasure.selector_count = 1;
        assert_false(mrd_erasure_is_of_tenant(&erasure));
        mrd_matcher_fini(&matchers[0]);
        mrd_matcher_fini(&matchers[1]);
    }
}

static void the_golden_file_reads_and_writes(void **state)
{
    static const char path[] = "tests/golden/erasure_v1.bin";
    struct fixture *fixture = *state;
    assert_int_equal(mrd_erasure_encode(&fixture->erasure, &fixture->encoded, NULL), MRD_OK);
    if (getenv("MRD_GOLDEN_WRITE") != NULL) {
        FILE *out = fopen(path, "wb");
        assert_non_null(out);
        assert_int_equal(fwrite(fixture->encoded.data, 1, fixture->encoded.size, out),
                         fixture->encoded.size);
        assert_int_equal(fclose(out), 0);
    }
    uint8_t golden[1024];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t size = fread(golden, 1, sizeof(golden), file);
    (void)fclose(file);
    assert_true(mrd_bytes_equal((struct mrd_bytes){golden, size}, mrd_buf_view(&fixture->encoded)));
    struct mrd_erasure got;
    assert_int_equal(
        mrd_erasure_decode((struct mrd_bytes){golden, size}, fixture->arena, &got, NULL), MRD_OK);
    assert_is_that(&got, &fixture->erasure);
    mrd_erasure_fini(&got);
}

#define ERASURE_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ERASURE_TEST(it_reads_back_as_it_was_written),
        ERASURE_TEST(one_selector_is_enough),
        ERASURE_TEST(what_is_beyond_the_bounds_is_not_written),
        ERASURE_TEST(wrong_bytes_are_refused_or_consistent),
        ERASURE_TEST(the_golden_file_reads_and_writes),
        cmocka_unit_test(one_of_all_that_there_is_deletes_the_tenant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
