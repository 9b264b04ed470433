#include "base/parallel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { PIECES = 1000, WORKERS = 4 };

struct work {
    _Atomic int done[PIECES];
    size_t by[WORKERS]; /* each worker's own */
    size_t fails_from;
};

static enum mrd_status piece(void *context, size_t worker, size_t index, struct mrd_error *err)
{
    struct work *work = context;
    atomic_fetch_add_explicit(&work->done[index], 1, memory_order_relaxed);
    work->by[worker]++;
    if (index >= work->fails_from) {
        if (index == work->fails_from) {
            usleep(2000); /* others fail before it */
        }
        return mrd_fail(err, MRD_E_LIMIT, "piece %zu", index);
    }
    return MRD_OK;
}

static void each_piece_is_done_once(void **state)
{
    (void)state;
    for (size_t workers = 0; workers <= WORKERS; workers++) {
        struct work work = {.fails_from = PIECES};
        const struct mrd_parallel parallel = {"test", workers, PIECES, piece, &work};
        struct mrd_error err = {0};
        size_t sum = 0;
        assert_int_equal(mrd_parallel_run(&parallel, &err), MRD_OK);
        for (size_t i = 0; i < PIECES; i++) {
            assert_int_equal(work.done[i], 1);
        }
        for (size_t i = 0; i < WORKERS; i++) {
            assert_true(i < MRD_MAX(workers, (size_t)1) || work.by[i] == 0);
            sum += work.by[i];
        }
        assert_int_equal(sum, PIECES);
    }
}

static void the_first_in_order_that_fails_is_told(void **state)
{
    (void)state;
    for (size_t workers = 1; workers <= WORKERS; workers++) {
        struct work work = {.fails_from = 500};
        const struct mrd_parallel parallel = {"test", workers, PIECES, piece, &work};
        struct mrd_error err = {0};
        assert_int_equal(mrd_parallel_run(&parallel, &err), MRD_E_LIMIT);
        assert_string_equal(err.text, "piece 500");
        for (size_t i = 0; i <= 500; i++) {
            assert_int_equal(work.done[i], 1);
        }
        assert_int_equal(work.done[PIECES - 1], 0);
    }
}

static void nothing_is_nothing(void **state)
{
    (void)state;
    const struct mrd_parallel parallel = {"test", WORKERS, 0, piece, NULL};
    assert_int_equal(mrd_parallel_run(&parallel, NULL), MRD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_piece_is_done_once),
        cmocka_unit_test(the_first_in_order_that_fails_is_told),
        cmocka_unit_test(nothing_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
