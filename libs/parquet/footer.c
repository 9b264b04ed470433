#include "parquet/footer_internal.h"

enum mrd_status pq_corrupt(const struct pq_footer_reader *in, const char *what)
{
    return mrd_fail(in->err, MRD_E_CORRUPT, "footer: %s", what);
}

/* A number that must not be negative. */
static uint64_t get_u64(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field)
{
    const int64_t value = mrd_thrift_get_i64(r, field);
    if (value < 0) {
        mrd_reader_fail(&r->in);
        return 0;
    }
    return (uint64_t)value;
}

static uint32_t get_u32(struct mrd_thrift_reader *r, const struct mrd_thrift_field *field)
{
    const int32_t value = mrd_thrift_get_i32(r, field);
    if (value < 0) {
        mrd_reader_fail(&r->in);
        return 0;
    }
    return (uint32_t)value;
}

/* ---- column chunks ---- */

static void read_statistics(struct mrd_thrift_reader *r, struct mrd_pq_chunk_stats *stats)
{
    struct mrd_thrift_field field = {0};
    while (mrd_thrift_next(r, &field)) {
        if (field.id == 3) {
            stats->nulls = get_u64(r, &field);
            stats->has_nulls = true;
        } else if (field.id == 5) {
            stats->max = mrd_thrift_get_binary(r, &field);
            stats->has_max = true;
        } else if (field.id == 6) {
            stats->min = mrd_thrift_get_binary(r, &field);
            stats->has_min = true;
        } else if (field.id == 7) {
            stats->max_exact = mrd_thrift_get_bool(r, &field);
        } else if (field.id == 8) {
            stats->min_exact = mrd_thrift_get_bool(r, &field);
        } else {
            mrd_thrift_skip(r, &field);
        }
    }
}

/* What a chunk says that is checked against the schema. */
struct chunk_claims {
    int32_t type;
    bool has_metadata;
    bool encrypted;
    bool elsewhere; /* in another file */
};

static void read_chunk_metadata(struct mrd_thrift_reader *r, struct mrd_pq_chunk *chunk,
                                struct chunk_claims *claims)
{
    uint64_t *const numbers[] = {
        [5] = &chunk->entries,
        [7] = &chunk->size,
        [9] = &chunk->data_offset,
        [11] = &chunk->dictionary_offset,
    };
    struct mrd_thrift_field field = {0};
    claims->has_metadata = true;
    while (mrd_thrift_next(r, &field)) {
        if (field.id == 1) {
            claims->type = mrd_thrift_get_i32(r, &field);
        } else if (field.id == 4) {
            chunk->codec = get_u32(r, &field);
        } else if (field.id == 12) {
            mrd_thrift_enter_field(r, &field);
            read_statistics(r, &chunk->stats);
            mrd_thrift_leave(r);
        } else if (field.id >= 5 && (size_t)field.id < MRD_ARRAY_LEN(numbers) &&
                   numbers[field.id] != NULL) {
            *numbers[field.id] = get_u64(r, &field);
        } else {
            mrd_thrift_skip(r, &field);
        }
    }
}

static void read_chunk(struct mrd_thrift_reader *r, struct mrd_pq_chunk *chunk,
                       struct chunk_claims *claims)
{
    struct mrd_thrift_field field = {0};
    mrd_thrift_enter(r);
    while (mrd_thrift_next(r, &field)) {
        if (field.id == 3) {
            mrd_thrift_enter_field(r, &field);
            read_chunk_metadata(r, chunk, claims);
            mrd_thrift_leave(r);
        } else if (field.id == 4) {
            chunk->offset_index_offset = get_u64(r, &field);
        } else if (field.id == 5) {
            chunk->offset_index_size = get_u32(r, &field);
        } else if (field.id == 6) {
            chunk->column_index_offset = get_u64(r, &field);
        } else if (field.id == 7) {
            chunk->column_index_size = get_u32(r, &field);
        } else {
            claims->elsewhere |= field.id == 1;
            claims->encrypted |= field.id == 8 || field.id == 9;
            mrd_thrift_skip(r, &field);
        }
    }
    mrd_thrift_leave(r);
}

static bool inside(const struct pq_footer_reader *in, uint64_t offset, uint64_t size)
{
    return offset <= in->file_size && size <= in->file_size - offset;
}

static bool stats_fit(const struct mrd_pq_leaf *leaf, const struct mrd_pq_chunk *chunk)
{
    const struct mrd_pq_chunk_stats *stats = &chunk->stats;
    const size_t size = mrd_pq_value_size(leaf->type, leaf->fixed_size);
    const bool any_size = leaf->type == MRD_PQ_BYTE_ARRAY || leaf->type == MRD_PQ_FIXED;
    return (!stats->has_nulls || stats->nulls <= chunk->entries) &&
           (any_size || ((!stats->has_min || stats->min.size == size) &&
                         (!stats->has_max || stats->max.size == size)));
}

/* Some writers give no dictionary offset (or 0), some an offset of the first data page that is the
 * dictionary's. The chunk begins where the first of both is. */
static enum mrd_status check_chunk(const struct pq_footer_reader *in,
                                   const struct mrd_pq_leaf *leaf,
                                   const struct chunk_claims *claims, struct mrd_pq_chunk *chunk)
{
    if (claims->encrypted || claims->elsewhere) {
        return mrd_fail(in->err, MRD_E_UNSUPPORTED, "column %.*s is %s", MRD_FMT(leaf->path),
                        claims->encrypted ? "encrypted" : "in another file");
    }
    if (!claims->has_metadata || claims->type != (int32_t)leaf->type) {
        return pq_corrupt(in, "a column chunk has not the type of the schema");
    }
    chunk->offset = chunk->dictionary_offset != 0 && chunk->dictionary_offset < chunk->data_offset
                        ? chunk->dictionary_offset
                        : chunk->data_offset;
    if (!inside(in, chunk->offset, chunk->size) ||
        chunk->data_offset - chunk->offset > chunk->size ||
        !inside(in, chunk->offset_index_offset, chunk->offset_index_size) ||
        !inside(in, chunk->column_index_offset, chunk->column_index_size)) {
        return pq_corrupt(in, "a column chunk or its index is outside the file");
    }
    return stats_fit(leaf, chunk) ? MRD_OK : pq_corrupt(in, "statistics that do not fit");
}

/* ---- row groups ---- */

/* Chunks are checked against leaves after everything is read: fields may come in any order. */
struct group_claims {
    struct chunk_claims *chunks;
    size_t chunk_count;
};

static enum mrd_status read_chunks(struct pq_footer_reader *in,
                                   const struct mrd_thrift_field *field,
                                   struct mrd_pq_row_group *group, struct group_claims *claims)
{
    const size_t count = mrd_thrift_get_list(&in->r, field, MRD_THRIFT_STRUCT);
    group->chunks = mrd_arena_alloc(in->arena, (count + 1) * sizeof(group->chunks[0]));
    claims->chunks = mrd_arena_alloc(in->arena, (count + 1) * sizeof(claims->chunks[0]));
    if (group->chunks == NULL || claims->chunks == NULL) {
        return mrd_arena_fail(in->arena, in->err);
    }
    claims->chunk_count = count;
    for (size_t i = 0; i < count && !in->r.in.failed; i++) {
        read_chunk(&in->r, &group->chunks[i], &claims->chunks[i]);
    }
    return MRD_OK;
}

static enum mrd_status read_group(struct pq_footer_reader *in, struct mrd_pq_row_group *group,
                                  struct group_claims *claims)
{
    struct mrd_thrift_field field = {0};
    mrd_thrift_enter(&in->r);
    while (mrd_thrift_next(&in->r, &field)) {
        if (field.id == 1) {
            MRD_TRY(read_chunks(in, &field, group, claims));
        } else if (field.id == 3) {
            group->rows = get_u64(&in->r, &field);
        } else {
            mrd_thrift_skip(&in->r, &field);
        }
    }
    mrd_thrift_leave(&in->r);
    return MRD_OK;
}

static enum mrd_status read_groups(struct pq_footer_reader *in,
                                   const struct mrd_thrift_field *field,
                                   struct mrd_pq_footer *footer, struct group_claims **out_claims)
{
    const size_t count = mrd_thrift_get_list(&in->r, field, MRD_THRIFT_STRUCT);
    footer->row_groups = mrd_arena_alloc(in->arena, (count + 1) * sizeof(footer->row_groups[0]));
    struct group_claims *claims = mrd_arena_alloc(in->arena, (count + 1) * sizeof(claims[0]));
    if (footer->row_groups == NULL || claims == NULL) {
        return mrd_arena_fail(in->arena, in->err);
    }
    for (size_t i = 0; i < count && !in->r.in.failed; i++) {
        MRD_TRY(read_group(in, &footer->row_groups[i], &claims[i]));
    }
    footer->row_group_count = count;
    *out_claims = claims;
    return MRD_OK;
}

static enum mrd_status check_groups(const struct pq_footer_reader *in, struct mrd_pq_footer *footer,
                                    const struct group_claims *claims)
{
    uint64_t rows = 0;
    for (size_t g = 0; g < footer->row_group_count; g++) {
        struct mrd_pq_row_group *group = &footer->row_groups[g];
        if (claims[g].chunk_count != footer->leaf_count) {
            return pq_corrupt(in, "a row group has not the columns of the schema");
        }
        for (size_t i = 0; i < footer->leaf_count; i++) {
            const struct mrd_pq_leaf *leaf = &footer->leaves[i];
            MRD_TRY(check_chunk(in, leaf, &claims[g].chunks[i], &group->chunks[i]));
            if (leaf->rep_max == 0 ? group->chunks[i].entries != group->rows
                                   : group->chunks[i].entries < group->rows) {
                return pq_corrupt(in, "a column chunk has not the rows of its row group");
            }
        }
        group->first_row = rows;
        if (__builtin_add_overflow(rows, group->rows, &rows)) {
            return pq_corrupt(in, "more rows than there are numbers");
        }
    }
    return rows == footer->rows ? MRD_OK
                                : pq_corrupt(in, "the rows of the row groups are not those of the "
                                                 "file");
}

/* ---- the rest ---- */

static enum mrd_status read_metadata(struct pq_footer_reader *in,
                                     const struct mrd_thrift_field *field,
                                     struct mrd_pq_footer *footer)
{
    const size_t count = mrd_thrift_get_list(&in->r, field, MRD_THRIFT_STRUCT);
    footer->metadata = mrd_arena_alloc(in->arena, (count + 1) * sizeof(footer->metadata[0]));
    if (footer->metadata == NULL) {
        return mrd_arena_fail(in->arena, in->err);
    }
    footer->metadata_count = count;
    for (size_t i = 0; i < count && !in->r.in.failed; i++) {
        struct mrd_thrift_field part = {0};
        mrd_thrift_enter(&in->r);
        while (mrd_thrift_next(&in->r, &part)) {
            if (part.id == 1) {
                footer->metadata[i].key = mrd_thrift_get_binary(&in->r, &part);
            } else if (part.id == 2) {
                footer->metadata[i].value = mrd_thrift_get_binary(&in->r, &part);
            } else {
                mrd_thrift_skip(&in->r, &part);
            }
        }
        mrd_thrift_leave(&in->r);
    }
    return MRD_OK;
}

static enum mrd_status read_fields(struct pq_footer_reader *in, struct mrd_pq_footer *footer,
                                   struct group_claims **out_claims)
{
    struct mrd_thrift_field field = {0};
    while (mrd_thrift_next(&in->r, &field)) {
        if (field.id == 2) {
            MRD_TRY(pq_read_schema(in, &field, footer));
        } else if (field.id == 3) {
            footer->rows = get_u64(&in->r, &field);
        } else if (field.id == 4) {
            MRD_TRY(read_groups(in, &field, footer, out_claims));
        } else if (field.id == 5) {
            MRD_TRY(read_metadata(in, &field, footer));
        } else if (field.id == 6) {
            footer->created_by = mrd_thrift_get_binary(&in->r, &field);
        } else if (field.id == 8) {
            return mrd_fail(in->err, MRD_E_UNSUPPORTED, "the file is encrypted");
        } else {
            mrd_thrift_skip(&in->r, &field);
        }
    }
    return MRD_OK;
}

enum mrd_status mrd_pq_footer_read(struct mrd_bytes bytes, uint64_t file_size,
                                   struct mrd_arena *arena, struct mrd_pq_footer **out_footer,
                                   struct mrd_error *err)
{
    const struct mrd_bytes copy = mrd_arena_copy(arena, bytes); /* names and bounds point there */
    struct mrd_pq_footer *footer = mrd_arena_alloc(arena, sizeof(*footer));
    if (copy.data == NULL || footer == NULL) {
        return mrd_arena_fail(arena, err);
    }
    struct pq_footer_reader in = {mrd_thrift_reader_of(copy), arena, file_size, err};
    struct group_claims *claims = NULL;
    MRD_TRY(read_fields(&in, footer, &claims));
    if (in.r.in.failed || footer->leaves == NULL || claims == NULL) {
        return pq_corrupt(&in,
                          "not in Thrift's compact protocol, or without schema and row groups");
    }
    MRD_TRY(check_groups(&in, footer, claims));
    *out_footer = footer;
    return MRD_OK;
}
