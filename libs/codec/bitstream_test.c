#include "codec/bitstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return *state ^ *state >> 29;
}

static void fields_of_every_width_come_back(void **state)
{
    (void)state;
    uint64_t random = 3;
    for (unsigned width = 0; width <= 64; width++) {
        for (size_t count = 0; count <= 70; count++) {
            uint64_t in[70];
            uint64_t out[70];
            for (size_t i = 0; i < count; i++) {
                in[i] = next_random(&random);
            }
            const size_t size = mrd_bits_packed_size(count, width);
            uint8_t *packed = malloc(size + 1);
            packed[size] = 0xa5;
            mrd_bits_pack(in, count, width, packed);
            assert_int_equal(packed[size], 0xa5);
            packed = realloc(packed, size == 0 ? 1 : size); /* a read beyond is seen */
            mrd_bits_unpack(packed, size, count, width, out);
            for (size_t i = 0; i < count; i++) {
                assert_true(out[i] == (in[i] & mrd_bits_mask(width)));
            }
            free(packed);
        }
    }
}

static void a_reader_stops_at_the_end_and_says_so(void **state)
{
    (void)state;
    uint8_t *bytes = malloc(3);
    memcpy(bytes, "\xff\x01\x80", 3);
    struct mrd_bit_reader reader = mrd_bit_reader_of((struct mrd_bytes){bytes, 3});
    assert_int_equal(mrd_bits_read(&reader, 0), 0);
    assert_int_equal(mrd_bits_read(&reader, 9), 0x1ff);
    assert_int_equal(mrd_bits_read(&reader, 14), 0);
    assert_int_equal(mrd_bits_read(&reader, 1), 1);
    assert_false(reader.failed);
    assert_int_equal(mrd_bits_read(&reader, 1), 0);
    assert_true(reader.failed);
    assert_int_equal(mrd_bits_read(&reader, 64), 0);
    free(bytes);
}

static void wide_reads_cross_bytes(void **state)
{
    (void)state;
    uint8_t bytes[24];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 37 + 11);
    }
    for (unsigned skip = 0; skip < 64; skip++) {
        struct mrd_bit_reader reader = mrd_bit_reader_of((struct mrd_bytes){bytes, sizeof(bytes)});
        (void)mrd_bits_read(&reader, skip);
        const uint64_t wide = mrd_bits_read(&reader, 64);
        struct mrd_bit_reader slow = mrd_bit_reader_of((struct mrd_bytes){bytes, sizeof(bytes)});
        (void)mrd_bits_read(&slow, skip);
        for (unsigned bit = 0; bit < 64; bit++) {
            assert_int_equal(mrd_bits_read(&slow, 1), wide >> bit & 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_of_every_width_come_back),
        cmocka_unit_test(a_reader_stops_at_the_end_and_says_so),
        cmocka_unit_test(wide_reads_cross_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
