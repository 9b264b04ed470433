#include "model/labels.h"

#include <stdlib.h>

#include "base/quote.h"

struct mrd_bytes mrd_labels_get(struct mrd_labels labels, struct mrd_bytes name)
{
    for (size_t i = 0; i < labels.count; i++) {
        if (mrd_bytes_equal(labels.items[i].name, name)) {
            return labels.items[i].value;
        }
    }
    return MRD_BYTES_NONE;
}

int mrd_labels_compare(struct mrd_labels a, struct mrd_labels b)
{
    const size_t count = MRD_MIN(a.count, b.count);
    for (size_t i = 0; i < count; i++) {
        int order = mrd_bytes_compare(a.items[i].name, b.items[i].name);
        if (order == 0) {
            order = mrd_bytes_compare(a.items[i].value, b.items[i].value);
        }
        if (order != 0) {
            return order;
        }
    }
    return a.count < b.count ? -1 : a.count > b.count;
}

static int compare_names(const void *a, const void *b)
{
    const struct mrd_label *left = a;
    const struct mrd_label *right = b;
    return mrd_bytes_compare(left->name, right->name);
}

void mrd_labels_sort(struct mrd_label *items, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (compare_names(&items[i - 1], &items[i]) > 0) {
            qsort(items, count, sizeof(*items), compare_names);
            return;
        }
    }
}

/* Text shown of an outside string in a message: bounded, and never more than the string. */
static int shown(struct mrd_bytes bytes) { return (int)MRD_MIN(bytes.size, (size_t)80); }

static enum mrd_status validate_label(const struct mrd_label *label,
                                      const struct mrd_label_limits *limits, struct mrd_error *err)
{
    if (label->name.size == 0) {
        return mrd_fail(err, MRD_E_INVALID, "a label has an empty name: give it one or drop it");
    }
    if (!mrd_bytes_utf8_valid(label->name)) {
        return mrd_fail(err, MRD_E_INVALID, "a label name is not valid UTF-8");
    }
    if (limits->name_size_max != 0 && label->name.size > limits->name_size_max) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "label name \"%.*s...\" has %zu bytes, more than the limit of %zu "
                        "(limits.label_name_bytes_max)",
                        shown(label->name), (const char *)label->name.data, label->name.size,
                        limits->name_size_max);
    }
    if (!mrd_bytes_utf8_valid(label->value)) {
        return mrd_fail(err, MRD_E_INVALID, "the value of label \"%.*s\" is not valid UTF-8",
                        shown(label->name), (const char *)label->name.data);
    }
    if (limits->value_size_max != 0 && label->value.size > limits->value_size_max) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "the value of label \"%.*s\" has %zu bytes, more than the limit of %zu "
                        "(limits.label_value_bytes_max)",
                        shown(label->name), (const char *)label->name.data, label->value.size,
                        limits->value_size_max);
    }
    return MRD_OK;
}

/* Removes labels with an empty value; keeps the order. */
static size_t drop_empty(struct mrd_label *items, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i].value.size > 0 || items[i].name.size == 0) {
            items[kept++] = items[i];
        }
    }
    return kept;
}

enum mrd_status mrd_labels_validate(struct mrd_label *items, size_t *count,
                                    const struct mrd_label_limits *limits, struct mrd_error *err)
{
    mrd_labels_sort(items, *count);
    for (size_t i = 1; i < *count; i++) {
        if (mrd_bytes_equal(items[i - 1].name, items[i].name)) {
            return mrd_fail(err, MRD_E_INVALID, "label \"%.*s\" stands twice in one series",
                            shown(items[i].name), (const char *)items[i].name.data);
        }
    }
    const size_t kept = drop_empty(items, *count);
    if (limits->count_max != 0 && kept > limits->count_max) {
        return mrd_fail(err, MRD_E_LIMIT,
                        "a series has %zu labels, more than the limit of %zu "
                        "(limits.labels_per_series_max)",
                        kept, limits->count_max);
    }
    bool named = false;
    for (size_t i = 0; i < kept; i++) {
        MRD_TRY(validate_label(&items[i], limits, err));
        named = named || mrd_bytes_equal(items[i].name, MRD_BYTES(MRD_METRIC_NAME));
    }
    if (!named) {
        return mrd_fail(err, MRD_E_INVALID,
                        "a series has no metric name: send the label " MRD_METRIC_NAME);
    }
    *count = kept;
    return MRD_OK;
}

void mrd_labels_encode(struct mrd_labels labels, struct mrd_buf *out)
{
    for (size_t i = 0; i < labels.count; i++) {
        mrd_buf_append_varint(out, labels.items[i].name.size);
        mrd_buf_append_bytes(out, labels.items[i].name);
        mrd_buf_append_varint(out, labels.items[i].value.size);
        mrd_buf_append_bytes(out, labels.items[i].value);
    }
}

/* Number of labels if bytes are canonical, or -1. */
static ptrdiff_t canonical_count(struct mrd_bytes bytes)
{
    struct mrd_reader reader = mrd_reader_of(bytes);
    struct mrd_bytes last = MRD_BYTES_NONE;
    ptrdiff_t count = 0;
    while (mrd_reader_left(&reader) > 0) {
        const struct mrd_bytes name = mrd_read_bytes(&reader, mrd_read_varint(&reader));
        const struct mrd_bytes value = mrd_read_bytes(&reader, mrd_read_varint(&reader));
        if (reader.failed || name.size == 0 || value.size == 0 ||
            (count > 0 && mrd_bytes_compare(last, name) >= 0)) {
            return -1;
        }
        last = name;
        count++;
    }
    return reader.failed ? -1 : count;
}

enum mrd_status mrd_labels_decode(struct mrd_bytes bytes, struct mrd_arena *arena,
                                  struct mrd_labels *out, struct mrd_error *err)
{
    const ptrdiff_t count = canonical_count(bytes);
    if (count < 0) {
        return mrd_fail(err, MRD_E_CORRUPT, "label bytes are not canonical");
    }
    struct mrd_label *items = mrd_arena_alloc_array(arena, (size_t)count, sizeof(*items));
    if (items == NULL) {
        return mrd_arena_fail(arena, err);
    }
    struct mrd_reader reader = mrd_reader_of(bytes);
    for (ptrdiff_t i = 0; i < count; i++) {
        items[i].name = mrd_read_bytes(&reader, mrd_read_varint(&reader));
        items[i].value = mrd_read_bytes(&reader, mrd_read_varint(&reader));
    }
    *out = (struct mrd_labels){items, (size_t)count};
    return MRD_OK;
}

uint64_t mrd_labels_hash(struct mrd_labels labels)
{
    uint64_t hash = labels.count;
    for (size_t i = 0; i < labels.count; i++) {
        hash = mrd_hash64(labels.items[i].name, hash);
        hash = mrd_hash64(labels.items[i].value, hash);
    }
    return hash;
}

/* True for [a-zA-Z_:][a-zA-Z0-9_:]*, which needs no quotes in front of the braces. */
static bool is_plain_name(struct mrd_bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        const uint8_t c = name.data[i];
        const bool letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
        if (!letter && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return name.size > 0;
}

void mrd_labels_format(struct mrd_labels labels, struct mrd_buf *out)
{
    const struct mrd_bytes metric = mrd_labels_get(labels, MRD_BYTES(MRD_METRIC_NAME));
    const bool plain = is_plain_name(metric);
    if (plain) {
        mrd_buf_append_bytes(out, metric);
    }
    if (plain && labels.count == 1) {
        return;
    }
    mrd_buf_append_u8(out, '{');
    bool first = true;
    if (!plain && metric.size > 0) {
        mrd_quote_append(metric, out);
        first = false;
    }
    for (size_t i = 0; i < labels.count; i++) {
        if (metric.size > 0 && mrd_bytes_equal(labels.items[i].name, MRD_BYTES(MRD_METRIC_NAME))) {
            continue;
        }
        if (!first) {
            mrd_buf_append_text(out, ", ");
        }
        first = false;
        if (is_plain_name(labels.items[i].name)) {
            mrd_buf_append_bytes(out, labels.items[i].name);
        } else {
            mrd_quote_append(labels.items[i].name, out);
        }
        mrd_buf_append_u8(out, '=');
        mrd_quote_append(labels.items[i].value, out);
    }
    mrd_buf_append_u8(out, '}');
}

uint64_t mrd_tenant_seed(struct mrd_bytes tenant) { return mrd_hash64(tenant, 0); }
