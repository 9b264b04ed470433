#include "wire/values_internal.h"

#include "model/sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Bytes of the column, without the codes. */
static size_t round_trip(const double *values, size_t count)
{
    struct mrd_buf out = {0};
    mrd_values_write(&out, values, count);
    assert_true(out.size <= mrd_values_size_max(count));
    uint8_t *exact = malloc(out.size + 1); /* so that a sanitizer sees a read too far */
    memcpy(exact, out.data, out.size);
    double *got = malloc(count * sizeof(*got));
    assert_true(mrd_values_read((struct mrd_bytes){exact, out.size}, got, count));
    assert_memory_equal(got, values, count * sizeof(*got));
    const size_t size = out.size - (count + 1) / 2;
    /* Neither a byte less nor a byte more is the same column. */
    assert_false(mrd_values_read((struct mrd_bytes){exact, out.size - 1}, got, count));
    exact[out.size] = 0;
    assert_false(mrd_values_read((struct mrd_bytes){exact, out.size + 1}, got, count));
    free(got);
    free(exact);
    mrd_buf_fini(&out);
    return size;
}

static const struct {
    double value;
    size_t want_size;
} value_cases[] = {
    {0,                      0},
    {-0.0,                   8},
    {1,                      1},
    {-1,                     1},
    {127,                    1},
    {128,                    2},
    {-32768,                 2},
    {32768,                  3},
    {1e6,                    3},
    {4503599627370495,       7}, /* 2^52 - 1 */
    {4503599627370496,       8}, /* 2^52 */
    {0x1p53 + 2,             8},
    {0.001,                  1},
    {0.1,                    1},
    {21.5,                   2},
    {21.53,                  2},
    {-21.535,                2},
    {21.5351,                8}, /* a fourth digit */
    {1013.25,                3},
    {1e6 + 0.125,            4},
    {1e8 + 0.5,              5},
    {549755813.886,          5},
    {549755813.888,          8},
    {274877906.943,          5}, /* thousandths end here */
    {5e8 + 0.5,              5},
    {6e8 + 0.5,              8},
    {0.30000000000000004,    8}, /* not 0.3 */
    {1e-300,                 8},
    {5e-324,                 8},
    {0x1.fffffffffffffp1023, 8},
};

static void values_take_the_bytes_that_they_need(void **state)
{
    (void)state;
    for (size_t i = 0; i < MRD_ARRAY_LEN(value_cases); i++) {
        const size_t got = round_trip(&value_cases[i].value, 1);
        if (got != value_cases[i].want_size) {
            fail_msg("%.17g: %zu bytes, not %zu", value_cases[i].value, got,
                     value_cases[i].want_size);
        }
    }
    const double special[] = {INFINITY, -INFINITY, mrd_stale_nan(),
                              mrd_double_from_bits(MRD_NORMAL_NAN_BITS),
                              mrd_double_from_bits(0xfff8000000001234ULL)};
    for (size_t i = 0; i < MRD_ARRAY_LEN(special); i++) {
        assert_int_equal(round_trip(&special[i], 1), 8);
    }
}

static uint64_t random_next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return *seed >> 33;
}

static double random_value(uint64_t *seed)
{
    switch (random_next(seed) % 4) {
    case 0:
        return (double)(int64_t)(random_next(seed) << random_next(seed) % 33);
    case 1:
        return (double)random_next(seed) / 1000;
    case 2:
        return -(double)random_next(seed) / 100;
    default:
        return mrd_double_from_bits(random_next(seed) << 33 | random_next(seed));
    }
}

static void any_column_reads_back_bit_for_bit(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (size_t count = 1; count < 400; count++) {
        double *values = malloc(count * sizeof(*values));
        for (size_t i = 0; i < count; i++) {
            values[i] = random_value(&seed);
        }
        (void)round_trip(values, count);
        free(values);
    }
}

static void columns_that_are_none_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct mrd_bytes bytes;
        size_t count;
    } cases[] = {
        {MRD_BYTES(""),            1},
        {MRD_BYTES("\x0e"),        1}, /* a code that does not exist */
        {MRD_BYTES("\xf0"),        2},
        {MRD_BYTES("\x10\x05"),    1}, /* a code behind the last value */
        {MRD_BYTES("\x01"),        1}, /* a byte short */
        {MRD_BYTES("\x08xxxxxxx"), 1}, /* likewise */
        {MRD_BYTES("\x00\x00"),    2}, /* a byte too many */
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        double values[4];
        if (mrd_values_read(cases[i].bytes, values, cases[i].count)) {
            fail_msg("case %zu was read", i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_take_the_bytes_that_they_need),
        cmocka_unit_test(any_column_reads_back_bit_for_bit),
        cmocka_unit_test(columns_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
