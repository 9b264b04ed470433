/* What the S3 store does when the service or the way to it fails. The server does as it is told, and its
 * log says how often it was asked. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "objstore/s3_fixture.h"

static struct s3_fixture server;
static struct mrd_objstore *store;
static struct mrd_metrics *metrics;
static struct mrd_error told;

static struct mrd_objstore *open_with(const struct mrd_s3_options *options)
{
    struct mrd_objstore *opened = NULL;
    struct mrd_error err = {0};
    if (mrd_s3_store_open(options, &opened, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    return opened;
}

static int open_all(void **state)
{
    (void)state;
    s3_fixture_start(&server, NULL, NULL);
    metrics = mrd_metrics_create();
    struct mrd_s3_options options = s3_fixture_options(&server);
    options.metrics = metrics;
    store = open_with(&options);
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

/* ---- telling and asking the server ---- */

static void say(const char *path, const char *body)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf out = {0};
    s3_fixture_say(&server, path, body, &out);
}

/* Requests since the last look. */
static size_t requests(void)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf out = {0};
    s3_fixture_say(&server, "log", "", &out);
    size_t lines = 0;
    for (size_t i = 0; i + 1 < out.size; i++) { /* the last line end stands alone in an empty log */
        lines += out.data[i] == '\n' || i == 0;
    }
    return lines;
}

static size_t uploads_under_way(void)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf out = {0};
    s3_fixture_say(&server, "uploads", "", &out);
    mrd_buf_append_u8(&out, 0);
    return (size_t)atoi((const char *)out.data);
}

static void order(const char *faults)
{
    say("faults", faults);
    (void)requests();
}

static void assert_object(const char *key, const char *want)
{
    order("");
    mrd_auto(mrd_buf_fini)
    struct mrd_buf got = {0};
    const enum mrd_status status = mrd_objstore_get(store, key, 1 << 20, NULL, &got, NULL);
    if (want == NULL) {
        assert_int_equal(status, MRD_E_NOT_FOUND);
        return;
    }
    assert_int_equal(status, MRD_OK);
    assert_true(mrd_bytes_equal(mrd_buf_view(&got), mrd_bytes_of(want)));
}

static enum mrd_status put(const char *key, const char *text)
{
    return mrd_objstore_put(store, key, mrd_bytes_of(text), NULL, &told);
}

static enum mrd_status put_once(const char *key, const char *text)
{
    return mrd_objstore_put_if_absent(store, key, mrd_bytes_of(text), NULL, &told);
}

static enum mrd_status get(const char *key)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf got = {0};
    return mrd_objstore_get(store, key, 1 << 20, NULL, &got, &told);
}

static bool is_told(const char *text) { return strstr(told.text, text) != NULL; }

/* ---- what passes is tried again ---- */

static void passing_failures_are_tried_again(void **state)
{
    (void)state;
    static const char *const faults[] = {
        "status times=3", /* 503 SlowDown */
        "status times=2 status=500 code=InternalError",
        "status status=400 code=RequestTimeout",
        "status status=429 code=",
        "body status=502 text=<html>bad gateway",
        "drop_before times=2",
        "drop_after times=2",
        "reset",
        "raw text=SSH-2.0-x\\r\\n",
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(faults); i++) {
        order(faults[i]);
        if (put("again/x", faults[i]) != MRD_OK) {
            fail_msg("%s: %s", faults[i], told.text);
        }
        const size_t asked = requests();
        if (asked < 2) {
            fail_msg("%s: asked %zu times", faults[i], asked);
        }
        assert_object("again/x", faults[i]);
        order(faults[i]);
        if (get("again/x") != MRD_OK) {
            fail_msg("%s: %s", faults[i], told.text);
        }
    }
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    mrd_metrics_write(metrics, &text);
    mrd_buf_append_u8(&text, 0);
    assert_non_null(
        strstr((const char *)text.data, "meridian_objstore_s3_requests_total{status=\"503\"} "));
    assert_null(strstr((const char *)text.data, "meridian_objstore_s3_retries_total 0\n"));
}

static void an_answer_that_stalls_is_given_up(void **state)
{
    (void)state;
    struct mrd_s3_options options = s3_fixture_options(&server);
    options.stall_timeout_ms = 1000;
    struct mrd_objstore *hasty = open_with(&options);
    static const char *const faults[] = {"stall seconds=4", "stall_body seconds=4"};
    assert_int_equal(put("stalls/x", "0123456789"), MRD_OK);
    for (size_t i = 0; i < MRD_ARRAY_LEN(faults); i++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf got = {0};
        order(faults[i]);
        assert_int_equal(mrd_objstore_get(hasty, "stalls/x", 100, NULL, &got, &told), MRD_OK);
        assert_true(mrd_bytes_equal(mrd_buf_view(&got), MRD_BYTES("0123456789")));
        assert_true(requests() >= 2);
    }
    mrd_objstore_close(&hasty);
}

static void what_does_not_pass_is_given_up(void **state)
{
    (void)state;
    order("status times=100");
    assert_int_equal(put("up/x", "1"), MRD_E_UNAVAILABLE);
    assert_true(is_told("SlowDown") && is_told("up/x"));
    assert_int_equal(requests(), 5);
    assert_object("up/x", NULL);
}

static void what_would_not_help_is_not_tried_again(void **state)
{
    (void)state;
    static const struct {
        const char *fault;
        enum mrd_status want;
        const char *text;
    } cases[] = {
        {"status status=403 code=AccessDenied",   MRD_E_DENIED,      "AccessDenied"    },
        {"status status=404 code=NoSuchBucket",   MRD_E_INVALID,     "NoSuchBucket"    },
        {"status status=400 code=InvalidRequest", MRD_E_INVALID,     "InvalidRequest"  },
        {"status status=501 code=NotImplemented", MRD_E_UNSUPPORTED, "NotImplemented"  },
        {"redirect",                              MRD_E_INVALID,     "region eu-west-9"},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        order(cases[i].fault);
        assert_int_equal(put("help/x", "1"), cases[i].want);
        if (!is_told(cases[i].text)) {
            fail_msg("%s: %s", cases[i].fault, told.text);
        }
        assert_int_equal(requests(), 1);
    }
}

/* ---- the commit ---- */

static void a_lost_reply_of_a_commit_is_decided(void **state)
{
    (void)state;
    order("drop_after method=PUT");
    assert_int_equal(put_once("commit/1", "ours"), MRD_OK);
    assert_true(requests() >= 3); /* lost, 412, read back */
    assert_object("commit/1", "ours");

    order("drop_before method=PUT");
    assert_int_equal(put_once("commit/2", "ours"), MRD_OK);
    assert_object("commit/2", "ours");

    assert_int_equal(put_once("commit/3", "theirs"), MRD_OK);
    order("drop_after method=PUT");
    assert_int_equal(put_once("commit/3", "ours"), MRD_E_CONFLICT);
    assert_object("commit/3", "theirs");
}

static void a_commit_that_cannot_be_decided_is_no_verdict(void **state)
{
    (void)state;
    /* Done, but neither the reply nor anything else comes through. */
    order("drop_after method=PUT times=1\ndrop_before times=99");
    assert_int_equal(put_once("doubt/1", "ours"), MRD_E_UNAVAILABLE);
    order("");
    assert_int_equal(put_once("doubt/1", "ours"), MRD_OK); /* asked again, it is known */
    assert_int_equal(put_once("doubt/1", "theirs"), MRD_E_CONFLICT);
    /* 412, but the object cannot be read. */
    order("status method=GET times=99");
    assert_int_equal(put_once("doubt/1", "ours"), MRD_E_UNAVAILABLE);
    assert_object("doubt/1", "ours");
}

static void a_commit_that_meets_another_under_way_is_tried_again(void **state)
{
    (void)state;
    order("status method=PUT status=409 code=ConditionalRequestConflict");
    assert_int_equal(put_once("meets/1", "ours"), MRD_OK);
    assert_int_equal(requests(), 2);
}

static void a_service_that_ignores_conditions_is_unfit(void **state)
{
    (void)state;
    order("ignore_condition method=PUT header=if-none-match times=9");
    assert_int_equal(mrd_objstore_probe(store, "fit/", NULL, &told), MRD_E_UNSUPPORTED);
    assert_true(is_told("conditional"));
    order("");
    assert_int_equal(mrd_objstore_probe(store, "fit/", NULL, &told), MRD_OK);
}

static void an_answer_that_is_not_of_s3_is_no_success(void **state)
{
    (void)state;
    order("body method=PUT status=200 text=<html>welcome");
    assert_int_equal(put("portal/x", "1"), MRD_E_UNAVAILABLE);
    assert_true(is_told("is objstore.s3.endpoint an S3 service?"));
    order("body method=PUT status=200 text=<html>welcome");
    assert_int_equal(put_once("portal/x", "1"), MRD_E_UNAVAILABLE);
    assert_object("portal/x", NULL);
}

/* ---- many puts ---- */

enum { MANY_PUTS = 100, MANY_KEY_SIZE = 32 };

static enum mrd_status put_many(const char *prefix, const char *text)
{
    static char keys[MANY_PUTS][MANY_KEY_SIZE];
    struct mrd_objstore_item items[MANY_PUTS];
    for (size_t i = 0; i < MANY_PUTS; i++) {
        (void)snprintf(keys[i], MANY_KEY_SIZE, "%s/%zu", prefix, i);
        items[i] = (struct mrd_objstore_item){keys[i], mrd_bytes_of(text),
                                              (enum mrd_objstore_item_kind)(i % 3)};
    }
    return mrd_objstore_put_many(store, items, MANY_PUTS, NULL, &told);
}

static void assert_many(const char *prefix, const char *want)
{
    for (size_t i = 0; i < MANY_PUTS; i++) {
        char key[MANY_KEY_SIZE];
        (void)snprintf(key, sizeof(key), "%s/%zu", prefix, i);
        assert_object(key, want);
    }
}

static void many_puts_survive_failures_of_some(void **state)
{
    (void)state;
    static const char *const faults[] = {
        "status method=PUT times=30",
        "drop_before method=PUT times=10",
        "drop_after method=PUT times=10", /* some of them conditional: read back */
        "status method=PUT status=409 code=ConditionalRequestConflict times=5",
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(faults); i++) {
        char prefix[16];
        (void)snprintf(prefix, sizeof(prefix), "puts-%zu", i);
        order(faults[i]);
        if (put_many(prefix, faults[i]) != MRD_OK) {
            fail_msg("%s: %s", faults[i], told.text);
        }
        assert_true(requests() > MANY_PUTS);
        assert_many(prefix, faults[i]);
    }
}

static void many_puts_say_what_has_failed(void **state)
{
    (void)state;
    order("status method=PUT times=9999");
    assert_int_equal(put_many("failing", "1"), MRD_E_UNAVAILABLE);
    /* Of the puts before, some may still come to the server, and take a fault that is there once. */
    order("body method=PUT status=200 times=9999 text=<html>welcome");
    assert_int_equal(put_many("failing", "1"), MRD_E_UNAVAILABLE);
    assert_true(is_told("is objstore.s3.endpoint an S3 service?"));
    order("");
    assert_int_equal(put_once("taken/91", "theirs"),
                     MRD_OK); /* 91 % 3 is 1: it must not be there */
    assert_int_equal(put_many("taken", "1"), MRD_E_CONFLICT);
    assert_true(is_told("taken/91"));
    assert_object("taken/91", "theirs");
    assert_int_equal(mrd_objstore_delete(store, "taken/91", NULL, &told), MRD_OK);
    assert_int_equal(put_many("taken", "1"), MRD_OK);
    assert_many("taken", "1");
}

/* ---- what comes back damaged ---- */

static void damage_on_the_way_is_found(void **state)
{
    (void)state;
    assert_int_equal(put("way/x", "0123456789"), MRD_OK);
    static const char *const once[] = {
        "truncate method=GET",
        "raw method=GET text=HTTP/1.1 200 OK\\r\\n\\r\\n0123", /* ends with the connection */
        "corrupt method=GET",                                  /* the service's CRC-32C tells */
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(once); i++) {
        order(once[i]);
        mrd_auto(mrd_buf_fini)
        struct mrd_buf got = {0};
        mrd_buf_append_text(&got, ">");
        assert_int_equal(mrd_objstore_get(store, "way/x", 100, NULL, &got, NULL), MRD_OK);
        assert_true(mrd_bytes_equal(mrd_buf_view(&got), MRD_BYTES(">0123456789")));
        assert_int_equal(requests(), 2);
    }
    order("corrupt method=GET times=99");
    assert_int_equal(get("way/x"), MRD_E_CORRUPT);
    assert_true(is_told("CRC-32C"));
    order("truncate method=GET times=99");
    assert_int_equal(get("way/x"), MRD_E_UNAVAILABLE);
}

static void ranges_survive_failures_of_some_requests(void **state)
{
    (void)state;
    enum { COUNT = 40, STEP = 300000 };
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    for (uint32_t i = 0; i < COUNT * STEP / 4; i++) {
        mrd_buf_append_u32(&bytes, i * 2654435761U);
    }
    assert_int_equal(mrd_objstore_put(store, "some/x", mrd_buf_view(&bytes), NULL, NULL), MRD_OK);
    static uint8_t data[COUNT][64];
    struct mrd_objstore_range ranges[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        ranges[i] = (struct mrd_objstore_range){i * STEP, sizeof(data[i]), data[i]};
    }
    order("drop_after skip=3 times=5\nstatus skip=9 times=4\ntruncate skip=5 times=3");
    assert_int_equal(mrd_objstore_read(store, "some/x", ranges, COUNT, NULL, &told), MRD_OK);
    assert_int_equal(requests(), COUNT + 12);
    for (size_t i = 0; i < COUNT; i++) {
        assert_memory_equal(data[i], bytes.data + i * STEP, sizeof(data[i]));
    }
    /* Neighbours are asked for together: 40 ranges within 256 KiB of each other are one request. */
    for (size_t i = 0; i < COUNT; i++) {
        ranges[i].offset = i * 1000;
    }
    order("");
    assert_int_equal(mrd_objstore_read(store, "some/x", ranges, COUNT, NULL, &told), MRD_OK);
    assert_int_equal(requests(), 1);
}

static void a_long_range_comes_in_pieces(void **state)
{
    (void)state;
    enum { SIZE = (16 << 20) + 5000 };
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    for (uint32_t i = 0; i < SIZE / 4; i++) {
        mrd_buf_append_u32(&bytes, i * 2654435761U);
    }
    uint8_t *got = malloc(SIZE);
    assert_non_null(got);
    order("");
    assert_int_equal(mrd_objstore_put(store, "long/x", mrd_buf_view(&bytes), NULL, NULL), MRD_OK);
    const struct mrd_objstore_range ranges[] = {
        {.offset = 1,          .size = SIZE - 101, .data = got             },
        {.offset = SIZE - 100, .size = 100,        .data = got + SIZE - 100},
    };
    (void)requests();
    assert_int_equal(mrd_objstore_read(store, "long/x", ranges, 2, NULL, &told), MRD_OK);
    assert_int_equal(requests(), 3);
    assert_memory_equal(got, bytes.data + 1, SIZE - 101);
    assert_memory_equal(got + SIZE - 100, bytes.data + SIZE - 100, 100);
    free(got);
}

static void an_answer_to_another_range_is_refused(void **state)
{
    (void)state;
    uint8_t data[4];
    const struct mrd_objstore_range range = {2, sizeof(data), data};
    assert_int_equal(put("other/x", "0123456789"), MRD_OK);
    order("other_range");
    assert_int_equal(mrd_objstore_read(store, "other/x", &range, 1, NULL, &told), MRD_E_CORRUPT);
    order("status_200");
    assert_int_equal(mrd_objstore_read(store, "other/x", &range, 1, NULL, &told),
                     MRD_E_UNSUPPORTED);
    assert_true(is_told("does not read ranges"));
}

static bool visit_all(void *context, const struct mrd_objstore_entry *entry)
{
    (void)entry;
    ++*(size_t *)context;
    return true;
}

static void an_answer_that_is_no_listing_is_refused(void **state)
{
    (void)state;
#define LIST(inner) "body status=200 text=<ListBucketResult>" inner "</ListBucketResult>"
#define ENTRY(key)                                                                                 \
    "<Contents><Key>some/where/" key                                                               \
    "</Key><Size>1</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
    static const char *const bad[] = {
        "body status=200 text=",
        "body status=200 text={}",
        "body status=200 text=<ListBucketResult>",
        "body status=200 text=<!DOCTYPE a [<!ENTITY x 'y'>]><ListBucketResult/>",
        "body status=200 text=<html><body>welcome</body></html>",
        "endless",
        LIST("<IsTruncated>true</IsTruncated>"),
        LIST("<IsTruncated>perhaps</IsTruncated>"),
        LIST("<Contents><Key>some/where/a</Key></Contents>"),
        LIST(ENTRY("b") ENTRY("a")),
        LIST(ENTRY("a") ENTRY("a")),
        LIST("<Contents><Key>else/a</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</"
             "LastModified></Contents>"),
        LIST("<Contents><Key>some/where/a</Key><Size>-1</Size></Contents>"),
        LIST("<Contents><Key>some/where/%zz</Key></Contents>"),
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad); i++) {
        size_t count = 0;
        order(bad[i]);
        const enum mrd_status status =
            mrd_objstore_list(store, "", "", visit_all, &count, NULL, &told);
        if (status != MRD_E_CORRUPT) {
            fail_msg("%s: %s %s", bad[i], mrd_status_name(status), told.text);
        }
    }
    size_t count = 0; /* keys of others are passed over, in whatever bytes */
    order(LIST(ENTRY(".odd") ENTRY("a") ENTRY("b%20c") ENTRY("d+e") ENTRY("%c3%a4")));
    assert_int_equal(mrd_objstore_list(store, "", "", visit_all, &count, NULL, NULL), MRD_OK);
    assert_int_equal(count, 1);
}

/* ---- uploads ---- */

enum { UPLOAD_SIZE = (5 << 20) + 1000 }; /* two parts */

static enum mrd_status upload(const char *key)
{
    static uint8_t bytes[UPLOAD_SIZE];
    for (size_t i = 0; i < UPLOAD_SIZE; i += 4096) {
        bytes[i] = (uint8_t)(i >> 12);
    }
    mrd_auto(mrd_objstore_upload_destroy)
    struct mrd_objstore_upload *begun = NULL;
    MRD_TRY(mrd_objstore_upload_begin(store, key, NULL, &begun, &told));
    MRD_TRY(mrd_objstore_upload_write(begun, (struct mrd_bytes){bytes, UPLOAD_SIZE}, &told));
    return mrd_objstore_upload_finish(begun, &told);
}

#define LATE_ERROR                                                                                 \
    "body method=POST contains=uploadId= status=200 "                                              \
    "text=<Error><Code>InternalError</Code></Error>"

static void an_upload_survives_lost_replies(void **state)
{
    (void)state;
    static const char *const faults[] = {
        "drop_after method=POST contains=uploads=",
        "drop_after method=PUT contains=partNumber=2",
        "drop_after method=POST contains=uploadId=", /* HEAD decides */
        LATE_ERROR,
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(faults); i++) {
        struct mrd_objstore_info info = {0};
        order(faults[i]);
        if (upload("survives/x") != MRD_OK) {
            fail_msg("%s: %s", faults[i], told.text);
        }
        assert_int_equal(mrd_objstore_head(store, "survives/x", NULL, &info, NULL), MRD_OK);
        assert_int_equal(info.size, UPLOAD_SIZE);
        assert_int_equal(mrd_objstore_delete(store, "survives/x", NULL, NULL), MRD_OK);
    }
    assert_int_equal(uploads_under_way(), 1); /* begun twice, as its reply was lost */
    say("age", "7200");
    assert_int_equal(mrd_objstore_sweep(store, 10800000, NULL, NULL), MRD_OK);
    assert_int_equal(uploads_under_way(), 1);
    assert_int_equal(mrd_objstore_sweep(store, 3600000, NULL, NULL), MRD_OK);
    assert_int_equal(uploads_under_way(), 0);
}

static void an_upload_that_fails_is_taken_back(void **state)
{
    (void)state;
    static const struct {
        const char *fault;
        enum mrd_status want;
    } cases[] = {
        {"status method=PUT contains=partNumber=2 times=99",                   MRD_E_UNAVAILABLE},
        {"wrong_etag method=PUT contains=partNumber=1",
         MRD_E_INVALID                                                                          }, /* InvalidPart, at the end */
        {"no_etag method=PUT contains=partNumber=1",                           MRD_E_CORRUPT    },
        {"body method=POST contains=uploads= status=200 text=<a/>",            MRD_E_CORRUPT    },
        {"drop_before method=POST contains=uploadId= times=99",                MRD_E_UNAVAILABLE},
        {"status method=POST contains=uploadId= status=404 code=NoSuchUpload", MRD_E_UNAVAILABLE},
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        order(cases[i].fault);
        const enum mrd_status status = upload("back/x");
        if (status != cases[i].want) {
            fail_msg("%s: %s %s", cases[i].fault, mrd_status_name(status), told.text);
        }
        assert_object("back/x", NULL);
        assert_int_equal(uploads_under_way(), 0);
    }
}

static void many_leftovers_are_swept_by_pages(void **state)
{
    (void)state;
    order("status method=DELETE status=403 code=AccessDenied times=5\nstatus method=POST "
          "contains=uploadId= status=400 code=x times=5");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(upload("left/x"), MRD_E_INVALID);
    }
    assert_int_equal(uploads_under_way(), 5); /* could not be taken back */
    order("");
    assert_int_equal(mrd_objstore_sweep(store, 0, NULL, NULL), MRD_OK);
    assert_int_equal(uploads_under_way(), 0);
}

static void a_key_that_may_not_be_deleted_is_told(void **state)
{
    (void)state;
    const char *keys[] = {"several/a", "several/locked", "several/b"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(put(keys[i], "1"), MRD_OK);
    }
    assert_int_equal(mrd_objstore_delete_many(store, keys, 3, NULL, &told), MRD_E_DENIED);
    assert_true(is_told("AccessDenied"));
    assert_object("several/b", NULL);
}

/* ---- waiting ---- */

static void *cancel_soon(void *context)
{
    usleep(100000);
    atomic_store((_Atomic bool *)context, true);
    return NULL;
}

static void a_call_ends_when_it_is_canceled_or_over(void **state)
{
    (void)state;
    assert_int_equal(put("ends/x", "1"), MRD_OK);
    _Atomic bool canceled = false;
    const struct mrd_objstore_control by_flag = {.canceled = &canceled};
    pthread_t thread;
    order("stall seconds=0.9");
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &canceled), 0);
    struct mrd_objstore_info info;
    assert_int_equal(mrd_objstore_head(store, "ends/x", &by_flag, &info, NULL), MRD_E_CANCELED);
    assert_int_equal(pthread_join(thread, NULL), 0);

    const struct mrd_clock *clock = mrd_clock_system();
    const struct mrd_objstore_control by_time = {
        .clock = clock, .deadline_ns = mrd_clock_monotonic_ns(clock) + 200000000};
    order("status times=999999"); /* the waits between attempts count too */
    struct mrd_s3_options options = s3_fixture_options(&server);
    options.attempts_max = 1000000;
    struct mrd_objstore *patient = open_with(&options);
    assert_int_equal(mrd_objstore_head(patient, "ends/x", &by_time, &info, NULL), MRD_E_TIMEOUT);
    mrd_objstore_close(&patient);
}

struct reader {
    pthread_t thread;
    struct mrd_objstore *store;
    enum mrd_status status;
};

static void *read_much(void *context)
{
    struct reader *reader = context;
    uint8_t data[8];
    struct mrd_objstore_range ranges[8];
    for (size_t i = 0; i < 8; i++) {
        ranges[i] = (struct mrd_objstore_range){i * 100000, 1, data + i};
    }
    for (int i = 0; i < 10 && reader->status == MRD_OK; i++) {
        reader->status = mrd_objstore_read(reader->store, "much/x", ranges, 8, NULL, NULL);
    }
    return NULL;
}

/* More threads than requests: all get their turn, none waits for ever. */
static void few_requests_serve_many_threads(void **state)
{
    (void)state;
    enum { READERS = 8 };
    struct mrd_s3_options options = s3_fixture_options(&server);
    options.requests_max = 3;
    options.ranges_max = 8;
    struct mrd_objstore *narrow = open_with(&options);
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    uint8_t *data = mrd_buf_reserve(&bytes, 800000);
    assert_non_null(data);
    memset(data, 7, 800000);
    bytes.size = 800000;
    order("");
    assert_int_equal(mrd_objstore_put(narrow, "much/x", mrd_buf_view(&bytes), NULL, NULL), MRD_OK);
    struct reader readers[READERS] = {0};
    for (size_t i = 0; i < READERS; i++) {
        readers[i].store = narrow;
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_much, &readers[i]), 0);
    }
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
        assert_int_equal(readers[i].status, MRD_OK);
    }
    mrd_objstore_close(&narrow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passing_failures_are_tried_again),
        cmocka_unit_test(an_answer_that_stalls_is_given_up),
        cmocka_unit_test(what_does_not_pass_is_given_up),
        cmocka_unit_test(what_would_not_help_is_not_tried_again),
        cmocka_unit_test(a_lost_reply_of_a_commit_is_decided),
        cmocka_unit_test(a_commit_that_cannot_be_decided_is_no_verdict),
        cmocka_unit_test(a_commit_that_meets_another_under_way_is_tried_again),
        cmocka_unit_test(a_service_that_ignores_conditions_is_unfit),
        cmocka_unit_test(an_answer_that_is_not_of_s3_is_no_success),
        cmocka_unit_test(many_puts_survive_failures_of_some),
        cmocka_unit_test(many_puts_say_what_has_failed),
        cmocka_unit_test(damage_on_the_way_is_found),
        cmocka_unit_test(a_long_range_comes_in_pieces),
        cmocka_unit_test(ranges_survive_failures_of_some_requests),
        cmocka_unit_test(an_answer_to_another_range_is_refused),
        cmocka_unit_test(an_answer_that_is_no_listing_is_refused),
        cmocka_unit_test(an_upload_survives_lost_replies),
        cmocka_unit_test(an_upload_that_fails_is_taken_back),
        cmocka_unit_test(many_leftovers_are_swept_by_pages),
        cmocka_unit_test(a_key_that_may_not_be_deleted_is_told),
        cmocka_unit_test(a_call_ends_when_it_is_canceled_or_over),
        cmocka_unit_test(few_requests_serve_many_threads),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
