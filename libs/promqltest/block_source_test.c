/* Blocks in object storage as a source: random series cut up over a head and real blocks give the answer of all in one
 * source, to the last bit; what a cold query costs; what happens when storage does not answer. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "block/writer.h"
#include "blockread/block_source.h"
#include "objstore/fault_store.h"
#include "objstore/folder_fixture.h"
#include "objstore/s3_fixture.h"
#include "promqltest/tiers_rig.h"

enum { ROUNDS = 12, QUERIES_PER_ROUND = 25, ENTRIES_MAX = 64, THREADS = 4 };

static char folder[FOLDER_FIXTURE_PATH_MAX];
static struct mrd_objstore *files;
static struct mrd_objstore *store; /* counts calls, and fails when it is told to */
static struct mrd_read_pool *pool;

static int set_up(void **state)
{
    (void)state;
    files = folder_fixture_open(folder, NULL);
    store = mrd_fault_store_create(files);
    assert_int_equal(mrd_read_pool_create(THREADS, &pool, NULL), MRD_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mrd_read_pool_destroy(&pool);
    mrd_objstore_close(&store);
    mrd_objstore_close(&files);
    folder_fixture_remove(folder);
    return 0;
}

/* ---- blocks of what memory sources have ---- */

struct written {
    struct mrd_arena *arena;
    struct mrd_block_entry entries[ENTRIES_MAX];
    size_t count;
    struct mrd_block_cover covers[SEGMENTS_MAX];
    struct mrd_block_index *index;
    struct mrd_block_source blocks;
    struct mrd_source source;
};

static struct mrd_block_writer *writer_of(struct written *written, unsigned level)
{
    struct mrd_block_writer *writer = NULL;
    char stem[64];
    static unsigned number;
    (void)snprintf(stem, sizeof(stem), "blocks/%u", number++);
    const struct mrd_block_writer_options options = {.store = files,
                                                     .stem = stem,
                                                     .id = mrd_bytes_of(stem),
                                                     .level = level,
                                                     .memory_bytes_max = (size_t)256 << 20};
    (void)written;
    assert_int_equal(mrd_block_writer_create(&options, &writer, NULL), MRD_OK);
    return writer;
}

static void write_series(struct mrd_block_writer *writer, const struct mrd_source_series *series)
{
    struct mrd_buf canonical = {0};
    mrd_labels_encode(series->labels, &canonical);
    const struct mrd_block_series block = {
        .tenant = MRD_BYTES("t"),
        .labels = series->labels,
        .id = mrd_series_id_of(mrd_tenant_seed(MRD_BYTES("t")), mrd_buf_view(&canonical)),
        .samples = series->samples,
        .histograms = series->histograms};
    struct mrd_error err = {0};
    if (mrd_block_writer_add(writer, &block, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    mrd_buf_fini(&canonical);
}

static void write_finish(struct written *written, struct mrd_block_writer **writer,
                         const struct mrd_block_origin *origin)
{
    struct mrd_error err = {0};
    assert_true(written->count < ENTRIES_MAX);
    if (mrd_block_writer_finish(*writer, origin, written->arena,
                                &written->entries[written->count++], &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    mrd_block_writer_destroy(writer);
}

/* One block of level 0 for each segment of a memory source; the later its number, the later its sequences. */
static void write_blocks(struct written *written, struct mrd_memory_source *from, size_t number)
{
    const struct mrd_source *source = mrd_memory_source_get(from);
    const struct mrd_query_scope scope = {.arena = written->arena};
    const struct mrd_select all = {.min_ms = -((mrd_time_ms)1 << 50),
                                   .max_ms = (mrd_time_ms)1 << 50};
    struct mrd_source_set *set = NULL;
    struct mrd_source_series series;
    struct mrd_block_writer *writer = NULL;
    struct mrd_block_origin origin = {.residency_class = MRD_BYTES("eu"),
                                      .first_sequence = number * 100 + 1,
                                      .last_sequence = number * 100 + 100};
    bool more = false;
    assert_int_equal(source->open(source->context, &all, &scope, &set, NULL), MRD_OK);
    while (source->next(set, &series, &more, NULL) == MRD_OK && more) {
        if (writer != NULL && series.segment != origin.partition) {
            write_finish(written, &writer, &origin);
        }
        writer = writer == NULL ? writer_of(written, 0) : writer;
        origin.partition = series.segment;
        write_series(writer, &series);
    }
    if (writer != NULL) {
        write_finish(written, &writer, &origin);
    }
    source->close(set);
}

static const struct mrd_block_entry *entry_at(const void *entries, size_t index)
{
    return &((const struct mrd_block_entry *)entries)[index];
}

/* The source has what was written so far. */
static void written_index(struct written *written)
{
    mrd_block_index_destroy(&written->index);
    written->index = mrd_block_index_create(entry_at, written->entries, written->count, NULL, 0);
    written->blocks.options.index = written->index;
}

static struct written *written_create(void)
{
    struct written *written = calloc(1, sizeof(*written));
    assert_non_null(written);
    written->arena = mrd_arena_create("entries", SIZE_MAX);
    for (size_t i = 0; i < SEGMENTS_MAX; i++) {
        written->covers[i] = (struct mrd_block_cover){UINT64_MAX, 0};
    }
    written->blocks.options = (struct mrd_block_source_options){.store = store,
                                                                .pool = pool,
                                                                .covers = written->covers,
                                                                .partition_count = SEGMENTS_MAX,
                                                                .tenant = MRD_BYTES("t")};
    written->source = mrd_block_source_get(&written->blocks);
    written_index(written);
    return written;
}

static void written_destroy(struct written **written)
{
    mrd_block_index_destroy(&(*written)->index);
    mrd_arena_destroy(&(*written)->arena);
    free(*written);
    *written = NULL;
}

/* ---- answers ---- */

/* The blocks of the rig are real ones from now on. */
static struct written *make_real(struct parts *parts)
{
    struct written *written = written_create();
    parts_arrange(parts, SEGMENTS_MAX, mrd_tenant_seed(MRD_BYTES("t")));
    for (size_t i = 0; i < parts->block_count; i++) {
        write_blocks(written, parts->blocks[i], i);
    }
    written_index(written);
    parts->tiers.blocks = &written->source;
    return written;
}

static void compare_over_blocks(size_t rounds)
{
    mrd_random_seed_for_test(20241127);
    struct parts *parts = parts_create();
    for (size_t round = 0; round < rounds; round++) {
        mrd_random_fill(parts->whole);
        mrd_random_certain(parts->whole);
        cut_up(parts, (enum style)(round % STYLES));
        struct written *written = make_real(parts);
        written->blocks.options.memory_max = round % 2 == 0 ? 0 : 16 << 20;
        for (size_t q = 0; q < QUERIES_PER_ROUND; q++) {
            struct mrd_random_text text = {0};
            mrd_random_query(&text);
            const struct asked asked = {mrd_random_request(&text), mrd_random_options()};
            compare_tiers(parts, &asked, (enum style)(round % STYLES));
        }
        compare_certain(parts, (enum style)(round % STYLES));
        written_destroy(&written);
    }
    print_message("%zu queries; %zu with points, %zu selects of blocks\n",
                  rounds * QUERIES_PER_ROUND, with_points, parts->asked_blocks);
    assert_true(with_points >= rounds); /* these are certain; the random ones have far more */
    assert_true(parts->asked_blocks >= (STYLES - 1) * (rounds / STYLES));
    with_points = 0;
    parts_destroy(&parts);
}

static void head_and_blocks_answer_as_all_in_one(void **state)
{
    (void)state;
    compare_over_blocks(ROUNDS);
}

static void lists_of_blocks_are_those_of_all_in_one(void **state)
{
    (void)state;
    struct parts *parts = parts_create();
    mrd_random_seed(77);
    for (size_t round = 0; round < 6; round++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("lists", SIZE_MAX);
        const struct mrd_query_scope scope = {.arena = arena};
        const struct mrd_label_query query = {
            .min_ms = 0, .max_ms = INT32_MAX, .limit = round % 2 == 0 ? 0 : 5};
        const struct mrd_source *sources[2] = {mrd_memory_source_get(parts->whole), &parts->source};
        struct mrd_texts texts[2];
        struct mrd_label_sets sets[2];
        struct mrd_error err;
        mrd_random_fill(parts->whole);
        cut_up(parts, (enum style)(round % STYLES));
        parts->head_from_ms = INT64_MAX;
        struct written *written = make_real(parts);
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(sources[i]->label_values(sources[i]->context, MRD_BYTES("instance"),
                                                      &query, &scope, &texts[i], &err),
                             MRD_OK);
            assert_int_equal(
                sources[i]->series(sources[i]->context, &query, &scope, &sets[i], &err), MRD_OK);
        }
        assert_int_equal(texts[0].count, texts[1].count);
        assert_int_equal(texts[0].truncated, texts[1].truncated);
        for (size_t i = 0; i < texts[0].count; i++) {
            assert_true(mrd_bytes_equal(texts[0].items[i], texts[1].items[i]));
        }
        assert_int_equal(sets[0].count, sets[1].count);
        assert_int_equal(sets[0].truncated, sets[1].truncated);
        for (size_t i = 0; i < sets[0].count; i++) {
            assert_true(mrd_labels_equal(sets[0].items[i], sets[1].items[i]));
        }
        written_destroy(&written);
    }
    parts_destroy(&parts);
}

/* ---- which blocks are read ---- */

static size_t count_of(const struct mrd_source *source, const char *text, struct mrd_answer *out,
                       struct mrd_arena *arena)
{
    const struct asked asked = {
        .request = {.text = mrd_bytes_of(text), .start_ms = 86400000, .instant = true}
    };
    (void)mrd_fault_store_disarm(store); /* counts anew */
    ask(source, &asked, arena, out);
    return (size_t)mrd_fault_store_calls(store);
}

/* Devices of 1,440 samples, a minute apart, in one partition. */
static void write_day(struct written *written, size_t devices, uint64_t first_sequence)
{
    struct mrd_block_writer *writer = writer_of(written, 0);
    mrd_time_ms *times_ms = calloc(1440, sizeof(*times_ms));
    double *values = calloc(1440, sizeof(*values));
    assert_non_null(times_ms);
    assert_non_null(values);
    for (size_t i = 0; i < 1440; i++) {
        times_ms[i] = (mrd_time_ms)i * 60000;
        values[i] = (double)(i % 97) / 7;
    }
    for (size_t d = 0; d < devices; d++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "d-%06zu", d);
        const struct mrd_label items[] = {
            {MRD_BYTES(MRD_METRIC_NAME), MRD_BYTES("temperature")},
            {MRD_BYTES("device"),        mrd_bytes_of(text)      },
        };
        write_series(writer, &(struct mrd_source_series){
                                 .labels = {items, 2   },
                                   .samples = { times_ms, values, 1440, NULL}
        });
    }
    const struct mrd_block_origin origin = {.residency_class = MRD_BYTES("eu"),
                                            .first_sequence = first_sequence,
                                            .last_sequence = first_sequence + 99};
    write_finish(written, &writer, &origin);
    written_index(written);
    free(times_ms);
    free(values);
}

/* The range is open at its start, so the first of 1,440 samples is out. */
static void a_cold_day_costs_two_round_trips(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double want;
        size_t calls_max;
    } cases[] = {
        {"count_over_time(temperature{device=\"d-000500\"}[1d])",  1439, 2},
        {"count(count_over_time(temperature[1d]))",                1000, 2},
        {"count_over_time(temperature{device=\"elsewhere\"}[1d])", -1,   2},
    };
    struct written *written = written_create();
    write_day(written, 1000, 1);
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
        struct mrd_answer answer;
        const size_t calls = count_of(&written->source, cases[i].text, &answer, arena);
        assert_int_equal(answer.status, MRD_OK);
        if (cases[i].want >= 0) {
            assert_int_equal(answer.result.series_count, 1);
            assert_true(answer.result.series[0].values[0] == cases[i].want);
        }
        print_message("%zu calls of the store: %s\n", calls, cases[i].text);
        if (calls > cases[i].calls_max) {
            fail_msg("%s: %zu calls", cases[i].text, calls);
        }
    }
    written_destroy(&written);
}

/* By what heads hold, by time, by tenant: no access to storage at all. */
static void blocks_that_are_not_needed_are_left_alone(void **state)
{
    (void)state;
    struct written *written = written_create();
    write_day(written, 3, 101);
    const char *text = "count(temperature)";
    for (size_t i = 0; i < 6; i++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
        struct mrd_answer answer;
        static const struct {
            struct mrd_block_cover cover;
            const char *tenant;
            mrd_time_ms min_ms;
            bool needed;
        } cases[] = {
            {{101, 200},        "t", 0,        false},
            {{102, 200},        "t", 0,        true }, /* the head lacks its first batch */
            {{101, 199},        "t", 0,        true }, /* and has not applied its last */
            {{UINT64_MAX, 900}, "t", 0,        true },
            {{UINT64_MAX, 900}, "u", 0,        false},
            {{UINT64_MAX, 900}, "t", 86400001, false},
        };
        written->covers[0] = cases[i].cover;
        written->blocks.options.tenant = mrd_bytes_of(cases[i].tenant);
        assert_int_equal(
            mrd_block_source_needed(&written->blocks, NULL, 0, cases[i].min_ms, INT64_MAX),
            cases[i].needed);
        if (cases[i].min_ms == 0) {
            const size_t calls = count_of(&written->source, text, &answer, arena);
            assert_int_equal(answer.status, MRD_OK);
            assert_int_equal(answer.result.series_count, cases[i].needed ? 1 : 0);
            assert_int_equal(calls > 0, cases[i].needed);
        }
    }
    written_destroy(&written);
}

/* ---- what blocks owe ---- */

/* Names of devices that a list has. */
static size_t devices_of(const struct written *written, struct mrd_arena *arena,
                         const struct mrd_bytes **out)
{
    const struct mrd_source *source = &written->source;
    const struct mrd_query_scope scope = {.arena = arena};
    const struct mrd_label_query query = {.min_ms = 0, .max_ms = 86400000};
    struct mrd_texts texts;
    struct mrd_texts names;
    struct mrd_label_sets sets;
    assert_int_equal(
        source->label_values(source->context, MRD_BYTES("device"), &query, &scope, &texts, NULL),
        MRD_OK);
    assert_int_equal(source->label_names(source->context, &query, &scope, &names, NULL), MRD_OK);
    assert_int_equal(source->series(source->context, &query, &scope, &sets, NULL), MRD_OK);
    assert_int_equal(sets.count, texts.count);
    assert_int_equal(names.count, texts.count == 0 ? 0 : 2);
    *out = texts.items;
    return texts.count;
}

static void expect_samples(const struct written *written, const char *text, double want)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
    struct mrd_answer answer;
    (void)count_of(&written->source, text, &answer, arena);
    assert_int_equal(answer.status, MRD_OK);
    assert_int_equal(answer.result.series_count, want == 0 ? 0 : 1);
    assert_true(want == 0 || answer.result.series[0].values[0] == want);
}

static void what_a_block_owes_is_not_there(void **state)
{
    (void)state;
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("lists", SIZE_MAX);
    struct written *written = written_create();
    const struct mrd_bytes *devices;
    struct mrd_matcher matchers[2];
    struct mrd_erasure erasures[2];
    struct mrd_erasure_selector selectors[2];
    for (size_t i = 0; i < 2; i++) { /* all of one device, half a day of another */
        assert_int_equal(mrd_matcher_init(&matchers[i], MRD_MATCH_EQ, MRD_BYTES("device"),
                                          i == 0 ? MRD_BYTES("d-000003") : MRD_BYTES("d-000004"),
                                          NULL),
                         MRD_OK);
        selectors[i] = (struct mrd_erasure_selector){&matchers[i], 1};
        erasures[i] = (struct mrd_erasure){.tenant = MRD_BYTES("t"),
                                           .time_min_ms = i == 0 ? INT64_MIN : 43200000,
                                           .time_max_ms = INT64_MAX,
                                           .selectors = &selectors[i],
                                           .selector_count = 1};
    }
    write_day(written, 5, 1);
    const struct mrd_block_owing owing[] = {
        {written->entries[0].id, &erasures[1]},
        {MRD_BYTES("another"),   &erasures[0]},
        {written->entries[0].id, &erasures[0]},
    };
    assert_int_equal(devices_of(written, arena, &devices), 5);
    for (size_t round = 0; round < 2; round++) {
        if (round == 1) { /* a block that came later has them again, and owes nothing */
            write_day(written, 4, 101);
        }
        mrd_block_index_destroy(&written->index);
        written->index = mrd_block_index_create(entry_at, written->entries, written->count, owing,
                                                MRD_ARRAY_LEN(owing));
        written->blocks.options.index = written->index;
        assert_int_equal(devices_of(written, arena, &devices), round == 0 ? 4 : 5);
        assert_true(mrd_bytes_equal(devices[3],
                                    round == 0 ? MRD_BYTES("d-000004") : MRD_BYTES("d-000003")));
        expect_samples(written, "count_over_time(temperature{device=\"d-000003\"}[1d])",
                       round == 0 ? 0 : 1439);
        expect_samples(written, "count_over_time(temperature{device=\"d-000004\"}[1d])", 719);
        expect_samples(written, "sum(count_over_time(temperature[1d]))",
                       round == 0 ? 3 * 1439 + 719 : 4 * 1439 + 719);
    }
    for (size_t i = 0; i < 2; i++) {
        mrd_matcher_fini(&matchers[i]);
    }
    written_destroy(&written);
}

static void nothing_before_the_floor_is_read(void **state)
{
    (void)state;
    struct written *written = written_create();
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
    struct mrd_answer answer;
    write_day(written, 1, 1);
    written->blocks.options.floor_ms = 86400000 - 10 * 60000;
    (void)count_of(&written->source, "count_over_time(temperature[1d])", &answer, arena);
    assert_int_equal(answer.status, MRD_OK);
    assert_true(answer.result.series[0].values[0] == 10);
    written->blocks.options.floor_ms = 86400000;
    assert_false(mrd_block_source_needed(&written->blocks, NULL, 0, 0, INT64_MAX));
    written_destroy(&written);
}

/* ---- bad days ---- */

/* The n-th call fails, n = 1, 2, ...: an error that names the block, or the right answer, or a warning where that was asked
 * for. */
static void storage_that_fails_is_named(void **state)
{
    (void)state;
    struct written *written = written_create();
    write_day(written, 3, 1);
    write_day(written, 3, 101);
    for (unsigned partial = 0; partial < 2; partial++) {
        written->blocks.options.partial = partial != 0;
        bool happened = true;
        for (uint64_t nth = 1; happened; nth++) {
            mrd_auto(mrd_arena_destroy)
            struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
            const struct asked asked = {
                .request = {.text = MRD_BYTES("count(count_over_time(temperature[1d]))"),
                            .start_ms = 86400000,
                            .instant = true}
            };
            struct mrd_answer answer;
            mrd_fault_store_arm(store, &(struct mrd_fault){.nth = nth, .crash = true});
            ask(&written->source, &asked, arena, &answer);
            happened = mrd_fault_store_disarm(store);
            const size_t warnings = answer.result.annotations.count[MRD_ANNOTATION_WARNING];
            if (happened && !written->blocks.options.partial) {
                assert_int_equal(answer.status, MRD_E_UNAVAILABLE);
                assert_non_null(strstr(answer.err.text, "block blocks/"));
            } else {
                assert_int_equal(answer.status, MRD_OK);
                assert_int_equal(warnings > 0, happened);
            }
        }
    }
    written_destroy(&written);
}

static void an_object_that_is_gone_is_no_empty_answer(void **state)
{
    (void)state;
    struct written *written = written_create();
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
    struct mrd_answer answer;
    write_day(written, 3, 1);
    char key[128];
    (void)snprintf(key, sizeof(key), "%.*s", MRD_FMT(written->entries[0].sidecar.key));
    assert_int_equal(mrd_objstore_delete(files, key, NULL, NULL), MRD_OK);
    (void)count_of(&written->source, "temperature", &answer, arena);
    assert_int_equal(answer.status, MRD_E_UNAVAILABLE);
    written_destroy(&written);
}

static void too_many_blocks_for_the_memory_are_refused(void **state)
{
    (void)state;
    struct written *written = written_create();
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
    struct mrd_answer answer;
    write_day(written, 3, 1);
    write_day(written, 3, 101);
    written->blocks.options.memory_max = 300000;
    (void)count_of(&written->source, "temperature", &answer, arena);
    assert_int_equal(answer.status, MRD_E_LIMIT);
    assert_non_null(strstr(answer.err.text, "2 blocks of one partition"));
    written_destroy(&written);
}

/* Each takes an eighth of what the ones before it have left, and gives it back. */
static void selects_share_the_memory_of_a_query(void **state)
{
    (void)state;
    struct written *written = written_create();
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
    struct mrd_answer answer;
    char text[2048] = "count(temperature)";
    write_day(written, 3, 1);
    written->blocks.options.memory_max = 3 << 20; /* 192 KiB in eight: two selects have them */
    for (size_t selects = 1; selects <= 9; selects++) {
        (void)count_of(&written->source, text, &answer, arena);
        assert_int_equal(answer.status, selects <= 6 ? MRD_OK : MRD_E_LIMIT);
        assert_int_equal(written->blocks.memory_used, 0);
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
                       " + count(temperature offset %zum)", selects);
    }
    assert_non_null(strstr(answer.err.text, "querier.memory_bytes_max"));
    written_destroy(&written);
}

static void what_is_left_alone_is_counted_by_its_reason(void **state)
{
    (void)state;
    struct written *written = written_create();
    struct mrd_block_source_figures figures = {0};
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
    struct mrd_answer answer;
    write_day(written, 3, 1);
    write_day(written, 3, 101);
    written->covers[0] = (struct mrd_block_cover){101, 200};
    written->blocks.options.figures = &figures;
    (void)count_of(&written->source, "count(temperature)", &answer, arena);
    assert_int_equal(answer.status, MRD_OK);
    assert_int_equal(figures.considered, 2);
    assert_int_equal(figures.covered, 1);
    assert_int_equal(figures.read, 1);
    assert_true(figures.bytes > 0);
    (void)count_of(&written->source, "elsewhere", &answer, arena);
    assert_int_equal(figures.skipped_labels, 1);
    (void)count_of(&written->source, "temperature offset -2d", &answer, arena);
    assert_int_equal(figures.skipped_time, 2);
    written->blocks.options.tenant = MRD_BYTES("u");
    (void)count_of(&written->source, "temperature", &answer, arena);
    assert_int_equal(figures.skipped_tenant, 0); /* another tenant's are not even looked at */
    assert_int_equal(figures.considered, 6);
    assert_int_equal(figures.read, 1);
    written_destroy(&written);
}

static void limits_count_what_blocks_have(void **state)
{
    (void)state;
    struct written *written = written_create();
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
    struct mrd_answer answer;
    write_day(written, 3, 1);
    written->blocks.options.series_max = 2;
    (void)count_of(&written->source, "temperature", &answer, arena);
    assert_int_equal(answer.status, MRD_E_LIMIT);
    written->blocks.options.series_max = 0;
    written->blocks.options.samples_max = 2000;
    (void)count_of(&written->source, "count_over_time(temperature[1d])", &answer, arena);
    assert_int_equal(answer.status, MRD_E_LIMIT);
    assert_non_null(strstr(answer.err.text, "samples"));
    written_destroy(&written);
}

/* ---- the same over S3 ---- */

static struct s3_fixture server;
static struct mrd_objstore *folder_store;
static struct mrd_objstore *folder_faults;

static int begin_s3(void **state)
{
    (void)state;
    struct mrd_error err = {0};
    s3_fixture_start(&server, NULL, NULL);
    const struct mrd_s3_options options = s3_fixture_options(&server);
    folder_store = files;
    folder_faults = store;
    if (mrd_s3_store_open(&options, &files, &err) != MRD_OK) {
        fail_msg("%s", err.text);
    }
    store = mrd_fault_store_create(files);
    return 0;
}

static int end_s3(void **state)
{
    (void)state;
    mrd_objstore_close(&store);
    mrd_objstore_close(&files);
    s3_fixture_stop(&server);
    files = folder_store;
    store = folder_faults;
    return 0;
}

static void head_and_blocks_of_s3_answer_as_all_in_one(void **state)
{
    (void)state;
    compare_over_blocks(3);
}

struct cancel {
    _Atomic bool canceled;
    int64_t canceled_ns;
};

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

static void *cancel_soon(void *context)
{
    struct cancel *cancel = context;
    const struct timespec pause = {.tv_nsec = 200 * 1000000};
    (void)nanosleep(&pause, NULL);
    cancel->canceled_ns = now_ns();
    atomic_store(&cancel->canceled, true);
    return NULL;
}

/* Storage says nothing for 20 s. 100 ms is what is promised; the bound leaves room for a machine at work. */
static void cancelling_and_deadlines_reach_reads_that_wait(void **state)
{
    (void)state;
    struct written *written = written_create();
    struct mrd_buf said = {0};
    write_day(written, 3, 1);
    s3_fixture_say(&server, "faults", "stall method=GET seconds=20 times=1000", &said);
    for (int deadline = 0; deadline < 2; deadline++) {
        mrd_auto(mrd_arena_destroy)
        struct mrd_arena *arena = mrd_arena_create("query", SIZE_MAX);
        struct cancel cancel = {.canceled_ns = now_ns() + 200 * 1000000};
        const struct mrd_query_control control = {.canceled = &cancel.canceled,
                                                  .clock = deadline ? mrd_clock_system() : NULL,
                                                  .deadline_ns = cancel.canceled_ns};
        const struct mrd_promql_request request = {
            .text = MRD_BYTES("count(temperature)"), .start_ms = 86400000, .instant = true};
        struct mrd_promql_result result = {0};
        struct mrd_error err = {0};
        pthread_t thread;
        if (!deadline) {
            assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
        }
        const enum mrd_status status =
            mrd_promql_query(&(struct mrd_promql_options){0}, &request, &written->source, &control,
                             arena, &result, &err);
        const int64_t ended_ns = now_ns();
        if (!deadline) {
            (void)pthread_join(thread, NULL);
        }
        assert_int_equal(status, deadline ? MRD_E_TIMEOUT : MRD_E_CANCELED);
        print_message("ended %lld ms after the %s\n",
                      (long long)(ended_ns - cancel.canceled_ns) / 1000000,
                      deadline ? "deadline" : "cancelling");
        assert_true(ended_ns - cancel.canceled_ns < 500 * 1000000);
    }
    s3_fixture_say(&server, "faults", "", &said);
    mrd_buf_fini(&said);
    written_destroy(&written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cold_day_costs_two_round_trips),
        cmocka_unit_test(blocks_that_are_not_needed_are_left_alone),
        cmocka_unit_test(what_a_block_owes_is_not_there),
        cmocka_unit_test(nothing_before_the_floor_is_read),
        cmocka_unit_test(storage_that_fails_is_named),
        cmocka_unit_test(an_object_that_is_gone_is_no_empty_answer),
        cmocka_unit_test(too_many_blocks_for_the_memory_are_refused),
        cmocka_unit_test(selects_share_the_memory_of_a_query),
        cmocka_unit_test(what_is_left_alone_is_counted_by_its_reason),
        cmocka_unit_test(limits_count_what_blocks_have),
        cmocka_unit_test(lists_of_blocks_are_those_of_all_in_one),
        cmocka_unit_test(head_and_blocks_answer_as_all_in_one),
        cmocka_unit_test_setup_teardown(head_and_blocks_of_s3_answer_as_all_in_one, begin_s3,
                                        end_s3),
        cmocka_unit_test_setup_teardown(cancelling_and_deadlines_reach_reads_that_wait, begin_s3,
                                        end_s3),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
