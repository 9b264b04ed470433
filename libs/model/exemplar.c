#include "model/exemplar.h"

/* Characters of valid UTF-8: bytes that do not continue one. */
static size_t runes_of(struct mrd_bytes text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        count += (text.data[i] & 0xc0) != 0x80;
    }
    return count;
}

static size_t drop_empty(struct mrd_label *items, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i].value.size > 0) {
            items[kept++] = items[i];
        }
    }
    return kept;
}

enum mrd_status mrd_exemplar_labels_check(struct mrd_label *items, size_t *count,
                                          struct mrd_error *err)
{
    mrd_labels_sort(items, *count);
    size_t runes = 0;
    for (size_t i = 0; i < *count; i++) {
        const struct mrd_label *label = &items[i];
        if (label->name.size == 0 || !mrd_bytes_utf8_valid(label->name) ||
            !mrd_bytes_utf8_valid(label->value)) {
            return mrd_fail(err, MRD_E_INVALID,
                            "a label of an exemplar has no name or is not UTF-8");
        }
        if (i > 0 && mrd_bytes_equal(items[i - 1].name, label->name)) {
            return mrd_fail(err, MRD_E_INVALID, "an exemplar has a label name twice");
        }
        runes += runes_of(label->name) + runes_of(label->value);
    }
    if (runes > MRD_EXEMPLAR_LABEL_RUNES_MAX) {
        return mrd_fail(err, MRD_E_INVALID,
                        "label length for exemplar exceeds maximum of %d UTF-8 characters",
                        MRD_EXEMPLAR_LABEL_RUNES_MAX);
    }
    *count = drop_empty(items, *count);
    return MRD_OK;
}
