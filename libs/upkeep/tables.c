#include "upkeep/tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/parallel.h"
#include "iceberg/tables.h"
#include "objstore/batch_store.h"

enum { TEXT_SIZE_MAX = 64 << 10 /* that is kept for publishing */ };

const struct mrd_block_promoted mrd_upkeep_promoted[] = {
    {"job",      MRD_BLOCK_FIELD_PROMOTED    },
    {"instance", MRD_BLOCK_FIELD_PROMOTED + 1},
};
const size_t mrd_upkeep_promoted_count = MRD_ARRAY_LEN(mrd_upkeep_promoted);

/* ---- places ---- */

static const struct {
    mrd_time_ms resolution_ms;
    const char *name;
} kinds[] = {
    {0,                    MRD_UPKEEP_SAMPLES},
    {MRD_ROLLUP_5M_MS,     "samples_5m"      },
    {MRD_ROLLUP_1H_MS,     "samples_1h"      },
    {MRD_ROLLUP_6H_MS,     "samples_6h"      },
    {MRD_ROLLUP_1D_MS,     "samples_1d"      },
    {MRD_UPKEEP_OF_SERIES, MRD_UPKEEP_SERIES },
};

const char *mrd_upkeep_table_name(mrd_time_ms resolution_ms)
{
    for (size_t i = 0; i < MRD_ARRAY_LEN(kinds); i++) {
        if (kinds[i].resolution_ms == resolution_ms) {
            return kinds[i].name;
        }
    }
    return NULL;
}

/* A segment of a key does not begin with a dot, a tenant's name may. No two names have one path. */
static void append_tenant(struct mrd_bytes tenant, struct mrd_buf *out)
{
    const uint8_t first = tenant.size == 0 ? 0 : tenant.data[0];
    if (first == '.' || first == '(') {
        mrd_buf_append_text(out, first == '.' ? "(dot)" : "(par)");
        tenant = (struct mrd_bytes){tenant.data + 1, tenant.size - 1};
    }
    mrd_buf_append_bytes(out, tenant);
}

void mrd_upkeep_table_path(const char *region, struct mrd_bytes tenant, const char *table,
                           struct mrd_buf *out)
{
    mrd_buf_printf(out, "%s/", region);
    append_tenant(tenant, out);
    mrd_buf_printf(out, "/%s", table);
}

/* ---- one table ---- */

/* A version being made. */
struct version {
    const struct mrd_upkeep_tables *tables;
    struct mrd_iceberg_table table;
    const char *current_key; /* NULL: there is none */
    struct mrd_arena *arena;
    struct mrd_error *err;
    const struct mrd_iceberg_metadata *metadata; /* of the current version, or NULL */
    struct mrd_iceberg_contents contents;        /* of its current snapshot, if it has one */
    mrd_time_ms resolution_ms;
    struct mrd_block_schema schema;
    struct mrd_iceberg_table_definition definition;

    struct mrd_iceberg_file *added;
    size_t added_count;
    const char **removed;
    size_t removed_count;
    uint64_t added_rows;
    uint64_t removed_rows;
};

static enum mrd_status text_of(struct mrd_bytes bytes, struct mrd_arena *arena, const char **out,
                               struct mrd_error *err)
{
    *out = (const char *)mrd_arena_copy(arena, bytes).data;
    return *out == NULL ? mrd_arena_fail(arena, err) : MRD_OK;
}

static enum mrd_status begin(struct version *version, const struct mrd_upkeep_tables *tables,
                             struct mrd_bytes tenant, const char *name,
                             struct mrd_bytes current_key)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf path = {0};
    version->tables = tables;
    version->table = (struct mrd_iceberg_table){
        .store = tables->store, .control = tables->control, .root = tables->root};
    mrd_upkeep_table_path(tables->region, tenant, name, &path);
    MRD_TRY(text_of(mrd_buf_view(&path), version->arena, &version->table.path, version->err));
    if (current_key.size == 0) {
        return MRD_OK;
    }
    struct mrd_iceberg_metadata *metadata;
    MRD_TRY(text_of(current_key, version->arena, &version->current_key, version->err));
    MRD_TRY(mrd_iceberg_load(&version->table, version->current_key, version->arena, &metadata,
                             version->err));
    version->metadata = metadata;
    return MRD_OK;
}

/* Columns that a table has had stay: old files have values there. */
static bool is_compact(const struct version *version, const struct mrd_block_entry *const *blocks,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (blocks[i]->compact_layout) {
            return true;
        }
    }
    for (size_t s = 0; version->metadata != NULL && s < version->metadata->schema_count; s++) {
        const struct mrd_iceberg_schema *schema = &version->metadata->schemas[s];
        enum mrd_iceberg_type type;
        if (mrd_iceberg_field_find(schema->fields, schema->field_count, MRD_BLOCK_FIELD_VALUE_I,
                                   &type) != NULL) {
            return true;
        }
    }
    return false;
}

static enum mrd_status define(struct version *version, bool compact)
{
    const bool series = version->resolution_ms == MRD_UPKEEP_OF_SERIES;
    const struct mrd_block_schema_options options = {.level = 1,
                                                     .promoted = mrd_upkeep_promoted,
                                                     .promoted_count = mrd_upkeep_promoted_count,
                                                     .compact = compact,
                                                     .rollup = version->resolution_ms > 0,
                                                     .series = series};
    MRD_TRY(mrd_block_schema_init(&options, &version->schema, version->err));
    if (series) {
        mrd_iceberg_series_table(&version->schema, &version->definition);
    } else if (version->resolution_ms == 0) {
        mrd_iceberg_samples_table(&version->schema, &version->definition);
    } else {
        mrd_iceberg_rollup_table(&version->schema, &version->definition);
    }
    return MRD_OK;
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const struct mrd_iceberg_file *)a)->path,
                  ((const struct mrd_iceberg_file *)b)->path);
}

/* The file of a block that is in the table. */
static struct mrd_bytes key_of(const struct version *version, const struct mrd_block_entry *block)
{
    return version->resolution_ms == MRD_UPKEEP_OF_SERIES ? block->series_file.file.key
                                                          : block->data.key;
}

static int compare_keys(const void *a, const void *b, void *version)
{
    return mrd_bytes_compare(key_of(version, *(const struct mrd_block_entry *const *)a),
                             key_of(version, *(const struct mrd_block_entry *const *)b));
}

static enum mrd_status add(struct version *version, const struct mrd_block_entry *block)
{
    struct mrd_iceberg_file *file = &version->added[version->added_count++];
    const uint32_t of_samples = block->level == 1 ? MRD_ICEBERG_BY_DAY : MRD_ICEBERG_BY_MONTH;
    const uint32_t spec = block->resolution_ms == 0 ? of_samples : MRD_ICEBERG_ROLLUP_WHOLE;
    if (version->resolution_ms == MRD_UPKEEP_OF_SERIES) {
        MRD_TRY(mrd_iceberg_series_of_block(block, spec, version->arena, file, version->err));
    } else {
        MRD_TRY(mrd_iceberg_file_of_block(block, spec, version->arena, file, version->err));
    }
    version->added_rows += file->row_count;
    return MRD_OK;
}

static void remove_file(struct version *version, const struct mrd_iceberg_file *file)
{
    version->removed[version->removed_count++] = file->path;
    version->removed_rows += file->row_count;
}

/* Walks what the table has and what it is to have side by side, both by key. */
static enum mrd_status compare(struct version *version, const struct mrd_iceberg_file *have,
                               size_t have_count, const struct mrd_block_entry *const *want,
                               size_t want_count)
{
    for (size_t h = 0, w = 0; h < have_count || w < want_count;) {
        int order = h == have_count ? 1 : -1;
        if (h < have_count && w < want_count) {
            order = mrd_bytes_compare(mrd_bytes_of(have[h].path), key_of(version, want[w]));
        }
        if (order < 0) {
            remove_file(version, &have[h]);
        } else if (order > 0) {
            MRD_TRY(add(version, want[w]));
        }
        h += order <= 0;
        w += order >= 0;
    }
    return MRD_OK;
}

static bool has_snapshot(const struct version *version)
{
    return version->metadata != NULL && version->metadata->snapshot_id != 0;
}

static enum mrd_status find_difference(struct version *version,
                                       const struct mrd_block_entry *const *blocks, size_t count)
{
    struct mrd_iceberg_contents *have = &version->contents;
    if (has_snapshot(version)) {
        MRD_TRY(mrd_iceberg_contents_load(&version->table, version->metadata,
                                          version->metadata->snapshot_id, version->arena, have,
                                          version->err));
        qsort(have->files, have->file_count, sizeof(*have->files), compare_files);
    }
    const struct mrd_block_entry **want =
        mrd_arena_alloc(version->arena, (count + 1) * sizeof(*want));
    version->added = mrd_arena_alloc(version->arena, (count + 1) * sizeof(*version->added));
    version->removed =
        mrd_arena_alloc(version->arena, (have->file_count + 1) * sizeof(*version->removed));
    if (want == NULL || version->added == NULL || version->removed == NULL) {
        return mrd_arena_fail(version->arena, version->err);
    }
    for (size_t i = 0; i < count; i++) {
        want[i] = blocks[i];
    }
    qsort_r(want, count, sizeof(*want), compare_keys, version);
    return compare(version, have->files, have->file_count, want, count);
}

static enum mrd_iceberg_operation operation_of(const struct version *version)
{
    if (version->removed_count == 0) {
        return version->added_count == 0 ? MRD_ICEBERG_NOTHING : MRD_ICEBERG_APPEND;
    }
    if (version->added_count == 0) {
        return MRD_ICEBERG_DELETE;
    }
    return version->added_rows == version->removed_rows ? MRD_ICEBERG_REPLACE
                                                        : MRD_ICEBERG_OVERWRITE;
}

/* What was made: its key (NULL: nothing) and, if it has no more than text_size_max bytes, its text; in an arena of the caller's. */
struct made {
    struct mrd_arena *arena;
    size_t text_size_max;
    const char *key;
    struct mrd_bytes text;
};

static enum mrd_status make(struct version *version,
                            const struct mrd_iceberg_definition *definition, struct made *out)
{
    const mrd_time_ms now_ms = mrd_clock_now_ms(version->tables->clock);
    struct mrd_iceberg_change change = {
        .time_ms = now_ms,
        .current = version->metadata,
        .contents = version->contents.snapshot_id == 0 ? NULL : &version->contents,
        .definition = definition,
        .operation = operation_of(version),
        .added = version->added,
        .added_count = version->added_count,
        .removed = version->removed,
        .removed_count = version->removed_count,
        .expire_before_ms = MRD_MAX(now_ms - version->tables->keep_ms, (mrd_time_ms)1),
        .leaves_to_sweep = true,
    };
    struct mrd_iceberg_version made;
    out->key = NULL;
    out->text = MRD_BYTES_NONE;
    /* Never fails: a few bytes from an initialised pool (getrandom(2)). */
    mrd_assert(getrandom(change.uuid, sizeof(change.uuid), 0) == (ssize_t)sizeof(change.uuid));
    MRD_TRY(mrd_iceberg_commit(&version->table, version->current_key, &change, version->arena,
                               &made, version->err));
    if (version->current_key != NULL && strcmp(made.key, version->current_key) == 0) {
        return MRD_OK;
    }
    if (made.json.size <= out->text_size_max) {
        out->text = mrd_arena_copy(out->arena, made.json);
        if (out->text.data == NULL) {
            return mrd_arena_fail(out->arena, version->err);
        }
    }
    return text_of(mrd_bytes_of(made.key), out->arena, &out->key, version->err);
}

/* Makes the version of a tenant's table (of samples, resolution 0, of rollups or of series) that has the files of `blocks` (all that it
 * is to have, in any order), and of no others, and forgets old snapshots. `current_key` is what the catalog says; empty: there is none. */
static enum mrd_status make_version(const struct mrd_upkeep_tables *tables, struct mrd_bytes tenant,
                                    mrd_time_ms resolution_ms, struct mrd_bytes current_key,
                                    const struct mrd_block_entry *const *blocks, size_t block_count,
                                    struct made *out, struct mrd_error *err)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *own =
        mrd_arena_create("table", MRD_UPKEEP_TABLE_BYTES_MAX / MRD_MAX(tables->workers, (size_t)1));
    struct version *version = mrd_arena_alloc(own, sizeof(*version));
    if (version == NULL) {
        return mrd_arena_fail(own, err);
    }
    version->arena = own;
    version->err = err;
    version->resolution_ms = resolution_ms;
    MRD_TRY(begin(version, tables, tenant, mrd_upkeep_table_name(resolution_ms), current_key));
    MRD_TRY(define(version, is_compact(version, blocks, block_count)));
    MRD_TRY(find_difference(version, blocks, block_count));
    return make(version, &version->definition.definition, out);
}

/* What the current version is, as a definition: nothing of it is to change. */
static struct mrd_iceberg_definition same(const struct mrd_iceberg_metadata *metadata)
{
    const struct mrd_iceberg_schema *schema =
        mrd_iceberg_schema_find(metadata, metadata->schema_id);
    return (struct mrd_iceberg_definition){
        .fields = schema->fields,
        .field_count = schema->field_count,
        .specs = metadata->specs,
        .spec_count = metadata->spec_count,
        .sort = metadata->sort,
        .sort_count = metadata->sort_count,
        .properties = metadata->properties,
        .property_count = metadata->property_count,
    };
}

enum mrd_status mrd_upkeep_table_expire(const struct mrd_upkeep_tables *tables,
                                        const struct mrd_catalog_table *table,
                                        struct mrd_arena *arena, const char **out_key,
                                        struct mrd_error *err)
{
    mrd_auto(mrd_arena_destroy)
    struct mrd_arena *own = mrd_arena_create("table", MRD_UPKEEP_TABLE_BYTES_MAX);
    struct version *version = mrd_arena_alloc(own, sizeof(*version));
    const char *name;
    if (version == NULL) {
        return mrd_arena_fail(own, err);
    }
    version->arena = own;
    version->err = err;
    MRD_TRY(text_of(table->name, own, &name, err));
    MRD_TRY(begin(version, tables, table->tenant, name, table->metadata_key));
    const struct mrd_iceberg_definition definition = same(version->metadata);
    struct made made = {.arena = arena};
    MRD_TRY(make(version, &definition, &made));
    *out_key = made.key;
    return MRD_OK;
}

/* ---- the tables of a change ---- */

/* A change in an order in which it can be looked up, and the blocks that the tenant at hand is to have, over all classes. */
struct wanted {
    struct mrd_bytes *removed; /* ids, sorted */
    size_t removed_count;
    const struct mrd_block_entry **added; /* by tenant */
    size_t added_count;
    struct mrd_bytes tenant;
    struct mrd_buf blocks; /* const struct mrd_block_entry *, of samples, levels 1 and up */
    struct mrd_buf late;   /* struct mrd_bytes: ids of those that are left out, sorted */
    struct mrd_buf rollups;
    struct mrd_buf kind; /* those of the table at hand */
};

static int compare_names(const void *a, const void *b)
{
    return mrd_bytes_compare(*(const struct mrd_bytes *)a, *(const struct mrd_bytes *)b);
}

static int compare_tenants(const void *a, const void *b)
{
    const struct mrd_bytes x = mrd_upkeep_tenant_of(*(const struct mrd_block_entry *const *)a);
    const struct mrd_bytes y = mrd_upkeep_tenant_of(*(const struct mrd_block_entry *const *)b);
    return mrd_bytes_compare(x, y);
}

static void wanted_init(struct wanted *wanted, const struct mrd_upkeep_blocks_change *change)
{
    *wanted = (struct wanted){
        .removed = calloc(change->remove_count + 1, sizeof(*wanted->removed)),
        .added = calloc(change->add_count + 1, sizeof(*wanted->added)),
        .removed_count = change->remove_count,
    };
    mrd_assert(wanted->removed != NULL && wanted->added != NULL);
    for (size_t i = 0; i < change->remove_count; i++) {
        wanted->removed[i] = change->remove[i];
    }
    for (size_t i = 0; i < change->add_count; i++) {
        if (change->add[i].level > 0) {
            wanted->added[wanted->added_count++] = &change->add[i];
        }
    }
    qsort(wanted->removed, wanted->removed_count, sizeof(*wanted->removed), compare_names);
    qsort(wanted->added, wanted->added_count, sizeof(*wanted->added), compare_tenants);
}

static void wanted_fini(struct wanted *wanted)
{
    free(wanted->removed);
    free(wanted->added);
    mrd_buf_fini(&wanted->blocks);
    mrd_buf_fini(&wanted->late);
    mrd_buf_fini(&wanted->rollups);
    mrd_buf_fini(&wanted->kind);
}

static bool is_removed(const struct wanted *wanted, struct mrd_bytes id)
{
    return bsearch(&id, wanted->removed, wanted->removed_count, sizeof(id), compare_names) != NULL;
}

/* Where the added blocks of the tenant begin. */
static size_t first_added(const struct wanted *wanted)
{
    size_t low = 0;
    size_t high = wanted->added_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (mrd_bytes_compare(mrd_upkeep_tenant_of(wanted->added[middle]), wanted->tenant) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void want(struct wanted *wanted, const struct mrd_block_entry *block)
{
    mrd_buf_append(block->resolution_ms == 0 ? &wanted->blocks : &wanted->rollups,
                   (const void *)&block, sizeof(block));
}

static const struct mrd_block_entry **blocks_of(const struct wanted *wanted)
{
    return (const struct mrd_block_entry **)(void *)wanted->blocks.data;
}

static size_t count_of(const struct wanted *wanted)
{
    return wanted->blocks.size / sizeof(const struct mrd_block_entry *);
}

/* By class and month, files of months first. */
static int compare_months(const void *a, const void *b)
{
    const struct mrd_block_entry *x = *(const struct mrd_block_entry *const *)a;
    const struct mrd_block_entry *y = *(const struct mrd_block_entry *const *)b;
    const mrd_time_ms x_ms = mrd_merge_period_of(MRD_MERGE_MONTH, x->counts.min_ms).first_ms;
    const mrd_time_ms y_ms = mrd_merge_period_of(MRD_MERGE_MONTH, y->counts.min_ms).first_ms;
    const int order = mrd_bytes_compare(x->origin.residency_class, y->origin.residency_class);
    if (order != 0) {
        return order;
    }
    if (x_ms != y_ms) {
        return x_ms < y_ms ? -1 : 1;
    }
    return (x->level < y->level) - (x->level > y->level);
}

/* Leaves out files of days in months that have files of their own. */
static void drop_late(struct wanted *wanted)
{
    const struct mrd_block_entry **blocks = blocks_of(wanted);
    const size_t count = count_of(wanted);
    const struct mrd_block_entry *month = NULL; /* a file of the latest month that has one */
    size_t kept = 0;
    if (count > 0) {
        qsort(blocks, count, sizeof(*blocks), compare_months);
    }
    for (size_t i = 0; i < count; i++) {
        if (blocks[i]->level > 1) {
            month = blocks[i];
        }
        const bool is_late =
            blocks[i]->level == 1 && month != NULL &&
            mrd_bytes_equal(month->origin.residency_class, blocks[i]->origin.residency_class) &&
            mrd_merge_period_of(MRD_MERGE_MONTH, month->counts.min_ms).first_ms ==
                mrd_merge_period_of(MRD_MERGE_MONTH, blocks[i]->counts.min_ms).first_ms;
        if (is_late) {
            mrd_buf_append(&wanted->late, &blocks[i]->id, sizeof(blocks[i]->id));
        } else {
            blocks[kept++] = blocks[i];
        }
    }
    wanted->blocks.size = kept * sizeof(*blocks);
    if (wanted->late.size > 0) {
        qsort(wanted->late.data, wanted->late.size / sizeof(struct mrd_bytes),
              sizeof(struct mrd_bytes), compare_names);
    }
}

/* Whether a rollup stands for a file that is left out. */
static bool is_of_late(const struct wanted *wanted, const struct mrd_block_entry *rollup)
{
    for (size_t i = 0; wanted->late.size > 0 && i < rollup->origin.parent_count; i++) {
        if (bsearch(&rollup->origin.parents[i], wanted->late.data,
                    wanted->late.size / sizeof(struct mrd_bytes), sizeof(struct mrd_bytes),
                    compare_names) != NULL) {
            return true;
        }
    }
    return false;
}

/* Whether a block that is not late has a file of the table. Blocks that were written before there were files of series have none. */
static bool is_of_kind(const struct mrd_block_entry *block, mrd_time_ms resolution_ms)
{
    return resolution_ms == MRD_UPKEEP_OF_SERIES ? block->series_file.file.key.size > 0
                                                 : block->resolution_ms == resolution_ms;
}

/* What the table of a kind is to have. */
static void choose_kind(struct wanted *wanted, mrd_time_ms resolution_ms)
{
    const struct mrd_buf *from = resolution_ms > 0 ? &wanted->rollups : &wanted->blocks;
    const struct mrd_block_entry *const *blocks = (const void *)from->data;
    mrd_buf_clear(&wanted->kind);
    for (size_t i = 0; i < from->size / sizeof(*blocks); i++) {
        if (is_of_kind(blocks[i], resolution_ms) && !is_of_late(wanted, blocks[i])) {
            mrd_buf_append(&wanted->kind, (const void *)&blocks[i], sizeof(blocks[i]));
        }
    }
}

/* Each class' blocks of a tenant are one run of the index. */
static void collect_span(struct wanted *wanted, struct mrd_upkeep_span span)
{
    for (size_t i = 0; i < span.count; i++) {
        if (!is_removed(wanted, span.blocks[i]->id)) {
            want(wanted, span.blocks[i]);
        }
    }
}

static void collect(struct wanted *wanted, const struct mrd_upkeep_index *index)
{
    mrd_buf_clear(&wanted->blocks);
    mrd_buf_clear(&wanted->late);
    mrd_buf_clear(&wanted->rollups);
    struct mrd_bytes class = MRD_BYTES_NONE;
    while (mrd_upkeep_index_next_class(index, &class)) {
        for (unsigned level = 1; level <= MRD_BLOCK_LEVEL_MAX; level++) {
            collect_span(wanted, mrd_upkeep_index_find(index, class, wanted->tenant, level));
            collect_span(wanted, mrd_upkeep_index_rollups(index, class, wanted->tenant, level));
        }
    }
    for (size_t i = first_added(wanted); i < wanted->added_count; i++) {
        if (!mrd_bytes_equal(mrd_upkeep_tenant_of(wanted->added[i]), wanted->tenant)) {
            break;
        }
        want(wanted, wanted->added[i]);
    }
    drop_late(wanted);
}

/* The tenants of what comes and goes, each once. */
static void list_tenants(struct mrd_catalog_state *state,
                         const struct mrd_upkeep_blocks_change *change, struct mrd_buf *out)
{
    for (size_t i = 0; i < change->add_count + change->remove_count; i++) {
        const struct mrd_block_entry *block =
            i < change->add_count ? &change->add[i]
                                  : mrd_catalog_find(state, change->remove[i - change->add_count]);
        const struct mrd_bytes tenant =
            block == NULL || block->level == 0 ? MRD_BYTES_NONE : mrd_upkeep_tenant_of(block);
        if (tenant.size > 0) {
            mrd_buf_append(out, &tenant, sizeof(tenant));
        }
    }
    struct mrd_bytes *names = (void *)out->data;
    const size_t count = out->size / sizeof(*names);
    size_t kept = 0;
    if (count > 0) {
        qsort(names, count, sizeof(*names), compare_names);
    }
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !mrd_bytes_equal(names[kept - 1], names[i])) {
            names[kept++] = names[i];
        }
    }
    out->size = kept * sizeof(*names);
}

/* What one worker makes, and of what. */
struct maker {
    struct wanted wanted;
    struct mrd_arena *arena; /* of what is kept */
    size_t text_bytes_left;
};

/* A table that has changed. */
struct changed {
    struct mrd_catalog_table_change table;
    struct mrd_bytes text;
};

/* Appends the change of one table, if there is any. */
static enum mrd_status change_table(const struct mrd_upkeep_tables *tables,
                                    struct mrd_catalog_state *state, struct maker *maker,
                                    mrd_time_ms resolution_ms, struct mrd_buf *changes,
                                    struct mrd_error *err)
{
    struct wanted *wanted = &maker->wanted;
    const struct mrd_bytes name = mrd_bytes_of(mrd_upkeep_table_name(resolution_ms));
    const struct mrd_bytes current = mrd_catalog_table(state, wanted->tenant, name);
    choose_kind(wanted, resolution_ms);
    if (current.size == 0 && wanted->kind.size == 0) {
        return MRD_OK;
    }
    struct made made = {.arena = maker->arena,
                        .text_size_max = MRD_MIN(maker->text_bytes_left, (size_t)TEXT_SIZE_MAX)};
    MRD_TRY(mrd_objstore_check(tables->control, err));
    MRD_TRY(make_version(tables, wanted->tenant, resolution_ms, current,
                         (const void *)wanted->kind.data,
                         wanted->kind.size / sizeof(const struct mrd_block_entry *), &made, err));
    if (made.key == NULL) {
        return MRD_OK;
    }
    const struct changed change = {
        .table = {.tenant = mrd_arena_copy(maker->arena, wanted->tenant),
                  .name = name,
                  .from_key = mrd_arena_copy(maker->arena, current),
                  .to_key = mrd_bytes_of(made.key)},
        .text = made.text
    };
    maker->text_bytes_left -= made.text.size;
    mrd_buf_append(changes, &change, sizeof(change));
    return change.table.tenant.data == NULL || change.table.from_key.data == NULL
               ? mrd_arena_fail(maker->arena, err)
               : MRD_OK;
}

static enum mrd_status change_tenant(const struct mrd_upkeep_tables *tables,
                                     struct mrd_catalog_state *state,
                                     const struct mrd_upkeep_index *index, struct maker *maker,
                                     struct mrd_buf *changes, struct mrd_error *err)
{
    collect(&maker->wanted, index);
    for (size_t i = 0; i < MRD_ARRAY_LEN(kinds); i++) {
        MRD_TRY(change_table(tables, state, maker, kinds[i].resolution_ms, changes, err));
    }
    return MRD_OK;
}

/* ---- by several workers ---- */

enum { RUN_TENANTS_MAX = 16 }; /* that one worker does in a row */

struct making {
    const struct mrd_upkeep_tables *tables; /* of each worker, by its share of the memory */
    struct mrd_catalog_state *state;
    const struct mrd_upkeep_index *index;
    const struct mrd_bytes *names; /* of the tenants */
    size_t name_count;
    struct maker *makers;
    size_t run_tenants;
    size_t run_count;
    struct mrd_buf *changes; /* of each run */
};

static enum mrd_status make_run(void *context, size_t worker, size_t run, struct mrd_error *err)
{
    struct making *making = context;
    struct maker *maker = &making->makers[worker];
    const size_t end = MRD_MIN((run + 1) * making->run_tenants, making->name_count);
    for (size_t i = run * making->run_tenants; i < end; i++) {
        maker->wanted.tenant = making->names[i];
        MRD_TRY(change_tenant(making->tables, making->state, making->index, maker,
                              &making->changes[run], err));
    }
    return MRD_OK;
}

static enum mrd_status join_makers(const struct making *making, size_t workers,
                                   struct mrd_arena *arena, struct mrd_upkeep_tables_changed *out,
                                   struct mrd_error *err)
{
    size_t total = 0, count = 0;
    for (size_t i = 0; i < making->run_count; i++) {
        total += making->changes[i].size / sizeof(struct changed);
    }
    for (size_t i = 0; i < workers; i++) {
        if (!mrd_arena_join(arena, &making->makers[i].arena)) {
            return mrd_arena_fail(arena, err);
        }
    }
    struct mrd_catalog_table_change *tables =
        mrd_arena_alloc_array(arena, total + 1, sizeof(*tables));
    struct mrd_bytes *texts = mrd_arena_alloc_array(arena, total + 1, sizeof(*texts));
    if (tables == NULL || texts == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t i = 0; i < making->run_count; i++) {
        const struct changed *changes = (const void *)making->changes[i].data;
        for (size_t k = 0; k < making->changes[i].size / sizeof(*changes); k++, count++) {
            tables[count] = changes[k].table;
            texts[count] = changes[k].text;
        }
    }
    *out = (struct mrd_upkeep_tables_changed){tables, texts, total};
    return MRD_OK;
}

static enum mrd_status make_all(struct making *making, size_t workers,
                                const struct mrd_upkeep_blocks_change *change,
                                struct mrd_arena *arena, struct mrd_upkeep_tables_changed *out,
                                struct mrd_error *err)
{
    struct mrd_upkeep_tables tables = *making->tables;
    struct making all = *making;
    struct mrd_objstore *files = mrd_batch_store_create(making->tables->store);
    tables.workers = workers; /* by which each knows its share */
    tables.store = files;
    all.tables = &tables;
    all.run_tenants =
        MRD_MIN(MRD_MAX(all.name_count / 4 / workers, (size_t)1), (size_t)RUN_TENANTS_MAX);
    all.run_count = (all.name_count + all.run_tenants - 1) / all.run_tenants;
    all.changes = calloc(all.run_count + 1, sizeof(*all.changes));
    all.makers = calloc(workers, sizeof(*all.makers));
    mrd_assert(all.changes != NULL && all.makers != NULL);
    for (size_t i = 0; i < workers; i++) {
        wanted_init(&all.makers[i].wanted, change);
        all.makers[i].arena = mrd_arena_create("changes of tables", mrd_arena_limit(arena));
        all.makers[i].text_bytes_left = MRD_UPKEEP_TEXT_BYTES_MAX / workers;
    }
    const struct mrd_parallel parallel = {.name = "tables",
                                          .workers = workers,
                                          .pieces = all.run_count,
                                          .piece = make_run,
                                          .context = &all};
    enum mrd_status status = mrd_parallel_run(&parallel, err);
    if (status == MRD_OK) {
        status = mrd_batch_store_flush(files, tables.control, err);
    }
    if (status == MRD_OK) {
        status = join_makers(&all, workers, arena, out, err);
    }
    for (size_t i = 0; i < workers; i++) {
        wanted_fini(&all.makers[i].wanted);
        mrd_arena_destroy(&all.makers[i].arena);
    }
    for (size_t i = 0; i < all.run_count; i++) {
        mrd_buf_fini(&all.changes[i]);
    }
    free(all.changes);
    free(all.makers);
    mrd_objstore_close(&files);
    return status;
}

enum mrd_status
mrd_upkeep_tables_change(const struct mrd_upkeep_tables *tables, struct mrd_catalog_state *state,
                         const struct mrd_upkeep_index *index,
                         const struct mrd_upkeep_blocks_change *change, struct mrd_arena *arena,
                         struct mrd_upkeep_tables_changed *out, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf tenants = {0};
    list_tenants(state, change, &tenants);
    struct making making = {.tables = tables,
                            .state = state,
                            .index = index,
                            .names = (const void *)tenants.data,
                            .name_count = tenants.size / sizeof(struct mrd_bytes)};
    const size_t workers = MRD_MAX(MRD_MIN(tables->workers, making.name_count), (size_t)1);
    enum mrd_status status = make_all(&making, workers, change, arena, out, err);
    if (status == MRD_E_LIMIT && workers > 1) {
        status = make_all(&making, 1, change, arena, out, err);
    }
    return status;
}

/* ---- publishing ---- */

enum publishing_step { STEP_COPY, STEP_HINT, STEP_BOTH };

struct publishing {
    const struct mrd_upkeep_tables *tables;
    const struct mrd_upkeep_tables_changed *changed;
    struct mrd_objstore *store;
    enum publishing_step step;
};

static enum mrd_status publish_one(void *context, size_t worker, size_t index,
                                   struct mrd_error *err)
{
    const struct publishing *publishing = context;
    const struct mrd_upkeep_tables *tables = publishing->tables;
    const struct mrd_catalog_table_change *change = &publishing->changed->tables[index];
    const struct mrd_bytes text = publishing->changed->texts[index];
    mrd_auto(mrd_buf_fini)
    struct mrd_buf path = {0};
    (void)worker;
    mrd_upkeep_table_path(tables->region, change->tenant, (const char *)change->name.data,
                          &path); /* a name of ours, with its NUL */
    mrd_buf_append_u8(&path, 0);
    const struct mrd_iceberg_table table = {.store = publishing->store,
                                            .control = tables->control,
                                            .root = tables->root,
                                            .path = (const char *)path.data};
    char key[MRD_OBJSTORE_KEY_SIZE_MAX + 1];
    (void)snprintf(key, sizeof(key), "%.*s", MRD_FMT(change->to_key));
    switch (publishing->step) {
    case STEP_COPY:
        return mrd_iceberg_publish_copy(&table, key, text, err);
    case STEP_HINT:
        return mrd_iceberg_publish_hint(&table, key, err);
    case STEP_BOTH:
    default:
        return mrd_iceberg_publish(&table, key, text, err);
    }
}

static enum mrd_status publish_all(struct publishing *publishing, enum publishing_step step,
                                   struct mrd_error *err)
{
    const struct mrd_parallel parallel = {.name = "tables",
                                          .workers = publishing->tables->workers,
                                          .pieces = publishing->changed->count,
                                          .piece = publish_one,
                                          .context = publishing};
    publishing->step = step;
    return mrd_parallel_run(&parallel, err);
}

/* All copies, and when they are durable the hints. */
static enum mrd_status publish_together(struct publishing *publishing, struct mrd_error *err)
{
    const struct mrd_objstore_control *control = publishing->tables->control;
    MRD_TRY(publish_all(publishing, STEP_COPY, err));
    MRD_TRY(mrd_batch_store_flush(publishing->store, control, err));
    MRD_TRY(publish_all(publishing, STEP_HINT, err));
    return mrd_batch_store_flush(publishing->store, control, err);
}

enum mrd_status mrd_upkeep_tables_publish(const struct mrd_upkeep_tables *tables,
                                          const struct mrd_upkeep_tables_changed *changed,
                                          struct mrd_error *err)
{
    mrd_auto(mrd_objstore_close)
    struct mrd_objstore *files = mrd_batch_store_create(tables->store);
    struct publishing publishing = {.tables = tables, .changed = changed, .store = files};
    const enum mrd_status status = publish_together(&publishing, err);
    if (status != MRD_E_CONFLICT) {
        return status;
    }
    publishing.store =
        tables->store; /* somebody else's file lies where a copy is to be: that is one table's */
    return publish_all(&publishing, STEP_BOTH, err);
}
