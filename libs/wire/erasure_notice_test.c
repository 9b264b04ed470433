#include "wire/erasure_notice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void a_notice_reads_back(void **state)
{
    (void)state;
    static const uint64_t commits[] = {0, 1, UINT64_MAX};
    const uint64_t sequences[] = {0, 1, 300, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        uint64_t got[4] = {7, 7, 7, 7};
        const struct mrd_erasure_notice notice = {0x123456789abcdef0, commits[i]};
        struct mrd_erasure_notice read = {0};
        struct mrd_buf bytes = {0};
        mrd_erasure_notice_encode(&notice, sequences, 4, &bytes);
        assert_int_equal(bytes.data[0], i == 0 ? 1 : 2); /* releases before know version 1 */
        assert_int_equal(mrd_erasure_notice_decode(mrd_buf_view(&bytes), 4, &read, got, NULL),
                         MRD_OK);
        assert_true(read.hlc == notice.hlc && read.commit == notice.commit);
        assert_memory_equal(got, sequences, sizeof(got));
        assert_int_equal(mrd_erasure_notice_decode(mrd_buf_view(&bytes), 4, &read, NULL, NULL),
                         MRD_OK);
        mrd_buf_fini(&bytes);
    }
}

static void another_region_s_or_version_s_notice_is_refused(void **state)
{
    (void)state;
    const uint64_t sequences[] = {5, 6};
    for (uint64_t commit = 0; commit < 2; commit++) {
        const struct mrd_erasure_notice notice = {1, commit};
        struct mrd_erasure_notice read = {0};
        uint64_t got[8];
        struct mrd_buf bytes = {0};
        mrd_erasure_notice_encode(&notice, sequences, 2, &bytes);
        for (size_t size = 0; size < bytes.size; size++) {
            const struct mrd_bytes part = {bytes.data, size};
            assert_int_equal(mrd_erasure_notice_decode(part, 2, &read, got, NULL), MRD_E_CORRUPT);
        }
        assert_int_equal(mrd_erasure_notice_decode(mrd_buf_view(&bytes), 3, &read, got, NULL),
                         MRD_E_CORRUPT);
        mrd_buf_append_u8(&bytes, 0);
        assert_int_equal(mrd_erasure_notice_decode(mrd_buf_view(&bytes), 2, &read, got, NULL),
                         MRD_E_CORRUPT);
        bytes.data[0] = 3;
        assert_int_equal(mrd_erasure_notice_decode(mrd_buf_view(&bytes), 2, &read, got, NULL),
                         MRD_E_UNSUPPORTED);
        assert_int_equal(read.hlc, 0);
        mrd_buf_fini(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_notice_reads_back),
        cmocka_unit_test(another_region_s_or_version_s_notice_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
