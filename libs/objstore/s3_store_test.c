/* The suite of all stores, against an S3 service that verifies every signature: the fixture's, or any
 * that MERIDIAN_TEST_S3_ENDPOINT, _REGION and _BUCKET name, with credentials from AWS_* variables. */
#include "objstore/s3_store.h"

#include "objstore/s3_fixture.h"
#include "objstore/suite.h"

static struct s3_fixture server;
static char prefix[64]; /* of this run: a real bucket keeps what a failed one has left */

/* Of a service that somebody runs elsewhere. */
static struct mrd_s3_options foreign_options(const char *endpoint)
{
    (void)snprintf(prefix, sizeof(prefix), "meridian-test-%d-%ld/", (int)getpid(),
                   (long)mrd_clock_now_ms(mrd_clock_system()));
    return (struct mrd_s3_options){.endpoint = endpoint,
                                   .region = getenv("MERIDIAN_TEST_S3_REGION"),
                                   .bucket = getenv("MERIDIAN_TEST_S3_BUCKET"),
                                   .prefix = prefix,
                                   .path_style = true,
                                   .credentials = {.environment = environ}};
}

static int open_all(void **state)
{
    (void)state;
    const char *endpoint = getenv("MERIDIAN_TEST_S3_ENDPOINT");
    if (endpoint == NULL) {
        s3_fixture_start(&server, NULL, NULL);
    }
    metrics = mrd_metrics_create();
    struct mrd_s3_options options =
        endpoint == NULL ? s3_fixture_options(&server) : foreign_options(endpoint);
    options.metrics = metrics;
    assert_ok(mrd_s3_store_open(&options, &store, err));
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    mrd_objstore_close(&store);
    mrd_metrics_destroy(&metrics);
    if (server.pid != 0) {
        s3_fixture_stop(&server);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SUITE_TESTS,
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
