#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Bit by bit, as RFC 3720 appendix B.4 defines CRC-32C: slow, obviously right. */
static uint32_t crc32c_by_definition(struct mrd_bytes bytes)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= bytes.data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0);
        }
    }
    return ~crc;
}

static void crc32c_agrees_with_the_rfc(void **state)
{
    (void)state;
    assert_int_equal(mrd_crc32c(0, MRD_BYTES("123456789")), 0xe3069283U);
    uint8_t zeros[32] = {0};
    assert_int_equal(mrd_crc32c(0, (struct mrd_bytes){zeros, 32}), 0x8a9136aaU);
    uint8_t bytes[257];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 31 + 7);
    }
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        const struct mrd_bytes view = {bytes, size};
        assert_int_equal(mrd_crc32c(0, view), crc32c_by_definition(view));
    }
}

/* Long enough for what is computed side by side, with all that may be left over. */
static void crc32c_of_long_inputs_is_the_same(void **state)
{
    (void)state;
    static uint8_t bytes[20000];
    uint32_t random = 1;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        random = random * 1664525U + 1013904223U;
        bytes[i] = (uint8_t)(random >> 24);
    }
    for (size_t size = 1000; size < sizeof(bytes); size += 509) {
        for (size_t from = 0; from < 9; from++) {
            const struct mrd_bytes view = {bytes + from, size - from};
            const struct mrd_bytes half = {bytes + from, size / 2};
            const struct mrd_bytes rest = {half.data + half.size, view.size - half.size};
            const uint32_t want = crc32c_by_definition(view);
            assert_int_equal(mrd_crc32c(0, view), want);
            assert_int_equal(mrd_crc32c(mrd_crc32c(0, half), rest), want);
        }
    }
}

static void crc32c_may_be_computed_piece_by_piece(void **state)
{
    (void)state;
    const struct mrd_bytes whole = MRD_BYTES("the quick brown fox jumps over the lazy dog");
    for (size_t cut = 0; cut <= whole.size; cut++) {
        const uint32_t first = mrd_crc32c(0, (struct mrd_bytes){whole.data, cut});
        const struct mrd_bytes rest = {whole.data + cut, whole.size - cut};
        assert_int_equal(mrd_crc32c(first, rest), mrd_crc32c(0, whole));
    }
}

static void hashes_are_the_published_xxh3(void **state)
{
    (void)state;
    /* XXH3 of the empty input with seed 0, as in the library's own test vectors. */
    assert_true(mrd_hash64(MRD_BYTES(""), 0) == 0x2d06800538d394c2ULL);
    const struct mrd_id128 id = mrd_hash128(MRD_BYTES(""), 0);
    assert_true(id.low == 0x6001c324468d497fULL && id.high == 0x99aa06d3014798d8ULL);
    assert_true(mrd_hash64(MRD_BYTES("a"), 1) != mrd_hash64(MRD_BYTES("a"), 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_agrees_with_the_rfc),
        cmocka_unit_test(crc32c_of_long_inputs_is_the_same),
        cmocka_unit_test(crc32c_may_be_computed_piece_by_piece),
        cmocka_unit_test(hashes_are_the_published_xxh3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
