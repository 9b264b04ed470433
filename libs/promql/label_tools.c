/* Label sets of results: dropping, keeping, setting labels, and numbering label sets. */
#include "base/number.h"
#include "promql/exec.h"

enum mrd_status pql_labels_copy(struct pql_exec *exec, struct mrd_labels labels,
                                struct mrd_labels *out, struct mrd_error *err)
{
    size_t text_size = 0;
    for (size_t i = 0; i < labels.count; i++) {
        text_size += labels.items[i].name.size + labels.items[i].value.size;
    }
    const size_t items_size = labels.count * sizeof(struct mrd_label);
    uint8_t *memory = NULL;
    MRD_TRY(PQL_NEW(exec, items_size + text_size, &memory, err));
    struct mrd_label *items = (struct mrd_label *)(void *)memory;
    uint8_t *at = memory + items_size;
    for (size_t i = 0; i < labels.count; i++) {
        const struct mrd_label *label = &labels.items[i];
        items[i].name = (struct mrd_bytes){at, label->name.size};
        memcpy(at, label->name.data, label->name.size);
        at += label->name.size;
        items[i].value = (struct mrd_bytes){at, label->value.size};
        memcpy(at, label->value.data, label->value.size);
        at += label->value.size;
    }
    *out = (struct mrd_labels){items, labels.count};
    return MRD_OK;
}

static enum mrd_status scratch_reserve(struct pql_exec *exec, struct pql_label_scratch *scratch,
                                       size_t count, struct mrd_error *err)
{
    if (count <= scratch->capacity) {
        return MRD_OK;
    }
    const size_t capacity = MRD_MAX(count, scratch->capacity * 2);
    MRD_TRY(PQL_NEW(exec, capacity, &scratch->items, err));
    scratch->capacity = capacity;
    return MRD_OK;
}

bool pql_is_metadata_label(struct mrd_bytes name)
{
    return name.size == 8 &&
           (memcmp(name.data, "__name__", 8) == 0 || memcmp(name.data, "__type__", 8) == 0 ||
            memcmp(name.data, "__unit__", 8) == 0);
}

enum mrd_status pql_labels_drop_name(struct pql_exec *exec, struct pql_label_scratch *scratch,
                                     struct mrd_labels *labels, struct mrd_error *err)
{
    size_t found = 0;
    for (size_t i = 0; i < labels->count; i++) {
        found += pql_is_metadata_label(labels->items[i].name);
    }
    if (found == 0) {
        return MRD_OK;
    }
    if (found == 1 && pql_is_metadata_label(labels->items[0].name)) {
        *labels = (struct mrd_labels){labels->items + 1, labels->count - 1};
        return MRD_OK;
    }
    MRD_TRY(scratch_reserve(exec, scratch, labels->count, err));
    size_t kept = 0;
    for (size_t i = 0; i < labels->count; i++) {
        if (!pql_is_metadata_label(labels->items[i].name)) {
            scratch->items[kept++] = labels->items[i];
        }
    }
    *labels = (struct mrd_labels){scratch->items, kept};
    return MRD_OK;
}

enum mrd_status pql_series_drop_name(struct pql_exec *exec, struct pql_label_scratch *scratch,
                                     struct pql_series *series, struct mrd_error *err)
{
    if (exec->options->delayed_name_removal) {
        series->drop_name = true;
        return MRD_OK;
    }
    return pql_labels_drop_name(exec, scratch, &series->labels, err);
}

bool pql_names_contain(struct mrd_names names, struct mrd_bytes name)
{
    for (size_t i = 0; i < names.count; i++) {
        if (mrd_bytes_equal(names.items[i], name)) {
            return true;
        }
    }
    return false;
}

enum mrd_status pql_labels_set(struct pql_exec *exec, struct pql_label_scratch *scratch,
                               struct mrd_labels labels, struct mrd_label label,
                               struct mrd_labels *out, struct mrd_error *err)
{
    MRD_TRY(scratch_reserve(exec, scratch, labels.count + 1, err));
    /* `labels` may already live in this scratch: shift in place, from the back where it grows. */
    size_t at = 0;
    while (at < labels.count && mrd_bytes_compare(labels.items[at].name, label.name) < 0) {
        at++;
    }
    const bool there = at < labels.count && mrd_bytes_equal(labels.items[at].name, label.name);
    const size_t rest = labels.count - at - (there ? 1 : 0);
    const size_t set = label.value.size > 0 ? 1 : 0;
    if (rest > 0) {
        memmove(scratch->items + at + set, labels.items + labels.count - rest,
                rest * sizeof(*labels.items));
    }
    if (at > 0) {
        memmove(scratch->items, labels.items, at * sizeof(*labels.items));
    }
    if (set > 0) {
        scratch->items[at] = label;
    }
    *out = (struct mrd_labels){scratch->items, at + set + rest};
    return MRD_OK;
}

enum mrd_status pql_labels_filter(struct pql_exec *exec, struct pql_label_scratch *scratch,
                                  struct mrd_labels labels, struct mrd_names names, bool keep,
                                  struct mrd_labels *out, struct mrd_error *err)
{
    MRD_TRY(scratch_reserve(exec, scratch, labels.count, err));
    size_t kept = 0;
    for (size_t i = 0; i < labels.count; i++) {
        if (pql_names_contain(names, labels.items[i].name) == keep) {
            scratch->items[kept++] = labels.items[i];
        }
    }
    *out = (struct mrd_labels){scratch->items, kept};
    return MRD_OK;
}

enum mrd_status pql_labels_group(struct pql_exec *exec, struct pql_label_scratch *scratch,
                                 struct mrd_labels labels, const struct pql_grouping *grouping,
                                 struct mrd_labels *out, struct mrd_error *err)
{
    MRD_TRY(scratch_reserve(exec, scratch, labels.count, err));
    size_t kept = 0;
    for (size_t i = 0; i < labels.count; i++) {
        const struct mrd_bytes name = labels.items[i].name;
        const bool named = pql_names_contain(grouping->names, name);
        const bool keep = grouping->without
                              ? !named && !mrd_bytes_equal(name, MRD_BYTES(MRD_METRIC_NAME))
                              : named;
        if (keep) {
            scratch->items[kept++] = labels.items[i];
        }
    }
    *out = (struct mrd_labels){scratch->items, kept};
    return MRD_OK;
}

/* ---- the table ---- */

static void table_insert(struct pql_label_table *table, uint32_t index)
{
    size_t slot = table->hashes[index] & (table->slot_count - 1);
    while (table->slots[slot] != 0) {
        slot = (slot + 1) & (table->slot_count - 1);
    }
    table->slots[slot] = index + 1;
}

static enum mrd_status table_grow(struct pql_label_table *table, struct mrd_error *err)
{
    struct pql_exec *exec = table->exec;
    const size_t capacity = table->capacity == 0 ? 64 : table->capacity * 2;
    struct mrd_labels *keys = NULL;
    uint64_t *hashes = NULL;
    uint32_t *slots = NULL;
    MRD_TRY(PQL_NEW(exec, capacity, &keys, err));
    MRD_TRY(PQL_NEW(exec, capacity, &hashes, err));
    MRD_TRY(PQL_NEW(exec, capacity * 2, &slots, err));
    if (table->count > 0) {
        memcpy(keys, table->keys, table->count * sizeof(*keys));
        memcpy(hashes, table->hashes, table->count * sizeof(*hashes));
    }
    memset(slots, 0, capacity * 2 * sizeof(*slots));
    table->keys = keys;
    table->hashes = hashes;
    table->slots = slots;
    table->capacity = capacity;
    table->slot_count = capacity * 2;
    for (size_t i = 0; i < table->count; i++) {
        table_insert(table, (uint32_t)i);
    }
    return pql_work(exec, table->count / 8, err);
}

static uint32_t table_find(const struct pql_label_table *table, struct mrd_labels labels,
                           uint64_t hash)
{
    if (table->slot_count == 0) {
        return UINT32_MAX;
    }
    size_t slot = hash & (table->slot_count - 1);
    while (table->slots[slot] != 0) {
        const uint32_t index = table->slots[slot] - 1;
        if (table->hashes[index] == hash && mrd_labels_equal(table->keys[index], labels)) {
            return index;
        }
        slot = (slot + 1) & (table->slot_count - 1);
    }
    return UINT32_MAX;
}

uint32_t pql_label_table_find(const struct pql_label_table *table, struct mrd_labels labels)
{
    return table_find(table, labels, mrd_labels_hash(labels));
}

enum mrd_status pql_label_table_add(struct pql_label_table *table, struct mrd_labels labels,
                                    uint32_t *out_index, bool *out_new, struct mrd_error *err)
{
    MRD_TRY(pql_work(table->exec, 1, err));
    const uint64_t hash = mrd_labels_hash(labels);
    const uint32_t found = table_find(table, labels, hash);
    if (found != UINT32_MAX) {
        *out_index = found;
        *out_new = false;
        return MRD_OK;
    }
    if (table->count == table->capacity) {
        MRD_TRY(table_grow(table, err));
    }
    const uint32_t index = (uint32_t)table->count;
    MRD_TRY(pql_labels_copy(table->exec, labels, &table->keys[index], err));
    table->hashes[index] = hash;
    table->count++;
    table_insert(table, index);
    *out_index = index;
    *out_new = true;
    return MRD_OK;
}

/* name="value", quoted by the common formatter, which would put a metric name in front otherwise. */
static void append_label(struct mrd_label label, struct mrd_buf *out)
{
    const bool metric = mrd_bytes_equal(label.name, MRD_BYTES(MRD_METRIC_NAME));
    struct mrd_buf one;
    mrd_buf_init(&one, 0);
    if (metric) {
        mrd_buf_append_text(out, MRD_METRIC_NAME);
        label.name = MRD_BYTES("x");
    }
    mrd_labels_format((struct mrd_labels){&label, 1}, &one); /* {x="value"} */
    const size_t skip = metric ? 2 : 1;
    mrd_buf_append(out, one.data + skip, one.size - skip - 1);
    mrd_buf_fini(&one);
}

struct mrd_bytes pql_labels_text(struct pql_exec *exec, struct mrd_labels labels)
{
    struct mrd_buf buf;
    mrd_buf_init(&buf, 0);
    mrd_buf_append_u8(&buf, '{');
    for (size_t i = 0; i < labels.count; i++) {
        append_label(labels.items[i], &buf);
        if (i + 1 < labels.count) {
            mrd_buf_append_text(&buf, ", ");
        }
    }
    mrd_buf_append_u8(&buf, '}');
    const struct mrd_bytes text = mrd_arena_copy(exec->arena, mrd_buf_view(&buf));
    mrd_buf_fini(&buf);
    return text;
}

struct mrd_bytes pql_number_text(struct pql_exec *exec, double value)
{
    char text[MRD_DOUBLE_TEXT_MAX];
    const size_t size = mrd_double_format_g(value, text);
    return mrd_arena_copy(exec->arena, (struct mrd_bytes){(const uint8_t *)text, size});
}
