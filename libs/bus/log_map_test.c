#include "bus/log_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TITLE "Meridian: partition log"

static struct mrd_log_map map_of(const char *description)
{
    struct mrd_log_map map;
    struct mrd_error err = {0};
    if (mrd_log_map_parse(description, &map, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    return map;
}

static void a_stream_that_was_not_adopted_has_its_sequences_as_positions(void **state)
{
    (void)state;
    static const char *const descriptions[] = {NULL, "", TITLE, "somebody's own words"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(descriptions); i++) {
        const struct mrd_log_map map = map_of(descriptions[i]);
        assert_int_equal(mrd_log_map_base(&map), 0);
        assert_int_equal(mrd_log_map_position(&map, 7), 7);
        assert_int_equal(mrd_log_map_sequence(&map, 7), 7);
        assert_int_equal(mrd_log_map_last(&map, 0), 0);
        assert_int_equal(mrd_log_map_start(&map), 1);
    }
}

/* Made anew behind 1000 positions, and later restored with 900 messages, after 2000 more positions had been given away. */
static void positions_rise_over_all_parts(void **state)
{
    (void)state;
    static const char *const text = TITLE "; positions 1+1000 901+2100";
    const struct mrd_log_map map = map_of(text);
    char written[MRD_LOG_MAP_TEXT_MAX];
    assert_string_equal(mrd_log_map_format(&map, written), text);
    assert_int_equal(mrd_log_map_base(&map), 2100);
    assert_int_equal(mrd_log_map_start(&map), 3001);
    static const struct {
        uint64_t position;
        uint64_t sequence; /* the first that is not before it */
        bool there;
    } cases[] = {
        {1,    1,   false},
        {1000, 1,   false},
        {1001, 1,   true },
        {1900, 900, true },
        {1901, 901, false},
        {3000, 901, false},
        {3001, 901, true },
        {3005, 905, true },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        const uint64_t sequence = mrd_log_map_sequence(&map, cases[i].position);
        assert_int_equal(sequence, cases[i].sequence);
        assert_int_equal(mrd_log_map_position(&map, sequence) == cases[i].position, cases[i].there);
    }
    assert_int_equal(mrd_log_map_last(&map, 0), 1000);
    assert_int_equal(mrd_log_map_last(&map, 899), 1899);
    assert_int_equal(mrd_log_map_last(&map, 900), 3000); /* the next is 3001 */
}

static const char too_many[] =
    "; positions 1+1 2+2 3+3 4+4 5+5 6+6 7+7 8+8 9+9 10+10 11+11 12+12 13+13 14+14 15+15 16+16 "
    "17+17";

static void what_does_not_rise_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "; positions",
        "; positions ",
        "; positions 1",
        "; positions 1+",
        "; positions 0+5",
        "; positions 1+0",
        "; positions 1+5 1+6",
        "; positions 1+5 2+5",
        "; positions 1+5 2+4",
        "; positions 1+5x",
        "; positions -1+5",
        "; positions 1 +5",
        "; positions 1+5 ",
        "; positions 1+5, 2+6",
        "; positions 1+99999999999999999999",
        "; positions 99999999999999999999+1",
        too_many,
        "; erased ",
        "; erased x",
        "; erased 1 ",
        "; erased 99999999999999999999",
        "; erased 5 positions 1+5",
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad); i++) {
        struct mrd_log_map map;
        if (mrd_log_map_parse(bad[i], &map, NULL) != MRD_E_CORRUPT) {
            fail_msg("\"%s\" was taken", bad[i]);
        }
    }
}

static void a_part_is_added_behind_all_that_was_given_away(void **state)
{
    (void)state;
    struct mrd_log_map map = map_of(TITLE);
    assert_int_equal(mrd_log_map_add(&map, 1, 1, 1, NULL), MRD_E_INVALID); /* adds nothing */
    assert_int_equal(mrd_log_map_add(&map, 1, 1, 1001, NULL), MRD_OK);
    assert_int_equal(mrd_log_map_position(&map, 1), 1001);
    assert_int_equal(mrd_log_map_add(&map, 1, 5, 1005, NULL), MRD_E_INVALID); /* as it is */
    assert_int_equal(mrd_log_map_add(&map, 1, 5, 2000, NULL), MRD_OK);
    assert_int_equal(map.count, 2);
    assert_int_equal(mrd_log_map_position(&map, 4), 1004);
    assert_int_equal(mrd_log_map_position(&map, 5), 2000);
    assert_int_equal(mrd_log_map_add(&map, 1, 5, 3000, NULL), MRD_OK); /* in its place */
    assert_int_equal(map.count, 2);
    assert_int_equal(mrd_log_map_add(&map, 6, 9, 4000, NULL), MRD_OK); /* 1 to 4 are trimmed */
    assert_int_equal(map.count, 2);
    assert_int_equal(mrd_log_map_position(&map, 8), 3003);
    assert_int_equal(mrd_log_map_position(&map, 9), 4000);
    for (uint64_t i = 0; i < MRD_LOG_MAP_PARTS - 2; i++) {
        assert_int_equal(mrd_log_map_add(&map, 1, 20 + i, 5000 + 100 * i, NULL), MRD_OK);
    }
    const struct mrd_log_map full = map;
    assert_int_equal(mrd_log_map_add(&map, 1, 100, 10000, NULL), MRD_E_LIMIT);
    assert_memory_equal(&map, &full, sizeof(map));
}

/* The last request to erase that was trimmed; nothing is not the same as none. */
static void it_says_what_requests_were_dropped_if_that_is_known(void **state)
{
    (void)state;
    static const char *const texts[] = {TITLE, TITLE "; erased 0",
                                        TITLE "; erased 117964800000000001; positions 1+1000"};
    static const struct {
        bool known;
        mrd_hlc erased;
    } want[] = {
        {false, 0                 },
        {true,  0                 },
        {true,  117964800000000001}
    };
    char written[MRD_LOG_MAP_TEXT_MAX];
    for (size_t i = 0; i < MRD_ARRAY_LEN(texts); i++) {
        const struct mrd_log_map map = map_of(texts[i]);
        assert_int_equal(map.erased_known, want[i].known);
        assert_int_equal(map.erased, want[i].erased);
        assert_string_equal(mrd_log_map_format(&map, written), texts[i]);
    }
    struct mrd_log_map map = map_of(texts[2]);
    assert_int_equal(mrd_log_map_base(&map), 1000);
    assert_int_equal(mrd_log_map_add(&map, 1, 5, 2000, NULL), MRD_OK);
    assert_false(map.erased_known); /* what was lost before it was adopted, nobody knows */
}

/* Whichever of them is seen first. */
static void the_later_of_two_maps_of_a_stream_is_known(void **state)
{
    (void)state;
    static const char *const rising[] = {
        TITLE,
        TITLE "; erased 0",
        TITLE "; erased 700",
        TITLE "; positions 1+1000", /* adopted: what was dropped before is not known */
        TITLE "; erased 5; positions 1+1000",
        TITLE "; positions 1+1000 901+2100",
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(rising); i++) {
        for (size_t k = 0; k < MRD_ARRAY_LEN(rising); k++) {
            struct mrd_log_map map = map_of(rising[i]);
            const struct mrd_log_map other = map_of(rising[k]);
            char text[MRD_LOG_MAP_TEXT_MAX];
            assert_int_equal(mrd_log_map_equal(&map, &other), i == k);
            mrd_log_map_join(&map, &other);
            assert_string_equal(mrd_log_map_format(&map, text), rising[MRD_MAX(i, k)]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_that_was_not_adopted_has_its_sequences_as_positions),
        cmocka_unit_test(positions_rise_over_all_parts),
        cmocka_unit_test(what_does_not_rise_is_refused),
        cmocka_unit_test(a_part_is_added_behind_all_that_was_given_away),
        cmocka_unit_test(it_says_what_requests_were_dropped_if_that_is_known),
        cmocka_unit_test(the_later_of_two_maps_of_a_stream_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
