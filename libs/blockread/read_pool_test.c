#include "blockread/read_pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"

enum { THREADS = 2, HEAVY = 20, WAIT_SECONDS = 60 };

struct job {
    struct mrd_read_job job; /* first */
    _Atomic bool *gate;      /* it ends when this is open; NULL: at once */
    _Atomic int *running;
    _Atomic int runs;
};

static void run(struct mrd_read_job *job)
{
    struct job *self = (struct job *)job;
    if (self->running != NULL) {
        atomic_fetch_add(self->running, 1);
    }
    while (self->gate != NULL && !atomic_load(self->gate)) {
        usleep(1000);
    }
    atomic_fetch_add(&self->runs, 1);
}

static void wait_for(const _Atomic int *value, int wanted)
{
    for (int i = 0; i < WAIT_SECONDS * 1000 && atomic_load(value) < wanted; i++) {
        usleep(1000);
    }
    assert_true(atomic_load(value) >= wanted);
}

/* One tenant has many jobs that do not end; another one's runs all the same. */
static void no_tenant_keeps_another_waiting(void **state)
{
    (void)state;
    struct mrd_read_pool *pool = NULL;
    struct job heavy[HEAVY];
    _Atomic bool gate = false;
    _Atomic int running = 0;
    assert_int_equal(mrd_read_pool_create(THREADS, &pool, NULL), MRD_OK);
    for (size_t i = 0; i < HEAVY; i++) {
        heavy[i] = (struct job){
            .job = {.run = run, .tenant = 1},
              .gate = &gate, .running = &running
        };
        mrd_read_pool_post(pool, &heavy[i].job);
    }
    wait_for(&running, 1);
    for (int i = 0; i < 3; i++) {
        struct job light = {
            .job = {.run = run, .tenant = 2}
        };
        mrd_read_pool_post(pool, &light.job);
        wait_for(&light.runs, 1);
    }
    assert_int_equal(atomic_load(&running), THREADS - 1);
    atomic_store(&gate, true);
    for (size_t i = 0; i < HEAVY; i++) {
        wait_for(&heavy[i].runs, 1);
    }
    mrd_read_pool_destroy(&pool);
}

/* As a reader does that has made a batch, while others come and go. */
static void a_job_may_be_posted_again(void **state)
{
    (void)state;
    struct mrd_read_pool *pool = NULL;
    struct job jobs[3] = {
        {.job = {.run = run, .tenant = 1}},
        {.job = {.run = run, .tenant = 1}},
        {.job = {.run = run, .tenant = 2}},
    };
    assert_int_equal(mrd_read_pool_create(1, &pool, NULL), MRD_OK);
    for (int round = 1; round <= 200; round++) {
        for (size_t i = 0; i < MRD_ARRAY_LEN(jobs); i++) {
            mrd_read_pool_post(pool, &jobs[i].job);
        }
        for (size_t i = 0; i < MRD_ARRAY_LEN(jobs); i++) {
            wait_for(&jobs[i].runs, round);
        }
    }
    mrd_read_pool_destroy(&pool);
    mrd_read_pool_destroy(&pool); /* NULL by now */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_tenant_keeps_another_waiting),
        cmocka_unit_test(a_job_may_be_posted_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
