#include "wire/erasure_notice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void a_notice_reads_back(void **state)
{
    (void)state;
    const uint64_t sequences[] = {0, 1, 300, UINT64_MAX};
    uint64_t got[4] = {7, 7, 7, 7};
    mrd_hlc hlc = 0;
    struct mrd_buf notice = {0};
    mrd_erasure_notice_encode(0x123456789abcdef0, sequences, 4, &notice);
    assert_int_equal(mrd_erasure_notice_decode(mrd_buf_view(&notice), 4, &hlc, got, NULL), MRD_OK);
    assert_true(hlc == 0x123456789abcdef0);
    assert_memory_equal(got, sequences, sizeof(got));
    assert_int_equal(mrd_erasure_notice_decode(mrd_buf_view(&notice), 4, &hlc, NULL, NULL), MRD_OK);
    mrd_buf_fini(&notice);
}

static void another_region_s_or_version_s_notice_is_refused(void **state)
{
    (void)state;
    const uint64_t sequences[] = {5, 6};
    mrd_hlc hlc = 0;
    uint64_t got[8];
    struct mrd_buf notice = {0};
    mrd_erasure_notice_encode(1, sequences, 2, &notice);
    for (size_t size = 0; size < notice.size; size++) {
        const struct mrd_bytes part = {notice.data, size};
        assert_int_equal(mrd_erasure_notice_decode(part, 2, &hlc, got, NULL), MRD_E_CORRUPT);
    }
    assert_int_equal(mrd_erasure_notice_decode(mrd_buf_view(&notice), 3, &hlc, got, NULL),
                     MRD_E_CORRUPT);
    mrd_buf_append_u8(&notice, 0);
    assert_int_equal(mrd_erasure_notice_decode(mrd_buf_view(&notice), 2, &hlc, got, NULL),
                     MRD_E_CORRUPT);
    notice.data[0] = 2;
    assert_int_equal(mrd_erasure_notice_decode(mrd_buf_view(&notice), 2, &hlc, got, NULL),
                     MRD_E_UNSUPPORTED);
    assert_int_equal(hlc, 0);
    mrd_buf_fini(&notice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_notice_reads_back),
        cmocka_unit_test(another_region_s_or_version_s_notice_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
