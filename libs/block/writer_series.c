/* The file of series of a block: a row for each of them, written as they end. */
#include <stdlib.h>

#include "block/writer_internal.h"

enum {
    MEMORY_PART = 8, /* of the writer's memory */
    GROUP_PART =
        4, /* of that: a row group ends when it is as large, so one large row always fits beside it */
    PAGE_ROWS = 8192,
    DICTIONARY_PART = 64,
};

static void set_encodings(struct mrd_pq_column *columns, size_t count, size_t memory_max)
{
    const size_t dictionary = MRD_MIN(memory_max / DICTIONARY_PART, (size_t)BLOCK_DICTIONARY_BYTES);
    for (size_t i = 0; i < count; i++) {
        struct mrd_pq_node *value = &columns[i].value;
        columns[i].key.dictionary_size_max = dictionary;
        value->dictionary_size_max = MRD_MIN(value->dictionary_size_max, dictionary);
        if (columns[i].field_id == MRD_BLOCK_FIELD_SERIES_ID) { /* random, each once */
            value->encoding = MRD_PQ_PLAIN;
            value->dictionary_size_max = 0;
        }
    }
}

enum mrd_status block_series_open(struct mrd_block_writer *writer,
                                  const struct mrd_block_writer_options *options,
                                  struct mrd_error *err)
{
    const struct mrd_block_schema_options of = {.level = options->level,
                                                .promoted = options->promoted,
                                                .promoted_count = options->promoted_count,
                                                .series = true};
    struct mrd_block_schema schema;
    struct mrd_pq_column columns[MRD_BLOCK_COLUMNS_MAX] = {0};
    MRD_TRY(mrd_block_schema_init(&of, &schema, err));
    struct block_series_out *series = calloc(1, sizeof(*series));
    char *key = strdup(options->series_key);
    mrd_assert(series != NULL && key != NULL);
    series->out =
        (struct block_out){.store = writer->store, .control = writer->control, .key = key};
    series->memory_max = writer->memory_max / MEMORY_PART;
    writer->series_out = series;
    block_columns_of(&schema, &(const struct mrd_block_writer_options){0}, columns);
    set_encodings(columns, schema.column_count, series->memory_max);
    const struct mrd_pq_sorting by_metric = {.leaf = 0};
    const struct mrd_pq_writer_options parquet = {
        .columns = columns,
        .column_count = schema.column_count,
        .sorting = &by_metric,
        .sorting_count = 1,
        .codec = MRD_PQ_ZSTD,
        .level = writer->zstd_level,
        .page_version = 1,
        .memory_bytes_max = series->memory_max,
        .compressor = writer->compressor,
    };
    return block_out_open(&series->out, &parquet, err);
}

static enum mrd_status cut_pages(struct block_series_out *series, struct mrd_error *err)
{
    for (size_t leaf = 0; leaf < mrd_pq_writer_leaf_count(series->out.parquet); leaf++) {
        MRD_TRY(mrd_pq_writer_cut_page(series->out.parquet, leaf, err));
    }
    series->page_rows = 0;
    return MRD_OK;
}

static enum mrd_status end_group(struct block_series_out *series, struct mrd_error *err)
{
    MRD_TRY(mrd_pq_writer_end_row_group(series->out.parquet, err));
    series->page_rows = 0;
    series->group_rows = 0;
    return MRD_OK;
}

enum mrd_status block_series_add(struct mrd_block_writer *writer, struct mrd_error *err)
{
    struct block_series_out *series = writer->series_out;
    const int64_t numbers[] = {writer->first_ms * 1000, writer->last_ms * 1000,
                               (int64_t)writer->series_rows};
    const size_t leaf = (size_t)writer->leaves.series_id + 1;
    MRD_TRY(block_append_names(writer, series->out.parquet, 1, err));
    for (size_t i = 0; i < MRD_ARRAY_LEN(numbers); i++) {
        const struct mrd_pq_batch batch = {.entries = 1, .values = 1, .i64 = &numbers[i]};
        MRD_TRY(mrd_pq_writer_append(series->out.parquet, leaf + i, &batch, 1, err));
    }
    if (++series->group_rows == MRD_BLOCK_ROW_GROUP_ROWS ||
        mrd_pq_writer_memory(series->out.parquet) > series->memory_max / GROUP_PART) {
        return end_group(series, err);
    }
    return ++series->page_rows == PAGE_ROWS ? cut_pages(series, err) : MRD_OK;
}

enum mrd_status block_series_finish(struct mrd_block_writer *writer, struct mrd_arena *arena,
                                    struct mrd_block_listed_file *out, struct mrd_error *err)
{
    struct block_out *file = &writer->series_out->out;
    MRD_TRY(mrd_pq_writer_set(file->parquet, MRD_BYTES("meridian.block"), mrd_bytes_of(writer->id),
                              err));
    MRD_TRY(block_out_finish(file, err));
    MRD_TRY(block_out_verify(file, err));
    mrd_assert(file->written.rows == writer->series_count);
    return block_out_list(file, arena, out, err);
}

size_t block_series_memory(const struct mrd_block_writer *writer)
{
    return writer->series_out == NULL ? 0 : mrd_pq_writer_memory(writer->series_out->out.parquet);
}

void block_series_close(struct mrd_block_writer *writer)
{
    if (writer->series_out != NULL) {
        block_out_close(&writer->series_out->out);
        free(writer->series_out);
        writer->series_out = NULL;
    }
}
