#include "promql/features.h"

#include <stddef.h>

/* `offset` is that of a bool in struct mrd_promql_options. */
#define SWITCH(text, member)                                                                       \
    {                                                                                              \
        .name = text, .offset = offsetof(struct mrd_promql_options, member)                        \
    }

/* What is not of the language but of the data: without senders that write __type__ labels it would warn of each counter. */
static const char TYPE_AND_UNIT_LABELS[] = "type-and-unit-labels";

static const struct {
    const char *name;
    size_t offset;
} switches[] = {
    SWITCH("promql-binop-fill-modifiers", features.binop_fill_modifiers),
    SWITCH("promql-delayed-name-removal", delayed_name_removal),
    SWITCH("promql-experimental-functions", features.experimental_functions),
    SWITCH("promql-extended-range-selectors", features.extended_range_selectors),
    SWITCH(TYPE_AND_UNIT_LABELS, type_and_unit_labels),
    SWITCH("use-start-timestamps", use_start_timestamps),
};

static bool equal(const char *a, const char *b) { return strcmp(a, b) == 0; }

/* All names, for the text of an error; the buffer ends with a zero. */
static void list_names(struct mrd_buf *out)
{
    for (size_t i = 0; i < MRD_ARRAY_LEN(switches); i++) {
        mrd_buf_printf(out, "%s, ", switches[i].name);
    }
    mrd_buf_append_text(out, "all");
    mrd_buf_append_u8(out, 0);
}

static enum mrd_status fail_unknown(const char *name, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf names = {0};
    list_names(&names);
    return mrd_fail(err, MRD_E_INVALID, "unknown PromQL feature \"%s\"; there are %s", name,
                    (const char *)names.data);
}

enum mrd_status mrd_promql_feature_enable(const char *name, struct mrd_promql_options *options,
                                          struct mrd_error *err)
{
    bool found =
        equal(name, "promql-duration-expr"); /* always on, a name without effect there too */
    for (size_t i = 0; i < MRD_ARRAY_LEN(switches); i++) {
        const bool by_all = equal(name, "all") && !equal(switches[i].name, TYPE_AND_UNIT_LABELS);
        if (equal(name, switches[i].name) || by_all) {
            *(bool *)((char *)options + switches[i].offset) = true;
            found = true;
        }
    }
    return found ? MRD_OK : fail_unknown(name, err);
}

void mrd_promql_features_print(const struct mrd_promql_options *options, struct mrd_buf *out)
{
    const char *separator = "";
    for (size_t i = 0; i < MRD_ARRAY_LEN(switches); i++) {
        if (*(const bool *)((const char *)options + switches[i].offset)) {
            mrd_buf_printf(out, "%s%s", separator, switches[i].name);
            separator = ",";
        }
    }
}
