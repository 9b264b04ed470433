#include "wire/batch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct mrd_batch_header header = {
    .region = "eu-1",
    .residency_class = "de",
    .instance = "d1-0",
    .epoch = 1928374,
    .number = 42,
    .hlc = 0x1234567890ab0007ULL,
};

static uint32_t random_state;
static uint32_t next_random(void)
{
    random_state = random_state * 1664525 + 1013904223;
    return random_state >> 4;
}

enum { ROWS_MAX = 500, SAMPLES_MAX = 4 };

struct row {
    uint32_t reference;
    size_t count;
    struct mrd_sample samples[SAMPLES_MAX];
};

static struct row rows[ROWS_MAX];

static void make_rows(size_t count, bool single)
{
    mrd_time_ms time = 1700000000000;
    uint32_t reference = 0;
    for (size_t i = 0; i < count; i++) {
        reference = next_random() % 4 == 0 ? next_random() % 100000 : reference + 1;
        rows[i].reference = reference;
        rows[i].count = single ? 1 : 1 + next_random() % SAMPLES_MAX;
        for (size_t k = 0; k < rows[i].count; k++) {
            time += next_random() % 3 == 0 ? (mrd_time_ms)(next_random() % 20000) - 10000 : 0;
            rows[i].samples[k].time_ms = time;
            rows[i].samples[k].value = (double)(next_random() % 1000) / 8;
        }
    }
}

static void assert_rows(const struct mrd_batch *batch, size_t count)
{
    assert_int_equal(batch->row_count, count);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(batch->references[i], rows[i].reference);
        assert_int_equal(batch->sample_counts == NULL ? 1 : batch->sample_counts[i], rows[i].count);
        for (size_t k = 0; k < rows[i].count; k++, at++) {
            assert_true(batch->times_ms[at] == rows[i].samples[k].time_ms);
            assert_memory_equal(&batch->values[at], &rows[i].samples[k].value, sizeof(double));
        }
    }
    assert_int_equal(batch->sample_count, at);
}

static void what_was_built_is_read_back_with_every_codec(void **state)
{
    (void)state;
    random_state = 7;
    struct mrd_batch_builder builder = {0};
    struct mrd_batch batch = {0};
    for (int round = 0; round < 60; round++) {
        const size_t count = next_random() % ROWS_MAX;
        make_rows(count, round % 2 == 0);
        for (size_t i = 0; i < count; i++) {
            mrd_batch_append(&builder, rows[i].reference, rows[i].samples, rows[i].count);
        }
        assert_true(count == 0 || !mrd_batch_builder_empty(&builder));
        struct mrd_buf out = {0};
        const size_t estimate = mrd_batch_builder_size(&builder);
        mrd_batch_finish(&builder, &header, (enum mrd_batch_codec)(round % 3), &out);
        assert_true(out.size <= estimate);
        assert_true(mrd_batch_builder_empty(&builder));
        struct mrd_error err = {0};
        if (mrd_batch_decode(mrd_buf_view(&out), &batch, &err) != MRD_OK) {
            fail_msg("round %d: %s", round, err.text);
        }
        assert_string_equal(batch.header.region, "eu-1");
        assert_string_equal(batch.header.residency_class, "de");
        assert_string_equal(batch.header.instance, "d1-0");
        assert_true(batch.header.epoch == header.epoch && batch.header.number == 42 &&
                    batch.header.hlc == header.hlc);
        assert_rows(&batch, count);
        mrd_buf_fini(&out);
    }
    mrd_batch_fini(&batch);
    mrd_batch_builder_fini(&builder);
}

static void announcements_keep_tenant_id_and_labels(void **state)
{
    (void)state;
    static const char *const tenants[] = {"acme", "acme", "beta", "acme"};
    struct mrd_batch_builder builder = {0};
    for (uint32_t i = 0; i < 4; i++) {
        mrd_batch_announce(&builder, &(struct mrd_announcement){
                                         .reference = i * 1000,
                                         .id = {i, ~(uint64_t)i},
                                         .tenant = mrd_bytes_of(tenants[i]),
                                         .labels = MRD_BYTES("\1a\1b"),
        });
    }
    struct mrd_buf out = {0};
    mrd_batch_finish(&builder, &header, MRD_BATCH_NONE, &out);
    struct mrd_batch batch = {0};
    assert_int_equal(mrd_batch_decode(mrd_buf_view(&out), &batch, NULL), MRD_OK);
    assert_int_equal(batch.announcement_count, 4);
    assert_int_equal(batch.row_count, 0);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(batch.announcements[i].reference, i * 1000);
        assert_true(batch.announcements[i].id.low == i);
        assert_true(batch.announcements[i].id.high == ~(uint64_t)i);
        assert_true(mrd_bytes_equal(batch.announcements[i].tenant, mrd_bytes_of(tenants[i])));
        assert_true(mrd_bytes_equal(batch.announcements[i].labels, MRD_BYTES("\1a\1b")));
    }
    mrd_buf_fini(&out);
    mrd_batch_fini(&batch);
    mrd_batch_builder_fini(&builder);
}

static void extreme_times_and_all_kinds_of_doubles_survive(void **state)
{
    (void)state;
    const struct mrd_sample samples[] = {
        {INT64_MIN, -0.0                            },
        {INT64_MAX, mrd_stale_nan()                 },
        {0,         INFINITY                        },
        {-1,        mrd_double_from_bits(1)         },
        {1,         mrd_double_from_bits(UINT64_MAX)},
    };
    struct mrd_batch_builder builder = {0};
    mrd_batch_append(&builder, UINT32_MAX - 1, samples, MRD_ARRAY_LEN(samples));
    struct mrd_buf out = {0};
    mrd_batch_finish(&builder, &header, MRD_BATCH_ZSTD, &out);
    struct mrd_batch batch = {0};
    assert_int_equal(mrd_batch_decode(mrd_buf_view(&out), &batch, NULL), MRD_OK);
    assert_int_equal(batch.references[0], UINT32_MAX - 1);
    for (size_t i = 0; i < MRD_ARRAY_LEN(samples); i++) {
        assert_true(batch.times_ms[i] == samples[i].time_ms);
        assert_true(mrd_double_bits(batch.values[i]) == mrd_double_bits(samples[i].value));
    }
    mrd_buf_fini(&out);
    mrd_batch_fini(&batch);
    mrd_batch_builder_fini(&builder);
}

/* Every single changed byte and every cut is refused, or (in the envelope's own fields, which the
 * checksum does not cover) read as another header; never more. */
static void damage_is_noticed(void **state)
{
    (void)state;
    random_state = 3;
    make_rows(20, false);
    struct mrd_batch_builder builder = {0};
    for (size_t i = 0; i < 20; i++) {
        mrd_batch_append(&builder, rows[i].reference, rows[i].samples, rows[i].count);
    }
    struct mrd_buf out = {0};
    mrd_batch_finish(&builder, &header, MRD_BATCH_NONE, &out);
    struct mrd_batch batch = {0};
    for (size_t i = 0; i < out.size; i++) {
        assert_int_not_equal(mrd_batch_decode((struct mrd_bytes){out.data, i}, &batch, NULL),
                             MRD_OK);
        assert_int_equal(batch.row_count, 0);
        out.data[i] ^= 0x41;
        if (mrd_batch_decode(mrd_buf_view(&out), &batch, NULL) == MRD_OK) {
            assert_rows(&batch, 20);
        }
        out.data[i] ^= 0x41;
    }
    assert_int_equal(mrd_batch_decode(mrd_buf_view(&out), &batch, NULL), MRD_OK);
    mrd_buf_fini(&out);
    mrd_batch_fini(&batch);
    mrd_batch_builder_fini(&builder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_built_is_read_back_with_every_codec),
        cmocka_unit_test(announcements_keep_tenant_id_and_labels),
        cmocka_unit_test(extreme_times_and_all_kinds_of_doubles_survive),
        cmocka_unit_test(damage_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
