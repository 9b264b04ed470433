#include "compactor/jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

enum { WAIT_MS = 60000 };

struct script {
    _Atomic unsigned rounds;
    _Atomic unsigned ends;
    _Atomic bool fatal;
    enum mrd_status answers[4]; /* of the first rounds; MRD_OK after them */
    bool until_stopped;         /* a round lasts until it is canceled */
};

static enum mrd_status play(void *context, const struct cmp_environment *environment,
                            struct mrd_error *err)
{
    struct script *script = context;
    const unsigned round = atomic_fetch_add(&script->rounds, 1);
    while (script->until_stopped && mrd_objstore_check(&environment->control, err) == MRD_OK) {
        usleep(1000);
    }
    if (script->until_stopped) {
        return mrd_objstore_check(&environment->control, err);
    }
    const enum mrd_status status =
        round < MRD_ARRAY_LEN(script->answers) ? script->answers[round] : MRD_OK;
    return status == MRD_OK ? MRD_OK : mrd_fail(err, status, "round %u", round);
}

static void end(void *context, const struct cmp_environment *environment)
{
    (void)environment;
    atomic_fetch_add(&((struct script *)context)->ends, 1);
}

static void on_fatal(void *context, const struct mrd_error *err)
{
    assert_int_equal(err->status, MRD_E_FATAL);
    atomic_store(&((struct script *)context)->fatal, true);
}

static struct cmp_jobs *jobs_of(struct script *script, struct mrd_metrics *metrics,
                                mrd_time_ms interval_ms)
{
    const struct cmp_jobs_options options = {
        .environment = {.metrics = metrics}, .on_fatal = on_fatal, .context = script};
    struct cmp_jobs *jobs = cmp_jobs_create(&options);
    const struct cmp_role role = {
        .name = "play", .interval_ms = interval_ms, .round = play, .end = end, .context = script};
    assert_int_equal(cmp_jobs_add(jobs, &role, NULL), MRD_OK);
    return jobs;
}

static void await_rounds(const struct script *script, unsigned count)
{
    for (int i = 0; i < WAIT_MS && atomic_load(&script->rounds) < count; i++) {
        usleep(1000);
    }
    assert_true(atomic_load(&script->rounds) >= count);
}

static void rounds_follow_each_other_and_end_once(void **state)
{
    (void)state;
    struct script script = {0};
    struct mrd_metrics *metrics = mrd_metrics_create();
    struct cmp_jobs *jobs = jobs_of(&script, metrics, 1);
    await_rounds(&script, 5);
    assert_int_equal(atomic_load(&script.ends), 0);
    cmp_jobs_destroy(&jobs);
    assert_int_equal(atomic_load(&script.ends), 1);
    mrd_metrics_destroy(&metrics);
}

static void a_nudge_begins_the_next_round(void **state)
{
    (void)state;
    struct script script = {0};
    struct mrd_metrics *metrics = mrd_metrics_create();
    struct cmp_jobs *jobs = jobs_of(&script, metrics, 24 * 3600 * 1000);
    await_rounds(&script, 1);
    cmp_jobs_nudge(jobs, "play");
    await_rounds(&script, 2);
    cmp_jobs_destroy(&jobs);
    mrd_metrics_destroy(&metrics);
}

static void a_round_that_fails_is_counted_and_tried_again(void **state)
{
    (void)state;
    struct script script = {
        .answers = {MRD_E_UNAVAILABLE, MRD_E_CONFLICT}
    };
    struct mrd_metrics *metrics = mrd_metrics_create();
    struct cmp_jobs *jobs = jobs_of(&script, metrics, 1);
    await_rounds(&script, 3);
    const struct mrd_counter *failures =
        mrd_metrics_counter(metrics, "meridian_compactor_round_failures_total",
                            "Rounds of the compactor's roles that failed, lost races included.",
                            MRD_LABELS({"role", "play"}));
    assert_int_equal(mrd_counter_value(failures), 2);
    assert_false(atomic_load(&script.fatal));
    cmp_jobs_destroy(&jobs);
    mrd_metrics_destroy(&metrics);
}

static void a_store_that_may_have_lost_something_ends_the_process(void **state)
{
    (void)state;
    struct script script = {.answers = {MRD_E_FATAL}};
    struct mrd_metrics *metrics = mrd_metrics_create();
    struct cmp_jobs *jobs = jobs_of(&script, metrics, 1);
    for (int i = 0; i < WAIT_MS && !atomic_load(&script.fatal); i++) {
        usleep(1000);
    }
    assert_true(atomic_load(&script.fatal));
    cmp_jobs_destroy(&jobs);
    mrd_metrics_destroy(&metrics);
}

static void the_end_cancels_what_runs(void **state)
{
    (void)state;
    struct script script = {.until_stopped = true};
    struct mrd_metrics *metrics = mrd_metrics_create();
    struct cmp_jobs *jobs = jobs_of(&script, metrics, 1);
    await_rounds(&script, 1);
    cmp_jobs_destroy(&jobs);
    assert_int_equal(atomic_load(&script.rounds), 1);
    assert_int_equal(atomic_load(&script.ends), 1);
    mrd_metrics_destroy(&metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_follow_each_other_and_end_once),
        cmocka_unit_test(a_nudge_begins_the_next_round),
        cmocka_unit_test(a_round_that_fails_is_counted_and_tried_again),
        cmocka_unit_test(a_store_that_may_have_lost_something_ends_the_process),
        cmocka_unit_test(the_end_cancels_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
