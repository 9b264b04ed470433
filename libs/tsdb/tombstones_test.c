#include "tsdb/tombstones.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tsdb/tsdb_internal.h"

static void file_make(const int64_t (*entries)[3], size_t count, struct mrd_buf *out)
{
    mrd_tsdb_append_u32(out, MRD_TSDB_TOMBSTONES_MAGIC);
    mrd_buf_append_u8(out, 1);
    for (size_t i = 0; i < count; i++) {
        mrd_buf_append_varint(out, (uint64_t)entries[i][0]);
        mrd_buf_append_zigzag(out, entries[i][1]);
        mrd_buf_append_zigzag(out, entries[i][2]);
    }
    mrd_tsdb_append_u32(out, mrd_crc32c(0, (struct mrd_bytes){out->data + 5, out->size - 5}));
}

static void they_are_found_by_series_and_time(void **state)
{
    (void)state;
    static const int64_t entries[][3] = {
        {7, -5,  5 },
        {3, 1,   1 },
        {7, 100, 90},
        {7, 20,  30},
    };
    struct mrd_buf file = {0};
    struct mrd_tsdb_tombstones tombstones;
    file_make(entries, MRD_ARRAY_LEN(entries), &file);
    assert_int_equal(mrd_tsdb_tombstones_read(mrd_buf_view(&file), &tombstones, NULL), MRD_OK);
    assert_int_equal(tombstones.count, 4);
    struct mrd_tsdb_tombstones of = mrd_tsdb_tombstones_of(&tombstones, 7);
    assert_int_equal(of.count, 3);
    assert_true(mrd_tsdb_tombstones_cover(&of, -5));
    assert_true(mrd_tsdb_tombstones_cover(&of, 5));
    assert_false(mrd_tsdb_tombstones_cover(&of, 6));
    assert_true(mrd_tsdb_tombstones_cover(&of, 25));
    assert_false(mrd_tsdb_tombstones_cover(&of, 95));
    of = mrd_tsdb_tombstones_of(&tombstones, 4);
    assert_int_equal(of.count, 0);
    assert_false(mrd_tsdb_tombstones_cover(&of, 1));
    mrd_tsdb_tombstones_fini(&tombstones);
    mrd_buf_fini(&file);
}

static void a_broken_file_is_refused(void **state)
{
    (void)state;
    static const int64_t entries[][3] = {
        {1, 2, 3}
    };
    struct mrd_buf file = {0};
    struct mrd_tsdb_tombstones tombstones;
    file_make(entries, 1, &file);
    for (size_t i = 0; i < file.size; i++) {
        file.data[i] ^= 1;
        assert_int_equal(mrd_tsdb_tombstones_read(mrd_buf_view(&file), &tombstones, NULL),
                         MRD_E_CORRUPT);
        file.data[i] ^= 1;
        assert_int_equal(
            mrd_tsdb_tombstones_read((struct mrd_bytes){file.data, i}, &tombstones, NULL),
            MRD_E_CORRUPT);
    }
    mrd_buf_fini(&file);
}

static void the_file_of_a_block_without_any_is_read(void **state)
{
    (void)state;
    struct mrd_buf file = {0};
    struct mrd_tsdb_tombstones tombstones;
    mrd_tsdb_tombstones_write_none(&file);
    assert_int_equal(mrd_tsdb_tombstones_read(mrd_buf_view(&file), &tombstones, NULL), MRD_OK);
    assert_int_equal(tombstones.count, 0);
    mrd_tsdb_tombstones_fini(&tombstones);
    mrd_buf_fini(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_found_by_series_and_time),
        cmocka_unit_test(a_broken_file_is_refused),
        cmocka_unit_test(the_file_of_a_block_without_any_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
