#include "parquet/writer_internal.h"

/* ---- checks: before anything has changed ---- */

static enum mrd_status refuse(const struct pq_leaf *leaf, struct mrd_error *err, const char *what)
{
    return mrd_fail(err, MRD_E_INVALID, "column %s: %s", leaf->path, what);
}

static enum mrd_status check_lists(const struct pq_leaf *leaf, const struct mrd_pq_batch *batch,
                                   struct mrd_error *err)
{
    if (batch->rep == NULL) {
        return MRD_OK;
    }
    if (leaf->leaf.rep_max == 0) {
        return refuse(leaf, err, "repetition levels for a flat column");
    }
    if (batch->entries > 0 && batch->rep[0] != 0) {
        return refuse(leaf, err, "a batch that does not begin with a row");
    }
    for (size_t i = 0; i < batch->entries; i++) {
        if (batch->rep[i] > 1 ||
            (batch->rep[i] == 1 && batch->def != NULL &&
             (batch->def[i] < leaf->list_def || batch->def[i - 1] < leaf->list_def))) {
            return refuse(leaf, err, "repetition levels that make no list");
        }
    }
    return MRD_OK;
}

static enum mrd_status check_levels(const struct pq_leaf *leaf, const struct mrd_pq_batch *batch,
                                    struct mrd_error *err)
{
    size_t values = batch->entries;
    if (batch->def != NULL) {
        values = 0;
        uint8_t highest = 0;
        for (size_t i = 0; i < batch->entries; i++) {
            highest = batch->def[i] > highest ? batch->def[i] : highest;
            values += batch->def[i] == leaf->leaf.def_max;
        }
        if (highest > leaf->leaf.def_max) {
            return refuse(leaf, err, "a definition level above that of a value");
        }
    }
    if (values != batch->values) {
        return refuse(leaf, err, "more or fewer values than the definition levels say");
    }
    return check_lists(leaf, batch, err);
}

static enum mrd_status check_values(const struct pq_leaf *leaf, const struct mrd_pq_batch *batch,
                                    size_t times, struct mrd_error *err)
{
    uint64_t size = 0;
    for (size_t i = 0; leaf->leaf.type == MRD_PQ_BYTE_ARRAY && i < batch->values; i++) {
        size = MRD_MAX(size, (uint64_t)batch->bytes[i].size);
    }
    for (size_t i = 0; leaf->leaf.type == MRD_PQ_BOOLEAN && i < batch->values; i++) {
        if (batch->booleans[i] > 1) {
            return refuse(leaf, err, "a boolean that is neither 0 nor 1");
        }
    }
    /* Sizes in page headers have 31 bits; half of that leaves room for what encodings add. */
    if (size > INT32_MAX / 2) {
        return refuse(leaf, err, "a value of more than 1 GiB");
    }
    uint64_t entries;
    if (__builtin_mul_overflow((uint64_t)batch->entries, (uint64_t)times, &entries) ||
        entries > INT32_MAX || entries + leaf->stats.entries > INT32_MAX) {
        return refuse(leaf, err, "more than 2^31 entries in a page: cut pages earlier");
    }
    return MRD_OK;
}

/* ---- memory ---- */

static size_t memory_of(const struct pq_leaf *leaf)
{
    return leaf->raw.size + leaf->sizes.size + leaf->indices.size + leaf->def.size +
           leaf->rep.size + leaf->pages.size + leaf->page_table.size +
           mrd_pq_dictionary_memory(&leaf->dictionary);
}

enum mrd_status pq_account(struct mrd_pq_writer *writer, struct pq_leaf *leaf,
                           struct mrd_error *err)
{
    const size_t now = memory_of(leaf);
    writer->memory = writer->memory - leaf->memory + now;
    leaf->memory = now;
    const bool failed = leaf->raw.failed || leaf->sizes.failed || leaf->indices.failed ||
                        leaf->def.failed || leaf->rep.failed || leaf->pages.failed ||
                        leaf->page_table.failed;
    if (failed || writer->memory > writer->memory_max) {
        return pq_out_of_memory(writer, err);
    }
    return MRD_OK;
}

/* Room for what an append adds, asked before it is added: `times` may be large. */
static enum mrd_status foresee(struct mrd_pq_writer *writer, const struct pq_leaf *leaf,
                               const struct mrd_pq_batch *batch, size_t times,
                               struct mrd_error *err)
{
    uint64_t each = batch->entries * (uint64_t)((leaf->leaf.def_max > 0) + leaf->leaf.rep_max);
    if (!leaf->dictionary_full) {
        each += batch->values * sizeof(uint32_t);
    } else if (leaf->leaf.type == MRD_PQ_BYTE_ARRAY) {
        for (size_t i = 0; i < batch->values; i++) {
            each += batch->bytes[i].size + sizeof(int32_t);
        }
    } else {
        each += batch->values * mrd_pq_value_size(leaf->leaf.type, leaf->leaf.fixed_size);
    }
    uint64_t all;
    if (__builtin_mul_overflow(each, (uint64_t)times, &all) ||
        all > writer->memory_max - MRD_MIN(writer->memory, writer->memory_max)) {
        return pq_out_of_memory(writer, err);
    }
    return MRD_OK;
}

/* ---- appending ---- */

/* Repeats what was appended at the end of a buffer, `times` times in all. */
static void repeat(struct mrd_buf *buf, size_t size, size_t times)
{
    uint8_t *place = size == 0 || buf->failed ? NULL : mrd_buf_reserve(buf, size * (times - 1));
    if (place == NULL) {
        return;
    }
    const size_t all = size * times;
    uint8_t *first = place - size;
    for (size_t done = size; done < all; done *= 2) { /* doubling: few, long copies */
        memcpy(first + done, first, MRD_MIN(done, all - done));
    }
    buf->size += size * (times - 1);
}

static void append_filled(struct mrd_buf *buf, const uint8_t *levels, uint8_t level, size_t count)
{
    uint8_t *place = mrd_buf_reserve(buf, count);
    if (place == NULL || count == 0) {
        return;
    }
    if (levels != NULL) {
        memcpy(place, levels, count);
    } else {
        memset(place, level, count);
    }
    buf->size += count;
}

static void append_levels(struct pq_leaf *leaf, const struct mrd_pq_batch *batch, size_t times)
{
    if (leaf->leaf.def_max > 0) {
        append_filled(&leaf->def, batch->def, leaf->leaf.def_max, batch->entries);
        repeat(&leaf->def, batch->entries, times);
    }
    if (leaf->leaf.rep_max > 0) {
        append_filled(&leaf->rep, batch->rep, 0, batch->entries);
        repeat(&leaf->rep, batch->entries, times);
    }
    uint64_t rows = batch->entries;
    for (size_t i = 0; batch->rep != NULL && i < batch->entries; i++) {
        rows -= batch->rep[i];
    }
    leaf->rows += rows * times;
}

/* The lists of entries from `at` on, as a number that does not depend on how they were appended. */
static void append_shape(struct pq_leaf *leaf, size_t at)
{
    for (size_t i = at; i < leaf->rep.size; i++) {
        const uint8_t level = leaf->def.data[i];
        const unsigned def = level < leaf->list_def ? level : leaf->list_def;
        leaf->shape = leaf->shape * UINT64_C(0x9e3779b97f4a7c15) + (leaf->rep.data[i] + 2 * def);
    }
}

static void append_raw(struct pq_leaf *leaf, const struct mrd_pq_batch *batch, size_t times)
{
    const size_t at = leaf->raw.size;
    if (leaf->leaf.type == MRD_PQ_BYTE_ARRAY) {
        for (size_t i = 0; i < batch->values; i++) {
            mrd_buf_append_bytes(&leaf->raw, batch->bytes[i]);
            mrd_buf_append_u32(&leaf->sizes, (uint32_t)batch->bytes[i].size);
        }
        repeat(&leaf->sizes, batch->values * sizeof(int32_t), times);
    } else {
        mrd_buf_append(&leaf->raw, batch->any,
                       batch->values * mrd_pq_value_size(leaf->leaf.type, leaf->leaf.fixed_size));
    }
    repeat(&leaf->raw, leaf->raw.size - at, times);
    leaf->values += batch->values * times;
}

static struct mrd_bytes value_of(const struct pq_leaf *leaf, const struct mrd_pq_batch *batch,
                                 size_t i)
{
    if (leaf->leaf.type == MRD_PQ_BYTE_ARRAY) {
        return batch->bytes[i];
    }
    const size_t size = mrd_pq_value_size(leaf->leaf.type, leaf->leaf.fixed_size);
    return (struct mrd_bytes){(const uint8_t *)batch->any + i * size, size};
}

/* False if the dictionary is full; then nothing of this batch is in `indices`. */
static bool append_indices(struct pq_leaf *leaf, const struct mrd_pq_batch *batch, size_t times)
{
    const size_t at = leaf->indices.size;
    uint32_t *place =
        (uint32_t *)(void *)mrd_buf_reserve(&leaf->indices, batch->values * sizeof(uint32_t));
    if (place == NULL) {
        return true; /* `failed` tells */
    }
    struct mrd_bytes before = MRD_BYTES_NONE;
    for (size_t i = 0; i < batch->values; i++) {
        const struct mrd_bytes value = value_of(leaf, batch, i);
        if (i > 0 && mrd_bytes_equal(value, before)) {
            place[i] = place[i - 1];
        } else if (!mrd_pq_dictionary_index(&leaf->dictionary, value, &place[i])) {
            return false;
        }
        before = value;
    }
    leaf->indices.size = at + batch->values * sizeof(uint32_t);
    repeat(&leaf->indices, batch->values * sizeof(uint32_t), times);
    return true;
}

enum mrd_status pq_leave_dictionary(struct mrd_pq_writer *writer, struct pq_leaf *leaf,
                                    struct mrd_error *err)
{
    const uint32_t *indices = (const uint32_t *)(const void *)leaf->indices.data;
    const size_t count = leaf->indices.size / sizeof(indices[0]);
    for (size_t i = 0; i < count; i++) {
        const struct mrd_bytes value = mrd_pq_dictionary_value(&leaf->dictionary, indices[i]);
        mrd_buf_append_bytes(&leaf->raw, value);
        if (leaf->leaf.type == MRD_PQ_BYTE_ARRAY) {
            mrd_buf_append_u32(&leaf->sizes, (uint32_t)value.size);
        }
        if (leaf->raw.size > writer->memory_max) {
            return pq_out_of_memory(writer, err);
        }
    }
    leaf->values = count;
    mrd_buf_clear(&leaf->indices);
    leaf->dictionary_full = true;
    return pq_account(writer, leaf, err);
}

enum mrd_status mrd_pq_writer_append(struct mrd_pq_writer *writer, size_t leaf_index,
                                     const struct mrd_pq_batch *batch, size_t times,
                                     struct mrd_error *err)
{
    mrd_assert(leaf_index < writer->leaf_count);
    struct pq_leaf *leaf = &writer->leaves[leaf_index];
    if (writer->broken) {
        return refuse(leaf, err, "the file is closed or failed before");
    }
    MRD_TRY(check_levels(leaf, batch, err));
    MRD_TRY(check_values(leaf, batch, times, err));
    if (times == 0 || batch->entries == 0) {
        return MRD_OK;
    }
    MRD_TRY(foresee(writer, leaf, batch, times, err));
    if (leaf->dictionary_full) {
        append_raw(leaf, batch, times);
    } else if (!append_indices(leaf, batch, times)) {
        MRD_TRY(pq_leave_dictionary(writer, leaf, err));
        MRD_TRY(foresee(writer, leaf, batch, times, err));
        append_raw(leaf, batch, times);
    }
    const size_t at = leaf->rep.size;
    append_levels(leaf, batch, times);
    mrd_pq_stats_add(&leaf->stats, &leaf->leaf, batch, times);
    MRD_TRY(pq_account(writer, leaf, err));
    if (leaf->in_map) {
        append_shape(leaf, at);
    }
    return MRD_OK;
}

enum mrd_status mrd_pq_writer_cut_page(struct mrd_pq_writer *writer, size_t leaf_index,
                                       struct mrd_error *err)
{
    mrd_assert(leaf_index < writer->leaf_count);
    struct pq_leaf *leaf = &writer->leaves[leaf_index];
    if (writer->broken) {
        return refuse(leaf, err, "the file is closed or failed before");
    }
    return leaf->stats.entries == 0 ? MRD_OK : pq_encode_page(writer, leaf, err);
}
