/* suite.h: what every store must do, as tests. A test program opens `store`, includes this, and runs
 * SUITE_TESTS beside its own. Test programs include it; nothing else does.
 */
#ifndef MRD_OBJSTORE_SUITE_H
#define MRD_OBJSTORE_SUITE_H

#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "objstore/store.h"

static struct mrd_objstore *store;
static struct mrd_metrics *metrics;

/* `err` is for the calls inside assert_ok; of the test's main thread. */
static struct mrd_error suite_error;
static struct mrd_error *const err = &suite_error;

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        const enum mrd_status status_ = (call);                                                    \
        if (status_ != MRD_OK) {                                                                   \
            fail_msg("%s: %s: %s", #call, mrd_status_name(status_), suite_error.text);             \
        }                                                                                          \
    } while (0)

/* Bytes that differ from place to place, so that a shift shows. */
static inline uint8_t suite_byte(size_t at) { return (uint8_t)((at * 2654435761U) >> 11); }

static inline struct mrd_buf suite_bytes(size_t size)
{
    struct mrd_buf buf = {0};
    uint8_t *data = mrd_buf_reserve(&buf, size);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++) {
        data[i] = suite_byte(i);
    }
    buf.size = size;
    return buf;
}

static inline void assert_holds(const char *key, struct mrd_bytes want)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf got = {0};
    assert_ok(mrd_objstore_get(store, key, 64 << 20, NULL, &got, err));
    assert_true(mrd_bytes_equal(mrd_buf_view(&got), want));
}

static inline void assert_absent(const char *key)
{
    struct mrd_buf got = {0};
    struct mrd_objstore_info info;
    assert_int_equal(mrd_objstore_get(store, key, 100, NULL, &got, NULL), MRD_E_NOT_FOUND);
    assert_int_equal(mrd_objstore_head(store, key, NULL, &info, NULL), MRD_E_NOT_FOUND);
    mrd_buf_fini(&got);
}

/* ---- listing ---- */

struct suite_keys {
    struct mrd_buf text; /* each key and a space */
    size_t count;
    size_t stop_at;
    char last[MRD_OBJSTORE_KEY_SIZE_MAX + 1];
};

static inline bool suite_collect(void *context, const struct mrd_objstore_entry *entry)
{
    struct suite_keys *keys = context;
    assert_true(strcmp(entry->key, keys->last) > 0);
    (void)snprintf(keys->last, sizeof(keys->last), "%s", entry->key);
    mrd_buf_printf(&keys->text, "%s ", entry->key);
    keys->count++;
    return keys->count != keys->stop_at;
}

static inline void assert_lists(const char *prefix, const char *after, size_t stop_at,
                                const char *want)
{
    struct suite_keys keys = {.stop_at = stop_at};
    assert_ok(mrd_objstore_list(store, prefix, after, suite_collect, &keys, NULL, err));
    mrd_buf_append_u8(&keys.text, 0);
    assert_string_equal((const char *)keys.text.data, want);
    mrd_buf_fini(&keys.text);
}

/* ---- the tests ---- */

static inline void an_object_comes_back_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 4096, 100001, 9 << 20};
    for (size_t i = 0; i < MRD_ARRAY_LEN(sizes); i++) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf bytes = suite_bytes(sizes[i]);
        struct mrd_objstore_info info = {0};
        assert_ok(mrd_objstore_put(store, "whole/x", mrd_buf_view(&bytes), NULL, err));
        assert_holds("whole/x", mrd_buf_view(&bytes));
        assert_ok(mrd_objstore_head(store, "whole/x", NULL, &info, err));
        assert_int_equal(info.size, sizes[i]);
        const mrd_time_ms age_ms = mrd_clock_now_ms(mrd_clock_system()) - info.modified_ms;
        assert_in_range(age_ms + 5000, 0, 65000);
    }
}

static inline void what_is_not_there_is_not_found(void **state)
{
    (void)state;
    struct mrd_objstore_range range = {.size = 1, .data = (uint8_t[1]){0}};
    assert_absent("absent/x");
    assert_int_equal(mrd_objstore_read(store, "absent/x", &range, 1, NULL, NULL), MRD_E_NOT_FOUND);
    assert_ok(mrd_objstore_delete(store, "absent/x", NULL, err));
    assert_ok(mrd_objstore_put(store, "absent/folder/x", MRD_BYTES("1"), NULL, err));
    assert_absent("absent/folder");
    assert_ok(mrd_objstore_delete(store, "absent/folder", NULL, err));
    assert_holds("absent/folder/x", MRD_BYTES("1"));
    assert_lists("absent/none/", "", 0, "");
}

static inline void an_object_over_the_limit_is_refused(void **state)
{
    (void)state;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf got = {0};
    mrd_buf_append_text(&got, "kept");
    assert_ok(mrd_objstore_put(store, "limit/x", MRD_BYTES("12345"), NULL, err));
    assert_int_equal(mrd_objstore_get(store, "limit/x", 4, NULL, &got, NULL), MRD_E_LIMIT);
    assert_int_equal(got.size, 4);
    assert_ok(mrd_objstore_get(store, "limit/x", 5, NULL, &got, err));
    assert_true(mrd_bytes_equal(mrd_buf_view(&got), MRD_BYTES("kept12345")));
}

static inline void a_conditional_put_never_replaces(void **state)
{
    (void)state;
    assert_ok(mrd_objstore_put_if_absent(store, "once/1", MRD_BYTES("first"), NULL, err));
    struct mrd_error told = {0};
    assert_int_equal(mrd_objstore_put_if_absent(store, "once/1", MRD_BYTES("other"), NULL, &told),
                     MRD_E_CONFLICT);
    assert_non_null(strstr(told.text, "once/1"));
    assert_int_equal(
        mrd_objstore_put_if_absent(store, "once/1", MRD_BYTES("first and more"), NULL, NULL),
        MRD_E_CONFLICT);
    assert_int_equal(mrd_objstore_put_if_absent(store, "once/1", MRD_BYTES(""), NULL, NULL),
                     MRD_E_CONFLICT);
    assert_holds("once/1", MRD_BYTES("first"));
    /* The same bytes are the same writer, who has not heard the answer. */
    assert_ok(mrd_objstore_put_if_absent(store, "once/1", MRD_BYTES("first"), NULL, err));
}

enum { TOGETHER = 600, TOGETHER_TEXT = 48 };

/* All kinds in turn, in folders that nobody has made. */
static inline void many_objects_are_put_together(void **state)
{
    (void)state;
    static char keys[TOGETHER][TOGETHER_TEXT];
    static struct mrd_objstore_item items[TOGETHER];
    for (size_t i = 0; i < TOGETHER; i++) {
        (void)snprintf(keys[i], TOGETHER_TEXT, "grouped/%zu/%zu/a/%zu", i % 7, i % 11, i);
        items[i] = (struct mrd_objstore_item){keys[i], mrd_bytes_of(keys[i]),
                                              (enum mrd_objstore_item_kind)(i % 3)};
    }
    items[3].bytes = MRD_BYTES_NONE;
    for (size_t round = 0; round < 2; round++) { /* the second time all are there */
        assert_ok(mrd_objstore_put_many(store, items, TOGETHER, NULL, err));
        struct suite_keys found = {0};
        assert_ok(mrd_objstore_list(store, "grouped/", "", suite_collect, &found, NULL, err));
        assert_int_equal(found.count, TOGETHER);
        mrd_buf_fini(&found.text);
        for (size_t i = 0; i < TOGETHER; i += i < 9 ? 1 : 37) {
            assert_holds(keys[i], items[i].bytes);
        }
    }
    assert_ok(mrd_objstore_put_many(store, NULL, 0, NULL, err));
}

static inline void of_many_objects_none_replaces_what_must_not_be_there(void **state)
{
    (void)state;
    const struct mrd_objstore_item items[] = {
        {"given/new",    MRD_BYTES("new"),  MRD_OBJSTORE_ITEM_PUT_IF_ABSENT},
        {"given/ours",   MRD_BYTES("ours"), MRD_OBJSTORE_ITEM_PUT_IF_ABSENT},
        {"given/theirs", MRD_BYTES("ours"), MRD_OBJSTORE_ITEM_PUT_IF_ABSENT},
        {"given/old",    MRD_BYTES("new"),  MRD_OBJSTORE_ITEM_PUT          },
    };
    struct mrd_error told = {0};
    assert_ok(mrd_objstore_put(store, "given/ours", MRD_BYTES("ours"), NULL, err));
    assert_ok(mrd_objstore_put(store, "given/theirs", MRD_BYTES("theirs"), NULL, err));
    assert_ok(mrd_objstore_put(store, "given/old", MRD_BYTES("old"), NULL, err));
    assert_int_equal(mrd_objstore_put_many(store, items, 4, NULL, &told), MRD_E_CONFLICT);
    assert_non_null(strstr(told.text, "given/theirs"));
    assert_holds("given/theirs", MRD_BYTES("theirs"));
    assert_holds("given/ours", MRD_BYTES("ours"));
    assert_ok(mrd_objstore_delete(store, "given/theirs", NULL, err));
    assert_ok(mrd_objstore_put_many(store, items, 4, NULL, err));
    for (size_t i = 0; i < MRD_ARRAY_LEN(items); i++) {
        assert_holds(items[i].key, items[i].bytes);
    }
}

enum { RACERS = 6, RACES = 10 };
struct racer {
    pthread_t thread;
    size_t number;
    bool won[RACES];
};

static inline void *race(void *context)
{
    struct racer *racer = context;
    for (size_t i = 0; i < RACES; i++) {
        char key[32];
        char bytes[32];
        (void)snprintf(key, sizeof(key), "race/%zu", i);
        (void)snprintf(bytes, sizeof(bytes), "racer %zu", racer->number);
        const enum mrd_status status =
            mrd_objstore_put_if_absent(store, key, mrd_bytes_of(bytes), NULL, NULL);
        mrd_assert(status == MRD_OK || status == MRD_E_CONFLICT);
        racer->won[i] = status == MRD_OK;
    }
    return NULL;
}

static inline void one_of_many_writers_wins(void **state)
{
    (void)state;
    struct racer racers[RACERS] = {0};
    for (size_t i = 0; i < RACERS; i++) {
        racers[i].number = i;
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < RACERS; i++) {
        assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
    }
    for (size_t r = 0; r < RACES; r++) {
        size_t winners = 0;
        for (size_t i = 0; i < RACERS; i++) {
            if (racers[i].won[r]) {
                char key[32];
                char bytes[32];
                (void)snprintf(key, sizeof(key), "race/%zu", r);
                (void)snprintf(bytes, sizeof(bytes), "racer %zu", i);
                assert_holds(key, mrd_bytes_of(bytes));
                winners++;
            }
        }
        assert_int_equal(winners, 1);
    }
}

enum { FLIPS = 40, FLIP_BYTES = 300000 };

static inline void *flip(void *context)
{
    (void)context;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = {0};
    uint8_t *data = mrd_buf_reserve(&bytes, FLIP_BYTES);
    mrd_assert(data != NULL);
    bytes.size = FLIP_BYTES;
    for (int i = 0; i < FLIPS; i++) {
        memset(data, i, FLIP_BYTES);
        mrd_assert(mrd_objstore_put(store, "flip/x", mrd_buf_view(&bytes), NULL, NULL) == MRD_OK);
    }
    return NULL;
}

static inline void a_reader_sees_whole_objects_only(void **state)
{
    (void)state;
    pthread_t writer;
    assert_ok(mrd_objstore_delete(store, "flip/x", NULL, err));
    assert_int_equal(pthread_create(&writer, NULL, flip, NULL), 0);
    uint8_t last = 0;
    while (last < FLIPS - 1) {
        mrd_auto(mrd_buf_fini)
        struct mrd_buf got = {0};
        struct mrd_error told = {0};
        const enum mrd_status status =
            mrd_objstore_get(store, "flip/x", FLIP_BYTES, NULL, &got, &told);
        if (status == MRD_E_NOT_FOUND && last == 0) {
            continue;
        }
        if (status != MRD_OK) {
            fail_msg("%s", told.text);
        }
        assert_int_equal(got.size, FLIP_BYTES);
        assert_true(got.data[0] >= last); /* never an older one again */
        last = got.data[0];
        assert_memory_equal(got.data, got.data + 1, FLIP_BYTES - 1);
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
}

static inline void an_upload_appears_at_its_end(void **state)
{
    (void)state;
    enum { SIZE = 13 << 20 };
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = suite_bytes(SIZE);
    mrd_auto(mrd_objstore_upload_destroy)
    struct mrd_objstore_upload *upload = NULL;
    assert_ok(mrd_objstore_upload_begin(store, "upload/big", NULL, &upload, err));
    for (size_t at = 0, piece = 1; at < SIZE; at += piece, piece = piece * 3 % 1500007) {
        const struct mrd_bytes part = {bytes.data + at, MRD_MIN(piece, SIZE - at)};
        assert_ok(mrd_objstore_upload_write(upload, part, err));
    }
    assert_absent("upload/big");
    assert_lists("upload/", "", 0, "");
    assert_ok(mrd_objstore_upload_finish(upload, err));
    assert_holds("upload/big", mrd_buf_view(&bytes));
}

static inline void small_and_empty_uploads_are_objects(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct mrd_bytes want = i == 0 ? MRD_BYTES_NONE : MRD_BYTES("few");
        mrd_auto(mrd_objstore_upload_destroy)
        struct mrd_objstore_upload *upload = NULL;
        assert_ok(mrd_objstore_upload_begin(store, "small/x", NULL, &upload, err));
        assert_ok(mrd_objstore_upload_write(upload, want, err));
        assert_ok(mrd_objstore_upload_finish(upload, err));
        mrd_objstore_upload_destroy(&upload);
        assert_holds("small/x", want);
    }
}

static inline void an_abandoned_upload_leaves_nothing(void **state)
{
    (void)state;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = suite_bytes(11 << 20);
    struct mrd_objstore_upload *upload = NULL;
    assert_ok(mrd_objstore_upload_begin(store, "abandoned/x", NULL, &upload, err));
    assert_ok(mrd_objstore_upload_write(upload, mrd_buf_view(&bytes), err));
    mrd_objstore_upload_destroy(&upload);
    assert_null(upload);
    assert_absent("abandoned/x");
    assert_lists("abandoned/", "", 0, "");
}

static inline void ranges_come_as_asked(void **state)
{
    (void)state;
    enum { SIZE = 3 << 20, COUNT = 400 };
    mrd_auto(mrd_buf_fini)
    struct mrd_buf bytes = suite_bytes(SIZE);
    assert_ok(mrd_objstore_put(store, "ranges/x", mrd_buf_view(&bytes), NULL, err));
    /* Sorted with small and large gaps, then touching, overlapping, backwards and the whole. */
    struct mrd_objstore_range ranges[COUNT + 5] = {0};
    uint64_t at = 3;
    for (size_t i = 0; i < COUNT; i++) {
        ranges[i] = (struct mrd_objstore_range){.offset = at, .size = 1 + i * 7 % 900};
        at += ranges[i].size + (i % 50 == 0 ? 40000 : i % 3);
    }
    ranges[COUNT] = (struct mrd_objstore_range){.offset = at, .size = 1000};
    ranges[COUNT + 1] = (struct mrd_objstore_range){.offset = at + 1000, .size = 10};
    ranges[COUNT + 2] = (struct mrd_objstore_range){.offset = at + 500, .size = 1000};
    ranges[COUNT + 3] = (struct mrd_objstore_range){.offset = 0, .size = SIZE};
    ranges[COUNT + 4] = (struct mrd_objstore_range){.offset = SIZE - 1, .size = 1};
    for (size_t i = 0; i < MRD_ARRAY_LEN(ranges); i++) {
        ranges[i].data = malloc(ranges[i].size);
        assert_non_null(ranges[i].data);
    }
    assert_ok(mrd_objstore_read(store, "ranges/x", ranges, MRD_ARRAY_LEN(ranges), NULL, err));
    for (size_t i = 0; i < MRD_ARRAY_LEN(ranges); i++) {
        assert_memory_equal(ranges[i].data, bytes.data + ranges[i].offset, ranges[i].size);
        free(ranges[i].data);
    }
    assert_ok(mrd_objstore_read(store, "ranges/x", NULL, 0, NULL, err));
}

static inline void a_range_past_the_end_is_corrupt(void **state)
{
    (void)state;
    uint8_t data[2][8];
    static const uint64_t offsets[] = {3, 10, 11, (uint64_t)1 << 40};
    assert_ok(mrd_objstore_put(store, "short/x", MRD_BYTES("0123456789"), NULL, err));
    for (size_t i = 0; i < MRD_ARRAY_LEN(offsets); i++) {
        const struct mrd_objstore_range ranges[] = {
            {.offset = 0,          .size = 8, .data = data[0]},
            {.offset = offsets[i], .size = 8, .data = data[1]},
        };
        struct mrd_error told = {0};
        assert_int_equal(mrd_objstore_read(store, "short/x", ranges, 2, NULL, &told),
                         MRD_E_CORRUPT);
        assert_non_null(strstr(told.text, "short/x"));
    }
    const struct mrd_objstore_range none = {.offset = 0, .size = 0, .data = data[0]};
    const struct mrd_objstore_range far = {.offset = UINT64_MAX, .size = 8, .data = data[0]};
    assert_int_equal(mrd_objstore_read(store, "short/x", &none, 1, NULL, NULL), MRD_E_INVALID);
    assert_int_equal(mrd_objstore_read(store, "short/x", &far, 1, NULL, NULL), MRD_E_INVALID);
}

static inline void keys_are_listed_in_the_order_of_their_bytes(void **state)
{
    (void)state;
    static const char *const keys[] = {"list/a/b/c", "list/a.b", "list/a0", "list/a-b",
                                       "list/a/b",   "list/B",   "list/z",  "list/a/b.c",
                                       "list/a/b0",  "list2/x",  "lis/x",   "list/ab/c"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(keys); i++) {
        if (strcmp(keys[i], "list/a/b") != 0) { /* it would be the folder of list/a/b/c */
            assert_ok(mrd_objstore_put(store, keys[i], mrd_bytes_of(keys[i]), NULL, err));
        }
    }
    assert_lists(
        "list/", "", 0,
        "list/B list/a-b list/a.b list/a/b.c list/a/b/c list/a/b0 list/a0 list/ab/c list/z ");
    assert_lists("list", "", 2, "list/B list/a-b ");
    assert_lists("list/a/", "", 0, "list/a/b.c list/a/b/c list/a/b0 ");
    assert_lists("list/a/b", "", 0, "list/a/b.c list/a/b/c list/a/b0 ");
    assert_lists("list/a/b/c", "", 0, "list/a/b/c ");
    assert_lists("list/", "list/a/b.c", 0, "list/a/b/c list/a/b0 list/a0 list/ab/c list/z ");
    assert_lists("list/", "list/a/b/c", 3, "list/a/b0 list/a0 list/ab/c ");
    assert_lists("list/", "list/a/b", 1, "list/a/b.c ");
    assert_lists("list/", "list/aa", 0, "list/ab/c list/z ");
    assert_lists("list/", "list/z", 0, "");
    assert_lists("list/", "lis", 1, "list/B ");
    assert_lists("list/", "m", 0, "");
}

enum { MANY = 1234 };

static inline bool delete_visited(void *context, const struct mrd_objstore_entry *entry)
{
    size_t *count = context;
    assert_int_equal(entry->info.size, 1);
    if (*count % 100 == 0) {
        assert_ok(mrd_objstore_delete(store, entry->key, NULL, err));
    }
    (*count)++;
    return true;
}

static inline void many_keys_are_listed_and_deleted(void **state)
{
    (void)state;
    static char keys[MANY][32];
    const char *pointers[MANY];
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "many/%zu/%04zu", i % 3, i);
        pointers[i] = keys[i];
        assert_ok(mrd_objstore_put(store, keys[i], MRD_BYTES("x"), NULL, err));
    }
    size_t count = 0; /* deleting what is visited does not disturb the visit */
    assert_ok(mrd_objstore_list(store, "many/", "", delete_visited, &count, NULL, err));
    assert_int_equal(count, MANY);
    struct suite_keys found = {0};
    assert_ok(mrd_objstore_list(store, "many/", "", suite_collect, &found, NULL, err));
    assert_int_equal(found.count, MANY - (MANY + 99) / 100);
    mrd_buf_fini(&found.text);
    assert_ok(
        mrd_objstore_delete_many(store, pointers, MANY, NULL, err)); /* some are gone already */
    assert_lists("many/", "", 0, "");
    assert_ok(mrd_objstore_delete_many(store, NULL, 0, NULL, err));
}

static inline void a_call_that_is_over_does_nothing(void **state)
{
    (void)state;
    const _Atomic bool canceled = true;
    const struct mrd_objstore_control controls[] = {
        {.canceled = &canceled},
        { .clock = mrd_clock_system(),     .deadline_ns = 1},
    };
    static const enum mrd_status want[] = {MRD_E_CANCELED, MRD_E_TIMEOUT};
    assert_ok(mrd_objstore_put(store, "over/there", MRD_BYTES("1"), NULL, err));
    for (size_t i = 0; i < 2; i++) {
        const struct mrd_objstore_control *control = &controls[i];
        const char *keys[] = {"over/there"};
        struct mrd_buf got = {0};
        struct mrd_objstore_info info;
        struct mrd_objstore_upload *upload = NULL;
        struct suite_keys found = {0};
        const struct mrd_objstore_range range = {.size = 1, .data = &info};
        const struct mrd_objstore_item item = {"over/x", MRD_BYTES("1"), MRD_OBJSTORE_ITEM_PUT};
        const enum mrd_status statuses[] = {
            mrd_objstore_put(store, "over/x", MRD_BYTES("1"), control, NULL),
            mrd_objstore_put_many(store, &item, 1, control, NULL),
            mrd_objstore_put_if_absent(store, "over/x", MRD_BYTES("1"), control, NULL),
            mrd_objstore_upload_begin(store, "over/x", control, &upload, NULL),
            mrd_objstore_head(store, "over/there", control, &info, NULL),
            mrd_objstore_get(store, "over/there", 9, control, &got, NULL),
            mrd_objstore_read(store, "over/there", &range, 1, control, NULL),
            mrd_objstore_list(store, "over/", "", suite_collect, &found, control, NULL),
            mrd_objstore_delete(store, "over/there", control, NULL),
            mrd_objstore_delete_many(store, keys, 1, control, NULL),
            mrd_objstore_sweep(store, 0, control, NULL),
            mrd_objstore_probe(store, "over/", control, NULL),
        };
        for (size_t k = 0; k < MRD_ARRAY_LEN(statuses); k++) {
            assert_int_equal(statuses[k], want[i]);
        }
    }
    assert_lists("over/", "", 0, "over/there ");
}

static inline void bad_keys_are_refused_everywhere(void **state)
{
    (void)state;
    static const char *const bad[] = {"",   "/etc/passwd", "../x", "a//b",
                                      "a/", ".mrd-tmp/x",  "a\nb"};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bad); i++) {
        struct mrd_buf got = {0};
        struct mrd_objstore_info info;
        struct mrd_objstore_upload *upload = NULL;
        const struct mrd_objstore_item items[] = {
            {"good/x", MRD_BYTES("1"), MRD_OBJSTORE_ITEM_PUT},
            {bad[i],   MRD_BYTES("1"), MRD_OBJSTORE_ITEM_PUT}
        };
        const enum mrd_status statuses[] = {
            mrd_objstore_put(store, bad[i], MRD_BYTES("1"), NULL, NULL),
            mrd_objstore_put_many(store, items, 2, NULL, NULL),
            mrd_objstore_put_if_absent(store, bad[i], MRD_BYTES("1"), NULL, NULL),
            mrd_objstore_upload_begin(store, bad[i], NULL, &upload, NULL),
            mrd_objstore_head(store, bad[i], NULL, &info, NULL),
            mrd_objstore_get(store, bad[i], 9, NULL, &got, NULL),
            mrd_objstore_delete(store, bad[i], NULL, NULL),
        };
        for (size_t k = 0; k < MRD_ARRAY_LEN(statuses); k++) {
            assert_int_equal(statuses[k], MRD_E_INVALID);
        }
    }
    assert_absent("good/x");
}

static inline bool is_counted(const char *line)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    mrd_metrics_write(metrics, &text);
    return memmem(text.data, text.size, line, strlen(line)) != NULL;
}

static inline void calls_are_counted_by_outcome(void **state)
{
    (void)state;
    assert_ok(mrd_objstore_put(store, "counted/x", MRD_BYTES("1"), NULL, err));
    assert_absent("counted/none");
    assert_true(is_counted("meridian_objstore_calls_total{operation=\"put\",outcome=\"ok\"} "));
    assert_true(
        is_counted("meridian_objstore_calls_total{operation=\"get\",outcome=\"not_found\"} "));
    assert_true(is_counted("meridian_objstore_bytes_total{direction=\"written\"} "));
    assert_true(is_counted("meridian_objstore_call_seconds_count{operation=\"head\"} "));
}

static inline void the_store_is_fit_for_commits(void **state)
{
    (void)state;
    assert_ok(mrd_objstore_probe(store, "fit/", NULL, err));
    assert_lists("fit/", "", 0, "");
}

/* clang-format off */
#define SUITE_TESTS                                                   \
    cmocka_unit_test(an_object_comes_back_whole),                     \
    cmocka_unit_test(what_is_not_there_is_not_found),                 \
    cmocka_unit_test(an_object_over_the_limit_is_refused),            \
    cmocka_unit_test(a_conditional_put_never_replaces),               \
    cmocka_unit_test(many_objects_are_put_together),                  \
    cmocka_unit_test(of_many_objects_none_replaces_what_must_not_be_there), \
    cmocka_unit_test(one_of_many_writers_wins),                       \
    cmocka_unit_test(a_reader_sees_whole_objects_only),               \
    cmocka_unit_test(an_upload_appears_at_its_end),                   \
    cmocka_unit_test(small_and_empty_uploads_are_objects),            \
    cmocka_unit_test(an_abandoned_upload_leaves_nothing),             \
    cmocka_unit_test(ranges_come_as_asked),                           \
    cmocka_unit_test(a_range_past_the_end_is_corrupt),                \
    cmocka_unit_test(keys_are_listed_in_the_order_of_their_bytes),    \
    cmocka_unit_test(many_keys_are_listed_and_deleted),               \
    cmocka_unit_test(a_call_that_is_over_does_nothing),               \
    cmocka_unit_test(bad_keys_are_refused_everywhere),                \
    cmocka_unit_test(calls_are_counted_by_outcome),                   \
    cmocka_unit_test(the_store_is_fit_for_commits)
/* clang-format on */

#endif
