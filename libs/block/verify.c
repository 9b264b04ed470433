/* Everything of a block against everything else: what a scrub does. */
#include <stdio.h>
#include <stdlib.h>

#include "block/block_internal.h"
#include "block/schema.h"
#include "parquet/reader.h"

enum { WINDOW_BYTES = 8 << 20, WINDOWS = 2 };

struct verifier {
    struct mrd_objstore *store;
    const struct mrd_objstore_control *control;
    struct mrd_block *block;
    size_t memory_max;
    struct mrd_buf rows; /* uint64_t: of each series */
    struct mrd_error *err;

    /* the data file, a window at its pages and one at its index */
    struct {
        uint8_t *bytes;
        uint64_t offset;
        size_t size;
    } windows[WINDOWS];
    unsigned oldest;
};

static enum mrd_status wrong(const struct verifier *verifier, const char *what)
{
    return mrd_fail(verifier->err, MRD_E_CORRUPT, "block %.*s: %s",
                    MRD_FMT(verifier->block->entry.id), what);
}

/* ---- the data file's bytes ---- */

static enum mrd_status fill_window(struct verifier *verifier, unsigned which, uint64_t offset,
                                   struct mrd_error *err)
{
    const uint64_t left = verifier->block->entry.data.size - offset;
    const size_t size = (size_t)MRD_MIN(left, (uint64_t)WINDOW_BYTES);
    const struct mrd_objstore_range range = {offset, size, verifier->windows[which].bytes};
    verifier->windows[which].size = 0;
    MRD_TRY(mrd_objstore_read(verifier->store, verifier->block->data_key, &range, 1,
                              verifier->control, err));
    verifier->windows[which].offset = offset;
    verifier->windows[which].size = size;
    return MRD_OK;
}

static enum mrd_status check_file(struct verifier *verifier)
{
    const struct mrd_block_file *file = &verifier->block->entry.data;
    struct mrd_objstore_info info;
    MRD_TRY(mrd_objstore_head(verifier->store, verifier->block->data_key, verifier->control, &info,
                              verifier->err));
    if (info.size != file->size) {
        return wrong(verifier, "the data file does not have the size that the entry says");
    }
    uint32_t crc = 0;
    for (uint64_t at = 0; at < file->size; at += verifier->windows[0].size) {
        MRD_TRY(fill_window(verifier, 0, at, verifier->err));
        crc = mrd_crc32c(crc,
                         (struct mrd_bytes){verifier->windows[0].bytes, verifier->windows[0].size});
    }
    return crc == file->crc32c ? MRD_OK : wrong(verifier, "the data file does not match its CRC");
}

/* The file of series: no reader of ours needs it, so its bytes being those that were written is enough. */
static enum mrd_status check_series_file(struct verifier *verifier)
{
    const struct mrd_block_file *file = &verifier->block->entry.series_file.file;
    char key[MRD_BLOCK_KEY_SIZE_MAX + 1];
    struct mrd_objstore_info info;
    if (file->key.size == 0) {
        return MRD_OK;
    }
    (void)snprintf(key, sizeof(key), "%.*s", MRD_FMT(file->key));
    MRD_TRY(mrd_objstore_head(verifier->store, key, verifier->control, &info, verifier->err));
    if (info.size != file->size) {
        return wrong(verifier, "the file of series does not have the size that the entry says");
    }
    uint32_t crc = 0;
    uint8_t *bytes = verifier->windows[0].bytes;
    verifier->windows[0].size = 0; /* it has nothing of the data file any more */
    for (uint64_t at = 0; at < file->size;) {
        const size_t size = (size_t)MRD_MIN(file->size - at, (uint64_t)WINDOW_BYTES);
        const struct mrd_objstore_range range = {at, size, bytes};
        MRD_TRY(
            mrd_objstore_read(verifier->store, key, &range, 1, verifier->control, verifier->err));
        crc = mrd_crc32c(crc, (struct mrd_bytes){bytes, size});
        at += size;
    }
    return crc == file->crc32c ? MRD_OK
                               : wrong(verifier, "the file of series does not match its CRC");
}

static enum mrd_status read_at(void *context, uint64_t offset, size_t size, uint8_t *out,
                               struct mrd_error *err)
{
    struct verifier *verifier = context;
    if (size > WINDOW_BYTES) {
        const struct mrd_objstore_range range = {offset, size, out};
        return mrd_objstore_read(verifier->store, verifier->block->data_key, &range, 1,
                                 verifier->control, err);
    }
    for (unsigned i = 0; i < WINDOWS; i++) {
        const uint64_t begin = verifier->windows[i].offset;
        if (offset >= begin && offset + size <= begin + verifier->windows[i].size) {
            memcpy(out, verifier->windows[i].bytes + (offset - begin), size);
            verifier->oldest = 1 - i;
            return MRD_OK;
        }
    }
    const unsigned which = verifier->oldest;
    MRD_TRY(fill_window(verifier, which, offset, err));
    memcpy(out, verifier->windows[which].bytes, size);
    verifier->oldest = 1 - which;
    return MRD_OK;
}

/* ---- series ---- */

/* The series before, whose memory may go with its part. */
struct before {
    struct mrd_buf text;
    struct mrd_buf items;
    struct mrd_block_series series;
};

static void remember(struct before *before, const struct mrd_block_series *series)
{
    mrd_buf_clear(&before->text);
    mrd_buf_clear(&before->items);
    mrd_buf_append_bytes(&before->text, series->tenant);
    mrd_labels_encode(series->labels, &before->text);
    struct mrd_reader in = mrd_reader_of(mrd_buf_view(&before->text));
    before->series.tenant = mrd_read_bytes(&in, series->tenant.size);
    for (size_t i = 0; i < series->labels.count; i++) {
        struct mrd_label label;
        label.name = mrd_read_bytes(&in, mrd_read_varint(&in));
        label.value = mrd_read_bytes(&in, mrd_read_varint(&in));
        mrd_buf_append(&before->items, &label, sizeof(label));
    }
    before->series.labels = (struct mrd_labels){
        (const struct mrd_label *)(const void *)before->items.data, series->labels.count};
}

static void count_piece(const struct mrd_block_series *piece, struct mrd_block_counts *counts)
{
    const struct mrd_samples *samples = &piece->samples;
    const struct mrd_histograms *histograms = &piece->histograms;
    if (piece->rows != NULL) {
        counts->samples += piece->rows->count;
        counts->min_ms = MRD_MIN(counts->min_ms, piece->rows->ends_ms[0]);
        counts->max_ms = MRD_MAX(counts->max_ms, piece->rows->ends_ms[piece->rows->count - 1]);
    }
    counts->samples += samples->count;
    counts->histograms += histograms->count;
    if (samples->count > 0) {
        counts->min_ms = MRD_MIN(counts->min_ms, samples->times_ms[0]);
        counts->max_ms = MRD_MAX(counts->max_ms, samples->times_ms[samples->count - 1]);
    }
    if (histograms->count > 0) {
        counts->min_ms = MRD_MIN(counts->min_ms, histograms->times_ms[0]);
        counts->max_ms = MRD_MAX(counts->max_ms, histograms->times_ms[histograms->count - 1]);
    }
}

static bool same_counts(const struct mrd_block_counts *a, const struct mrd_block_counts *b)
{
    return a->series == b->series && a->samples == b->samples && a->histograms == b->histograms &&
           a->min_ms == b->min_ms && a->max_ms == b->max_ms;
}

/* State of the walk through all series. */
struct walk {
    struct before before;
    bool any;
    size_t tenant; /* which of the directory's is being counted */
    struct mrd_block_counts counts;
    struct mrd_block_counts all;
};

static enum mrd_status end_tenant(struct verifier *verifier, struct walk *walk)
{
    const struct mbx_directory *directory = verifier->block->directory->directory;
    const struct mrd_block_entry *entry = &verifier->block->entry;
    if (walk->tenant >= directory->tenant_count ||
        !same_counts(&walk->counts, &directory->tenants[walk->tenant].counts) ||
        !mrd_bytes_equal(walk->before.series.tenant, directory->tenants[walk->tenant].name)) {
        return wrong(verifier,
                     "a tenant does not have the series and samples that the sidecar says");
    }
    if (entry->tenants != NULL &&
        (walk->tenant >= entry->tenant_count ||
         !mrd_bytes_equal(entry->tenants[walk->tenant].name, walk->before.series.tenant) ||
         !same_counts(&walk->counts, &entry->tenants[walk->tenant].counts))) {
        return wrong(verifier, "a tenant does not have the series and samples that the entry says");
    }
    mbx_counts_add(&walk->all, &walk->counts);
    mbx_counts_init(&walk->counts);
    walk->tenant++;
    return MRD_OK;
}

static enum mrd_status take_piece(struct verifier *verifier, struct walk *walk,
                                  const struct mrd_block_series *piece)
{
    const int order = walk->any ? mrd_block_series_compare(&walk->before.series, piece) : -1;
    if (order > 0) {
        return wrong(verifier, "its series are not in order");
    }
    if (walk->any && !mrd_bytes_equal(walk->before.series.tenant, piece->tenant)) {
        MRD_TRY(end_tenant(verifier, walk));
    }
    if (order != 0) {
        remember(&walk->before, piece);
        walk->any = true;
        walk->counts.series++;
        const uint64_t seed = mrd_block_bloom_tenant(piece->tenant);
        for (size_t i = 0; i < piece->labels.count; i++) {
            const struct mrd_label *label = &piece->labels.items[i];
            if (!mrd_block_bloom_has(&verifier->block->entry.bloom,
                                     mrd_block_bloom_pair(seed, label->name, label->value))) {
                return wrong(verifier, "its Bloom filter does not know a label of it");
            }
        }
    }
    count_piece(piece, &walk->counts);
    const uint64_t rows = piece->samples.count + piece->histograms.count +
                          (piece->rows == NULL ? 0 : piece->rows->count);
    if (order != 0) {
        mrd_buf_append_u64(&verifier->rows, rows);
    } else {
        uint64_t *last = (uint64_t *)(void *)(verifier->rows.data + verifier->rows.size) - 1;
        *last += rows;
    }
    return verifier->rows.failed
               ? mrd_fail(verifier->err, MRD_E_LIMIT,
                          "checking block %.*s takes more than %zu bytes",
                          MRD_FMT(verifier->block->entry.id), verifier->memory_max)
               : MRD_OK;
}

static enum mrd_status walk_series(struct verifier *verifier, struct walk *walk,
                                   struct mrd_block_cursor *cursor)
{
    const struct mrd_block_series *piece;
    mbx_counts_init(&walk->counts);
    mbx_counts_init(&walk->all);
    for (;;) {
        MRD_TRY(mrd_block_cursor_next(cursor, &piece, verifier->err));
        if (piece == NULL) {
            break;
        }
        MRD_TRY(take_piece(verifier, walk, piece));
    }
    MRD_TRY(end_tenant(verifier, walk));
    return walk->tenant == verifier->block->entry.tenant_count &&
                   same_counts(&walk->all, &verifier->block->entry.counts)
               ? MRD_OK
               : wrong(verifier, "it does not have the series and samples that its entry says");
}

static enum mrd_status check_series(struct verifier *verifier)
{
    mrd_auto(mrd_block_cursor_close)
    struct mrd_block_cursor *cursor = NULL;
    const struct mrd_block_cursor_options options = {
        .pieces = true, .want_hlc = true, .series_bytes_max = verifier->memory_max};
    MRD_TRY(mrd_block_scan(verifier->block, &options, &cursor, verifier->err));
    struct walk walk = {0};
    const enum mrd_status status = walk_series(verifier, &walk, cursor);
    mrd_buf_fini(&walk.before.text);
    mrd_buf_fini(&walk.before.items);
    return status;
}

/* ---- the data file as other readers see it ---- */

/* What a column that repeats what the sidecar says has in each row. */
enum column_kind {
    KIND_OTHER,
    KIND_TENANT,
    KIND_METRIC,
    KIND_PROMOTED,
    KIND_KEY,
    KIND_VALUE,
    KIND_ID
};

static enum column_kind kind_of(const struct mrd_pq_leaf *leaf)
{
    switch (leaf->field_id) {
    case MRD_BLOCK_FIELD_TENANT:
        return KIND_TENANT;
    case MRD_BLOCK_FIELD_METRIC:
        return KIND_METRIC;
    case MRD_BLOCK_FIELD_LABELS_KEY:
        return KIND_KEY;
    case MRD_BLOCK_FIELD_LABELS_VALUE:
        return KIND_VALUE;
    case MRD_BLOCK_FIELD_SERIES_ID:
        return KIND_ID;
    default: /* all other texts are promoted labels */
        return leaf->type == MRD_PQ_BYTE_ARRAY && leaf->meaning == MRD_PQ_STRING ? KIND_PROMOTED
                                                                                 : KIND_OTHER;
    }
}

/* A column beside the sidecar's series. */
struct walker {
    struct verifier *verifier;
    const struct mrd_pq_leaf *leaf;
    enum column_kind kind;
    struct mrd_block_cursor *cursor; /* of labels alone */
    const struct mrd_block_series *series;
    size_t series_count; /* so far */
    uint64_t row;        /* of the series */
    size_t label;        /* that the next entry of a map must be; of all labels of the series */
};

/* The labels of a map are those of the series but the metric name. */
static void pass_metric(struct walker *walker)
{
    const struct mrd_labels labels = walker->series->labels;
    if (walker->label < labels.count &&
        mrd_bytes_equal(labels.items[walker->label].name, MRD_BYTES(MRD_METRIC_NAME))) {
        walker->label++;
    }
}

/* False if the row before does not have all its labels. */
static bool row_is_whole(struct walker *walker)
{
    if (walker->series == NULL || (walker->kind != KIND_KEY && walker->kind != KIND_VALUE)) {
        return true;
    }
    pass_metric(walker);
    return walker->label == walker->series->labels.count;
}

static enum mrd_status next_row(struct walker *walker, bool *out_fine)
{
    const uint64_t *rows = (const uint64_t *)(const void *)walker->verifier->rows.data;
    *out_fine = row_is_whole(walker);
    walker->label = 0;
    if (walker->series == NULL || walker->row == rows[walker->series_count - 1]) {
        MRD_TRY(mrd_block_cursor_next(walker->cursor, &walker->series, walker->verifier->err));
        walker->row = 0;
        walker->series_count++;
        *out_fine = *out_fine && walker->series != NULL;
    }
    walker->row++;
    return MRD_OK;
}

/* What the entry at hand must be; empty: null, or a map without labels. */
static struct mrd_bytes wanted(struct walker *walker)
{
    const struct mrd_labels labels = walker->series->labels;
    switch (walker->kind) {
    case KIND_TENANT:
        return walker->series->tenant;
    case KIND_METRIC:
        return mrd_labels_get(labels, MRD_BYTES(MRD_METRIC_NAME));
    case KIND_PROMOTED:
        return mrd_labels_get(labels, walker->leaf->path);
    case KIND_KEY:
    case KIND_VALUE:
        pass_metric(walker);
        if (walker->label == labels.count) {
            return MRD_BYTES_NONE;
        }
        walker->label++;
        return walker->kind == KIND_KEY ? labels.items[walker->label - 1].name
                                        : labels.items[walker->label - 1].value;
    case KIND_ID:
    case KIND_OTHER:
        break;
    }
    return MRD_BYTES_NONE;
}

static enum mrd_status check_batch(struct walker *walker, const struct mrd_pq_batch *batch,
                                   bool *out_fine)
{
    size_t value = 0;
    *out_fine = true;
    for (size_t i = 0; i < batch->entries && *out_fine; i++) {
        const bool known = batch->def == NULL || batch->def[i] == walker->leaf->def_max;
        if (batch->rep == NULL || batch->rep[i] == 0) {
            MRD_TRY(next_row(walker, out_fine));
            if (!*out_fine) {
                break;
            }
        }
        if (walker->kind == KIND_ID) {
            *out_fine = batch->i64[value] == (int64_t)walker->series->id.low;
        } else {
            const struct mrd_bytes want = wanted(walker);
            *out_fine = known ? mrd_bytes_equal(batch->bytes[value], want) : want.size == 0;
        }
        value += known;
    }
    return MRD_OK;
}

static enum mrd_status check_chunk(struct walker *walker, struct mrd_pq_column_reader *column)
{
    struct mrd_error *err = walker->verifier->err;
    size_t count;
    (void)mrd_pq_column_pages(column, &count);
    const struct mrd_pq_page_bounds *bounds;
    MRD_TRY(mrd_pq_column_bounds(column, &bounds, err));
    for (size_t i = 0; i < count; i++) {
        struct mrd_pq_batch batch;
        bool fine = true;
        MRD_TRY(mrd_pq_column_read(column, i, &batch, err));
        if (walker->kind != KIND_OTHER) {
            MRD_TRY(check_batch(walker, &batch, &fine));
        }
        if (!fine) {
            return mrd_fail(
                err, MRD_E_CORRUPT, "block %.*s: column %.*s does not have what the sidecar says",
                MRD_FMT(walker->verifier->block->entry.id), MRD_FMT(walker->leaf->path));
        }
    }
    return MRD_OK;
}

static enum mrd_status check_leaf(struct verifier *verifier, const struct mrd_pq_file *file,
                                  size_t leaf)
{
    const struct mrd_pq_footer *footer = mrd_pq_file_footer(file);
    mrd_auto(mrd_block_cursor_close)
    struct mrd_block_cursor *cursor = NULL;
    const struct mrd_block_cursor_options options = {.labels_only = true};
    MRD_TRY(mrd_block_scan(verifier->block, &options, &cursor, verifier->err));
    struct walker walker = {.verifier = verifier,
                            .leaf = &footer->leaves[leaf],
                            .kind = kind_of(&footer->leaves[leaf]),
                            .cursor = cursor};
    for (size_t group = 0; group < footer->row_group_count; group++) {
        mrd_auto(mrd_pq_column_close)
        struct mrd_pq_column_reader *column = NULL;
        MRD_TRY(
            mrd_pq_column_open(file, group, leaf, verifier->memory_max, &column, verifier->err));
        MRD_TRY(check_chunk(&walker, column));
    }
    return row_is_whole(&walker) ? MRD_OK : wrong(verifier, "the last row lacks labels");
}

static enum mrd_status check_footer(struct verifier *verifier, const struct mrd_pq_footer *footer)
{
    const struct mrd_block_entry *entry = &verifier->block->entry;
    if (footer->rows != entry->counts.samples + entry->counts.histograms) {
        return wrong(verifier, "the data file does not have as many rows as there are samples");
    }
    if (footer->leaf_count != entry->column_count ||
        footer->row_group_count != entry->row_group_count) {
        return wrong(verifier, "the data file has other columns or row groups than the entry says");
    }
    for (size_t i = 0; i < footer->leaf_count; i++) {
        if (footer->leaves[i].field_id != entry->columns[i].field_id) {
            return wrong(verifier, "the data file has other columns than the entry says");
        }
    }
    for (size_t i = 0; i < footer->row_group_count; i++) {
        if (footer->row_groups[i].chunks[0].offset != entry->row_group_offsets[i]) {
            return wrong(verifier, "a row group is not where the entry says");
        }
    }
    return MRD_OK;
}

static enum mrd_status check_rows(struct verifier *verifier)
{
    const struct mrd_pq_source source = {verifier, verifier->block->entry.data.size, read_at};
    mrd_auto(mrd_pq_file_close)
    struct mrd_pq_file *file = NULL;
    MRD_TRY(mrd_pq_file_open(&source, verifier->memory_max, &file, verifier->err));
    const struct mrd_pq_footer *footer = mrd_pq_file_footer(file);
    MRD_TRY(check_footer(verifier, footer));
    for (size_t leaf = 0; leaf < footer->leaf_count; leaf++) {
        MRD_TRY(check_leaf(verifier, file, leaf));
    }
    return MRD_OK;
}

/* ---- all of it ---- */

static enum mrd_status verify(struct verifier *verifier)
{
    for (unsigned i = 0; i < WINDOWS; i++) {
        verifier->windows[i].bytes = malloc(WINDOW_BYTES);
        mrd_assert(verifier->windows[i].bytes != NULL);
    }
    MRD_TRY(check_file(verifier));
    MRD_TRY(check_series_file(verifier));
    MRD_TRY(check_series(verifier));
    return check_rows(verifier);
}

enum mrd_status mrd_block_verify(struct mrd_objstore *store, const struct mrd_block_entry *entry,
                                 const struct mrd_block_verify_options *options,
                                 struct mrd_error *err)
{
    const size_t memory_max =
        options->memory_bytes_max == 0 ? (size_t)1 << 30 : options->memory_bytes_max;
    if (entry->sidecar.size > memory_max) {
        return mrd_fail(err, MRD_E_LIMIT, "block %.*s: a sidecar of %llu bytes, the limit is %zu",
                        MRD_FMT(entry->id), (unsigned long long)entry->sidecar.size, memory_max);
    }
    const struct mrd_block_open_options open = {.control = options->control,
                                                .whole_bytes_max = memory_max, /* its CRC too */
                                                .sidecar_bytes_max = memory_max};
    mrd_auto(mrd_block_close)
    struct mrd_block *block = NULL;
    MRD_TRY(mrd_block_open(store, entry, &open, &block, err));
    struct verifier verifier = {.store = store,
                                .control = options->control,
                                .block = block,
                                .memory_max = memory_max,
                                .err = err};
    mrd_buf_init(&verifier.rows, memory_max);
    const enum mrd_status status = verify(&verifier);
    mrd_buf_fini(&verifier.rows);
    for (unsigned i = 0; i < WINDOWS; i++) {
        free(verifier.windows[i].bytes);
    }
    return status;
}
