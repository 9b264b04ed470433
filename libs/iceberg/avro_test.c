#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "iceberg/avro.h"

static const uint8_t sync_marker[MRD_AVRO_SYNC_SIZE] = {1, 2, 3};
static const struct mrd_avro_pair note = {
    {(const uint8_t *)"note", 4},
    {(const uint8_t *)"n",    1}
};

/* The specification's examples of the binary encoding. */
static void values_are_those_of_the_specification(void **state)
{
    (void)state;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf out = {0};
    mrd_avro_put_long(&out, -64);
    mrd_avro_put_long(&out, 64);
    mrd_avro_put_bytes(&out, MRD_BYTES("foo"));
    mrd_avro_put_items(&out, 2);
    mrd_avro_put_long(&out, 3);
    mrd_avro_put_long(&out, 27);
    mrd_avro_put_end(&out);
    mrd_avro_put_items(&out, 0);
    mrd_avro_put_end(&out);
    const uint8_t want[] = {0x7f, 0x80, 0x01, 0x06, 'f', 'o', 'o', 0x04, 0x06, 0x36, 0x00, 0x00};
    assert_int_equal(out.size, sizeof(want));
    assert_memory_equal(out.data, want, sizeof(want));
}

static void write_numbers(struct mrd_buf *out, enum mrd_avro_codec codec, size_t count)
{
    struct mrd_avro_writer writer;
    mrd_avro_writer_init(&writer, out, codec, MRD_BYTES("\"long\""), &note, 1, sync_marker);
    for (size_t i = 0; i < count; i++) {
        mrd_avro_put_long(&writer.block, (int64_t)i * 1000);
        mrd_avro_writer_end_record(&writer);
    }
    (void)!mrd_avro_writer_close(&writer, NULL); /* out->failed tells */
    mrd_avro_writer_fini(&writer);
}

/* Sums up what write_numbers wrote. */
static enum mrd_status read_numbers(struct mrd_bytes bytes, size_t limit, int64_t *out_sum,
                                    struct mrd_error *err)
{
    mrd_auto(mrd_avro_file_close)
    struct mrd_avro_file *file = NULL;
    MRD_TRY(mrd_avro_file_open(bytes, limit, &file, err));
    int64_t sum = 0;
    uint64_t records = 1;
    while (records > 0) {
        struct mrd_reader values;
        MRD_TRY(mrd_avro_file_block(file, &records, &values, err));
        for (uint64_t i = 0; i < records && !values.failed; i++) {
            sum += mrd_avro_get_long(&values);
        }
        if (values.failed) {
            return mrd_fail(err, MRD_E_CORRUPT, "fewer records than said");
        }
    }
    *out_sum = sum;
    return MRD_OK;
}

static void blocks_come_back(void **state)
{
    (void)state;
    for (size_t codec = 0; codec <= MRD_AVRO_DEFLATE; codec++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf out = {0};
        write_numbers(&out, (enum mrd_avro_codec)codec, 100000); /* several blocks */
        int64_t sum = 0;
        assert_int_equal(read_numbers(mrd_buf_view(&out), 1 << 20, &sum, NULL), MRD_OK);
        assert_true(sum == INT64_C(1000) * 99999 * 100000 / 2);
    }
}

static void damage_is_a_status(void **state)
{
    (void)state;
    for (size_t codec = 0; codec <= MRD_AVRO_DEFLATE; codec++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf out = {0};
        write_numbers(&out, (enum mrd_avro_codec)codec, 300);
        int64_t sum;
        struct mrd_error err;
        for (size_t size = 0; size < out.size;
             size++) { /* but for the header alone: an empty file */
            const struct mrd_bytes cut = {out.data, size};
            const enum mrd_status status = read_numbers(cut, 1 << 20, &sum, &err);
            assert_true(status == MRD_E_CORRUPT || (status == MRD_OK && sum == 0));
        }
        for (size_t at = 0; at < out.size; at++) {
            out.data[at] ^= 0x55;
            const enum mrd_status status = read_numbers(mrd_buf_view(&out), 1 << 20, &sum, &err);
            assert_true(status == MRD_OK || status == MRD_E_CORRUPT ||
                        status == MRD_E_UNSUPPORTED || status == MRD_E_LIMIT);
            out.data[at] ^= 0x55;
        }
    }
}

/* A block that inflates to more than the limit, and a file that grows beyond its own. */
static void limits_are_kept(void **state)
{
    (void)state;
    int64_t sum;
    for (size_t codec = 0; codec <= MRD_AVRO_DEFLATE; codec++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf out = {0};
        write_numbers(&out, (enum mrd_avro_codec)codec, 10000);
        assert_int_equal(read_numbers(mrd_buf_view(&out), 1000, &sum, NULL), MRD_E_LIMIT);
        mrd_auto(mrd_buf_fini)
        struct mrd_buf small = {.limit = 1000};
        write_numbers(&small, (enum mrd_avro_codec)codec, 10000);
        assert_true(small.failed);
    }
}

static void hostile_counts_are_faults(void **state)
{
    (void)state;
    struct mrd_reader in = mrd_reader_of(MRD_BYTES("\x7f\x02zz")); /* -64 items in two bytes */
    uint64_t left = 0;
    assert_false(mrd_avro_next_item(&in, &left));
    assert_true(in.failed);
    in = mrd_reader_of(MRD_BYTES("\x01zz")); /* -1 bytes */
    assert_int_equal(mrd_avro_get_bytes(&in).size, 0);
    assert_true(in.failed);
    in = mrd_reader_of(MRD_BYTES("\x04")); /* the third of two branches */
    assert_int_equal(mrd_avro_get_branch(&in, 2), 0);
    assert_true(in.failed);
    in = mrd_reader_of(MRD_BYTES("\x02"));
    assert_false(mrd_avro_get_boolean(&in));
    assert_true(in.failed);
}

/* Records of null alone have no bytes, deflated or not; a string of no bytes can be read from there. */
static void a_block_may_have_no_bytes(void **state)
{
    (void)state;
    for (size_t codec = 0; codec <= MRD_AVRO_DEFLATE; codec++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf out = {0};
        struct mrd_avro_writer writer;
        mrd_avro_writer_init(&writer, &out, (enum mrd_avro_codec)codec, MRD_BYTES("\"null\""), NULL,
                             0, sync_marker);
        mrd_avro_writer_end_record(&writer);
        assert_int_equal(mrd_avro_writer_close(&writer, NULL), MRD_OK);
        mrd_avro_writer_fini(&writer);
        mrd_auto(mrd_avro_file_close)
        struct mrd_avro_file *file = NULL;
        assert_int_equal(mrd_avro_file_open(mrd_buf_view(&out), 1000, &file, NULL), MRD_OK);
        uint64_t records;
        struct mrd_reader values;
        assert_int_equal(mrd_avro_file_block(file, &records, &values, NULL), MRD_OK);
        assert_int_equal(records, 1);
        (void)mrd_read_bytes(&values, 0);
        assert_false(values.failed);
    }
}

/* Others may write an array in several parts, and with the size of each before it. */
static void arrays_in_parts_are_read(void **state)
{
    (void)state;
    struct mrd_reader in = mrd_reader_of(MRD_BYTES("\x02\x0a\x03\x04\x0c\x0e\x00\x7e"));
    int64_t got[4];
    size_t count = 0;
    for (uint64_t left = 0; mrd_avro_next_item(&in, &left);) {
        got[count++] = mrd_avro_get_long(&in);
    }
    assert_int_equal(count, 3);
    assert_int_equal(got[0], 5);
    assert_int_equal(got[1], 6);
    assert_int_equal(got[2], 7);
    assert_int_equal(mrd_avro_get_long(&in), 63);
    assert_false(in.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_the_specification),
        cmocka_unit_test(blocks_come_back),
        cmocka_unit_test(damage_is_a_status),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(hostile_counts_are_faults),
        cmocka_unit_test(a_block_may_have_no_bytes),
        cmocka_unit_test(arrays_in_parts_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
