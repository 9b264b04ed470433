/* The suite of all stores, against an S3 service that verifies every signature. */
#include "objstore/s3_store.h"

#include "objstore/s3_fixture.h"
#include "objstore/suite.h"

static struct s3_fixture server;

static int open_all(void **state)
{
    (void)state;
    s3_fixture_start(&server, NULL, NULL);
    metrics = mrd_metrics_create();
    struct mrd_s3_options options = s3_fixture_options(&server);
    options.metrics = metrics;
    assert_ok(mrd_s3_store_open(&options, &store, err));
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    mrd_objstore_close(&store);
    mrd_metrics_destroy(&metrics);
    s3_fixture_stop(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SUITE_TESTS,
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
