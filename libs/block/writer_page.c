#include "block/writer_internal.h"

#include <stdlib.h>

#include "base/hash.h"
#include "codec/decimal.h"

/* ---- columns ---- */

static struct mrd_pq_node text_node(int32_t field_id)
{
    return (struct mrd_pq_node){.type = MRD_PQ_BYTE_ARRAY,
                                .meaning = MRD_PQ_STRING,
                                .field_id = field_id,
                                .encoding = MRD_PQ_PLAIN,
                                .dictionary_size_max = BLOCK_DICTIONARY_BYTES};
}

/* Doubles of rollups are read by the million: where splitting them takes less, it also decompresses twice as fast. */
static struct mrd_pq_node node_of(const struct mrd_block_column *column,
                                  const struct mrd_block_writer_options *options)
{
    const bool few = column->field_id == MRD_BLOCK_FIELD_H_SCHEMA ||
                     column->field_id == MRD_BLOCK_FIELD_H_ZERO_THRESHOLD ||
                     column->field_id == MRD_BLOCK_FIELD_VALUE_E;
    struct mrd_pq_node node = {.field_id = column->field_id, .encoding = MRD_PQ_PLAIN};
    switch (column->type) {
    case MRD_BLOCK_STRING:
        return text_node(column->field_id);
    case MRD_BLOCK_BINARY:
        node.type = MRD_PQ_BYTE_ARRAY;
        break;
    case MRD_BLOCK_INT:
        node.type = MRD_PQ_INT32;
        break;
    case MRD_BLOCK_LONG:
    case MRD_BLOCK_TIMESTAMPTZ:
        node.type = MRD_PQ_INT64;
        node.meaning = column->type == MRD_BLOCK_LONG ? MRD_PQ_RAW : MRD_PQ_TIMESTAMP_US;
        node.encoding = MRD_PQ_DELTA_BINARY_PACKED;
        break;
    case MRD_BLOCK_DOUBLE:
        node.type = MRD_PQ_DOUBLE;
        if (options->resolution_ms != 0 ||
            (options->split_values && column->field_id == MRD_BLOCK_FIELD_VALUE)) {
            node.encoding = MRD_PQ_BYTE_STREAM_SPLIT;
            node.or_plain = true;
        }
        break;
    case MRD_BLOCK_STRING_MAP:
        return text_node(column->value_id);
    }
    node.dictionary_size_max = few ? 4096 : 0;
    if (column->field_id == MRD_BLOCK_FIELD_SERIES_ID) { /* runs, between random numbers */
        node.dictionary_size_max = BLOCK_DICTIONARY_BYTES;
    }
    return node;
}

static void note_leaf(struct block_leaves *leaves, int32_t field_id, int leaf)
{
    switch (field_id) {
    case MRD_BLOCK_FIELD_TENANT:
        leaves->tenant = leaf;
        break;
    case MRD_BLOCK_FIELD_METRIC:
        leaves->metric = leaf;
        leaves->promoted = leaf + 1;
        break;
    case MRD_BLOCK_FIELD_LABELS:
        leaves->labels_key = leaf;
        leaves->labels_value = leaf + 1;
        break;
    case MRD_BLOCK_FIELD_SERIES_ID:
        leaves->series_id = leaf;
        break;
    case MRD_BLOCK_FIELD_TS:
        leaves->ts = leaf;
        break;
    case MRD_BLOCK_FIELD_COUNT:
        leaves->count = leaf;
        break;
    case MRD_BLOCK_FIELD_VALUE:
        leaves->value = leaf;
        break;
    case MRD_BLOCK_FIELD_VALUE_I:
        leaves->value_i = leaf;
        break;
    case MRD_BLOCK_FIELD_VALUE_E:
        leaves->value_e = leaf;
        break;
    case MRD_BLOCK_FIELD_ST:
        leaves->st = leaf;
        break;
    case MRD_BLOCK_FIELD_H_COUNT:
        leaves->h_number = leaf;
        break;
    case MRD_BLOCK_FIELD_H_CHUNK:
        leaves->h_chunk = leaf;
        break;
    case MRD_BLOCK_FIELD_HLC:
        leaves->hlc = leaf;
        break;
    default:
        break;
    }
}

/* Which leaf each sparse column is, in the file and in the sidecar. */
static void set_places(struct mrd_block_writer *writer)
{
    const struct block_leaves *leaves = &writer->leaves;
    for (unsigned i = 0; i < SPARSE_MAX; i++) {
        writer->places[i] = (struct block_sparse_place){-1, -1};
    }
    writer->places[SPARSE_VALUE] = (struct block_sparse_place){leaves->value, MBX_VALUE};
    writer->places[SPARSE_VALUE_I] = (struct block_sparse_place){leaves->value_i, MBX_VALUE_I};
    writer->places[SPARSE_VALUE_E] = (struct block_sparse_place){leaves->value_e, -1};
    writer->places[SPARSE_ST] = (struct block_sparse_place){leaves->st, MBX_ST};
    for (int i = 0; i < BLOCK_HISTOGRAM_COLUMNS; i++) {
        writer->places[SPARSE_H_NUMBER + i] = (struct block_sparse_place){leaves->h_number + i, -1};
    }
    writer->places[SPARSE_H_CHUNK] = (struct block_sparse_place){leaves->h_chunk, MBX_HISTOGRAM};
    writer->places[SPARSE_HLC] = (struct block_sparse_place){leaves->hlc, MBX_HLC};
    writer->sparse_count = SPARSE_COUNT;
}

static int32_t rollup_field(unsigned which)
{
    static const int32_t fields[SPARSE_ROLLUP_COUNT] = {
        [MRD_ROW_COUNT] = MRD_BLOCK_FIELD_COUNT,
        [MRD_ROW_SUM] = MRD_BLOCK_FIELD_SUM,
        [MRD_ROW_COMPENSATION] = MRD_BLOCK_FIELD_SUM_ERROR,
        [MRD_ROW_MIN] = MRD_BLOCK_FIELD_MIN,
        [MRD_ROW_MAX] = MRD_BLOCK_FIELD_MAX,
        [MRD_ROW_FIRST] = MRD_BLOCK_FIELD_FIRST,
        [MRD_ROW_LAST] = MRD_BLOCK_FIELD_LAST,
        [MRD_ROW_FIRST_TS] = MRD_BLOCK_FIELD_FIRST_TS,
        [MRD_ROW_LAST_TS] = MRD_BLOCK_FIELD_LAST_TS,
        [MRD_ROW_CHANGES] = MRD_BLOCK_FIELD_CHANGES,
        [MRD_ROW_RESETS] = MRD_BLOCK_FIELD_RESETS,
        [MRD_ROW_LOST] = MRD_BLOCK_FIELD_LOST,
        [MRD_ROW_FIRST_ST] = MRD_BLOCK_FIELD_FIRST_ST,
        [MRD_ROW_LAST_ST] = MRD_BLOCK_FIELD_LAST_ST,
        [MRD_ROW_STALE_TS] = MRD_BLOCK_FIELD_STALE_TS,
        [SPARSE_STATE] = MRD_BLOCK_FIELD_STATE,
        [SPARSE_INCREASE] = MRD_BLOCK_FIELD_INCREASE,
        [SPARSE_HISTOGRAMS] = MRD_BLOCK_FIELD_HISTOGRAMS,
    };
    return fields[which];
}

/* From ts on the file has one leaf a column, in the order of the schema. */
static void set_rollup_places(struct mrd_block_writer *writer)
{
    const int ts_at = mrd_block_schema_find(&writer->schema, MRD_BLOCK_FIELD_TS);
    for (unsigned i = 0; i < SPARSE_ROLLUP_COUNT; i++) {
        const int at = mrd_block_schema_find(&writer->schema, rollup_field(i));
        writer->places[i] = (struct block_sparse_place){writer->leaves.ts + at - ts_at,
                                                        i < MRD_ROW_COLUMNS ? MBX_ROW + (int)i
                                                        : i == SPARSE_STATE ? MBX_STATE
                                                                            : -1};
    }
    writer->places[MRD_ROW_COUNT].leaf = -1; /* never null: not sparse */
    writer->sparse_count = SPARSE_ROLLUP_COUNT;
}

void block_columns_of(const struct mrd_block_schema *schema,
                      const struct mrd_block_writer_options *of,
                      struct mrd_pq_column out[MRD_BLOCK_COLUMNS_MAX])
{
    for (size_t i = 0; i < schema->column_count; i++) {
        const struct mrd_block_column *column = &schema->columns[i];
        out[i] = (struct mrd_pq_column){
            .name = column->name,
            .shape = column->type == MRD_BLOCK_STRING_MAP ? MRD_PQ_MAP : MRD_PQ_FLAT,
            .optional = !column->required,
            .field_id = column->field_id,
            .key = text_node(column->key_id),
            .value = node_of(column, of),
        };
    }
}

enum mrd_status block_columns_open(struct mrd_block_writer *writer,
                                   const struct mrd_block_writer_options *of, struct mrd_error *err)
{
    const struct mrd_block_schema *schema = &writer->schema;
    struct mrd_pq_column columns[MRD_BLOCK_COLUMNS_MAX] = {0};
    struct block_leaves leaves = {.tenant = -1,
                                  .labels_key = -1,
                                  .labels_value = -1,
                                  .value_i = -1,
                                  .value_e = -1,
                                  .count = -1};
    int leaf = 0;
    block_columns_of(schema, of, columns);
    for (size_t i = 0; i < schema->column_count; i++) {
        const struct mrd_block_column *column = &schema->columns[i];
        note_leaf(&leaves, column->promoted ? -1 : column->field_id, leaf);
        leaf += column->type == MRD_BLOCK_STRING_MAP ? 2 : 1;
    }
    writer->leaves = leaves;
    if (writer->resolution_ms == 0) {
        set_places(writer);
    } else {
        set_rollup_places(writer);
    }
    struct mrd_pq_sorting sorting[2] = {{.leaf = 0}, {.leaf = 1}};
    const struct mrd_pq_writer_options options = {
        .columns = columns,
        .column_count = schema->column_count,
        .sorting = sorting,
        .sorting_count = writer->level == 0 ? 2 : 1, /* (tenant,) metric */
        .codec = MRD_PQ_ZSTD,
        .level = writer->zstd_level,
        .page_version = 1,
        .memory_bytes_max = writer->memory_max / 2,
        .compressor = writer->compressor,
    };
    return block_out_open(&writer->data, &options, err);
}

/* ---- sparse columns ---- */

static enum mrd_status append_nulls(struct mrd_block_writer *writer, int leaf, uint64_t count,
                                    struct mrd_error *err)
{
    const uint8_t null = 0;
    const struct mrd_pq_batch batch = {.entries = 1, .values = 0, .def = &null};
    return mrd_pq_writer_append(writer->data.parquet, (size_t)leaf, &batch, (size_t)count, err);
}

/* Appends rows of a column that may be null. */
enum mrd_status block_append_sparse(struct mrd_block_writer *writer, unsigned which,
                                    const struct mrd_pq_batch *batch, struct mrd_error *err)
{
    struct block_sparse *sparse = &writer->sparse[which];
    const int leaf = writer->places[which].leaf;
    if (!sparse->filled) {
        if (batch->values == 0) {
            sparse->here += batch->entries;
            return MRD_OK;
        }
        MRD_TRY(append_nulls(writer, leaf, sparse->pending, err));
        MRD_TRY(mrd_pq_writer_cut_page(writer->data.parquet, (size_t)leaf, err));
        MRD_TRY(append_nulls(writer, leaf, sparse->here, err));
        *sparse = (struct block_sparse){.filled = true};
    }
    if (batch->values == 0) { /* whatever def says */
        return append_nulls(writer, leaf, batch->entries, err);
    }
    struct mrd_pq_batch dense = *batch;
    if (dense.values == dense.entries) {
        dense.def = NULL;
    }
    return mrd_pq_writer_append(writer->data.parquet, (size_t)leaf, &dense, 1, err);
}

/* ---- rows ---- */

/* Empty: null. */
static enum mrd_status append_text(struct mrd_pq_writer *parquet, int leaf, struct mrd_bytes text,
                                   uint32_t rows, struct mrd_error *err)
{
    static const uint8_t null = 0;
    const struct mrd_pq_batch batch = {
        .entries = 1, .values = text.size > 0, .def = text.size > 0 ? NULL : &null, .bytes = &text};
    return mrd_pq_writer_append(parquet, (size_t)leaf, &batch, rows, err);
}

static enum mrd_status append_promoted(struct mrd_block_writer *writer,
                                       struct mrd_pq_writer *parquet, uint32_t rows,
                                       struct mrd_error *err)
{
    int leaf = writer->leaves.promoted;
    for (size_t i = 0; i < writer->schema.column_count; i++) {
        const struct mrd_block_column *column = &writer->schema.columns[i];
        if (!column->promoted) {
            continue;
        }
        const struct mrd_bytes value =
            mrd_labels_get(writer->series.labels, mrd_bytes_of(column->name));
        MRD_TRY(append_text(parquet, leaf++, value, rows, err));
    }
    return MRD_OK;
}

static enum mrd_status append_labels(struct mrd_block_writer *writer, struct mrd_pq_writer *parquet,
                                     uint32_t rows, struct mrd_error *err)
{
    static const uint8_t empty = 0; /* the map's repeated node is not reached */
    const size_t count = writer->keys.size / sizeof(struct mrd_bytes);
    struct mrd_pq_batch batch = {
        .entries = MRD_MAX(count, (size_t)1),
        .values = count,
        .def = count == 0 ? &empty : NULL,
        .rep = count == 0 ? NULL : writer->rep.data,
        .bytes = (const struct mrd_bytes *)(const void *)writer->keys.data,
    };
    MRD_TRY(mrd_pq_writer_append(parquet, (size_t)writer->leaves.labels_key, &batch, rows, err));
    batch.bytes = (const struct mrd_bytes *)(const void *)writer->label_values.data;
    return mrd_pq_writer_append(parquet, (size_t)writer->leaves.labels_value, &batch, rows, err);
}

/* Ends the pages of all columns before ts. */
static enum mrd_status cut_labels(struct mrd_block_writer *writer, struct mrd_error *err)
{
    for (int leaf = 0; leaf < writer->leaves.ts; leaf++) {
        MRD_TRY(mrd_pq_writer_cut_page(writer->data.parquet, (size_t)leaf, err));
    }
    writer->label_rows = 0;
    writer->label_bytes = 0;
    return MRD_OK;
}

enum mrd_status block_append_names(struct mrd_block_writer *writer, struct mrd_pq_writer *parquet,
                                   uint32_t rows, struct mrd_error *err)
{
    const struct mrd_bytes metric =
        mrd_labels_get(writer->series.labels, MRD_BYTES(MRD_METRIC_NAME));
    const struct mrd_pq_batch name = {.entries = 1, .values = 1, .bytes = &metric}; /* or empty */
    if (writer->leaves.tenant >= 0) {
        MRD_TRY(append_text(parquet, writer->leaves.tenant, writer->series.tenant, rows, err));
    }
    MRD_TRY(mrd_pq_writer_append(parquet, (size_t)writer->leaves.metric, &name, rows, err));
    MRD_TRY(append_promoted(writer, parquet, rows, err));
    if (writer->leaves.labels_key >= 0) {
        MRD_TRY(append_labels(writer, parquet, rows, err));
    }
    const int64_t id = (int64_t)writer->series.id.low;
    const struct mrd_pq_batch batch = {.entries = 1, .values = 1, .i64 = &id};
    return mrd_pq_writer_append(parquet, (size_t)writer->leaves.series_id, &batch, rows, err);
}

/* Texts that no longer fit a dictionary are held once a row until their page ends, so pages end by bytes as
 * well, within a run if it must be. */
enum mrd_status block_append_series(struct mrd_block_writer *writer, uint32_t rows,
                                    struct mrd_error *err)
{
    const size_t bytes_max = MRD_MIN((size_t)BLOCK_LABEL_PAGE_BYTES, writer->memory_max / 8);
    const size_t each = writer->labels_text.size * 2 + 16 * writer->series.labels.count + 64;
    for (uint32_t left = rows; left > 0;) {
        const size_t fit = (bytes_max - MRD_MIN(bytes_max, writer->label_bytes)) / each + 1;
        const uint32_t now = (uint32_t)MRD_MIN((size_t)left, fit);
        MRD_TRY(block_append_names(writer, writer->data.parquet, now, err));
        writer->label_bytes += now * each;
        writer->label_rows += now;
        left -= now;
        if (writer->label_bytes >= bytes_max || writer->label_rows >= BLOCK_LABEL_PAGE_ROWS) {
            MRD_TRY(cut_labels(writer, err));
        }
    }
    return MRD_OK;
}

static enum mrd_status append_chunks(struct mrd_block_writer *writer, const struct block_run *run,
                                     struct mrd_error *err)
{
    const size_t *ends = (const size_t *)(const void *)run->chunk_ends.data;
    mrd_auto(mrd_buf_fini)
    struct mrd_buf views = {0};
    size_t begin = 0;
    for (uint32_t i = 0; i < run->chunk_count; i++) {
        const struct mrd_bytes view = {run->chunk_bytes.data + begin, ends[i] - begin};
        mrd_buf_append(&views, &view, sizeof(view));
        begin = ends[i];
    }
    const struct mrd_pq_batch batch = {
        .entries = run->rows,
        .values = run->chunk_count,
        .def = run->chunk_def,
        .bytes = (const struct mrd_bytes *)(const void *)views.data,
    };
    return block_append_sparse(writer, SPARSE_H_CHUNK, &batch, err);
}

static enum mrd_status append_numbers(struct mrd_block_writer *writer, const struct block_run *run,
                                      struct mrd_error *err)
{
    const void *columns[BLOCK_HISTOGRAM_COLUMNS] = {run->h_count, run->h_sum, run->h_schema,
                                                    run->h_zero_threshold, run->h_zero_count};
    for (unsigned i = 0; i < BLOCK_HISTOGRAM_COLUMNS; i++) {
        const struct mrd_pq_batch batch = {.entries = run->rows,
                                           .values = run->h_count_count,
                                           .def = run->h_def,
                                           .any = columns[i]};
        MRD_TRY(block_append_sparse(writer, SPARSE_H_NUMBER + i, &batch, err));
    }
    return MRD_OK;
}

/* Values are in one of two places, as doubles or as integers with their exponent. */
static enum mrd_status append_values(struct mrd_block_writer *writer, const struct block_run *run,
                                     struct mrd_error *err)
{
    struct mrd_pq_batch batch = {.entries = run->rows, .def = run->value_def};
    batch.values = run->is_scaled ? 0 : run->value_count;
    batch.any = run->values;
    MRD_TRY(block_append_sparse(writer, SPARSE_VALUE, &batch, err));
    if (!writer->compact) {
        return MRD_OK;
    }
    batch.values = run->is_scaled ? run->value_count : 0;
    batch.any = run->scaled;
    MRD_TRY(block_append_sparse(writer, SPARSE_VALUE_I, &batch, err));
    batch.any = run->digits;
    return block_append_sparse(writer, SPARSE_VALUE_E, &batch, err);
}

static enum mrd_status append_rows(struct mrd_block_writer *writer, const struct block_run *run,
                                   struct mrd_error *err)
{
    const struct mrd_pq_batch ts = {.entries = run->rows, .values = run->rows, .i64 = run->ts};
    const struct mrd_pq_batch st = {
        .entries = run->rows, .values = run->st_count, .def = run->st_def, .i64 = run->st};
    MRD_TRY(block_append_series(writer, run->rows, err));
    MRD_TRY(mrd_pq_writer_append(writer->data.parquet, (size_t)writer->leaves.ts, &ts, 1, err));
    MRD_TRY(append_values(writer, run, err));
    MRD_TRY(block_append_sparse(writer, SPARSE_ST, &st, err));
    MRD_TRY(append_numbers(writer, run, err));
    MRD_TRY(append_chunks(writer, run, err));
    const bool in_column = writer->keep_hlc && !writer->stamps_aside;
    const struct mrd_pq_batch hlc = {
        .entries = run->rows, .values = in_column ? run->rows : 0, .i64 = run->hlc};
    if (writer->stamps_aside) {
        mbx_stamping_add(&writer->stamping, run->hlc, run->rows);
    }
    return block_append_sparse(writer, SPARSE_HLC, &hlc, err);
}

/* ---- runs ---- */

static bool is_regular(const struct block_run *run)
{
    const uint64_t step = run->rows > 1 ? (uint64_t)run->ts[1] - (uint64_t)run->ts[0] : 0;
    uint64_t other = 0;
    for (uint32_t i = 1; i < run->rows; i++) {
        other |= ((uint64_t)run->ts[i] - (uint64_t)run->ts[i - 1]) ^ step;
    }
    return other == 0;
}

/* Whether all values of the run are integers / 10^digits with the same digits, exactly; then fills them in. */
static bool scale_run(struct block_run *run)
{
    unsigned digits = 0;
    int64_t scaled;
    for (uint32_t i = 0; i < run->value_count; i++) {
        while (!mrd_decimal_scale(run->values[i], digits, &scaled)) {
            if (++digits > MRD_DECIMAL_DIGITS_MAX) {
                return false;
            }
        }
    }
    for (uint32_t i = 0; i < run->value_count;
         i++) { /* the first ones again, with the digits of the last */
        if (!mrd_decimal_scale(run->values[i], digits, &run->scaled[i])) {
            return false;
        }
        run->digits[i] = (int32_t)digits;
    }
    return run->value_count > 0;
}

static struct mbx_segment segment_of(const struct block_run *run, bool begins_page)
{
    const bool regular = is_regular(run);
    const bool stale = run->value_count < run->floats;
    return (struct mbx_segment){
        .first_ms = run->ts[0] / 1000,
        .last_ms = run->ts[run->rows - 1] / 1000,
        .step_ms = regular && run->rows > 1 ? (run->ts[1] - run->ts[0]) / 1000 : 0,
        .rows = run->rows,
        .digits = run->is_scaled ? (uint8_t)run->digits[0] : 0,
        .flags = (uint8_t)((begins_page ? MBX_NEW_PAGE : 0) | (run->floats > 0 ? MBX_FLOATS : 0) |
                           (run->histograms > 0 ? MBX_HISTOGRAMS : 0) | (stale ? MBX_STALE : 0) |
                           (run->st_count > 0 ? MBX_STARTS : 0) | (regular ? MBX_REGULAR : 0) |
                           (run->is_scaled ? MBX_SCALED : 0)),
    };
}

enum mrd_status block_page_room(struct mrd_block_writer *writer, uint32_t rows,
                                struct mrd_error *err)
{
    return writer->page_rows + rows > MRD_BLOCK_PAGE_ROWS ||
                   writer->page_chunk_bytes >= BLOCK_RUN_CHUNK_BYTES
               ? block_page_cut(writer, err)
               : MRD_OK;
}

enum mrd_status block_page_add(struct mrd_block_writer *writer, uint32_t rows, size_t chunk_bytes,
                               struct mrd_error *err)
{
    writer->page_begins = false;
    writer->page_rows += rows;
    writer->page_chunk_bytes += chunk_bytes;
    writer->rows += rows;
    return block_check_memory(writer, err);
}

enum mrd_status block_run_flush(struct mrd_block_writer *writer, struct mrd_error *err)
{
    if (writer->resolution_ms != 0) {
        return block_rows_flush(writer, err);
    }
    struct block_run *run = writer->run;
    if (run->rows == 0) {
        return MRD_OK;
    }
    block_run_close_chunk(run);
    MRD_TRY(block_page_room(writer, run->rows, err));
    run->is_scaled = writer->compact && scale_run(run);
    const struct mbx_segment segment = segment_of(run, writer->page_begins);
    mbx_build_segment(&writer->build, &segment, run->floats, run->histograms);
    MRD_TRY(append_rows(writer, run, err));
    MRD_TRY(block_page_add(writer, run->rows, run->chunk_bytes.size, err));
    block_run_clear(run);
    return MRD_OK;
}

/* ---- pages ---- */

/* `leaves` are the page's. */
static enum mrd_status cut_sparse(struct mrd_block_writer *writer, struct mbx_page_at *leaves,
                                  struct mrd_error *err)
{
    for (unsigned i = 0; i < writer->sparse_count; i++) {
        struct block_sparse *sparse = &writer->sparse[i];
        if (!sparse->filled) {
            sparse->pending += sparse->here;
            sparse->here = 0;
            continue;
        }
        const struct block_sparse_place *place = &writer->places[i];
        MRD_TRY(mrd_pq_writer_cut_page(writer->data.parquet, (size_t)place->leaf, err));
        *sparse = (struct block_sparse){0};
        if (place->mbx_leaf >= 0) {
            leaves[place->mbx_leaf].size = 1; /* to be filled in by the report */
        }
    }
    return MRD_OK;
}

enum mrd_status block_page_cut(struct mrd_block_writer *writer, struct mrd_error *err)
{
    if (writer->page_rows == 0) {
        return MRD_OK;
    }
    const struct mbx_page page = {.rows = writer->page_rows};
    struct mbx_page_at leaves[MBX_LEAVES_MAX] = {0};
    leaves[MBX_TS].size = 1;
    MRD_TRY(mrd_pq_writer_cut_page(writer->data.parquet, (size_t)writer->leaves.ts, err));
    if (writer->leaves.count >= 0) {
        leaves[MBX_ROW + MRD_ROW_COUNT].size = 1;
        MRD_TRY(mrd_pq_writer_cut_page(writer->data.parquet, (size_t)writer->leaves.count, err));
    }
    MRD_TRY(cut_sparse(writer, leaves, err));
    if (writer->stamps_aside) {
        mbx_stamping_page(&writer->stamping, writer->compressor);
    }
    mrd_buf_append(&writer->pages, &page, sizeof(page));
    mrd_buf_append(&writer->page_leaves, leaves, writer->leaf_count * sizeof(leaves[0]));
    mrd_buf_append_u64(&writer->page_rows_at, writer->group_rows);
    writer->group_rows += page.rows;
    writer->page_rows = 0;
    writer->page_chunk_bytes = 0;
    writer->page_begins = true;
    const bool full = writer->group_rows >= MRD_BLOCK_ROW_GROUP_ROWS * 2 ||
                      mrd_pq_writer_memory(writer->data.parquet) > writer->memory_max / 4;
    return full ? block_group_end(writer, err) : MRD_OK;
}

/* ---- row groups ---- */

/* Stamps stand behind the row group that has their rows. */
static enum mrd_status place_stamps(struct mrd_block_writer *writer, struct mrd_error *err)
{
    struct mbx_stamping *stamping = &writer->stamping;
    uint64_t offset = 0;
    mbx_stamping_span(stamping, writer->compressor);
    if (stamping->frames.size == 0) {
        return MRD_OK;
    }
    MRD_TRY(mrd_pq_writer_put_aside(writer->data.parquet, mrd_buf_view(&stamping->frames), &offset,
                                    err));
    mbx_stamping_place(stamping, offset);
    return MRD_OK;
}

enum mrd_status block_group_end(struct mrd_block_writer *writer, struct mrd_error *err)
{
    mrd_assert(writer->page_rows == 0);
    for (unsigned i = 0; i < writer->sparse_count; i++) {
        if (writer->places[i].leaf >= 0) {
            MRD_TRY(append_nulls(writer, writer->places[i].leaf, writer->sparse[i].pending, err));
        }
        writer->sparse[i] = (struct block_sparse){0};
    }
    memset(writer->report_at, 0, sizeof(writer->report_at));
    MRD_TRY(mrd_pq_writer_end_row_group(writer->data.parquet, err));
    MRD_TRY(place_stamps(writer, err));
    size_t count;
    (void)block_pages(writer, &count);
    writer->group_pages_first = count;
    mrd_buf_clear(&writer->page_rows_at);
    writer->group_rows = 0;
    writer->label_rows = 0;
    writer->label_bytes = 0;
    return MRD_OK;
}

static int reported_leaf(const struct mrd_block_writer *writer, uint32_t leaf)
{
    if ((int)leaf == writer->leaves.ts) {
        return MBX_TS;
    }
    if ((int)leaf == writer->leaves.count) {
        return MBX_ROW + MRD_ROW_COUNT;
    }
    for (unsigned i = 0; i < writer->sparse_count; i++) {
        if (writer->places[i].leaf == (int)leaf) {
            return writer->places[i].mbx_leaf;
        }
    }
    return -1;
}

/* Pages of nulls, which are as many rows as there happened to be, are passed over. */
void block_page_reported(void *context, const struct mrd_pq_page_info *info)
{
    struct mrd_block_writer *writer = context;
    const int leaf = reported_leaf(writer, info->leaf);
    if (leaf < 0 || info->dictionary) {
        return;
    }
    size_t count;
    struct mbx_page *pages = block_pages(writer, &count) + writer->group_pages_first;
    count -= writer->group_pages_first;
    const uint64_t *rows_at = (const uint64_t *)(const void *)writer->page_rows_at.data;
    size_t *at = &writer->report_at[leaf];
    while (*at < count && rows_at[*at] < info->first_row) {
        (*at)++;
    }
    if (*at == count || rows_at[*at] != info->first_row) {
        return;
    }
    struct mbx_page_at *place = &block_page_leaves(writer, writer->group_pages_first + *at)[leaf];
    if (place->size > 0) {
        mrd_assert(pages[*at].rows == info->rows);
        *place = (struct mbx_page_at){info->offset, info->size, info->crc32c};
    }
}
