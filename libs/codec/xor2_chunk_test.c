/* The encoder against the bytes that Prometheus 3.14 makes of the same samples. That they come back: prometheus_chunk_test.c. */
#include "codec/xor2_chunk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_bytes(const struct mrd_samples *samples, const uint8_t *want, size_t size)
{
    struct mrd_buf out = {0};
    mrd_xor2_chunk_encode(samples, &out);
    assert_int_equal(out.size, size);
    assert_memory_equal(out.data, want, size);
    mrd_buf_fini(&out);
}

static void samples_become_the_bytes_of_prometheus(void **state)
{
    (void)state;
    static const mrd_time_ms times_ms[] = {-4847, -4844, -4843, -4841, -4837};
    static const mrd_time_ms starts_ms[] = {-44100, -32966, -58353, -24226, -72021};
    const double values[] = {84.8, 41, 49.2, mrd_stale_nan(), 56.3};
    static const uint8_t want[] = {
        0x00, 0x05, 0x81, 0xdd, 0x4b, 0x40, 0x55, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0xaa, 0xe5,
        0x04, 0x03, 0xcb, 0xd6, 0x36, 0x66, 0x66, 0x66, 0x66, 0x66, 0x7f, 0x0d, 0xba, 0xfb, 0xff,
        0xd3, 0x06, 0x66, 0x66, 0x66, 0x66, 0x66, 0xbe, 0x18, 0xcb, 0xb0, 0x00, 0x7f, 0xdb, 0xd5,
        0x96, 0x00, 0x14, 0x4b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xcf, 0x8b, 0xab, 0x50};
    assert_bytes(&(struct mrd_samples){times_ms, values, 5, starts_ms}, want, sizeof(want));
}

static void what_does_not_change_takes_a_bit(void **state)
{
    (void)state;
    mrd_time_ms times_ms[82];
    double values[82];
    for (size_t i = 0; i < MRD_ARRAY_LEN(times_ms); i++) {
        times_ms[i] = (mrd_time_ms)i;
        values[i] = 0;
    }
    struct mrd_buf out = {0};
    mrd_xor2_chunk_encode(&(struct mrd_samples){times_ms, values, 82, NULL}, &out);
    assert_int_equal(out.size, 2 + 1 + 1 + 8 + 1 + (1 + 80 + 7) / 8);
    assert_int_equal(out.data[2], 0); /* no start times */
    mrd_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_become_the_bytes_of_prometheus),
        cmocka_unit_test(what_does_not_change_takes_a_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
