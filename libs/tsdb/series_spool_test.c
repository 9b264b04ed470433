#include "tsdb/series_spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { SERIES = 1000 };

static char folder[64];

static int make(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/series_spool_test.XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int drop(void **state)
{
    (void)state;
    return rmdir(folder); /* fails if something is left there */
}

static struct mrd_tsdb_spool *spool_make(void)
{
    struct mrd_tsdb_spool *spool = NULL;
    assert_int_equal(mrd_tsdb_spool_create(folder, &spool, NULL), MRD_OK);
    return spool;
}

static void series_add(struct mrd_tsdb_spool *spool, unsigned number, unsigned chunks)
{
    char text[16];
    (void)snprintf(text, sizeof(text), "%06u", number);
    const struct mrd_label label = {MRD_BYTES("number"), mrd_bytes_of(text)};
    for (unsigned i = 0; i < chunks; i++) { /* as frames repeat the labels */
        assert_int_equal(mrd_tsdb_spool_series(spool, (struct mrd_labels){&label, 1}, NULL),
                         MRD_OK);
        mrd_tsdb_spool_chunk(spool, i, mrd_bytes_of(text));
    }
}

/* Reads the next series, demands its chunks. */
static void series_take(struct mrd_tsdb_spool *spool, unsigned number, unsigned chunks)
{
    char text[16];
    struct mrd_tsdb_spooled series;
    bool more;
    unsigned encoding;
    struct mrd_bytes bytes;
    (void)snprintf(text, sizeof(text), "%06u", number);
    assert_int_equal(mrd_tsdb_spool_next(spool, &series, &more, NULL), MRD_OK);
    assert_true(more);
    assert_true(mrd_bytes_equal(series.labels.items[0].value, mrd_bytes_of(text)));
    for (unsigned i = 0; i < chunks; i++) {
        assert_true(mrd_tsdb_spooled_chunk(&series.chunks, &encoding, &bytes));
        assert_int_equal(encoding, i);
        assert_true(mrd_bytes_equal(bytes, mrd_bytes_of(text)));
    }
    assert_false(mrd_tsdb_spooled_chunk(&series.chunks, &encoding, &bytes));
}

static void end_take(struct mrd_tsdb_spool *spool)
{
    struct mrd_tsdb_spooled series;
    bool more = true;
    assert_int_equal(mrd_tsdb_spool_next(spool, &series, &more, NULL), MRD_OK);
    assert_false(more);
}

static void series_of_several_runs_come_in_order(void **state)
{
    (void)state;
    enum { PARTITIONS = 7 };
    struct mrd_tsdb_spool *spool = spool_make();
    for (unsigned p = 0; p < PARTITIONS; p++) {
        for (unsigned i = p; i < SERIES; i += PARTITIONS) {
            series_add(spool, i, 1 + i % 3);
        }
    }
    assert_int_equal(mrd_tsdb_spool_turn(spool, NULL), MRD_OK);
    for (unsigned i = 0; i < SERIES; i++) {
        series_take(spool, i, 1 + i % 3);
    }
    end_take(spool);
    mrd_tsdb_spool_destroy(&spool);
}

static void any_order_is_sorted(void **state)
{
    (void)state;
    struct mrd_tsdb_spool *spool = spool_make();
    for (unsigned i = SERIES; i-- > 0;) {
        series_add(spool, i, 2);
    }
    assert_int_equal(mrd_tsdb_spool_turn(spool, NULL), MRD_OK);
    for (unsigned i = 0; i < SERIES; i++) {
        series_take(spool, i, 2);
    }
    end_take(spool);
    mrd_tsdb_spool_destroy(&spool);
}

static void none_and_what_is_not_read_leave_nothing_behind(void **state)
{
    (void)state;
    struct mrd_tsdb_spool *spool = spool_make();
    assert_int_equal(mrd_tsdb_spool_turn(spool, NULL), MRD_OK);
    end_take(spool);
    mrd_tsdb_spool_destroy(&spool);
    spool = spool_make();
    series_add(spool, 1, 1);
    mrd_tsdb_spool_destroy(&spool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(series_of_several_runs_come_in_order, make, drop),
        cmocka_unit_test_setup_teardown(any_order_is_sorted, make, drop),
        cmocka_unit_test_setup_teardown(none_and_what_is_not_read_leave_nothing_behind, make, drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
