/* What a table is to be, against what it is: copies of the definition, with the rules of definition.h. */
#include "iceberg/commit_internal.h"

#include <inttypes.h>

/* ---- copies ---- */

static const char *copy_text(struct mrd_arena *arena, const char *text, bool *full)
{
    if (text == NULL) {
        return NULL;
    }
    const char *copy = (const char *)mrd_arena_copy(arena, mrd_bytes_of(text)).data;
    *full |= copy == NULL;
    return copy;
}

static void *copy_items(struct mrd_arena *arena, const void *items, size_t count, size_t size,
                        bool *full)
{
    void *copy = mrd_arena_alloc(arena, MRD_MAX(count, (size_t)1) * size); /* counts are bounded */
    *full |= copy == NULL;
    if (copy != NULL && count > 0) {
        memcpy(copy, items, count * size);
    }
    return copy;
}

static const struct mrd_iceberg_field *
copy_fields(struct mrd_arena *arena, const struct mrd_iceberg_definition *from, bool *full)
{
    struct mrd_iceberg_field *fields =
        copy_items(arena, from->fields, from->field_count, sizeof(*fields), full);
    for (size_t i = 0; fields != NULL && i < from->field_count; i++) {
        fields[i].name = copy_text(arena, from->fields[i].name, full);
        fields[i].doc = copy_text(arena, from->fields[i].doc, full);
        if (fields[i].type != MRD_ICEBERG_STRING_MAP) { /* what means nothing is nothing */
            fields[i].key_id = fields[i].value_id = 0;
            fields[i].value_required = false;
        }
    }
    return fields;
}

static const struct mrd_iceberg_spec *
copy_specs(struct mrd_arena *arena, const struct mrd_iceberg_definition *from, bool *full)
{
    struct mrd_iceberg_spec *specs =
        copy_items(arena, from->specs, from->spec_count, sizeof(*specs), full);
    for (size_t i = 0; specs != NULL && i < from->spec_count; i++) {
        for (size_t j = 0; j < specs[i].field_count; j++) {
            specs[i].fields[j].name = copy_text(arena, from->specs[i].fields[j].name, full);
        }
    }
    return specs;
}

static const struct mrd_iceberg_property *copy_properties(struct mrd_arena *arena,
                                                          const struct mrd_iceberg_property *from,
                                                          size_t count, bool *full)
{
    struct mrd_iceberg_property *items = copy_items(arena, from, count, sizeof(*items), full);
    for (size_t i = 0; items != NULL && i < count; i++) {
        items[i].key = copy_text(arena, from[i].key, full);
        items[i].value = copy_text(arena, from[i].value, full);
    }
    return items;
}

/* ---- comparison ---- */

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_column(const struct mrd_iceberg_field *a, const struct mrd_iceberg_field *b)
{
    return a->id == b->id && strcmp(a->name, b->name) == 0 && a->type == b->type &&
           (a->type != MRD_ICEBERG_STRING_MAP ||
            (a->key_id == b->key_id && a->value_id == b->value_id &&
             a->value_required == b->value_required));
}

static bool same_schema(const struct mrd_iceberg_schema *schema,
                        const struct mrd_iceberg_definition *definition)
{
    bool same = schema->field_count == definition->field_count;
    for (size_t i = 0; same && i < schema->field_count; i++) {
        const struct mrd_iceberg_field *a = &schema->fields[i], *b = &definition->fields[i];
        same = same_column(a, b) && a->required == b->required && same_text(a->doc, b->doc);
    }
    return same;
}

static bool same_properties(const struct mrd_iceberg_metadata *metadata,
                            const struct mrd_iceberg_definition *definition)
{
    bool same = metadata->property_count == definition->property_count;
    for (size_t i = 0; same && i < metadata->property_count; i++) {
        same = strcmp(metadata->properties[i].key, definition->properties[i].key) == 0 &&
               strcmp(metadata->properties[i].value, definition->properties[i].value) == 0;
    }
    return same;
}

/* ---- schemas ---- */

/* A column of the definition against whatever has had its ids in any schema. */
static enum mrd_status check_column(const struct mrd_iceberg_metadata *current,
                                    const struct mrd_iceberg_field *field, struct mrd_error *err)
{
    const int32_t ids[] = {field->id, field->key_id, field->value_id};
    const size_t id_count = field->type == MRD_ICEBERG_STRING_MAP ? 3 : 1;
    bool had = false;
    for (size_t i = 0; i < current->schema_count; i++) {
        const struct mrd_iceberg_schema *schema = &current->schemas[i];
        for (size_t j = 0; j < id_count; j++) {
            enum mrd_iceberg_type type;
            const struct mrd_iceberg_field *before =
                mrd_iceberg_field_find(schema->fields, schema->field_count, ids[j], &type);
            if (before == NULL) {
                continue;
            }
            had = true;
            if (!same_column(before, field) || (field->required && !before->required)) {
                return mrd_fail(err, MRD_E_INVALID,
                                "column \"%.100s\" cannot have id %" PRId32
                                ": it is that of \"%.100s\", which keeps name and type",
                                field->name, ids[j], before->name);
            }
        }
    }
    if (!had && field->required) {
        return mrd_fail(err, MRD_E_INVALID,
                        "column \"%.100s\" is new and required, but there are files without it",
                        field->name);
    }
    return MRD_OK;
}

static enum mrd_status add_schema(struct ice_commit *commit)
{
    const struct mrd_iceberg_definition *definition = commit->change->definition;
    struct mrd_iceberg_metadata *next = commit->next;
    if (next->schema_count == MRD_ICEBERG_SCHEMAS_MAX) {
        return mrd_fail(
            commit->err, MRD_E_LIMIT,
            "the columns of the table have changed %d times; that is as often as it can",
            MRD_ICEBERG_SCHEMAS_MAX);
    }
    bool full = false;
    struct mrd_iceberg_schema *schemas =
        mrd_arena_alloc(commit->arena, (next->schema_count + 1) * sizeof(*schemas));
    const struct mrd_iceberg_field *fields = copy_fields(commit->arena, definition, &full);
    if (schemas == NULL || full) {
        return mrd_arena_fail(commit->arena, commit->err);
    }
    if (next->schema_count > 0) {
        memcpy(schemas, next->schemas, next->schema_count * sizeof(*schemas));
    }
    int32_t id = 0;
    for (size_t i = 0; i < next->schema_count; i++) {
        id = MRD_MAX(id, schemas[i].id + 1);
    }
    schemas[next->schema_count] = (struct mrd_iceberg_schema){id, fields, definition->field_count};
    for (size_t i = 0; i < definition->field_count; i++) {
        const int32_t inner = MRD_MAX(fields[i].key_id, fields[i].value_id);
        next->last_column_id = MRD_MAX(next->last_column_id, fields[i].id);
        next->last_column_id = MRD_MAX(next->last_column_id, inner);
    }
    next->schemas = schemas;
    next->schema_count++;
    next->schema_id = id;
    return MRD_OK;
}

static enum mrd_status evolve_schema(struct ice_commit *commit, bool *out_changed)
{
    const struct mrd_iceberg_definition *definition = commit->change->definition;
    const struct mrd_iceberg_metadata *current = commit->current;
    for (size_t i = 0; current != NULL && i < current->schema_count; i++) {
        if (same_schema(&current->schemas[i], definition)) { /* this one, or an earlier one again */
            *out_changed |= current->schemas[i].id != current->schema_id;
            commit->next->schema_id = current->schemas[i].id;
            return MRD_OK;
        }
    }
    for (size_t i = 0; current != NULL && i < definition->field_count; i++) {
        MRD_TRY(check_column(current, &definition->fields[i], commit->err));
    }
    *out_changed = true;
    return add_schema(commit);
}

/* ---- the rest ---- */

static enum mrd_status evolve_specs(struct ice_commit *commit, bool *out_changed)
{
    const struct mrd_iceberg_definition *definition = commit->change->definition;
    const size_t had = commit->current == NULL ? 0 : commit->current->spec_count;
    bool same = definition->spec_count >= had;
    for (size_t i = 0; same && i < had; i++) {
        same = mrd_iceberg_spec_equal(&commit->current->specs[i], &definition->specs[i]);
    }
    if (!same) {
        return mrd_fail(
            commit->err, MRD_E_INVALID,
            "a partition spec of the table is changed or missing: new ones come behind");
    }
    if (definition->spec_count == had) {
        return MRD_OK;
    }
    bool full = false;
    commit->next->specs = copy_specs(commit->arena, definition, &full);
    commit->next->spec_count = definition->spec_count;
    int32_t last = MRD_ICEBERG_PARTITION_ID_FIRST - 1;
    for (size_t i = 0; i < definition->spec_count; i++) {
        last += (int32_t)definition->specs[i].field_count;
    }
    commit->next->last_partition_id = last;
    *out_changed = true;
    return full ? mrd_arena_fail(commit->arena, commit->err) : MRD_OK;
}

static enum mrd_status evolve_sort(struct ice_commit *commit)
{
    const struct mrd_iceberg_definition *definition = commit->change->definition;
    const struct mrd_iceberg_metadata *current = commit->current;
    if (current == NULL) {
        bool full = false;
        commit->next->sort = copy_items(commit->arena, definition->sort, definition->sort_count,
                                        sizeof(*definition->sort), &full);
        commit->next->sort_count = definition->sort_count;
        return full ? mrd_arena_fail(commit->arena, commit->err) : MRD_OK;
    }
    bool same = current->sort_count == definition->sort_count;
    for (size_t i = 0; same && i < current->sort_count; i++) {
        const struct mrd_iceberg_sort_field *a = &current->sort[i], *b = &definition->sort[i];
        same = a->source_id == b->source_id && a->descending == b->descending &&
               a->nulls_last == b->nulls_last;
    }
    return same ? MRD_OK
                : mrd_fail(commit->err, MRD_E_INVALID, "the sort order of a table cannot change");
}

enum mrd_status ice_evolve(struct ice_commit *commit, bool *out_changed)
{
    const struct mrd_iceberg_definition *definition = commit->change->definition;
    MRD_TRY(evolve_schema(commit, out_changed));
    MRD_TRY(evolve_specs(commit, out_changed));
    MRD_TRY(evolve_sort(commit));
    if (commit->current != NULL && same_properties(commit->current, definition)) {
        return MRD_OK;
    }
    bool full = false;
    commit->next->properties =
        copy_properties(commit->arena, definition->properties, definition->property_count, &full);
    commit->next->property_count = definition->property_count;
    *out_changed = true;
    return full ? mrd_arena_fail(commit->arena, commit->err) : MRD_OK;
}
