/* A block that was written is read: series, chunks, postings' order; and what is broken in it is found. That Prometheus reads
 * such blocks, and that its own are read here, is seen in tests/e2e. */
#include "tsdb/block.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "codec/varbit_chunk.h"
#include "codec/xor2_chunk.h"
#include "codec/xor_chunk.h"
#include "tsdb/block_writer.h"

enum { SERIES = 100, CHUNKS = 5, SAMPLES = 60, ARENA_BYTES = 16 << 20, MEMORY_BYTES = 64 << 20 };

#define ULID "01M8DCQSV88ZGKAW21Z1XV7V05"
#define BEGIN_MS INT64_C(1600000000000)

struct fixture {
    char outer[64];
    char folder[128];
    struct mrd_arena *arena;
};

static struct fixture fixture;

/* ---- a folder ---- */

static int make(void **state)
{
    (void)state;
    (void)snprintf(fixture.outer, sizeof(fixture.outer), "/tmp/tsdb_block_test.XXXXXX");
    assert_non_null(mkdtemp(fixture.outer));
    (void)snprintf(fixture.folder, sizeof(fixture.folder), "%s/" ULID, fixture.outer);
    fixture.arena = mrd_arena_create("test", ARENA_BYTES);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    char command[256];
    mrd_arena_destroy(&fixture.arena);
    (void)snprintf(command, sizeof(command), "rm -rf %s", fixture.outer);
    return system(command);
}

static size_t entries_in(const char *path)
{
    size_t count = 0;
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(folder);
    return count;
}

/* ---- what is written ---- */

static struct mrd_tsdb_writer *writer_make(size_t memory)
{
    struct mrd_tsdb_writer *writer = NULL;
    const struct mrd_tsdb_writer_options options = {fixture.outer, ULID, memory};
    assert_int_equal(mrd_tsdb_writer_create(&options, &writer, NULL), MRD_OK);
    return writer;
}

struct texts {
    char number[16];
    char shard[16];
};

static struct mrd_labels labels_make(unsigned number, struct texts *texts,
                                     struct mrd_label items[3])
{
    (void)snprintf(texts->number, sizeof(texts->number), "%05u", number);
    (void)snprintf(texts->shard, sizeof(texts->shard), "%u", number % 7);
    items[0] = (struct mrd_label){MRD_BYTES("__name__"), MRD_BYTES("level")};
    items[1] = (struct mrd_label){MRD_BYTES("number"), mrd_bytes_of(texts->number)};
    items[2] = (struct mrd_label){MRD_BYTES("shard"), mrd_bytes_of(texts->shard)};
    return (struct mrd_labels){items, 3};
}

static void samples_make(unsigned series, unsigned chunk, mrd_time_ms *times_ms, double *values)
{
    for (unsigned i = 0; i < SAMPLES; i++) {
        times_ms[i] = BEGIN_MS + (chunk * SAMPLES + i) * 15000;
        values[i] = series * 1000 + i;
    }
}

static void chunk_add(struct mrd_tsdb_writer *writer, unsigned series, unsigned chunk)
{
    mrd_time_ms times_ms[SAMPLES];
    double values[SAMPLES];
    struct mrd_buf bytes = {0};
    samples_make(series, chunk, times_ms, values);
    const struct mrd_samples samples = {times_ms, values, SAMPLES, times_ms};
    if (series % 2 == 0) {
        mrd_xor_chunk_encode(&samples, &bytes);
    } else {
        mrd_xor2_chunk_encode(&samples, &bytes);
    }
    const struct mrd_tsdb_written_chunk written = {
        .encoding = series % 2 == 0 ? MRD_PROMETHEUS_XOR : MRD_PROMETHEUS_XOR2,
        .bytes = mrd_buf_view(&bytes),
        .min_ms = times_ms[0],
        .max_ms = times_ms[SAMPLES - 1],
        .sample_count = SAMPLES,
    };
    assert_int_equal(mrd_tsdb_writer_chunk(writer, &written, NULL), MRD_OK);
    mrd_buf_fini(&bytes);
}

static void block_write(void)
{
    struct mrd_tsdb_writer *writer = writer_make(MEMORY_BYTES);
    struct mrd_tsdb_meta meta;
    for (unsigned i = 0; i < SERIES; i++) {
        struct texts texts;
        struct mrd_label items[3];
        assert_int_equal(mrd_tsdb_writer_series(writer, labels_make(i, &texts, items), NULL),
                         MRD_OK);
        for (unsigned chunk = 0; chunk < CHUNKS; chunk++) {
            chunk_add(writer, i, chunk);
        }
    }
    assert_int_equal(mrd_tsdb_writer_finish(writer, &meta, NULL), MRD_OK);
    assert_int_equal(meta.stats.series, SERIES);
    assert_int_equal(meta.stats.chunks, SERIES * CHUNKS);
    assert_int_equal(meta.stats.floats, SERIES * CHUNKS * SAMPLES);
    mrd_tsdb_writer_destroy(&writer);
}

/* ---- what is read ---- */

static void chunk_check(const struct mrd_tsdb_block *block, const struct mrd_tsdb_chunk_meta *meta,
                        unsigned series, unsigned chunk)
{
    mrd_time_ms times_ms[SAMPLES];
    double values[SAMPLES];
    struct mrd_prometheus_chunk got;
    samples_make(series, chunk, times_ms, values);
    assert_int_equal(mrd_tsdb_block_chunk(block, meta, fixture.arena, &got, NULL), MRD_OK);
    assert_int_equal(got.samples.count, SAMPLES);
    assert_memory_equal(got.samples.times_ms, times_ms, sizeof(times_ms));
    assert_memory_equal(got.samples.values, values, sizeof(values));
    assert_true((got.samples.start_times_ms != NULL) == (series % 2 == 1));
}

static void a_block_that_was_written_is_read(void **state)
{
    (void)state;
    struct mrd_tsdb_block block;
    block_write();
    assert_int_equal(mrd_tsdb_block_open(&block, fixture.folder, NULL), MRD_OK);
    assert_string_equal(block.meta.ulid, ULID);
    assert_int_equal(block.meta.min_ms, BEGIN_MS);
    assert_int_equal(block.meta.max_ms, BEGIN_MS + (CHUNKS * SAMPLES - 1) * 15000 + 1);
    assert_int_equal(block.index.series_count, SERIES);
    for (unsigned i = 0; i < SERIES; i++) {
        struct texts texts;
        struct mrd_label items[3];
        struct mrd_tsdb_series series;
        mrd_arena_reset(fixture.arena);
        assert_int_equal(mrd_tsdb_index_series(&block.index, i, fixture.arena, &series, NULL),
                         MRD_OK);
        assert_true(mrd_labels_equal(series.labels, labels_make(i, &texts, items)));
        assert_int_equal(series.chunk_count, CHUNKS);
        for (unsigned chunk = 0; chunk < CHUNKS; chunk++) {
            chunk_check(&block, &series.chunks[chunk], i, chunk);
        }
    }
    mrd_tsdb_block_close(&block);
}

static void what_comes_in_the_wrong_order_is_refused(void **state)
{
    (void)state;
    struct mrd_tsdb_writer *writer = writer_make(MEMORY_BYTES);
    struct texts texts;
    struct mrd_label items[3];
    assert_int_equal(mrd_tsdb_writer_series(writer, labels_make(2, &texts, items), NULL), MRD_OK);
    chunk_add(writer, 2, 1);
    const struct mrd_tsdb_written_chunk again = {.encoding = MRD_PROMETHEUS_XOR,
                                                 .bytes = MRD_BYTES("x"),
                                                 .min_ms = BEGIN_MS,
                                                 .max_ms = BEGIN_MS + 1};
    assert_int_equal(mrd_tsdb_writer_chunk(writer, &again, NULL), MRD_E_INVALID);
    assert_int_equal(mrd_tsdb_writer_series(writer, labels_make(1, &texts, items), NULL),
                     MRD_E_INVALID);
    mrd_tsdb_writer_destroy(&writer);
    assert_int_equal(entries_in(fixture.outer), 0); /* what is not finished leaves nothing */
}

static void a_block_without_series_is_none(void **state)
{
    (void)state;
    struct mrd_tsdb_writer *writer = writer_make(MEMORY_BYTES);
    struct mrd_tsdb_meta meta;
    struct texts texts;
    struct mrd_label items[3];
    assert_int_equal(mrd_tsdb_writer_series(writer, labels_make(2, &texts, items), NULL), MRD_OK);
    assert_int_equal(mrd_tsdb_writer_finish(writer, &meta, NULL), MRD_OK); /* without a chunk */
    assert_int_equal(meta.stats.series, 0);
    mrd_tsdb_writer_destroy(&writer);
    assert_int_equal(entries_in(fixture.outer), 0);
}

static void memory_has_a_bound(void **state)
{
    (void)state;
    struct mrd_tsdb_writer *writer = writer_make(1 << 16);
    enum mrd_status status = MRD_OK;
    unsigned count = 0;
    for (; count < 100000 && status == MRD_OK; count++) {
        struct texts texts;
        struct mrd_label items[3];
        status = mrd_tsdb_writer_series(writer, labels_make(count, &texts, items), NULL);
        if (status == MRD_OK) {
            chunk_add(writer, count, 0);
        }
    }
    assert_int_equal(status, MRD_E_LIMIT);
    assert_true(count > 10);
    mrd_tsdb_writer_destroy(&writer);
}

/* ---- broken blocks ---- */

static struct mrd_buf file_read(const char *path)
{
    struct mrd_buf bytes = {0};
    struct mrd_tsdb_map map;
    assert_int_equal(mrd_tsdb_map_open(path, &map, NULL), MRD_OK);
    mrd_buf_append_bytes(&bytes, map.bytes);
    mrd_tsdb_map_close(&map);
    return bytes;
}

/* Reads all series of an index; how many were as they should be. */
static unsigned sound_series(const struct mrd_tsdb_index *index)
{
    unsigned sound = 0;
    for (unsigned i = 0; i < MRD_MIN(index->series_count, (size_t)SERIES); i++) {
        struct texts texts;
        struct mrd_label items[3];
        struct mrd_tsdb_series series;
        mrd_arena_reset(fixture.arena);
        if (mrd_tsdb_index_series(index, i, fixture.arena, &series, NULL) == MRD_OK) {
            assert_true(mrd_labels_equal(series.labels, labels_make(i, &texts, items)));
            assert_int_equal(series.chunk_count, CHUNKS);
            sound++;
        }
    }
    return sound;
}

static void a_changed_byte_of_an_index_never_makes_another_series(void **state)
{
    (void)state;
    char path[256];
    block_write();
    (void)snprintf(path, sizeof(path), "%s/index", fixture.folder);
    struct mrd_buf bytes = file_read(path);
    unsigned unopened = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        struct mrd_tsdb_index index;
        bytes.data[i] ^= 0x11;
        if (mrd_tsdb_index_init(&index, mrd_buf_view(&bytes), NULL) != MRD_OK) {
            unopened++;
        } else {
            assert_int_equal(index.series_count, SERIES);
            assert_true(sound_series(&index) >= SERIES - 1);
            mrd_tsdb_index_fini(&index);
        }
        bytes.data[i] ^= 0x11;
    }
    assert_true(unopened > 1000);
    mrd_buf_fini(&bytes);
}

static void an_index_that_is_cut_off_is_refused(void **state)
{
    (void)state;
    char path[256];
    block_write();
    (void)snprintf(path, sizeof(path), "%s/index", fixture.folder);
    struct mrd_buf bytes = file_read(path);
    for (size_t size = 0; size < bytes.size; size++) {
        struct mrd_tsdb_index index;
        const enum mrd_status status =
            mrd_tsdb_index_init(&index, (struct mrd_bytes){bytes.data, size}, NULL);
        assert_int_equal(status, MRD_E_CORRUPT);
    }
    mrd_buf_fini(&bytes);
}

static void a_changed_byte_of_a_chunk_is_found(void **state)
{
    (void)state;
    char path[256];
    struct mrd_tsdb_block block;
    struct mrd_tsdb_series series;
    struct mrd_prometheus_chunk chunk;
    block_write();
    assert_int_equal(mrd_tsdb_block_open(&block, fixture.folder, NULL), MRD_OK);
    assert_int_equal(mrd_tsdb_index_series(&block.index, 3, fixture.arena, &series, NULL), MRD_OK);
    (void)snprintf(path, sizeof(path), "%s/chunks/000001", fixture.folder);
    const int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "!", 1, (off_t)series.chunks[2].ref + 20), 1);
    (void)close(fd);
    assert_int_equal(mrd_tsdb_block_chunk(&block, &series.chunks[1], fixture.arena, &chunk, NULL),
                     MRD_OK);
    assert_int_equal(mrd_tsdb_block_chunk(&block, &series.chunks[2], fixture.arena, &chunk, NULL),
                     MRD_E_CORRUPT);
    const struct mrd_tsdb_chunk_meta nowhere = {BEGIN_MS, BEGIN_MS, UINT64_C(1) << 32 | 8};
    assert_int_equal(mrd_tsdb_block_chunk(&block, &nowhere, fixture.arena, &chunk, NULL),
                     MRD_E_CORRUPT);
    mrd_tsdb_block_close(&block);
}

static void a_folder_that_is_no_block_is_not_found(void **state)
{
    (void)state;
    struct mrd_tsdb_block block;
    struct mrd_error err;
    assert_int_equal(mrd_tsdb_block_open(&block, fixture.outer, &err), MRD_E_NOT_FOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_block_that_was_written_is_read),
        TEST(what_comes_in_the_wrong_order_is_refused),
        TEST(a_block_without_series_is_none),
        TEST(memory_has_a_bound),
        TEST(a_changed_byte_of_an_index_never_makes_another_series),
        TEST(an_index_that_is_cut_off_is_refused),
        TEST(a_changed_byte_of_a_chunk_is_found),
        TEST(a_folder_that_is_no_block_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
