#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "iceberg/rest.h"

/* A catalog of one tenant with one table, whose look-ups may fail. */
struct fixture {
    enum mrd_status status;
    size_t finds;
};

static enum mrd_status list(void *context, struct mrd_bytes tenant,
                            const struct mrd_objstore_control *control, struct mrd_arena *arena,
                            const char *const **out_names, size_t *out_count, struct mrd_error *err)
{
    static const char *const names[] = {"samples"};
    const struct fixture *fixture = context;
    (void)control, (void)arena;
    if (fixture->status != MRD_OK) {
        return mrd_fail(err, fixture->status, "the catalog says \"no\"");
    }
    *out_names = names;
    *out_count = mrd_bytes_equal(tenant, MRD_BYTES("acme")) ? 1 : 0;
    return MRD_OK;
}

static enum mrd_status find(void *context, struct mrd_bytes tenant, struct mrd_bytes name,
                            const struct mrd_objstore_control *control, struct mrd_arena *arena,
                            struct mrd_iceberg_place *out, struct mrd_error *err)
{
    struct fixture *fixture = context;
    (void)control, (void)arena;
    fixture->finds++;
    if (fixture->status != MRD_OK) {
        return mrd_fail(err, fixture->status, "the catalog says \"no\"");
    }
    if (!mrd_bytes_equal(tenant, MRD_BYTES("acme")) ||
        !mrd_bytes_equal(name, MRD_BYTES("samples"))) {
        return mrd_fail(err, MRD_E_NOT_FOUND, "no such table");
    }
    *out = (struct mrd_iceberg_place){
        .table = {.root = "file:///x", .path = "eu/acme/samples"},
        .metadata_key = "eu/acme/samples/metadata/00007-aa-bb.metadata.json"
    };
    return MRD_OK;
}

static struct mrd_iceberg_rest_reply ask(struct fixture *fixture,
                                         const struct mrd_iceberg_rest_request *request)
{
    const struct mrd_iceberg_source source = {fixture, list, find};
    const struct mrd_iceberg_rest rest = {"eu", fixture == NULL ? NULL : &source, 1 << 20};
    struct mrd_iceberg_rest_reply reply = {0};
    mrd_iceberg_rest_answer(&rest, request, &reply);
    mrd_buf_append_u8(&reply.body, 0);
    return reply;
}

static struct mrd_iceberg_rest_request get(const char *path)
{
    return (struct mrd_iceberg_rest_request){
        .method = MRD_ICEBERG_REST_GET, .path = mrd_bytes_of(path), .tenant = MRD_BYTES("acme")};
}

static void expect(struct mrd_iceberg_rest_reply *reply, unsigned status, const char *body)
{
    if (reply->status != status || strcmp((const char *)reply->body.data, body) != 0) {
        fail_msg("%u %s, not %u %s", reply->status, (const char *)reply->body.data, status, body);
    }
    mrd_buf_fini(&reply->body);
}

static void without_block_storage_every_answer_says_so(void **state)
{
    (void)state;
    static const char *const paths[] = {"v1/config", "v1/eu/namespaces",
                                        "v1/eu/namespaces/acme/tables/samples", "x"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(paths); i++) {
        const struct mrd_iceberg_rest_request request = get(paths[i]);
        struct mrd_iceberg_rest_reply reply = ask(NULL, &request);
        expect(&reply, 501,
               "{\"error\":{\"message\":\"block storage is not configured in this region, so there "
               "are no Iceberg tables\",\"type\":\"UnsupportedOperationException\",\"code\":501}}");
    }
}

static void answers_have_the_forms_of_the_specification(void **state)
{
    (void)state;
    static const struct {
        const char *path, *body;
    } cases[] = {
        {"v1/eu/namespaces",             "{\"namespaces\":[[\"acme\"]]}"               },
        {"v1/eu/namespaces/acme",        "{\"namespace\":[\"acme\"],\"properties\":{}}"},
        {"v1/eu/namespaces/%61cme",      "{\"namespace\":[\"acme\"],\"properties\":{}}"},
        {"v1/eu/namespaces/acme/tables",
         "{\"identifiers\":[{\"namespace\":[\"acme\"],\"name\":\"samples\"}]}"         },
        {"v1/eu/namespaces/acme/views",
         "{\"identifiers\":[{\"namespace\":[\"acme\"],\"name\":\"samples_plain\"}]}"   },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct fixture fixture = {MRD_OK, 0};
        const struct mrd_iceberg_rest_request request = get(cases[i].path);
        struct mrd_iceberg_rest_reply reply = ask(&fixture, &request);
        expect(&reply, 200, cases[i].body);
    }
}

static void failures_of_the_catalog_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        enum mrd_status status;
        unsigned want;
    } cases[] = {
        {MRD_E_UNAVAILABLE, 503},
        {MRD_E_TIMEOUT,     503},
        {MRD_E_CORRUPT,     500},
        {MRD_E_DENIED,      500},
        {MRD_E_LIMIT,       500},
    };
    static const char *const paths[] = {
        "v1/eu/namespaces/acme/tables", "v1/eu/namespaces/acme/tables/samples",
        "v1/eu/namespaces/acme/views", "v1/eu/namespaces/acme/views/samples_plain"};
    enum { PATHS = MRD_ARRAY_LEN(paths) };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases) * PATHS; i++) {
        struct fixture fixture = {cases[i / PATHS].status, 0};
        const struct mrd_iceberg_rest_request request = get(paths[i % PATHS]);
        struct mrd_iceberg_rest_reply reply = ask(&fixture, &request);
        assert_int_equal(reply.status, cases[i / PATHS].want);
        assert_non_null(strstr((const char *)reply.body.data, "the catalog says \\\"no\\\""));
        mrd_buf_fini(&reply.body);
    }
}

/* Nothing of another tenant is even looked up, and what was asked for is what is not there. */
static void other_namespaces_are_not_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *path, *want;
    } cases[] = {
        {"v1/eu/namespaces/other",                       "NoSuchNamespaceException"},
        {"v1/eu/namespaces/other/tables",                "NoSuchNamespaceException"},
        {"v1/eu/namespaces/other/views",                 "NoSuchNamespaceException"},
        {"v1/eu/namespaces/other/tables/samples",        "NoSuchTableException"    },
        {"v1/eu/namespaces/acme%1fsamples/tables/files", "NoSuchTableException"    },
        {"v1/eu/namespaces/other/views/samples_plain",   "NoSuchViewException"     },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct fixture fixture = {MRD_OK, 0};
        const struct mrd_iceberg_rest_request request = get(cases[i].path);
        struct mrd_iceberg_rest_reply reply = ask(&fixture, &request);
        assert_int_equal(reply.status, 404);
        assert_non_null(strstr((const char *)reply.body.data, cases[i].want));
        assert_int_equal(fixture.finds, 0);
        mrd_buf_fini(&reply.body);
    }
}

/* Only one name is a view's; it is there as long as the table is. */
static void views_that_are_not_there_are_told_apart(void **state)
{
    (void)state;
    static const char *const names[] = {"samples", "samples_plai", "samples_plain2", "%ff"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(names); i++) {
        char path[64];
        struct fixture fixture = {MRD_OK, 0};
        (void)snprintf(path, sizeof(path), "v1/eu/namespaces/acme/views/%s", names[i]);
        const struct mrd_iceberg_rest_request request = get(path);
        struct mrd_iceberg_rest_reply reply = ask(&fixture, &request);
        assert_int_equal(reply.status, 404);
        assert_non_null(strstr((const char *)reply.body.data, "NoSuchViewException"));
        assert_int_equal(fixture.finds, 0);
        mrd_buf_fini(&reply.body);
    }
    static const struct {
        const char *tenant, *path;
        unsigned want;
    } cases[] = {
        {"acme",   "v1/eu/namespaces/acme/views/samples_plain",   204},
        {"nobody", "v1/eu/namespaces/nobody/views/samples_plain", 404},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct fixture fixture = {MRD_OK, 0};
        struct mrd_iceberg_rest_request request = get(cases[i].path);
        request.tenant = mrd_bytes_of(cases[i].tenant);
        request.method = MRD_ICEBERG_REST_HEAD;
        struct mrd_iceberg_rest_reply reply = ask(&fixture, &request);
        assert_int_equal(reply.status, cases[i].want);
        assert_int_equal(fixture.finds, 1);
        mrd_buf_fini(&reply.body);
    }
}

/* The key says which version it is, so the store is not asked: there is none here. */
static void an_etag_that_still_holds_reads_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *header, *snapshots, *etag;
    } cases[] = {
        {"\"00007-aa-bb\"",      "",     "\"00007-aa-bb\""     },
        {"\"00007-aa-bb-refs\"", "refs", "\"00007-aa-bb-refs\""},
        {"*",                    "all",  "\"00007-aa-bb\""     },
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        struct fixture fixture = {MRD_OK, 0};
        struct mrd_iceberg_rest_request request = get("v1/eu/namespaces/acme/tables/samples");
        request.if_none_match = mrd_bytes_of(cases[i].header);
        request.snapshots = mrd_bytes_of(cases[i].snapshots);
        struct mrd_iceberg_rest_reply reply = ask(&fixture, &request);
        assert_string_equal(reply.etag, cases[i].etag);
        expect(&reply, 304, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_block_storage_every_answer_says_so),
        cmocka_unit_test(answers_have_the_forms_of_the_specification),
        cmocka_unit_test(failures_of_the_catalog_are_told_apart),
        cmocka_unit_test(other_namespaces_are_not_asked_for),
        cmocka_unit_test(an_etag_that_still_holds_reads_nothing),
        cmocka_unit_test(views_that_are_not_there_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
