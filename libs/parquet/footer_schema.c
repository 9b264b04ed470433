#include "parquet/footer_internal.h"

enum { REQUIRED = 0, OPTIONAL = 1, REPEATED = 2 };
enum { SCHEMA_DEPTH_MAX = 32, PATH_SIZE_MAX = 4096 };

/* A SchemaElement as it is in the file. */
struct element {
    bool has_type;
    int32_t type;
    int32_t type_length;
    int32_t repetition;
    struct mrd_bytes name;
    int32_t children;
    int32_t converted; /* -1: none */
    int32_t field_id;  /* -1: none */
    int16_t logical;   /* member of the union; 0: none */
    bool utc;
    int16_t unit; /* of time: 1 ms, 2 us, 3 ns */
};

static void read_time(struct mrd_thrift_reader *r, struct element *element)
{
    struct mrd_thrift_field field = {0};
    while (mrd_thrift_next(r, &field)) {
        if (field.id == 1) {
            element->utc = mrd_thrift_get_bool(r, &field);
        } else if (field.id == 2) {
            mrd_thrift_enter_field(r, &field);
            struct mrd_thrift_field unit = {0};
            while (mrd_thrift_next(r, &unit)) {
                element->unit = unit.id;
                mrd_thrift_skip(r, &unit);
            }
            mrd_thrift_leave(r);
        } else {
            mrd_thrift_skip(r, &field);
        }
    }
}

static void read_logical(struct mrd_thrift_reader *r, struct element *element)
{
    enum { TIMESTAMP = 8 };
    struct mrd_thrift_field field = {0};
    while (mrd_thrift_next(r, &field)) {
        element->logical = field.id;
        if (field.id == TIMESTAMP) {
            mrd_thrift_enter_field(r, &field);
            read_time(r, element);
            mrd_thrift_leave(r);
        } else {
            mrd_thrift_skip(r, &field);
        }
    }
}

static struct element read_element(struct mrd_thrift_reader *r)
{
    struct element element = {.converted = -1, .field_id = -1};
    int32_t *const numbers[] = {
        [1] = &element.type,     [2] = &element.type_length, [3] = &element.repetition,
        [5] = &element.children, [6] = &element.converted,   [9] = &element.field_id,
    };
    struct mrd_thrift_field field = {0};
    mrd_thrift_enter(r);
    while (mrd_thrift_next(r, &field)) {
        if (field.id == 4) {
            element.name = mrd_thrift_get_binary(r, &field);
        } else if (field.id == 10) {
            mrd_thrift_enter_field(r, &field);
            read_logical(r, &element);
            mrd_thrift_leave(r);
        } else if (field.id >= 1 && (size_t)field.id < MRD_ARRAY_LEN(numbers) &&
                   numbers[field.id] != NULL) {
            *numbers[field.id] = mrd_thrift_get_i32(r, &field);
            element.has_type = element.has_type || field.id == 1;
        } else {
            mrd_thrift_skip(r, &field);
        }
    }
    mrd_thrift_leave(r);
    return element;
}

static enum mrd_pq_meaning meaning_of(const struct element *element)
{
    enum {
        UTF8 = 0,
        ENUM = 4,
        TIMESTAMP_MS = 9,
        TIMESTAMP_US = 10,
        INT_32 = 17,
        INT_64 = 18,
        JSON = 19
    };
    enum { L_STRING = 1, L_ENUM = 4, L_TIMESTAMP = 8, L_JSON = 12 };
    static const enum mrd_pq_meaning units[] = {MRD_PQ_OTHER, MRD_PQ_TIMESTAMP_MS,
                                                MRD_PQ_TIMESTAMP_US, MRD_PQ_TIMESTAMP_NS};
    const bool bytes = element->type == MRD_PQ_BYTE_ARRAY;
    if (element->logical == L_TIMESTAMP && element->type == MRD_PQ_INT64) {
        const bool known = element->utc && element->unit >= 1 && element->unit <= 3;
        return known ? units[element->unit] : MRD_PQ_OTHER;
    }
    if (bytes && (element->logical == L_STRING || element->logical == L_ENUM ||
                  element->logical == L_JSON)) {
        return MRD_PQ_STRING;
    }
    if (element->logical != 0) {
        return MRD_PQ_OTHER;
    }
    switch (element->converted) {
    case -1:
        return MRD_PQ_RAW;
    case UTF8:
    case ENUM:
    case JSON:
        return bytes ? MRD_PQ_STRING : MRD_PQ_OTHER;
    case TIMESTAMP_MS:
        return element->type == MRD_PQ_INT64 ? MRD_PQ_TIMESTAMP_MS : MRD_PQ_OTHER;
    case TIMESTAMP_US:
        return element->type == MRD_PQ_INT64 ? MRD_PQ_TIMESTAMP_US : MRD_PQ_OTHER;
    case INT_32:
    case INT_64:
        return MRD_PQ_RAW;
    default:
        return MRD_PQ_OTHER;
    }
}

/* One open group of the tree. */
struct level {
    int32_t children_left;
    size_t path_size;
    unsigned def;
    unsigned rep;
};

struct walk {
    struct level levels[SCHEMA_DEPTH_MAX];
    size_t depth;
    uint8_t path[PATH_SIZE_MAX];
};

static enum mrd_status add_leaf(struct pq_footer_reader *in, const struct walk *walk,
                                const struct element *element, const struct level *here,
                                struct mrd_pq_footer *footer)
{
    if (element->type < 0 || element->type >= MRD_PQ_TYPE_COUNT ||
        (element->type == MRD_PQ_FIXED && element->type_length <= 0)) {
        return pq_corrupt(in, "a leaf of the schema has no type");
    }
    if (here->def > MRD_PQ_LEVEL_MAX || here->rep > MRD_PQ_LEVEL_MAX) {
        return mrd_fail(in->err, MRD_E_UNSUPPORTED, "column %.*s is nested more than %d levels",
                        MRD_FMT(element->name), MRD_PQ_LEVEL_MAX);
    }
    const struct mrd_bytes path =
        mrd_arena_copy(in->arena, (struct mrd_bytes){walk->path, here->path_size});
    if (path.data == NULL) {
        return mrd_arena_fail(in->arena, in->err);
    }
    footer->leaves[footer->leaf_count++] = (struct mrd_pq_leaf){
        .path = path,
        .type = (enum mrd_pq_type)element->type,
        .meaning = meaning_of(element),
        .fixed_size = element->type == MRD_PQ_FIXED ? (uint32_t)element->type_length : 0,
        .def_max = (uint8_t)here->def,
        .rep_max = (uint8_t)here->rep,
        .field_id = element->field_id,
    };
    return MRD_OK;
}

/* Goes one node on in the tree, which the file lists depth first. */
static enum mrd_status visit(struct pq_footer_reader *in, struct walk *walk,
                             const struct element *element, struct mrd_pq_footer *footer)
{
    struct level *parent = &walk->levels[walk->depth - 1];
    parent->children_left--;
    struct level here = *parent;
    const size_t dot = here.path_size > 0;
    if (element->repetition < REQUIRED || element->repetition > REPEATED ||
        element->name.size + dot > PATH_SIZE_MAX - here.path_size) {
        return pq_corrupt(in, "a node of the schema is neither required, optional nor repeated, or "
                              "its name is too long");
    }
    if (dot) {
        walk->path[here.path_size++] = '.';
    }
    if (element->name.size > 0) {
        memcpy(walk->path + here.path_size, element->name.data, element->name.size);
    }
    here.path_size += element->name.size;
    here.def += element->repetition != REQUIRED;
    here.rep += element->repetition == REPEATED;
    if (element->has_type) {
        return add_leaf(in, walk, element, &here, footer);
    }
    if (element->children <= 0) {
        return pq_corrupt(in, "a group of the schema without children");
    }
    if (walk->depth == SCHEMA_DEPTH_MAX) {
        return mrd_fail(in->err, MRD_E_UNSUPPORTED, "a schema of more than %d levels",
                        SCHEMA_DEPTH_MAX);
    }
    here.children_left = element->children;
    walk->levels[walk->depth++] = here;
    return MRD_OK;
}

static enum mrd_status read_tree(struct pq_footer_reader *in, struct walk *walk, size_t count,
                                 struct mrd_pq_footer *footer)
{
    const struct element root = count == 0 ? (struct element){0} : read_element(&in->r);
    if (in->r.in.failed || root.has_type || root.children <= 0) {
        return pq_corrupt(in, "the schema has no root");
    }
    walk->levels[0] = (struct level){.children_left = root.children};
    walk->depth = 1;
    for (size_t i = 1; i < count; i++) {
        while (walk->depth > 0 && walk->levels[walk->depth - 1].children_left == 0) {
            walk->depth--;
        }
        const struct element element = read_element(&in->r);
        if (in->r.in.failed || walk->depth == 0) {
            return pq_corrupt(in, "the schema is no tree");
        }
        MRD_TRY(visit(in, walk, &element, footer));
    }
    for (size_t i = 0; i < walk->depth; i++) {
        if (walk->levels[i].children_left != 0) {
            return pq_corrupt(in, "the schema ends before its groups do");
        }
    }
    return MRD_OK;
}

enum mrd_status pq_read_schema(struct pq_footer_reader *in, const struct mrd_thrift_field *field,
                               struct mrd_pq_footer *footer)
{
    const size_t count = mrd_thrift_get_list(&in->r, field, MRD_THRIFT_STRUCT);
    if (in->r.in.failed || footer->leaves != NULL) {
        return pq_corrupt(in, "no schema, or two");
    }
    footer->leaves = mrd_arena_alloc_array(in->arena, count + 1, sizeof(footer->leaves[0]));
    struct walk *walk = mrd_arena_alloc(in->arena, sizeof(*walk));
    if (footer->leaves == NULL || walk == NULL) {
        return mrd_arena_fail(in->arena, in->err);
    }
    return read_tree(in, walk, count, footer);
}
