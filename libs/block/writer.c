#include "block/writer.h"

#include <stdio.h>
#include <stdlib.h>

#include "block/writer_internal.h"
#include "model/histogram_check.h"
#include "model/tenant.h"
#include "parquet/compress.h"

/* Up to here frames are not tried to be made smaller. Blocks of level 0 are to be the same whoever writes them, so they stay as they are. */
enum { SMALL_BYTES = 128 };

/* ---- life ---- */

static enum mrd_status check_options(const struct mrd_block_writer_options *options,
                                     struct mrd_error *err)
{
    if (options->id.size == 0 || options->id.size > MRD_BLOCK_ID_SIZE_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "a block with an id of %zu bytes, 1 to %d are allowed",
                        options->id.size, MRD_BLOCK_ID_SIZE_MAX);
    }
    for (size_t i = 0; i < options->id.size; i++) {
        if (options->id.data[i] <= ' ' || options->id.data[i] > '~') {
            return mrd_fail(err, MRD_E_INVALID, "a block's id must be printable ASCII");
        }
    }
    const size_t stem = strlen(options->stem);
    if (stem == 0 || stem + sizeof(".parquet") > MRD_BLOCK_KEY_SIZE_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "block %.*s: a key of %zu bytes", MRD_FMT(options->id),
                        stem);
    }
    if (options->level > MRD_BLOCK_LEVEL_MAX || options->zstd_level < 0 ||
        options->zstd_level > 19) {
        return mrd_fail(
            err, MRD_E_INVALID, "block %.*s: level %u (0 to %d), zstd level %d (1 to 19)",
            MRD_FMT(options->id), options->level, MRD_BLOCK_LEVEL_MAX, options->zstd_level);
    }
    if (options->resolution_ms != 0 &&
        (options->resolution_ms < 0 ||
         (uint64_t)options->resolution_ms > MRD_BLOCK_RESOLUTION_MS_MAX || options->level == 0 ||
         options->compact || options->keep_hlc)) {
        return mrd_fail(err, MRD_E_INVALID,
                        "block %.*s: a rollup of %lld ms, of level %u, compact or with stamps",
                        MRD_FMT(options->id), (long long)options->resolution_ms, options->level);
    }
    if (options->series_key != NULL && (options->level == 0 || options->resolution_ms != 0 ||
                                        strlen(options->series_key) > MRD_BLOCK_KEY_SIZE_MAX)) {
        return mrd_fail(
            err, MRD_E_INVALID,
            "block %.*s: a file of series at level 0, of a rollup, or of a key too long",
            MRD_FMT(options->id));
    }
    if (options->memory_bytes_max < MRD_BLOCK_WRITER_MEMORY_MIN) {
        return mrd_fail(err, MRD_E_INVALID, "block %.*s: a memory bound of %zu bytes, at least %d",
                        MRD_FMT(options->id), options->memory_bytes_max,
                        MRD_BLOCK_WRITER_MEMORY_MIN);
    }
    return MRD_OK;
}

static char *key_of(const char *stem, const char *suffix)
{
    char *key = NULL;
    mrd_assert(asprintf(&key, "%s%s", stem, suffix) > 0);
    return key;
}

/* The schema's names of promoted columns become ours: the caller's may go. */
static enum mrd_status copy_schema(struct mrd_block_writer *writer,
                                   const struct mrd_block_writer_options *options,
                                   struct mrd_error *err)
{
    const struct mrd_block_schema_options of = {.level = options->level,
                                                .promoted = options->promoted,
                                                .promoted_count = options->promoted_count,
                                                .compact = options->compact,
                                                .rollup = options->resolution_ms != 0};
    MRD_TRY(mrd_block_schema_init(&of, &writer->schema, err));
    size_t size = 1;
    for (size_t i = 0; i < writer->schema.column_count; i++) {
        size += strlen(writer->schema.columns[i].name) + 1;
    }
    writer->promoted_names = calloc(size, 1);
    mrd_assert(writer->promoted_names != NULL);
    char *at = writer->promoted_names;
    for (size_t i = 0; i < writer->schema.column_count; i++) {
        struct mrd_block_column *column = &writer->schema.columns[i];
        const size_t name = strlen(column->name) + 1;
        memcpy(at, column->name, name);
        column->name = at;
        at += name;
    }
    return MRD_OK;
}

static enum mrd_status create(struct mrd_block_writer *writer,
                              const struct mrd_block_writer_options *options, struct mrd_error *err)
{
    writer->store = options->store;
    writer->control = options->control;
    writer->level = options->level;
    writer->compact = options->compact;
    writer->keep_hlc = options->keep_hlc;
    writer->stamps_aside = options->keep_hlc && options->level > 0;
    writer->resolution_ms = options->resolution_ms;
    writer->leaf_count = mbx_leaf_count(options->resolution_ms);
    writer->zstd_level = options->zstd_level == 0 ? 3 : options->zstd_level;
    writer->bloom_bytes_max =
        options->bloom_bytes_max == 0 ? (size_t)64 << 10 : options->bloom_bytes_max;
    writer->memory_max = options->memory_bytes_max;
    writer->kit = options->kit;
    writer->page_begins = true;
    writer->compressor = block_kit_compressor(writer->kit, writer->zstd_level);
    if (writer->compressor == NULL) {
        writer->own_compressor = mrd_pq_compressor_create(MRD_PQ_ZSTD, writer->zstd_level);
        writer->compressor = writer->own_compressor;
    }
    mrd_pq_compressor_keep_small(writer->compressor, writer->level == 0 ? 0 : SMALL_BYTES);
    mbx_build_init(&writer->build, writer->compressor, options->resolution_ms != 0);
    writer->data = (struct block_out){.store = options->store,
                                      .control = options->control,
                                      .key = key_of(options->stem, ".parquet"),
                                      .page = block_page_reported,
                                      .context = writer};
    writer->sidecar_key = key_of(options->stem, ".mbx");
    writer->id = mrd_bytes_text(options->id);
    if (options->resolution_ms == 0) {
        writer->run = block_kit_take_run(writer->kit);
    } else {
        writer->rollup_run = block_kit_take_rollup_run(writer->kit);
    }
    mrd_assert(writer->id != NULL);
    MRD_TRY(copy_schema(writer, options, err));
    MRD_TRY(block_columns_open(writer, options, err));
    return options->series_key == NULL ? MRD_OK : block_series_open(writer, options, err);
}

enum mrd_status mrd_block_writer_create(const struct mrd_block_writer_options *options,
                                        struct mrd_block_writer **out_writer, struct mrd_error *err)
{
    MRD_TRY(check_options(options, err));
    mrd_auto(mrd_block_writer_destroy)
    struct mrd_block_writer *writer = calloc(1, sizeof(*writer));
    mrd_assert(writer != NULL);
    MRD_TRY(create(writer, options, err));
    *out_writer = MRD_MOVE(writer);
    return MRD_OK;
}

void mrd_block_writer_destroy(struct mrd_block_writer **writer_at)
{
    struct mrd_block_writer *writer = MRD_MOVE(*writer_at);
    if (writer == NULL) {
        return;
    }
    block_series_close(writer);
    block_out_close(&writer->data);
    mbx_build_fini(&writer->build);
    mbx_stamping_fini(&writer->stamping);
    struct mrd_buf *bufs[] = {&writer->labels_text, &writer->labels_items, &writer->canonical,
                              &writer->rep,         &writer->keys,         &writer->label_values,
                              &writer->pages,       &writer->page_rows_at, &writer->parts,
                              &writer->page_leaves};
    for (size_t i = 0; i < MRD_ARRAY_LEN(bufs); i++) {
        mrd_buf_fini(bufs[i]);
    }
    block_kit_give_run(writer->kit, &writer->run);
    block_kit_give_rollup_run(writer->kit, &writer->rollup_run);
    mrd_pq_compressor_destroy(&writer->own_compressor);
    free(writer->promoted_names);
    free(writer->sidecar_key);
    free(writer->id);
    free(writer);
}

/* ---- memory ---- */

static size_t index_memory(const struct mrd_block_writer *writer)
{
    const size_t run = writer->run != NULL
                           ? sizeof(*writer->run) + writer->run->chunk_bytes.capacity
                           : sizeof(*writer->rollup_run) + writer->rollup_run->states.capacity;
    return mbx_build_memory(&writer->build) + writer->pages.size + writer->page_leaves.size +
           writer->page_rows_at.size + writer->parts.size + mbx_stamping_memory(&writer->stamping) +
           run;
}

static size_t index_memory_max(const struct mrd_block_writer *writer)
{
    return writer->memory_max / 8 * (writer->series_out == NULL ? 4 : 3);
}

enum mrd_status block_check_memory(struct mrd_block_writer *writer, struct mrd_error *err)
{
    if (index_memory(writer) > index_memory_max(writer) || mbx_build_failed(&writer->build)) {
        return mrd_fail(
            err, MRD_E_LIMIT,
            "block %s: what its sidecar says of %llu series takes more than its part of "
            "the limit of %zu bytes: end blocks earlier",
            writer->id, (unsigned long long)writer->series_count, writer->memory_max);
    }
    return MRD_OK;
}

struct mrd_block_writer_size mrd_block_writer_size(const struct mrd_block_writer *writer)
{
    const size_t open = mrd_pq_writer_memory(writer->data.parquet);
    const size_t index = index_memory(writer);
    const size_t all = open + index + block_series_memory(writer);
    return (struct mrd_block_writer_size){
        .series = writer->series_count,
        .rows = writer->rows + block_open_rows(writer),
        .data_size = writer->data.size + open / 2, /* open pages are not compressed yet */
        .memory_size = all,
        .full = all >= writer->memory_max / 4 * 3 || index >= index_memory_max(writer) / 4 * 3 ||
                writer->series_count >= MRD_BLOCK_SERIES_MAX / 2,
    };
}

/* ---- checks: before anything has changed ---- */

static enum mrd_status refuse(const struct mrd_block_writer *writer,
                              const struct mrd_block_series *series, struct mrd_error *err,
                              const char *what)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    mrd_labels_format(series->labels, &text);
    return mrd_fail(err, MRD_E_INVALID, "block %s: tenant %.*s, %.*s: %s", writer->id,
                    MRD_FMT(series->tenant), (int)MRD_MIN(text.size, (size_t)256),
                    (const char *)text.data, what);
}

static enum mrd_status check_labels(struct mrd_block_writer *writer,
                                    const struct mrd_block_series *series, struct mrd_error *err)
{
    const struct mrd_labels labels = series->labels;
    if (series->tenant.size == 0 || series->tenant.size > MRD_TENANT_SIZE_MAX) {
        return refuse(writer, series, err, "no name of a tenant");
    }
    if (labels.count == 0 || labels.count > MBX_SERIES_LABELS_MAX) {
        return refuse(writer, series, err, "a series without labels, or with too many");
    }
    for (size_t i = 0; i < labels.count; i++) {
        if (labels.items[i].name.size == 0 || labels.items[i].value.size == 0 ||
            (i > 0 && mrd_bytes_compare(labels.items[i - 1].name, labels.items[i].name) >= 0)) {
            return refuse(writer, series, err, "labels that are no sorted set without empty texts");
        }
    }
    mrd_buf_clear(&writer->canonical);
    mrd_labels_encode(labels, &writer->canonical);
    const mrd_series_id id =
        mrd_series_id_of(mrd_tenant_seed(series->tenant), mrd_buf_view(&writer->canonical));
    return mrd_id128_equal(id, series->id)
               ? MRD_OK
               : refuse(writer, series, err, "an id that is not that of its labels");
}

static enum mrd_status check_order(struct mrd_block_writer *writer,
                                   const struct mrd_block_series *series, bool *out_same,
                                   struct mrd_error *err)
{
    const int order = writer->any ? mrd_block_series_compare(&writer->series, series) : -1;
    *out_same = order == 0;
    if (order > 0) {
        return refuse(writer, series, err, "comes before the series that was added last");
    }
    if (writer->any && writer->level > 0 &&
        !mrd_bytes_equal(writer->series.tenant, series->tenant)) {
        return refuse(writer, series, err, "a second tenant in a block above level 0");
    }
    if (order < 0 && writer->series_count == MRD_BLOCK_SERIES_MAX) {
        return refuse(writer, series, err, "more series than a block may have: end blocks earlier");
    }
    return MRD_OK;
}

static bool times_rise(const mrd_time_ms *times_ms, const mrd_time_ms *starts_ms, size_t count)
{
    bool fine = count == 0 ||
                (mrd_block_time_fits(times_ms[0]) && mrd_block_time_fits(times_ms[count - 1]));
    for (size_t i = 1; i < count; i++) {
        fine &= times_ms[i - 1] < times_ms[i];
    }
    for (size_t i = 0; starts_ms != NULL && i < count; i++) {
        fine &= mrd_block_time_fits(starts_ms[i]);
    }
    return fine;
}

static bool times_differ(const struct mrd_samples *samples, const struct mrd_histograms *histograms)
{
    for (size_t f = 0, h = 0; f < samples->count && h < histograms->count;) {
        if (samples->times_ms[f] == histograms->times_ms[h]) {
            return false;
        }
        if (samples->times_ms[f] < histograms->times_ms[h]) {
            f++;
        } else {
            h++;
        }
    }
    return true;
}

static enum mrd_status check_times(struct mrd_block_writer *writer,
                                   const struct mrd_block_series *series, bool same,
                                   struct mrd_error *err)
{
    const struct mrd_samples *samples = &series->samples;
    const struct mrd_histograms *histograms = &series->histograms;
    if (!times_rise(samples->times_ms, samples->start_times_ms, samples->count) ||
        !times_rise(histograms->times_ms, histograms->start_times_ms, histograms->count) ||
        !times_differ(samples, histograms)) {
        return refuse(writer, series, err, "times that do not rise, or are out of bounds");
    }
    const mrd_time_ms first_sample = samples->count > 0 ? samples->times_ms[0] : INT64_MAX;
    const mrd_time_ms first_histogram = histograms->count > 0 ? histograms->times_ms[0] : INT64_MAX;
    if (same && writer->begun && MRD_MIN(first_sample, first_histogram) <= writer->last_ms) {
        return refuse(writer, series, err, "a piece that does not begin after the one before");
    }
    return MRD_OK;
}

static enum mrd_status check_hlcs(const struct mrd_block_writer *writer,
                                  const struct mrd_block_series *series, struct mrd_error *err)
{
    const mrd_hlc *const hlcs[2] = {series->sample_hlcs, series->histogram_hlcs};
    const size_t counts[2] = {series->samples.count, series->histograms.count};
    for (size_t k = 0; writer->keep_hlc && k < 2; k++) {
        if (counts[k] > 0 && hlcs[k] == NULL) {
            return refuse(writer, series, err, "no stamps, which this block keeps");
        }
        for (size_t i = 0; i < counts[k]; i++) {
            if (hlcs[k][i] > INT64_MAX) {
                return refuse(writer, series, err, "a stamp beyond 63 bits");
            }
        }
    }
    return MRD_OK;
}

static enum mrd_status check_histograms(struct mrd_block_writer *writer,
                                        const struct mrd_block_series *series,
                                        struct mrd_error *err)
{
    struct mrd_error inner;
    for (size_t i = 0; i < series->histograms.count; i++) {
        const struct mrd_histogram *histogram = &series->histograms.items[i];
        if (mrd_histogram_is_stale(histogram)) {
            continue;
        }
        if (mrd_histogram_check(histogram, &inner) != MRD_OK) {
            return refuse(writer, series, err, inner.text);
        }
        if (histogram->schema > MRD_HISTOGRAM_SCHEMA_MAX) {
            return refuse(writer, series, err, "a histogram finer than schema 8");
        }
    }
    return MRD_OK;
}

/* ---- series ---- */

static void copy_labels(struct mrd_block_writer *writer, const struct mrd_block_series *series)
{
    mrd_buf_clear(&writer->labels_text);
    mrd_buf_clear(&writer->labels_items);
    mrd_buf_append_bytes(&writer->labels_text, series->tenant);
    mrd_buf_append_bytes(&writer->labels_text, mrd_buf_view(&writer->canonical));
    const struct mrd_bytes text = mrd_buf_view(&writer->labels_text);
    struct mrd_reader in = mrd_reader_of(text);
    writer->series.tenant = mrd_read_bytes(&in, series->tenant.size);
    mrd_buf_clear(&writer->rep);
    mrd_buf_clear(&writer->keys);
    mrd_buf_clear(&writer->label_values);
    for (size_t i = 0; i < series->labels.count; i++) {
        struct mrd_label label;
        label.name = mrd_read_bytes(&in, mrd_read_varint(&in));
        label.value = mrd_read_bytes(&in, mrd_read_varint(&in));
        mrd_buf_append(&writer->labels_items, &label, sizeof(label));
        if (!mrd_bytes_equal(label.name, MRD_BYTES(MRD_METRIC_NAME))) {
            mrd_buf_append_u8(&writer->rep, writer->keys.size > 0);
            mrd_buf_append(&writer->keys, &label.name, sizeof(label.name));
            mrd_buf_append(&writer->label_values, &label.value, sizeof(label.value));
        }
    }
    writer->series.labels = (struct mrd_labels){
        (const struct mrd_label *)(const void *)writer->labels_items.data, series->labels.count};
    writer->series.id = series->id;
}

enum mrd_status block_part_end(struct mrd_block_writer *writer, struct mrd_error *err)
{
    MRD_TRY(block_page_cut(writer, err)); /* pages belong to one part */
    mbx_stamping_span(&writer->stamping, writer->compressor);
    struct block_part part = {.pages_first = writer->part_pages_first,
                              .spans_first = writer->part_spans_first};
    size_t pages;
    size_t spans;
    (void)block_pages(writer, &pages);
    (void)mbx_stamping_spans(&writer->stamping, &spans);
    part.pages_count = pages - part.pages_first;
    part.spans_count = spans - part.spans_first;
    mbx_build_part_end(&writer->build, &part.index, &part.tenants_count);
    mrd_buf_append(&writer->parts, &part, sizeof(part));
    writer->part_pages_first = pages;
    writer->part_spans_first = spans;
    return MRD_OK;
}

enum mrd_status block_tenant_end(struct mrd_block_writer *writer, struct mrd_error *err)
{
    if (!writer->tenant_begun) {
        return MRD_OK;
    }
    writer->tenant_begun = false;
    return mbx_build_tenant_end(&writer->build) ? block_part_end(writer, err) : MRD_OK;
}

enum mrd_status block_series_end(struct mrd_block_writer *writer, struct mrd_error *err)
{
    MRD_TRY(block_run_flush(writer, err));
    if (writer->begun && writer->series_out != NULL) {
        MRD_TRY(block_series_add(writer, err));
    }
    writer->begun = false;
    return MRD_OK;
}

static enum mrd_status end_series(struct mrd_block_writer *writer, struct mrd_error *err)
{
    MRD_TRY(block_series_end(writer, err));
    if (writer->group_rows + writer->page_rows < MRD_BLOCK_ROW_GROUP_ROWS) {
        return MRD_OK;
    }
    MRD_TRY(block_page_cut(writer, err));
    return writer->group_rows > 0 ? block_group_end(writer, err) : MRD_OK;
}

static enum mrd_status next_series(struct mrd_block_writer *writer,
                                   const struct mrd_block_series *series, struct mrd_error *err)
{
    MRD_TRY(end_series(writer, err));
    if (writer->any && !mrd_bytes_equal(writer->series.tenant, series->tenant)) {
        MRD_TRY(block_tenant_end(writer, err));
    }
    copy_labels(writer, series);
    writer->any = true;
    return MRD_OK;
}

/* The series at hand has rows: the sidecar gets to know it. */
static void begin_rows(struct mrd_block_writer *writer)
{
    if (!writer->tenant_begun) {
        mbx_build_tenant(&writer->build, writer->series.tenant);
        writer->tenant_begun = true;
    }
    if (!writer->begun) {
        mbx_build_series(&writer->build, writer->series.labels);
        writer->begun = true;
        writer->first_ms = INT64_MAX;
        writer->last_ms = INT64_MIN;
        writer->series_rows = 0;
        writer->series_count++;
    }
}

static enum mrd_status apply(struct mrd_block_writer *writer, const struct mrd_block_series *series,
                             bool same, struct mrd_error *err)
{
    if (!same) {
        MRD_TRY(next_series(writer, series, err));
    }
    const struct mrd_samples *samples = &series->samples;
    const struct mrd_histograms *histograms = &series->histograms;
    if (samples->count + histograms->count == 0) {
        return MRD_OK;
    }
    begin_rows(writer);
    MRD_TRY(block_run_add(writer, series, err));
    writer->series_rows += samples->count + histograms->count;
    if (samples->count > 0) {
        writer->first_ms = MRD_MIN(writer->first_ms, samples->times_ms[0]);
        writer->last_ms = MRD_MAX(writer->last_ms, samples->times_ms[samples->count - 1]);
    }
    if (histograms->count > 0) {
        writer->first_ms = MRD_MIN(writer->first_ms, histograms->times_ms[0]);
        writer->last_ms = MRD_MAX(writer->last_ms, histograms->times_ms[histograms->count - 1]);
    }
    return MRD_OK;
}

static enum mrd_status check_open(const struct mrd_block_writer *writer, bool rows,
                                  struct mrd_error *err)
{
    if (writer->broken) {
        return mrd_fail(err, MRD_E_INVALID, "block %s is finished, or failed before", writer->id);
    }
    return rows == (writer->resolution_ms != 0)
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "block %s takes %s", writer->id,
                          rows ? "samples, no rows of windows" : "rows of windows, no samples");
}

static enum mrd_status apply_rows(struct mrd_block_writer *writer,
                                  const struct mrd_block_series *series, bool same,
                                  const struct mrd_rollup_row *rows, size_t count,
                                  struct mrd_error *err)
{
    if (!same) {
        MRD_TRY(next_series(writer, series, err));
    }
    if (count == 0) {
        return MRD_OK;
    }
    begin_rows(writer);
    writer->last_ms = rows[count - 1].end_ms;
    return block_rows_add(writer, rows, count, err);
}

enum mrd_status mrd_block_writer_add_rows(struct mrd_block_writer *writer,
                                          const struct mrd_block_series *series,
                                          const struct mrd_rollup_row *rows, size_t count,
                                          struct mrd_error *err)
{
    bool same;
    const char *wrong;
    MRD_TRY(check_open(writer, true, err));
    MRD_TRY(check_order(writer, series, &same, err));
    if (!same) {
        MRD_TRY(check_labels(writer, series, err));
    }
    if (block_rows_check(writer, rows, count, &wrong) != MRD_OK) {
        return refuse(writer, series, err, wrong);
    }
    if (same && writer->begun && count > 0 && rows[0].end_ms <= writer->last_ms) {
        return refuse(writer, series, err, "rows that do not begin after those before");
    }
    const enum mrd_status status = apply_rows(writer, series, same, rows, count, err);
    writer->broken = status != MRD_OK;
    return status;
}

enum mrd_status mrd_block_writer_add(struct mrd_block_writer *writer,
                                     const struct mrd_block_series *series, struct mrd_error *err)
{
    bool same;
    MRD_TRY(check_open(writer, false, err));
    MRD_TRY(check_order(writer, series, &same, err));
    if (!same) {
        MRD_TRY(check_labels(writer, series, err));
    }
    MRD_TRY(check_times(writer, series, same, err));
    MRD_TRY(check_hlcs(writer, series, err));
    MRD_TRY(check_histograms(writer, series, err));
    const enum mrd_status status = apply(writer, series, same, err);
    writer->broken = status != MRD_OK;
    return status;
}
