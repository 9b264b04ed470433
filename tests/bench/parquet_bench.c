/* parquet_bench: how fast Parquet is written and read, and how small it gets, a column at a time and as the
 * samples table of a block. Data lies in memory; pages are series-days of 5,760 samples, 15 s apart.
 *
 *   parquet_bench [repetitions]
 *
 * Prints one line per column, encoding and codec: bytes per value, and for writing and reading million values and
 * megabytes (8 bytes a value) per second of CPU, the best of the repetitions.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench_tools.h"
#include "parquet/reader.h"
#include "parquet/writer.h"

enum { PAGE = 5760, PAGES = 174, ROWS = PAGE * PAGES, LIMIT = 1 << 30 };

/* ---- memory as a file ---- */

static enum mrd_status sink_write(void *context, struct mrd_bytes bytes, struct mrd_error *err)
{
    (void)err;
    mrd_buf_append_bytes(context, bytes);
    return MRD_OK;
}

static enum mrd_status source_read(void *context, uint64_t offset, size_t size, uint8_t *out,
                                   struct mrd_error *err)
{
    (void)err;
    memcpy(out, ((const struct mrd_buf *)context)->data + offset, size);
    return MRD_OK;
}

/* ---- columns ---- */

static int64_t column_ts[ROWS];
static int64_t column_jittered[ROWS];
static double column_counter[ROWS];
static double column_gauge[ROWS];
static double column_noise[ROWS];

static void fill_columns(void)
{
    double counter = 0;
    double gauge = 50;
    for (size_t i = 0; i < ROWS; i++) {
        if (i % PAGE == 0) {
            counter = (double)(bench_chance() % 1000000);
        }
        const int64_t ms = INT64_C(1700000000000) + (int64_t)(i % PAGE) * 15000;
        column_ts[i] = ms * 1000;
        column_jittered[i] = (ms + (int64_t)(bench_chance() % 21) - 10) * 1000;
        counter += (double)(bench_chance() % 40);
        gauge += ((double)(bench_chance() % 7) - 3) / 10;
        column_counter[i] = counter;
        column_gauge[i] = round(gauge * 10) / 10;
        column_noise[i] = (double)bench_chance() / 7;
    }
}

struct case_of {
    const char *name;
    const void *values;
    enum mrd_pq_type type;
    enum mrd_pq_encoding encoding;
    bool or_plain;
    enum mrd_pq_codec codec;
};

static const struct case_of cases[] = {
    {"ts regular",  column_ts,       MRD_PQ_INT64,  MRD_PQ_DELTA_BINARY_PACKED, false, MRD_PQ_NONE  },
    {"ts regular",  column_ts,       MRD_PQ_INT64,  MRD_PQ_DELTA_BINARY_PACKED, false, MRD_PQ_ZSTD  },
    {"ts jittered", column_jittered, MRD_PQ_INT64,  MRD_PQ_DELTA_BINARY_PACKED, false, MRD_PQ_NONE  },
    {"ts jittered", column_jittered, MRD_PQ_INT64,  MRD_PQ_DELTA_BINARY_PACKED, false, MRD_PQ_ZSTD  },
    {"ts jittered", column_jittered, MRD_PQ_INT64,  MRD_PQ_BYTE_STREAM_SPLIT,   false, MRD_PQ_ZSTD  },
    {"counter",     column_counter,  MRD_PQ_DOUBLE, MRD_PQ_PLAIN,               false, MRD_PQ_NONE  },
    {"counter",     column_counter,  MRD_PQ_DOUBLE, MRD_PQ_PLAIN,               false, MRD_PQ_SNAPPY},
    {"counter",     column_counter,  MRD_PQ_DOUBLE, MRD_PQ_PLAIN,               false, MRD_PQ_ZSTD  },
    {"counter",     column_counter,  MRD_PQ_DOUBLE, MRD_PQ_BYTE_STREAM_SPLIT,   false, MRD_PQ_NONE  },
    {"counter",     column_counter,  MRD_PQ_DOUBLE, MRD_PQ_BYTE_STREAM_SPLIT,   false, MRD_PQ_ZSTD  },
    {"counter",     column_counter,  MRD_PQ_DOUBLE, MRD_PQ_BYTE_STREAM_SPLIT,   true,  MRD_PQ_ZSTD  },
    {"gauge",       column_gauge,    MRD_PQ_DOUBLE, MRD_PQ_PLAIN,               false, MRD_PQ_ZSTD  },
    {"gauge",       column_gauge,    MRD_PQ_DOUBLE, MRD_PQ_BYTE_STREAM_SPLIT,   false, MRD_PQ_ZSTD  },
    {"gauge",       column_gauge,    MRD_PQ_DOUBLE, MRD_PQ_BYTE_STREAM_SPLIT,   true,  MRD_PQ_ZSTD  },
    {"noise",       column_noise,    MRD_PQ_DOUBLE, MRD_PQ_PLAIN,               false, MRD_PQ_ZSTD  },
    {"noise",       column_noise,    MRD_PQ_DOUBLE, MRD_PQ_BYTE_STREAM_SPLIT,   false, MRD_PQ_ZSTD  },
};

static double write_column(const struct case_of *of, struct mrd_buf *file)
{
    const struct mrd_pq_column column = {
        .name = "value",
        .field_id = 1,
        .value = {.type = of->type, .encoding = of->encoding, .or_plain = of->or_plain},
    };
    const struct mrd_pq_writer_options options = {.columns = &column,
                                                  .column_count = 1,
                                                  .codec = of->codec,
                                                  .level = 3,
                                                  .page_version = 1,
                                                  .memory_bytes_max = LIMIT};
    const struct mrd_pq_sink sink = {file, sink_write, NULL};
    struct mrd_error err;
    struct mrd_pq_writer *writer;
    struct mrd_pq_written written;
    mrd_buf_clear(file);
    const double begin = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
    bench_must(mrd_pq_writer_create(&options, &sink, &writer, &err), &err);
    for (size_t at = 0; at < ROWS; at += PAGE) {
        const struct mrd_pq_batch batch = {
            .entries = PAGE, .values = PAGE, .any = (const uint8_t *)of->values + at * 8};
        bench_must(mrd_pq_writer_append(writer, 0, &batch, 1, &err), &err);
        bench_must(mrd_pq_writer_cut_page(writer, 0, &err), &err);
    }
    bench_must(mrd_pq_writer_close(writer, &written, &err), &err);
    mrd_pq_writer_destroy(&writer);
    return bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - begin;
}

/* Reads one leaf of all row groups; `values` are compared if given. */
static double read_leaf(struct mrd_buf *file, size_t leaf, const uint8_t *values)
{
    const struct mrd_pq_source source = {file, file->size, source_read};
    struct mrd_error err;
    struct mrd_pq_file *open;
    const double begin = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
    bench_must(mrd_pq_file_open(&source, LIMIT, &open, &err), &err);
    struct mrd_pq_column_reader *column;
    size_t pages;
    for (size_t group = 0; group < mrd_pq_file_footer(open)->row_group_count; group++) {
        bench_must(mrd_pq_column_open(open, group, leaf, LIMIT, &column, &err), &err);
        (void)mrd_pq_column_pages(column, &pages);
        for (size_t i = 0; i < pages; i++) {
            struct mrd_pq_batch batch;
            bench_must(mrd_pq_column_read(column, i, &batch, &err), &err);
            if (values != NULL) {
                mrd_assert(memcmp(batch.any, values, batch.values * 8) == 0);
                values += batch.values * 8;
            }
        }
        mrd_pq_column_close(&column);
    }
    mrd_pq_file_close(&open);
    return bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - begin;
}

static const char *codec_name(enum mrd_pq_codec codec)
{
    return codec == MRD_PQ_ZSTD ? "zstd 3" : codec == MRD_PQ_SNAPPY ? "snappy" : "none";
}

static void run_case(const struct case_of *of, int repetitions, struct mrd_buf *file)
{
    double write_best = INFINITY;
    double read_best = INFINITY;
    for (int i = 0; i < repetitions; i++) {
        write_best = fmin(write_best, write_column(of, file));
        read_best = fmin(read_best, read_leaf(file, 0, NULL));
    }
    (void)read_leaf(file, 0, of->values);
    printf("%-12s %-20s%-9s %-7s %7.3f B  write %6.0f M/s %6.0f MB/s  read %6.0f M/s %6.0f MB/s\n",
           of->name, mrd_pq_encoding_name(of->encoding), of->or_plain ? " or PLAIN" : "",
           codec_name(of->codec), (double)file->size / ROWS, ROWS / write_best / 1e6,
           ROWS * 8 / write_best / 1e6, ROWS / read_best / 1e6, ROWS * 8 / read_best / 1e6);
}

/* ---- the table of a block ---- */

enum { LABELS = 8, SERIES_ID = 1, TS = 2, VALUE = 3, KEYS = 4, VALUES = 5, LEAVES = 6 };

static void append_series(struct mrd_pq_writer *writer, size_t series)
{
    struct mrd_error err;
    char texts[LABELS][32];
    struct mrd_bytes keys[LABELS];
    struct mrd_bytes values[LABELS];
    uint8_t rep[LABELS];
    for (size_t i = 0; i < LABELS; i++) {
        static const char *const names[LABELS] = {"cluster", "container", "instance", "job",
                                                  "le",      "namespace", "node",     "pod"};
        (void)snprintf(texts[i], sizeof(texts[i]), "%s-%zu", names[i], series % (i * 9 + 1));
        keys[i] = mrd_bytes_of(names[i]);
        values[i] = mrd_bytes_of(texts[i]);
        rep[i] = i > 0;
    }
    char name[32];
    (void)snprintf(name, sizeof(name), "metric_%04zu_total", series / 8);
    const struct mrd_bytes metric = mrd_bytes_of(name);
    const int64_t id = (int64_t)(bench_chance() * 977);
    const size_t at = series * PAGE;
    const struct mrd_pq_batch whole[] = {
        [TS] = {.entries = PAGE, .values = PAGE, .i64 = column_jittered + at },
        [VALUE] = {.entries = PAGE,
                .values = PAGE,
                .f64 = (series % 2 == 0 ? column_counter : column_gauge) + at},
    };
    struct mrd_pq_batch one[LEAVES] = {0};
    one[0] = (struct mrd_pq_batch){.entries = 1, .values = 1, .bytes = &metric};
    one[SERIES_ID] = (struct mrd_pq_batch){.entries = 1, .values = 1, .i64 = &id};
    one[KEYS] = (struct mrd_pq_batch){LABELS, LABELS, NULL, rep, {.bytes = keys}};
    one[VALUES] = (struct mrd_pq_batch){LABELS, LABELS, NULL, rep, {.bytes = values}};
    for (size_t leaf = 0; leaf < LEAVES; leaf++) {
        const bool repeated = leaf != TS && leaf != VALUE;
        bench_must(mrd_pq_writer_append(writer, leaf, repeated ? &one[leaf] : &whole[leaf],
                                        repeated ? PAGE : 1, &err),
                   &err);
        if (!repeated || series % 16 == 15) {
            bench_must(mrd_pq_writer_cut_page(writer, leaf, &err), &err);
        }
    }
}

static double write_table(struct mrd_buf *file)
{
    enum { DICTIONARY = 1 << 20 };
    const struct mrd_pq_node text = {.type = MRD_PQ_BYTE_ARRAY,
                                     .meaning = MRD_PQ_STRING,
                                     .field_id = -1,
                                     .dictionary_size_max = DICTIONARY};
    const struct mrd_pq_node number = {.type = MRD_PQ_INT64,
                                       .encoding = MRD_PQ_DELTA_BINARY_PACKED};
    struct mrd_pq_node time_of = number;
    time_of.meaning = MRD_PQ_TIMESTAMP_US;
    struct mrd_pq_column columns[5] = {0};
    columns[0] = (struct mrd_pq_column){.name = "metric", .field_id = 1, .value = text};
    columns[1] = (struct mrd_pq_column){.name = "series_id", .field_id = 2, .value = number};
    columns[2] = (struct mrd_pq_column){.name = "ts", .field_id = 3, .value = time_of};
    columns[3] = (struct mrd_pq_column){
        .name = "value", .field_id = 4, .optional = true, .value = {.type = MRD_PQ_DOUBLE}};
    columns[4] = (struct mrd_pq_column){
        .name = "labels", .field_id = 5, .shape = MRD_PQ_MAP, .key = text, .value = text};
    const struct mrd_pq_writer_options options = {.columns = columns,
                                                  .column_count = MRD_ARRAY_LEN(columns),
                                                  .codec = MRD_PQ_ZSTD,
                                                  .level = 3,
                                                  .page_version = 1,
                                                  .memory_bytes_max = LIMIT};
    const struct mrd_pq_sink sink = {file, sink_write, NULL};
    struct mrd_error err;
    struct mrd_pq_writer *writer;
    struct mrd_pq_written written;
    mrd_buf_clear(file);
    const double begin = bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
    bench_must(mrd_pq_writer_create(&options, &sink, &writer, &err), &err);
    for (size_t series = 0; series < PAGES; series++) {
        append_series(writer, series);
    }
    bench_must(mrd_pq_writer_close(writer, &written, &err), &err);
    mrd_pq_writer_destroy(&writer);
    return bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - begin;
}

static void run_table(int repetitions, struct mrd_buf *file)
{
    double write_best = INFINITY;
    double pair_best = INFINITY;
    double all_best = INFINITY;
    for (int i = 0; i < repetitions; i++) {
        write_best = fmin(write_best, write_table(file));
        const double pair = read_leaf(file, TS, NULL) + read_leaf(file, VALUE, NULL);
        pair_best = fmin(pair_best, pair);
        const double rest = read_leaf(file, 0, NULL) + read_leaf(file, SERIES_ID, NULL) +
                            read_leaf(file, KEYS, NULL) + read_leaf(file, VALUES, NULL);
        all_best = fmin(all_best, pair + rest);
    }
    printf(
        "samples table, 8 labels in a map, zstd 3: %.3f B a row, write %.1f M rows/s, read ts and "
        "value %.0f M rows/s, all columns %.1f M rows/s\n",
        (double)file->size / ROWS, ROWS / write_best / 1e6, ROWS / pair_best / 1e6,
        ROWS / all_best / 1e6);
}

int main(int argc, char **argv)
{
    const int repetitions = argc > 1 ? atoi(argv[1]) : 5;
    struct mrd_buf file = {0};
    fill_columns();
    for (size_t i = 0; i < MRD_ARRAY_LEN(cases); i++) {
        run_case(&cases[i], MRD_MAX(repetitions, 1), &file);
    }
    run_table(MRD_MAX(repetitions, 1), &file);
    mrd_buf_fini(&file);
    return 0;
}
