#include "mrdctl/added_labels.h"

static enum mrd_status one_read(const char *text, struct mrd_label *out, struct mrd_error *err)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text || equals[1] == 0) {
        return mrd_fail(err, MRD_E_INVALID, "--label %s: NAME=VALUE is wanted", text);
    }
    out->name = (struct mrd_bytes){(const uint8_t *)text, (size_t)(equals - text)};
    out->value = mrd_bytes_of(equals + 1);
    return mrd_bytes_utf8_valid(out->name) && mrd_bytes_utf8_valid(out->value)
               ? MRD_OK
               : mrd_fail(err, MRD_E_INVALID, "--label: not UTF-8");
}

enum mrd_status ctl_added_labels_read(const struct ctl_list *texts, struct ctl_added_labels *out,
                                      struct mrd_error *err)
{
    if (texts->count > CTL_ADDED_LABELS_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "--label: at most %d", CTL_ADDED_LABELS_MAX);
    }
    out->count = texts->count;
    for (size_t i = 0; i < texts->count; i++) {
        MRD_TRY(one_read(texts->items[i], &out->items[i], err));
    }
    mrd_labels_sort(out->items, out->count);
    for (size_t i = 1; i < out->count; i++) {
        if (mrd_bytes_equal(out->items[i - 1].name, out->items[i].name)) {
            return mrd_fail(err, MRD_E_INVALID, "--label: %.*s comes twice",
                            MRD_FMT(out->items[i].name));
        }
    }
    return MRD_OK;
}

enum mrd_status ctl_added_labels_put(const struct ctl_added_labels *added, struct mrd_labels labels,
                                     struct mrd_arena *arena, struct mrd_labels *out,
                                     struct mrd_error *err)
{
    if (added->count == 0) {
        *out = labels;
        return MRD_OK;
    }
    struct mrd_label *items =
        mrd_arena_alloc_array(arena, labels.count + added->count, sizeof(*items));
    size_t count = 0;
    if (items == NULL) {
        return mrd_arena_fail(arena, err);
    }
    for (size_t a = 0, b = 0; a < labels.count || b < added->count;) {
        int order = a == labels.count ? 1 : -1;
        if (a < labels.count && b < added->count) {
            order = mrd_bytes_compare(labels.items[a].name, added->items[b].name);
        }
        b += order == 0; /* the series' own counts */
        items[count++] = order <= 0 ? labels.items[a++] : added->items[b++];
    }
    *out = (struct mrd_labels){items, count};
    return MRD_OK;
}
